/*
 * The device without a GPU: runs the kernels on the CPU, with metalsim's executor (tools/metalsim), to test them and
 * what calls them. The executor is in a shared object beside the program, or where DS4_SIMULATOR says.
 * DS4_SIMULATOR_CHECK=1 looks at every access of the kernels; DS4_SIMULATOR_ORDER=N runs threads in another order.
 * DS4_SIMULATOR_BUFFER_MB=N limits buffers: the executor looks for races only in those of at most 4 MiB.
 *
 * Batches run as late as the contract of device.h allows: when somebody waits, or frees what they use. So whoever reads
 * results too early, or overwrites what a batch in flight still needs, gets wrong numbers here too.
 */
#include "backend/gpu/device.h"
#include "backend/gpu/simulator_plugin.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
};

_Static_assert((int)SIMULATOR_BINDINGS == (int)DEVICE_MAX_BINDINGS, "one binding a slot");

struct device_buffer {
    uint8_t *contents;
    size_t n_bytes;
    size_t mapped_bytes; /* including an inaccessible page on each side; 0: the caller's memory */
};

struct device_kernel {
    simulator_kernel kernel;
    char *name;
    uint32_t n_threads;
};

typedef struct recorded {
    struct recorded *next;
    simulator_dispatch dispatch;
    _Alignas(16) uint8_t parameters[];
} recorded;

typedef struct recorded_list {
    recorded *first, **end;
} recorded_list;

typedef struct simulator_device {
    device base;
    const simulator_plugin *plugin;
    simulator *simulator;
    bool recording;
    recorded_list batch, in_flight;
    ds4_status batch_status, run_status; /* the first mistake of the batch; of what ran. Kept until reported. */
    ds4_error batch_error, run_error;
} simulator_device;

static simulator_device *simulator_of(device *d) {
    return (simulator_device *)d;
}

/* ---- recorded dispatches ---- */

static void list_init(recorded_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(recorded_list *list, recorded *item) {
    item->next = NULL;
    *list->end = item;
    list->end = &item->next;
}

static recorded *list_take(recorded_list *list) {
    recorded *item = list->first;
    if (!item) return NULL;
    list->first = item->next;
    if (!list->first) list->end = &list->first;
    return item;
}

static void list_free(recorded_list *list) {
    for (recorded *item; (item = list_take(list));) free(item);
}

/* After a mistake the rest would compute nothing of use and is dropped. */
static void run_in_flight(simulator_device *s) {
    char message[SIMULATOR_MESSAGE_BYTES];
    for (recorded *item; (item = list_take(&s->in_flight)); free(item)) {
        if (s->run_status != DS4_OK || s->plugin->run(s->simulator, &item->dispatch, message)) continue;
        s->run_status = error_set(&s->run_error, DS4_ERROR_IO, "simulator: %s", message);
    }
}

/* ---- buffers ---- */

static ds4_status check_size(const device *d, size_t n_bytes, ds4_error *error) {
    if (n_bytes == 0) return error_set(error, DS4_ERROR_ARGUMENT, "simulator: a buffer of 0 bytes");
    if (n_bytes > d->limits.max_buffer_bytes) return error_memory(error, "simulator: a buffer", n_bytes);
    return DS4_OK;
}

static ds4_status buffer_wrap(device *d, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error) {
    ds4_status status = check_size(d, n_bytes, error);
    if (status != DS4_OK) return status;
    uint32_t alignment = d->limits.wrap_alignment;
    if ((uintptr_t)data % alignment != 0 || n_bytes % alignment != 0)
        return error_set(error, DS4_ERROR_ARGUMENT, "simulator: %zu bytes at %p to wrap, expected multiples of %d",
                         n_bytes, data, alignment);
    device_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return error_memory(error, "simulator: a buffer", sizeof *buffer);
    buffer->contents = (uint8_t *)(uintptr_t)data;
    buffer->n_bytes = n_bytes;
    *out = buffer;
    return DS4_OK;
}

static ds4_status buffer_new(device *d, size_t n_bytes, device_buffer **out, ds4_error *error) {
    ds4_status status = check_size(d, n_bytes, error);
    if (status != DS4_OK) return status;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner, mapped;
    device_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer || !size_add(n_bytes, page - 1, &inner) || !size_add(inner / page * page, 2 * page, &mapped)) {
        free(buffer);
        return error_memory(error, "simulator: a buffer", n_bytes);
    }
    inner = mapped - 2 * page;
    uint8_t *memory = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + page, inner, PROT_READ | PROT_WRITE) != 0) {
        if (memory != MAP_FAILED) munmap(memory, mapped);
        free(buffer);
        return error_memory(error, "simulator: a buffer", n_bytes);
    }
    *buffer = (device_buffer){.contents = memory + page, .n_bytes = n_bytes, .mapped_bytes = mapped};
    *out = buffer;
    return DS4_OK;
}

static void buffer_free(device *d, device_buffer *buffer) {
    if (!buffer) return;
    run_in_flight(simulator_of(d));
    if (buffer->mapped_bytes) munmap(buffer->contents - sysconf(_SC_PAGESIZE), buffer->mapped_bytes);
    free(buffer);
}

