/* How much memory the program has from its allocator. */
#ifndef SUPPORT_ALLOCATED_H
#define SUPPORT_ALLOCATED_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this system can say. Call it before the first large allocation: it also makes the numbers exact. */
bool allocated_is_known(void);
/* Bytes that are allocated now, with the allocator's own few per block. */
size_t allocated_bytes(void);

#endif
