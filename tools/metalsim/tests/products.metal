// Two kernels as a backend would have them: a product with a vector, and one with a matrix in tiles.
#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

struct block_q8_0 { // 34 bytes: aligned to 2 only
    half d;
    char qs[32];
};
struct vector_arguments {
    uint n, rows; // n: columns, a multiple of 32
};
struct matrix_arguments {
    uint n, rows, cols; // y[col][row] = sum over k of w[row][k] x[col][k]
};

// A SIMD-group makes 4 rows; 4 SIMD-groups a threadgroup. Four lanes share a block, eight blocks are in flight.
[[max_total_threads_per_threadgroup(128)]]
kernel void vector_q8_0(constant vector_arguments &a [[buffer(0)]],
                        device const block_q8_0 *w [[buffer(1)]],
                        device const float *x [[buffer(2)]],
                        device float *y [[buffer(3)]],
                        uint group [[threadgroup_position_in_grid]],
                        ushort lane [[thread_index_in_simdgroup]],
                        ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    const uint n_blocks = a.n / 32;
    const uint first_row = (group * 4 + simdgroup) * 4;
    if (first_row >= a.rows) return; // whole SIMD-groups only
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (uint block = lane / 4; block < n_blocks; block += 8) {
        device const float *part = x + block * 32 + lane % 4 * 8;
        float local[8];
        for (ushort i = 0; i < 8; i++) local[i] = part[i];
        for (ushort r = 0; r < 4; r++) {
            if (first_row + r >= a.rows) break;
            device const block_q8_0 *b = w + (ulong)(first_row + r) * n_blocks + block;
            float s = 0.0f;
            for (ushort i = 0; i < 8; i++) s += (float)b->qs[lane % 4 * 8 + i] * local[i];
            sum[r] += s * (float)b->d;
        }
    }
    for (ushort r = 0; r < 4; r++) {
        const float s = simd_sum(sum[r]);
        if (lane == 0 && first_row + r < a.rows) y[first_row + r] = s;
    }
}

// 64 rows by 32 columns a threadgroup of 4 SIMD-groups (32 by 16 each). rows a multiple of 64, cols of 32, n of 32.
[[max_total_threads_per_threadgroup(128)]]
kernel void matrix_q8_0(constant matrix_arguments &a [[buffer(0)]],
                        device const block_q8_0 *w [[buffer(1)]],
                        device const float *x [[buffer(2)]],
                        device float *y [[buffer(3)]],
                        uint2 group [[threadgroup_position_in_grid]],
                        ushort t [[thread_index_in_threadgroup]],
                        ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    threadgroup half tile_w[64 * 32]; // [row][k]
    threadgroup half tile_x[32 * 32]; // [col][k]
    const uint n_blocks = a.n / 32, first_row = group.x * 64, first_col = group.y * 32;
    const uint my_row = 32 * (simdgroup & 1), my_col = 16 * (simdgroup >> 1);
    simdgroup_float8x8 sum[8];
    for (ushort i = 0; i < 8; i++) sum[i] = make_filled_simdgroup_matrix<float, 8>(0.0f);
    for (uint block = 0; block < n_blocks; block++) {
        threadgroup_barrier(mem_flags::mem_threadgroup); // mutation: before the tiles are overwritten
        { // 128 threads: half a block of weights each
            device const block_q8_0 *b = w + (ulong)(first_row + t / 2) * n_blocks + block;
            const half d = b->d;
            for (ushort i = 0; i < 16; i++) tile_w[(t / 2) * 32 + (t % 2) * 16 + i] = d * (half)b->qs[(t % 2) * 16 + i];
        }
        { // and 8 activations each
            device const float *part = x + (ulong)(first_col + t / 4) * a.n + block * 32 + (t % 4) * 8;
            for (ushort i = 0; i < 8; i++) tile_x[(t / 4) * 32 + (t % 4) * 8 + i] = (half)part[i];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup); // mutation: before the tiles are read
        for (ushort k = 0; k < 32; k += 8) {
            simdgroup_half8x8 mw[4], mx[2];
            for (ushort i = 0; i < 4; i++)
                simdgroup_load(mw[i], tile_w + (my_row + 8 * i) * 32 + k, 32, ulong2(0), true); // [k][row]
            for (ushort i = 0; i < 2; i++) simdgroup_load(mx[i], tile_x + (my_col + 8 * i) * 32 + k, 32); // [col][k]
            for (ushort i = 0; i < 8; i++) simdgroup_multiply_accumulate(sum[i], mx[i / 4], mw[i % 4], sum[i]);
        }
    }
    for (ushort i = 0; i < 8; i++)
        simdgroup_store(sum[i],
                        y + (ulong)(first_col + my_col + 8 * (i / 4)) * a.rows + first_row + my_row + 8 * (i % 4),
                        a.rows);
}
