#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]
//! The reader against real recordings and against records made here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Status, StepKind};
use crate::trace::assemble::Assembler;
use crate::trace::event::{Stage, What};
use crate::trace::index::{Entry, Index};
use crate::trace::patch::{self, FilePatch};
use crate::trace::records;

struct Run {
    index: Index,
    effects: Vec<FileEffect>,
}

fn run(bytes: &[u8]) -> Run {
    let mut assembler = Assembler::new("codex");
    let mut state = State::default();
    let mut effects = Vec::new();
    records::lines(bytes, 0, 0, &mut |record| {
        let mut out = Out::default();
        Codex.events(record, &mut state, &mut out);
        let has = Codex.has_effects(record);
        let before = effects.len();
        Codex.effects(record, &state, &mut effects);
        assert!(
            has || effects.len() == before,
            "effects that were not promised"
        );
        // What a record gives does not depend on what came before it.
        let mut again = Out::default();
        Codex.events(record, &mut State::default(), &mut again);
        assert_eq!(out.events.len(), again.events.len());
        assembler.take(record, out, has, None);
    });
    assembler.settle();
    Run {
        index: assembler.index,
        effects,
    }
}

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/traces")),
        PathBuf::from,
    );
    let there = dir.join("INDEX.json").exists();
    if !there {
        eprintln!("skipped: no real recordings at {}", dir.display());
    }
    there.then_some(dir)
}

