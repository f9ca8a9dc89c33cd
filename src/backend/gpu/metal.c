/*
 * Metal as a device, in plain C: methods are called through objc_msgSend (metal_api.h).
 *
 * A batch is one command buffer with one serial encoder, so that each dispatch sees what earlier ones wrote, and
 * Metal's hazard tracking orders batches. Command buffers hold no references to buffers and pipelines: freeing one
 * waits for all that is in flight. What fails on the GPU is kept until metal_wait reports it.
 */
#include "backend/gpu/metal.h"
#include "backend/gpu/kernels_source.h"
#include "backend/gpu/metal_api.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_IN_FLIGHT = 3, /* enough to keep the GPU busy; who wants to stop waits for no more */
    SIMD_WIDTH = 32,
    PAGE_BYTES = 16384, /* of Apple silicon */
};

struct device_buffer {
    id object;
    void *contents;
    size_t n_bytes;
    bool is_resident;
};

struct device_kernel {
    id pipeline;
    uint32_t n_threads;
};

typedef struct metal {
    device base;
    id device, queue, library;

    /* Buffers that stay wired, while they fit; NULL before macOS 15. Additions count from the set's next commit. */
    id residency;
    uint64_t resident_bytes;
    bool has_new_residents;

    id batch, encoder;           /* between begin and submit */
    const device_kernel *kernel; /* the encoder's last */
    id in_flight[MAX_IN_FLIGHT]; /* the oldest first */
    int n_in_flight;
    ds4_status failed; /* the first failure since the last wait */
    ds4_error failure;
} metal;

static metal *metal_of(device *d) {
    return (metal *)(void *)d;
}

/* ---- errors ---- */

/* The line that matters of a text that may be a compiler's whole output. */
static const char *line_of(const char *text, int *n_bytes) {
    const char *start = strstr(text, "error:");
    if (!start) start = text;
    while (start > text && start[-1] != '\n') start--;
    *n_bytes = (int)strcspn(start, "\n");
    return start;
}

/* what says which thing failed, at the end of a sentence or before a colon. */
static ds4_status set_ns_error(ds4_error *error, ds4_status status, const char *what, id ns_error) {
    const char *text = ns_text(ns_error_text(ns_error));
    int n_bytes;
    if (!text) return error_set(error, status, "%s failed, and Metal does not say why", what);
    text = line_of(text, &n_bytes);
    return error_set(error, status, "%s: %.*s", what, n_bytes, text);
}

/* ---- batches ---- */

/* Ends what was begun and not submitted. */
static void drop_batch(metal *m) {
    if (m->encoder) mtl_end_encoding(m->encoder);
    ns_release(m->encoder);
    ns_release(m->batch);
    m->encoder = m->batch = NULL;
    m->kernel = NULL;
}

static void finish_oldest(metal *m) {
    id oldest = m->in_flight[0];
    mtl_wait(oldest);
    if (mtl_status(oldest) != MTL_STATUS_COMPLETED && m->failed == DS4_OK) {
        id why = mtl_error(oldest);
        bool out_of_memory = ns_error_code(why) == MTL_ERROR_OUT_OF_MEMORY;
        m->failed =
            set_ns_error(&m->failure, out_of_memory ? DS4_ERROR_MEMORY : DS4_ERROR_IO, m->base.limits.name, why);
    }
    ns_release(oldest);
    m->n_in_flight--;
    memmove(m->in_flight, m->in_flight + 1, (size_t)m->n_in_flight * sizeof *m->in_flight);
}

static void finish_all(metal *m) {
    while (m->n_in_flight > 0) finish_oldest(m);
}

static ds4_status metal_begin(device *d, ds4_error *error) {
    metal *m = metal_of(d);
    void *pool = objc_autoreleasePoolPush();
    drop_batch(m);
    if (m->has_new_residents) mtl_commit(m->residency);
    m->has_new_residents = false;
    m->batch = ns_retain(mtl_command_buffer(m->queue));
    m->encoder = ns_retain(mtl_encoder(m->batch));
    objc_autoreleasePoolPop(pool);
    if (m->encoder) return DS4_OK;
    drop_batch(m);
    return error_set(error, DS4_ERROR_MEMORY, "%s: no command buffer", d->limits.name);
}

