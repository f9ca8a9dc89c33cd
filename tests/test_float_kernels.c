/*
 * The float loops of the CPU backend: each table against the portable one, to the last bit, and that one against the
 * plain functions it stands for, or double precision.
 */
#include "test.h"

#include "backend/cpu/kernels.h"
#include "backend/rope.h"
#include "base/half.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- random values ---- */

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* About normal. */
static float random_value(uint64_t *state) {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += (float)(next_random(state) >> 40) * 0x1p-24f - 0.5f;
    return 2 * sum;
}

static float *random_values(size_t n, uint64_t *state) {
    float *values = calloc(n ? n : 1, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = random_value(state);
    return values;
}

static float *copy_of(const float *values, size_t n) {
    float *copy = calloc(n ? n : 1, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

static const float_kernels *portable(void) {
    size_t i = 0;
    while (cpu_kernels_all[i + 1]) i++;
    return cpu_kernels_all[i]->f;
}

static const float_kernels *table(void **test) {
    return ((const cpu_kernels *)*test)->f;
}

static void check_equal(const char *what, size_t n, const float *actual, const float *expected, size_t n_values) {
    for (size_t i = 0; i < n_values; i++)
        if (float_to_bits(actual[i]) != float_to_bits(expected[i]))
            fail_msg("%s, n %zu: value %zu is %.9g, expected %.9g", what, n, i, (double)actual[i], (double)expected[i]);
}

static void check_near(const char *what, float actual, double expected, double limit) {
    if (!(fabs((double)actual - expected) <= limit))
        fail_msg("%s: %.9g, expected %.9g +- %.3g", what, (double)actual, expected, limit);
}

static const size_t LENGTH[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 512, 1024};
enum { N_LENGTHS = sizeof LENGTH / sizeof *LENGTH };

/* ---- loops over channels ---- */

static void products_are_equal(void **test) {
    enum { MAX_ROWS = 9, MAX_TOKENS = 9, MAX_N = 1024 };
    uint64_t state = 1;
    float *a = random_values((size_t)MAX_ROWS * MAX_N, &state), *x = random_values((size_t)MAX_TOKENS * MAX_N, &state);
    for (size_t l = 0; l < N_LENGTHS; l++) {
        size_t n = LENGTH[l], n_rows = 1 + next_random(&state) % MAX_ROWS;
        int n_tokens = 1 + (int)(next_random(&state) % MAX_TOKENS);
        float result[MAX_TOKENS][MAX_ROWS + 2] = {{0}};
        const float *b[MAX_TOKENS];
        float *out[MAX_TOKENS];
        for (int t = 0; t < n_tokens; t++) {
            b[t] = x + t * MAX_N;
            out[t] = result[t];
        }
        table(test)->dot_tile(a, MAX_N, n_rows, b, n_tokens, n, out, 1);
        for (int t = 0; t < n_tokens; t++) {
            float expected[MAX_ROWS + 2] = {0};
            for (size_t r = 0; r < n_rows; r++) {
                expected[r + 1] = portable()->dot(a + r * MAX_N, b[t], n);
                double sum = 0, size = 0;
                for (size_t i = 0; i < n; i++) {
                    sum += (double)a[r * MAX_N + i] * (double)b[t][i];
                    size += fabs((double)a[r * MAX_N + i] * (double)b[t][i]);
                }
                check_near("dot", expected[r + 1], sum, 2e-7 * size);
            }
            check_equal("dot_tile", n, result[t], expected, MAX_ROWS + 2);
        }
        float one = table(test)->dot(a, b[0], n), other = portable()->dot(a, b[0], n);
        check_equal("dot", n, &one, &other, 1);
    }
    free(a);
    free(x);
}

/* Runs both tables on copies of the same values; out is compared whole. */
#define COMPARE(what, n, in, n_in, call)                               \
    do {                                                               \
        float *expected = copy_of(in, n_in), *out = copy_of(in, n_in); \
        const float_kernels *f = portable();                           \
        float *to = expected;                                          \
        call;                                                          \
        f = table(test);                                               \
        to = out;                                                      \
        call;                                                          \
        check_equal(what, n, out, expected, n_in);                     \
        free(expected);                                                \
        free(out);                                                     \
    } while (0)

static void loops_over_channels_are_equal(void **test) {
    uint64_t state = 2;
    for (size_t l = 0; l < N_LENGTHS; l++) {
        size_t n = LENGTH[l];
        float *in = random_values(4 * n + 1, &state), *other = random_values(4 * n, &state);
        float weight[4], c[16];
        for (int i = 0; i < 4; i++) weight[i] = random_value(&state);
        for (int i = 0; i < 16; i++) c[i] = random_value(&state);
        pooled_token token[4];
        for (size_t i = 0; i < 4; i++) token[i] = (pooled_token){in + i * n, other + i * n};

        COMPARE("add_scaled", n, in, n + 1, f->add_scaled(to, 0.7f, other, n));
        COMPARE("rms_norm", n, in, n + 1, f->rms_norm(to, NULL, n, 1e-6f, to));
        COMPARE("rms_norm with gain", n, in, n + 1, f->rms_norm(other, other + n, n, 1e-6f, to));
        for (size_t i = 0; i < n; i++) other[i] *= 20;
        COMPARE("swiglu", n, in, n + 1, f->swiglu(to, other, 10, 0.3f, n));
        COMPARE("swiglu of large values", n, other, n + 1, f->swiglu(to, in, 10, 0.3f, n));
        COMPARE("collapse", n, in, n + 1, f->collapse(other, weight, n, to));
        COMPARE("expand", n, in, 4 * n + 1, f->expand(to, weight, c, other, n));
        COMPARE("pool", n, other, n + 1, f->pool(token, 4, n, to));
        COMPARE("rotate", n, in, 2 * n + 1, f->rotate(to, other, n, false));
        COMPARE("rotate back", n, in, 2 * n + 1, f->rotate(to, other, n, true));
        free(in);
        free(other);
    }
}

static void loops_over_channels_compute_what_they_say(void **test) {
    (void)test;
    enum { N = 100 };
    const float_kernels *f = portable();
    uint64_t state = 3;
    float x[4 * N], y[4 * N], out[4 * N], weight[4] = {0.5f, -1, 2, 0.25f}, c[16];
    for (int i = 0; i < 4 * N; i++) {
        x[i] = random_value(&state);
        y[i] = 8 * random_value(&state);
    }
    for (int i = 0; i < 16; i++) c[i] = random_value(&state);

    f->rms_norm(x, y, N, 1e-6f, out);
    double square = 0;
    for (int i = 0; i < N; i++) square += (double)x[i] * (double)x[i];
    for (int i = 0; i < N; i++)
        check_near("rms_norm", out[i], (double)x[i] / sqrt(square / (double)N + 1e-6) * (double)y[i], 1e-5);

    memcpy(out, y, sizeof out);
    f->swiglu(out, x, 6, 0.5f, N);
    for (int i = 0; i < N; i++) {
        double gate = fmin((double)y[i], 6), up = fmax(fmin((double)x[i], 6), -6);
        check_near("swiglu", out[i], gate / (1 + exp(-gate)) * up * 0.5, 1e-5);
    }

    f->collapse(x, weight, N, out);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int s = 0; s < 4; s++) sum += (double)weight[s] * (double)x[s * N + i];
        check_near("collapse", out[i], sum, 1e-5);
    }

    memcpy(out, x, sizeof out);
    f->expand(out, weight, c, y, N);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < N; i++) {
            double sum = (double)weight[j] * (double)y[i];
            for (int s = 0; s < 4; s++) sum += (double)c[s * 4 + j] * (double)x[s * N + i];
            check_near("expand", out[j * N + i], sum, 1e-5);
        }

    memcpy(out, x, sizeof out);
    f->rotate(out, y, N / 2, true);
    rope_rotate(x, y, N / 2, true);
    for (int i = 0; i < N; i++) check_near("rotate", out[i], (double)x[i], 1e-4);
}

