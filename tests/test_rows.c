/*
 * How remembered rows are rounded and stored, and the rotation in front of it: against values that an
 * independent implementation computed (tests/data/units.d4g), and against the number formats' definitions.
 */
#include "test.h"

#include "backend/rope.h"
#include "backend/rows.h"
#include "base/half.h"
#include "support/records.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The published model's shape. */
enum { HEAD_DIM = 512, ROTARY = 64, ROUNDED = HEAD_DIM - ROTARY, INDEX_DIM = 128, N_PAIRS = ROTARY / 2, N_ROWS = 16 };

static int open_units(void **state) {
    *state = records_open("tests/data/units.d4g");
    return 0;
}

static int close_units(void **state) {
    d4g_close(*state);
    return 0;
}

/* x -> row -> out */
static void through_row(const row_format *format, const float *x, float *out) {
    uint8_t *row = malloc(format->n_bytes); /* of its own, so that a sanitizer sees a byte too many */
    assert_non_null(row);
    row_encode(format, x, row);
    row_decode(format, row, out);
    free(row);
}

/* A deterministic value between -1 and 1. */
static float scattered(uint32_t i) {
    return (float)(int32_t)(i * 2654435761u + 12345u) * 0x1p-31f;
}

/* ---- sizes ---- */

static void rows_of_the_published_model_have_the_documented_sizes(void **state) {
    (void)state;
    assert_int_equal(row_format_compressed(HEAD_DIM, ROTARY, true, true).n_bytes, 583);
    assert_int_equal(row_format_raw(HEAD_DIM, ROTARY, true, true).n_bytes, 711);
    assert_int_equal(row_format_index(INDEX_DIM, true, true).n_bytes, 68);
}

static void float_rows_have_four_bytes_a_channel(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(row_format_compressed(HEAD_DIM, ROTARY, round, false).n_bytes, 4 * HEAD_DIM);
        assert_int_equal(row_format_raw(HEAD_DIM, ROTARY, round, false).n_bytes, 4 * HEAD_DIM);
        assert_int_equal(row_format_index(INDEX_DIM, round, false).n_bytes, 4 * INDEX_DIM);
    }
}

static void rows_without_rounding_are_never_compact(void **state) {
    (void)state;
    float x[HEAD_DIM], out[HEAD_DIM];
    for (uint32_t i = 0; i < HEAD_DIM; i++) x[i] = scattered(i) * 1e-3f;
    row_format formats[] = {row_format_raw(HEAD_DIM, ROTARY, false, true),
                            row_format_compressed(HEAD_DIM, ROTARY, false, true),
                            row_format_index(INDEX_DIM, false, true)};
    for (size_t i = 0; i < 3; i++) {
        through_row(&formats[i], x, out);
        assert_memory_equal(out, x, (size_t)formats[i].n_channels * sizeof *x);
    }
}

/* ---- FP8 ---- */

static void attention_rows_round_to_the_reference_in_every_format(void **state) {
    const float *in = float_record(*state, "fp8.in", N_ROWS * ROUNDED);
    const float *expected = float_record(*state, "fp8.out", N_ROWS * ROUNDED);
    row_format formats[] = {row_format_raw(HEAD_DIM, ROTARY, true, true), row_format_raw(HEAD_DIM, ROTARY, true, false),
                            row_format_compressed(HEAD_DIM, ROTARY, true, true),
                            row_format_compressed(HEAD_DIM, ROTARY, true, false)};
    for (size_t f = 0; f < 4; f++)
        for (uint32_t r = 0; r < N_ROWS; r++) {
            float x[HEAD_DIM], out[HEAD_DIM];
            memcpy(x, in + r * ROUNDED, ROUNDED * sizeof *x);
            for (uint32_t i = 0; i < ROTARY; i++) x[ROUNDED + i] = half_to_float((uint16_t)(0x3c01 + r * ROTARY + i));
            through_row(&formats[f], x, out);
            check_equal("rounded channels", out, expected + r * ROUNDED, ROUNDED);
            check_equal("rotary channels", out + ROUNDED, x + ROUNDED, ROTARY);
        }
}

/* Magnitude of an E4M3 code by its definition. */
static double fp8_magnitude(int code) {
    int exponent = code >> 3, fraction = code & 7;
    return exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
}

/* x is one of 64 channels of which another is 448, so that the scale is 1. */
static float fp8_rounded(float x) {
    row_format format = row_format_raw(64, 0, true, true);
    float in[64] = {448.0f, x}, out[64];
    through_row(&format, in, out);
    assert_true(out[0] == 448.0f);
    return out[1];
}

