/* The GPU backend's host side alone: what it refuses, what memory it takes, and how it ends what goes wrong. */
#include "test.h"

#include "backend/gpu/counting.h"
#include "backend/gpu/gpu.h"
#include "engine/engine.h"
#include "support/patched_file.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 4096 };

/* ---- a device that can be made to fail ---- */

static int begins_left; /* until one fails */
static int n_in_flight; /* submissions that nobody waited for */
static const device_ops *counting_ops;

static ds4_status failing_begin(device *d, ds4_error *error) {
    if (begins_left-- == 0) return error_set(error, DS4_ERROR_IO, "the device is gone");
    return counting_ops->begin(d, error);
}

static ds4_status noted_submit(device *d, ds4_error *error) {
    n_in_flight++;
    return counting_ops->submit(d, error);
}

static ds4_status noted_wait(device *d, ds4_error *error) {
    n_in_flight = 0;
    return counting_ops->wait(d, error);
}

static ds4_status new_device(device **out, ds4_error *error) {
    static device_ops ops;
    ds4_status status = counting_device_new(false, out, error);
    if (status != DS4_OK) return status;
    counting_ops = (*out)->op;
    ops = *counting_ops;
    ops.begin = failing_begin;
    ops.submit = noted_submit;
    ops.wait = noted_wait;
    (*out)->op = &ops;
    return DS4_OK;
}

static ds4_engine *new_engine(const ds4_model *model, int chunk_tokens) {
    ds4_engine *engine = NULL;
    ds4_error error;
    begins_left = -1;
    n_in_flight = 0;
    assert_ok(engine_new_on(model, &(ds4_engine_options){.chunk_tokens = chunk_tokens}, new_device, &engine, &error),
              &error);
    return engine;
}

static ds4_model *open_model(const char *name) {
    ds4_model *model = NULL;
    ds4_error error;
    assert_ok(ds4_model_open(tiny_model_path(name), DS4_MODEL_FULL, &model, &error), &error);
    return model;
}

/* ---- memory ---- */

static size_t activation_bytes(const gpu_memory *memory) {
    size_t n_bytes = 0;
    for (size_t i = 0; i < memory->n_activations; i++) n_bytes += memory->activation[i].n_bytes;
    return n_bytes;
}

static void decoding_takes_no_more_memory_than_its_rows(void **state) {
    (void)state;
    ds4_model *model = open_model("tiny-a-q2");
    ds4_engine *engine = new_engine(model, 64);
    const gpu_memory *memory = &((gpu_backend *)(void *)engine->backend)->memory;
    ds4_timeline *timeline = NULL;
    ds4_error error;
    float logits[512];
    int32_t tokens[64] = {0};
    assert_ok(ds4_timeline_new(engine, CONTEXT, &timeline, &error), &error);
    ds4_span span = {timeline, tokens, 64, DS4_LOGITS_LAST, logits};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    size_t before = activation_bytes(memory), n_buffers = memory->n_activations, arena = memory->arena_used[0];
    span.n_tokens = 1;
    for (int i = 0; i < 2000; i++) assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    /* indexer scores: 516 rows for each of 16 tokens, and half as much again */
    assert_true(activation_bytes(memory) - before <= 516 * 16 * 3 / 2 * sizeof(float));
    assert_in_range(memory->n_activations, n_buffers, n_buffers + 1);
    assert_in_range(memory->n_classes, 1, 4); /* rings, two kinds of rows */
    assert_int_equal(memory->n_arenas, 1);
    /* A timeline that goes leaves its memory to the next. */
    size_t used = memory->arena_used[0];
    assert_true(used > arena);
    ds4_timeline_free(timeline);
    assert_ok(ds4_timeline_new(engine, CONTEXT, &timeline, &error), &error);
    span.timeline = timeline;
    for (int i = 0; i < 2000; i++) assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    assert_int_equal(memory->arena_used[0], used);
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    ds4_model_free(model);
}

