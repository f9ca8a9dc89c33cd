/*
 * The engine on metal.c and the simulated framework, which reports every mistake in the use of Metal, every kernel
 * access that a dispatch's bindings do not allow, CPU accesses to memory in flight, and objects left alive.
 */
#include "test.h"

#include "backend/gpu/device.h"
#include "engine/engine.h"
#include "executor/sim.h"
#include "metalsim.h"
#include "support/records.h"
#include "support/timelines.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_VOCAB = 512, CONTEXT = 256, CHUNK = 40 };

/* The framework keeps freed objects, to find messages to them: no leaks. What is alive is counted by it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

static bool stop_at_second(void *context, size_t done, size_t total) {
    (void)done;
    (void)total;
    return ++*(int *)context == 2;
}

/* A conversation with everything that a timeline can go through; logits of several places. */
static void converse(ds4_engine *engine, const int32_t *text, float logits[5][N_VOCAB]) {
    ds4_error error;
    ds4_timeline *timeline = NULL, *fork = NULL;
    ds4_checkpoint *checkpoint = NULL;
    assert_ok(ds4_timeline_new(engine, CONTEXT, &timeline, &error), &error);
    evaluate(engine, timeline, text, 65, NULL); /* two chunks of prefill; all ratio-4 rows beyond top-k are chosen */
    evaluate(engine, timeline, text + 65, 18, logits[0]);
    assert_ok(ds4_timeline_checkpoint(timeline, &checkpoint, &error), &error);
    evaluate(engine, timeline, text + 83, 1, logits[1]);
    assert_ok(ds4_timeline_fork(timeline, &fork, &error), &error);
    ds4_span both[2] = {{timeline, text + 90, 1, DS4_LOGITS_LAST, logits[2]},
                        {fork, text + 91, 2, DS4_LOGITS_LAST, logits[3]}};
    assert_ok(ds4_engine_evaluate(engine, both, 2, NULL, NULL, &error), &error);
    assert_ok(ds4_timeline_rewind(timeline, 1, &error), &error);
    int calls = 0;
    ds4_span given_up = {timeline, text, 20, DS4_LOGITS_NONE, NULL};
    assert_int_equal(ds4_engine_evaluate(engine, &given_up, 1, stop_at_second, &calls, &error), DS4_CANCELLED);
    assert_ok(ds4_timeline_restore(timeline, checkpoint, &error), &error);
    evaluate(engine, timeline, text + 95, 4, logits[4]);
    ds4_checkpoint_free(checkpoint);
    ds4_timeline_free(fork);
    ds4_timeline_free(timeline);
}

static void check_conversation(const char *name) {
    ds4_error error;
    ds4_model *model = NULL;
    int32_t text[100];
    static float expected[5][N_VOCAB], actual[5][N_VOCAB];
    make_tokens(1, N_VOCAB, text, 100);
    assert_ok(ds4_model_open(tiny_model_path(name), DS4_MODEL_FULL, &model, &error), &error);
    ds4_engine_options options = {.exact = true, .chunk_tokens = CHUNK, .no_qat = true};
    ds4_engine *engine = NULL;
    assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
    converse(engine, text, expected);
    ds4_engine_free(engine);
    assert_ok(engine_new_on(model, &options, metal_device_new, &engine, &error), &error);
    converse(engine, text, actual);
    ds4_engine_free(engine);
    ds4_model_free(model);
    for (int i = 0; i < 5; i++) check_close("logits", actual[i], expected[i], N_VOCAB, 3e-4);
    if (metalsim_errors()) fail_msg("%s", metalsim_first_error());
}

static void a_conversation_gets_the_cpus_logits(void **state) {
    (void)state;
    sim_options.check = false;
    check_conversation("tiny-a-q4");
}

/* Every access is looked at: bindings, races, memory in flight. */
static void a_conversation_makes_no_mistake(void **state) {
    (void)state;
    sim_options.check = true;
    metalsim_device.watch_buffers = true;
    check_conversation("tiny-a-q2");
    sim_options.check = false;
}

static void nothing_is_left_alive(void **state) {
    (void)state;
    assert_int_equal(metalsim_finish(), 0);
    assert_int_equal(metalsim_live_objects(), 0);
}

int main(void) {
    setenv("METALSIM_BUILD", METALSIM_BUILD, 0);
    metalsim_device.tools = "tools/metalsim";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_gets_the_cpus_logits),
        cmocka_unit_test(a_conversation_makes_no_mistake),
        cmocka_unit_test(nothing_is_left_alive),
    };
    return cmocka_run_group_tests_name("metal engine", tests, NULL, NULL);
}
