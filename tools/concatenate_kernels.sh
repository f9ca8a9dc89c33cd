#!/bin/sh
# concatenate_kernels.sh OUT [FOLDER]: all kernels as one text, which Metal compiles at run time without any file.
# Every header of FOLDER (default: kernels) comes once, after those it includes, then every .metal file by name.
# Compilers name the original file and line: #line says where a file begins, and an empty line stands for an #include.
set -eu
export LC_ALL=C
out=$1
folder=${2:-kernels}
for file in "$folder/shared.h" "$folder"/*.h "$folder"/*.metal; do
    if [ -e "$file" ]; then printf '%s\n' "$file"; fi
done | awk -v folder="$folder" '
    function fail(message) {
        print "concatenate_kernels.sh: " message >"/dev/stderr"
        failed = 1
        exit 1
    }
    # local: text, line, n, i, status
    function paste(file, from,   text, line, n, i, status) {
        if (file in pasted) return
        pasted[file] = 1
        n = 0
        while ((status = (getline line <file)) > 0) {
            if (line ~ /^[ \t]*#[ \t]*include[ \t]*"/) {
                sub(/^[^"]*"/, "", line)
                sub(/".*/, "", line)
                paste(folder "/" line, file)
                line = ""
            }
            text[++n] = line
        }
        if (status < 0) fail(file ": cannot read it" (from ? ", which " from " includes" : ""))
        close(file)
        print "#line 1 \"" file "\""
        for (i = 1; i <= n; i++) print text[i]
    }
    { paste($0, "") }
    END { if (failed) exit 1 }' >"$out.part" || {
    rm -f "$out.part"
    exit 1
}
sum=$(cksum <"$out.part")
cat >>"$out.part" <<END
/* By its name a program knows a library that was compiled from this text. */
[[max_total_threads_per_threadgroup(32)]] kernel void source_${sum%% *}(device uint *unused [[buffer(0)]]) {}
END
mv "$out.part" "$out"
