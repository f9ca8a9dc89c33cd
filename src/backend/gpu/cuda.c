/*
 * The Metal kernels on an NVIDIA GPU, as PTX of the same text (tools/metalsim/msl-cuda): real SIMD-groups, barriers and
 * memory, to test and to measure them. Not a backend for users.
 *
 * The PTX is in kernels.ptx beside the program, or where DS4_PTX says. The driver compiles each kernel by itself, with
 * its function constants written into the text. DS4_CUDA_SYNC=1 waits after each dispatch, so that an error names the
 * kernel.
 *
 * Memory is the card's, with a copy for the CPU: what the CPU may have written goes up with the next submit, and wait
 * fetches what the GPU may have written.
 */
#include "backend/gpu/cuda.h"
#include "base/file.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the driver's interface, of which only this much is used ---- */

typedef int cu_result;
typedef int cu_device;
typedef struct cu_context_ *cu_context;
typedef struct cu_stream_ *cu_stream;
typedef struct cu_event_ *cu_event;
typedef struct cu_module_ *cu_module;
typedef struct cu_function_ *cu_function;
typedef struct cu_graph_ *cu_graph;
typedef struct cu_graph_exec_ *cu_graph_exec;
typedef unsigned long long cu_address;

enum {
    CU_STREAM_NON_BLOCKING = 1,
    CU_FUNC_MAX_THREADS = 0,
    CU_FUNC_SHARED_BYTES = 1,
    CU_FUNC_LOCAL_BYTES = 3,
    CU_FUNC_REGISTERS = 4,
    CU_JIT_ERROR_LOG = 5,
    CU_JIT_ERROR_LOG_BYTES = 6,
    CU_CAPTURE_RELAXED = 2,
};

typedef struct cuda_driver {
    cu_result (*init)(unsigned flags);
    cu_result (*error_string)(cu_result result, const char **text);
    cu_result (*device_get)(cu_device *device, int ordinal);
    cu_result (*device_name)(char *name, int n_bytes, cu_device device);
    cu_result (*device_memory)(size_t *n_bytes, cu_device device);
    cu_result (*context_retain)(cu_context *context, cu_device device);
    cu_result (*context_release)(cu_device device);
    cu_result (*context_set)(cu_context context);
    cu_result (*memory_allocate)(cu_address *memory, size_t n_bytes);
    cu_result (*memory_free)(cu_address memory);
    cu_result (*host_allocate)(void **memory, size_t n_bytes, unsigned flags);
    cu_result (*host_free)(void *memory);
    cu_result (*copy_up)(cu_address to, const void *from, size_t n_bytes, cu_stream stream);
    cu_result (*copy_down)(void *to, cu_address from, size_t n_bytes, cu_stream stream);
    cu_result (*stream_create)(cu_stream *stream, unsigned flags);
    cu_result (*stream_destroy)(cu_stream stream);
    cu_result (*stream_wait)(cu_stream stream);
    cu_result (*module_load)(cu_module *module, const void *text, unsigned n_options, int *options, void **values);
    cu_result (*module_unload)(cu_module module);
    cu_result (*module_function)(cu_function *function, cu_module module, const char *name);
    cu_result (*function_attribute)(int *value, int attribute, cu_function function);
    cu_result (*launch)(cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, cu_stream stream, void **arguments,
                        void **extra);
    cu_result (*event_create)(cu_event *event, unsigned flags);
    cu_result (*event_destroy)(cu_event event);
    cu_result (*event_record)(cu_event event, cu_stream stream);
    cu_result (*event_milliseconds)(float *milliseconds, cu_event start, cu_event end);
    cu_result (*capture_begin)(cu_stream stream, int mode);
    cu_result (*capture_end)(cu_stream stream, cu_graph *graph);
    cu_result (*graph_instantiate)(cu_graph_exec *exec, cu_graph graph, unsigned long long flags);
    cu_result (*graph_launch)(cu_graph_exec exec, cu_stream stream);
    cu_result (*graph_exec_destroy)(cu_graph_exec exec);
    cu_result (*graph_destroy)(cu_graph graph);
} cuda_driver;