#[test]
fn real_recordings_are_understood_whole() {
    let Some(dir) = shared() else { return };
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(dir.join("INDEX.json")).unwrap()).unwrap();
    let mut seen = 0;
    for entry in index.iter().filter(|e| e["agent"] == "codex") {
        let file = entry["file"].as_str().unwrap();
        let run = run(&std::fs::read(dir.join(file)).unwrap());
        assert_eq!(
            run.index.records,
            entry["events"].as_u64().unwrap(),
            "{file}"
        );
        assert!(
            run.index.unknown.is_empty(),
            "{file}: {:?}",
            run.index.unknown
        );
        let facts = &run.index.sessions[0];
        assert_eq!(facts.version, entry["agent_version"].as_str().unwrap());
        assert_eq!(facts.commit, entry["start_commit"].as_str().unwrap());
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// Git's id of a blob.
fn blob(text: &str) -> String {
    match crate::model::Known::of(text.as_bytes()) {
        crate::model::Known::Content { git_sha1, .. } => {
            git_sha1.iter().map(|b| format!("{b:02x}")).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Files that a recording itself creates are known from then on, from the records of applied patches as well as from the
/// patches in the calls.
#[test]
fn created_files_are_as_the_truth_says() {
    let Some(dir) = shared() else { return };
    let mut checked = 0;
    for name in ["codex__graph__codemode-exec", "codex__agentv__2compacted"] {
        let run = run(&std::fs::read(dir.join(format!("codex/{name}.jsonl"))).unwrap());
        let truth: Value = serde_json::from_slice(
            &std::fs::read(dir.join(format!("oracle/{name}.json"))).unwrap(),
        )
        .unwrap();
        let cwd = truth["cwd"].as_str().unwrap();
        let steps = truth["steps"].as_array().unwrap();
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut declared = 0;
        for effect in &run.effects {
            let path = effect
                .path
                .strip_prefix(cwd)
                .unwrap()
                .trim_start_matches('/');
            let before = files.get(path).cloned();
            let after = match (&effect.what, &before) {
                (What::Write(text), _) => text.clone(),
                (What::Unified(diff), Some(old)) => patch::apply_unified(old, diff).unwrap(),
                (What::Patch(FilePatch::Update { hunks }), Some(old)) => {
                    patch::apply(old, hunks).unwrap()
                }
                _ => continue,
            };
            if effect.stage == Stage::Declared {
                // The result that follows tells the same: the patch as it was written must lead to it.
                let id = &effect.call;
                let step = steps
                    .iter()
                    .find(|s| s["tool_use_id"] == **id && s["path"] == path);
                if let Some(step) = step {
                    assert_eq!(blob(&after), step["after"].as_str().unwrap());
                    declared += 1;
                }
                continue;
            }
            let step = steps
                .iter()
                .find(|s| s["tool_use_id"] == effect.call.as_str() && s["path"] == path)
                .unwrap();
            assert_eq!(
                step["before"].as_str(),
                before.as_deref().map(blob).as_deref()
            );
            assert_eq!(
                step["after"].as_str().unwrap(),
                blob(&after),
                "{name} {path}"
            );
            if let What::Unified(diff) = &effect.what {
                assert_eq!(patch::revert_unified(&after, diff).ok(), before);
            }
            files.insert(path.to_owned(), after);
            checked += 1;
        }
        assert!(declared > 0, "{name}");
    }
    assert_eq!(checked, 12);
}

fn count(entries: &[Entry], kind: StepKind, thread: u16) -> usize {
    entries
        .iter()
        .filter(|e| e.kind == kind && e.thread == thread)
        .count()
}

#[test]
fn a_subagent_is_told_apart_from_the_conversation_it_was_given() {
    let Some(dir) = shared() else { return };
    let run =
        run(&std::fs::read(dir.join("codex/codex__gitsync__spawned-subagent.jsonl")).unwrap());
    let entries = &run.index.entries;
    assert_eq!(count(entries, StepKind::Prompt, 0), 1);
    assert_eq!(count(entries, StepKind::Prompt, 1), 8);
    assert_eq!(count(entries, StepKind::Call, 0), 32);
    assert_eq!(run.index.sessions.len(), 2);
    assert_eq!(run.index.sessions[0].title, "explorer Carson");
    assert!(run.effects.iter().all(|e| e.stage == Stage::Declared));
    assert_eq!(run.effects.len(), 6);
}

#[test]
fn tokens_are_those_of_the_whole_session() {
    let Some(dir) = shared() else { return };
    let run = run(&std::fs::read(dir.join("codex/codex__gitsync__short-4patches.jsonl")).unwrap());
    let sum = run.index.answers.iter().fold((0, 0, 0), |a, x| {
        (
            a.0 + x.usage.input,
            a.1 + x.usage.output,
            a.2 + x.usage.cache_read,
        )
    });
    assert_eq!(sum, (48090, 3765, 235_648));
}

/// A rollout of these (type, payload) records, one second apart.
fn rollout(records: &[(&str, Value)]) -> Vec<u8> {
    let mut text = String::new();
    for (i, (kind, payload)) in records.iter().enumerate() {
        let time = format!("2026-03-01T10:{:02}:{:02}.000Z", i / 60, i % 60);
        let line = json!({"timestamp": time, "type": kind, "payload": payload});
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text.into_bytes()
}

fn meta(id: &str) -> (&'static str, Value) {
    let git = json!({"commit_hash": "c0ffee", "branch": "main"});
    (
        "session_meta",
        json!({"id": id, "timestamp": "2026-03-01T09:59:00Z", "cwd": "/w", "cli_version": "0.1", "git": git}),
    )
}

fn user(text: &str) -> (&'static str, Value) {
    let part = json!({"type": "input_text", "text": text});
    (
        "response_item",
        json!({"type": "message", "role": "user", "content": [part]}),
    )
}

fn says(text: &str) -> (&'static str, Value) {
    let part = json!({"type": "output_text", "text": text});
    (
        "response_item",
        json!({"type": "message", "role": "assistant", "content": [part]}),
    )
}

fn calls(id: &str, name: &str, arguments: &Value) -> (&'static str, Value) {
    let arguments = arguments.to_string();
    (
        "response_item",
        json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}),
    )
}

fn gives(id: &str, output: Value) -> (&'static str, Value) {
    (
        "response_item",
        json!({"type": "function_call_output", "call_id": id, "output": output}),
    )
}

fn note(payload: Value) -> (&'static str, Value) {
    ("event_msg", payload)
}

fn titles(run: &Run) -> Vec<String> {
    let line = |e: &Entry| {
        let dead = if e.dead { "dead " } else { "" };
        format!("{dead}{:?} {}", e.kind, e.title).to_lowercase()
    };
    run.index.entries.iter().map(line).collect()
}

#[test]
fn what_is_told_twice_is_there_once() {
    let run = run(&rollout(&[
        meta("s"),
        user("<environment_context>\n<cwd>/w</cwd>\n</environment_context>"),
        user("go on"),
        note(json!({"type": "user_message", "message": "go on"})),
        note(json!({"type": "agent_reasoning", "text": "hm"})),
        (
            "response_item",
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"}),
        ),
        note(json!({"type": "agent_message", "message": "waiting"})),
        says("waiting"),
        // The same words again are other words.
        says("waiting"),
        user("go on"),
        note(json!({"type": "user_message", "message": "go on"})),
        // Only the event tells this one, twice.
        note(json!({"type": "user_message", "message": "review"})),
        note(json!({"type": "user_message", "message": "review"})),
    ]));
    assert_eq!(
        titles(&run),
        [
            "marker context: <environment_context>",
            "prompt go on",
            "thought hm",
            "message waiting",
            "message waiting",
            "prompt go on",
            "prompt review",
        ]
    );
    assert!(run.index.unknown.is_empty());
}

#[test]
fn calls_end_as_their_outputs_say() {
    let wrapped = json!({"output": "no such file\n", "metadata": {"exit_code": 2}}).to_string();
    let head = "Command: x\nProcess exited with code 1\nOutput:\nProcess exited with code 0\n";
    let ends = [
        (json!(wrapped), Status::Error, Some(2)),
        (json!(head), Status::Error, Some(1)),
        (
            json!("Exit code: 0\nWall time: 1 seconds\nOutput:\nerror: no\n"),
            Status::Ok,
            Some(0),
        ),
        (
            json!("Process running with session ID 3\nOutput:\n"),
            Status::Ok,
            None,
        ),
        (json!("aborted by user after 3s"), Status::Aborted, None),
        (
            json!("apply_patch verification failed: no"),
            Status::Error,
            None,
        ),
        (
            json!([{"type": "input_text", "text": "Script failed\nOutput:\n"}]),
            Status::Error,
            None,
        ),
        (
            json!({"content": "no", "success": false}),
            Status::Error,
            None,
        ),
        (json!("Plan updated"), Status::Ok, None),
    ];
    for (output, status, exit) in ends {
        let run = run(&rollout(&[
            calls("c", "shell", &json!({"command": ["bash", "-lc", "ls -l"]})),
            gives("c", output.clone()),
        ]));
        let entry = &run.index.entries[0];
        assert_eq!((entry.status, entry.exit), (status, exit), "{output}");
        assert_eq!(&*entry.title, "ls -l");
    }
    // An event tells the exit code of what went on in the background.
    let run = run(&rollout(&[
        calls("c", "exec_command", &json!({"cmd": "make\n"})),
        gives("c", json!("Process running with session ID 3\nOutput:\n")),
        note(
            json!({"type": "exec_command_end", "call_id": "c", "exit_code": 2, "command": ["make"]}),
        ),
    ]));
    assert_eq!(run.index.entries.len(), 1);
    assert_eq!(run.index.entries[0].status, Status::Error);
}

const PATCH: &str = "*** Begin Patch\n*** Update File: a.rs\n@@\n-x\n+y\n*** End Patch\n";

#[test]
fn patches_are_found_wherever_calls_carry_them() {
    let quoted = format!("cd sub && apply_patch <<'EOF'\n{PATCH}EOF\n");
    let alone = format!("apply_patch <<EOF\n{PATCH}EOF\n");
    let beside = format!(
        "make\napply_patch <<EOF\n{}EOF\nls",
        PATCH.replace('y', "$y")
    );
    let after = format!("make; applypatch << \"P\"\n{PATCH}P\nls");
    let of = |name: &str, arguments: Value| {
        let run = run(&rollout(&[meta("s"), calls("c", name, &arguments)]));
        let shape = |e: &FileEffect| (e.path.clone(), e.cwd.clone().unwrap());
        run.effects.iter().map(shape).collect::<Vec<_>>()
    };
    let at = |dir: &str| vec![("a.rs".to_owned(), dir.to_owned())];
    assert_eq!(of("apply_patch", json!({"input": PATCH})), at("/w"));
    let argv = json!({"command": ["apply_patch", PATCH], "workdir": "/x"});
    assert_eq!(of("shell", argv), at("/x"));
    let shell = |script: &str| json!({"command": ["bash", "-lc", script], "workdir": "/x"});
    assert_eq!(of("shell", shell(&quoted)), at("/x/sub"));
    assert_eq!(of("shell_command", json!({"command": alone})), at("/w"));
    assert_eq!(of("exec_command", json!({"cmd": after})), at("/w"));
    // The shell would have changed it.
    assert_eq!(of("exec_command", json!({"cmd": beside})), []);
    assert_eq!(
        of("exec_command", json!({"cmd": "echo '*** Begin Patch'"})),
        []
    );
}

#[test]
fn scripts_of_code_mode_are_named_and_their_parts_are_calls() {
    let script = format!(
        "const p = {};\nawait tools.apply_patch(p);\nawait tools.exec_command({{\"cmd\": 'ls \\'a\\' \\u0041'}});",
        json!(PATCH)
    );
    let change = json!({"/w/a.rs": {"type": "update", "unified_diff": "@@ -1 +1 @@\n-x\n+y\n", "move_path": null}});
    let run = run(&rollout(&[
        meta("s"),
        (
            "response_item",
            json!({"type": "custom_tool_call", "call_id": "call_1", "name": "exec", "input": script}),
        ),
        note(
            json!({"type": "patch_apply_end", "call_id": "exec-1", "success": true, "changes": change}),
        ),
        note(
            json!({"type": "item_completed", "item": {"type": "CommandExecution", "id": "exec-2",
            "command": ["bash", "-lc", "ls A"], "aggregated_output": "A", "exit_code": 1, "status": "failed"}}),
        ),
        note(
            json!({"type": "item_completed", "item": {"type": "FileChange", "id": "exec-3", "status": "failed",
            "changes": change}}),
        ),
        (
            "response_item",
            json!({"type": "custom_tool_call_output", "call_id": "call_1",
                "output": [{"type": "input_text", "text": "Script completed\n"},
                           {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}),
        ),
    ]));
    let all: Vec<(&str, Status)> = run
        .index
        .entries
        .iter()
        .map(|e| (&*e.title, e.status))
        .collect();
    assert_eq!(
        all,
        [
            ("M a.rs", Status::Ok),
            ("M a.rs", Status::Ok),
            ("ls A", Status::Error),
            ("M a.rs", Status::Error),
        ]
    );
    assert_eq!(run.index.entries[0].paths.to_vec(), [Box::from("a.rs")]);
    // The patch that was applied counts once, the one that failed does not.
    assert_eq!(run.effects.len(), 1);
    assert_eq!(run.effects[0].call, "exec-1");
    assert_eq!(run.effects[0].stage, Stage::Applied);
}

#[test]
fn literals_are_taken_to_the_letter_or_not_at_all() {
    let of = |script: &str| {
        script::literals(script)
            .map(Cow::into_owned)
            .collect::<Vec<_>>()
    };
    let patch = "*** Begin Patch\nx";
    assert_eq!(of(r#"a("*** Begin Patch\nx")"#), [patch]);
    assert_eq!(of("a(`*** Begin Patch\nx`)"), [patch]);
    assert_eq!(of(r"String.raw`*** Begin Patch\n`"), [r"*** Begin Patch\n"]);
    assert_eq!(of("`*** Begin Patch\n${x}`"), [""; 0]);
    assert_eq!(of("// *** Begin Patch"), [""; 0]);
    assert_eq!(
        of(r#""*** Begin Patch\x41\u{1F600}\ud83d\ude00\'"#),
        [""; 0]
    );
    assert_eq!(
        of(r#""*** Begin Patch\x41\u{1F600}\ud83d\ude00\'""#),
        ["*** Begin PatchA😀😀'"]
    );
    let commands: Vec<_> =
        script::literals_after("{cmd:\"a\", \"cmd\" : `b`, cmds: 'c'}", "cmd").collect();
    assert_eq!(commands, ["a", "b"]);
}

#[test]
fn changes_of_every_kind() {
    let changes = json!({
        "/w/a": {"type": "add", "content": "1\n"},
        "/w/b": {"type": "delete", "content": "2\n"},
        "/w/c": {"type": "update", "unified_diff": "", "move_path": "/w/d"},
        "/w/e": {"type": "update", "unified_diff": "@@ -1 +1 @@\n-1\n+2\n", "move_path": "/w/f"},
        "/w/g": {"type": "later"},
    });
    let run = run(&rollout(&[
        meta("s"),
        note(
            json!({"type": "patch_apply_end", "call_id": "c", "success": true, "changes": changes}),
        ),
        note(
            json!({"type": "patch_apply_end", "call_id": "c", "success": false, "changes": changes}),
        ),
    ]));
    let whats: Vec<&What> = run.effects.iter().map(|e| &e.what).collect();
    assert_eq!(whats[0], &What::Write("1\n".into()));
    assert_eq!(whats[1], &What::Delete);
    assert!(matches!(whats[2], What::Rename { to, change: None } if to == "/w/d"));
    assert!(
        matches!(whats[3], What::Rename { change: Some(c), .. } if matches!(**c, What::Unified(_)))
    );
    assert_eq!(whats[4], &What::Changed);
    assert_eq!(whats.len(), 5);
    assert_eq!(
        run.effects[1].before,
        crate::trace::event::Before::Content("2\n".into())
    );
}

#[test]
fn the_copied_conversation_ends_where_the_own_one_begins() {
    let own = "019d7e30-2f7a-7f60-a942-c59ab0be98d9";
    let turn = |id: &str| note(json!({"type": "task_started", "turn_id": id}));
    let mut child = meta(own);
    child.1["forked_from_id"] = json!("019d7d08-46c9-7f73-affe-4e6ca9852d56");
    let patch = |id: &str| calls(id, "apply_patch", &json!({"input": PATCH}));
    let run = run(&rollout(&[
        child,
        meta("019d7d08-46c9-7f73-affe-4e6ca9852d56"),
        turn("019d7d08-f1d2-78a1-ae52-df8e21f9b394"),
        user("theirs"),
        patch("c1"),
        turn("019d7e30-2f9f-7863-a692-e2b1b7cfe3f4"),
        user("ours"),
        patch("c2"),
    ]));
    let threads: Vec<u16> = run.index.entries.iter().map(|e| e.thread).collect();
    assert_eq!(threads, [0, 1, 1, 0, 0]);
    let sessions: Vec<u16> = run.index.entries.iter().map(|e| e.session).collect();
    assert_eq!(sessions, [0, 1, 1, 0, 0]);
    assert_eq!(run.effects.len(), 1);
    assert_eq!(run.effects[0].call, "c2");
    assert_eq!(run.index.sessions[0].parent, run.index.sessions[1].id);
}

#[test]
fn ids_that_tell_no_time_do_not_hide_the_own_conversation() {
    let mut child = meta("mine");
    child.1["timestamp"] = json!("2026-03-01T10:00:04Z");
    let turn =
        |started: i64| note(json!({"type": "task_started", "turn_id": "1", "started_at": started}));
    let start = Time::parse("2026-03-01T10:00:04Z").unwrap().0 / 1_000_000;
    // By the turn's own start; the times of the lines say nothing when a copy was written anew.
    let by_start = run(&rollout(&[
        child.clone(),
        meta("theirs"),
        turn(start - 100),
        user("theirs"),
        turn(start),
        user("ours"),
    ]));
    // By the lines' times.
    let by_line = run(&rollout(&[
        child,
        meta("theirs"),
        ("turn_context", json!({"model": "m"})),
        user("theirs"),
        ("turn_context", json!({"model": "m"})),
        user("ours"),
    ]));
    for run in [by_start, by_line] {
        let threads: Vec<u16> = run.index.entries.iter().map(|e| e.thread).collect();
        assert_eq!(threads, [1, 0], "{:?}", titles(&run));
    }
}

#[test]
fn turns_are_taken_back_and_markers_told() {
    let run = run(&rollout(&[
        meta("s"),
        (
            "turn_context",
            json!({"turn_id": "1", "cwd": "/w", "model": "a"}),
        ),
        user("one"),
        says("1"),
        user("two"),
        says("2"),
        note(json!({"type": "thread_rolled_back", "num_turns": 1})),
        (
            "turn_context",
            json!({"turn_id": "2", "cwd": "/w", "model": "b"}),
        ),
        user("three"),
        note(json!({"type": "turn_aborted", "reason": "interrupted"})),
        user("<turn_aborted>\nx\n</turn_aborted>"),
        (
            "compacted",
            json!({"message": "all of it", "replacement_history": []}),
        ),
        note(json!({"type": "context_compacted"})),
        note(json!({"type": "error", "message": "no credits"})),
        note(
            json!({"type": "sub_agent_activity", "event_id": "c", "agent_thread_id": "t", "kind": "started"}),
        ),
        ("world_state", json!({"full": true})),
        ("new_thing", json!({"x": 1})),
        note(json!({"type": "newer_thing"})),
        ("response_item", json!({"type": "newest_thing"})),
    ]));
    assert_eq!(
        titles(&run),
        [
            "prompt one",
            "message 1",
            "dead prompt two",
            "dead message 2",
            "marker rewind: 1 turn was taken back",
            "marker model: b instead of a",
            "prompt three",
            "marker interrupt: interrupted",
            "marker compaction: all of it",
            "marker api-error: no credits",
            "unknown new_thing (not understood)",
            "unknown event_msg newer_thing (not understood)",
            "unknown response_item newest_thing (not understood)",
        ]
    );
}

#[test]
fn the_first_versions_wrote_bare_items() {
    let bytes = b"{\"id\":\"s\",\"timestamp\":\"2025-05-07T17:24:21.123Z\",\"instructions\":null}\n\
        {\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}\n\
        {\"record_type\":\"state\"}\n\
        {\"type\":\"local_shell_call\",\"call_id\":\"c\",\"action\":{\"type\":\"exec\",\"command\":[\"ls\",\"-l\"]}}\n\
        {\"type\":\"local_shell_call_output\",\"call_id\":\"c\",\"output\":\"done\"}\n{\"type\":";
    let run = run(bytes);
    assert_eq!(
        titles(&run),
        [
            "prompt hi",
            "call ls -l",
            "unknown not json (not understood)"
        ]
    );
    assert_eq!(run.index.sessions[0].id, "s");
    assert_eq!(run.index.entries[1].status, Status::Ok);
}

/// Records of every shape that is known, to be mutated.
fn seeds() -> Vec<u8> {
    rollout(&[
        meta("019d7e30-2f7a-7f60-a942-c59ab0be98d9"),
        meta("other"),
        (
            "turn_context",
            json!({"turn_id": "019d7e31-2f7a-7f60-a942-c59ab0be98d9", "model": "m"}),
        ),
        user("<a_b>x</a_b>"),
        calls(
            "c",
            "shell",
            &json!({"command": ["bash", "-lc", format!("apply_patch <<E\n{PATCH}E")]}),
        ),
        gives("c", json!({"output": "x", "metadata": {"exit_code": 1}})),
        note(
            json!({"type": "token_count", "info": {"last_token_usage": {"input_tokens": -1, "cached_input_tokens": 1e300},
            "total_token_usage": {"total_tokens": 3}}}),
        ),
        note(
            json!({"type": "patch_apply_end", "call_id": "exec-1", "success": true,
            "changes": {"/a": {"type": "update", "unified_diff": "@@ -1 +1 @@\n"}}}),
        ),
        note(json!({"type": "thread_rolled_back", "num_turns": 1})),
        (
            "response_item",
            json!({"type": "custom_tool_call", "name": "exec", "input": format!("f({})", json!(PATCH))}),
        ),
        (
            "response_item",
            json!({"type": "web_search_call", "action": {"type": "search", "query": "q"}}),
        ),
        ("compacted", json!({"replacement_history": [1, 2]})),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        run(&bytes);
        let lines = [json!({"type": "session_meta"}), json!([1]), json!({"payload": {"type": 1}, "type": "event_msg"})];
        Codex.sniff(&Head { bytes: &bytes, whole: true, lines: &lines, name: "x" });
    }

    #[test]
    fn mutated_records_do_no_harm(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..12)
    ) {
        let mut bytes = seeds();
        for (at, what, byte) in cuts {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                _ => bytes.insert(at, b"\"{}[]\\,:n1"[usize::from(byte) % 10]),
            }
        }
        run(&bytes);
    }
}

#[test]
fn a_rollout_with_everything() {
    let path = "tests/recordings/codex/rollout-2026-04-11T20-16-20-019d7e30-2f7a-7f60-a942-c59ab0be98d9.jsonl";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(Codex.is_recording(&path));
    let run = run(&std::fs::read(path).unwrap());
    let own: Vec<String> = run
        .index
        .entries
        .iter()
        .filter(|e| e.thread == 0)
        .map(|e| {
            let dead = if e.dead { "dead " } else { "" };
            let status = format!("{:?}", e.status).to_lowercase().replace("none", "");
            format!("{dead}{:?} {status} {}", e.kind, e.title).replace("  ", " ")
        })
        .collect();
    assert_eq!(
        own,
        [
            "Marker fork: goes on from session 019d7d08-46c9-7f73-affe-4e6ca9852d56",
            "Marker context: <environment_context>",
            "Prompt Write the greeting and test it.",
            "Thought **Planning the greeting**",
            "Message I’ll add the file and run it.",
            "Call ok ls -a",
            "Call ok A hello.py",
            "Call ok A hello.py",
            "Call ok M hello.py -> greet.py",
            "Call error python greet.py --loud",
            "Call ok python argparse flag",
            "Message The greeting is there; the flag is not.",
            "dead Prompt Add the flag.",
            "dead Marker interrupt: interrupted",
            "Marker rewind: 1 turn was taken back",
            "Marker compaction: The greeting was written.",
            "Marker model: gpt-5.5 instead of gpt-5.4",
            "Prompt Leave it.",
            "Message Left as it is.",
            "Unknown brand_new (not understood)",
        ]
    );
    // Those of the other session do not count; the one that moves is told twice, asked for and done.
    let files: Vec<(&str, Stage)> = run.effects.iter().map(|e| (&*e.path, e.stage)).collect();
    assert_eq!(
        files,
        [
            ("/w/hello/hello.py", Stage::Applied),
            ("hello.py", Stage::Declared),
            ("/w/hello/hello.py", Stage::Applied),
        ]
    );
    let sum: u64 = run.index.answers.iter().map(|a| a.usage.input).sum();
    assert_eq!(sum, 4 * 60);
}
