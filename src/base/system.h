/* Facts about the machine and about this process. What the system does not say is 0 or "". */
#ifndef BASE_SYSTEM_H
#define BASE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of the machine, and what of it programs can still get without anything being swapped out (the page cache
 * counts as free), but not more than the limit of a container. */
uint64_t system_memory_bytes(void);
uint64_t system_memory_available_bytes(void);

/* The processor's name as its maker writes it, cut to fit. */
void system_cpu_name(char *name, size_t capacity);

/* For random numbers that need not be secret: differs between moments and processes. */
uint64_t system_seed(void);

/* What of this process is in memory. */
typedef struct process_memory {
    uint64_t resident_bytes;
    uint64_t anonymous_bytes; /* its own; Linux only */
    uint64_t file_bytes;      /* mapped files, such as weights: shared with the page cache; Linux only */
    uint64_t peak_bytes;      /* the most that was resident, since process_memory_reset_peak if that works */
} process_memory;

process_memory process_memory_now(void);
/* False if the system cannot: the peak is then that of the whole life of the process. */
bool process_memory_reset_peak(void);

#endif
