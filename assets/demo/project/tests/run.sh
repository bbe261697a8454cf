#!/bin/sh
# Runs the tool over each tests/*.psv and compares with the .expected file beside it.
cd "$(dirname "$0")/.." || exit 2
mkdir -p build
passed=0
failed=0
for input in tests/*.psv; do
    name=$(basename "$input" .psv)
    today=$(sed -n 's/^# today: //p' "$input")
    ./src/tokens.sh "$today" "$input" > "build/$name.out" 2>&1
    if [ "$(cat "build/$name.out")" = "$(cat "tests/$name.expected")" ]; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/        want: /' "tests/$name.expected"
        sed 's/^/        got:  /' "build/$name.out"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
