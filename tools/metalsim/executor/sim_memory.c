/*
 * Access checks. Kernels are compiled with -fsanitize=thread but not linked with its runtime: the calls that clang puts
 * before every load and store come here, with the access's size and alignment. A shadow of each byte remembers the
 * last writer and the last reader and what has ordered them since:
 *   - in threadgroup memory, barriers with mem_threadgroup order all threads, SIMD operations the lanes of a group;
 *   - in device memory, barriers with mem_device order the threads of a threadgroup, nothing orders threadgroups.
 */
#define _GNU_SOURCE
#include "sim_internal.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static struct shadow *device_shadow[SIM_BUFFERS];

void memory_checks_begin(const struct sim_dispatch *dispatch) {
    for (int i = 0; i < SIM_BUFFERS; i++) {
        const struct sim_binding *buffer = &dispatch->buffer[i];
        if (sim_options.check && buffer->base && buffer->bytes <= sim_options.max_shadow_bytes)
            device_shadow[i] = calloc(buffer->bytes, sizeof *device_shadow[i]);
    }
}

void memory_checks_end(void) {
    for (int i = 0; i < SIM_BUFFERS; i++) {
        free(device_shadow[i]);
        device_shadow[i] = NULL;
    }
}

static const char *access_name(enum sim_access access) {
    return access == SIM_READ ? "read" : access == SIM_WRITE ? "write" : "atomic access";
}

static void report_race(const char *what, const char *memory, size_t offset, int thread) {
    sim_error("data race (%s) on %s + %zu with thread %d of the same barrier interval", what, memory, offset, thread);
}

/* ---- threadgroup memory ---- */

static bool threadgroup_conflict(const struct worker *worker, const struct touch *earlier) {
    int me = worker->now;
    if (earlier->interval != worker->threadgroup_interval || earlier->thread == me) return false;
    bool same_simdgroup = earlier->thread / SIM_LANES == me / SIM_LANES;
    return !same_simdgroup || earlier->sync == worker->simdgroup[me / SIM_LANES].n_syncs;
}

/* False if something was reported. */
static bool threadgroup_byte(struct worker *worker, size_t offset, enum sim_access access) {
    static const char MEMORY[] = "threadgroup memory";
    struct shadow *shadow = &worker->arena_shadow[offset];
    struct touch now = {worker->threadgroup_interval, (uint16_t)worker->now,
                        worker->simdgroup[worker->now / SIM_LANES].n_syncs};
    bool both_atomic = access == SIM_ATOMIC && shadow->write_was_atomic;
    bool write_conflicts = threadgroup_conflict(worker, &shadow->write) && !both_atomic;
    if (access == SIM_WRITE) worker->arena_written[offset] = true;
    if (!worker->arena_written[offset]) {
        sim_error("uninitialised threadgroup memory read at byte %zu", offset);
        worker->arena_written[offset] = true;
        return false;
    }
    if (write_conflicts) {
        report_race(access == SIM_READ ? "write, then read" : "write/write", MEMORY, offset, shadow->write.thread);
        shadow->write = now;
        return false;
    }
    if (access == SIM_READ) {
        /* keep the reader that is hardest to order against: one of another SIMD-group */
        if (shadow->read.interval != now.interval || shadow->read.thread / SIM_LANES == worker->now / SIM_LANES)
            shadow->read = now;
        return true;
    }
    if (threadgroup_conflict(worker, &shadow->read)) {
        report_race("read, then write", MEMORY, offset, shadow->read.thread);
        shadow->read = now;
        return false;
    }
    shadow->write = now;
    shadow->write_was_atomic = access == SIM_ATOMIC;
    return true;
}

static void threadgroup_access(struct worker *worker, size_t offset, size_t bytes, enum sim_access access) {
    if (offset + bytes > worker->arena_used) {
        sim_error("out of bounds: threadgroup memory byte %zu of %zu", offset, worker->arena_used);
        return;
    }
    for (size_t i = offset; i < offset + bytes; i++)
        if (!threadgroup_byte(worker, i, access)) return;
}

