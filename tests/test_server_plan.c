/* Who gets how many tokens of a step. */
#include "test.h"

#include "server/batch_plan.h"

typedef struct plan_case {
    const char *name;
    plan_entry entry[4];
    size_t n, turn;
    plan_limits limits;
    size_t expected[4];
} plan_case;

#define ANSWER(tokens) {.remaining = tokens}
#define PROMPT(tokens, mark) {.remaining = tokens, .to_mark = mark, .is_prompt = true}
#define PAUSED(tokens) {.remaining = tokens, .paused = true}

static const plan_case plan_cases[] = {
    {"a lone prompt has the whole pass", {PROMPT(5000, 0)}, 1, 0, {.chunk_tokens = 512}, {512}},
    {"but ends at its mark", {PROMPT(5000, 100)}, 1, 0, {.chunk_tokens = 512}, {100}},
    {"and at its end", {PROMPT(7, 100)}, 1, 0, {.chunk_tokens = 512}, {7}},
    {"answers come first", {ANSWER(1), PROMPT(5000, 0), ANSWER(3)}, 3, 0, {.chunk_tokens = 4}, {1, 0, 3}},
    {"answers fit into a pass", {ANSWER(3), ANSWER(3)}, 2, 0, {.chunk_tokens = 4}, {3, 1}},
    {"whose turn it is comes first", {ANSWER(3), ANSWER(3)}, 2, 1, {.chunk_tokens = 4}, {1, 3}},
    {"answers leave a token to a prompt in its turn",
     {ANSWER(1), PROMPT(5000, 0), ANSWER(3)},
     3,
     1,
     {.chunk_tokens = 4},
     {0, 1, 3}},
    {"a paused one has nothing", {PAUSED(1), PROMPT(50, 0)}, 2, 0, {.chunk_tokens = 512}, {0, 50}},
    {"nothing is measured yet", {ANSWER(1), PROMPT(5000, 0)}, 2, 0, {.chunk_tokens = 512, .step_seconds = 1}, {1, 128}},
    {"prompts leave time for streams",
     {ANSWER(1), PROMPT(5000, 0)},
     2,
     0,
     {.chunk_tokens = 512, .step_seconds = 0.25, .decode_seconds = 0.05, .seconds_per_token = 0.001},
     {1, 200}},
    {"not less than what a step costs anyway",
     {ANSWER(1), PROMPT(5000, 0)},
     2,
     0,
     {.chunk_tokens = 512, .step_seconds = 0.05, .decode_seconds = 0.05, .seconds_per_token = 0.001},
     {1, 50}},
    {"nor less than sixteen",
     {ANSWER(1), PROMPT(5000, 0)},
     2,
     0,
     {.chunk_tokens = 512, .step_seconds = 0.05, .decode_seconds = 0.05, .seconds_per_token = 0.01},
     {1, 16}},
    {"nobody streams and nobody waits",
     {PROMPT(5000, 0)},
     1,
     0,
     {.chunk_tokens = 512, .step_seconds = 0.05, .decode_seconds = 0.05, .seconds_per_token = 0.01},
     {512}},
    {"others wait in the queue",
     {PROMPT(5000, 0)},
     1,
     0,
     {.chunk_tokens = 512, .others_wait = true, .decode_seconds = 0.05, .seconds_per_token = 0.01},
     {195}},
    {"prompts share evenly",
     {PROMPT(5000, 0), PROMPT(5000, 0), PROMPT(5000, 0), PROMPT(5000, 0)},
     4,
     0,
     {.chunk_tokens = 400, .seconds_per_token = 1e-6},
     {100, 100, 100, 100}},
    {"what one does not need goes to the others",
     {PROMPT(10, 0), PROMPT(5000, 0), PROMPT(5000, 40), PROMPT(5000, 0)},
     4,
     0,
     {.chunk_tokens = 400, .seconds_per_token = 1e-6},
     {10, 175, 40, 175}},
    {"the rest of a division goes to whose turn it is",
     {PROMPT(5000, 0), PROMPT(5000, 0), PROMPT(5000, 0)},
     3,
     1,
     {.chunk_tokens = 401, .seconds_per_token = 1e-6},
     {133, 134, 134}},
    {"fewer tokens than prompts", {PROMPT(5, 0), PROMPT(5, 0), PROMPT(5, 0)}, 3, 2, {.chunk_tokens = 2}, {1, 0, 1}},
    {"nothing to do", {PAUSED(1), ANSWER(0), PROMPT(0, 0)}, 3, 0, {.chunk_tokens = 512}, {0, 0, 0}},
};

