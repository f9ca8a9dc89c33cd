#!/bin/sh
# tests/clients/run.sh DS4 FOLDER [PATTERN]: clients as they are published, against DS4 serve. They are installed from npm
# into FOLDER, in the versions of package-lock.json, and then run with no way out of this machine. PATTERN, a regular
# expression: only tests with such a name.
set -eu
ds4=$(realpath "$1") folder=$2 pattern=${3:-}
here=$(cd "$(dirname "$0")" && pwd)

command -v npm >/dev/null || { echo "make test-clients needs Node.js 20 or later with npm" >&2; exit 1; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ ! -e "$folder/installed" ] || ! cmp -s "$here/package-lock.json" "$folder/installed"; then
    echo "installing clients into $folder (1.9 GB)"
    rm -f "$folder/installed"
    cp "$here/package.json" "$here/package-lock.json" "$folder"
    # Not npm ci: it insists on packages for other systems that opencode names and that not every registry has. The
    # OpenAI package wants Node 22, but for what is used here 20 does.
    (cd "$folder" && npm install --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$folder/installed"
fi

# Port 9 is closed: what a client tries outside fails at once.
export DS4="$ds4" CLIENTS="$folder"
export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1
export HTTP_PROXY=$http_proxy HTTPS_PROXY=$https_proxy NO_PROXY=$no_proxy
set -- node --test --test-concurrency=1 --test-reporter="$here/reporter.mjs" \
    ${pattern:+"--test-name-pattern=$pattern"} "$here"/test_*.mjs
if unshare -rn ip link set lo up 2>/dev/null; then
    exec unshare -rn sh -c 'ip link set lo up && exec "$@"' sh "$@"
fi
echo "no network namespace of its own (unshare -rn): only the proxy settings keep clients inside"
exec "$@"
