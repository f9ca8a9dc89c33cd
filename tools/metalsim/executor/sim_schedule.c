/*
 * A threadgroup is up to 1024 fibers on one OS thread. A fiber runs until it reaches a barrier or an operation of its
 * SIMD-group, or returns; then another is chosen, in ascending, descending or random order. When all lanes of a
 * SIMD-group wait, the last one does the operation for all of them, on their own stacks: nothing is copied.
 */
#define _GNU_SOURCE
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#error "the executor's context switch is written for x86-64"
#endif

__thread struct sim_thread *sim_thread_now;
__thread struct sim_group *sim_group_now;
__thread struct worker *sim_worker;

/* Saves what the System V ABI wants preserved, stores the stack pointer to *save, continues at to. `ret` and not an
 * indirect jump: the processor predicts it, which halves the time of a switch. */
void sim_switch_stack(void **save, void *to);
__asm__(".text\n"
        ".globl sim_switch_stack\n"
        ".type sim_switch_stack, @function\n"
        "sim_switch_stack:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size sim_switch_stack, . - sim_switch_stack\n");
enum { SAVED_REGISTERS = 6 };

static uint32_t next_random(struct worker *worker) {
    worker->random = worker->random * 1664525u + 1013904223u;
    return worker->random >> 16;
}

uint32_t sim_random(void) {
    return next_random(sim_worker) << 16 | next_random(sim_worker);
}

static int lowest(uint32_t lanes) {
    return __builtin_ctz(lanes);
}

/* A lane of the set, in the order asked for. */
static int pick_lane(struct worker *worker, uint32_t lanes) {
    if (sim_options.order == SIM_ASCENDING) return lowest(lanes);
    if (sim_options.order == SIM_DESCENDING) return 31 - __builtin_clz(lanes);
    uint32_t skip = next_random(worker) % (uint32_t)__builtin_popcount(lanes);
    while (skip--) lanes &= lanes - 1;
    return lowest(lanes);
}

static inline void switch_to(struct worker *worker, int to) {
    int from = worker->now;
    if (to == from) return;
    worker->n_switches++;
    worker->now = to;
    worker->simdgroup_now = to / SIM_LANES;
    sim_thread_now = &worker->fiber[to].thread;
    sim_switch_stack(&worker->fiber[from].stack_pointer, worker->fiber[to].stack_pointer);
}

void worker_quit(struct worker *worker) {
    void *unused;
    sim_switch_stack(&unused, worker->main_stack_pointer);
    __builtin_unreachable();
}

/* Every living lane waits at a SIMD operation: it must be the same one for all. */
static void check_simd_operation(struct worker *worker, int s) {
    struct simdgroup *simdgroup = &worker->simdgroup[s];
    struct fiber *fiber = &worker->fiber[s * SIM_LANES];
    int first = lowest(simdgroup->at_simd);
    for (uint32_t rest = simdgroup->at_simd; rest; rest &= rest - 1) {
        int lane = lowest(rest);
        if (fiber[lane].operation == fiber[first].operation && fiber[lane].line == fiber[first].line) continue;
        sim_error("SIMD-group %d diverged: lane %d is at the SIMD operation of line %d, lane %d at line %d", s, first,
                  fiber[first].line, lane, fiber[lane].line);
        worker_quit(worker);
    }
    if (simdgroup->at_barrier) {
        int lane = lowest(simdgroup->at_barrier);
        sim_error("SIMD operation at line %d while lane %d waits at the threadgroup_barrier of line %d",
                  fiber[first].line, lane, fiber[lane].line);
        worker_quit(worker);
    }
    if (simdgroup->done && !sim_options.partial_simd) {
        sim_error("SIMD operation at line %d after %d lane(s) returned", fiber[first].line,
                  __builtin_popcount(simdgroup->done));
        worker_quit(worker);
    }
}

static void complete_simd_operation(struct worker *worker, int s) {
    struct simdgroup *simdgroup = &worker->simdgroup[s];
    struct fiber *fiber = &worker->fiber[s * SIM_LANES];
    check_simd_operation(worker, s);
    uint32_t lanes = simdgroup->at_simd;
    sim_simd_operation *operation = fiber[lowest(lanes)].operation;
    if (operation) {
        void *argument[SIM_LANES];
        for (int i = 0; i < SIM_LANES; i++) argument[i] = lanes >> i & 1 ? fiber[i].argument : NULL;
        operation(argument, lanes);
    }
    worker->n_simd_operations++;
    simdgroup->n_syncs++;
    simdgroup->at_simd = 0;
    simdgroup->running = lanes;
}

