/*
 * metal.c against the simulated framework of tools/metalsim, which reports mistakes in the use of Metal, kernels that
 * touch what they must not, CPU accesses to memory that the GPU is still using, and objects left alive.
 */
#include "test.h"

#include "backend/gpu/kernels_source.h"
#include "backend/gpu/metal.h"
#include "executor/sim.h"
#include "metalsim.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 64, THREADS = 32, IN_FLIGHT = 3, PAGE = 16384 };

#define KERNEL "[[max_total_threads_per_threadgroup(64)]] kernel void "

/* Takes the place of the library's own kernels. */
const char kernels_source[] =
    "#include <metal_stdlib>\n"
    "using namespace metal;\n"
    "constant uint first [[function_constant(0)]];\n"
    "constant uint second [[function_constant(1)]];\n"
    "struct numbers { uint n; float factor, offset; };\n" KERNEL
    "scale(constant numbers &p [[buffer(0)]], const device float *x [[buffer(1)]], device float *y [[buffer(3)]],\n"
    "      uint i [[thread_position_in_grid]]) {\n"
    "    if (i < p.n) y[i] = p.factor * x[i] + p.offset;\n"
    "}\n" KERNEL "constants(device uint *y [[buffer(1)]], uint i [[thread_position_in_grid]]) {\n"
    "    y[i] = 100 * first + second;\n"
    "}\n" KERNEL "count(device uint *y [[buffer(1)]], uint i [[thread_position_in_grid]]) {\n"
    "    y[i] += 1;\n"
    "}\n" KERNEL "positions(device uint *y [[buffer(1)]], uint3 group [[threadgroup_position_in_grid]],\n"
    "          uint i [[thread_index_in_threadgroup]], uint3 groups [[threadgroups_per_grid]]) {\n"
    "    y[((group.z * groups.y + group.y) * groups.x + group.x) * 32 + i] = group.x + 10 * group.y + 100 * group.z;\n"
    "}\n" KERNEL "beyond(device uint *y [[buffer(1)]], uint i [[thread_position_in_grid]]) {\n"
    "    y[i + 1000] = 1;\n"
    "}\n";
const size_t kernels_source_bytes = sizeof kernels_source - 1;

struct numbers {
    uint32_t n;
    float factor, offset;
};

static char folder[200], metallib[300];
static struct metalsim_device usual_device;
static struct sim_options usual_options;

/* The framework keeps freed objects, to find messages to them: no leaks. What is alive is counted below. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

/* ---- helpers ---- */

/* Devices from the compiled library: quicker than from source. */
static device *open_device(void) {
    ds4_error error;
    device *d = NULL;
    assert_ok(metal_device_open(metallib, NULL, &d, &error), &error);
    return d;
}

static device_buffer *new_buffer(device *d, size_t n_bytes) {
    ds4_error error;
    device_buffer *buffer = NULL;
    assert_ok(d->op->buffer_new(d, n_bytes, &buffer, &error), &error);
    return buffer;
}

static device_kernel *new_kernel(device *d, const char *name) {
    ds4_error error;
    device_kernel *kernel = NULL;
    assert_ok(d->op->kernel_new(d, name, NULL, THREADS, &kernel, &error), &error);
    return kernel;
}

static void begin(device *d) {
    ds4_error error;
    assert_ok(d->op->begin(d, &error), &error);
}
static void submit(device *d) {
    ds4_error error;
    assert_ok(d->op->submit(d, &error), &error);
}
static void wait(device *d) {
    ds4_error error;
    assert_ok(d->op->wait(d, &error), &error);
}

/* One buffer, at slot 1, for N threads. */
static void dispatch_on(device *d, const device_kernel *kernel, device_buffer *buffer, size_t offset) {
    device_dispatch dispatch = {.kernel = kernel, .groups = {N / THREADS, 1, 1}};
    dispatch.binding[1] = (device_binding){buffer, offset};
    d->op->dispatch(d, &dispatch);
}

static void dispatch_scale(device *d, const device_kernel *kernel, device_binding x, device_binding y, float factor,
                           float offset) {
    struct numbers numbers = {N, factor, offset};
    device_dispatch dispatch = {
        .kernel = kernel, .parameters = &numbers, .n_parameter_bytes = sizeof numbers, .groups = {N / THREADS, 1, 1}};
    dispatch.binding[1] = x;
    dispatch.binding[3] = y;
    d->op->dispatch(d, &dispatch);
    numbers = (struct numbers){0}; /* has been copied */
}

