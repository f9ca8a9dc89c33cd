/*
 * The kernels on an NVIDIA GPU (make CUDA=1): what test_gpu_ops.c does in the simulator, and the same at the published
 * model's shape. `test_cuda_flash NAME` runs the tests of that name; DS4_FLASH_FOLDER: where its models, 11 and 12 GB,
 * are made (ds4 synth).
 */
#include "test.h"

#include "model/synth.h"
#include "support/flash_timeline.h"
#include "support/tiny_model.h"
#include "support/twins.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LAYERS = 5 /* both kinds of routing and all ratios */, CONTEXT = 8192, CPU_THREADS = 16 };

static void operations_match_on_a_tiny_model(void **state) {
    static const int BATCH[][3] = {{1, 0, 0},  {2, 1, 0}, {125, 3, 0}, {1, 1, 1}, {17, 0, 1},
                                   {0, 33, 5}, {4, 1, 2}, {3, 8, 5},   {1, 0, 0}};
    struct twins *twins = twins_open_with(
        &(twins_setup){.path = tiny_model_path(*state), .backend = "cuda", .n_timelines = 3, .by_value = true});
    for (size_t i = 0; i < sizeof BATCH / sizeof *BATCH; i++) twins_check_batch(twins, BATCH[i], i % 2 != 0);
    twins_close(twins);
}

struct flash_case {
    const char *recipe;
    int n_batches; /* of BATCH */
};

/* Tokens of each timeline. The first batches are small, for tools that are slow. */
static const int BATCH[][3] = {{1, 0, 0}, {2, 1, 0},   {1, 1, 1},  {4, 1, 8},   {0, 0, 17},
                               {0, 0, 1}, {125, 3, 0}, {0, 17, 1}, {0, 0, 100}, {1, 1, 1}};
enum { N_SMALL = 6, N_BATCHES = sizeof BATCH / sizeof *BATCH };

/* Rows must be chosen from position 2051 on: the second timeline comes to it in the middle of a batch. */
static void operations_match_at_the_true_shape(void **state) {
    static const size_t PLACE[3] = {0, 2040, 7001};
    const struct flash_case *c = *state;
    const char *folder = getenv("DS4_FLASH_FOLDER");
    char path[512];
    ds4_error error;
    const synth_options synth = {.recipe = layout_recipe_find(c->recipe)};
    snprintf(path, sizeof path, "%s/synth-%s.gguf", folder ? folder : "/tmp", c->recipe);
    if (access(path, R_OK) != 0) assert_ok(synth_write(&synth, path, NULL, NULL, &error), &error);
    struct twins *twins = twins_open_with(&(twins_setup){.path = path,
                                                         .backend = "cuda",
                                                         .n_timelines = 3,
                                                         .context = CONTEXT,
                                                         .n_layers = LAYERS,
                                                         .n_threads = CPU_THREADS,
                                                         .by_value = true});
    for (int i = 0; i < 3; i++)
        for (int gpu = 0; gpu < 2; gpu++)
            assert_ok(flash_timeline_fill(twins_timeline(twins, gpu, i), PLACE[i], (uint64_t)i, &error), &error);
    for (int i = 0; i < c->n_batches; i++) twins_check_batch(twins, BATCH[i], i % 4 == 1);
    twins_close(twins);
}

int main(int n_arguments, char **arguments) {
    static struct flash_case cases[] = {{"q2", 1}, {"q2", N_SMALL}, {"q2", N_BATCHES}, {"q4", N_BATCHES}};
    const struct CMUnitTest tests[] = {
        {"operations_match_on_tiny_a_f", operations_match_on_a_tiny_model, NULL, NULL, (void *)"tiny-a-f"},
        {"operations_match_on_tiny_a_q2", operations_match_on_a_tiny_model, NULL, NULL, (void *)"tiny-a-q2"},
        {"operations_match_on_tiny_a_q4", operations_match_on_a_tiny_model, NULL, NULL, (void *)"tiny-a-q4"},
        {"operations_match_on_tiny_b_q2", operations_match_on_a_tiny_model, NULL, NULL, (void *)"tiny-b-q2"},
        {"one_token_matches_on_flash_q2", operations_match_at_the_true_shape, NULL, NULL, &cases[0]},
        {"small_batches_match_on_flash_q2", operations_match_at_the_true_shape, NULL, NULL, &cases[1]},
        {"operations_match_on_flash_q2", operations_match_at_the_true_shape, NULL, NULL, &cases[2]},
        {"operations_match_on_flash_q4", operations_match_at_the_true_shape, NULL, NULL, &cases[3]},
    };
    if (n_arguments > 1) cmocka_set_test_filter(arguments[1]);
    return cmocka_run_group_tests_name("gpu operations on CUDA", tests, NULL, NULL);
}
