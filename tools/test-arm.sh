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

# What measures, or takes more than a few minutes when emulated. The models of tests/emulated stand in for it.
left_out="test_bench test_conversation test_engine test_golden test_nano test_quantised \
    test_server_connections test_server_http test_server_replay test_server_scheduler test_server_trace"
# What depends on the processor, and is run on all three.
on_all="test_kernels test_float_kernels test_models"

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
for source in tests/test_*.c tests/emulated/test_*.c; do
    program=${source%.c} name=$(basename "$source" .c)
    case " $left_out " in *" $name "*) continue ;; esac
    programs="$programs $build/$program"
    emulate max "$program" "$run/$name.max"
    scripts="$scripts $run/$name.max"
    case " $on_all " in *" $name "*) ;; *) continue ;; esac
    for processor in neoverse-n1 cortex-a72; do
        emulate $processor "$program" "$run/$name.$processor"
        scripts="$scripts $run/$name.$processor"
    done
done

# X86_64_LINUX: what the Makefile has for that is not for this
make --no-print-directory -j"$(nproc)" CC="$CC --sysroot=$system" AR=aarch64-linux-gnu-ar BUILD="$build" X86_64_LINUX= \
    "$build/ds4" $programs
# Tests start ds4 where it was built, so a script takes its place.
if [ "$(head -c 2 "$build/ds4")" != '#!' ]; then
    mv "$build/ds4" "$build/ds4.arm64"
    emulate max ds4.arm64 "$build/ds4"
fi
status=0
tests/run.sh $scripts || status=1
echo "left out, because they measure or take too long when emulated: $left_out"
exit $status
