#include "backend/cpu/kernels.h"

#include <stdio.h>
#include <string.h>

extern const cpu_kernels cpu_kernels_portable;
#if defined(__x86_64__)
extern const cpu_kernels cpu_kernels_avx512, cpu_kernels_avx2;
#elif defined(__aarch64__)
extern const cpu_kernels cpu_kernels_neon_i8mm, cpu_kernels_neon_dotprod;
#endif

const cpu_kernels *const cpu_kernels_all[] = {
#if defined(__x86_64__)
    &cpu_kernels_avx512,
    &cpu_kernels_avx2,
#elif defined(__aarch64__)
    &cpu_kernels_neon_i8mm,
    &cpu_kernels_neon_dotprod,
#endif
    &cpu_kernels_portable,
    NULL,
};

ds4_status cpu_kernels_choose(const char *name, const cpu_kernels **out, ds4_error *error) {
    char available[64];
    size_t at = 0;
    for (const cpu_kernels *const *k = cpu_kernels_all; *k; k++) {
        if (!(*k)->supported()) continue;
        if (!name || strcmp((*k)->name, name) == 0) {
            *out = *k;
            return DS4_OK;
        }
        if (at < sizeof available)
            at += (size_t)snprintf(available + at, sizeof available - at, "%s%s", at ? ", " : "", (*k)->name);
    }
    return error_set(error, DS4_ERROR_ARGUMENT, "DS4_CPU: '%s', expected one of what this processor can do: %s", name,
                     available);
}
