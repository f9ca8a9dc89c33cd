/*
 * From logits to tokens: which tokens can be drawn, how often, and that a seed fixes it all. Frequencies
 * are of fixed seeds, so the tests give the same result every time.
 */
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { N_DRAWS = 40000, MAX_VOCAB = 64 };

static ds4_sampler *new_sampler(ds4_sampling sampling, size_t n_vocab, uint64_t seed) {
    ds4_sampler *sampler = NULL;
    ds4_error error;
    assert_ok(ds4_sampler_new(&sampling, n_vocab, seed, &sampler, &error), &error);
    return sampler;
}

static int32_t draw_once(ds4_sampling sampling, const float *logits, size_t n_vocab) {
    ds4_sampler *sampler = new_sampler(sampling, n_vocab, 1);
    int32_t id = ds4_sampler_draw(sampler, logits);
    ds4_sampler_free(sampler);
    return id;
}

static const ds4_sampling PLAIN = {.temperature = 1, .top_p = 1};

/* Draws many times: exactly the tokens with probability > 0 come, each as often as it should within five
 * standard deviations. Every probability is large enough to come at least once. */
static void check_frequencies(ds4_sampling sampling, const float *logits, const double *probability, size_t n_vocab) {
    ds4_sampler *sampler = new_sampler(sampling, n_vocab, 42);
    int count[MAX_VOCAB] = {0};
    assert_true(n_vocab <= MAX_VOCAB);
    for (int i = 0; i < N_DRAWS; i++) {
        int32_t id = ds4_sampler_draw(sampler, logits);
        assert_in_range(id, 0, n_vocab - 1);
        count[id]++;
    }
    ds4_sampler_free(sampler);
    for (size_t i = 0; i < n_vocab; i++) {
        double p = probability[i], expected = p * (double)N_DRAWS, deviation = sqrt(expected * (1 - p));
        if ((p > 0) != (count[i] > 0) || fabs(count[i] - expected) > 5 * deviation)
            fail_msg("token %zu came %d times, expected %.1f", i, count[i], expected);
    }
}

/* Logits in no order whose tokens have the probabilities 0.4, 0.2, 0.15, 0.1, 0.08, 0.05 and 0.02. */
enum { N_KNOWN = 7 };
static const double KNOWN[N_KNOWN] = {0.1, 0.02, 0.4, 0.08, 0.2, 0.05, 0.15};

static void known_logits(float *logits) {
    for (size_t i = 0; i < N_KNOWN; i++) logits[i] = (float)(log(KNOWN[i]) + 3.5);
}

/* Only tokens at least as probable as the least one given stay. */
static void check_kept(ds4_sampling sampling, double least) {
    float logits[N_KNOWN];
    double probability[N_KNOWN], mass = 0;
    known_logits(logits);
    for (size_t i = 0; i < N_KNOWN; i++) mass += KNOWN[i] > least - 1e-9 ? KNOWN[i] : 0;
    for (size_t i = 0; i < N_KNOWN; i++) probability[i] = KNOWN[i] > least - 1e-9 ? KNOWN[i] / mass : 0;
    check_frequencies(sampling, logits, probability, N_KNOWN);
}

/* ---- the most likely token ---- */

static void without_temperature_the_first_largest_logit_wins(void **state) {
    (void)state;
    static const float logits[] = {-1, 3, 2, 3, 3}, negative[] = {-5, -4, -4};
    for (int t = 0; t < 3; t++) {
        ds4_sampling sampling = {.temperature = (float)-t, .top_k = t, .top_p = 0.5f, .min_p = 0.1f};
        assert_int_equal(draw_once(sampling, logits, 5), 1);
        assert_int_equal(draw_once(sampling, negative, 3), 1);
    }
}

static void a_tiny_temperature_is_no_division_by_zero(void **state) {
    (void)state;
    static const float logits[] = {-3e38f, 3e38f, 2.9e38f};
    ds4_sampling sampling = {.temperature = 1e-45f, .top_p = 1};
    assert_int_equal(draw_once(sampling, logits, 3), 1);
}

/* ---- cuts ---- */

static void plain_draws_follow_the_probabilities(void **state) {
    (void)state;
    check_kept(PLAIN, 0.02);
}

