/*
 * The kernels on an NVIDIA GPU (make CUDA=1): what test_gpu_ops.c does in the simulator, and the same at the published
 * model's shape. `test_cuda_flash NAME` runs the tests of that name; DS4_FLASH_FOLDER: where its models, 5 and 7 GB,
 * are made.
 */
#include "test.h"

#include "support/records.h"

#include <math.h>

/* As check_close; but at the true shape a few of many values are twenty times the rms, with rounding to match. */
static void check_near(const char *what, const float *actual, const float *expected, size_t n, double limit) {
    double rms = root_mean_square(expected, n);
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)actual[i] - (double)expected[i]);
        if (!(difference <= limit * (rms + fabs((double)expected[i]))))
            fail_msg("%s: value %zu is %.9g, expected %.9g; rms %.3g", what, i, (double)actual[i], (double)expected[i],
                     rms);
    }
}

static int tiny_models(void);
#define main tiny_models
#define check_close check_near
#include "gpu/test_gpu_ops.c"
#undef check_close
#undef main

#include "support/flash_model.h"

#include <unistd.h>

enum { LAYERS = 5 /* both kinds of routing and all ratios */ };

struct flash_case {
    const char *model;
    tiny_flavour flavour;
    int n_batches; /* of BATCH */
};

/* Tokens of each timeline. The first batches are small, for tools that are slow. */
static const int BATCH[][3] = {{1, 0, 0}, {2, 1, 0},   {1, 1, 1},  {4, 1, 8},   {0, 0, 17},
                               {0, 0, 1}, {125, 3, 0}, {0, 17, 1}, {0, 0, 100}, {1, 1, 1}};
enum { N_SMALL = 6, N_BATCHES = sizeof BATCH / sizeof *BATCH };

static struct twins *open_flash(const struct flash_case *c) {
    char path[512];
    const char *folder = getenv("DS4_FLASH_FOLDER");
    ds4_error error;
    snprintf(path, sizeof path, "%s/%s.gguf", folder ? folder : "/tmp", c->model);
    if (access(path, R_OK) != 0) assert_ok(flash_model_write(c->flavour, path, &error), &error);
    struct twins *twins = calloc(1, sizeof *twins);
    assert_non_null(twins);
    twins->n_timelines = 3;
    twins->seed = 7;
    assert_ok(ds4_model_open(path, DS4_MODEL_FULL, &twins->model, &error), &error);
    twins->model->hparams.n_layers = LAYERS;
    open_side(twins, &twins->cpu, "cpu", false);
    open_side(twins, &twins->gpu, test_backend(), false);
    return twins;
}

/* Rows must be chosen from position 2051 on: the second timeline comes to it in the middle of a batch. */
static void operations_match_at_the_true_shape(void **state) {
    static const size_t PLACE[3] = {0, 2040, 7001};
    const struct flash_case *c = *state;
    struct twins *twins = open_flash(c);
    ds4_error error;
    for (int i = 0; i < 3; i++) {
        assert_ok(flash_timeline_fill(twins->cpu.timeline[i], PLACE[i], (uint64_t)i, &error), &error);
        assert_ok(flash_timeline_fill(twins->gpu.timeline[i], PLACE[i], (uint64_t)i, &error), &error);
    }
    for (int i = 0; i < c->n_batches; i++) check_batch(twins, BATCH[i], i % 4 == 1);
    close_twins(twins);
}

int main(int n_arguments, char **arguments) {
    static struct flash_case cases[] = {
        {"flash-q2", TINY_Q2, N_SMALL}, {"flash-q2", TINY_Q2, N_BATCHES}, {"flash-q4", TINY_Q4, N_BATCHES}};
    const struct CMUnitTest tests[] = {
        {"small_batches_match_on_flash_q2", operations_match_at_the_true_shape, NULL, NULL, &cases[0]},
        {"operations_match_on_flash_q2", operations_match_at_the_true_shape, NULL, NULL, &cases[1]},
        {"operations_match_on_flash_q4", operations_match_at_the_true_shape, NULL, NULL, &cases[2]},
    };
    setenv("DS4_TEST_BACKEND", "cuda", 0);
    if (n_arguments > 1) cmocka_set_test_filter(arguments[1]);
    int n_failed = tiny_models();
    return n_failed + cmocka_run_group_tests_name("gpu operations, true shape", tests, NULL, NULL);
}
