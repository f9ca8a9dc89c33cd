/* What compiled kernels see of the executor. mslgen writes the tables, shim/msl_cpu.h makes the calls. */
#ifndef METALSIM_SIM_KERNEL_H
#define METALSIM_SIM_KERNEL_H

#include "sim_parameter.h"

#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { SIM_LANES = 32, SIM_BUFFERS = 31, SIM_MAX_THREADS = 1024 };

/* A library exports `const struct sim_kernel SIM_TABLE[]`; the last name is NULL. */
struct sim_kernel {
    const char *name;
    void (*run)(void); /* one thread */
    const struct sim_parameter *parameter;
    int n_parameters;
    int max_threads;          /* [[max_total_threads_per_threadgroup]] or 1024 */
    size_t threadgroup_bytes; /* of its variables; 0 where a template's argument decides */
};

/* The running thread and its threadgroup. */
struct sim_thread {
    uint32_t in_group[3], in_grid[3];
    uint32_t index, lane, simdgroup;
};
struct sim_group {
    uint32_t in_grid[3], groups[3], threads[3], grid[3];
    uint32_t n_simdgroups;
};
extern __thread struct sim_thread *sim_thread_now;
extern __thread struct sim_group *sim_group_now;

/* Checked addresses of what is bound; the kernel ends if it cannot have one. */
void *sim_buffer(int index, size_t needed_bytes, size_t alignment);
void *sim_threadgroup_argument(int index);
void *sim_threadgroup_variable(int id, size_t bytes, size_t alignment);

/* flags as mem_flags; line is that of the call, for messages. */
void sim_barrier(int flags, int line);
void sim_simd_barrier(int flags, int line);

/* The lanes of a SIMD-group meet; the last to arrive calls operation with every lane's argument (NULL where the lane
 * is not taking part) and the mask of lanes that do. */
typedef void sim_simd_operation(void **argument, uint32_t lanes);
void sim_simd(sim_simd_operation *operation, void *argument, int line);

void sim_atomic_access(const volatile void *address, size_t bytes);

/* Bits for a value that MSL leaves undefined. */
uint32_t sim_random(void);

struct sim_function_constant {
    int index;
    int is_set;
    size_t bytes;
    const char *name;
    void *value;
    struct sim_function_constant *next;
};
/* Called while the library is being loaded. */
void sim_register_function_constant(struct sim_function_constant *constant);

void sim_error(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

#ifdef __cplusplus
}
#endif
#endif
