/*
 * The device that runs nothing and counts: what the kernels would read and write, and how often their threadgroups
 * wait. The numbers come from formulas that restate the text of each kernel; tests/gpu/test_counting.c compares them
 * with what the kernels do.
 */
#ifndef BACKEND_GPU_COUNTING_H
#define BACKEND_GPU_COUNTING_H

#include "backend/gpu/device.h"

typedef struct counting_totals {
    uint64_t dispatches;
    uint64_t weight_bytes;     /* that a dispatch reads at least once, added up over the dispatches */
    uint64_t weight_reads;     /* more than that where several threadgroups read the same: each of them counts */
    uint64_t activation_bytes; /* everything else but parameters: read at least once, and written at least once */
    uint64_t barriers;         /* of all threadgroups */
} counting_totals;

typedef struct counting_kernel {
    const char *name;
    counting_totals totals;
} counting_kernel;

/* Which experts are used, and so how many, depends on values. executed: they are in the buffers, because somebody else
 * runs each dispatch on the same memory before this device sees it. Otherwise all experts are taken to be used as
 * evenly as possible. */
ds4_status counting_device_new(bool executed, device **out, ds4_error *error);

/* Of everything that was dispatched since the last reset. */
counting_totals counting_device_totals(const device *d);
/* The same by kernel, n of them. They belong to the device. */
const counting_kernel *counting_device_kernels(const device *d, size_t *n);
void counting_device_reset(device *d);

#endif