/* A token with gate x and value 1 beside one with gate 0 and value 0 pools to e^x / (1 + e^x). */
static void exponentials_are_good_to_the_last_bits(void **test) {
    enum { N = 4096 };
    static const float zero[N];
    float *gate = calloc(N, sizeof *gate), *value = calloc(N, sizeof *value), *out = calloc(N, sizeof *out);
    assert_true(gate && value && out);
    pooled_token token[2] = {{zero, zero}, {value, gate}};
    for (int i = 0; i < N; i++) {
        value[i] = 1;
        gate[i] = -87.0f * (float)i / (float)N;
    }
    table(test)->pool(token, 2, N, out);
    for (int i = 0; i < N; i++) {
        double e = exp((double)gate[i]);
        check_near("pool", out[i], e / (1 + e), 2.5 * 0x1p-24 * 2 * e / (1 + e));
    }
    static const float FAR[] = {-88, -100, -104, -1000, -1e30f, -INFINITY};
    for (size_t i = 0; i < sizeof FAR / sizeof *FAR; i++) gate[i] = FAR[i];
    table(test)->pool(token, 2, sizeof FAR / sizeof *FAR, out);
    for (size_t i = 0; i < sizeof FAR / sizeof *FAR; i++) assert_true(out[i] == 0);
    free(gate);
    free(value);
    free(out);
}

