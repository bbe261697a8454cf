#!/bin/sh
# The demo's agent: a recorded mind with real hands.
#
# Plays a recording through `backtrail emit`, one event at a time. For each call it does what the call says, for real,
# in the current directory, and answers with what really came of it. Needs only sh, sed, awk and coreutils.
#
# Environment: BACKTRAIL, the program; DEMO, a directory of the demo's own (the recording is in it);
# BACKTRAIL_DEMO_PACE, a factor for the pauses (0: none).

pace=${BACKTRAIL_DEMO_PACE:-1}
out=$DEMO/output
trap 'rm -f "$out"' EXIT

pause() {
    [ "$pace" = 0 ] || sleep "$(awk -v a="$1" -v b="$pace" 'BEGIN { print a * b }')"
}

emit() {
    printf '%s\n' "$1" | "$BACKTRAIL" emit || exit 1
}

# The string that the event has under a key.
field() {
    printf '%s\n' "$line" | awk -v key="$1" '{
        at = index($0, "\"" key "\":\"")
        if (!at) exit 1
        rest = substr($0, at + length(key) + 4)
        while (rest != "" && (c = substr(rest, 1, 1)) != "\"") {
            taken = 1
            if (c == "\\") {
                taken = 2
                c = substr(rest, 2, 1)
                if (c == "n") c = "\n"
                else if (c == "t") c = "\t"
            }
            text = text c
            rest = substr(rest, taken + 1)
        }
        printf "%s", text
    }'
}

# A file as the inside of a JSON string.
quoted() {
    tr -d '\000-\010\013-\037' < "$1" | awk '{
        gsub(/\\/, "\\\\")
        gsub(/"/, "\\\"")
        gsub(/\t/, "\\t")
        printf "%s%s", (NR > 1 ? "\\n" : ""), $0
    }'
}

# The tools. Each leaves its answer in $out.

read_file() {
    cat "$(field file_path)" > "$out" 2>&1
}

# Saves as editors do: a new file beside the old one, then a rename.
write_file() {
    path=$(field file_path)
    mkdir -p "$(dirname "$path")" &&
        field content > "$path.tmp$$" &&
        mv "$path.tmp$$" "$path" &&
        echo "wrote $path" > "$out"
}

# Replaces the first place, in the file itself.
edit_file() {
    path=$(field file_path)
    old=$(field old_string) new=$(field new_string) awk '
        { text = text $0 "\n" }
        END {
            at = index(text, ENVIRON["old"])
            if (!at) exit 1
            printf "%s%s%s", substr(text, 1, at - 1), ENVIRON["new"], substr(text, at + length(ENVIRON["old"]))
        }' "$path" > "$out" || { echo "no such text in $path" > "$out"; return 1; }
    cat "$out" > "$path" && echo "edited $path" > "$out"
}

run_command() {
    field command > "$DEMO/command"
    sh "$DEMO/command" > "$out" 2>&1
}

# Asks for the change that a person makes behind the agent's back, and waits until it is there.
let_person_work() {
    [ -n "$DEMO_PERSON" ] || return 0
    : > "$DEMO/person-may"
    tries=0
    while [ -e "$DEMO/person-may" ] && [ "$tries" -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}

# Not on standard input, which the commands inherit.
while IFS= read -r line <&3; do
    type=$(field type)
    case $type in
    prompt) pause 0.5 ;;
    thought) pause 0.7 ;;
    message) pause 0.4 ;;
    call) pause 0.3 ;;
    esac
    emit "$line"
    [ "$type" = call ] || continue

    id=$(field id)
    pause 0.15
    : > "$out"
    code=
    error=false
    case $(field name) in
    Read) read_file || error=true ;;
    Write) write_file || error=true ;;
    Edit) edit_file || error=true ;;
    Bash)
        run_command
        code=$?
        [ "$code" = 0 ] || error=true
        ;;
    esac
    pause 0.15
    emit "{\"type\":\"result\",\"id\":\"$id\",\"output\":\"$(quoted "$out")\",\"is_error\":$error${code:+,\"exit_code\":$code}}"
    [ "$id" != "$DEMO_PERSON" ] || let_person_work
done 3< "$DEMO/recording.ndjson"
