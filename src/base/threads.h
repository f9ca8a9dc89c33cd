/* A pool of threads that share the tasks of one parallel loop. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include "ds4.h"

typedef struct thread_pool thread_pool;

/* task is 0..n_tasks-1, thread 0..n_threads-1 (for scratch memory of its own). */
typedef void parallel_task(void *context, size_t task, int thread);

/* Starts n_threads - 1 threads; the caller of thread_pool_run is the other one. */
ds4_status thread_pool_new(int n_threads, thread_pool **pool, ds4_error *error);
void thread_pool_free(thread_pool *pool);
int thread_pool_n_threads(const thread_pool *pool);
/* Runs every task once and returns when all are done. Tasks are handed out in order, each to the next free
 * thread. One loop at a time. */
void thread_pool_run(thread_pool *pool, size_t n_tasks, parallel_task *task, void *context);

/* The same, but a thread knows what it will be given after this task: `next`, n_tasks if nothing is left. */
typedef void parallel_task_ahead(void *context, size_t task, size_t next, int thread);
void thread_pool_run_ahead(thread_pool *pool, size_t n_tasks, parallel_task_ahead *task, void *context);

/* Processors this process may use. */
int processor_count(void);

#endif
