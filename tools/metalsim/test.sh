#!/bin/sh
# test.sh BUILD: builds into BUILD and runs every suite; the last line of each says how many tests ran.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
export METALSIM_BUILD="$build"
make -s -C "$here" BUILD="$build" tests
status=0
sh "$here/tests/test_reject.sh" "$build" || status=1
"$here/msl-build" -c "$here/tests/bad.metal" "$build/bad.so"
"$build/test_bad" "$build/bad.so" || status=1
for checks in "" -c; do
    "$here/msl-build" $checks "$here/tests/values.metal" "$build/values.so"
    "$here/msl-build" $checks "$here/tests/products.metal" "$build/products.so"
    "$build/test_values" "$build/values.so" "$build/products.so" ${checks:+check} || status=1
done
exit $status