static void *buffer_contents(const device_buffer *buffer) {
    return buffer->contents;
}

/* ---- kernels ---- */

static ds4_status kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                             device_kernel **out, ds4_error *error) {
    simulator_device *s = simulator_of(d);
    char message[SIMULATOR_MESSAGE_BYTES];
    simulator_kernel found;
    if (!s->plugin->find_kernel(s->simulator, name, constants ? constants->value : NULL, constants ? constants->n : 0,
                                &found, message))
        return error_set(error, DS4_ERROR_ARGUMENT, "simulator: %s", message);
    if (n_threads == 0 || n_threads > found.max_threads)
        return error_set(error, DS4_ERROR_ARGUMENT,
                         "simulator: kernel %s: %u threads in a threadgroup, expected 1 to %u", name, n_threads,
                         found.max_threads);
    device_kernel *kernel = calloc(1, sizeof *kernel);
    char *copy = strdup(name);
    if (!kernel || !copy) {
        free(kernel);
        free(copy);
        return error_memory(error, "simulator: a kernel", sizeof *kernel);
    }
    *kernel = (device_kernel){.kernel = found, .name = copy, .n_threads = n_threads};
    *out = kernel;
    return DS4_OK;
}

static void kernel_free(device *d, device_kernel *kernel) {
    if (!kernel) return;
    run_in_flight(simulator_of(d));
    free(kernel->name);
    free(kernel);
}

/* ---- batches ---- */

static ds4_status begin(device *d, ds4_error *error) {
    simulator_device *s = simulator_of(d);
    if (s->recording) return error_set(error, DS4_ERROR_ARGUMENT, "simulator: begin twice without a submit");
    s->recording = true;
    return DS4_OK;
}

static ds4_status check_dispatch(const simulator_device *s, const device_dispatch *from, ds4_error *error) {
    const char *name = from->kernel->name;
    if (!s->recording)
        return error_set(error, DS4_ERROR_ARGUMENT, "simulator: kernel %s: dispatched before begin", name);
    if (from->groups[0] == 0 || from->groups[1] == 0 || from->groups[2] == 0)
        return error_set(error, DS4_ERROR_ARGUMENT, "simulator: kernel %s: %u x %u x %u threadgroups", name,
                         from->groups[0], from->groups[1], from->groups[2]);
    if (from->n_parameter_bytes > DEVICE_MAX_PARAMETER_BYTES)
        return error_set(error, DS4_ERROR_ARGUMENT,
                         "simulator: kernel %s: %zu bytes of parameters, expected at most %d", name,
                         from->n_parameter_bytes, DEVICE_MAX_PARAMETER_BYTES);
    if (from->binding[0].buffer)
        return error_set(error, DS4_ERROR_ARGUMENT, "simulator: kernel %s: slot 0 is for parameters", name);
    for (int i = 1; i < DEVICE_MAX_BINDINGS; i++) {
        const device_binding *binding = &from->binding[i];
        if (!binding->buffer || binding->offset < binding->buffer->n_bytes) continue;
        return error_set(error, DS4_ERROR_ARGUMENT,
                         "simulator: kernel %s: offset %zu of buffer %d, which has %zu bytes", name, binding->offset, i,
                         binding->buffer->n_bytes);
    }
    return DS4_OK;
}

static ds4_status record(simulator_device *s, const device_dispatch *from, ds4_error *error) {
    ds4_status status = check_dispatch(s, from, error);
    if (status != DS4_OK) return status;
    size_t n_bytes = from->n_parameter_bytes;
    recorded *item = calloc(1, sizeof *item + n_bytes);
    if (!item) return error_memory(error, "simulator: a dispatch", sizeof *item + n_bytes);
    item->dispatch.kernel = from->kernel->kernel;
    item->dispatch.n_threads = from->kernel->n_threads;
    memcpy(item->dispatch.groups, from->groups, sizeof from->groups);
    if (n_bytes) {
        memcpy(item->parameters, from->parameters, n_bytes);
        item->dispatch.binding[0] =
            (simulator_binding){.base = item->parameters, .n_bytes = n_bytes, .read_only = true};
    }
    for (int i = 1; i < DEVICE_MAX_BINDINGS; i++) {
        const device_buffer *buffer = from->binding[i].buffer;
        if (!buffer) continue;
        item->dispatch.binding[i] = (simulator_binding){.base = buffer->contents,
                                                        .n_bytes = buffer->n_bytes,
                                                        .offset = from->binding[i].offset,
                                                        .read_only = buffer->mapped_bytes == 0};
    }
    list_append(&s->batch, item);
    return DS4_OK;
}

static void dispatch(device *d, const device_dispatch *from) {
    simulator_device *s = simulator_of(d);
    if (s->batch_status == DS4_OK) s->batch_status = record(s, from, &s->batch_error);
}

static ds4_status submit(device *d, ds4_error *error) {
    simulator_device *s = simulator_of(d);
    ds4_status status = s->batch_status;
    if (status != DS4_OK) {
        if (error) *error = s->batch_error;
        list_free(&s->batch);
    } else if (!s->recording) {
        status = error_set(error, DS4_ERROR_ARGUMENT, "simulator: submit without begin");
    }
    s->batch_status = DS4_OK;
    s->recording = false;
    for (recorded *item; (item = list_take(&s->batch));) list_append(&s->in_flight, item);
    return status;
}