static const struct {
    size_t offset;
    const char *name;
} SYMBOL[] = {
    {offsetof(cuda_driver, init), "cuInit"},
    {offsetof(cuda_driver, error_string), "cuGetErrorString"},
    {offsetof(cuda_driver, device_get), "cuDeviceGet"},
    {offsetof(cuda_driver, device_name), "cuDeviceGetName"},
    {offsetof(cuda_driver, device_memory), "cuDeviceTotalMem_v2"},
    {offsetof(cuda_driver, context_retain), "cuDevicePrimaryCtxRetain"},
    {offsetof(cuda_driver, context_release), "cuDevicePrimaryCtxRelease_v2"},
    {offsetof(cuda_driver, context_set), "cuCtxSetCurrent"},
    {offsetof(cuda_driver, memory_allocate), "cuMemAlloc_v2"},
    {offsetof(cuda_driver, memory_free), "cuMemFree_v2"},
    {offsetof(cuda_driver, host_allocate), "cuMemHostAlloc"},
    {offsetof(cuda_driver, host_free), "cuMemFreeHost"},
    {offsetof(cuda_driver, copy_up), "cuMemcpyHtoDAsync_v2"},
    {offsetof(cuda_driver, copy_down), "cuMemcpyDtoHAsync_v2"},
    {offsetof(cuda_driver, stream_create), "cuStreamCreate"},
    {offsetof(cuda_driver, stream_destroy), "cuStreamDestroy_v2"},
    {offsetof(cuda_driver, stream_wait), "cuStreamSynchronize"},
    {offsetof(cuda_driver, module_load), "cuModuleLoadDataEx"},
    {offsetof(cuda_driver, module_unload), "cuModuleUnload"},
    {offsetof(cuda_driver, module_function), "cuModuleGetFunction"},
    {offsetof(cuda_driver, function_attribute), "cuFuncGetAttribute"},
    {offsetof(cuda_driver, launch), "cuLaunchKernel"},
    {offsetof(cuda_driver, event_create), "cuEventCreate"},
    {offsetof(cuda_driver, event_destroy), "cuEventDestroy_v2"},
    {offsetof(cuda_driver, event_record), "cuEventRecord"},
    {offsetof(cuda_driver, event_milliseconds), "cuEventElapsedTime"},
    {offsetof(cuda_driver, capture_begin), "cuStreamBeginCapture_v2"},
    {offsetof(cuda_driver, capture_end), "cuStreamEndCapture"},
    {offsetof(cuda_driver, graph_instantiate), "cuGraphInstantiateWithFlags"},
    {offsetof(cuda_driver, graph_launch), "cuGraphLaunch"},
    {offsetof(cuda_driver, graph_exec_destroy), "cuGraphExecDestroy"},
    {offsetof(cuda_driver, graph_destroy), "cuGraphDestroy"},
};

/* ---- the device's own structures ---- */

enum { WRAP_ALIGNMENT = 4096, PARAMETER_UNIT = 256, LOG_BYTES = 8192 };

struct device_buffer {
    device_buffer *next;
    uint8_t *contents; /* the CPU's copy; the caller's memory if wrapped */
    cu_address memory;
    size_t n_bytes;
    bool wrapped;
};

struct device_kernel {
    cu_module module;
    cu_function function;
    uint32_t n_threads;
    cuda_kernel_use use;
    char name[];
};

/* As msl_cuda.h declares it: a kernel's only argument. */
struct sim_arguments {
    cu_address buffer[DEVICE_MAX_BINDINGS];
    uint32_t threadgroup_offset[8];
    uint32_t grid[3];
};

typedef struct recorded {
    const device_kernel *kernel;
    struct sim_arguments arguments; /* buffer[0]: an offset in the batch's parameters */
    uint32_t groups[3];
} recorded;

typedef struct cuda_device {
    device base;
    cuda_driver cu;
    char *ptx;
    size_t header_bytes; /* of the PTX: what all kernels share */
    cu_device ordinal;
    bool retained, synchronous;
    cu_context context;
    cu_stream stream;
    device_buffer *buffers; /* not the wrapped ones */

    bool recording, written_by_cpu, in_flight;
    recorded *batch;
    size_t n_batch, batch_capacity;
    ds4_buffer parameters;
    uint8_t *parameters_up; /* where they are copied from, pinned */
    cu_address parameter_memory;
    size_t parameter_capacity, parameters_used; /* by batches in flight */
    ds4_status batch_status, run_status;
    ds4_error batch_error, run_error;
} cuda_device;

static cuda_device *cuda_of(device *d) {
    return (cuda_device *)d;
}

