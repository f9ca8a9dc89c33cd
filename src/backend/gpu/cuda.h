/* What tests and measurements want of the CUDA device beyond device.h. */
#ifndef BACKEND_GPU_CUDA_H
#define BACKEND_GPU_CUDA_H

#include "backend/gpu/device.h"

/* Instead of submit: runs the recorded dispatches as one graph, n_runs times after one that does not count.
 * seconds: [n_runs], of the GPU's own clock. */
ds4_status cuda_device_measure(device *d, int n_runs, double *seconds, ds4_error *error);

/* What the compiler made of a kernel. */
typedef struct cuda_kernel_use {
    int registers, local_bytes, threadgroup_bytes;
} cuda_kernel_use;

cuda_kernel_use cuda_kernel_get_use(const device_kernel *kernel);

#endif