static void large_gates_of_swiglu_saturate(void **test) {
    enum { N = 6 };
    float gate[N] = {100, 89, -89, -200, -INFINITY, NAN}, up[N] = {1, 1, 1, 1, 1, 1};
    table(test)->swiglu(gate, up, 10, 1, 2);
    assert_true(fabsf(gate[0] - 10) < 1e-3f && gate[0] == gate[1]);
    table(test)->swiglu(gate + 2, up, 10, 1, N - 2);
    assert_true(fabsf(gate[2]) < 1e-30f && fabsf(gate[3]) == 0);
    assert_true(isnan(gate[5]));
}

static void hadamard_transforms_are_those_of_rows(void **test) {
    uint64_t state = 4;
    for (size_t n = 1; n <= 1024; n *= 2) {
        float *x = random_values(n, &state), *expected = copy_of(x, n);
        table(test)->hadamard(x, n);
        hadamard_transform(expected, (int)n);
        check_equal("hadamard", n, x, expected, n);
        free(x);
        free(expected);
    }
}

/* ---- stored rows ---- */

static void every_code_of_a_row_is_decoded_as_rows_do(void **test) {
    enum { MAX_BYTES = 4096 };
    uint64_t state = 5;
    const row_format FORMAT[] = {row_format_raw(512, 64, true, true), row_format_compressed(512, 64, true, true),
                                 row_format_compressed(128 + 22, 22, true, true),
                                 row_format_raw(64 + 2, 2, true, true)};
    for (size_t k = 0; k < sizeof FORMAT / sizeof *FORMAT; k++)
        for (int scale = 1; scale < 248; scale++) {
            const row_format *format = &FORMAT[k];
            size_t n_rounded = (size_t)(format->n_channels - format->n_rotary);
            uint8_t row[MAX_BYTES];
            float out[512 + 1], expected[512 + 1];
            assert_true(format->n_bytes <= MAX_BYTES);
            for (size_t i = 0; i < n_rounded; i++) row[i] = (uint8_t)(i + (size_t)scale * 64);
            memset(row + n_rounded, scale, n_rounded / FP8_BLOCK);
            float x[512] = {0};
            for (int i = 0; i < format->n_channels; i++) x[i] = random_value(&state) * (scale % 2 ? 1 : 1e-6f);
            uint8_t encoded[MAX_BYTES];
            row_encode(format, x, encoded);
            size_t tail = n_rounded + n_rounded / FP8_BLOCK;
            memcpy(row + tail, encoded + tail, format->n_bytes - tail);
            out[format->n_channels] = expected[format->n_channels] = 7;
            table(test)->decode_row(format, row, out);
            row_decode(format, row, expected);
            check_equal("row", (size_t)scale, out, expected, (size_t)format->n_channels + 1);
        }
}

/* ---- attention ---- */

struct attend_case {
    size_t n_heads, dim, n_rows;
};

static const struct attend_case ATTEND[] = {{16, 512, 64}, {16, 512, 1},  {16, 512, 13}, {16, 192, 7}, {5, 96, 63},
                                            {1, 66, 64},   {16, 200, 33}, {16, 64, 6},   {3, 130, 12}, {16, 48, 31}};
enum { N_ATTEND = sizeof ATTEND / sizeof *ATTEND };