static void top_k_keeps_the_k_most_likely(void **state) {
    (void)state;
    static const double least[] = {0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02};
    for (int k = 1; k <= N_KNOWN; k++)
        check_kept((ds4_sampling){.temperature = 1, .top_k = k, .top_p = 1}, least[k - 1]);
    check_kept((ds4_sampling){.temperature = 1, .top_k = 1000, .top_p = 1}, 0.02);
    check_kept((ds4_sampling){.temperature = 1, .top_k = -3, .top_p = 1}, 0.02);
}

static void top_k_takes_the_lower_id_among_equals(void **state) {
    (void)state;
    static const float logits[] = {0, 1, 0, 1, 1};
    static const double expected[] = {0, 0.5, 0, 0.5, 0};
    check_frequencies((ds4_sampling){.temperature = 1, .top_k = 2, .top_p = 1}, logits, expected, 5);
}

static void top_p_keeps_tokens_until_their_sum_reaches_it(void **state) {
    (void)state;
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1e-6f}, 0.4);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.39f}, 0.4);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.41f}, 0.2);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.74f}, 0.15);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.76f}, 0.1);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.97f}, 0.05);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 0.99f}, 0.02);
}

static void a_top_p_outside_its_range_does_not_cut(void **state) {
    (void)state;
    static const float outside[] = {0, -0.5f, 1.5f};
    for (size_t i = 0; i < 3; i++) check_kept((ds4_sampling){.temperature = 1, .top_p = outside[i]}, 0.02);
}

static void min_p_is_relative_to_the_most_likely_token(void **state) {
    (void)state;
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = 0.51f}, 0.4);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = 0.49f}, 0.2);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = 0.126f}, 0.08);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = 0.124f}, 0.05);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = 2}, 0.4);
    check_kept((ds4_sampling){.temperature = 1, .top_p = 1, .min_p = -1}, 0.02);
}

static void cuts_work_together(void **state) {
    (void)state;
    /* of the three best (0.75 in all), the first two are 0.8 of the sum */
    check_kept((ds4_sampling){.temperature = 1, .top_k = 3, .top_p = 0.79f}, 0.2);
    check_kept((ds4_sampling){.temperature = 1, .top_k = 3, .top_p = 0.81f}, 0.15);
    check_kept((ds4_sampling){.temperature = 1, .top_k = 6, .top_p = 0.9f, .min_p = 0.45f}, 0.2);
    check_kept((ds4_sampling){.temperature = 1, .top_k = 2, .top_p = 0.99f, .min_p = 0.1f}, 0.2);
}

static void temperature_flattens_before_the_cuts(void **state) {
    (void)state;
    /* at temperature 2 probabilities go with the square root: 0.08 is then 0.447 of the best */
    float logits[N_KNOWN];
    double probability[N_KNOWN], mass = 0;
    known_logits(logits);
    for (size_t i = 0; i < N_KNOWN; i++) mass += KNOWN[i] > 0.079 ? sqrt(KNOWN[i]) : 0;
    for (size_t i = 0; i < N_KNOWN; i++) probability[i] = KNOWN[i] > 0.079 ? sqrt(KNOWN[i]) / mass : 0;
    check_frequencies((ds4_sampling){.temperature = 2, .top_p = 1, .min_p = 0.44f}, logits, probability, N_KNOWN);
    check_frequencies((ds4_sampling){.temperature = 2, .top_k = N_KNOWN, .top_p = 1, .min_p = 0.44f}, logits,
                      probability, N_KNOWN);
}

/* ---- the same draws as by sorting everything ---- */

typedef struct sorted_token {
    float logit;
    int32_t id;
} sorted_token;

static int best_first(const void *a, const void *b) {
    const sorted_token *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static double next_uniform(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 0x2545f4914f6cdd1du >> 40) * 0x1p-24;
}