/* ---- device memory ---- */

static bool device_conflict(const struct worker *worker, const struct touch *earlier) {
    if (earlier->interval == 0) return false;
    if (earlier->interval != worker->group_serial) return true;
    return earlier->thread != worker->now && earlier->sync == worker->device_interval;
}

static bool device_byte(struct worker *worker, struct shadow *shadow, size_t offset, enum sim_access access) {
    static const char MEMORY[] = "a device buffer";
    bool both_atomic = access == SIM_ATOMIC && shadow->write_was_atomic;
    if (device_conflict(worker, &shadow->write) && !both_atomic) {
        report_race(access == SIM_READ ? "write, then read" : "write/write", MEMORY, offset, shadow->write.thread);
        shadow->write.interval = 0;
        return false;
    }
    struct touch now = {worker->group_serial, (uint16_t)worker->now, worker->device_interval};
    if (access == SIM_READ) {
        shadow->read = now;
        return true;
    }
    if (device_conflict(worker, &shadow->read)) {
        report_race("read, then write", MEMORY, offset, shadow->read.thread);
        shadow->read.interval = 0;
        return false;
    }
    shadow->write = now;
    shadow->write_was_atomic = access == SIM_ATOMIC;
    return true;
}

static void buffer_access(struct worker *worker, int index, size_t offset, size_t bytes, enum sim_access access) {
    const struct sim_dispatch *dispatch = worker->dispatch;
    size_t size = dispatch->buffer[index].bytes;
    if (offset + bytes > size) {
        sim_error("out of bounds: %zu-byte %s at byte %zu of buffer %d (%zu bytes)", bytes, access_name(access), offset,
                  index, size);
        return;
    }
    if (dispatch->on_access) dispatch->on_access(dispatch->access_context, index, offset, bytes, access);
    if (!device_shadow[index]) return;
    for (size_t i = offset; i < offset + bytes; i++)
        if (!device_byte(worker, &device_shadow[index][i], i, access)) return;
}

/* The buffer whose end is closest before address, if it is near enough to be what was meant; or -1. */
static int buffer_before(const struct sim_dispatch *dispatch, const char *address) {
    enum { NEAR_BYTES = 1 << 20 };
    int best = -1;
    uintptr_t distance = NEAR_BYTES;
    for (int i = 0; i < SIM_BUFFERS; i++) {
        const struct sim_binding *buffer = &dispatch->buffer[i];
        uintptr_t past = (uintptr_t)address - (uintptr_t)(buffer->base + buffer->bytes);
        if (!buffer->base || past >= distance) continue;
        best = i;
        distance = past;
    }
    return best;
}

static bool is_of_a_library(const void *address) {
    Dl_info info;
    return dladdr(address, &info) != 0;
}

/* The first buffer that holds all of the access, or else its first byte; or -1. Buffers may overlap: one may be bound
 * under several indices, and neighbours in a mapped file share a page. */
static int buffer_of(const struct sim_dispatch *dispatch, const char *address, size_t bytes) {
    int first = -1;
    for (int i = 0; i < SIM_BUFFERS; i++) {
        const struct sim_binding *buffer = &dispatch->buffer[i];
        if (!buffer->base || address < buffer->base || address >= buffer->base + buffer->bytes) continue;
        if (bytes <= (size_t)(buffer->base + buffer->bytes - address)) return i;
        if (first < 0) first = i;
    }
    return first;
}

static void find_access(struct worker *worker, const char *address, size_t bytes, enum sim_access access) {
    const struct sim_dispatch *dispatch = worker->dispatch;
    int i = buffer_of(dispatch, address, bytes);
    if (i >= 0) {
        buffer_access(worker, i, (size_t)(address - dispatch->buffer[i].base), bytes, access);
        return;
    }
    if (access == SIM_READ && is_of_a_library(address)) return; /* constant tables */
    int near = buffer_before(dispatch, address);
    if (near >= 0)
        buffer_access(worker, near, (size_t)(address - dispatch->buffer[near].base), bytes, access);
    else
        sim_error("wild %zu-byte %s at %p (no bound buffer holds it)", bytes, access_name(access),
                  (const void *)address);
    worker_quit(worker); /* the access itself might end the process */
}

