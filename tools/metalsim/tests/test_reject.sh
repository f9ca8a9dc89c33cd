#!/bin/sh
# test_reject.sh BUILD: every case of reject.txt must be refused with the words it names, or accepted if it says so.
here=$(dirname "$0")
export METALSIM_BUILD="$1"
cases=$1/reject
rm -rf "$cases"
mkdir -p "$cases"

# one .metal file and one .expect file ("NAME | MESSAGE") a case
awk -v dir="$cases" '
    function finish() { if (kind == "body") print "}" > file; if (file) close(file) }
    /^#[^i]/ || /^$/ && !kind { next }
    /^(file|body|bare|pass): / {
        finish()
        kind = substr($0, 1, 4)
        base = sprintf("%s/%03d", dir, ++n)
        file = base ".metal"
        print substr($0, 7) > (base ".expect")
        close(base ".expect")
        if (kind == "bare") next
        print "#include <metal_stdlib>\nusing namespace metal;\nstruct pair { int first, second; };" > file
        if (kind == "body")
            print "kernel void k(device float *x [[buffer(0)]], constant pair &s [[buffer(1)]]," \
                  " uint i [[thread_position_in_grid]]) {\nthreadgroup float shared[32];\nshared[i & 31] = x[i];" > file
        next
    }
    { print > file }
    END { finish() }' "$here/reject.txt"

# two at a time; the exit status and the messages of each are kept
ls "$cases"/*.metal | xargs -P 2 -n 8 sh -c '
    for file; do "$0/msl-check" "$file" >"${file%.metal}.out" 2>&1; echo $? >"${file%.metal}.status"; done' "$here/.."

n=0
failed=0
for expect in "$cases"/*.expect; do
    n=$((n + 1))
    base=${expect%.expect}
    name=$(sed 's/ | .*//' "$expect")
    message=$(sed -n 's/.* | //p' "$expect")
    status=$(cat "$base.status")
    if [ -z "$message" ]; then
        [ "$status" -eq 0 ] && ok=1 || ok=
    else
        [ "$status" -ne 0 ] && grep -qF -- "$message" "$base.out" && ok=1 || ok=
    fi
    if [ -n "$ok" ]; then
        echo "[       OK ] $name"
    else
        echo "[  FAILED  ] $name: status $status, wanted '$message', got $(grep -m 1 error "$base.out")"
        failed=$((failed + 1))
    fi
done
echo "[==========] reject: $n test(s) run."
[ "$failed" -eq 0 ]
