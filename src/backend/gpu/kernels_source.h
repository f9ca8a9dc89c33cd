/* The text of all kernels, as tools/concatenate_kernels.sh puts it together; part of the program. */
#ifndef BACKEND_GPU_KERNELS_SOURCE_H
#define BACKEND_GPU_KERNELS_SOURCE_H

#include <stddef.h>

/* Named here, because Mach-O would put an underscore in front. */
#define KERNELS_SYMBOL(name) __asm__(name) __attribute__((visibility("hidden")))

extern const char kernels_source[] KERNELS_SYMBOL("ds4_kernels_source"); /* a NUL follows */
extern const size_t kernels_source_bytes KERNELS_SYMBOL("ds4_kernels_source_bytes");

#endif