static void metal_dispatch(device *d, const device_dispatch *dispatch) {
    metal *m = metal_of(d);
    if (!m->encoder) return; /* submit will say so */
    if (dispatch->n_parameter_bytes > DEVICE_MAX_PARAMETER_BYTES) {
        if (m->failed == DS4_OK)
            m->failed = error_set(&m->failure, DS4_ERROR_ARGUMENT, "%zu bytes of parameters, the limit is %d",
                                  dispatch->n_parameter_bytes, DEVICE_MAX_PARAMETER_BYTES);
        return;
    }
    void *pool = objc_autoreleasePoolPush();
    if (m->kernel != dispatch->kernel) mtl_set_pipeline(m->encoder, dispatch->kernel->pipeline);
    m->kernel = dispatch->kernel;
    if (dispatch->n_parameter_bytes) mtl_set_bytes(m->encoder, dispatch->parameters, dispatch->n_parameter_bytes, 0);
    for (ns_uinteger i = 1; i < DEVICE_MAX_BINDINGS; i++) {
        const device_binding *binding = &dispatch->binding[i];
        if (binding->buffer) mtl_set_buffer(m->encoder, binding->buffer->object, binding->offset, i);
    }
    mtl_size groups = {dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]};
    mtl_dispatch_groups(m->encoder, groups, (mtl_size){dispatch->kernel->n_threads, 1, 1});
    objc_autoreleasePoolPop(pool);
}

static ds4_status metal_submit(device *d, ds4_error *error) {
    metal *m = metal_of(d);
    if (!m->batch) return error_set(error, DS4_ERROR_ARGUMENT, "%s: no batch was begun", d->limits.name);
    void *pool = objc_autoreleasePoolPush();
    mtl_end_encoding(m->encoder);
    mtl_commit(m->batch);
    if (m->n_in_flight == MAX_IN_FLIGHT) finish_oldest(m);
    m->in_flight[m->n_in_flight++] = m->batch;
    ns_release(m->encoder);
    m->encoder = m->batch = NULL;
    m->kernel = NULL;
    objc_autoreleasePoolPop(pool);
    return DS4_OK;
}

static ds4_status metal_wait(device *d, ds4_error *error) {
    metal *m = metal_of(d);
    void *pool = objc_autoreleasePoolPush();
    finish_all(m);
    objc_autoreleasePoolPop(pool);
    ds4_status status = m->failed;
    if (status != DS4_OK && error) *error = m->failure;
    m->failed = DS4_OK;
    return status;
}

/* Buffers and pipelines must not go while a command buffer uses them. */
static void stop_all(metal *m) {
    drop_batch(m);
    finish_all(m);
}

/* ---- buffers ---- */

/* The driver makes a buffer resident for each command buffer that uses it. That takes time for large ones, and what
 * was not used for a while must be wired again: hence the residency set, for as much as the system recommends. */
static void make_resident(metal *m, device_buffer *buffer) {
    if (!m->residency || buffer->n_bytes > m->base.limits.max_working_bytes - m->resident_bytes) return;
    mtl_add_allocation(m->residency, buffer->object);
    m->resident_bytes += buffer->n_bytes;
    m->has_new_residents = buffer->is_resident = true;
}

static ds4_status check_length(const metal *m, size_t n_bytes, ds4_error *error) {
    const device_limits *limits = &m->base.limits;
    if (n_bytes == 0) return error_set(error, DS4_ERROR_ARGUMENT, "%s: a buffer of no bytes", limits->name);
    if (n_bytes > limits->max_buffer_bytes)
        return error_set(error, DS4_ERROR_MEMORY, "%s: a buffer of %zu bytes, the limit is %llu", limits->name, n_bytes,
                         (unsigned long long)limits->max_buffer_bytes);
    return DS4_OK;
}

