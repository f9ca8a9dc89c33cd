/* The device that runs kernels on the CPU. Its kernels here are those of test_simulator.metal; where the executor
 * cannot be built only the message that says so is tested. */
#include "test.h"

#include "backend/gpu/device.h"
#include "backend/gpu/kernels_source.h"
#include "base/file.h"
#include "gpu/test_simulator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- helpers ---- */

enum { N = 100 };

static const char *const THE_MODES[][2] = {{"0", "0"}, {"0", "7"}, {"1", "0"}, {"1", "1"}, {"1", "2"}};
enum { N_MODES = sizeof THE_MODES / sizeof THE_MODES[0] };

static device *open_device(const char *check, const char *order) {
    device *d;
    ds4_error error;
    if (!HAVE_SIMULATOR) skip();
    setenv("DS4_SIMULATOR", SIMULATOR_FOLDER "/ds4-simulator.so", 1);
    setenv("DS4_SIMULATOR_CHECK", check, 1);
    setenv("DS4_SIMULATOR_ORDER", order, 1);
    assert_ok(simulator_device_new(&d, &error), &error);
    return d;
}

static device_buffer *new_buffer(device *d, size_t n_bytes) {
    device_buffer *buffer;
    ds4_error error;
    assert_ok(d->op->buffer_new(d, n_bytes, &buffer, &error), &error);
    return buffer;
}

static device_kernel *new_kernel(device *d, const char *name, const device_constants *constants, uint32_t n_threads) {
    device_kernel *kernel;
    ds4_error error;
    assert_ok(d->op->kernel_new(d, name, constants, n_threads, &kernel, &error), &error);
    return kernel;
}

/* One batch of one dispatch with buffers x and y. The first mistake's message, or "". */
static const char *run(device *d, const device_dispatch *dispatch) {
    static ds4_error error;
    assert_ok(d->op->begin(d, &error), &error);
    d->op->dispatch(d, dispatch);
    if (d->op->submit(d, &error) != DS4_OK || d->op->wait(d, &error) != DS4_OK) return error.message;
    assert_ok(d->op->wait(d, &error), &error);
    return "";
}

typedef struct addition {
    device *d;
    device_kernel *kernel;
    device_buffer *x, *y;
    struct add_params parameters;
    device_dispatch dispatch;
} addition;

/* y = x + 0.5, x = 0 .. N - 1 */
static void addition_init(addition *a, const char *check, const char *order) {
    a->d = open_device(check, order);
    a->kernel = new_kernel(a->d, "add", NULL, 32);
    a->x = new_buffer(a->d, N * sizeof(float));
    a->y = new_buffer(a->d, N * sizeof(float));
    float *x = a->d->op->buffer_contents(a->x);
    for (int i = 0; i < N; i++) x[i] = (float)i;
    a->parameters = (struct add_params){.n = N, .value = 0.5f};
    a->dispatch = (device_dispatch){
        .kernel = a->kernel,
        .parameters = &a->parameters,
        .n_parameter_bytes = sizeof a->parameters,
        .binding = {[1] = {a->x, 0}, [2] = {a->y, 0}},
        .groups = {(N + 31) / 32, 1, 1},
    };
}

static void addition_deinit(addition *a) {
    a->d->op->buffer_free(a->d, a->x);
    a->d->op->buffer_free(a->d, a->y);
    a->d->op->kernel_free(a->d, a->kernel);
    a->d->op->free(a->d);
}

/* ---- what a device does ---- */

static void kernels_run_with_parameters_and_buffers(void **state) {
    (void)state;
    for (int mode = 0; mode < N_MODES; mode++) {
        addition a;
        addition_init(&a, THE_MODES[mode][0], THE_MODES[mode][1]);
        assert_string_equal(run(a.d, &a.dispatch), "");
        const float *y = a.d->op->buffer_contents(a.y);
        for (int i = 0; i < N; i++) assert_true(y[i] == (float)i + 0.5f);
        addition_deinit(&a);
    }
}