static ds4_status check(const cuda_device *c, cu_result result, const char *what, ds4_error *error) {
    if (!result) return DS4_OK;
    const char *text = NULL;
    if (c->cu.error_string(result, &text) != 0 || !text) text = "unknown error";
    return error_set(error, DS4_ERROR_IO, "cuda: %s: %s (%d)", what, text, result);
}

/* ---- buffers ---- */

/* Until everything has run; the first error is kept for wait. Then the CPU's copies are right again. */
static void drain(cuda_device *c) {
    if (!c->in_flight) return;
    c->in_flight = false;
    c->parameters_used = 0;
    cu_result result = 0;
    for (device_buffer *b = c->buffers; b && !result; b = b->next)
        result = c->cu.copy_down(b->contents, b->memory, b->n_bytes, c->stream);
    cu_result waited = c->cu.stream_wait(c->stream);
    if (!result) result = waited;
    c->written_by_cpu = true;
    if (result && c->run_status == DS4_OK)
        c->run_status = check(c, result, "a batch (DS4_CUDA_SYNC=1 tells the kernel)", &c->run_error);
}

static void drop_batch(cuda_device *c) {
    c->n_batch = 0;
    buffer_clear(&c->parameters);
}

static void buffer_free(device *d, device_buffer *buffer) {
    cuda_device *c = cuda_of(d);
    if (!buffer) return;
    drop_batch(c);
    drain(c);
    for (device_buffer **at = &c->buffers; *at; at = &(*at)->next)
        if (*at == buffer) {
            *at = buffer->next;
            break;
        }
    if (buffer->memory) c->cu.memory_free(buffer->memory);
    if (buffer->contents && !buffer->wrapped) c->cu.host_free(buffer->contents);
    free(buffer);
}

static ds4_status new_memory(cuda_device *c, size_t n_bytes, device_buffer **out, ds4_error *error) {
    if (n_bytes == 0) return error_set(error, DS4_ERROR_ARGUMENT, "cuda: a buffer of 0 bytes");
    device_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer || c->cu.memory_allocate(&buffer->memory, n_bytes) != 0) {
        free(buffer);
        return error_memory(error, "cuda: a buffer", n_bytes);
    }
    buffer->n_bytes = n_bytes;
    *out = buffer;
    return DS4_OK;
}

static ds4_status buffer_new(device *d, size_t n_bytes, device_buffer **out, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    device_buffer *buffer = NULL;
    void *contents;
    drain(c);
    ds4_status status = new_memory(c, n_bytes, &buffer, error);
    if (status != DS4_OK) return status;
    if (c->cu.host_allocate(&contents, n_bytes, 0) != 0) {
        buffer_free(d, buffer);
        return error_memory(error, "cuda: a buffer's copy", n_bytes);
    }
    memset(contents, 0, n_bytes);
    buffer->contents = contents;
    buffer->next = c->buffers;
    c->buffers = buffer;
    c->written_by_cpu = true;
    *out = buffer;
    return DS4_OK;
}

static ds4_status buffer_wrap(device *d, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    device_buffer *buffer = NULL;
    drain(c);
    ds4_status status = new_memory(c, n_bytes, &buffer, error);
    if (status != DS4_OK) return status;
    buffer->wrapped = true;
    buffer->contents = (uint8_t *)(uintptr_t)data;
    status = check(c, c->cu.copy_up(buffer->memory, data, n_bytes, c->stream), "copying the weights", error);
    if (status == DS4_OK) status = check(c, c->cu.stream_wait(c->stream), "copying the weights", error);
    if (status != DS4_OK) {
        buffer_free(d, buffer);
        return status;
    }
    *out = buffer;
    return DS4_OK;
}

static void *buffer_contents(const device_buffer *buffer) {
    return buffer->contents;
}

/* ---- kernels: one entry of the PTX, and the header ---- */

/* Text up to the first function or kernel. */
static size_t header_length(const char *ptx) {
    static const char *const BEGIN[] = {"\n.visible .func", "\n.visible .entry", "\n.weak .func", "\n.func",
                                        "\n.entry"};
    size_t length = strlen(ptx);
    for (size_t i = 0; i < sizeof BEGIN / sizeof *BEGIN; i++) {
        const char *at = strstr(ptx, BEGIN[i]);
        if (at && (size_t)(at - ptx) < length) length = (size_t)(at - ptx) + 1;
    }
    return length;
}

