#!/bin/sh
# test_mutations.sh BUILD: small mistakes in products.metal must be noticed, by msl-check or by a checked run.
here=$(dirname "$0")
export METALSIM_BUILD="$1"
export MSL_CXX=-O1
folder=$1/mutations
rm -rf "$folder"
mkdir -p "$folder"

# NAME | sed command
cat >"$folder/list" <<'END'
nothing changed | s/a/a/
a barrier dropped before the tiles are overwritten | /mutation: before the tiles are overwritten/d
a barrier dropped before the tiles are read | /mutation: before the tiles are read/d
a barrier for device memory instead | /mutation/s/mem_threadgroup/mem_device/
a tile one row short | s/tile_w\[64 \* 32\]/tile_w[63 * 32]/
all lanes store | s/lane == 0 && //
an input that starts a block late | s/part = x + block \* 32 + lane/part = x + block * 32 + 32 + lane/
one block too many | s/block < n_blocks; block += 8/block <= n_blocks; block += 8/
rows not bounded when they are read | /first_row + r >= a.rows/d
rows not bounded when they are written | s/ && first_row + r < a.rows//
a maximum instead of a sum | s/simd_sum/simd_max/
a lane that leaves early | s/if (first_row >= a.rows) return;/if (lane == 3) return;/
a matrix that is not transposed | s/ulong2(0), true/ulong2(0), false/
a matrix loaded beyond its tile | s/(my_row + 8 \* i) \* 32 + k/(my_row + 8 * i + 40) * 32 + k/
two buffers exchanged | s/buffer(2)/buffer(4)/; s/buffer(3)/buffer(2)/; s/buffer(4)/buffer(3)/
a pointer without address space | s/device const float \*part/const float *part/
a block that is aligned to 4 | s/half d;/float d;/
END

run_half() { # the tests whose number is even or odd
    number=0
    while IFS= read -r line; do
        number=$((number + 1))
        [ $((number % 2)) -eq "$1" ] || continue
        base=$folder/$(printf %02d "$number")
        sed "${line#* | }" "$here/products.metal" >"$base.metal"
        {
            "$here/../msl-check" "$base.metal" && "$here/../msl-build" -c "$base.metal" "$base.so" &&
                timeout 60 "$METALSIM_BUILD/test_values" - "$base.so" check
        } >"$base.out" 2>&1
        echo $? >"$base.status"
    done <"$folder/list"
}
run_half 0 &
run_half 1
wait

n=0
failed=0
while IFS= read -r line; do
    n=$((n + 1))
    base=$folder/$(printf %02d "$n")
    name=${line%% | *}
    status=$(cat "$base.status")
    [ "$n" -gt 1 ] && cmp -s "$base.metal" "$here/products.metal" && status=unchanged
    # 1: refused, or a test that failed. The first line changes nothing and must pass.
    [ "$n" -eq 1 ] && wanted=0 || wanted=1
    if [ "$status" = $wanted ]; then
        echo "[       OK ] $name"
    else
        echo "[  FAILED  ] $name: status $status"
        failed=$((failed + 1))
    fi
done <"$folder/list"
echo "[==========] mutations: $n test(s) run."
[ "$failed" -eq 0 ]