/* No fiber can run: all have returned, which ends the run, or all wait at one barrier, which opens it. */
static void complete_barrier(struct worker *worker) {
    int line = -1, n_waiting = 0, n_done = 0;
    for (int i = 0; i < worker->n_threads; i++) {
        struct fiber *fiber = &worker->fiber[i];
        if (fiber->state == FIBER_DONE) {
            n_done++;
            continue;
        }
        n_waiting++;
        if (line < 0) line = fiber->line;
        if (line == fiber->line) continue;
        sim_error("barrier divergence: some threads at the barrier of line %d, others at line %d", line, fiber->line);
        worker_quit(worker);
    }
    if (n_waiting > 0 && n_done > 0)
        sim_error("barrier divergence: %d thread(s) returned, %d wait at the barrier of line %d", n_done, n_waiting,
                  line);
    if (n_done > 0) worker_quit(worker);
    for (int s = 0; s < worker->n_simdgroups; s++) {
        worker->simdgroup[s].running = worker->simdgroup[s].at_barrier;
        worker->simdgroup[s].at_barrier = 0;
        worker->simdgroup[s].n_syncs = 0;
    }
    if (worker->barrier_flags & FLAG_THREADGROUP) worker->threadgroup_interval++;
    if (worker->barrier_flags & FLAG_DEVICE) worker->device_interval++;
    worker->barrier_flags = FLAGS_ALL;
    worker->n_barriers++;
    if (sim_options.order > SIM_DESCENDING)
        worker->simdgroup_now = (int)(next_random(worker) % (uint32_t)worker->n_simdgroups);
}

/* Another SIMD-group that can go on, or -1. */
static int next_simdgroup(const struct worker *worker) {
    int n = worker->n_simdgroups, step = sim_options.order == SIM_DESCENDING ? n - 1 : 1;
    for (int i = 0, s = worker->simdgroup_now; i < n; i++) {
        s = (s + step) % n;
        if (worker->simdgroup[s].running || worker->simdgroup[s].at_simd) return s;
    }
    return -1;
}

/* The current fiber cannot go on: continue one that can. */
static void schedule(struct worker *worker) {
    for (;;) {
        int s = worker->simdgroup_now;
        struct simdgroup *simdgroup = &worker->simdgroup[s];
        if (simdgroup->running) {
            switch_to(worker, s * SIM_LANES + pick_lane(worker, simdgroup->running));
            return;
        }
        if (simdgroup->at_simd) {
            complete_simd_operation(worker, s);
            continue;
        }
        int other = next_simdgroup(worker);
        if (other >= 0)
            worker->simdgroup_now = other;
        else
            complete_barrier(worker);
    }
}

static void wait_in(enum fiber_state state, int line) {
    struct worker *worker = sim_worker;
    int me = worker->now;
    struct simdgroup *simdgroup = &worker->simdgroup[me / SIM_LANES];
    uint32_t lane = 1u << me % SIM_LANES;
    worker->fiber[me].state = state;
    worker->fiber[me].line = line;
    simdgroup->running &= ~lane;
    if (state == FIBER_AT_SIMD) simdgroup->at_simd |= lane;
    if (state == FIBER_AT_BARRIER) simdgroup->at_barrier |= lane;
    if (state == FIBER_DONE) simdgroup->done |= lane;
    if (simdgroup->running && sim_options.order == SIM_ASCENDING) /* by far the commonest case */
        switch_to(worker, me / SIM_LANES * SIM_LANES + lowest(simdgroup->running));
    else
        schedule(worker);
    worker->fiber[me].state = FIBER_RUNNING;
}

void sim_simd(sim_simd_operation *operation, void *argument, int line) {
    struct fiber *fiber = &sim_worker->fiber[sim_worker->now];
    fiber->operation = operation;
    fiber->argument = argument;
    wait_in(FIBER_AT_SIMD, line);
}

void sim_simd_barrier(int flags, int line) {
    if (flags || sim_options.check) sim_simd(NULL, NULL, line); /* mem_none orders no memory */
}

void sim_barrier(int flags, int line) {
    sim_worker->barrier_flags &= flags;
    wait_in(FIBER_AT_BARRIER, line);
}

static void fiber_main(void) {
    sim_worker->dispatch->kernel->run();
    wait_in(FIBER_DONE, 0);
    __builtin_unreachable();
}