static void arenas_are_followed_by_larger_ones(void **state) {
    (void)state;
    device *d = NULL;
    ds4_error error;
    assert_ok(counting_device_new(false, &d, &error), &error);
    gpu_memory memory = {.device = d};
    enum { BYTES = 48 << 20, N = 20 };
    uint8_t *piece[N];
    for (int i = 0; i < N; i++) {
        assert_non_null(piece[i] = gpu_memory_allocate(&memory, MEMORY_TIMELINE, BYTES));
        uint32_t reference = gpu_memory_reference(&memory, piece[i] + BYTES - 64);
        const gpu_block *arena = &memory.arena[reference >> 29];
        assert_ptr_equal(arena->base + (size_t)(reference & 0x1fffffff) * 64, piece[i] + BYTES - 64);
    }
    assert_int_equal(memory.n_arenas, 4); /* 128 + 256 + 512 MB hold 2 + 5 + 10 */
    memset(piece[3], 1, 100);
    gpu_memory_release(&memory, piece[3]);
    assert_ptr_equal(gpu_memory_allocate(&memory, MEMORY_TIMELINE, BYTES), piece[3]);
    assert_int_equal(piece[3][99], 0);
    assert_null(gpu_memory_binding(&memory, NULL).buffer);
    gpu_memory_deinit(&memory);
    d->op->free(d);
}

/* ---- refusals ---- */

static void check_refused(const patched_file *patched, const char *expected) {
    ds4_model *model = NULL;
    ds4_engine *engine = NULL;
    ds4_error error;
    assert_ok(ds4_model_open_memory(patched->content.data, patched->content.n_bytes, "patched", DS4_MODEL_FULL, &model,
                                    &error),
              &error);
    assert_int_equal(engine_new_on(model, NULL, new_device, &engine, &error), DS4_ERROR_FORMAT);
    if (!strstr(error.message, expected)) fail_msg("%s, expected: %s", error.message, expected);
    assert_null(engine);
    ds4_model_free(model);
}

static void what_kernels_cannot_do_is_refused_with_its_name(void **state) {
    (void)state;
    patched_file patched;
    patched_file_open(tiny_model_path("tiny-c-f"), &patched);
    patch_tensor_type(&patched, "blk.1.attn_q_b.weight", BLOCK_BF16);
    check_refused(&patched, "patched: blk.1.attn_q_b.weight: type BF16; the GPU kernels know F32, F16");
    patched_file_close(&patched);
    patched_file_open(tiny_model_path("tiny-c-f"), &patched);
    patch_u32(&patched, "deepseek4.attention.indexer.top_k", 4000);
    check_refused(&patched, "patched: deepseek4.attention.indexer.top_k: 4000; the GPU kernels take at most 2048");
    patched_file_close(&patched);
}

/* ---- failures ---- */

static bool never(void *context, size_t done, size_t total) {
    (void)context;
    (void)done;
    (void)total;
    return false;
}

static bool after_the_failure(void *context, size_t done, size_t total) {
    (void)context;
    (void)done;
    (void)total;
    return begins_left < 0;
}

static void nothing_is_in_flight_after_a_failure(void **state) {
    (void)state;
    static ds4_progress *const progress[] = {never, after_the_failure};
    ds4_model *model = open_model("tiny-a-q2");
    /* so many tokens that every layer is submitted by itself */
    enum { N = 2048 };
    int32_t *tokens = calloc(N, sizeof *tokens);
    assert_non_null(tokens);
    for (int i = 0; i < 2; i++) {
        ds4_engine *engine = new_engine(model, N);
        ds4_timeline *timeline = NULL;
        ds4_error error;
        assert_ok(ds4_timeline_new(engine, CONTEXT, &timeline, &error), &error);
        begins_left = 3; /* the batch's own and two more */
        ds4_span span = {timeline, tokens, N, DS4_LOGITS_NONE, NULL};
        ds4_status status = ds4_engine_evaluate(engine, &span, 1, progress[i], NULL, &error);
        if (i == 0) {
            assert_int_equal(status, DS4_ERROR_IO);
            assert_string_equal(error.message, "the device is gone");
        } else {
            assert_int_equal(status, DS4_CANCELLED);
        }
        assert_int_equal(n_in_flight, 0);
        size_t n_kept;
        ds4_timeline_tokens(timeline, &n_kept);
        assert_int_equal(n_kept, 0);
        begins_left = -1;
        assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error); /* and it goes on */
        ds4_timeline_free(timeline);
        ds4_engine_free(engine);
    }
    free(tokens);
    ds4_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_takes_no_more_memory_than_its_rows),
        cmocka_unit_test(arenas_are_followed_by_larger_ones),
        cmocka_unit_test(what_kernels_cannot_do_is_refused_with_its_name),
        cmocka_unit_test(nothing_is_in_flight_after_a_failure),
    };
    return cmocka_run_group_tests_name("gpu backend", tests, NULL, NULL);
}
