/* Metal with kernels that the caller chooses; metal_device_new (device.h) takes the program's own. */
#ifndef BACKEND_GPU_METAL_H
#define BACKEND_GPU_METAL_H

#include "backend/gpu/device.h"

/* metallib: path of a compiled library, or NULL: then the source is compiled. */
ds4_status metal_device_open(const char *metallib, const char *source, device **out, ds4_error *error);

/* What the device that would be chosen can do, without compiling anything for it. */
ds4_status metal_device_limits(device_limits *limits, ds4_error *error);

#endif
