/*
 * Exactly the k largest of many scores, for a threadgroup: the k-th largest is found digit by digit (radix selection on
 * integers in the order of the floats), then the rows from there up are collected in ascending order.
 */
#ifndef KERNELS_SELECT_H
#define KERNELS_SELECT_H

#include "shared.h"

/* Unsigned integers in the order of the floats; both zeros are one. */
static inline uint select_key(float x) {
    uint bits = as_type<uint>(x);
    bits = bits == 0x80000000u ? 0 : bits;
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

/* The sum of values of threads before this one. All threads must call; n_threads is a multiple of 32, at most 1024;
 * scratch: 32 elements. */
static inline uint select_prefix_sum(uint value, threadgroup uint *scratch, uint thread_index, uint n_threads) {
    uint simd = thread_index / 32, lane = thread_index % 32;
    uint before = simd_prefix_exclusive_sum(value);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane == 31) scratch[simd] = before + value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint of_simd = lane < n_threads / 32 ? scratch[lane] : 0;
    return before + simd_shuffle(simd_prefix_exclusive_sum(of_simd), ushort(simd));
}

/* What is known of the k-th largest key: digits above, and how many of the keys that agree in them are wanted. */
struct select_threshold {
    uint key, mask, wanted;
};

/* One digit more, of the n_bits below the known ones: counts the keys that have each value of it. */
static inline void select_digit(device const float *score, uint n, uint shift, uint n_bits,
                                thread select_threshold &threshold, threadgroup uint *bins,
                                threadgroup uint *scratch, uint thread_index, uint n_threads) {
    uint n_bins = 1u << n_bits;
    for (uint i = thread_index; i < SELECT_BINS; i += n_threads) bins[i] = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_index; i < n; i += n_threads) {
        uint key = select_key(score[i]);
        if ((key & threshold.mask) != threshold.key) continue;
        threadgroup atomic_uint *bin = (threadgroup atomic_uint *)(bins + (key >> shift & (n_bins - 1)));
        atomic_fetch_add_explicit(bin, 1u, memory_order_relaxed);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    /* Thread 0 has the highest bins. */
    uint per_thread = SELECT_BINS / n_threads, sum = 0;
    for (uint i = 0; i < per_thread; i++) sum += bins[SELECT_BINS - 1 - (thread_index * per_thread + i)];
    uint before = select_prefix_sum(sum, scratch, thread_index, n_threads);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (before < threshold.wanted && threshold.wanted <= before + sum) {
        uint bin = SELECT_BINS - 1 - thread_index * per_thread;
        for (; before + bins[bin] < threshold.wanted; bin--) before += bins[bin];
        scratch[0] = bin;
        scratch[1] = threshold.wanted - before;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    threshold.key |= scratch[0] << shift;
    threshold.mask |= (n_bins - 1) << shift;
    threshold.wanted = scratch[1];
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* The keys of 4 neighbouring rows against the threshold: above it in the low half, equal in the high half. */
static inline uint select_compare(device const float *score, uint first, uint end, uint threshold, thread uint *flags) {
    uint sum = 0;
    for (uint i = 0; i < 4; i++) {
        uint key = first + i < end ? select_key(score[first + i]) : 0;
        bool there = first + i < end;
        flags[i] = !there ? 0 : key > threshold ? 1 : key == threshold ? 0x10000u : 0;
        sum += flags[i];
    }
    return sum;
}

/* Writes the rows of the k largest of score[n] to chosen in ascending order; of equal scores the first rows win.
 * 0 < k < n. A whole threadgroup of n_threads (a power of two, 64 to 1024) must call; a barrier must come before
 * `chosen` is read. bins: SELECT_BINS, scratch: 64 elements. */
template <typename rows_pointer>
static inline void select_best(device const float *score, uint n, uint k, threadgroup uint *bins,
                               threadgroup uint *scratch, uint thread_index, uint n_threads, rows_pointer chosen) {
    select_threshold threshold;
    threshold.key = 0;
    threshold.mask = 0;
    threshold.wanted = k;
    select_digit(score, n, 21, 11, threshold, bins, scratch, thread_index, n_threads);
    select_digit(score, n, 10, 11, threshold, bins, scratch, thread_index, n_threads);
    select_digit(score, n, 0, 10, threshold, bins, scratch, thread_index, n_threads);

    /* Every SIMD-group has a piece of the rows, counts in it, and knows then where its rows go. */
    uint simd = thread_index / 32, lane = thread_index % 32, n_simds = n_threads / 32;
    uint piece = (n + n_simds * 128 - 1) / (n_simds * 128) * 128;
    uint first = min(simd * piece, n), end = min(first + piece, n), flags[4];
    uint above = 0, equal = 0;
    for (uint i = first; i < end; i += 128) {
        uint sum = select_compare(score, i + 4 * lane, end, threshold.key, flags);
        above += sum & 0xffff;
        equal += sum >> 16;
    }
    above = simd_sum(above);
    equal = simd_sum(equal);
    if (lane == 0) {
        scratch[simd] = above;
        scratch[32 + simd] = equal;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    above = simd_sum(lane < simd ? scratch[lane] : 0);
    equal = simd_sum(lane < simd ? scratch[32 + lane] : 0);
    for (uint i = first; i < end; i += 128) {
        uint sum = select_compare(score, i + 4 * lane, end, threshold.key, flags);
        uint before = simd_prefix_exclusive_sum(sum);
        uint all = simd_shuffle(before + sum, ushort(31));
        uint above_here = above + (before & 0xffff), equal_here = equal + (before >> 16);
        for (uint j = 0; j < 4; j++) {
            bool is_equal = flags[j] > 1;
            if (flags[j] == 1 || (is_equal && equal_here < threshold.wanted))
                chosen[above_here + min(equal_here, threshold.wanted)] = int(i + 4 * lane + j);
            above_here += flags[j] & 1;
            equal_here += flags[j] >> 16;
        }
        above += all & 0xffff;
        equal += all >> 16;
    }
}

#endif
