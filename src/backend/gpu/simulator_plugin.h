/*
 * What simulator.c and ds4-simulator.so (tools/simulator/plugin.c) agree on. The executor of tools/metalsim is not part
 * of the program, because it and the kernels it runs need clang and x86-64.
 *
 * Functions that can fail write their message, without a newline, to `message`, which has SIMULATOR_MESSAGE_BYTES.
 * Calls from several threads wait for each other.
 */
#ifndef BACKEND_GPU_SIMULATOR_PLUGIN_H
#define BACKEND_GPU_SIMULATOR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIMULATOR_ENTRY "ds4_simulator"

enum { SIMULATOR_VERSION = 1, SIMULATOR_BINDINGS = 31, SIMULATOR_MESSAGE_BYTES = 400 };

typedef struct simulator simulator;

typedef struct simulator_settings {
    bool check;    /* look at every access; slow */
    int order;     /* of threads: 0 ascending, 1 descending, others: the seed of a random one */
    int n_workers; /* threads of the host, unless checking */
} simulator_settings;

/* A kernel with its function constants; belongs to the simulator. */
typedef struct simulator_kernel {
    void *library;
    const void *function;
    uint32_t max_threads; /* in a threadgroup */
} simulator_kernel;

typedef struct simulator_binding {
    void *base; /* NULL: not bound */
    size_t n_bytes, offset;
    bool read_only;
} simulator_binding;

typedef struct simulator_dispatch {
    simulator_kernel kernel;
    uint32_t n_threads, groups[3];
    simulator_binding binding[SIMULATOR_BINDINGS];
} simulator_dispatch;

typedef struct simulator_plugin {
    uint32_t version; /* SIMULATOR_VERSION; nothing behind it is known to be there if it differs */
    /* Loads FOLDER/kernels.so, or kernels_checked.so. */
    simulator *(*open)(const char *folder, const simulator_settings *settings, char *message);
    void (*close)(simulator *s);
    /* constant: of function constants 0 .. n_constants - 1. */
    bool (*find_kernel)(simulator *s, const char *name, const uint32_t *constant, int n_constants,
                        simulator_kernel *kernel, char *message);
    /* False if the kernel made a mistake; the message is the first. */
    bool (*run)(simulator *s, const simulator_dispatch *dispatch, char *message);
} simulator_plugin;

typedef const simulator_plugin *simulator_entry(void);

#endif
