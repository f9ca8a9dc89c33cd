/*
 * The result is a denominator: what ds4 reaches is given as a share of it, so reading slower than the machine can would
 * flatter ds4. What makes a difference:
 *
 *   Streams. Hardware fetches ahead within a page only, and one stream of pages leaves the memory idle at each border.
 *   Reading several stretches in step gives it more to do: of an EPYC core 18 GB/s instead of 14. Which number is best
 *   differs between machines, so several are tried. Software prefetch made it slower.
 *   Pages. Weights are a file in the page cache, mapped in pages of 4 KiB as a rule, so this memory has such pages too.
 *   Huge ones can be read faster (up to a fifth).
 *   Blocks. A thread takes one MiB after the other from a common counter, so that a busy neighbour on one processor
 *   does not hold up the others. That was as fast as one stretch for each thread; blocks below 64 KiB were slower.
 */
#include "base/bandwidth.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/simd.h"
#include "base/system.h"
#include "base/threads.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCK_BYTES BANDWIDTH_MIN_BYTES /* a task */
#define MIN_SECONDS 0.5                 /* of passes */
enum { MIN_PASSES = 5, LINE_BYTES = 64 };

/* Half a cache line. */
typedef uint64_t read_lanes __attribute__((vector_size(32), may_alias));

/* The sum of a block, read as n_streams stretches in step. Every bit read has a part in the result, so no read can be
 * left out. A macro: the number of streams must be known for the sums to stay in registers. */
#define DEFINE_READ_BLOCK(n_streams)                                                                         \
    SIMD_CLONES static uint64_t read_block_##n_streams(const uint8_t *block) {                               \
        enum { N = n_streams, STRETCH_BYTES = BLOCK_BYTES / N };                                             \
        read_lanes sum[N][2] = {0};                                                                          \
        for (size_t at = 0; at < STRETCH_BYTES; at += LINE_BYTES)                                            \
            for (int i = 0; i < N; i++) {                                                                    \
                const read_lanes *line = (const read_lanes *)(const void *)(block + i * STRETCH_BYTES + at); \
                sum[i][0] += line[0];                                                                        \
                sum[i][1] += line[1];                                                                        \
            }                                                                                                \
        for (int i = 1; i < N; i++) sum[0][0] += sum[i][0], sum[0][1] += sum[i][1];                          \
        sum[0][0] += sum[0][1];                                                                              \
        return sum[0][0][0] + sum[0][0][1] + sum[0][0][2] + sum[0][0][3];                                    \
    }
DEFINE_READ_BLOCK(1)
DEFINE_READ_BLOCK(4)
DEFINE_READ_BLOCK(8)

typedef uint64_t read_block(const uint8_t *block);
static read_block *const ORDER[] = {read_block_1, read_block_4, read_block_8};
enum { N_ORDERS = sizeof ORDER / sizeof *ORDER };

typedef struct reading {
    uint8_t *bytes;
    size_t n_bytes;
    read_block *read;
    volatile uint64_t *sum; /* [n_threads][8]: a cache line each */
} reading;

static void read_task(void *context, size_t task, int thread) {
    reading *r = context;
    r->sum[(size_t)thread * 8] += r->read(r->bytes + task * BLOCK_BYTES);
}

/* Different everywhere: memory that holds the same could be merged or compressed by the system. */
static void fill_task(void *context, size_t task, int thread) {
    (void)thread;
    reading *r = context;
    uint64_t *word = (uint64_t *)(void *)(r->bytes + task * BLOCK_BYTES), state = task + 1;
    for (size_t i = 0; i < BLOCK_BYTES / sizeof *word; i++)
        word[i] = state = state * 6364136223846793005u + 1442695040888963407u;
}

static double fastest_pass(thread_pool *pool, reading *r) {
    size_t n_blocks = r->n_bytes / BLOCK_BYTES;
    thread_pool_run(pool, n_blocks, fill_task, r);
    double started = time_seconds(), least = 0;
    for (int pass = 0; pass < MIN_PASSES || time_seconds() - started < MIN_SECONDS; pass++)
        for (int order = 0; order < N_ORDERS; order++) {
            r->read = ORDER[order];
            double before = time_seconds();
            thread_pool_run(pool, n_blocks, read_task, r);
            double seconds = time_seconds() - before;
            if (least == 0 || seconds < least) least = seconds;
        }
    return least;
}

static size_t default_bytes(void) {
    uint64_t quarter = system_memory_available_bytes() / 4;
    if (quarter == 0 || quarter > BANDWIDTH_DEFAULT_BYTES) return BANDWIDTH_DEFAULT_BYTES;
    return quarter < BANDWIDTH_MIN_BYTES ? BANDWIDTH_MIN_BYTES : (size_t)quarter;
}

ds4_status bandwidth_measure(int n_threads, size_t n_bytes, double *bytes_per_second, ds4_error *error) {
    if (n_threads < 1) return error_set(error, DS4_ERROR_ARGUMENT, "%d threads, expected 1 or more", n_threads);
    if (!n_bytes) n_bytes = default_bytes();
    if (n_bytes < BANDWIDTH_MIN_BYTES)
        return error_set(error, DS4_ERROR_ARGUMENT, "bandwidth of %zu bytes, expected %zu or more", n_bytes,
                         BANDWIDTH_MIN_BYTES);
    n_bytes -= n_bytes % BLOCK_BYTES;
    reading r = {.n_bytes = n_bytes, .sum = array_new((size_t)n_threads, LINE_BYTES)};
    if (!r.sum) return error_memory(error, "sums", (size_t)n_threads * LINE_BYTES);
    thread_pool *pool = NULL;
    void *bytes = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    ds4_status status =
        bytes == MAP_FAILED ? error_memory(error, "memory to read", n_bytes) : thread_pool_new(n_threads, &pool, error);
    if (status == DS4_OK) {
#ifdef MADV_NOHUGEPAGE
        (void)madvise(bytes, n_bytes, MADV_NOHUGEPAGE); /* a system without huge pages refuses: all the same */
#endif
        r.bytes = bytes;
        double seconds = fastest_pass(pool, &r);
        *bytes_per_second = (double)n_bytes / (seconds > 1e-9 ? seconds : 1e-9);
    }
    thread_pool_free(pool);
    if (bytes != MAP_FAILED) munmap(bytes, n_bytes);
    free((void *)(uintptr_t)r.sum);
    return status;
}
