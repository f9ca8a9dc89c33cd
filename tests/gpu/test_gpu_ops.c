/*
 * Each operation of the GPU backend against the exact CPU operation, in the simulator: see support/twins.h. First all
 * models with the fast kernels; then, with every access of the kernels looked at, three orders of threads.
 */
#include "test.h"

#include "support/twins.h"

#include <stdio.h>
#include <stdlib.h>

struct shape_case {
    const char *model;
    twins_rows rows;
    int order; /* of threads, while checking; 0: not checked */
};

enum { ASCENDING = 1, DESCENDING, RANDOM };

static struct twins *open_case(const struct shape_case *c) {
    char order[16];
    snprintf(order, sizeof order, "%d", c->order == RANDOM ? 7 : c->order - ASCENDING);
    setenv("DS4_SIMULATOR_CHECK", c->order ? "1" : "0", 1);
    setenv("DS4_SIMULATOR_ORDER", c->order ? order : "0", 1);
    setenv("DS4_SIMULATOR_BUFFER_MB", "4", 1); /* larger ones are not checked for races */
    return twins_open(c->model, c->rows, 3);
}

/* Prefill across windows of both ratios, then decode of several timelines that are at different places. */
static void operations_match_from_the_start_on(void **state) {
    const struct shape_case *c = *state;
    static const int BATCH[][3] = {{1, 0, 0},  {2, 1, 0}, {125, 3, 0}, {1, 1, 1}, {17, 0, 1},
                                   {0, 33, 5}, {4, 1, 2}, {3, 8, 5},   {1, 0, 0}};
    struct twins *twins = open_case(c);
    if (c->order) twins_use_layers(twins, 2, 4); /* both ratios, both kinds of routing */
    for (size_t i = 0; i < sizeof BATCH / sizeof *BATCH; i++) twins_check_batch(twins, BATCH[i], i % 2 != 0);
    twins_close(twins);
}

/* Where rows fill more than a page and tie in the indexer, and one timeline is just about to choose rows. */
static void operations_match_further_on(void **state) {
    const struct shape_case *c = *state;
    static const int BEFORE[] = {61, 505, 690}, BATCH[][3] = {{1, 0, 1}, {2, 11, 3}, {5, 20, 9}, {150, 0, 1}};
    struct twins *twins = open_case(c);
    twins_skip(twins, BEFORE);
    if (c->order) twins_use_layers(twins, 0, 2);
    for (size_t i = 0; i < sizeof BATCH / sizeof *BATCH; i++) twins_check_batch(twins, BATCH[i], i % 2 != 0);
    twins_close(twins);
}

#define FROM_THE_START(name, ...)                                                    \
    {                                                                                \
        name, operations_match_from_the_start_on, NULL, NULL, &(struct shape_case) { \
            __VA_ARGS__                                                              \
        }                                                                            \
    }
#define FURTHER_ON(name, ...)                                                 \
    {                                                                         \
        name, operations_match_further_on, NULL, NULL, &(struct shape_case) { \
            __VA_ARGS__                                                       \
        }                                                                     \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        FROM_THE_START("tiny_a_f_without_rounding", "tiny-a-f", TWINS_FLOATS, 0),
        FROM_THE_START("tiny_a_q2", "tiny-a-q2", TWINS_CODES, 0),
        FROM_THE_START("tiny_a_q4", "tiny-a-q4", TWINS_CODES, 0),
        FROM_THE_START("tiny_b_q2_with_float_rows", "tiny-b-q2", TWINS_ROUNDED_FLOATS, 0),
        FROM_THE_START("odd_shapes", "tiny-c-f", TWINS_CODES, 0),
        FURTHER_ON("tiny_a_q2_further_on", "tiny-a-q2", TWINS_CODES, 0),
        FURTHER_ON("odd_shapes_further_on", "tiny-c-f", TWINS_CODES, 0),
        FROM_THE_START("tiny_a_q2_checked_ascending", "tiny-a-q2", TWINS_CODES, ASCENDING),
        FROM_THE_START("tiny_a_q2_checked_descending", "tiny-a-q2", TWINS_CODES, DESCENDING),
        FROM_THE_START("tiny_a_q2_checked_random", "tiny-a-q2", TWINS_CODES, RANDOM),
        FROM_THE_START("tiny_a_q4_checked_random", "tiny-a-q4", TWINS_FLOATS, RANDOM),
        FURTHER_ON("odd_shapes_checked_ascending", "tiny-c-f", TWINS_CODES, ASCENDING),
        FURTHER_ON("odd_shapes_checked_descending", "tiny-c-f", TWINS_CODES, DESCENDING),
        FURTHER_ON("odd_shapes_checked_random", "tiny-c-f", TWINS_CODES, RANDOM),
    };
    return cmocka_run_group_tests_name("gpu operations", tests, NULL, NULL);
}