static void check_access(const volatile void *pointer, size_t bytes, enum sim_access access, size_t alignment) {
    struct worker *worker = sim_worker;
    if (!worker) return;
    worker->n_accesses++;
    if (!sim_options.check) return;
    const char *address = (const char *)pointer;
    uintptr_t at = (uintptr_t)address;
    if (at & (alignment - 1)) sim_error("misaligned %zu-byte access at %p", bytes, (const void *)address);
    /* the fibers' own variables, and what the executor tells them */
    if (at - (uintptr_t)worker->stacks < (size_t)SIM_MAX_THREADS * STACK_BYTES) return;
    if (at - (uintptr_t)worker < sizeof *worker) return;
    if (pointer == (void *)&sim_thread_now || pointer == (void *)&sim_group_now) return;
    if (at - (uintptr_t)worker->arena < ARENA_BYTES)
        threadgroup_access(worker, at - (uintptr_t)worker->arena, bytes, access);
    else
        find_access(worker, address, bytes, access);
}

void sim_atomic_access(const volatile void *address, size_t bytes) {
    check_access(address, bytes, SIM_ATOMIC, bytes);
}

/* ---- the names that clang calls ---- */
#define HOOKS(n)                                         \
    void __tsan_read##n(void *address);                  \
    void __tsan_write##n(void *address);                 \
    void __tsan_read_write##n(void *address);            \
    void __tsan_unaligned_read##n(void *address);        \
    void __tsan_unaligned_write##n(void *address);       \
    void __tsan_unaligned_read_write##n(void *address);  \
    void __tsan_read##n(void *address) {                 \
        check_access(address, n, SIM_READ, n);           \
    }                                                    \
    void __tsan_write##n(void *address) {                \
        check_access(address, n, SIM_WRITE, n);          \
    }                                                    \
    void __tsan_read_write##n(void *address) {           \
        check_access(address, n, SIM_READ, n);           \
        check_access(address, n, SIM_WRITE, n);          \
    }                                                    \
    void __tsan_unaligned_read##n(void *address) {       \
        check_access(address, n, SIM_READ, 1);           \
    }                                                    \
    void __tsan_unaligned_write##n(void *address) {      \
        check_access(address, n, SIM_WRITE, 1);          \
    }                                                    \
    void __tsan_unaligned_read_write##n(void *address) { \
        check_access(address, n, SIM_READ, 1);           \
        check_access(address, n, SIM_WRITE, 1);          \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes);
void *__tsan_memcpy(void *to, const void *from, size_t bytes);
void *__tsan_memmove(void *to, const void *from, size_t bytes);
void *__tsan_memset(void *to, int value, size_t bytes);

void __tsan_init(void) {}
void __tsan_func_entry(void *caller) {
    (void)caller;
}
void __tsan_func_exit(void) {}
void __tsan_read_range(void *address, size_t bytes) {
    check_access(address, bytes, SIM_READ, 1);
}
void __tsan_write_range(void *address, size_t bytes) {
    check_access(address, bytes, SIM_WRITE, 1);
}
void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    check_access(from, bytes, SIM_READ, 1);
    check_access(to, bytes, SIM_WRITE, 1);
    return memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, size_t bytes) {
    check_access(from, bytes, SIM_READ, 1);
    check_access(to, bytes, SIM_WRITE, 1);
    return memmove(to, from, bytes);
}
void *__tsan_memset(void *to, int value, size_t bytes) {
    check_access(to, bytes, SIM_WRITE, 1);
    return memset(to, value, bytes);
}
