#!/bin/sh
# Installs what the build needs: with apt on Debian and Ubuntu, with Homebrew on a Mac. `deps.sh tests` installs, with
# apt, also what the tests and evaluations of train/ need, and clang 19 for the tests of the Metal kernels.
set -eu
if command -v brew >/dev/null 2>&1; then
    exec brew install pkg-config pcre2 jansson libedit xxhash cmocka
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps.sh: neither apt-get nor brew found; install pkg-config, PCRE2, Jansson, libedit, xxHash and cmocka" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q
clang=
if [ $# -gt 0 ] && [ "$(uname -m)" = x86_64 ]; then
    clang=$(apt-cache pkgnames clang-19 | grep -x clang-19) ||
        echo "deps.sh: there is no clang-19 here; the tests that need it are left out" >&2
fi
$sudo apt-get install -q -y --no-install-recommends \
    gcc libc6-dev make pkg-config libpcre2-dev libjansson-dev libedit-dev libxxhash-dev libcmocka-dev \
    ${1:+python3 python3-numpy python3-regex} $clang
