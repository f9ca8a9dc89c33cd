/*
 * What the GPU backend needs of a device: memory that both sides reach, kernels by name, and batches of dispatches
 * that run in order. Metal (metal.c), CUDA (cuda.c) and the simulator (simulator.c) implement it, and
 * counting.c, which runs nothing.
 *
 * Dispatches are recorded between begin and submit; a dispatch sees everything that earlier ones wrote. Whoever reads
 * or writes memory from the CPU calls wait first. Several batches may be in flight.
 */
#ifndef BACKEND_GPU_DEVICE_H
#define BACKEND_GPU_DEVICE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVICE_MAX_BINDINGS = 31, DEVICE_MAX_CONSTANTS = 8, DEVICE_MAX_PARAMETER_BYTES = 4095 };

typedef struct device device;
typedef struct device_buffer device_buffer;
typedef struct device_kernel device_kernel;

typedef struct device_limits {
    char name[128];
    uint64_t max_buffer_bytes;  /* of one buffer */
    uint64_t max_working_bytes; /* of all buffers together, as far as the device wants to say; 0: unknown */
    uint32_t wrap_alignment;    /* of address and length for buffer_wrap; a power of two */
} device_limits;

typedef struct device_binding {
    device_buffer *buffer; /* NULL: the slot is not used */
    size_t offset;
} device_binding;

/* Slot 0 gets a copy of `parameters`, slot i the binding i. */
typedef struct device_dispatch {
    const device_kernel *kernel;
    const void *parameters;
    size_t n_parameter_bytes; /* at most DEVICE_MAX_PARAMETER_BYTES */
    device_binding binding[DEVICE_MAX_BINDINGS];
    uint32_t groups[3]; /* threadgroups; no zeros */
} device_dispatch;

/* Function constants 0 .. n - 1 of a kernel, all of type uint. */
typedef struct device_constants {
    uint32_t value[DEVICE_MAX_CONSTANTS];
    int n;
} device_constants;

typedef struct device_ops {
    const char *name;
    void (*free)(device *d); /* waits; buffers and kernels must be gone */
    /* Zeroed memory that both sides reach. */
    ds4_status (*buffer_new)(device *d, size_t n_bytes, device_buffer **out, ds4_error *error);
    /* Memory of the caller that outlives the buffer and that no side writes to; aligned as the limits say. */
    ds4_status (*buffer_wrap)(device *d, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error);
    /* Freeing a buffer or a kernel waits; what is being recorded is dropped. */
    void (*buffer_free)(device *d, device_buffer *buffer);
    void *(*buffer_contents)(const device_buffer *buffer);
    /* A kernel that runs with n_threads threads in a threadgroup; an error if the device cannot. */
    ds4_status (*kernel_new)(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                             device_kernel **out, ds4_error *error);
    void (*kernel_free)(device *d, device_kernel *kernel);
    ds4_status (*begin)(device *d, ds4_error *error);
    void (*dispatch)(device *d, const device_dispatch *dispatch);
    ds4_status (*submit)(device *d, ds4_error *error);
    /* Until everything submitted has run. An error of any of it is reported once. */
    ds4_status (*wait)(device *d, ds4_error *error);
} device_ops;

struct device {
    const device_ops *op;
    device_limits limits;
};

/* Each returns a device or says why there is none. */
ds4_status metal_device_new(device **out, ds4_error *error);
ds4_status simulator_device_new(device **out, ds4_error *error);
ds4_status cuda_device_new(device **out, ds4_error *error); /* only with DS4_CUDA; see cuda.c */

#endif