/* Nothing was left alive and nothing done wrong. */
static void close_device(device *d) {
    d->op->free(d);
    assert_int_equal(metalsim_live_objects(), 0);
    assert_string_equal(metalsim_first_error(), "");
}

static void assert_refused(ds4_status status, ds4_status expected, const ds4_error *error, const char *part) {
    assert_int_equal(status, expected);
    if (!strstr(error->message, part)) fail_msg("\"%s\" is not in: %s", part, error->message);
}

/* ---- buffers ---- */

static void a_device_tells_its_limits(void **state) {
    (void)state;
    device *d = open_device();
    assert_string_equal(d->op->name, "metal");
    assert_string_equal(d->limits.name, "Simulated GPU");
    assert_true(d->limits.max_buffer_bytes == metalsim_device.max_buffer_bytes);
    assert_true(d->limits.max_working_bytes == metalsim_device.working_set_bytes);
    assert_int_equal(d->limits.wrap_alignment, PAGE);
    close_device(d);
}

static void limits_are_told_without_a_device(void **state) {
    (void)state;
    ds4_error error;
    device_limits limits = {.name = ""};
    assert_ok(metal_device_limits(&limits, &error), &error);
    assert_string_equal(limits.name, "Simulated GPU");
    assert_true(limits.max_working_bytes == metalsim_device.working_set_bytes);
    metalsim_device.apple_family = 6;
    assert_refused(metal_device_limits(&limits, &error), DS4_ERROR_ARGUMENT, &error, "needs a GPU of Apple silicon");
    assert_int_equal(metalsim_live_objects(), 0);
    assert_string_equal(metalsim_first_error(), "");
}

static void new_buffers_are_zeroed_memory_of_both_sides(void **state) {
    (void)state;
    device *d = open_device();
    device_buffer *buffer = new_buffer(d, N * sizeof(uint32_t));
    device_kernel *count = new_kernel(d, "count");
    uint32_t *number = d->op->buffer_contents(buffer);
    for (int i = 0; i < N; i++) assert_int_equal(number[i], 0);
    number[3] = 7;
    begin(d);
    dispatch_on(d, count, buffer, 0);
    submit(d);
    wait(d);
    for (int i = 0; i < N; i++) assert_int_equal(number[i], i == 3 ? 8 : 1);
    d->op->buffer_free(d, buffer);
    d->op->kernel_free(d, count);
    close_device(d);
}

static void buffers_that_the_device_cannot_have_are_refused(void **state) {
    (void)state;
    device *d = open_device();
    device_buffer *buffer = NULL;
    ds4_error error;
    assert_refused(d->op->buffer_new(d, 0, &buffer, &error), DS4_ERROR_ARGUMENT, &error, "no bytes");
    assert_refused(d->op->buffer_new(d, metalsim_device.max_buffer_bytes + 1, &buffer, &error), DS4_ERROR_MEMORY,
                   &error, "the limit is 4294967296");
    assert_null(buffer);
    d->op->buffer_free(d, NULL);
    d->op->kernel_free(d, NULL);
    close_device(d);
}

static void wrapped_memory_is_read_where_it_is(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *scale = new_kernel(d, "scale");
    device_buffer *y = new_buffer(d, N * sizeof(float)), *x = NULL;
    float *memory = aligned_alloc(PAGE, 2 * PAGE);
    assert_non_null(memory);
    for (int i = 0; i < 2 * PAGE / (int)sizeof(float); i++) memory[i] = (float)i;
    ds4_error error;
    assert_ok(d->op->buffer_wrap(d, memory, 2 * PAGE, &x, &error), &error);
    assert_ptr_equal(d->op->buffer_contents(x), memory);
    begin(d);
    dispatch_scale(d, scale, (device_binding){x, PAGE}, (device_binding){y, 0}, 2.0f, 1.0f);
    submit(d);
    wait(d);
    const float *result = d->op->buffer_contents(y);
    for (int i = 0; i < N; i++) assert_float_equal(result[i], (float)(2 * (PAGE / 4 + i) + 1), 0.0f);
    d->op->buffer_free(d, x);
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, scale);
    free(memory);
    close_device(d);
}

