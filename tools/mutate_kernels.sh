#!/bin/sh
# mutate_kernels.sh OUT MUTATIONS [FOLDER]: the kernels as concatenate_kernels.sh puts them together, with the mistakes
# of MUTATIONS (see tests/gpu/mutations.txt) in them: each is a choice by the function constant MUTATION, which has the
# mistake's number, so that all of them are compiled at once. For metalsim's executor only.
set -eu
export LC_ALL=C
out=$1
mutations=$2
folder=${3:-kernels}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for file in "$folder"/*.h "$folder"/*.metal; do
    awk -v file="${file##*/}" '
        function fail(message) {
            print "mutate_kernels.sh: " message >"/dev/stderr"
            failed = 1
            exit 1
        }
        # The place of text in line where no name goes on to its left, or 0.
        function place_of_name(line, text,   at) {
            at = index(line, text)
            return at > 1 && substr(line, at - 1, 1) ~ /[A-Za-z0-9_]/ ? 0 : at
        }
        function find_header(m,   i, text, found) {
            text = in_function[m] ~ /\(/ ? in_function[m] : in_function[m] "("
            for (i = 1; i <= n_lines; i++) {
                if (line[i] !~ /^[A-Za-z_[]/ || !place_of_name(line[i], text)) continue
                if (found) fail(name[m] ": " file " has " text " twice")
                found = i
            }
            if (!found) fail(name[m] ": " file " has no " text)
            return found
        }
        # Finds the original text in its function and notes the change. It must be there once, unless a number is given.
        function locate(m,   i, at, from, n) {
            for (i = find_header(m); i <= n_lines && line[i] != "}"; i++)
                for (from = 1; (at = index(substr(line[i], from), original[m])) > 0; from += at) {
                    if (++n != (which[m] ? which[m] : 1)) continue;
                    place[m] = i
                    column[m] = from + at - 1
                }
            if (!(m in place)) fail(name[m] ": not in " file ": " original[m])
            if (n > 1 && !which[m]) fail(name[m] ": " n " times in " file ": " original[m])
            changes[place[m]] = changes[place[m]] " " m
        }
        # The changes of a line, the last first, so that the places of the others stay right.
        function change(i,   n, list, k, best, m, at, end, new) {
            n = split(changes[i], list, " ")
            end = length(line[i]) + 1
            while (n > 0) {
                best = 1
                for (k = 2; k <= n; k++) if (column[list[k]] > column[list[best]]) best = k
                m = list[best]
                list[best] = list[n--]
                at = column[m]
                if (at + length(original[m]) > end) fail(name[m] ": another mutation has some of " original[m])
                end = at
                if (original[m] ~ /;$/)
                    new = "{ if (mutation_is(" m ")) { " mistake[m] " } else { " original[m] " } }"
                else
                    new = "(mutation_is(" m ") ? (" mistake[m] ") : (" original[m] "))"
                line[i] = substr(line[i], 1, at - 1) new substr(line[i], at + length(original[m]))
            }
        }
        NR == FNR {
            if ($0 ~ /^#/ || $0 ~ /^$/) next
            if ($0 !~ /^ /) { name[++n] = $0; next }
            sub(/^ +/, "")
            if ($0 ~ /^-/) { which[n] = substr($1, 2); original[n] = substr($0, length($1) + 2) }
            else if ($0 ~ /^\+/) mistake[n] = substr($0, 3)
            else { split($0, field, / \| /); in_file[n] = field[1]; in_function[n] = field[2] }
            next
        }
        { line[++n_lines] = $0 }
        END {
            if (failed) exit 1
            for (m = 1; m <= n; m++) if (in_file[m] == file) locate(m)
            for (i = 1; i <= n_lines; i++) {
                if (i in changes) change(i)
                print line[i]
                if (line[i] != "using namespace metal;") continue
                print "constant uint MUTATION [[function_constant(7)]];"
                # Not an access of the kernel: the executor would look it up each time.
                print "__attribute__((no_sanitize(\"thread\")))"
                print "static bool mutation_is(uint m) { return MUTATION.value == m; }"
            }
        }' "$mutations" "$file" >"$tmp/${file##*/}"
done
"$(dirname "$0")/concatenate_kernels.sh" "$out" "$tmp"
