#!/bin/sh
# test-arm.sh BUILD: builds the program and the tests for arm64 Linux and runs them with qemu-user: as on a processor with
# all that kernels_neon.c knows, one with integer dot products only, and one with neither, which takes the portable
# kernels. CC=clang-19 compiles with that. Needs apt; deps.sh installs what is missing.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: tools/test-arm.sh BUILD" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
system=$folder/system run=$folder/run build=$1/make

# What is measured or takes many minutes when emulated; it does not depend on the processor.
left_out="test_bench test_conversation test_nano"
# What does, and is run on the lesser processors too.
on_all="test_kernels test_float_kernels test_golden test_quantised"

[ "$system/complete" -nt deps.sh ] && command -v qemu-aarch64 >/dev/null || ./deps.sh arm64 "$system"
export PKG_CONFIG_SYSROOT_DIR="$system"
export PKG_CONFIG_LIBDIR="$system/usr/lib/aarch64-linux-gnu/pkgconfig:$system/usr/share/pkgconfig"

case ${CC:-} in
*clang*) CC="$CC --target=aarch64-linux-gnu --gcc-install-dir=$(dirname "$(aarch64-linux-gnu-gcc -print-libgcc-file-name)")" ;;
*) CC=aarch64-linux-gnu-gcc ;;
esac

# emulate PROCESSOR PROGRAM SCRIPT: a script that runs the program
emulate() {
    printf '#!/bin/sh\nexec qemu-aarch64 -L "%s" -cpu %s -0 "$0" "%s" "$@"\n' "$system" "$1" "$folder/make/$2" >"$3"
    chmod +x "$3"
}

rm -rf "$run"
mkdir -p "$run"
programs=
scripts=
for source in tests/test_*.c; do
    name=$(basename "$source" .c)
    case " $left_out " in *" $name "*) continue ;; esac
    programs="$programs $build/tests/$name"
    for processor in max neoverse-n1 cortex-a72; do
        case "$processor $on_all " in max*|*" $name "*) ;; *) continue ;; esac
        emulate $processor "tests/$name" "$run/$name.$processor"
        scripts="$scripts $run/$name.$processor"
    done
done
emulate max ds4 "$run/ds4"

make --no-print-directory -j"$(nproc)" CC="$CC --sysroot=$system" AR=aarch64-linux-gnu-ar BUILD="$build" "$build/ds4" $programs
DS4_BINARY=$run/ds4 tests/run.sh $scripts
echo "left out: $left_out"
