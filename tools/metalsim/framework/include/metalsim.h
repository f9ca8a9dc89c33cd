/*
 * The simulated Metal framework, beyond Metal's own interface: what kind of device it is, and what it has found.
 * Everything else is reached as on macOS, through objc_msgSend; a program for macOS compiles unchanged with
 * -Iframework/include and links the objects of framework/ and executor/ (and -rdynamic -ldl -lm -pthread).
 *
 * Nothing runs before the program waits: one that forgets to wait sees old memory. Used by one thread.
 */
#ifndef METALSIM_METALSIM_H
#define METALSIM_METALSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* May be changed at any time; objects that exist keep what they were made with. */
extern struct metalsim_device {
    const char *name;
    const char *tools;                  /* the folder of msl-check and msl-build, for newLibraryWithSource: */
    int macos;                          /* 14 has no residency sets and no setMathMode: */
    int apple_family;                   /* 7: M1; older numbers are supported too */
    size_t max_threads_per_threadgroup; /* a limit on every pipeline, as register pressure sets it */
    size_t max_buffer_bytes;
    size_t working_set_bytes;
    bool watch_buffers; /* find CPU accesses to buffers in flight; needs sim_options.check */
    int max_printed;    /* messages on standard error; all are counted */
} metalsim_device;

/* Mistakes found so far, in the use of the interface and in kernels; metalsim_reset forgets them. */
int metalsim_errors(void);
const char *metalsim_first_error(void);
void metalsim_reset(void);

/* Objects that have not been released. */
int metalsim_live_objects(void);

/* At the end of a program: reports command buffers that nobody waited for and objects left over, and returns
 * metalsim_errors(). */
int metalsim_finish(void);

#endif
