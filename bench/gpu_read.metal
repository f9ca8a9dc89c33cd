/* What reading memory takes at least: the yardstick of gpu_matvec.c. */
#include "shared.h"

enum { READ_THREADS = 256, READ_VECTORS = 16 };

/* Groups: bytes / (READ_THREADS * READ_VECTORS * 16). out is written in a case that hardly ever happens. */
[[max_total_threads_per_threadgroup(READ_THREADS)]] kernel void read_memory(
    constant uint &unlikely [[buffer(0)]], device const uint4 *memory [[buffer(1)]], device uint *out [[buffer(2)]],
    uint group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]]) {
    device const uint4 *from = memory + ulong(group) * (READ_THREADS * READ_VECTORS) + thread_index;
    uint4 sum = uint4(0);
#pragma clang loop unroll(full)
    for (uint i = 0; i < READ_VECTORS; i++) sum ^= from[i * READ_THREADS];
    if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == unlikely) out[0] = group;
}