/* Attention of a few heads to n_rows rows, in two parts of two calls; out: [n_heads][dim], tops and sums. */
static void attend(const float_kernels *f, const struct attend_case *c, const float *q, const float *rows,
                   float *heads) {
    size_t stride = attend_row_stride(c->dim), width = attend_width(c->dim), cut = c->n_rows / 2;
    float *q_t = calloc(c->dim * ATTEND_HEADS, sizeof *q_t);
    attend_state state[2];
    for (int i = 0; i < 2; i++) state[i].out = calloc(ATTEND_HEADS * width, sizeof(float));
    assert_true(q_t && state[0].out && state[1].out);
    f->attend_queries(q, c->n_heads, c->dim, q_t);
    for (int i = 0; i < 2; i++) f->attend_start(&state[i], c->dim);
    float scale = 1.0f / sqrtf((float)c->dim);
    if (cut) f->attend_rows(&state[0], q_t, rows, cut, c->dim, scale);
    f->attend_rows(&state[0], q_t, rows + cut * stride, c->n_rows - cut, c->dim, scale);
    f->attend_rows(&state[1], q_t, rows, c->n_rows, c->dim, scale);
    f->attend_merge(&state[0], &state[1], c->dim);
    f->attend_finish(&state[0], c->n_heads, c->dim, heads);
    for (size_t h = 0; h < c->n_heads; h++) {
        heads[c->n_heads * c->dim + 2 * h] = state[0].top[h];
        heads[c->n_heads * c->dim + 2 * h + 1] = state[0].sum[h];
    }
    free(q_t);
    free(state[0].out);
    free(state[1].out);
}

static void check_attention(const struct attend_case *c, const float *q, const float *rows, const float *heads) {
    size_t stride = attend_row_stride(c->dim);
    for (size_t h = 0; h < c->n_heads; h++) {
        double weight[ATTEND_ROWS], sum = 0;
        for (size_t r = 0; r < c->n_rows; r++) {
            double score = 0;
            for (size_t d = 0; d < c->dim; d++) score += (double)q[h * c->dim + d] * (double)rows[r * stride + d];
            sum += weight[r] = exp(score / sqrt((double)c->dim));
        }
        for (size_t d = 0; d < c->dim; d++) {
            double out = 0;
            for (size_t r = 0; r < c->n_rows; r++) out += weight[r] / sum * (double)rows[r * stride + d];
            check_near("attention", heads[h * c->dim + d], out, 3e-6);
        }
    }
}

static void attention_to_rows_is_equal_and_right(void **test) {
    uint64_t state = 6;
    for (size_t i = 0; i < N_ATTEND; i++) {
        const struct attend_case *c = &ATTEND[i];
        size_t stride = attend_row_stride(c->dim), n = c->n_heads * (c->dim + 2);
        float *q = random_values(c->n_heads * c->dim, &state), *rows = random_values(c->n_rows * stride, &state);
        for (size_t r = 0; r < c->n_rows; r++)
            for (size_t d = c->dim; d < stride; d++) rows[r * stride + d] = 0;
        float *expected = calloc(n, sizeof *expected), *out = calloc(n, sizeof *out);
        assert_true(expected && out);
        attend(portable(), c, q, rows, expected);
        attend(table(test), c, q, rows, out);
        check_equal("attention", c->dim, out, expected, n);
        check_attention(c, q, rows, out);
        free(q);
        free(rows);
        free(expected);
        free(out);
    }
}

/* ---- indexer ---- */

static void indexer_scores_are_equal_and_those_of_floats(void **test) {
    enum { N_ROWS = 37, MAX_DIM = 256, MAX_HEADS = 70 };
    static const size_t DIM[] = {32, 64, 128, 256}, HEADS[] = {1, 16, 20, 64, 70};
    uint64_t state = 7;
    for (size_t i = 0; i < 20; i++) {
        size_t dim = DIM[i % 4], n_heads = HEADS[i % 5], bytes = index_query_bytes(n_heads, dim);
        row_format format = row_format_index((int)dim, true, true);
        float *q = random_values(n_heads * dim, &state), *weight = random_values(n_heads, &state);
        uint8_t *rows = calloc(N_ROWS, format.n_bytes);
        void *memory[2] = {aligned_alloc(64, (bytes + 63) / 64 * 64), aligned_alloc(64, (bytes + 63) / 64 * 64)};
        assert_true(rows && memory[0] && memory[1]);
        fp4_round(q, (int)(n_heads * dim));
        for (size_t r = 0; r < N_ROWS; r++) {
            float x[MAX_DIM];
            for (size_t d = 0; d < dim; d++) x[d] = random_value(&state) * (d / 32 % 2 ? 1 : 9);
            row_encode(&format, x, rows + r * format.n_bytes);
        }
        float score[2][N_ROWS];
        for (int side = 0; side < 2; side++) {
            const float_kernels *f = side ? table(test) : portable();
            index_query query = index_query_in(memory[side], n_heads, dim);
            f->index_prepare(&query, q, n_heads, weight, 0.1f);
            f->index_scores(&query, rows, format.n_bytes, N_ROWS, score[side]);
        }
        assert_memory_equal(memory[0], memory[1], bytes);
        check_equal("indexer", dim, score[1], score[0], N_ROWS);
        for (size_t r = 0; r < N_ROWS; r++) {
            float key[MAX_DIM];
            row_decode(&format, rows + r * format.n_bytes, key);
            double sum = 0, size = 0;
            for (size_t h = 0; h < n_heads; h++) {
                double dot = 0;
                for (size_t d = 0; d < dim; d++) dot += (double)q[h * dim + d] * (double)key[d];
                sum += fmax(dot, 0) * (double)weight[h] * 0.1;
                size += fmax(dot, 0) * fabs((double)weight[h]) * 0.1;
            }
            check_near("score", score[1][r], sum, 4e-7 * size);
        }
        free(q);
        free(weight);
        free(rows);
        free(memory[0]);
        free(memory[1]);
    }
}