static void a_step_is_shared_by_rules(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof plan_cases / sizeof *plan_cases; c++) {
        const plan_case *now = &plan_cases[c];
        size_t n_tokens[4] = {99, 99, 99, 99};
        batch_plan(now->entry, now->n, now->turn, &now->limits, n_tokens);
        for (size_t i = 0; i < now->n; i++)
            if (n_tokens[i] != now->expected[i])
                fail_msg("%s: entry %zu has %zu tokens, expected %zu", now->name, i, n_tokens[i], now->expected[i]);
    }
}

static void a_step_never_is_too_large_and_never_empty(void **state) {
    (void)state;
    uint32_t x = 1;
    for (int round = 0; round < 20000; round++) {
        uint32_t r[24];
        for (size_t i = 0; i < 24; i++) r[i] = (x = x * 1664525u + 1013904223u) >> 16;
        size_t n = 1 + r[0] % 4, n_tokens[4], sum = 0, possible = 0;
        plan_entry entry[4];
        for (size_t i = 0; i < n; i++) {
            const uint32_t *q = r + 4 + 5 * i;
            entry[i] =
                (plan_entry){q[0] % 3 ? q[1] % 2000 : q[1] % 4, q[2] % 2 ? q[3] % 300 : 0, q[4] % 2, q[4] % 16 < 4};
            if (!entry[i].paused) possible += entry[i].remaining;
        }
        plan_limits limits = {.chunk_tokens = 1 + r[1] % 600,
                              .step_seconds = 0.1,
                              .others_wait = r[2] % 2,
                              .decode_seconds = r[2] % 5 ? r[3] % 100 / 300.0 : 0,
                              .seconds_per_token = r[2] % 3 ? 1e-6 + r[3] % 77 / 7700.0 : 0};
        batch_plan(entry, n, r[0] % 7, &limits, n_tokens);
        for (size_t i = 0; i < n; i++) {
            sum += n_tokens[i];
            assert_true(n_tokens[i] <= entry[i].remaining);
            assert_true(!entry[i].paused || !n_tokens[i]);
            assert_true(!entry[i].is_prompt || !entry[i].to_mark || n_tokens[i] <= entry[i].to_mark);
        }
        assert_true(sum <= limits.chunk_tokens);
        assert_true(sum > 0 || !possible);
    }
}

static void in_turn_everybody_gets_on_in_the_smallest_pass(void **state) {
    (void)state;
    const plan_entry entry[4] = {ANSWER(1), PROMPT(100, 7), ANSWER(2), PROMPT(9, 0)};
    const plan_limits limits = {.chunk_tokens = 1};
    size_t total[4] = {0};
    for (size_t turn = 0; turn < 4; turn++) {
        size_t n_tokens[4];
        batch_plan(entry, 4, turn, &limits, n_tokens);
        for (size_t i = 0; i < 4; i++) total[i] += n_tokens[i];
    }
    for (size_t i = 0; i < 4; i++) assert_int_equal(total[i], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_shared_by_rules),
        cmocka_unit_test(a_step_never_is_too_large_and_never_empty),
        cmocka_unit_test(in_turn_everybody_gets_on_in_the_smallest_pass),
    };
    return cmocka_run_group_tests_name("server_plan", tests, NULL, NULL);
}
