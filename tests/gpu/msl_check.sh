#!/bin/sh
# msl_check.sh BUILD METALSIM: the strict check of every kernel file, as it is edited, and of the whole text, as it is
# compiled on a Mac; then the tests of the tools that check. Prints what tests/run.sh counts.
export METALSIM_BUILD="$2"
status=0
n=0
for file in kernels/*.metal "$1/kernels.metal"; do
    n=$((n + 1))
    if MSL_FLAGS=-Ikernels tools/metalsim/msl-check "$file"; then
        echo "[       OK ] $file"
    else
        echo "[  FAILED  ] $file"
        status=1
    fi
done
echo "[==========] strict check: $n test(s) run."
tools/metalsim/test.sh "$2" || status=1
exit $status
