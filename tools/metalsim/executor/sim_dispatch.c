/* Bindings of the running kernel, and dispatches as a whole. */
#define _GNU_SOURCE
#include "sim_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

struct sim_options sim_options = {
    .n_workers = 1,
    .poison = true,
    .max_threadgroup_bytes = 32768,
    .max_shadow_bytes = 4 << 20,
    .max_printed = 20,
};

void *sim_buffer(int index, size_t needed_bytes, size_t alignment) {
    const struct sim_dispatch *dispatch = sim_worker->dispatch;
    const struct sim_binding *buffer = &dispatch->buffer[index];
    size_t left = buffer->bytes - buffer->offset;
    if (!buffer->base) {
        sim_error("buffer %d is not bound", index);
        worker_quit(sim_worker);
    }
    if (left < needed_bytes) {
        sim_error("buffer %d holds %zu bytes, the argument needs %zu", index, left, needed_bytes);
        worker_quit(sim_worker);
    }
    char *address = buffer->base + buffer->offset;
    if ((uintptr_t)address & (alignment - 1)) {
        sim_error("buffer %d: offset %zu breaks the argument's alignment %zu", index, buffer->offset, alignment);
        worker_quit(sim_worker);
    }
    return address;
}

void *sim_threadgroup_argument(int index) {
    struct worker *worker = sim_worker;
    if (worker->dispatch->threadgroup_bytes[index] == 0) {
        sim_error("threadgroup argument %d has no length", index);
        worker_quit(worker);
    }
    return worker->arena + worker->argument_offset[index];
}

/* The first thread that reaches the declaration allocates. */
void *sim_threadgroup_variable(int id, size_t bytes, size_t alignment) {
    struct worker *worker = sim_worker;
    for (int i = 0; i < worker->n_variables; i++)
        if (worker->variable[i].id == id) return worker->arena + worker->variable[i].offset;
    if (alignment < 16) alignment = 16;
    size_t offset = (worker->arena_used + alignment - 1) / alignment * alignment;
    if (offset + bytes > sim_options.max_threadgroup_bytes || worker->n_variables == MAX_VARIABLES) {
        sim_error("threadgroup memory: %zu bytes, the limit is %zu", offset + bytes, sim_options.max_threadgroup_bytes);
        worker_quit(worker);
    }
    worker->arena_used = offset + bytes;
    worker->variable[worker->n_variables].id = id;
    worker->variable[worker->n_variables++].offset = offset;
    return worker->arena + offset;
}

void *sim_memory_new(size_t bytes) {
    size_t inner = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    char *memory = mmap(NULL, inner + 2 * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE_BYTES, inner, PROT_READ | PROT_WRITE) != 0) abort();
    return memory + PAGE_BYTES;
}

void sim_memory_free(void *memory, size_t bytes) {
    size_t inner = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (memory) munmap((char *)memory - PAGE_BYTES, inner + 2 * PAGE_BYTES);
}

/* The dispatch being run; its threadgroups are handed out by the counter. */
static struct {
    struct sim_dispatch *dispatch;
    uint64_t n_groups;
    atomic_ullong next;
} job;

static struct worker *pool[MAX_WORKERS];

static void *run_groups(void *argument) {
    struct worker *worker = argument;
    const uint32_t *groups = job.dispatch->groups;
    sim_worker = worker;
    sim_group_now = &worker->group;
    worker->dispatch = job.dispatch;
    worker->random = (uint32_t)sim_options.order * 2654435761u + 1;
    for (;;) {
        uint64_t i = atomic_fetch_add(&job.next, 1);
        if (i >= job.n_groups) break;
        if (sim_options.order == SIM_DESCENDING) i = job.n_groups - 1 - i;
        worker_run_group(worker, (uint32_t)(i % groups[0]), (uint32_t)(i / groups[0] % groups[1]),
                         (uint32_t)(i / groups[0] / groups[1]));
    }
    sim_worker = NULL;
    sim_thread_now = NULL;
    return NULL;
}

static bool check_limits(const struct sim_dispatch *dispatch) {
    const uint32_t *threads = dispatch->threads_per_group;
    uint64_t n_threads = (uint64_t)threads[0] * threads[1] * threads[2];
    int limit = dispatch->kernel->max_threads < SIM_MAX_THREADS ? dispatch->kernel->max_threads : SIM_MAX_THREADS;
    if (n_threads == 0 || n_threads > (uint64_t)limit) {
        sim_error("%llu threads in a threadgroup, the limit is %d", (unsigned long long)n_threads, limit);
        return false;
    }
    size_t sum = dispatch->kernel->threadgroup_bytes;
    for (int i = 0; i < SIM_BUFFERS; i++) {
        if (dispatch->threadgroup_bytes[i] % 16 != 0)
            sim_error("threadgroup memory length %zu is not a multiple of 16", dispatch->threadgroup_bytes[i]);
        sum += dispatch->threadgroup_bytes[i];
    }
    if (sum > sim_options.max_threadgroup_bytes) {
        sim_error("threadgroup memory: %zu bytes, the limit is %zu", sum, sim_options.max_threadgroup_bytes);
        return false;
    }
    return true;
}

static void add_statistics(struct worker *worker) {
    sim_statistics.switches += worker->n_switches;
    sim_statistics.simd_operations += worker->n_simd_operations;
    sim_statistics.barriers += worker->n_barriers;
    sim_statistics.accesses += worker->n_accesses;
    worker->n_switches = worker->n_simd_operations = worker->n_barriers = worker->n_accesses = 0;
}

/* Checking uses one worker: the shadow has no locks. */
static int workers_wanted(void) {
    int n = sim_options.check ? 1 : sim_options.n_workers;
    if (n > MAX_WORKERS) n = MAX_WORKERS;
    if ((uint64_t)n > job.n_groups) n = (int)job.n_groups;
    return n;
}

int sim_run(struct sim_dispatch *dispatch) {
    uint64_t errors_before = sim_statistics.errors;
    const uint32_t *threads = dispatch->threads_per_group;
    errors_begin(dispatch->kernel->name);
    if (!check_limits(dispatch)) return (int)(sim_statistics.errors - errors_before);
    if (dispatch->grid[0])
        for (int i = 0; i < 3; i++) dispatch->groups[i] = (dispatch->grid[i] + threads[i] - 1) / threads[i];
    library_apply_constants(dispatch->library);
    memory_checks_begin(dispatch);
    job.dispatch = dispatch;
    job.n_groups = (uint64_t)dispatch->groups[0] * dispatch->groups[1] * dispatch->groups[2];
    atomic_store(&job.next, 0);

    pthread_t thread[MAX_WORKERS];
    int n_workers = workers_wanted();
    for (int i = 0; i < n_workers; i++) {
        if (!pool[i]) pool[i] = worker_new();
        if (i > 0 && pthread_create(&thread[i], NULL, run_groups, pool[i]) != 0) abort();
    }
    if (n_workers > 0) run_groups(pool[0]);
    for (int i = 1; i < n_workers; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < n_workers; i++) add_statistics(pool[i]);
    memory_checks_end();
    sim_statistics.groups += job.n_groups;
    sim_statistics.threads += job.n_groups * threads[0] * threads[1] * threads[2];
    return (int)(sim_statistics.errors - errors_before);
}
