#!/bin/sh
# Runs the test programs given, shows the output of those that fail, and counts their tests.
passed=0
failed=0
for program in "$@"; do
    output=$program.log
    "$program" >"$output" 2>&1
    status=$?
    ok=$(grep -c '^\[       OK \]' "$output")
    # a program that dies in the middle of a test, or runs none, is a failure too
    bad=$(grep -c '^\[  FAILED  \].*[^:]$' "$output")
    summary=$(grep -c '^\[==========\].*run\.$' "$output")
    if [ "$status" -ne 0 ] || [ "$summary" -eq 0 ] || [ "$ok" -eq 0 ]; then
        cat "$output"
        bad=$((bad > 0 ? (bad + 1) / 2 : 1))
    else
        bad=0
    fi
    echo "$(basename "$program"): $ok passed, $bad failed"
    passed=$((passed + ok))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
