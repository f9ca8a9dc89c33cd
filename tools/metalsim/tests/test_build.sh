#!/bin/sh
# test_build.sh BUILD: the kernels of the tests pass the strict check, and become code in every form.
here=$(dirname "$0")
tools=$here/..
export METALSIM_BUILD="$1"
libdevice=${LIBDEVICE:-/usr/local/cuda/nvvm/libdevice/libdevice.10.bc}
n=0
failed=0
test_that() { # NAME COMMAND...
    name=$1
    shift
    n=$((n + 1))
    if "$@" >"$METALSIM_BUILD/build.out" 2>&1; then
        echo "[       OK ] $name"
    else
        echo "[  FAILED  ] $name: $(head -3 "$METALSIM_BUILD/build.out")"
        failed=$((failed + 1))
    fi
}
starts_with() { # BYTES FILE
    [ "$(head -c "${#1}" "$2")" = "$1" ]
}
fails() {
    ! "$@"
}

for kernels in bad values products framework; do
    test_that "$kernels passes the strict check" "$tools/msl-check" "$here/$kernels.metal"
done
# -O1: what an optimiser would prove about a defect is not the point here
test_that "bad, checked" env MSL_CXX=-O1 "$tools/msl-build" -c "$here/bad.metal" "$1/bad.so"
for kernels in values products; do
    test_that "$kernels" "$tools/msl-build" "$here/$kernels.metal" "$1/$kernels.so"
    test_that "$kernels, checked" "$tools/msl-build" -c "$here/$kernels.metal" "$1/${kernels}_checked.so"
done
test_that "framework, as .metallib" "$tools/msl-build" -c "$here/framework.metal" "$1/framework.metallib"
test_that "a .metallib starts with its name" starts_with DS4MTLIB "$1/framework.metallib"
printf '#include <metal_stdlib>\nkernel void k(device float *x) { x[0] = y; }\n' >"$1/wrong.metal"
test_that "wrong kernels give a status and no file" fails "$tools/msl-build" "$1/wrong.metal" "$1/wrong.so"
[ ! -e "$1/wrong.so" ] || failed=$((failed + 1))
if [ -e "$libdevice" ]; then
    for kernels in values products; do
        test_that "$kernels, as PTX" "$tools/msl-cuda" "$here/$kernels.metal" "$1/$kernels.ptx"
    done
else
    echo "PTX is left out: no $libdevice (LIBDEVICE)"
fi
echo "[==========] build: $n test(s) run."
[ "$failed" -eq 0 ]