/* The definition: sort, cut by top_k, walk until top_p or min_p, draw. Without cuts in the order of ids. */
static int32_t draw_by_definition(const ds4_sampling *s, const float *logits, size_t n_vocab, uint64_t *state) {
    static sorted_token token[1 << 15];
    size_t n = 0, kept = 0;
    float best = -INFINITY;
    for (size_t i = 0; i < n_vocab; i++)
        if (isfinite(logits[i])) token[n++] = (sorted_token){logits[i], (int32_t)i};
    for (size_t i = 0; i < n; i++) best = token[i].logit > best ? token[i].logit : best;
    bool ordered = s->top_k > 0 || s->top_p < 1;
    if (ordered) qsort(token, n, sizeof *token, best_first);
    if (s->top_k > 0 && n > (size_t)s->top_k) n = (size_t)s->top_k;
    double mass = 0, sum = 0;
#define PROBABILITY(I) exp(((double)token[I].logit - (double)best) / (double)s->temperature)
    for (size_t i = 0; i < n; i++) mass += PROBABILITY(i);
    for (size_t i = 0; i < n; i++) {
        bool too_small = PROBABILITY(i) < (double)s->min_p && !(token[i].logit >= best);
        if (too_small && ordered) break;
        if (too_small) continue;
        token[kept++] = token[i];
        sum += PROBABILITY(i);
        if (ordered && sum >= (double)s->top_p * mass) break;
    }
    mass = sum = 0;
    for (size_t i = 0; i < kept; i++) mass += PROBABILITY(i);
    double target = next_uniform(state) * mass;
    for (size_t i = 0; i < kept; i++) {
        sum += PROBABILITY(i);
        if (sum > target) return token[i].id;
    }
    return token[kept - 1].id;
}

/* Logits of many sizes and with many equal ones, as random as need be. */
static void mixed_logits(float *logits, size_t n, float spread, uint64_t seed) {
    for (size_t i = 0; i < n; i++) {
        double u = next_uniform(&seed), v = next_uniform(&seed);
        logits[i] = (float)floor(spread * sqrt(-2 * log(u + 1e-8)) * cos(6.283185307 * v) * 64) / 64;
        if (i % 97 == 5) logits[i] = i % 2 ? -INFINITY : NAN;
    }
}

static void cutting_without_sorting_everything_gives_the_same_draws(void **state) {
    (void)state;
    static const ds4_sampling samplings[] = {
        {.temperature = 1, .top_p = 0.95f, .min_p = 0.05f},
        {.temperature = 1, .top_p = 0.5f},
        {.temperature = 1.5f, .top_p = 0.999f},
        {.temperature = 1, .top_p = 0.9f, .min_p = 1e-3f},
        {.temperature = 2, .top_p = 0.6f, .top_k = 5000},
        {.temperature = 0.7f, .top_p = 0.98f, .top_k = 300, .min_p = 0.01f},
        {.temperature = 1, .top_p = 1, .top_k = 40},
        {.temperature = 1, .top_p = 1, .top_k = 6000, .min_p = 1e-4f},
        {.temperature = 1, .top_p = 1, .min_p = 0.05f},
        {.temperature = 0.3f, .top_p = 1, .min_p = 2},
        {.temperature = 1, .top_p = 1},
    };
    static float logits[20000];
    static const float spreads[] = {0.1f, 1, 4};
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++)
        for (size_t j = 0; j < 3; j++) {
            size_t n_vocab = j == 1 ? 200 : 20000;
            mixed_logits(logits, n_vocab, spreads[j], 7 + j);
            uint64_t random_state = 31 + i;
            ds4_sampler *sampler = new_sampler(samplings[i], n_vocab, random_state);
            for (int draw = 0; draw < 12; draw++) {
                int32_t expected = draw_by_definition(&samplings[i], logits, n_vocab, &random_state);
                int32_t id = ds4_sampler_draw(sampler, logits);
                if (id != expected)
                    fail_msg("settings %zu, logits %zu, draw %d: %d, expected %d", i, j, draw, id, expected);
            }
            ds4_sampler_free(sampler);
        }
}

/* ---- bias and penalties ---- */

static void set_bias(ds4_sampler *sampler, const ds4_logit_bias *bias, size_t n) {
    ds4_error error;
    assert_ok(ds4_sampler_set_bias(sampler, bias, n, &error), &error);
}

static void a_bias_is_added_to_the_logits_of_every_draw(void **state) {
    (void)state;
    static const float logits[] = {5, 4, 3, -INFINITY};
    ds4_sampler *sampler = new_sampler((ds4_sampling){.temperature = 0}, 4, 1);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0);
    set_bias(sampler, (ds4_logit_bias[]){{0, -1.5f}, {3, 100}}, 2);
    for (int i = 0; i < 3; i++) assert_int_equal(ds4_sampler_draw(sampler, logits), 1);
    /* those of one token together */
    set_bias(sampler, (ds4_logit_bias[]){{2, 1.5f}, {2, 1.5f}}, 2);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 2);
    set_bias(sampler, NULL, 0);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0);
    ds4_sampler_free(sampler);
}

