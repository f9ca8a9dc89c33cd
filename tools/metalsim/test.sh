#!/bin/sh
# test.sh BUILD: builds into BUILD and runs every suite; the last line of each says how many tests ran.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
build=$(cd "$1" && pwd)
export METALSIM_BUILD="$build"
make -s -C "$here" BUILD="$(realpath --relative-to="$here" "$build")" tests # make knows no spaces in names
status=0
"$here/tests/test_reject.sh" "$build" || status=1
"$here/tests/test_build.sh" "$build" || status=1
"$build/test_bad" "$build/bad.so" || status=1
"$build/test_values" "$build/values.so" "$build/products.so" || status=1
"$build/test_values" "$build/values_checked.so" "$build/products_checked.so" check || status=1
METALSIM_TOOLS="$here" "$build/test_framework" "$build/framework.metallib" "$here/tests/framework.metal" || status=1
"$here/tests/test_mutations.sh" "$build" || status=1
exit $status