struct worker *worker_new(void) {
    size_t bytes = (sizeof(struct worker) + 63) / 64 * 64;
    struct worker *worker = aligned_alloc(64, bytes);
    if (!worker) abort();
    memset(worker, 0, bytes);
    worker->stacks = mmap(NULL, (size_t)SIM_MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    worker->arena = sim_memory_new(ARENA_BYTES);
    worker->arena_shadow = calloc(ARENA_BYTES, sizeof *worker->arena_shadow);
    worker->arena_written = calloc(ARENA_BYTES, sizeof *worker->arena_written);
    if (worker->stacks == MAP_FAILED || !worker->arena_shadow || !worker->arena_written) abort();
    return worker;
}

static void describe_group(struct worker *worker, const uint32_t id[3]) {
    const struct sim_dispatch *dispatch = worker->dispatch;
    struct sim_group *group = &worker->group;
    for (int i = 0; i < 3; i++) {
        uint32_t threads = dispatch->threads_per_group[i];
        group->in_grid[i] = id[i];
        group->groups[i] = dispatch->groups[i];
        group->grid[i] = dispatch->grid[i] ? dispatch->grid[i] : threads * dispatch->groups[i];
        uint32_t left = group->grid[i] - id[i] * threads;
        group->threads[i] = left < threads ? left : threads; /* smaller at the edge of a nonuniform grid */
    }
    worker->n_threads = (int)(group->threads[0] * group->threads[1] * group->threads[2]);
    worker->n_simdgroups = (worker->n_threads + SIM_LANES - 1) / SIM_LANES;
    group->n_simdgroups = (uint32_t)worker->n_simdgroups;
    worker->group_serial = (id[2] * dispatch->groups[1] + id[1]) * dispatch->groups[0] + id[0] + 1;
}

static void prepare_arena(struct worker *worker) {
    const struct sim_dispatch *dispatch = worker->dispatch;
    worker->arena_used = 0;
    worker->n_variables = 0;
    for (int i = 0; i < SIM_BUFFERS; i++) {
        worker->argument_offset[i] = worker->arena_used;
        worker->arena_used += (dispatch->threadgroup_bytes[i] + 15) / 16 * 16;
    }
    if (sim_options.poison) memset(worker->arena, 0xff, sim_options.max_threadgroup_bytes);
    if (sim_options.check) memset(worker->arena_written, 0, ARENA_BYTES * sizeof *worker->arena_written);
    worker->threadgroup_interval++;
    worker->device_interval++;
    worker->barrier_flags = FLAGS_ALL;
}

/* The stacks' tops are staggered: equal frames of many fibers would otherwise fall into few sets of the cache. */
static void *initial_stack(struct worker *worker, int thread) {
    size_t stagger = (size_t)thread * 320 % 16384 / 64 * 64;
    void **top = (void **)(void *)(worker->stacks + (size_t)(thread + 1) * STACK_BYTES - 64 - stagger);
    void (*entry)(void) = fiber_main;
    *--top = NULL; /* the ABI's alignment at a function's entry */
    memcpy(--top, &entry, sizeof entry);
    return top - SAVED_REGISTERS;
}

static void prepare_fibers(struct worker *worker, const uint32_t id[3]) {
    const uint32_t *size = worker->group.threads;
    memset(worker->simdgroup, 0, sizeof worker->simdgroup);
    for (int i = 0; i < worker->n_threads; i++) {
        struct fiber *fiber = &worker->fiber[i];
        struct sim_thread *thread = &fiber->thread;
        uint32_t index = (uint32_t)i;
        fiber->state = FIBER_RUNNING;
        fiber->stack_pointer = initial_stack(worker, i);
        thread->in_group[0] = index % size[0];
        thread->in_group[1] = index / size[0] % size[1];
        thread->in_group[2] = index / (size[0] * size[1]);
        for (int k = 0; k < 3; k++)
            thread->in_grid[k] = id[k] * worker->dispatch->threads_per_group[k] + thread->in_group[k];
        thread->index = index;
        thread->lane = index % SIM_LANES;
        thread->simdgroup = index / SIM_LANES;
        worker->simdgroup[i / SIM_LANES].running |= 1u << i % SIM_LANES;
    }
}

void worker_run_group(struct worker *worker, uint32_t x, uint32_t y, uint32_t z) {
    const uint32_t id[3] = {x, y, z};
    describe_group(worker, id);
    prepare_arena(worker);
    prepare_fibers(worker, id);
    worker->simdgroup_now = sim_options.order == SIM_DESCENDING ? worker->n_simdgroups - 1 : 0;
    worker->now =
        worker->simdgroup_now * SIM_LANES + pick_lane(worker, worker->simdgroup[worker->simdgroup_now].running);
    sim_thread_now = &worker->fiber[worker->now].thread;
    sim_switch_stack(&worker->main_stack_pointer, worker->fiber[worker->now].stack_pointer);
}