/* Copies [from, end) with "ld.const.u32 REGISTER, [sim_constant_N];" become "mov.u32 REGISTER, VALUE;". */
static bool append_with_constants(ds4_buffer *text, const char *from, const char *end,
                                  const device_constants *constants) {
    static const char LOAD[] = "ld.const.u32", PLACE[] = "[sim_constant_";
    for (const char *place; (place = strstr(from, PLACE)) && place < end;) {
        const char *line = place;
        while (*line != '\n') line--;
        const char *load = strstr(line, LOAD);
        int n = atoi(place + sizeof PLACE - 1);
        if (load > place || !constants || n >= constants->n) break; /* the compiler or a wrong result will tell */
        char value[32];
        snprintf(value, sizeof value, "%u;", constants->value[n]);
        if (!buffer_append(text, from, (size_t)(load - from)) || !buffer_append_string(text, "mov.u32") ||
            !buffer_append(text, load + sizeof LOAD - 1, (size_t)(place - (load + sizeof LOAD - 1))) ||
            !buffer_append_string(text, value))
            return false;
        from = strchr(place, '\n');
    }
    return buffer_append(text, from, (size_t)(end - from));
}

static ds4_status kernel_text(const cuda_device *c, const char *name, const device_constants *constants,
                              uint32_t n_threads, ds4_buffer *text, ds4_error *error) {
    char begin[160], limit[64];
    snprintf(begin, sizeof begin, "\n.visible .entry k_%s(", name);
    snprintf(limit, sizeof limit, "\n.maxntid %u, 1, 1\n", n_threads);
    const char *entry = strstr(c->ptx, begin), *body = entry ? strstr(entry, "\n)") : NULL;
    const char *end = body ? strstr(body, "\n}\n") : NULL;
    if (!end) return error_set(error, DS4_ERROR_ARGUMENT, "cuda: there is no kernel %s", name);
    entry++;
    body += 2;
    end += 3;
    if (buffer_append(text, c->ptx, c->header_bytes) && buffer_append(text, entry, (size_t)(body - entry)) &&
        buffer_append_string(text, limit) && append_with_constants(text, body, end, constants))
        return DS4_OK;
    return error_memory(error, "cuda: a kernel", text->n_bytes);
}

static void kernel_free(device *d, device_kernel *kernel) {
    cuda_device *c = cuda_of(d);
    if (!kernel) return;
    drop_batch(c);
    drain(c);
    if (kernel->module) c->cu.module_unload(kernel->module);
    free(kernel);
}

static ds4_status compile(cuda_device *c, device_kernel *kernel, const char *text, ds4_error *error) {
    static char log[LOG_BYTES];
    char entry[160];
    int option[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_BYTES}, max_threads = 0;
    void *value[] = {log, (void *)(uintptr_t)sizeof log};
    log[0] = '\0';
    snprintf(entry, sizeof entry, "k_%s", kernel->name);
    cu_result result = c->cu.module_load(&kernel->module, text, 2, option, value);
    if (result) {
        ds4_error why;
        check(c, result, kernel->name, &why);
        return error_set(error, DS4_ERROR_FORMAT, "%s: %.300s", why.message, log);
    }
    result = c->cu.module_function(&kernel->function, kernel->module, entry);
    if (!result) result = c->cu.function_attribute(&max_threads, CU_FUNC_MAX_THREADS, kernel->function);
    if (!result) result = c->cu.function_attribute(&kernel->use.registers, CU_FUNC_REGISTERS, kernel->function);
    if (!result) result = c->cu.function_attribute(&kernel->use.local_bytes, CU_FUNC_LOCAL_BYTES, kernel->function);
    if (!result)
        result = c->cu.function_attribute(&kernel->use.threadgroup_bytes, CU_FUNC_SHARED_BYTES, kernel->function);
    if (result) return check(c, result, kernel->name, error);
    if ((uint32_t)max_threads < kernel->n_threads)
        return error_set(error, DS4_ERROR_ARGUMENT, "cuda: kernel %s: %u threads in a threadgroup, expected at most %d",
                         kernel->name, kernel->n_threads, max_threads);
    return DS4_OK;
}