/* Of n_bytes; of the memory at data if that is not NULL. */
static ds4_status make_buffer(metal *m, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error) {
    ds4_status status = check_length(m, n_bytes, error);
    if (status != DS4_OK) return status;
    device_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return error_memory(error, "buffer", sizeof *buffer);
    void *pool = objc_autoreleasePoolPush();
    /* Wrapped memory is only read: there is nothing to order. */
    buffer->object = data ? mtl_new_buffer_no_copy(m->device, (void *)(uintptr_t)data, n_bytes,
                                                   MTL_STORAGE_SHARED | MTL_UNTRACKED, NULL)
                          : mtl_new_buffer(m->device, n_bytes, MTL_STORAGE_SHARED);
    if (buffer->object) {
        buffer->contents = mtl_contents(buffer->object);
        buffer->n_bytes = n_bytes;
        make_resident(m, buffer);
        *out = buffer;
    } else {
        status = error_memory(error, m->base.limits.name, n_bytes);
        free(buffer);
    }
    objc_autoreleasePoolPop(pool);
    return status;
}

static ds4_status metal_buffer_new(device *d, size_t n_bytes, device_buffer **out, ds4_error *error) {
    return make_buffer(metal_of(d), NULL, n_bytes, out, error);
}

static ds4_status metal_buffer_wrap(device *d, const void *data, size_t n_bytes, device_buffer **out,
                                    ds4_error *error) {
    if (!data || ((uintptr_t)data | n_bytes) % PAGE_BYTES != 0)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: memory to wrap must be whole pages of %d bytes",
                         d->limits.name, PAGE_BYTES);
    return make_buffer(metal_of(d), data, n_bytes, out, error);
}

static void metal_buffer_free(device *d, device_buffer *buffer) {
    metal *m = metal_of(d);
    if (!buffer) return;
    void *pool = objc_autoreleasePoolPush();
    stop_all(m);
    if (buffer->is_resident) {
        /* at once: the caller may unmap the memory next */
        mtl_remove_allocation(m->residency, buffer->object);
        mtl_commit(m->residency);
        m->has_new_residents = false;
        m->resident_bytes -= buffer->n_bytes;
    }
    ns_release(buffer->object);
    objc_autoreleasePoolPop(pool);
    free(buffer);
}

static void *metal_buffer_contents(const device_buffer *buffer) {
    return buffer->contents;
}

/* ---- kernels ---- */

static id function_with_constants(const metal *m, const char *name, const device_constants *constants, id *why) {
    id values = ns_new("MTLFunctionConstantValues");
    for (int i = 0; constants && i < constants->n; i++)
        mtl_set_constant(values, &constants->value[i], MTL_TYPE_UINT, (ns_uinteger)i);
    id function = mtl_new_function(m->library, ns_string(name), values, why);
    ns_release(values);
    return function;
}

static id pipeline_of(const metal *m, const char *name, id function, id *why) {
    id descriptor = ns_new("MTLComputePipelineDescriptor");
    mtl_set_label(descriptor, ns_string(name));
    mtl_set_function(descriptor, function);
    mtl_set_multiple_of_width(descriptor, 1);
    id pipeline = mtl_new_pipeline(m->device, descriptor, 0, NULL, why);
    ns_release(descriptor);
    return pipeline;
}

static ds4_status make_pipeline(const metal *m, const char *name, const device_constants *constants, id *out,
                                ds4_error *error) {
    char what[sizeof m->base.limits.name + 128];
    snprintf(what, sizeof what, "%s: kernel %s", m->base.limits.name, name);
    id why = NULL, function = function_with_constants(m, name, constants, &why);
    if (!function) return set_ns_error(error, DS4_ERROR_ARGUMENT, what, why);
    why = NULL;
    *out = pipeline_of(m, name, function, &why);
    ns_release(function);
    return *out ? DS4_OK : set_ns_error(error, DS4_ERROR_ARGUMENT, what, why);
}

/* The compiler may allow a kernel fewer threads than it was written for: it depends on the registers that it needs. */
static ds4_status check_pipeline(const metal *m, const char *name, id pipeline, uint32_t n_threads, ds4_error *error) {
    ns_uinteger limit = mtl_max_threads(pipeline), width = mtl_execution_width(pipeline);
    if (width != SIMD_WIDTH)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: kernel %s: SIMD-groups of %lu threads, expected %d",
                         m->base.limits.name, name, width, SIMD_WIDTH);
    if (n_threads == 0 || n_threads % SIMD_WIDTH != 0)
        return error_set(error, DS4_ERROR_ARGUMENT, "kernel %s: %u threads in a threadgroup, expected a multiple of %d",
                         name, (unsigned)n_threads, SIMD_WIDTH);
    if (n_threads > limit)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: kernel %s: %u threads in a threadgroup, the limit is %lu",
                         m->base.limits.name, name, (unsigned)n_threads, limit);
    return DS4_OK;
}