static void fp8_rounds_to_nearest_and_ties_to_even(void **state) {
    (void)state;
    for (int code = 0; code < 126; code++) { /* 126 is 448, the largest */
        float low = (float)fp8_magnitude(code), high = (float)fp8_magnitude(code + 1), middle = (low + high) / 2;
        for (int negative = 0; negative < 2; negative++) {
            float sign = negative ? -1.0f : 1.0f;
            assert_true(fp8_rounded(sign * low) == sign * low);
            assert_true(fp8_rounded(sign * nextafterf(middle, 0)) == sign * low);
            assert_true(fp8_rounded(sign * middle) == sign * (code % 2 ? high : low));
            assert_true(fp8_rounded(sign * nextafterf(middle, 1000)) == sign * high);
        }
    }
}

/* The scale is the smallest power of two that brings the largest channel to at most 448. */
static void fp8_scales_change_just_above_448_times_a_power_of_two(void **state) {
    (void)state;
    row_format format = row_format_raw(64, 0, true, true);
    for (int exponent = -22; exponent < 100; exponent++) {
        uint8_t row[65];
        float in[64] = {ldexpf(448, exponent)};
        row_encode(&format, in, row);
        assert_int_equal(row[64], 127 + exponent);
        in[0] = nextafterf(in[0], INFINITY);
        row_encode(&format, in, row);
        assert_int_equal(row[64], 127 + exponent + 1);
        in[0] = -in[0];
        row_encode(&format, in, row);
        assert_int_equal(row[64], 127 + exponent + 1);
    }
}

static void rounding_a_rounded_row_changes_nothing(void **state) {
    (void)state;
    row_format formats[] = {row_format_compressed(HEAD_DIM, ROTARY, true, true),
                            row_format_raw(HEAD_DIM, ROTARY, true, true), row_format_index(HEAD_DIM, true, true)};
    for (size_t f = 0; f < 3; f++)
        for (uint32_t r = 0; r < 64; r++) {
            float x[HEAD_DIM], once[HEAD_DIM], twice[HEAD_DIM];
            for (uint32_t i = 0; i < HEAD_DIM; i++) x[i] = scattered(r * HEAD_DIM + i) * 3.0f;
            through_row(&formats[f], x, once);
            through_row(&formats[f], once, twice);
            assert_memory_equal(once, twice, sizeof once);
        }
}

static void a_row_of_zeros_stays_zero(void **state) {
    (void)state;
    static const float zero[HEAD_DIM];
    row_format formats[] = {row_format_compressed(HEAD_DIM, ROTARY, true, true),
                            row_format_raw(HEAD_DIM, ROTARY, true, true), row_format_index(HEAD_DIM, true, true)};
    for (size_t f = 0; f < 3; f++) {
        float out[HEAD_DIM];
        through_row(&formats[f], zero, out);
        check_equal("zero", out, zero, HEAD_DIM);
    }
}

/* ---- rotary channels ---- */

static void compressed_rows_round_rotary_channels_to_half_precision(void **state) {
    (void)state;
    static const struct {
        float in, out;
    } cases[] = {{1.0f, 1.0f},
                 {0x1.002p0f, 1.0f}, /* half way: to even */
                 {0x1.006p0f, 0x1.008p0f},
                 {0x1.002002p0f, 0x1.004p0f}, /* just above half way */
                 {-0x1.006p0f, -0x1.008p0f},
                 {65504.0f, 65504.0f},
                 {0x1p-24f, 0x1p-24f}, /* the smallest */
                 {0x1p-25f, 0.0f},
                 {0x1.8p-24f, 0x1p-23f},
                 {-0x1.fffp-16f, -0x1p-15f}};
    row_format format = row_format_compressed(HEAD_DIM, ROTARY, true, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x[HEAD_DIM] = {0}, out[HEAD_DIM];
        x[ROUNDED] = x[HEAD_DIM - 1] = cases[i].in;
        through_row(&format, x, out);
        assert_true(out[ROUNDED] == cases[i].out);
        assert_true(out[HEAD_DIM - 1] == cases[i].out);
    }
}

static void raw_rows_keep_rotary_channels_whole(void **state) {
    (void)state;
    row_format format = row_format_raw(HEAD_DIM, ROTARY, true, true);
    float x[HEAD_DIM], out[HEAD_DIM];
    for (uint32_t i = 0; i < HEAD_DIM; i++) x[i] = scattered(i) * 1e3f;
    through_row(&format, x, out);
    assert_memory_equal(out + ROUNDED, x + ROUNDED, ROTARY * sizeof *x);
}