static void only_whole_pages_are_wrapped(void **state) {
    (void)state;
    device *d = open_device();
    char *memory = aligned_alloc(PAGE, 2 * PAGE);
    device_buffer *buffer = NULL;
    ds4_error error;
    assert_non_null(memory);
    assert_refused(d->op->buffer_wrap(d, memory + 4096, PAGE, &buffer, &error), DS4_ERROR_ARGUMENT, &error, "pages");
    assert_refused(d->op->buffer_wrap(d, memory, PAGE + 1, &buffer, &error), DS4_ERROR_ARGUMENT, &error, "pages");
    assert_refused(d->op->buffer_wrap(d, NULL, PAGE, &buffer, &error), DS4_ERROR_ARGUMENT, &error, "pages");
    assert_null(buffer);
    free(memory);
    close_device(d);
}

static void buffers_beyond_the_recommended_memory_work(void **state) {
    (void)state;
    metalsim_device.working_set_bytes = 3 * N * sizeof(uint32_t) / 2; /* one of them is kept resident */
    device *d = open_device();
    device_kernel *count = new_kernel(d, "count");
    device_buffer *a = new_buffer(d, N * sizeof(uint32_t)), *b = new_buffer(d, N * sizeof(uint32_t));
    begin(d);
    dispatch_on(d, count, a, 0);
    dispatch_on(d, count, b, 0);
    submit(d);
    wait(d);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(a), 1);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(b), 1);
    d->op->buffer_free(d, a);
    d->op->buffer_free(d, b);
    d->op->kernel_free(d, count);
    close_device(d);
}

/* ---- dispatches ---- */

static void dispatches_of_a_batch_run_in_order(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *scale = new_kernel(d, "scale"), *count = new_kernel(d, "count");
    device_buffer *x = new_buffer(d, 3 * N * sizeof(float)), *counts = new_buffer(d, N * sizeof(uint32_t));
    float *value = d->op->buffer_contents(x);
    for (int i = 0; i < N; i++) value[i] = (float)i;
    const size_t row = N * sizeof(float);
    begin(d);
    dispatch_scale(d, scale, (device_binding){x, 0}, (device_binding){x, row}, 2.0f, 1.0f);
    dispatch_on(d, count, counts, 0);
    dispatch_on(d, count, counts, 0);
    dispatch_scale(d, scale, (device_binding){x, row}, (device_binding){x, 2 * row}, 3.0f, 0.5f);
    submit(d);
    wait(d);
    for (int i = 0; i < N; i++) assert_float_equal(value[2 * N + i], 3.0f * (2.0f * (float)i + 1.0f) + 0.5f, 0.0f);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(counts), 2);
    d->op->buffer_free(d, x);
    d->op->buffer_free(d, counts);
    d->op->kernel_free(d, scale);
    d->op->kernel_free(d, count);
    close_device(d);
}

static void a_kernel_is_made_for_its_constants(void **state) {
    (void)state;
    device *d = open_device();
    device_buffer *y = new_buffer(d, 2 * N * sizeof(uint32_t));
    device_kernel *kernel[2] = {NULL, NULL};
    ds4_error error;
    for (uint32_t i = 0; i < 2; i++) {
        device_constants constants = {{i + 1, 10 * i + 7}, 2};
        assert_ok(d->op->kernel_new(d, "constants", &constants, THREADS, &kernel[i], &error), &error);
    }
    begin(d);
    dispatch_on(d, kernel[0], y, 0);
    dispatch_on(d, kernel[1], y, N * sizeof(uint32_t));
    submit(d);
    wait(d);
    const uint32_t *result = d->op->buffer_contents(y);
    for (int i = 0; i < N; i++) {
        assert_int_equal(result[i], 107);
        assert_int_equal(result[N + i], 217);
    }
    d->op->buffer_free(d, y);
    for (int i = 0; i < 2; i++) d->op->kernel_free(d, kernel[i]);
    close_device(d);
}

