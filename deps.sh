#!/bin/sh
# Installs what the build needs: with apt on Debian and Ubuntu, with Homebrew on a Mac. `deps.sh tests` installs, with
# apt, also what the tests and evaluations of train/ need, clang 19 for the tests of the Metal kernels, and SIMDe for those
# of the AVX-512 kernels.
# `deps.sh arm64 FOLDER` is for tests on an emulated processor: it installs the compiler and the emulator if they are
# missing, and unpacks the libraries for arm64 into FOLDER, of which the system's packages take no notice.
set -eu
if command -v brew >/dev/null 2>&1; then
    exec brew install pkg-config pcre2 jansson libedit xxhash curl openssl@3 libmicrohttpd cmocka
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps.sh: neither apt-get nor brew found; install pkg-config, PCRE2, Jansson, libedit, xxHash, libcurl," \
        "OpenSSL, libmicrohttpd and cmocka" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null || { echo "deps.sh: run this as root, or install sudo" >&2; exit 1; }
fi
export DEBIAN_FRONTEND=noninteractive
libraries="libpcre2-dev libjansson-dev libedit-dev libxxhash-dev libcurl4-openssl-dev libssl-dev libmicrohttpd-dev libcmocka-dev"

unpack_arm64() {
    rm -rf "$1"
    mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
    folder=$(cd "$1" && pwd)
    : >"$folder/apt/status"
    cat >"$folder/apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$folder/apt";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt";
END
    # Ubuntu has arm64 on a server of its own.
    if grep -q '^ID=ubuntu' /etc/os-release; then
        . /etc/os-release
        for suite in "$VERSION_CODENAME" "$VERSION_CODENAME-updates" "$VERSION_CODENAME-security"; do
            echo "deb http://ports.ubuntu.com/ubuntu-ports $suite main universe"
        done >"$folder/apt/sources.list"
        echo "Dir::Etc { sourcelist \"$folder/apt/sources.list\"; sourceparts \"/dev/null\"; };" >>"$folder/apt/apt.conf"
    fi
    APT_CONFIG=$folder/apt/apt.conf apt-get update -q
    APT_CONFIG=$folder/apt/apt.conf apt-get install -q -y --no-install-recommends --download-only libc6-dev $libraries
    for package in "$folder"/apt/archives/*.deb; do dpkg-deb -x "$package" "$folder"; done
    [ -e "$folder/lib" ] || ln -s usr/lib "$folder/lib"
    # Links that name a place of the system would leave the folder.
    find "$folder" -lname '/*' | while read -r link; do ln -sfn "$folder$(readlink "$link")" "$link"; done
    rm -rf "$folder/apt"
    : >"$folder/complete"
}

if [ "${1:-}" = arm64 ]; then
    if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
        $sudo apt-get update -q
        $sudo apt-get install -q -y --no-install-recommends gcc-aarch64-linux-gnu qemu-user
    fi
    unpack_arm64 "$2"
    exit
fi
$sudo apt-get update -q
clang=
if [ $# -gt 0 ] && [ "$(uname -m)" = x86_64 ]; then
    clang=$(apt-cache pkgnames clang-19 | grep -x clang-19) ||
        echo "deps.sh: there is no clang-19 here; the tests that need it are left out" >&2
fi
$sudo apt-get install -q -y --no-install-recommends \
    gcc libc6-dev make pkg-config $libraries ${1:+python3 python3-numpy python3-regex libsimde-dev} $clang