static ds4_status kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                             device_kernel **out, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    ds4_buffer text = {0};
    ds4_status status = kernel_text(c, name, constants, n_threads, &text, error);
    device_kernel *kernel = calloc(1, sizeof *kernel + strlen(name) + 1);
    if (status == DS4_OK && !kernel) status = error_memory(error, "cuda: a kernel", sizeof *kernel);
    if (status == DS4_OK) {
        strcpy(kernel->name, name);
        kernel->n_threads = n_threads;
        status = compile(c, kernel, text.data, error);
    }
    ds4_buffer_deinit(&text);
    if (status == DS4_OK)
        *out = kernel;
    else
        kernel_free(d, kernel);
    return status;
}

cuda_kernel_use cuda_kernel_get_use(const device_kernel *kernel) {
    return kernel->use;
}

/* ---- batches ---- */

static ds4_status begin(device *d, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    if (c->recording) return error_set(error, DS4_ERROR_ARGUMENT, "cuda: begin twice without a submit");
    c->recording = true;
    return DS4_OK;
}

static ds4_status record(cuda_device *c, const device_dispatch *from, ds4_error *error) {
    static const char zeros[PARAMETER_UNIT];
    const char *name = from->kernel->name;
    if (!c->recording) return error_set(error, DS4_ERROR_ARGUMENT, "cuda: kernel %s: dispatched before begin", name);
    if (from->n_parameter_bytes > DEVICE_MAX_PARAMETER_BYTES || from->binding[0].buffer)
        return error_set(error, DS4_ERROR_ARGUMENT, "cuda: kernel %s: wrong parameters", name);
    recorded item = {.kernel = from->kernel};
    memcpy(item.groups, from->groups, sizeof item.groups);
    item.arguments.buffer[0] = c->parameters.n_bytes;
    for (int i = 1; i < DEVICE_MAX_BINDINGS; i++) {
        const device_binding *binding = &from->binding[i];
        if (!binding->buffer) continue;
        if (binding->offset >= binding->buffer->n_bytes)
            return error_set(error, DS4_ERROR_ARGUMENT, "cuda: kernel %s: offset %zu of buffer %d, which has %zu bytes",
                             name, binding->offset, i, binding->buffer->n_bytes);
        item.arguments.buffer[i] = binding->buffer->memory + binding->offset;
    }
    size_t padding = -from->n_parameter_bytes % PARAMETER_UNIT;
    if (!array_reserve((void **)&c->batch, &c->batch_capacity, c->n_batch + 1, sizeof item) ||
        !buffer_append(&c->parameters, from->parameters, from->n_parameter_bytes) ||
        !buffer_append(&c->parameters, zeros, padding))
        return error_memory(error, "cuda: a dispatch", sizeof item);
    c->batch[c->n_batch++] = item;
    return DS4_OK;
}

static void dispatch(device *d, const device_dispatch *from) {
    cuda_device *c = cuda_of(d);
    if (c->batch_status == DS4_OK) c->batch_status = record(c, from, &c->batch_error);
}

/* Room for the parameters of one more batch. */
static ds4_status reserve_parameters(cuda_device *c, size_t n_bytes, ds4_error *error) {
    if (n_bytes <= c->parameter_capacity - c->parameters_used) return DS4_OK;
    drain(c);
    if (n_bytes <= c->parameter_capacity) return DS4_OK;
    if (c->parameter_memory) c->cu.memory_free(c->parameter_memory);
    if (c->parameters_up) c->cu.host_free(c->parameters_up);
    c->parameter_memory = 0;
    c->parameters_up = NULL;
    c->parameter_capacity = 0;
    void *up = NULL;
    n_bytes *= 4;
    if (c->cu.memory_allocate(&c->parameter_memory, n_bytes) != 0 || c->cu.host_allocate(&up, n_bytes, 0) != 0)
        return error_memory(error, "cuda: parameters", n_bytes);
    c->parameters_up = up;
    c->parameter_capacity = n_bytes;
    return DS4_OK;
}