/* The largest sums that codes can have. */
static void indexer_sums_do_not_overflow(void **test) {
    enum { DIM = 128, HEADS = 16, ROWS = 9 };
    row_format format = row_format_index(DIM, true, true);
    float q[HEADS * DIM], x[DIM], weight[HEADS], score[ROWS];
    uint8_t rows[ROWS * (DIM / 2 + DIM / 32)];
    for (int negative = 0; negative < 2; negative++) {
        for (int i = 0; i < HEADS * DIM; i++) q[i] = 6;
        for (int i = 0; i < DIM; i++) x[i] = negative && i % 32 ? -6 : 6;
        for (int h = 0; h < HEADS; h++) weight[h] = 1;
        for (size_t r = 0; r < ROWS; r++) row_encode(&format, x, rows + r * format.n_bytes);
        void *memory = aligned_alloc(64, (index_query_bytes(HEADS, DIM) + 63) / 64 * 64);
        assert_non_null(memory);
        index_query query = index_query_in(memory, HEADS, DIM);
        table(test)->index_prepare(&query, q, HEADS, weight, 1);
        table(test)->index_scores(&query, rows, format.n_bytes, ROWS, score);
        for (int r = 0; r < ROWS; r++) assert_true(score[r] == (negative ? 0 : HEADS * DIM * 36));
        free(memory);
    }
}

enum { MAX_TESTS = 64 };

int main(void) {
    struct CMUnitTest tests[MAX_TESTS] = {cmocka_unit_test(loops_over_channels_compute_what_they_say)};
    size_t n = 1;
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } EACH[] = {{"products_are_equal", products_are_equal},
                {"loops_over_channels_are_equal", loops_over_channels_are_equal},
                {"exponentials_are_good_to_the_last_bits", exponentials_are_good_to_the_last_bits},
                {"large_gates_of_swiglu_saturate", large_gates_of_swiglu_saturate},
                {"hadamard_transforms_are_those_of_rows", hadamard_transforms_are_those_of_rows},
                {"every_code_of_a_row_is_decoded_as_rows_do", every_code_of_a_row_is_decoded_as_rows_do},
                {"attention_to_rows_is_equal_and_right", attention_to_rows_is_equal_and_right},
                {"indexer_scores_are_equal_and_those_of_floats", indexer_scores_are_equal_and_those_of_floats},
                {"indexer_sums_do_not_overflow", indexer_sums_do_not_overflow}};
    static char name[MAX_TESTS][96];
    for (size_t k = 0; cpu_kernels_all[k]; k++) {
        if (!cpu_kernels_all[k]->supported()) {
            printf("%s: not on this processor\n", cpu_kernels_all[k]->name);
            continue;
        }
        for (size_t i = 0; i < sizeof EACH / sizeof *EACH && n < MAX_TESTS; i++, n++) {
            snprintf(name[n], sizeof name[n], "%s_%s", cpu_kernels_all[k]->name, EACH[i].name);
            tests[n] = (struct CMUnitTest){name[n], EACH[i].run, NULL, NULL, (void *)(uintptr_t)cpu_kernels_all[k]};
        }
    }
    return _cmocka_run_group_tests("float kernels", tests, n, NULL, NULL);
}