static void a_bias_moves_the_probabilities(void **state) {
    (void)state;
    static const float logits[] = {0, 0, 0};
    int count[3] = {0};
    ds4_sampler *sampler = new_sampler((ds4_sampling){.temperature = 1, .top_p = 1}, 3, 3);
    set_bias(sampler, (ds4_logit_bias[]){{0, -100}, {2, 1}}, 2);
    for (int i = 0; i < N_DRAWS; i++) count[ds4_sampler_draw(sampler, logits)]++;
    ds4_sampler_free(sampler);
    assert_int_equal(count[0], 0);
    double p = exp(1) / (1 + exp(1)), deviation = sqrt((double)N_DRAWS * p * (1 - p));
    assert_true(fabs(count[2] - (double)N_DRAWS * p) < 5 * deviation);
}

static void a_bias_of_no_token_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const float logits[] = {0, 1};
    static const ds4_logit_bias bad[][2] = {{{0, 5}, {2, 1}}, {{0, 5}, {-1, 1}}, {{0, 5}, {1, NAN}}};
    static const char *const message[] = {"logit bias: token 2, expected 0 to 1",
                                          "logit bias: token -1, expected 0 to 1",
                                          "logit bias of token 1: expected a finite number"};
    ds4_sampler *sampler = new_sampler((ds4_sampling){.temperature = 0}, 2, 1);
    for (size_t i = 0; i < 3; i++) {
        ds4_error error;
        assert_int_equal(ds4_sampler_set_bias(sampler, bad[i], 2, &error), DS4_ERROR_ARGUMENT);
        assert_string_equal(error.message, message[i]);
        assert_int_equal(ds4_sampler_draw(sampler, logits), 1);
    }
    ds4_sampler_free(sampler);
}

static void penalties_count_what_the_answer_has(void **state) {
    (void)state;
    static const float logits[] = {3, 2, 1};
    ds4_sampler *sampler = new_sampler((ds4_sampling){.temperature = 0, .presence_penalty = 1.5f}, 3, 1);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0); /* drawn is not said */
    ds4_sampler_note(sampler, 0);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 1);
    for (int i = 0; i < 9; i++) ds4_sampler_note(sampler, 0); /* its penalty comes once */
    ds4_sampler_note(sampler, 1);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0);
    ds4_sampler_free(sampler);

    sampler = new_sampler((ds4_sampling){.temperature = 0, .frequency_penalty = 0.41f}, 3, 1);
    /* 3, 2.59, 2.18; then 2 is more than 1.77, this more than 1.59, ...; at last 1 is the most */
    static const int32_t expected[] = {0, 0, 0, 1, 0, 1, 0, 1, 2, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int32_t id = ds4_sampler_draw(sampler, logits);
        assert_int_equal(id, expected[i]);
        ds4_sampler_note(sampler, id);
    }
    ds4_sampler_note(sampler, -1); /* no tokens of this vocabulary */
    ds4_sampler_note(sampler, 3);
    ds4_sampler_free(sampler);
}

static void negative_penalties_invite(void **state) {
    (void)state;
    static const float logits[] = {1, 0.8f};
    ds4_sampler *sampler = new_sampler((ds4_sampling){.temperature = 0, .frequency_penalty = -0.15f}, 2, 1);
    ds4_sampler_note(sampler, 1);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 0);
    ds4_sampler_note(sampler, 1);
    assert_int_equal(ds4_sampler_draw(sampler, logits), 1);
    ds4_sampler_free(sampler);
}

static void the_most_likely_token_takes_no_randomness(void **state) {
    (void)state;
    float logits[N_KNOWN];
    known_logits(logits);
    ds4_sampling sampling = {.temperature = 1, .top_p = 0.9f, .presence_penalty = 2};
    ds4_sampler *with = new_sampler(sampling, N_KNOWN, 5), *without = new_sampler(sampling, N_KNOWN, 5);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ds4_sampler_most_likely(with, logits), 2);
        assert_int_equal(ds4_sampler_draw(with, logits), ds4_sampler_draw(without, logits));
    }
    ds4_sampler_note(with, 2);
    assert_int_equal(ds4_sampler_most_likely(with, logits), 4);
    set_bias(with, (ds4_logit_bias[]){{1, 50}}, 1);
    assert_int_equal(ds4_sampler_most_likely(with, logits), 1);
    ds4_sampler_free(with);
    ds4_sampler_free(without);
}