/* ---- Hadamard and FP4 ---- */

static void hadamard_transform_matches_the_reference(void **state) {
    const float *in = float_record(*state, "fp4.in", N_ROWS * INDEX_DIM);
    const float *expected = float_record(*state, "fp4.hadamard", N_ROWS * INDEX_DIM);
    for (size_t r = 0; r < N_ROWS; r++) {
        float x[INDEX_DIM];
        memcpy(x, in + r * INDEX_DIM, sizeof x);
        hadamard_transform(x, INDEX_DIM);
        check_close("hadamard", x, expected + r * INDEX_DIM, INDEX_DIM, 2e-6);
    }
}

static void hadamard_transform_is_its_own_inverse(void **state) {
    (void)state;
    for (int n = 1; n <= 1024; n *= 2) {
        float x[1024], before[1024];
        for (int i = 0; i < n; i++) x[i] = before[i] = scattered((uint32_t)i);
        hadamard_transform(x, n);
        hadamard_transform(x, n);
        check_close("twice", x, before, (size_t)n, 2e-6);
    }
}

static void indexer_rows_round_to_the_reference_in_every_format(void **state) {
    const float *in = float_record(*state, "fp4.in", N_ROWS * INDEX_DIM);
    const float *expected = float_record(*state, "fp4.out", N_ROWS * INDEX_DIM);
    row_format compact = row_format_index(INDEX_DIM, true, true), floats = row_format_index(INDEX_DIM, true, false);
    for (size_t r = 0; r < N_ROWS; r++) {
        float x[INDEX_DIM], out[INDEX_DIM];
        memcpy(x, in + r * INDEX_DIM, sizeof x);
        hadamard_transform(x, INDEX_DIM);
        through_row(&compact, x, out);
        check_equal("compact row", out, expected + r * INDEX_DIM, INDEX_DIM);
        through_row(&floats, x, out);
        check_equal("float row", out, expected + r * INDEX_DIM, INDEX_DIM);
        fp4_round(x, INDEX_DIM);
        check_equal("query", x, expected + r * INDEX_DIM, INDEX_DIM);
    }
}

static void fp4_rounds_ties_as_the_reference_does(void **state) {
    const float *in = float_record(*state, "fp4.plain_in", INDEX_DIM);
    const float *expected = float_record(*state, "fp4.plain_out", INDEX_DIM);
    row_format format = row_format_index(INDEX_DIM, true, true);
    float out[INDEX_DIM];
    through_row(&format, in, out);
    check_equal("compact row", out, expected, INDEX_DIM);
    memcpy(out, in, sizeof out);
    fp4_round(out, INDEX_DIM);
    check_equal("query", out, expected, INDEX_DIM);
}

static void fp4_rounds_to_nearest_and_ties_to_even(void **state) {
    (void)state;
    static const float value[8] = {0, .5f, 1, 1.5f, 2, 3, 4, 6};
    row_format format = row_format_index(32, true, true);
    for (int code = 0; code < 7; code++) {
        float low = value[code], high = value[code + 1], middle = (low + high) / 2;
        float in[32] = {6, low, -low, middle, -middle, nextafterf(middle, 0), nextafterf(middle, 9)}, out[32];
        through_row(&format, in, out);
        float tie = code % 2 ? high : low, expected[7] = {6, low, -low, tie, -tie, low, high};
        check_equal("FP4", out, expected, 7);
    }
}

static void fp4_scales_change_just_above_6_times_a_power_of_two(void **state) {
    (void)state;
    row_format format = row_format_index(32, true, true);
    for (int exponent = -125; exponent < 120; exponent++) {
        uint8_t row[17];
        float in[32] = {ldexpf(6, exponent)};
        row_encode(&format, in, row);
        assert_int_equal(row[16], 127 + exponent);
        in[0] = -nextafterf(in[0], INFINITY);
        row_encode(&format, in, row);
        assert_int_equal(row[16], 127 + exponent + 1);
    }
}

/* ---- rotation ---- */

static int32_t ulps_apart(float a, float b) {
    return abs((int32_t)float_to_bits(a) - (int32_t)float_to_bits(b));
}

static void frequencies_of_the_published_model_match_to_the_last_bit_but_one(void **state) {
    hyperparameters hparams = hyperparameters_flash();
    rope_frequencies rope;
    rope_frequencies_init(&hparams, &rope);
    const float *plain = float_record(*state, "rope.freq_main", N_PAIRS);
    const float *compressed = float_record(*state, "rope.freq_comp", N_PAIRS);
    assert_int_equal(rope.n_pairs, N_PAIRS);
    for (int i = 0; i < N_PAIRS; i++) {
        assert_true(ulps_apart(rope.plain[i], plain[i]) <= 1);
        assert_true(ulps_apart(rope.compressed[i], compressed[i]) <= 1);
    }
}

