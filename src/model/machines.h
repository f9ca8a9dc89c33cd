/* Machines that could run a published model: what their makers say of memory and arithmetic. */
#ifndef MODEL_MACHINES_H
#define MODEL_MACHINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum machine_kind {
    MACHINE_APPLE, /* unified memory, Metal */
    MACHINE_CUDA,  /* an NVIDIA GPU with its own memory; or unified (DGX Spark) */
    MACHINE_CPU,   /* not in the table: a computer that was measured */
} machine_kind;

enum { MACHINE_MEMORY_SIZES = 4 };

typedef struct machine {
    const char *name; /* NULL ends the table */
    machine_kind kind;
    double bandwidth_gb;                  /* GB/s of the memory that weights are in */
    int memory_gib[MACHINE_MEMORY_SIZES]; /* GiB it is sold with, the largest first; zeros follow */
    double tflops;                        /* of the GPU's matrix arithmetic on half precision; 0: not published */
} machine;

extern const machine machines[];

/* By name, in any case, with '-' or '_' for ' ' and with or without "Apple " before it: "M3 Ultra", "m3-ultra". NULL:
 * there is none. Where one name stands for two (a chip with fewer GPU cores and less bandwidth), the one that is sold
 * with memory_gib GiB; 0: the faster one. */
const machine *machine_find(const char *name, int memory_gib);

/* What a GPU of n_bytes unified memory may keep at hand unless told otherwise: about 2/3, of large memories 3/4. */
uint64_t machine_default_working_bytes(const machine *m, uint64_t n_bytes);

/* Seconds to read n_bytes once and to launch n_dispatches kernels: what one decoded token takes that is bound by
 * memory. A part of the bandwidth is reached; which, and what a launch costs, depends on the kind. */
double machine_read_seconds(const machine *m, double n_bytes, double n_dispatches);
/* Seconds for n_operations, of which a product and a sum are two; 0 if the machine's rate is not known. */
double machine_compute_seconds(const machine *m, double n_operations);
/* The parts that are reached and the seconds of a launch, to be printed. */
double machine_bandwidth_part(machine_kind kind);
double machine_dispatch_seconds(machine_kind kind);
double machine_compute_part(void);

#endif