static void threadgroups_lie_in_three_dimensions(void **state) {
    (void)state;
    enum { X = 3, Y = 4, Z = 2 };
    device *d = open_device();
    device_kernel *positions = new_kernel(d, "positions");
    device_buffer *y = new_buffer(d, X * Y * Z * THREADS * sizeof(uint32_t));
    device_dispatch dispatch = {.kernel = positions, .groups = {X, Y, Z}};
    dispatch.binding[1] = (device_binding){y, 0};
    begin(d);
    d->op->dispatch(d, &dispatch);
    submit(d);
    wait(d);
    const uint32_t *result = d->op->buffer_contents(y);
    for (int i = 0; i < X * Y * Z * THREADS; i++) {
        int group = i / THREADS;
        assert_int_equal(result[i], group % X + 10 * (group / X % Y) + 100 * (group / (X * Y)));
    }
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, positions);
    close_device(d);
}

static void up_to_eight_batches_are_in_flight(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *count = new_kernel(d, "count");
    device_buffer *y = new_buffer(d, N * sizeof(uint32_t));
    const uint32_t *result = d->op->buffer_contents(y);
    metalsim_device.watch_buffers = false; /* looks into memory in use, to see what has run */
    for (uint32_t i = 1; i <= IN_FLIGHT + 4; i++) {
        begin(d);
        dispatch_on(d, count, y, 0);
        submit(d);
        assert_int_equal(result[0], i <= IN_FLIGHT ? 0 : i - IN_FLIGHT);
    }
    wait(d);
    assert_int_equal(result[0], IN_FLIGHT + 4);
    wait(d); /* for nothing */
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, count);
    close_device(d);
}

static void freeing_waits_for_what_is_in_flight(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *count = new_kernel(d, "count"), *scale = new_kernel(d, "scale");
    device_buffer *y = new_buffer(d, N * sizeof(uint32_t)), *x = new_buffer(d, N * sizeof(float));
    begin(d);
    dispatch_scale(d, scale, (device_binding){x, 0}, (device_binding){x, 0}, 0.0f, 3.0f);
    submit(d);
    d->op->kernel_free(d, scale);
    assert_float_equal(*(float *)d->op->buffer_contents(x), 3.0f, 0.0f);
    begin(d);
    dispatch_on(d, count, y, 0);
    submit(d);
    d->op->buffer_free(d, y);
    d->op->buffer_free(d, x);
    d->op->kernel_free(d, count);
    close_device(d);
}

static void the_device_waits_before_it_goes(void **state) {
    (void)state;
    device *d = open_device();
    begin(d);
    submit(d);
    begin(d);
    close_device(d);
}

static void a_batch_that_is_not_submitted_does_not_run(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *count = new_kernel(d, "count");
    device_buffer *y = new_buffer(d, N * sizeof(uint32_t)), *other = new_buffer(d, N);
    ds4_error error;
    assert_refused(d->op->submit(d, &error), DS4_ERROR_ARGUMENT, &error, "no batch");
    dispatch_on(d, count, y, 0);
    begin(d);
    dispatch_on(d, count, y, 0);
    begin(d); /* anew */
    dispatch_on(d, count, y, 0);
    submit(d);
    wait(d);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(y), 1);
    begin(d);
    dispatch_on(d, count, y, 0);
    d->op->buffer_free(d, other); /* ends the batch: it might have been used there */
    assert_refused(d->op->submit(d, &error), DS4_ERROR_ARGUMENT, &error, "no batch");
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(y), 1);
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, count);
    close_device(d);
}

/* ---- what goes wrong ---- */

static void a_kernel_that_is_not_there_is_named(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *kernel = NULL;
    ds4_error error;
    assert_refused(d->op->kernel_new(d, "nowhere", NULL, THREADS, &kernel, &error), DS4_ERROR_ARGUMENT, &error,
                   "kernel nowhere");
    assert_null(kernel);
    assert_int_equal(d->op->kernel_new(d, "nowhere", NULL, THREADS, &kernel, NULL), DS4_ERROR_ARGUMENT);
    close_device(d);
}