/* ---- probabilities of tokens ---- */

static void logprobs_are_those_of_the_plain_logits(void **state) {
    (void)state;
    float logits[N_KNOWN], logprob;
    ds4_logprob top[N_KNOWN + 2];
    known_logits(logits);
    for (int32_t id = 0; id < N_KNOWN; id++) {
        assert_int_equal(ds4_logprobs(logits, N_KNOWN, id, &logprob, NULL, 0), 0);
        assert_true(fabs((double)logprob - log(KNOWN[id])) < 1e-5);
    }
    static const int32_t order[] = {2, 4, 6, 0, 3, 5, 1};
    for (size_t n = 1; n <= N_KNOWN + 2; n++) {
        size_t n_top = ds4_logprobs(logits, N_KNOWN, 0, &logprob, top, n);
        assert_int_equal(n_top, n < N_KNOWN ? n : N_KNOWN);
        for (size_t i = 0; i < n_top; i++) {
            assert_int_equal(top[i].id, order[i]);
            assert_true(fabs((double)top[i].logprob - log(KNOWN[order[i]])) < 1e-5);
        }
    }
}

static void equal_logprobs_stand_in_the_order_of_their_ids(void **state) {
    (void)state;
    static const float logits[] = {1, 2, 1, 2, 2, 1};
    static const int32_t order[] = {1, 3, 4, 0, 2};
    float logprob;
    ds4_logprob top[5];
    assert_int_equal(ds4_logprobs(logits, 6, 5, &logprob, top, 5), 5);
    for (size_t i = 0; i < 5; i++) assert_int_equal(top[i].id, order[i]);
}

static void logprobs_of_hostile_logits_are_numbers(void **state) {
    (void)state;
    static const float logits[] = {NAN, 2e38f, INFINITY, -2e38f, -INFINITY}, none[] = {NAN, INFINITY};
    float logprob;
    ds4_logprob top[5];
    assert_int_equal(ds4_logprobs(logits, 5, 1, &logprob, top, 5), 2);
    assert_true(fabsf(logprob) < 1e-6f);
    assert_int_equal(top[0].id, 1);
    assert_int_equal(top[1].id, 3);
    for (int32_t id = -1; id <= 5; id++) {
        if (id == 1 || id == 3) continue;
        ds4_logprobs(logits, 5, id, &logprob, NULL, 0);
        assert_true(isinf(logprob) && logprob < 0);
    }
    assert_int_equal(ds4_logprobs(none, 2, 0, &logprob, top, 5), 0);
    assert_true(isinf(logprob) && logprob < 0);
}

/* ---- hostile logits ---- */

static void logits_that_are_not_finite_are_never_drawn(void **state) {
    (void)state;
    static const float logits[] = {NAN, 0, INFINITY, -INFINITY, 0, -NAN};
    static const double expected[] = {0, 0.5, 0, 0, 0.5, 0};
    check_frequencies(PLAIN, logits, expected, 6);
    check_frequencies((ds4_sampling){.temperature = 1, .top_k = 5, .top_p = 0.99f}, logits, expected, 6);
    assert_int_equal(draw_once((ds4_sampling){.temperature = 0}, logits, 6), 1);
}

static void without_a_finite_logit_there_is_no_token(void **state) {
    (void)state;
    static const float logits[] = {NAN, INFINITY, -INFINITY};
    assert_int_equal(draw_once(PLAIN, logits, 3), -1);
    assert_int_equal(draw_once((ds4_sampling){.temperature = 0}, logits, 3), -1);
    assert_int_equal(draw_once((ds4_sampling){.temperature = 1, .top_k = 1, .top_p = 0.5f}, logits, 3), -1);
    assert_int_equal(draw_once(PLAIN, logits, 0), -1);
}

