/*
 * The inner loops of the CPU backend: each table against the portable one, to the last bit, and that one against
 * decoded weights in double precision.
 */
#include "test.h"

#include "backend/cpu/kernels.h"
#include "base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* About normal, with a few large values. */
static float random_value(uint64_t *state) {
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += (float)(next_random(state) >> 40) * 0x1p-24f - 0.5f;
    return next_random(state) % 50 ? sum : 20 * sum;
}

struct format_case {
    uint32_t type;
    activation_kind kind;
    size_t scale_at[2]; /* of the halves in a block; the same twice if there is one */
};

static const struct format_case FORMAT[] = {{BLOCK_Q8_0, ACTIVATION_Q32, {0, 0}},
                                            {BLOCK_IQ2_XXS, ACTIVATION_Q256, {0, 0}},
                                            {BLOCK_Q2_K, ACTIVATION_Q256, {80, 82}},
                                            {BLOCK_Q4_K, ACTIVATION_Q256, {0, 2}},
                                            {BLOCK_F16, ACTIVATION_F32, {0, 0}}};
enum { N_FORMATS = sizeof FORMAT / sizeof *FORMAT };

static product_function *product_of(const cpu_kernels *kernels, uint32_t type) {
    switch (type) {
    case BLOCK_Q8_0: return kernels->q8_0;
    case BLOCK_IQ2_XXS: return kernels->iq2_xxs;
    case BLOCK_Q2_K: return kernels->q2_k;
    case BLOCK_Q4_K: return kernels->q4_k;
    default: return kernels->f16;
    }
}

static const cpu_kernels *portable(void) {
    size_t i = 0;
    while (cpu_kernels_all[i + 1]) i++;
    return cpu_kernels_all[i];
}