static void a_kernel_that_cannot_have_its_threads_is_refused(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *kernel = NULL;
    ds4_error error;
    assert_refused(d->op->kernel_new(d, "count", NULL, 96, &kernel, &error), DS4_ERROR_ARGUMENT, &error,
                   "kernel count: 96 threads in a threadgroup, the limit is 64");
    metalsim_device.max_threads_per_threadgroup = 32;
    assert_refused(d->op->kernel_new(d, "count", NULL, 64, &kernel, &error), DS4_ERROR_ARGUMENT, &error,
                   "kernel count: 64 threads in a threadgroup, the limit is 32");
    assert_refused(d->op->kernel_new(d, "count", NULL, 16, &kernel, &error), DS4_ERROR_ARGUMENT, &error,
                   "kernel count: 16 threads in a threadgroup, expected a multiple of 32");
    assert_refused(d->op->kernel_new(d, "count", NULL, 0, &kernel, &error), DS4_ERROR_ARGUMENT, &error, "multiple");
    assert_null(kernel);
    close_device(d);
}

static void parameters_that_are_too_long_are_reported_by_wait(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *count = new_kernel(d, "count");
    static const char LONG[4096] = {0};
    device_dispatch dispatch = {
        .kernel = count, .parameters = LONG, .n_parameter_bytes = sizeof LONG, .groups = {1, 1, 1}};
    ds4_error error;
    begin(d);
    d->op->dispatch(d, &dispatch);
    submit(d);
    assert_refused(d->op->wait(d, &error), DS4_ERROR_ARGUMENT, &error, "4096 bytes of parameters, the limit is 4095");
    wait(d);
    d->op->kernel_free(d, count);
    close_device(d);
}

static void a_failure_on_the_gpu_is_reported_once(void **state) {
    (void)state;
    device *d = open_device();
    device_kernel *beyond = new_kernel(d, "beyond"), *count = new_kernel(d, "count");
    device_buffer *y = new_buffer(d, N * sizeof(uint32_t));
    ds4_error error;
    metalsim_device.max_printed = sim_options.max_printed = 0;
    for (int i = 0; i < 3; i++) {
        begin(d);
        dispatch_on(d, i < 2 ? beyond : count, y, 0);
        submit(d);
    }
    assert_refused(d->op->wait(d, &error), DS4_ERROR_IO, &error, "Simulated GPU: Caused GPU Address Fault Error");
    wait(d);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(y), 1); /* later batches have run */

    /* what frees find is kept, too */
    begin(d);
    dispatch_on(d, beyond, y, 0);
    submit(d);
    d->op->kernel_free(d, beyond);
    assert_int_equal(d->op->wait(d, NULL), DS4_ERROR_IO);
    wait(d);
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, count);
    assert_true(metalsim_errors() > 0); /* the kernel's */
    metalsim_reset();
    close_device(d);
}

/* ---- libraries ---- */

static void the_programs_own_kernels_are_compiled(void **state) {
    (void)state;
    device *d = NULL;
    ds4_error error;
    assert_ok(metal_device_new(&d, &error), &error);
    d->op->kernel_free(d, new_kernel(d, "count"));
    close_device(d);
}

static void a_compiled_library_is_taken_if_it_is_named(void **state) {
    (void)state;
    device *d = NULL;
    ds4_error error;
    metalsim_device.tools = "/nowhere"; /* cannot compile */
    assert_int_equal(metal_device_new(&d, &error), DS4_ERROR_FORMAT);
    setenv("DS4_METALLIB", metallib, 1);
    assert_ok(metal_device_new(&d, &error), &error);
    d->op->kernel_free(d, new_kernel(d, "count"));
    close_device(d);
    setenv("DS4_METALLIB", "/nowhere/x.metallib", 1);
    assert_refused(metal_device_new(&d, &error), DS4_ERROR_IO, &error, "/nowhere/x.metallib");
    unsetenv("DS4_METALLIB");
    assert_int_equal(metalsim_live_objects(), 0);
}

static void a_source_that_does_not_compile_gives_the_compilers_message(void **state) {
    (void)state;
    static const char SOURCE[] =
        "#include <metal_stdlib>\n" KERNEL "f(device uint *y [[buffer(0)]]) { y[0] = zero; }\n";
    device *d = NULL;
    ds4_error error;
    assert_refused(metal_device_open(NULL, SOURCE, &d, &error), DS4_ERROR_FORMAT, &error,
                   "error: use of undeclared identifier 'zero'");
    assert_null(d);
    assert_null(strchr(error.message, '?')); /* one line of it */
    assert_int_equal(metalsim_live_objects(), 0);
    assert_string_equal(metalsim_first_error(), "");
}

/* ---- systems ---- */

