/*
 * ds4-simulator.so: metalsim's executor behind the plain table that ds4 knows. The kernels lie beside it, compiled by
 * msl-build; they find the executor's functions here, so this must be loaded with RTLD_GLOBAL.
 */
#include "backend/gpu/simulator_plugin.h"

#include "../metalsim/executor/sim.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernels with one set of function constants. */
typedef struct specialised {
    struct specialised *next;
    sim_library *library;
    int n_constants;
    uint32_t constant[];
} specialised;

struct simulator {
    simulator_settings settings;
    sim_library *library; /* no constants set; the others are copies */
    specialised *copies;
};

/* The executor has one set of options and of workers. */
static pthread_mutex_t executor = PTHREAD_MUTEX_INITIALIZER;

/* A message that is too long is cut. */
__attribute__((__format__(__printf__, 2, 3))) static void explain(char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, SIMULATOR_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
}

static void close_simulator(simulator *s) {
    if (!s) return;
    pthread_mutex_lock(&executor);
    for (specialised *next, *copy = s->copies; copy; copy = next) {
        next = copy->next;
        sim_library_close(copy->library);
        free(copy);
    }
    sim_library_close(s->library);
    pthread_mutex_unlock(&executor);
    free(s);
}

static sim_library *open_library(const char *folder, bool checked, char *message) {
    char path[4096];
    const char *why = "its path is too long";
    int length = snprintf(path, sizeof path, "%s/kernels%s.so", folder, checked ? "_checked" : "");
    sim_library *library = length < (int)sizeof path ? sim_library_open(path, &why) : NULL;
    if (!library) {
        explain(message, "%s: %s; `make simulator` builds it", path, why);
        return NULL;
    }
    if (sim_library_is_checked(library) == checked) return library;
    explain(message, "%s was compiled %s access checks", path, checked ? "without" : "with");
    sim_library_close(library);
    return NULL;
}

static simulator *open_simulator(const char *folder, const simulator_settings *settings, char *message) {
    simulator *s = calloc(1, sizeof *s);
    if (!s) {
        explain(message, "no memory");
        return NULL;
    }
    s->settings = *settings;
    pthread_mutex_lock(&executor);
    s->library = open_library(folder, settings->check, message);
    pthread_mutex_unlock(&executor);
    if (s->library) return s;
    free(s);
    return NULL;
}

/* NULL if the library cannot be loaded once more. */
static sim_library *library_with(simulator *s, const uint32_t *constant, int n_constants) {
    if (n_constants == 0) return s->library;
    size_t n_bytes = (size_t)n_constants * sizeof *constant;
    for (specialised *copy = s->copies; copy; copy = copy->next)
        if (copy->n_constants == n_constants && memcmp(copy->constant, constant, n_bytes) == 0) return copy->library;

    specialised *copy = malloc(sizeof *copy + n_bytes);
    sim_library *library = copy ? sim_library_copy(s->library) : NULL;
    if (!library) {
        free(copy);
        return NULL;
    }
    *copy = (specialised){.next = s->copies, .library = library, .n_constants = n_constants};
    memcpy(copy->constant, constant, n_bytes);
    for (int i = 0; i < n_constants; i++) sim_library_set_constant(library, i, &constant[i], sizeof constant[i]);
    s->copies = copy;
    return library;
}

static bool find_kernel(simulator *s, const char *name, const uint32_t *constant, int n_constants,
                        simulator_kernel *kernel, char *message) {
    if (!sim_library_kernel(s->library, name)) {
        explain(message, "there is no kernel %s", name);
        return false;
    }
    pthread_mutex_lock(&executor);
    sim_library *library = library_with(s, constant, n_constants);
    pthread_mutex_unlock(&executor);
    if (!library) {
        explain(message, "kernel %s: cannot load another copy of the kernels", name);
        return false;
    }
    const struct sim_kernel *function = sim_library_kernel(library, name);
    kernel->library = library;
    kernel->function = function;
    kernel->max_threads = (uint32_t)(function->max_threads < SIM_MAX_THREADS ? function->max_threads : SIM_MAX_THREADS);
    return true;
}

/* Said here, because the process ends at the write if the memory is a file's. */
static void check_read_only(void *context, int index, size_t offset, size_t n_bytes, enum sim_access access) {
    const simulator_dispatch *dispatch = context;
    if (access == SIM_READ || !dispatch->binding[index].read_only) return;
    sim_error("%zu-byte write at byte %zu of buffer %d, which is read-only", n_bytes, offset, index);
}

/* Kernels with mistakes made on purpose (tools/mutate_kernels.sh) choose one by this constant; others lack it. */
static void choose_mutation(sim_library *library) {
    enum { MUTATION = 7 };
    const char *text = getenv("DS4_SIMULATOR_MUTATION");
    uint32_t number = text ? (uint32_t)strtoul(text, NULL, 10) : 0;
    sim_library_set_constant(library, MUTATION, &number, sizeof number);
}

static bool run(simulator *s, const simulator_dispatch *dispatch, char *message) {
    const struct sim_kernel *kernel = dispatch->kernel.function;
    struct sim_dispatch d = {
        .library = dispatch->kernel.library,
        .kernel = kernel,
        .threads_per_group = {dispatch->n_threads, 1, 1},
        .groups = {dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]},
        .on_access = check_read_only,
        .access_context = (void *)(uintptr_t)dispatch,
    };
    for (int i = 0; i < SIMULATOR_BINDINGS; i++) {
        const simulator_binding *from = &dispatch->binding[i];
        d.buffer[i] = (struct sim_binding){.base = from->base, .bytes = from->n_bytes, .offset = from->offset};
    }
    pthread_mutex_lock(&executor);
    sim_options.check = s->settings.check;
    sim_options.order = s->settings.order;
    sim_options.n_workers = s->settings.n_workers;
    sim_options.max_printed = 4;
    choose_mutation(d.library);
    int n_errors = sim_run(&d);
    if (n_errors > 0) explain(message, "kernel %s: %s", kernel->name, sim_first_error());
    pthread_mutex_unlock(&executor);
    return n_errors == 0;
}

simulator_entry ds4_simulator;
const simulator_plugin *ds4_simulator(void) {
    static const simulator_plugin plugin = {
        .version = SIMULATOR_VERSION,
        .open = open_simulator,
        .close = close_simulator,
        .find_kernel = find_kernel,
        .run = run,
    };
    _Static_assert((int)SIMULATOR_BINDINGS == (int)SIM_BUFFERS, "one binding a buffer");
    return &plugin;
}