/* Parameters, and what the CPU may have written. parameters: where they are. */
static ds4_status upload(cuda_device *c, cu_address *parameters, ds4_error *error) {
    size_t n_bytes = c->parameters.n_bytes;
    ds4_status status = reserve_parameters(c, n_bytes, error);
    if (status != DS4_OK || !n_bytes) return status;
    uint8_t *from = c->parameters_up + c->parameters_used;
    *parameters = c->parameter_memory + c->parameters_used;
    c->parameters_used += n_bytes;
    memcpy(from, c->parameters.data, n_bytes);
    cu_result result = c->cu.copy_up(*parameters, from, n_bytes, c->stream);
    for (const device_buffer *b = c->buffers; c->written_by_cpu && b && !result; b = b->next)
        result = c->cu.copy_up(b->memory, b->contents, b->n_bytes, c->stream);
    if (!result) c->written_by_cpu = false;
    return check(c, result, "copying memory to the GPU", error);
}

static ds4_status launch_all(cuda_device *c, cu_address parameters, bool synchronous, ds4_error *error) {
    for (size_t i = 0; i < c->n_batch; i++) {
        recorded *item = &c->batch[i];
        struct sim_arguments arguments = item->arguments;
        arguments.buffer[0] += parameters;
        void *argument[] = {&arguments};
        cu_result result = c->cu.launch(item->kernel->function, item->groups[0], item->groups[1], item->groups[2],
                                        item->kernel->n_threads, 1, 1, 0, c->stream, argument, NULL);
        if (!result && synchronous) result = c->cu.stream_wait(c->stream);
        if (result) {
            char what[192];
            snprintf(what, sizeof what, "kernel %s, dispatch %zu of %zu", item->kernel->name, i, c->n_batch);
            return check(c, result, what, error);
        }
    }
    return DS4_OK;
}

/* What every end of recording does first. */
static ds4_status end_recording(cuda_device *c, ds4_error *error) {
    ds4_status status = c->batch_status;
    if (status != DS4_OK) {
        if (error) *error = c->batch_error;
    } else if (!c->recording) {
        status = error_set(error, DS4_ERROR_ARGUMENT, "cuda: submit without begin");
    }
    c->batch_status = DS4_OK;
    c->recording = false;
    return status;
}

static ds4_status submit(device *d, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    cu_address parameters = 0;
    ds4_status status = end_recording(c, error);
    if (status == DS4_OK) status = upload(c, &parameters, error);
    if (status == DS4_OK) {
        c->in_flight = true;
        status = launch_all(c, parameters, c->synchronous, error);
    }
    drop_batch(c);
    return status;
}

static ds4_status wait_all(device *d, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    drain(c);
    ds4_status status = c->run_status;
    if (status != DS4_OK && error) *error = c->run_error;
    c->run_status = DS4_OK;
    c->written_by_cpu = true;
    return status;
}

/* ---- measuring ---- */

static ds4_status capture(cuda_device *c, cu_address parameters, cu_graph_exec *exec, ds4_error *error) {
    cu_graph graph = NULL;
    ds4_status status = check(c, c->cu.capture_begin(c->stream, CU_CAPTURE_RELAXED), "capturing", error);
    if (status != DS4_OK) return status;
    status = launch_all(c, parameters, false, error);
    cu_result result = c->cu.capture_end(c->stream, &graph);
    if (status == DS4_OK && !result) result = c->cu.graph_instantiate(exec, graph, 0);
    if (graph) c->cu.graph_destroy(graph);
    return status == DS4_OK ? check(c, result, "making a graph", error) : status;
}

static ds4_status time_graph(cuda_device *c, cu_graph_exec exec, int n_runs, double *seconds, ds4_error *error) {
    cu_event event[2] = {NULL, NULL};
    cu_result result = c->cu.event_create(&event[0], 0);
    if (!result) result = c->cu.event_create(&event[1], 0);
    for (int i = -1; i < n_runs && !result; i++) {
        float milliseconds = 0;
        result = c->cu.event_record(event[0], c->stream);
        if (!result) result = c->cu.graph_launch(exec, c->stream);
        if (!result) result = c->cu.event_record(event[1], c->stream);
        if (!result) result = c->cu.stream_wait(c->stream);
        if (!result) result = c->cu.event_milliseconds(&milliseconds, event[0], event[1]);
        if (i >= 0) seconds[i] = (double)milliseconds * 1e-3;
    }
    for (int i = 0; i < 2; i++)
        if (event[i]) c->cu.event_destroy(event[i]);
    return check(c, result, "measuring", error);
}