static ds4_status metal_kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                                   device_kernel **out, ds4_error *error) {
    metal *m = metal_of(d);
    device_kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel) return error_memory(error, "kernel", sizeof *kernel);
    kernel->n_threads = n_threads;
    void *pool = objc_autoreleasePoolPush();
    ds4_status status = make_pipeline(m, name, constants, &kernel->pipeline, error);
    if (status == DS4_OK) status = check_pipeline(m, name, kernel->pipeline, n_threads, error);
    if (status == DS4_OK) {
        *out = kernel;
    } else {
        ns_release(kernel->pipeline);
        free(kernel);
    }
    objc_autoreleasePoolPop(pool);
    return status;
}

static void metal_kernel_free(device *d, device_kernel *kernel) {
    if (!kernel) return;
    void *pool = objc_autoreleasePoolPush();
    stop_all(metal_of(d));
    ns_release(kernel->pipeline);
    objc_autoreleasePoolPop(pool);
    free(kernel);
}

/* ---- the library of kernels ---- */

/* The compiler must not take liberties: rounding is part of the model. */
static id compile_options(void) {
    id options = ns_new("MTLCompileOptions");
    mtl_set_language(options, MTL_LANGUAGE_3_1);
    if (ns_knows(options, MTL_SET_MATH_MODE)) {
        mtl_set_math_mode(options, MTL_MATH_SAFE);
        mtl_set_math_functions(options, MTL_FUNCTIONS_PRECISE);
    } else {
        mtl_set_fast_math(options, 0);
    }
    return options;
}

static ds4_status compile_library(metal *m, const char *source, ds4_error *error) {
    id options = compile_options(), why = NULL;
    /* A library may come with warnings in `why`. */
    m->library = mtl_new_library_from_source(m->device, ns_string(source), options, &why);
    ns_release(options);
    return m->library ? DS4_OK : set_ns_error(error, DS4_ERROR_FORMAT, "kernels", why);
}

static ds4_status load_library(metal *m, const char *path, ds4_error *error) {
    id why = NULL;
    m->library = mtl_new_library_from_url(m->device, ns_file(path), &why);
    return m->library ? DS4_OK : set_ns_error(error, DS4_ERROR_IO, path, why);
}

/* ---- the device ---- */

static void metal_free(device *d) {
    if (!d) return;
    metal *m = metal_of(d);
    void *pool = objc_autoreleasePoolPush();
    stop_all(m);
    if (m->residency) mtl_end_residency(m->residency);
    ns_release(m->library);
    ns_release(m->queue);
    ns_release(m->residency);
    ns_release(m->device);
    objc_autoreleasePoolPop(pool);
    free(m);
}

static const device_ops METAL_OPS = {
    .name = "metal",
    .free = metal_free,
    .buffer_new = metal_buffer_new,
    .buffer_wrap = metal_buffer_wrap,
    .buffer_free = metal_buffer_free,
    .buffer_contents = metal_buffer_contents,
    .kernel_new = metal_kernel_new,
    .kernel_free = metal_kernel_free,
    .begin = metal_begin,
    .dispatch = metal_dispatch,
    .submit = metal_submit,
    .wait = metal_wait,
};