static void offsets_move_what_a_kernel_sees(void **state) {
    (void)state;
    addition a;
    addition_init(&a, "1", "0");
    a.parameters.n = 10;
    a.dispatch.binding[1].offset = 20 * sizeof(float);
    a.dispatch.binding[2].offset = 50 * sizeof(float);
    assert_string_equal(run(a.d, &a.dispatch), "");
    const float *y = a.d->op->buffer_contents(a.y);
    for (int i = 0; i < N; i++) assert_true(y[i] == (i >= 50 && i < 60 ? (float)(i - 30) + 0.5f : 0.0f));
    addition_deinit(&a);
}

static void dispatches_see_what_earlier_ones_wrote(void **state) {
    (void)state;
    addition a;
    ds4_error error;
    addition_init(&a, "0", "0");
    const device_ops *op = a.d->op;
    for (int batch = 0; batch < 3; batch++) {
        assert_ok(op->begin(a.d, &error), &error);
        for (int i = 0; i < 2; i++) {
            a.dispatch.binding[1].buffer = i == 0 ? a.x : a.y;
            a.dispatch.binding[2].buffer = i == 0 ? a.y : a.x;
            op->dispatch(a.d, &a.dispatch);
        }
        assert_ok(op->submit(a.d, &error), &error);
    }
    a.parameters.value = 1000.0f; /* was copied when it was dispatched */
    assert_ok(op->wait(a.d, &error), &error);
    const float *x = op->buffer_contents(a.x), *y = op->buffer_contents(a.y);
    for (int i = 0; i < N; i++) assert_true(x[i] == (float)i + 3.0f && y[i] == (float)i + 2.5f);
    addition_deinit(&a);
}

static void nothing_has_run_before_somebody_waits(void **state) {
    (void)state;
    addition a;
    ds4_error error;
    addition_init(&a, "0", "0");
    const float *y = a.d->op->buffer_contents(a.y);
    assert_ok(a.d->op->begin(a.d, &error), &error);
    a.d->op->dispatch(a.d, &a.dispatch);
    assert_ok(a.d->op->submit(a.d, &error), &error);
    assert_true(y[1] == 0.0f);
    a.d->op->buffer_free(a.d, a.x);
    a.x = NULL;
    assert_true(y[1] == 1.5f);
    addition_deinit(&a);
}

