/*
 * Work is handed out by one atomic counter, so an uneven task or a busy neighbour costs little. Threads that
 * have run out of work spin for a moment before they sleep: the loops of a forward pass follow each other
 * within microseconds, and a wake-up costs more than such a gap.
 */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/threads.h"
#include "base/error.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

enum { SPINS_BEFORE_SLEEP = 2000 };

struct worker {
    thread_pool *pool;
    pthread_t thread;
    int index;
};

struct thread_pool {
    int n_threads;
    int n_started;
    struct worker *worker;

    /* The loop being run: written before generation is raised, read after. */
    parallel_task *task;
    void *context;
    size_t n_tasks;
    atomic_size_t next_task;
    atomic_int n_busy;

    atomic_uint generation;
    atomic_bool stopping;
    atomic_bool caller_sleeps;
    pthread_mutex_t mutex; /* guards only sleeping and waking */
    pthread_cond_t wake, done;
};

static inline void spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_tasks(thread_pool *pool, int thread) {
    for (;;) {
        size_t task = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed);
        if (task >= pool->n_tasks) return;
        pool->task(pool->context, task, thread);
    }
}

/* Returns when the generation is no longer seen, or the pool stops. */
static void wait_for_work(thread_pool *pool, unsigned seen) {
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen || atomic_load(&pool->stopping))
            return;
        spin_pause();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen && !atomic_load(&pool->stopping))
        pthread_cond_wait(&pool->wake, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    thread_pool *pool = worker->pool;
    unsigned seen = 0;
    for (;;) {
        wait_for_work(pool, seen);
        if (atomic_load(&pool->stopping)) return NULL;
        seen++; /* one loop at a time: the generation cannot have moved by two */
        run_tasks(pool, worker->index);
        /* either the caller sees that nobody is busy before it sleeps, or this thread that it sleeps */
        if (atomic_fetch_sub(&pool->n_busy, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

/* Where there are more threads than processors, the others need the one that this would spin on. */
static void wait_for_others(thread_pool *pool) {
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        if (atomic_load_explicit(&pool->n_busy, memory_order_acquire) == 0) return;
        spin_pause();
    }
    pthread_mutex_lock(&pool->mutex);
    /* not a store: in QEMU's arm64 on x86-64 the load after it could come first, and the wake-up be lost */
    atomic_exchange(&pool->caller_sleeps, true);
    while (atomic_load(&pool->n_busy) > 0) pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

void thread_pool_run(thread_pool *pool, size_t n_tasks, parallel_task *task, void *context) {
    if (pool->n_threads == 1 || n_tasks < 2) {
        for (size_t i = 0; i < n_tasks; i++) task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next_task, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->n_busy, pool->n_threads - 1, memory_order_relaxed);
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);

    run_tasks(pool, 0);
    wait_for_others(pool);
}

struct run_ahead {
    parallel_task_ahead *task;
    void *context;
    size_t n_tasks;
    atomic_size_t next_task;
};

static size_t take_task(struct run_ahead *run) {
    size_t task = atomic_fetch_add_explicit(&run->next_task, 1, memory_order_relaxed);
    return task < run->n_tasks ? task : run->n_tasks;
}

static void run_tasks_ahead(void *context, size_t worker, int thread) {
    (void)worker;
    struct run_ahead *run = context;
    for (size_t task = take_task(run); task < run->n_tasks;) {
        size_t next = take_task(run);
        run->task(run->context, task, next, thread);
        task = next;
    }
}

void thread_pool_run_ahead(thread_pool *pool, size_t n_tasks, parallel_task_ahead *task, void *context) {
    struct run_ahead run = {.task = task, .context = context, .n_tasks = n_tasks};
    size_t n_workers = (size_t)pool->n_threads;
    thread_pool_run(pool, n_workers < n_tasks ? n_workers : n_tasks, run_tasks_ahead, &run);
}

ds4_status thread_pool_new(int n_threads, thread_pool **out, ds4_error *error) {
    thread_pool *pool = array_new(1, sizeof *pool);
    if (!pool) return error_memory(error, "thread pool", sizeof *pool);
    pool->n_threads = n_threads;
    pool->worker = array_new((size_t)n_threads, sizeof *pool->worker);
    if (!pool->worker) {
        free(pool);
        return error_memory(error, "thread pool", (size_t)n_threads * sizeof *pool->worker);
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < n_threads; i++) {
        struct worker *worker = &pool->worker[i];
        *worker = (struct worker){.pool = pool, .index = i};
        int code = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (code) {
            thread_pool_free(pool);
            return error_set(error, DS4_ERROR_MEMORY, "cannot start thread %d of %d: %s", i + 1, n_threads,
                             strerror(code));
        }
        pool->n_started++;
    }
    *out = pool;
    return DS4_OK;
}

void thread_pool_free(thread_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 1; i <= pool->n_started; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->worker);
    free(pool);
}

int thread_pool_n_threads(const thread_pool *pool) {
    return pool->n_threads;
}

int processor_count(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 && count < 4096 ? (int)count : 1;
}