/* By capability, not by name: later chips have all of it. */
static ds4_status choose_device(metal *m, ds4_error *error) {
    ns_version oldest = {14, 0, 0};
    if (!ns_is_system_at_least(ns_class_process(ns_class("NSProcessInfo")), oldest))
        return error_set(error, DS4_ERROR_ARGUMENT, "Metal: needs macOS 14 or newer");
    id all = MTLCopyAllDevices();
    m->device = ns_count(all) > 0 ? ns_retain(ns_at(all, 0)) : MTLCreateSystemDefaultDevice();
    ns_release(all);
    if (!m->device) return error_set(error, DS4_ERROR_ARGUMENT, "Metal: this system has no GPU for it");
    const char *name = ns_text(mtl_name(m->device));
    device_limits *limits = &m->base.limits;
    snprintf(limits->name, sizeof limits->name, "%s", name ? name : "Metal");
    if (!mtl_supports_family(m->device, MTL_FAMILY_METAL3) || !mtl_supports_family(m->device, MTL_FAMILY_APPLE7))
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: needs a GPU of Apple silicon (M1 or newer)", limits->name);
    limits->max_buffer_bytes = mtl_max_buffer_length(m->device);
    limits->max_working_bytes = mtl_recommended_bytes(m->device);
    limits->wrap_alignment = PAGE_BYTES;
    return DS4_OK;
}

ds4_status metal_device_limits(device_limits *limits, ds4_error *error) {
    metal m = {0};
    void *pool = objc_autoreleasePoolPush();
    ds4_status status = choose_device(&m, error);
    ns_release(m.device);
    objc_autoreleasePoolPop(pool);
    if (status == DS4_OK) *limits = m.base.limits;
    return status;
}

/* Residency is requested once, for the empty set: what is added later becomes resident by the set's commits. */
static ds4_status make_queue(metal *m, ds4_error *error) {
    m->queue = mtl_new_queue(m->device);
    if (!m->queue) return error_set(error, DS4_ERROR_MEMORY, "%s: no command queue", m->base.limits.name);
    if (!ns_class("MTLResidencySetDescriptor") || !ns_knows(m->device, MTL_NEW_RESIDENCY_SET)) return DS4_OK;
    id descriptor = ns_new("MTLResidencySetDescriptor"), why = NULL;
    m->residency = mtl_new_residency_set(m->device, descriptor, &why);
    ns_release(descriptor);
    if (!m->residency) return DS4_OK; /* works without, only slower */
    mtl_request_residency(m->residency);
    mtl_add_residency_set(m->queue, m->residency);
    return DS4_OK;
}

ds4_status metal_device_open(const char *metallib, const char *source, device **out, ds4_error *error) {
    metal *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "Metal device", sizeof *m);
    m->base.op = &METAL_OPS;
    void *pool = objc_autoreleasePoolPush();
    ds4_status status = choose_device(m, error);
    if (status == DS4_OK) status = make_queue(m, error);
    if (status == DS4_OK) status = metallib ? load_library(m, metallib, error) : compile_library(m, source, error);
    if (status == DS4_OK)
        *out = &m->base;
    else
        metal_free(&m->base);
    objc_autoreleasePoolPop(pool);
    return status;
}

/* The source ends with a kernel named after its checksum (tools/concatenate_kernels.sh). */
static bool is_of_this_program(device *d) {
    static const char MARK[] = "kernel void source_";
    const char *mark = NULL;
    for (const char *at = kernels_source; (at = strstr(at, MARK)) != NULL; at++) mark = at + strlen("kernel void ");
    char name[64];
    device_kernel *kernel;
    if (!mark || snprintf(name, sizeof name, "%.*s", (int)strcspn(mark, "("), mark) >= (int)sizeof name) return false;
    if (d->op->kernel_new(d, name, &(device_constants){.n = 0}, SIMD_WIDTH, &kernel, NULL) != DS4_OK) return false;
    d->op->kernel_free(d, kernel);
    return true;
}

/* A compiled library saves the time of compiling: the one that DS4_METALLIB names, or ds4.metallib beside the program,
 * which may be left over from another build. */
ds4_status metal_device_new(device **out, ds4_error *error) {
    const char *named = getenv("DS4_METALLIB");
    if (named && *named) return metal_device_open(named, NULL, out, error);
    char *beside = path_beside_program("ds4.metallib");
    bool is_there = beside && access(beside, R_OK) == 0;
    device *d = NULL;
    if (is_there && metal_device_open(beside, NULL, &d, NULL) == DS4_OK && !is_of_this_program(d)) {
        d->op->free(d);
        d = NULL;
    }
    free(beside);
    if (!d) return metal_device_open(NULL, kernels_source, out, error);
    *out = d;
    return DS4_OK;
}