ds4_status cuda_device_measure(device *d, int n_runs, double *seconds, ds4_error *error) {
    cuda_device *c = cuda_of(d);
    cu_graph_exec exec = NULL;
    cu_address parameters = 0;
    ds4_status status = end_recording(c, error);
    if (status == DS4_OK) status = upload(c, &parameters, error);
    if (status == DS4_OK) status = check(c, c->cu.stream_wait(c->stream), "copying", error);
    if (status == DS4_OK) status = capture(c, parameters, &exec, error);
    if (status == DS4_OK) {
        c->in_flight = true;
        status = time_graph(c, exec, n_runs, seconds, error);
    }
    if (exec) c->cu.graph_exec_destroy(exec);
    drop_batch(c);
    return status;
}

/* ---- the device ---- */

static void device_free(device *d) {
    if (!d) return;
    cuda_device *c = cuda_of(d);
    drain(c);
    if (c->parameter_memory) c->cu.memory_free(c->parameter_memory);
    if (c->parameters_up) c->cu.host_free(c->parameters_up);
    if (c->stream) c->cu.stream_destroy(c->stream);
    if (c->retained) c->cu.context_release(c->ordinal);
    ds4_buffer_deinit(&c->parameters);
    free(c->batch);
    free(c->ptx);
    free(c);
}

static ds4_status load_driver(cuda_driver *driver, ds4_error *error) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) return error_set(error, DS4_ERROR_IO, "cuda: %s", dlerror());
    for (size_t i = 0; i < sizeof SYMBOL / sizeof *SYMBOL; i++) {
        void *symbol = dlsym(library, SYMBOL[i].name);
        if (!symbol) return error_set(error, DS4_ERROR_IO, "cuda: the driver has no %s", SYMBOL[i].name);
        memcpy((char *)driver + SYMBOL[i].offset, &symbol, sizeof symbol);
    }
    return DS4_OK;
}

static ds4_status read_ptx(cuda_device *c, ds4_error *error) {
    const char *given = getenv("DS4_PTX");
    char *path = given && *given ? strdup(given) : path_beside_program("kernels.ptx");
    if (!path) return error_set(error, DS4_ERROR_IO, "cuda: the path of kernels.ptx is unknown");
    FILE *file = fopen(path, "rb");
    long size = 0;
    if (file && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    c->ptx = size > 0 ? calloc(1, (size_t)size + 1) : NULL;
    ds4_status status = DS4_OK;
    if (c->ptx && fseek(file, 0, SEEK_SET) == 0 && fread(c->ptx, 1, (size_t)size, file) == (size_t)size)
        c->header_bytes = header_length(c->ptx);
    else
        status = error_set(error, DS4_ERROR_IO, "cuda: %s: cannot be read", path);
    if (file) fclose(file);
    free(path);
    return status;
}

static ds4_status open_gpu(cuda_device *c, ds4_error *error) {
    size_t memory = 0;
    cu_result result = c->cu.init(0);
    if (!result) result = c->cu.device_get(&c->ordinal, 0);
    if (!result) result = c->cu.device_name(c->base.limits.name, (int)sizeof c->base.limits.name, c->ordinal);
    if (!result) result = c->cu.device_memory(&memory, c->ordinal);
    if (!result) result = c->cu.context_retain(&c->context, c->ordinal);
    c->retained = !result;
    if (!result) result = c->cu.context_set(c->context);
    if (!result) result = c->cu.stream_create(&c->stream, CU_STREAM_NON_BLOCKING);
    c->base.limits.max_buffer_bytes = c->base.limits.max_working_bytes = memory;
    c->base.limits.wrap_alignment = WRAP_ALIGNMENT;
    return check(c, result, "opening the GPU", error);
}

static const device_ops OPS = {
    .name = "cuda",
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

ds4_status cuda_device_new(device **out, ds4_error *error) {
    *out = NULL;
    cuda_device *c = calloc(1, sizeof *c);
    if (!c) return error_memory(error, "cuda: the device", sizeof *c);
    c->base.op = &OPS;
    const char *synchronous = getenv("DS4_CUDA_SYNC");
    c->synchronous = synchronous && strcmp(synchronous, "1") == 0;
    ds4_status status = load_driver(&c->cu, error);
    if (status != DS4_OK) {
        free(c);
        return status;
    }
    status = read_ptx(c, error);
    if (status == DS4_OK) status = open_gpu(c, error);
    if (status != DS4_OK) {
        device_free(&c->base);
        return status;
    }
    *out = &c->base;
    return DS4_OK;
}