static void *aligned_bytes(size_t n_bytes) {
    void *memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

/* A matrix, the inputs of some tokens in all forms, and places for two results. */
struct scene {
    const struct format_case *c;
    const block_format *format;
    size_t n, n_rows, row_bytes;
    int n_tokens;
    uint8_t *stored, *w; /* w is at an odd address */
    float *x;            /* [n_tokens][n] */
    uint8_t *quantised;  /* [n_tokens][activation_bytes] */
    const void **rows;   /* what the product takes */
    void *scratch;
    float *result[2]; /* [n_tokens][n_rows + 1]: a guard behind each token's */
    float **y[2];
};

static void fill_weights(struct scene *s, uint64_t *state) {
    size_t n_bytes = s->n_rows * s->row_bytes;
    for (size_t i = 0; i < n_bytes; i++) s->w[i] = (uint8_t)next_random(state);
    for (size_t at = 0; at < n_bytes; at += s->format->n_bytes)
        for (int i = 0; i < 2; i++) {
            uint16_t half = half_from_float(0.02f * random_value(state));
            memcpy(s->w + at + s->c->scale_at[i], &half, sizeof half);
        }
}

static const float GUARD = 12345.0f;

static void scene_init(struct scene *s, const struct format_case *c, size_t n, size_t n_rows, int n_tokens,
                       uint64_t *state) {
    *s = (struct scene){.c = c, .format = block_format_find(c->type), .n = n, .n_rows = n_rows, .n_tokens = n_tokens};
    s->row_bytes = n / s->format->n_elements * s->format->n_bytes;
    s->stored = malloc(n_rows * s->row_bytes + 1);
    assert_non_null(s->stored);
    s->w = s->stored + 1;
    fill_weights(s, state);
    size_t tokens = (size_t)n_tokens, bytes = activation_bytes(c->kind, n);
    s->x = aligned_bytes(tokens * n * sizeof(float));
    s->quantised = aligned_bytes(tokens * bytes);
    s->scratch = aligned_bytes(product_scratch_bytes(n));
    s->rows = calloc(tokens, sizeof *s->rows);
    for (int side = 0; side < 2; side++) {
        s->result[side] = calloc(tokens * (n_rows + 1), sizeof(float));
        s->y[side] = calloc(tokens, sizeof(float *));
    }
    for (size_t i = 0; i < tokens * n; i++) s->x[i] = random_value(state);
    if (n_tokens > 1) memset(s->x + n, 0, n * sizeof(float)); /* nothing to quantise */
    for (size_t t = 0; t < tokens; t++) {
        const float *x = s->x + t * n;
        int8_t *q = (int8_t *)s->quantised + t * bytes;
        if (c->kind == ACTIVATION_Q32) portable()->quantise_32(x, n, q);
        if (c->kind == ACTIVATION_Q256) portable()->quantise_256(x, n, q);
        s->rows[t] = c->kind == ACTIVATION_F32 ? (const void *)x : q;
        for (int side = 0; side < 2; side++) {
            s->y[side][t] = s->result[side] + t * (n_rows + 1);
            s->y[side][t][n_rows] = GUARD;
        }
    }
}

static void scene_deinit(struct scene *s) {
    void *owned[] = {s->stored, s->x, s->quantised, s->rows, s->scratch, s->result[0], s->result[1], s->y[0], s->y[1]};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
}

static void scene_run(struct scene *s, const cpu_kernels *kernels, int side) {
    product p = {.w = s->w,
                 .row_bytes = s->row_bytes,
                 .n_rows = s->n_rows,
                 .n = s->n,
                 .x = s->rows,
                 .n_tokens = s->n_tokens,
                 .y = s->y[side],
                 .scratch = s->scratch};
    product_of(kernels, s->c->type)(&p);
}

static void check_equal(const struct scene *s, const char *name) {
    for (int t = 0; t < s->n_tokens; t++)
        for (size_t r = 0; r <= s->n_rows; r++) {
            float a = s->y[0][t][r], b = s->y[1][t][r];
            if (float_to_bits(a) == float_to_bits(b)) continue;
            fail_msg("%s, %s, n %zu, %zu rows, %d tokens: row %zu of token %d is %.9g, expected %.9g", name,
                     s->format->name, s->n, s->n_rows, s->n_tokens, r, t, (double)b, (double)a);
        }
}

static void products_equal_the_portable_ones_to_the_last_bit(void **test) {
    const cpu_kernels *kernels = *test;
    static const size_t BLOCKS[] = {1, 2, 3, 7, 8, 9, 16, 32};
    static const size_t ROWS[] = {1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 64};
    static const int TOKENS[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 31};
    uint64_t state = 88172645463325252u;
    for (size_t f = 0; f < N_FORMATS; f++)
        for (int i = 0; i < 160; i++) {
            size_t group = FORMAT[f].kind == ACTIVATION_Q256 ? 256 : FORMAT[f].kind == ACTIVATION_Q32 ? 32 : 1;
            size_t n = BLOCKS[next_random(&state) % 8] * group;
            if (group == 1) n = n * 16 + (next_random(&state) % 4 ? 0 : next_random(&state) % 16);
            struct scene s;
            scene_init(&s, &FORMAT[f], n, ROWS[next_random(&state) % 11], TOKENS[next_random(&state) % 12], &state);
            scene_run(&s, portable(), 0);
            scene_run(&s, kernels, 1);
            check_equal(&s, kernels->name);
            scene_deinit(&s);
        }
}

static void products_of_extreme_blocks_are_equal(void **test) {
    const cpu_kernels *kernels = *test;
    uint64_t state = 5;
    for (size_t f = 0; f < N_FORMATS; f++)
        for (int fill = 0; fill < 3; fill++) {
            struct scene s;
            scene_init(&s, &FORMAT[f], 2048, 19, fill == 0 ? 1 : 11, &state);
            static const uint8_t BYTE[] = {0x80, 0x7f, 0xff};
            size_t bytes = activation_bytes(s.c->kind, s.n);
            uint16_t half = half_from_float(1.0f);
            if (s.c->type == BLOCK_F16) {
                scene_deinit(&s);
                continue;
            }
            memset(s.w, BYTE[fill], s.n_rows * s.row_bytes);
            for (size_t at = 0; at < s.n_rows * s.row_bytes; at += s.format->n_bytes)
                for (int i = 0; i < 2; i++) memcpy(s.w + at + s.c->scale_at[i], &half, sizeof half);
            for (size_t i = 0; i < s.n; i++) s.x[i] = fill == 1 ? -1.0f : i % 7 ? 1.0f : -1.0f;
            if (s.c->kind == ACTIVATION_Q32)
                portable()->quantise_32(s.x, s.n, (int8_t *)s.quantised);
            else
                portable()->quantise_256(s.x, s.n, (int8_t *)s.quantised);
            for (int t = 1; t < s.n_tokens; t++) memcpy(s.quantised + (size_t)t * bytes, s.quantised, bytes);
            scene_run(&s, portable(), 0);
            scene_run(&s, kernels, 1);
            check_equal(&s, kernels->name);
            scene_deinit(&s);
        }
}

static void activations_are_quantised_alike(void **test) {
    const cpu_kernels *kernels = *test;
    enum { N = 2048 };
    static const float SCALE[] = {1, 1e-6f, 1e6f, 0x1p-101f, 0x1p-140f, 1e36f};
    uint64_t state = 77;
    float *x = aligned_bytes(N * sizeof *x);
    int8_t *q[2] = {aligned_bytes(N * 2), aligned_bytes(N * 2)};
    for (size_t i = 0; i < sizeof SCALE / sizeof *SCALE; i++)
        for (int kind = ACTIVATION_Q32; kind <= ACTIVATION_Q256; kind++) {
            for (size_t k = 0; k < N; k++) x[k] = (random_value(&state) * 0.04f) * SCALE[i];
            for (size_t k = 0; k < 256; k++) x[k] = (float)((int)(k % 127) * 2 - 126) * 0.5f * SCALE[i]; /* ties */
            memset(x + 512, 0, 256 * sizeof *x);
            const cpu_kernels *side[2] = {portable(), kernels};
            for (int s = 0; s < 2; s++)
                (kind == ACTIVATION_Q32 ? side[s]->quantise_32 : side[s]->quantise_256)(x, N, q[s]);
            size_t used = N + (kind == ACTIVATION_Q32 ? N / 32 * 6 : N / 256 * 4 + N / 16 * 2);
            assert_memory_equal(q[0], q[1], used);
        }
    free(x);
    free(q[0]);
    free(q[1]);
}

/* Quantised activations are off by half a step at most; decoded from them, a product is exact but for rounding. */
static void products_are_those_of_the_decoded_weights(void **test) {
    (void)test;
    uint64_t state = 9;
    for (size_t f = 0; f < N_FORMATS; f++) {
        struct scene s;
        scene_init(&s, &FORMAT[f], 2048, 24, 3, &state);
        scene_run(&s, portable(), 0);
        float *row = calloc(s.n, sizeof *row);
        size_t group = s.c->kind == ACTIVATION_Q32 ? 32 : 256;
        for (size_t r = 0; r < s.n_rows; r++) {
            s.format->decode(s.w + r * s.row_bytes, row, s.n / s.format->n_elements);
            for (int t = 0; t < s.n_tokens; t++) {
                const int8_t *q = s.rows[t];
                double sum = 0, size = 0;
                for (size_t i = 0; i < s.n; i++) {
                    float x = s.x[(size_t)t * s.n + i], used = x;
                    if (s.c->kind != ACTIVATION_F32) {
                        float scale = activation_scales(q, s.n)[i / group];
                        used = (float)q[i] * scale;
                        assert_true(fabsf(used - x) <= 0.501f * scale);
                    }
                    sum += (double)row[i] * used;
                    size += fabs((double)row[i] * used);
                }
                assert_true(fabs(sum - s.y[0][t][r]) <= 1e-6 * size);
            }
        }
        free(row);
        scene_deinit(&s);
    }
}

static void one_that_is_not_there_is_refused_with_a_list(void **test) {
    (void)test;
    const cpu_kernels *kernels = NULL;
    ds4_error error;
    assert_int_equal(cpu_kernels_choose("vax", &kernels, &error), DS4_ERROR_ARGUMENT);
    assert_null(kernels);
    assert_non_null(strstr(error.message, "'vax'"));
    assert_non_null(strstr(error.message, "portable"));
    assert_ok(cpu_kernels_choose("portable", &kernels, &error), &error);
    assert_ptr_equal(kernels, portable());
    assert_ok(cpu_kernels_choose(NULL, &kernels, &error), &error);
    assert_true(kernels->supported());
}

#ifdef HAVE_SIMDE
/* The AVX-512 kernels in plain C, see tests/simde/immintrin.h. */
extern const cpu_kernels cpu_kernels_avx512_simde;
#endif

/* What can be run here. */
static size_t runnable(const cpu_kernels **kernels, const char **name) {
    size_t n = 0;
    for (size_t k = 0; cpu_kernels_all[k]; k++) {
        if (!cpu_kernels_all[k]->supported()) {
            printf("%s: not on this processor\n", cpu_kernels_all[k]->name);
            continue;
        }
        kernels[n] = cpu_kernels_all[k];
        name[n++] = cpu_kernels_all[k]->name;
    }
#ifdef HAVE_SIMDE
    kernels[n] = &cpu_kernels_avx512_simde;
    name[n++] = "avx512_in_plain_c";
#endif
    return n;
}

enum { MAX_TABLES = 8 };

int main(void) {
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } EACH[] = {{"activations_are_quantised_alike", activations_are_quantised_alike},
                {"products_equal_the_portable_ones_to_the_last_bit", products_equal_the_portable_ones_to_the_last_bit},
                {"products_of_extreme_blocks_are_equal", products_of_extreme_blocks_are_equal}};
    enum { N_EACH = sizeof EACH / sizeof *EACH, MAX_TESTS = 2 + MAX_TABLES * N_EACH };
    struct CMUnitTest tests[MAX_TESTS] = {cmocka_unit_test(products_are_those_of_the_decoded_weights),
                                          cmocka_unit_test(one_that_is_not_there_is_refused_with_a_list)};
    const cpu_kernels *kernels[MAX_TABLES];
    const char *name[MAX_TABLES];
    static char title[MAX_TESTS][96];
    size_t n = 2, n_tables = runnable(kernels, name);
    for (size_t k = 0; k < n_tables; k++)
        for (size_t i = 0; i < N_EACH; i++, n++) {
            snprintf(title[n], sizeof title[n], "%s_%s", name[k], EACH[i].name);
            tests[n] = (struct CMUnitTest){title[n], EACH[i].run, NULL, NULL, (void *)(uintptr_t)kernels[k]};
        }
    return _cmocka_run_group_tests("cpu kernels", tests, n, NULL, NULL);
}
