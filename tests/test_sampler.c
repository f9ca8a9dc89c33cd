/*
 * From logits to tokens: which tokens can be drawn, how often, and that a seed fixes it all. Frequencies
 * are of fixed seeds, so the tests give the same result every time.
 */
#include "test.h"

#include <math.h>

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
    const ds4_sampling bad[] = {{.temperature = NAN}, {.temperature = INFINITY}, {.top_p = NAN}, {.min_p = NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ds4_sampler *sampler = NULL;
        ds4_error error = {""};
        assert_int_equal(ds4_sampler_new(&bad[i], 10, 1, &sampler, &error), DS4_ERROR_ARGUMENT);
        assert_null(sampler);
        assert_string_equal(error.message, "temperature, top_p and min_p must be finite numbers");
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
        cmocka_unit_test(logits_that_are_not_finite_are_never_drawn),
        cmocka_unit_test(without_a_finite_logit_there_is_no_token),
        cmocka_unit_test(settings_that_are_not_numbers_are_refused),
        cmocka_unit_test(draws_come_from_the_documented_generator),
        cmocka_unit_test(a_seed_fixes_all_draws),
        cmocka_unit_test(the_seed_zero_works_as_any_other),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