static void macos_14_is_the_oldest_system(void **state) {
    (void)state;
    device *d = NULL;
    ds4_error error;
    metalsim_device.macos = 14; /* no residency sets, no math modes */
    assert_ok(metal_device_new(&d, &error), &error);
    device_kernel *count = new_kernel(d, "count");
    device_buffer *y = new_buffer(d, N * sizeof(uint32_t));
    begin(d);
    dispatch_on(d, count, y, 0);
    submit(d);
    wait(d);
    assert_int_equal(*(uint32_t *)d->op->buffer_contents(y), 1);
    d->op->buffer_free(d, y);
    d->op->kernel_free(d, count);
    close_device(d);

    metalsim_device.macos = 13;
    d = NULL;
    assert_refused(metal_device_new(&d, &error), DS4_ERROR_ARGUMENT, &error, "macOS 14");
    assert_null(d);
    assert_int_equal(metalsim_live_objects(), 0);
}

static void an_older_gpu_is_refused(void **state) {
    (void)state;
    device *d = NULL;
    ds4_error error;
    metalsim_device.apple_family = 6;
    metalsim_device.name = "Apple A13";
    assert_refused(metal_device_new(&d, &error), DS4_ERROR_ARGUMENT, &error, "Apple A13: needs a GPU of Apple silicon");
    assert_null(d);
    assert_int_equal(metalsim_live_objects(), 0);
    metalsim_device.apple_family = 10;
    metalsim_device.name = "Apple M5";
    close_device(open_device());
}

/* ---- the program ---- */

static int make_metallib(void **state) {
    (void)state;
    usual_device = metalsim_device;
    usual_options = sim_options;
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ds4-metal-XXXXXX", temporary ? temporary : "/tmp");
    setenv("METALSIM_BUILD", METALSIM_BUILD, 0);
    unsetenv("DS4_METALLIB");
    if (!mkdtemp(folder)) return 1;
    snprintf(metallib, sizeof metallib, "%s/kernels.metallib", folder);
    char command[1000];
    snprintf(command, sizeof command, "'%s/msl-build' -c '%s/kernels.metal' '%s'", metalsim_device.tools, folder,
             metallib);
    char source_path[300];
    snprintf(source_path, sizeof source_path, "%s/kernels.metal", folder);
    FILE *source = fopen(source_path, "w");
    if (!source || fwrite(kernels_source, 1, kernels_source_bytes, source) != kernels_source_bytes) return 1;
    return fclose(source) != 0 || system(command) != 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 || metalsim_finish() != 0;
}

static int usual_conditions(void **state) {
    (void)state;
    metalsim_device = usual_device;
    sim_options = usual_options;
    sim_options.check = true;
    metalsim_reset();
    return 0;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, usual_conditions)
    const struct CMUnitTest tests[] = {
        TEST(a_device_tells_its_limits),
        TEST(limits_are_told_without_a_device),
        TEST(new_buffers_are_zeroed_memory_of_both_sides),
        TEST(buffers_that_the_device_cannot_have_are_refused),
        TEST(wrapped_memory_is_read_where_it_is),
        TEST(only_whole_pages_are_wrapped),
        TEST(buffers_beyond_the_recommended_memory_work),
        TEST(dispatches_of_a_batch_run_in_order),
        TEST(a_kernel_is_made_for_its_constants),
        TEST(threadgroups_lie_in_three_dimensions),
        TEST(up_to_eight_batches_are_in_flight),
        TEST(freeing_waits_for_what_is_in_flight),
        TEST(the_device_waits_before_it_goes),
        TEST(a_batch_that_is_not_submitted_does_not_run),
        TEST(a_kernel_that_is_not_there_is_named),
        TEST(a_kernel_that_cannot_have_its_threads_is_refused),
        TEST(parameters_that_are_too_long_are_reported_by_wait),
        TEST(the_programs_own_kernels_are_compiled),
        TEST(a_compiled_library_is_taken_if_it_is_named),
        TEST(a_source_that_does_not_compile_gives_the_compilers_message),
        TEST(macos_14_is_the_oldest_system),
        TEST(an_older_gpu_is_refused),
        TEST(a_failure_on_the_gpu_is_reported_once),
    };
    return cmocka_run_group_tests(tests, make_metallib, remove_folder);
}
