/*
 * Which commands are ordered, and accesses of two that are not. A pass is what one encoder has encoded.
 *   - In a serial pass commands run in order; in a concurrent one only memoryBarrierWithScope: orders.
 *   - Passes are ordered for tracked buffers. For untracked ones a fence must order them, or the program must have
 *     waited for the earlier before it committed the later.
 * Accesses are known when kernels run with checks; without them nothing is found.
 */
#include "metal_internal.h"

#include <stdlib.h>

struct pass {
    bool is_concurrent;
    uint64_t committed_at, completed_at; /* on a clock of these events; 0: not yet */
    uint32_t *after;                     /* passes that a fence has put before this */
    size_t n_after;
};

struct run {
    uint32_t pass, n_barriers;
    const char *name;
};

static struct pass *passes; /* pass 0 is none */
static uint32_t n_passes = 1;
static struct run *runs; /* run 0 is none */
static uint32_t n_runs = 1;
static uint64_t clock_now;

uint32_t hazard_new_pass(bool is_concurrent) {
    passes = realloc(passes, ((size_t)n_passes + 1) * sizeof *passes);
    if (!passes) abort();
    passes[n_passes] = (struct pass){.is_concurrent = is_concurrent};
    return n_passes++;
}

void hazard_order_passes(uint32_t earlier, uint32_t later) {
    struct pass *pass = &passes[later];
    pass->after = realloc(pass->after, (pass->n_after + 1) * sizeof *pass->after);
    if (!pass->after) abort();
    pass->after[pass->n_after++] = earlier;
}

void hazard_pass_committed(uint32_t pass) {
    passes[pass].committed_at = ++clock_now;
}

void hazard_pass_completed(uint32_t pass) {
    passes[pass].completed_at = ++clock_now;
}

/* Fences are waited for by later passes only, so this ends. */
static bool fence_orders(uint32_t earlier, uint32_t later) {
    for (size_t i = 0; i < passes[later].n_after; i++) {
        uint32_t before = passes[later].after[i];
        if (before == earlier || (before > earlier && fence_orders(earlier, before))) return true;
    }
    return false;
}

static bool are_ordered(const struct buffer *buffer, const struct run *earlier, const struct run *later) {
    const struct pass *first = &passes[earlier->pass], *second = &passes[later->pass];
    if (earlier->pass == later->pass) return !second->is_concurrent || earlier->n_barriers != later->n_barriers;
    if (!buffer->is_untracked) return true;
    if (first->completed_at && first->completed_at < second->committed_at) return true;
    return fence_orders(earlier->pass, later->pass);
}

void hazard_begin(const struct command *command, const char *name) {
    runs = realloc(runs, ((size_t)n_runs + 1) * sizeof *runs);
    if (!runs) abort();
    runs[n_runs++] = (struct run){command->pass, command->n_barriers, name};
}

static void report(const struct buffer *buffer, size_t offset, uint32_t earlier, uint32_t later, const char *what) {
    const struct run *first = &runs[earlier], *second = &runs[later];
    if (first->pass == second->pass)
        framework_error("%s, then %s without a memoryBarrierWithScope: between them: %s byte %zu of a buffer of %zu",
                        first->name, second->name, what, offset, buffer->bytes);
    else
        framework_error("%s, then %s in another encoder without a fence: %s byte %zu of an untracked buffer of %zu",
                        first->name, second->name, what, offset, buffer->bytes);
}

/* False if there was something to report: one report for an access. */
static bool touch_byte(struct buffer *buffer, size_t offset, enum sim_access access) {
    struct mark *mark = &buffer->marks[offset];
    uint32_t now = n_runs - 1, writer = mark->writer, reader = mark->reader;
    bool both_atomic = access == SIM_ATOMIC && mark->atomic;
    bool after_write = writer && writer != now && !both_atomic && !are_ordered(buffer, &runs[writer], &runs[now]);
    bool after_read = access != SIM_READ && reader && reader != now && !are_ordered(buffer, &runs[reader], &runs[now]);
    if (access == SIM_READ) {
        mark->reader = now;
    } else {
        mark->writer = now;
        mark->atomic = access == SIM_ATOMIC;
        mark->reader = after_read ? 0 : mark->reader;
    }
    if (after_write) {
        if (access == SIM_READ) mark->writer = 0;
        report(buffer, offset, writer, now, access == SIM_READ ? "written and read" : "written twice");
    } else if (after_read) {
        report(buffer, offset, reader, now, "read and overwritten");
    }
    return !after_write && !after_read;
}

void hazard_access(struct buffer *buffer, size_t offset, size_t bytes, enum sim_access access) {
    if (!sim_options.check) return;
    if (!passes[runs[n_runs - 1].pass].is_concurrent && !buffer->is_untracked) return; /* always ordered */
    if (!buffer->marks) buffer->marks = calloc(buffer->bytes, sizeof *buffer->marks);
    if (!buffer->marks) abort();
    for (size_t i = offset; i < offset + bytes; i++)
        if (!touch_byte(buffer, i, access)) return;
}