static void the_memory_of_the_caller_can_be_wrapped(void **state) {
    (void)state;
    addition a;
    ds4_error error;
    addition_init(&a, "1", "0");
    const device_ops *op = a.d->op;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(a.d->limits.wrap_alignment, page_bytes);
    float *data = aligned_alloc(page_bytes, 2 * page_bytes);
    memset(data, 0, 2 * page_bytes);
    for (int i = 0; i < N; i++) data[i] = (float)-i;
    device_buffer *wrapped;
    assert_int_equal(op->buffer_wrap(a.d, data + 4, page_bytes, &wrapped, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(op->buffer_wrap(a.d, data, 100, &wrapped, &error), DS4_ERROR_ARGUMENT);
    assert_ok(op->buffer_wrap(a.d, data, 2 * page_bytes, &wrapped, &error), &error);
    assert_ptr_equal(op->buffer_contents(wrapped), data);

    a.dispatch.binding[1].buffer = wrapped;
    assert_string_equal(run(a.d, &a.dispatch), "");
    const float *y = op->buffer_contents(a.y);
    for (int i = 0; i < N; i++) assert_true(y[i] == 0.5f - (float)i);

    a.dispatch.binding[1].buffer = a.x;
    a.dispatch.binding[2] = (device_binding){wrapped, 8};
    assert_string_equal(run(a.d, &a.dispatch),
                        "simulator: kernel add: 4-byte write at byte 8 of buffer 2, which is read-only");
    op->buffer_free(a.d, wrapped);
    free(data);
    addition_deinit(&a);
}

static void buffers_are_zeroed_and_have_a_largest_size(void **state) {
    (void)state;
    ds4_error error;
    device *d = open_device("0", "0");
    for (size_t n_bytes = 1; n_bytes < 100000; n_bytes = n_bytes * 7 + 1) {
        device_buffer *buffer = new_buffer(d, n_bytes);
        uint8_t *contents = d->op->buffer_contents(buffer);
        for (size_t i = 0; i < n_bytes; i++) assert_int_equal(contents[i], 0);
        memset(contents, 1, n_bytes);
        d->op->buffer_free(d, buffer);
    }
    device_buffer *buffer;
    assert_int_equal(d->op->buffer_new(d, 0, &buffer, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(d->op->buffer_new(d, SIZE_MAX, &buffer, &error), DS4_ERROR_MEMORY);
    d->limits.max_buffer_bytes = 1000;
    assert_int_equal(d->op->buffer_new(d, 1001, &buffer, &error), DS4_ERROR_MEMORY);
    assert_string_equal(error.message, "simulator: a buffer: no memory for 1001 bytes");
    d->limits.max_buffer_bytes = UINT64_MAX;
    assert_int_equal(d->op->buffer_new(d, SIZE_MAX - 2, &buffer, &error), DS4_ERROR_MEMORY);
    assert_int_equal(d->op->buffer_new(d, SIZE_MAX / 2, &buffer, &error), DS4_ERROR_MEMORY);
    d->op->buffer_free(d, NULL);
    d->op->free(d);
}

static void threadgroups_have_three_dimensions(void **state) {
    (void)state;
    for (int mode = 0; mode < N_MODES; mode++) {
        device *d = open_device(THE_MODES[mode][0], THE_MODES[mode][1]);
        device_kernel *kernel = new_kernel(d, "places", NULL, 32);
        device_buffer *buffer = new_buffer(d, 4 * 3 * 2 * 32 * sizeof(uint32_t));
        device_dispatch dispatch = {.kernel = kernel, .binding = {[1] = {buffer, 0}}, .groups = {4, 3, 2}};
        assert_string_equal(run(d, &dispatch), "");
        const uint32_t *y = d->op->buffer_contents(buffer);
        for (uint32_t i = 0; i < 4 * 3 * 2 * 32; i++)
            assert_int_equal(y[i], i / 32 % 4 + i / 128 % 3 * 10 + i / 384 * 100 + i % 32 * 1000);
        d->op->buffer_free(d, buffer);
        d->op->kernel_free(d, kernel);
        d->op->free(d);
    }
}

static void each_kernel_has_its_own_function_constants(void **state) {
    (void)state;
    static const device_constants SETS[] = {{{3, 1}, 2}, {{10, 5}, 2}, {{3, 1}, 2}, {{2}, 1}};
    device *d = open_device("0", "0");
    device_buffer *buffer = new_buffer(d, 32 * sizeof(uint32_t));
    device_kernel *kernel[4];
    for (int i = 0; i < 4; i++) kernel[i] = new_kernel(d, "constants", &SETS[i], 32);
    uint32_t expected = 0;
    for (int i = 0; i < 3; i++) {
        device_dispatch dispatch = {.kernel = kernel[i], .binding = {[1] = {buffer, 0}}, .groups = {1, 1, 1}};
        expected = expected * SETS[i].value[0] + SETS[i].value[1];
        assert_string_equal(run(d, &dispatch), "");
        const uint32_t *y = d->op->buffer_contents(buffer);
        for (int k = 0; k < 32; k++) assert_int_equal(y[k], expected);
    }
    device_dispatch dispatch = {.kernel = kernel[3], .binding = {[1] = {buffer, 0}}, .groups = {1, 1, 1}};
    assert_string_equal(run(d, &dispatch), "simulator: kernel constants: function constant TERM(1) is not set");
    for (int i = 0; i < 4; i++) d->op->kernel_free(d, kernel[i]);
    d->op->buffer_free(d, buffer);
    d->op->free(d);
}

/* ---- mistakes ---- */

static void the_kernel_and_its_threads_must_exist(void **state) {
    (void)state;
    device *d = open_device("0", "0");
    device_kernel *kernel;
    ds4_error error;
    assert_int_equal(d->op->kernel_new(d, "subtract", NULL, 32, &kernel, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message, "simulator: there is no kernel subtract");
    assert_int_equal(d->op->kernel_new(d, "add", NULL, 65, &kernel, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message, "simulator: kernel add: 65 threads in a threadgroup, expected 1 to 64");
    assert_int_equal(d->op->kernel_new(d, "add", NULL, 0, &kernel, &error), DS4_ERROR_ARGUMENT);
    d->op->kernel_free(d, NULL);
    d->op->free(d);
}

static void accesses_out_of_bounds_are_found_while_checking(void **state) {
    (void)state;
    for (int mode = 0; mode < N_MODES; mode++) {
        addition a;
        ds4_error error;
        addition_init(&a, THE_MODES[mode][0], THE_MODES[mode][1]);
        bool checks = THE_MODES[mode][0][0] == '1';
        a.dispatch.binding[2].offset = sizeof(float); /* the last thread's element lies behind the end */
        assert_string_equal(
            run(a.d, &a.dispatch),
            checks ? "simulator: kernel add: out of bounds: 4-byte write at byte 400 of buffer 2 (400 bytes)" : "");
        assert_ok(a.d->op->wait(a.d, &error), &error); /* was reported, is over */
        a.dispatch.binding[2].offset = 0;
        assert_string_equal(run(a.d, &a.dispatch), "");
        addition_deinit(&a);
    }
}

static void races_are_found_while_checking(void **state) {
    (void)state;
    for (int order = 0; order < 4; order++) {
        char number[2] = {(char)('0' + order), 0};
        device *d = open_device("1", number);
        device_kernel *kernel = new_kernel(d, "race", NULL, 64);
        device_buffer *buffer = new_buffer(d, 64 * sizeof(uint32_t));
        device_dispatch dispatch = {.kernel = kernel, .binding = {[1] = {buffer, 0}}, .groups = {1, 1, 1}};
        assert_non_null(strstr(run(d, &dispatch), "simulator: kernel race: data race ("));
        d->op->buffer_free(d, buffer);
        d->op->kernel_free(d, kernel);
        d->op->free(d);
    }
}

static void missing_and_small_buffers_are_found(void **state) {
    (void)state;
    addition a;
    addition_init(&a, "0", "0");
    a.dispatch.binding[1].buffer = NULL;
    assert_string_equal(run(a.d, &a.dispatch), "simulator: kernel add: buffer 1 is not bound");
    a.dispatch.binding[1].buffer = a.x;
    a.dispatch.n_parameter_bytes = 4;
    assert_string_equal(run(a.d, &a.dispatch), "simulator: kernel add: buffer 0 holds 4 bytes, the argument needs 8");
    addition_deinit(&a);
}

static void the_rest_of_a_batch_is_dropped_after_a_mistake(void **state) {
    (void)state;
    addition a;
    ds4_error error;
    addition_init(&a, "0", "0");
    const device_ops *op = a.d->op;
    assert_ok(op->begin(a.d, &error), &error);
    a.dispatch.binding[1].buffer = NULL;
    op->dispatch(a.d, &a.dispatch);
    a.dispatch.binding[1].buffer = a.x;
    op->dispatch(a.d, &a.dispatch);
    assert_ok(op->submit(a.d, &error), &error);
    assert_int_equal(op->wait(a.d, &error), DS4_ERROR_IO);
    assert_true(((const float *)op->buffer_contents(a.y))[1] == 0.0f);
    addition_deinit(&a);
}

static void wrong_dispatches_fail_when_they_are_submitted(void **state) {
    (void)state;
    addition a;
    ds4_error error;
    addition_init(&a, "0", "0");
    const device_ops *op = a.d->op;
    device_dispatch wrong = a.dispatch;
    wrong.groups[1] = 0;
    assert_string_equal(run(a.d, &wrong), "simulator: kernel add: 4 x 0 x 1 threadgroups");
    wrong = a.dispatch;
    wrong.n_parameter_bytes = 4097;
    assert_string_equal(run(a.d, &wrong), "simulator: kernel add: 4097 bytes of parameters, expected at most 4095");
    wrong = a.dispatch;
    wrong.binding[0].buffer = a.x;
    assert_string_equal(run(a.d, &wrong), "simulator: kernel add: slot 0 is for parameters");
    wrong = a.dispatch;
    wrong.binding[2].offset = 400;
    assert_string_equal(run(a.d, &wrong), "simulator: kernel add: offset 400 of buffer 2, which has 400 bytes");

    op->dispatch(a.d, &a.dispatch);
    assert_int_equal(op->submit(a.d, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message, "simulator: kernel add: dispatched before begin");
    assert_int_equal(op->submit(a.d, &error), DS4_ERROR_ARGUMENT);
    assert_ok(op->begin(a.d, &error), &error);
    assert_int_equal(op->begin(a.d, &error), DS4_ERROR_ARGUMENT);
    assert_ok(op->submit(a.d, &error), &error);
    assert_string_equal(run(a.d, &a.dispatch), "");
    addition_deinit(&a);
}

/* ---- opening ---- */

static const char *message_of_opening(const char *plugin, const char *order) {
    static ds4_error error;
    device *d;
    setenv("DS4_SIMULATOR_CHECK", "0", 1);
    setenv("DS4_SIMULATOR_ORDER", order, 1);
    if (plugin)
        setenv("DS4_SIMULATOR", plugin, 1);
    else
        unsetenv("DS4_SIMULATOR");
    assert_int_not_equal(simulator_device_new(&d, &error), DS4_OK);
    assert_null(d);
    return error.message;
}

static void a_missing_simulator_is_explained(void **state) {
    (void)state;
    assert_string_equal(message_of_opening("/nowhere/sim.so", "0"),
                        "simulator: /nowhere/sim.so is not there; `make simulator` builds it (needs clang 19)");
    assert_string_equal(message_of_opening("nowhere.so", "0"),
                        "simulator: ./nowhere.so is not there; `make simulator` builds it (needs clang 19)");
    /* beside this program there is none */
    assert_non_null(strstr(message_of_opening(NULL, "0"), "/tests/gpu/ds4-simulator.so is not there;"));
    assert_non_null(strstr(message_of_opening("/proc/self/exe", "0"), "simulator: "));
}

static void numbers_in_the_environment_are_checked(void **state) {
    (void)state;
    assert_string_equal(message_of_opening("/nowhere/sim.so", "x"),
                        "DS4_SIMULATOR_ORDER: 'x', expected a number from 0 to 1000000");
    assert_string_equal(message_of_opening("/nowhere/sim.so", "-1"),
                        "DS4_SIMULATOR_ORDER: '-1', expected a number from 0 to 1000000");
}

/* ---- the text of the project's kernels ---- */

static void the_program_has_the_text_of_all_kernels(void **state) {
    (void)state;
    ds4_buffer file = {0};
    ds4_error error;
    assert_ok(file_read_all(KERNELS_FILE, SIZE_MAX / 2, &file, &error), &error);
    assert_int_equal(kernels_source_bytes, file.n_bytes);
    assert_int_equal(strlen(kernels_source), file.n_bytes);
    assert_memory_equal(kernels_source, file.data, file.n_bytes);
    assert_null(strstr(kernels_source, "#include \""));
    const char *shared = strstr(kernels_source, "#line 1 \"kernels/shared.h\"\n");
    assert_non_null(shared);
    assert_null(strstr(shared + 1, "#line 1 \"kernels/shared.h\"\n"));
    ds4_buffer_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_run_with_parameters_and_buffers),
        cmocka_unit_test(offsets_move_what_a_kernel_sees),
        cmocka_unit_test(dispatches_see_what_earlier_ones_wrote),
        cmocka_unit_test(nothing_has_run_before_somebody_waits),
        cmocka_unit_test(the_memory_of_the_caller_can_be_wrapped),
        cmocka_unit_test(buffers_are_zeroed_and_have_a_largest_size),
        cmocka_unit_test(threadgroups_have_three_dimensions),
        cmocka_unit_test(each_kernel_has_its_own_function_constants),
        cmocka_unit_test(the_kernel_and_its_threads_must_exist),
        cmocka_unit_test(accesses_out_of_bounds_are_found_while_checking),
        cmocka_unit_test(races_are_found_while_checking),
        cmocka_unit_test(missing_and_small_buffers_are_found),
        cmocka_unit_test(the_rest_of_a_batch_is_dropped_after_a_mistake),
        cmocka_unit_test(wrong_dispatches_fail_when_they_are_submitted),
        cmocka_unit_test(a_missing_simulator_is_explained),
        cmocka_unit_test(numbers_in_the_environment_are_checked),
        cmocka_unit_test(the_program_has_the_text_of_all_kernels),
    };
    return cmocka_run_group_tests_name("simulator", tests, NULL, NULL);
}
