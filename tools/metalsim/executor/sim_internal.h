/* Shared by the executor's own files. */
#ifndef METALSIM_SIM_INTERNAL_H
#define METALSIM_SIM_INTERNAL_H

#include "sim.h"

enum {
    STACK_BYTES = 64 * 1024,
    MAX_SIMDGROUPS = SIM_MAX_THREADS / SIM_LANES,
    ARENA_BYTES = 64 * 1024,
    MAX_VARIABLES = 64,
    MAX_WORKERS = 64,
    MAX_CONSTANTS = 4096,
    PAGE_BYTES = 4096,
};

enum { FLAG_DEVICE = 1, FLAG_THREADGROUP = 2, FLAGS_ALL = FLAG_DEVICE | FLAG_THREADGROUP }; /* mem_flags */

enum fiber_state { FIBER_RUNNING, FIBER_AT_SIMD, FIBER_AT_BARRIER, FIBER_DONE };

/* One thread of a threadgroup. */
struct fiber {
    void *stack_pointer; /* while it does not run */
    struct sim_thread thread;
    enum fiber_state state;
    int line; /* of the operation it waits at */
    sim_simd_operation *operation;
    void *argument;
};

/* Sets of lanes; every lane that exists is in one of them. */
struct simdgroup {
    uint32_t running, at_simd, at_barrier, done;
    uint16_t n_syncs; /* SIMD operations since the last barrier: each orders the lanes */
};

/* Who touched a byte last, and when. An interval of 0 means never. For device memory the interval is the serial number
 * of the threadgroup and the sync the barrier count in it; for threadgroup memory the interval counts barriers and the
 * sync counts SIMD operations. */
struct touch {
    uint32_t interval;
    uint16_t thread, sync;
};
struct shadow {
    struct touch write, read;
    bool write_was_atomic;
};

/* An OS thread's place for running one threadgroup at a time. */
struct worker {
    struct fiber fiber[SIM_MAX_THREADS];
    struct simdgroup simdgroup[MAX_SIMDGROUPS];
    struct sim_group group;
    struct sim_dispatch *dispatch;
    void *main_stack_pointer;
    char *stacks;
    int n_threads, n_simdgroups;
    int now, simdgroup_now;
    uint32_t random;

    int barrier_flags; /* those that every thread gave at the barrier being reached */
    uint32_t threadgroup_interval;
    uint16_t device_interval;
    uint32_t group_serial; /* from 1 */

    char *arena; /* threadgroup memory */
    size_t arena_used;
    size_t argument_offset[SIM_BUFFERS];
    struct {
        int id;
        size_t offset;
    } variable[MAX_VARIABLES];
    int n_variables;
    struct shadow *arena_shadow;
    bool *arena_written;

    uint64_t n_switches, n_simd_operations, n_barriers, n_accesses;
};

extern __thread struct worker *sim_worker;

/* sim_schedule.c */
struct worker *worker_new(void);
void worker_run_group(struct worker *worker, uint32_t x, uint32_t y, uint32_t z);
/* Ends the threadgroup's run from inside of a fiber. */
void worker_quit(struct worker *worker) __attribute__((noreturn));

/* sim_memory.c: the shadow of device memory for one dispatch */
void memory_checks_begin(const struct sim_dispatch *dispatch);
void memory_checks_end(void);

/* sim_library.c */
void library_apply_constants(sim_library *library);

/* sim_error.c */
void errors_begin(const char *kernel);

#endif