static void settings_that_are_not_numbers_are_refused(void **state) {
    (void)state;
    const ds4_sampling bad[] = {{.temperature = NAN}, {.temperature = INFINITY}, {.top_p = NAN},
                                {.min_p = NAN},       {.presence_penalty = NAN}, {.frequency_penalty = -INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ds4_sampler *sampler = NULL;
        ds4_error error = {""};
        assert_int_equal(ds4_sampler_new(&bad[i], 10, 1, &sampler, &error), DS4_ERROR_ARGUMENT);
        assert_null(sampler);
        assert_string_equal(error.message, i < 4 ? "temperature, top_p and min_p must be finite numbers"
                                                 : "the penalties must be finite numbers");
    }
    ds4_sampler_free(NULL);
}

/* ---- randomness ---- */

/* With 2^16 equal logits a draw is the top 16 bits of the generator. */
static void first_draws(uint64_t seed, int32_t *draw, size_t n) {
    static const float equal[1 << 16];
    ds4_sampler *sampler = new_sampler(PLAIN, 1 << 16, seed);
    for (size_t i = 0; i < n; i++) draw[i] = ds4_sampler_draw(sampler, equal);
    ds4_sampler_free(sampler);
}

/* xorshift64*: shifts 12, 25, 27, multiplier 0x2545f4914f6cdd1d. */
static void draws_come_from_the_documented_generator(void **state) {
    (void)state;
    /* upper halves of the published first outputs for the seed 1234567 */
    static const uint32_t published[] = {3540625527u, 2750739987u, 4037983143u, 1993361440u, 3809424708u};
    int32_t draw[5];
    first_draws(1234567, draw, 5);
    for (size_t i = 0; i < 5; i++) assert_int_equal(draw[i], published[i] >> 16);
    /* the first output for the seed 1 is 0x47e4ce4b896cdd1d */
    first_draws(1, draw, 1);
    assert_int_equal(draw[0], 0x47e4);
}

static void a_seed_fixes_all_draws(void **state) {
    (void)state;
    enum { N = 200 };
    int32_t a[N], b[N], other[N];
    first_draws(99, a, N);
    first_draws(99, b, N);
    first_draws(100, other, N);
    assert_memory_equal(a, b, sizeof a);
    int n_equal = 0;
    for (int i = 0; i < N; i++) n_equal += a[i] == other[i];
    assert_true(n_equal < 5);
}

/* Of itself the generator would stay at zero for ever. */
static void the_seed_zero_works_as_any_other(void **state) {
    (void)state;
    int32_t zero[8], again[8];
    first_draws(0, zero, 8);
    first_draws(0, again, 8);
    assert_memory_equal(zero, again, sizeof zero);
    int n_different = 0;
    for (int i = 1; i < 8; i++) n_different += zero[i] != zero[0];
    assert_true(n_different >= 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_temperature_the_first_largest_logit_wins),
        cmocka_unit_test(a_tiny_temperature_is_no_division_by_zero),
        cmocka_unit_test(plain_draws_follow_the_probabilities),
        cmocka_unit_test(top_k_keeps_the_k_most_likely),
        cmocka_unit_test(top_k_takes_the_lower_id_among_equals),
        cmocka_unit_test(top_p_keeps_tokens_until_their_sum_reaches_it),
        cmocka_unit_test(a_top_p_outside_its_range_does_not_cut),
        cmocka_unit_test(min_p_is_relative_to_the_most_likely_token),
        cmocka_unit_test(cuts_work_together),
        cmocka_unit_test(temperature_flattens_before_the_cuts),
        cmocka_unit_test(cutting_without_sorting_everything_gives_the_same_draws),
        cmocka_unit_test(a_bias_is_added_to_the_logits_of_every_draw),
        cmocka_unit_test(a_bias_moves_the_probabilities),
        cmocka_unit_test(a_bias_of_no_token_is_refused_and_changes_nothing),
        cmocka_unit_test(penalties_count_what_the_answer_has),
        cmocka_unit_test(negative_penalties_invite),
        cmocka_unit_test(the_most_likely_token_takes_no_randomness),
        cmocka_unit_test(logprobs_are_those_of_the_plain_logits),
        cmocka_unit_test(equal_logprobs_stand_in_the_order_of_their_ids),
        cmocka_unit_test(logprobs_of_hostile_logits_are_numbers),
        cmocka_unit_test(logits_that_are_not_finite_are_never_drawn),
        cmocka_unit_test(without_a_finite_logit_there_is_no_token),
        cmocka_unit_test(settings_that_are_not_numbers_are_refused),
        cmocka_unit_test(draws_come_from_the_documented_generator),
        cmocka_unit_test(a_seed_fixes_all_draws),
        cmocka_unit_test(the_seed_zero_works_as_any_other),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