static ds4_status wait_all(device *d, ds4_error *error) {
    simulator_device *s = simulator_of(d);
    run_in_flight(s);
    ds4_status status = s->run_status;
    if (status != DS4_OK && error) *error = s->run_error;
    s->run_status = DS4_OK;
    return status;
}

/* ---- the device ---- */

static void device_free(device *d) {
    if (!d) return;
    simulator_device *s = simulator_of(d);
    run_in_flight(s);
    list_free(&s->batch);
    if (s->simulator) s->plugin->close(s->simulator);
    free(s);
}

/* Always with a slash: dlopen would look for other names in the system's folders. */
static bool plugin_path(char path[PATH_BYTES]) {
    const char *name = getenv("DS4_SIMULATOR");
    if (name && *name) return snprintf(path, PATH_BYTES, "%s%s", strchr(name, '/') ? "" : "./", name) < PATH_BYTES;
    char *beside = path_beside_program("ds4-simulator.so");
    bool fits = beside && snprintf(path, PATH_BYTES, "%s", beside) < PATH_BYTES;
    free(beside);
    return fits;
}

/* It stays loaded: the executor keeps its workers, and loading it again would be of no use. */
static ds4_status plugin_load(const char *path, const simulator_plugin **plugin, ds4_error *error) {
    if (access(path, F_OK) != 0)
        return error_set(error, DS4_ERROR_IO, "simulator: %s is not there; `make simulator` builds it (needs clang 19)",
                         path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!handle) return error_set(error, DS4_ERROR_IO, "simulator: %s", dlerror());
    simulator_entry *entry = (simulator_entry *)dlsym(handle, SIMULATOR_ENTRY);
    *plugin = entry ? entry() : NULL;
    if (*plugin && (*plugin)->version == SIMULATOR_VERSION) return DS4_OK;
    return error_set(error, DS4_ERROR_FORMAT, "simulator: %s is not of this version; `make simulator` builds it", path);
}

/* The value of an environment variable that is a small number; 0 if it is not set. */
static ds4_status environment_number(const char *name, int *value, ds4_error *error) {
    const char *text = getenv(name);
    *value = 0;
    if (!text || !*text) return DS4_OK;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (*end || errno || number < 0 || number > 1000000)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: '%s', expected a number from 0 to 1000000", name, text);
    *value = (int)number;
    return DS4_OK;
}

static device_limits limits_of(const simulator_settings *settings, int buffer_mb) {
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    device_limits limits = {
        .max_buffer_bytes = buffer_mb ? (uint64_t)buffer_mb << 20 : memory,
        .max_working_bytes = memory,
        .wrap_alignment = (uint32_t)sysconf(_SC_PAGESIZE), /* as Metal wants it */
    };
    snprintf(limits.name, sizeof limits.name, settings->check ? "simulator, checked" : "simulator, %d threads",
             settings->n_workers);
    return limits;
}

static const device_ops OPS = {
    .name = "simulator",
    .free = device_free,
    .buffer_new = buffer_new,
    .buffer_wrap = buffer_wrap,
    .buffer_free = buffer_free,
    .buffer_contents = buffer_contents,
    .kernel_new = kernel_new,
    .kernel_free = kernel_free,
    .begin = begin,
    .dispatch = dispatch,
    .submit = submit,
    .wait = wait_all,
};

ds4_status simulator_device_new(device **out, ds4_error *error) {
    char path[PATH_BYTES], message[SIMULATOR_MESSAGE_BYTES];
    int check, order, buffer_mb;
    const simulator_plugin *plugin = NULL;
    ds4_status status;
    *out = NULL;
    if ((status = environment_number("DS4_SIMULATOR_CHECK", &check, error)) != DS4_OK) return status;
    if ((status = environment_number("DS4_SIMULATOR_ORDER", &order, error)) != DS4_OK) return status;
    if ((status = environment_number("DS4_SIMULATOR_BUFFER_MB", &buffer_mb, error)) != DS4_OK) return status;
    if (!plugin_path(path)) return error_set(error, DS4_ERROR_IO, "simulator: the path of ds4-simulator.so is unknown");
    if ((status = plugin_load(path, &plugin, error)) != DS4_OK) return status;

    simulator_settings settings = {.check = check != 0, .order = order, .n_workers = processor_count()};
    simulator_device *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "simulator", sizeof *s);
    s->base = (device){.op = &OPS, .limits = limits_of(&settings, buffer_mb)};
    s->plugin = plugin;
    list_init(&s->batch);
    list_init(&s->in_flight);
    *strrchr(path, '/') = '\0'; /* the kernels lie beside the plugin */
    s->simulator = plugin->open(path, &settings, message);
    if (!s->simulator) {
        device_free(&s->base);
        return error_set(error, DS4_ERROR_IO, "simulator: %s", message);
    }
    *out = &s->base;
    return DS4_OK;
}
