#!/bin/sh
# Runs the test programs given, as many at once as there are processors (JOBS: so many), shows the output of those that
# fail, and counts their tests. Long ones should come first.
if [ "${1:-}" = --one ]; then
    program=$2 output=$2.log
    "$program" >"$output" 2>&1
    status=$?
    ok=$(grep -c '^\[       OK \]' "$output")
    # a program that dies in the middle of a test, or runs none, is a failure too
    bad=$(grep -c '^\[  FAILED  \].*[^:]$' "$output")
    summary=$(grep -c '^\[==========\].*run\.$' "$output")
    if [ "$status" -ne 0 ] || [ "$summary" -eq 0 ] || [ "$ok" -eq 0 ]; then
        bad=$((bad > 0 ? (bad + 1) / 2 : 1))
    else
        bad=0
    fi
    echo "$ok $bad" >"$program.count"
    # in one piece, as others write too
    line="$(basename "$program"): $ok passed, $bad failed"
    if [ "$bad" -gt 0 ]; then line="$(cat "$output")
$line"; fi
    printf '%s\n' "$line"
    exit
fi

for program in "$@"; do
    rm -f "$program.count"
    printf '%s\0' "$program"
done | xargs -0 -n 1 -P "${JOBS:-$(getconf _NPROCESSORS_ONLN)}" "$0" --one

passed=0
failed=0
for program in "$@"; do
    ok=0 bad=1
    [ ! -e "$program.count" ] || read -r ok bad <"$program.count"
    passed=$((passed + ok))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
