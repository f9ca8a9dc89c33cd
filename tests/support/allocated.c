#include "support/allocated.h"

#include "base/simd.h"

#include <stdlib.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

#if defined(SIMD_SANITIZED) || defined(SIMD_THREAD_SANITIZED)

size_t __sanitizer_get_current_allocated_bytes(void);

bool allocated_is_known(void) {
    return true;
}

size_t allocated_bytes(void) {
    return __sanitizer_get_current_allocated_bytes();
}

#elif defined(__APPLE__)

bool allocated_is_known(void) {
    return true;
}

size_t allocated_bytes(void) {
    malloc_statistics_t statistics;
    malloc_zone_statistics(NULL, &statistics);
    return statistics.size_in_use;
}

#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)

/* Blocks of their own pages would be counted with the rest of their last page. */
bool allocated_is_known(void) {
    return mallopt(M_MMAP_MAX, 0) == 1;
}

size_t allocated_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

#else

bool allocated_is_known(void) {
    return false;
}

size_t allocated_bytes(void) {
    return 0;
}

#endif