/* From the record's frequencies: a last bit of the frequency is much of an angle at a million. */
static void check_angles(const d4g_file *units, const char *kind) {
    enum { N_POSITIONS = 11 };
    char name[32];
    snprintf(name, sizeof name, "rope.freq_%s", kind);
    const float *frequency = float_record(units, name, N_PAIRS);
    snprintf(name, sizeof name, "rope.cos_%s", kind);
    const float *cosine = float_record(units, name, N_POSITIONS * N_PAIRS);
    snprintf(name, sizeof name, "rope.sin_%s", kind);
    const float *sine = float_record(units, name, N_POSITIONS * N_PAIRS);
    const int32_t *position = int_record(units, "rope.pos", N_POSITIONS);
    for (size_t p = 0; p < N_POSITIONS; p++) {
        float angles[2 * N_PAIRS];
        rope_angles(frequency, N_PAIRS, position[p], angles);
        for (size_t i = 0; i < N_PAIRS; i++) {
            assert_true(fabsf(angles[2 * i] - cosine[p * N_PAIRS + i]) <= 1e-7f);
            assert_true(fabsf(angles[2 * i + 1] - sine[p * N_PAIRS + i]) <= 1e-7f);
        }
    }
}

static void angles_match_the_reference_up_to_a_million_tokens(void **state) {
    check_angles(*state, "main");
    check_angles(*state, "comp");
}

static void rotation_turns_neighbouring_channels_counterclockwise(void **state) {
    (void)state;
    float x[4] = {1, 0, 0, 2}, angles[4] = {0, 1, 0.6f, 0.8f}; /* a quarter turn; 3-4-5 */
    rope_rotate(x, angles, 2, false);
    static const float expected[4] = {0, 1, -1.6f, 1.2f};
    check_close("rotated", x, expected, 4, 1e-6);
}

static void turning_back_undoes_the_rotation(void **state) {
    (void)state;
    hyperparameters hparams = hyperparameters_flash();
    rope_frequencies rope;
    rope_frequencies_init(&hparams, &rope);
    for (int64_t position = 0; position < 1 << 20; position = 3 * position + 1) {
        float angles[2 * N_PAIRS], x[ROTARY], before[ROTARY];
        rope_angles(rope.compressed, N_PAIRS, position, angles);
        for (uint32_t i = 0; i < ROTARY; i++) x[i] = before[i] = scattered(i);
        rope_rotate(x, angles, N_PAIRS, false);
        if (position) assert_true(largest_difference(x, before, ROTARY) > 0.1f);
        rope_rotate(x, angles, N_PAIRS, true);
        check_close("there and back", x, before, ROTARY, 1e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_published_model_have_the_documented_sizes),
        cmocka_unit_test(float_rows_have_four_bytes_a_channel),
        cmocka_unit_test(rows_without_rounding_are_never_compact),
        cmocka_unit_test(attention_rows_round_to_the_reference_in_every_format),
        cmocka_unit_test(fp8_rounds_to_nearest_and_ties_to_even),
        cmocka_unit_test(fp8_scales_change_just_above_448_times_a_power_of_two),
        cmocka_unit_test(rounding_a_rounded_row_changes_nothing),
        cmocka_unit_test(a_row_of_zeros_stays_zero),
        cmocka_unit_test(compressed_rows_round_rotary_channels_to_half_precision),
        cmocka_unit_test(raw_rows_keep_rotary_channels_whole),
        cmocka_unit_test(hadamard_transform_matches_the_reference),
        cmocka_unit_test(hadamard_transform_is_its_own_inverse),
        cmocka_unit_test(indexer_rows_round_to_the_reference_in_every_format),
        cmocka_unit_test(fp4_rounds_ties_as_the_reference_does),
        cmocka_unit_test(fp4_rounds_to_nearest_and_ties_to_even),
        cmocka_unit_test(fp4_scales_change_just_above_6_times_a_power_of_two),
        cmocka_unit_test(frequencies_of_the_published_model_match_to_the_last_bit_but_one),
        cmocka_unit_test(angles_match_the_reference_up_to_a_million_tokens),
        cmocka_unit_test(rotation_turns_neighbouring_channels_counterclockwise),
        cmocka_unit_test(turning_back_undoes_the_rotation),
    };
    return cmocka_run_group_tests_name("rows", tests, open_units, close_units);
}
