/* Runs compute kernels that msl-build has compiled. There is one executor in a process, used by one thread. */
#ifndef METALSIM_SIM_H
#define METALSIM_SIM_H

#include "sim_kernel.h"

#include <stdbool.h>

enum sim_order { SIM_ASCENDING = 0, SIM_DESCENDING = 1 /* larger: random, this is the seed */ };

extern struct sim_options {
    bool check;                   /* look at every access; the library must have been built with msl-build -c */
    int order;                    /* in which threads run: enum sim_order */
    int n_workers;                /* OS threads that run threadgroups; 1 while checking */
    bool poison;                  /* fill threadgroup memory with NaNs first */
    bool partial_simd;            /* allow SIMD operations after some lanes have returned */
    size_t max_threadgroup_bytes; /* 32768, as all of Apple's GPUs have */
    size_t max_shadow_bytes;      /* larger buffers are checked for bounds only, not for races */
    int max_printed;              /* messages printed for a dispatch; all are counted */
} sim_options;

extern struct sim_statistics {
    uint64_t errors, switches, threads, groups, simd_operations, barriers, accesses;
} sim_statistics;

/* ---- libraries ---- */
typedef struct sim_library sim_library;

/* A shared object, or a .metallib container that msl-build wrote. NULL and a message in *why (if not NULL, static) for
 * a file that is neither. */
sim_library *sim_library_open(const char *path, const char **why);
/* Another copy of the same library, with function constants of its own. */
sim_library *sim_library_copy(const sim_library *library);
void sim_library_close(sim_library *library);
/* True if the library was built with access checks. */
bool sim_library_is_checked(const sim_library *library);

const struct sim_kernel *sim_library_kernel(const sim_library *library, const char *name);
const struct sim_kernel *sim_library_kernels(const sim_library *library); /* ends with a NULL name */
void sim_library_set_constant(sim_library *library, int index, const void *value, size_t bytes);

/* ---- dispatches ---- */
enum sim_access { SIM_READ, SIM_WRITE, SIM_ATOMIC };

struct sim_binding {
    char *base;
    size_t bytes;
    size_t offset; /* of what the kernel gets; all of the buffer may be accessed */
};

struct sim_dispatch {
    sim_library *library;
    const struct sim_kernel *kernel;
    struct sim_binding buffer[SIM_BUFFERS];
    size_t threadgroup_bytes[SIM_BUFFERS];
    uint32_t threads_per_group[3];
    uint32_t groups[3];
    uint32_t grid[3]; /* threads; if not 0 groups is computed and the last groups may be smaller */
    /* While checking: told of every access to a bound buffer. May be NULL. */
    void (*on_access)(void *context, int buffer, size_t offset, size_t bytes, enum sim_access access);
    void *access_context;
};

/* The number of errors; each has been printed to standard error. */
int sim_run(struct sim_dispatch *dispatch);
/* The first error of the last dispatch, or "". */
const char *sim_first_error(void);

/* Zeroed memory of whole pages with an inaccessible page on each side. */
void *sim_memory_new(size_t bytes);
void sim_memory_free(void *memory, size_t bytes);

#endif
