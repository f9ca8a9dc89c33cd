/*
 * Attention and the indexer of the CPU backend, on rows and queries made up here: against double precision, and
 * against themselves for other numbers of threads and tokens.
 */
#include "test.h"

#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void *zeros(size_t n, size_t n_bytes) {
    void *memory = calloc(n ? n : 1, n_bytes);
    assert_non_null(memory);
    return memory;
}

/* ---- one layer of one timeline ---- */

enum { MAX_TOKENS = 24, WINDOW = 40, RAW_SLOTS = 64, TOP_K = 24, MAX_ROWS = 1500 };

struct scene {
    hyperparameters hparams;
    row_formats format;
    layer_memory memory;
    uint8_t *raw; /* [MAX_ROWS][format.raw.n_bytes]: of every position */
    gguf_tensor sinks;
    layer_weights weights;
    int64_t first_position; /* of the batch */
    float *q, *index_q, *index_weight;
};

static void fill_rows(const row_format *format, row_pages *pages, uint64_t *state) {
    pages->n = pages->capacity = (MAX_ROWS + ROWS_PER_PAGE - 1) / ROWS_PER_PAGE;
    pages->page = zeros(pages->n, sizeof *pages->page);
    for (size_t p = 0; p < pages->n; p++) {
        pages->page[p] = zeros(1, sizeof **pages->page);
        pages->page[p]->rows = zeros(ROWS_PER_PAGE, format->n_bytes);
        for (size_t r = 0; r < ROWS_PER_PAGE; r++) {
            float x[512];
            for (int i = 0; i < format->n_channels; i++) x[i] = random_value(state);
            row_encode(format, x, pages->page[p]->rows + r * format->n_bytes);
        }
    }
}

static void free_rows(row_pages *pages) {
    for (size_t p = 0; p < pages->n; p++) {
        free(pages->page[p]->rows);
        free(pages->page[p]);
    }
    free(pages->page);
}

static float *random_values(size_t n, uint64_t *state) {
    float *values = zeros(n, sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = random_value(state);
    return values;
}

/* MAX_TOKENS tokens from first_position on, in a layer of this ratio. */
static void scene_init(struct scene *s, int ratio, int n_heads, int head_dim, bool compact, int64_t first_position) {
    uint64_t state = 88172645463325252u;
    hyperparameters *h = &s->hparams;
    *s = (struct scene){.hparams = hyperparameters_flash(), .first_position = first_position};
    h->n_layers = 1;
    h->ratio[0] = ratio;
    h->width = 64;
    h->n_heads = n_heads;
    h->head_dim = head_dim;
    h->rotary_dim = 32;
    h->window = WINDOW;
    h->n_index_heads = 20;
    h->index_dim = 64;
    h->index_top_k = TOP_K;
    h->n_groups = 1;
    h->group_rank = h->q_rank = h->expert_width = 32;
    s->format = (row_formats){.raw = row_format_raw(head_dim, 32, true, compact),
                              .compressed = row_format_compressed(head_dim, 32, true, compact),
                              .index = row_format_index(64, true, compact)};
    s->memory = (layer_memory){.raw = zeros(RAW_SLOTS, s->format.raw.n_bytes), .raw_slots = RAW_SLOTS};
    fill_rows(&s->format.compressed, &s->memory.rows, &state);
    fill_rows(&s->format.index, &s->memory.index_rows, &state);
    s->raw = zeros(MAX_ROWS, s->format.raw.n_bytes);
    for (size_t r = 0; r < MAX_ROWS; r++) {
        float x[512];
        for (int i = 0; i < head_dim; i++) x[i] = random_value(&state);
        row_encode(&s->format.raw, x, s->raw + r * s->format.raw.n_bytes);
    }
    float *sinks = random_values((size_t)n_heads, &state);
    s->sinks = (gguf_tensor){.type = BLOCK_F32, .data = (const uint8_t *)sinks};
    s->weights = (layer_weights){.ratio = ratio, .attn_sinks = &s->sinks};
    s->q = random_values((size_t)(MAX_TOKENS * n_heads * head_dim), &state);
    s->index_q = random_values((size_t)MAX_TOKENS * 20 * 64, &state);
    s->index_weight = random_values((size_t)MAX_TOKENS * 20, &state);
    if (compact) fp4_round(s->index_q, MAX_TOKENS * 20 * 64);
}

static void scene_deinit(struct scene *s) {
    free_rows(&s->memory.rows);
    free_rows(&s->memory.index_rows);
    free(s->memory.raw);
    free(s->raw);
    free((void *)(uintptr_t)s->sinks.data);
    free(s->q);
    free(s->index_q);
    free(s->index_weight);
}

/* The choice of rows and the attention of n tokens of the scene, of which the first is token `first`. */
static void evaluate(struct scene *s, backend *base, int first, int n, int32_t *selected, int32_t *n_selected,
                     float *heads) {
    ds4_error error;
    const hyperparameters *h = &s->hparams;
    int64_t position[MAX_TOKENS];
    int32_t token[MAX_TOKENS] = {0}, span_of[MAX_TOKENS] = {0};
    for (int t = 0; t < n; t++) position[t] = s->first_position + first + t;
    batch_span span = {.memory = &s->memory, .position = position[0], .n_tokens = n};
    batch b = {.backend = base,
               .n_tokens = n,
               .token = token,
               .position = position,
               .span_of = span_of,
               .span = &span,
               .n_spans = 1};
    size_t row_bytes = s->format.raw.n_bytes;
    for (int64_t p = position[0] < RAW_SLOTS ? 0 : position[0] - RAW_SLOTS; p < position[0]; p++)
        memcpy(s->memory.raw + (size_t)(p % RAW_SLOTS) * row_bytes, s->raw + (size_t)p * row_bytes, row_bytes);
    memcpy(cpu_of(&b)->fresh, s->raw + (size_t)position[0] * row_bytes, (size_t)n * row_bytes);

    size_t index_heads = (size_t)(first * h->n_index_heads);
    projections low = {.index_weight = s->index_weight + index_heads};
    assert_ok(base->op->begin(&b, &error), &error);
    base->op->select(&b, &s->weights, &low, s->index_q + index_heads * (size_t)h->index_dim, selected, n_selected);
    base->op->attend(&b, &s->weights, s->q + (size_t)(first * h->n_heads * h->head_dim), selected, n_selected, heads);
    assert_ok(base->op->finish(&b, &error), &error);
    for (int t = 0; t < n; t++) {
        int64_t p = position[t];
        assert_memory_equal(s->memory.raw + (size_t)(p % RAW_SLOTS) * row_bytes, s->raw + (size_t)p * row_bytes,
                            row_bytes);
    }
}

static backend *new_backend(const struct scene *s, int n_threads) {
    ds4_error error;
    backend *base = NULL;
    cpu_options options = {.n_threads = n_threads};
    assert_ok(cpu_backend_new(&s->hparams, &s->format, &options, MAX_TOKENS, &base, &error), &error);
    return base;
}

/* ---- against double precision ---- */

/* Row i of those that a token at this position sees; false behind the last. */
static bool visible_row(const struct scene *s, int64_t position, const int32_t *selected, int32_t n_selected, size_t i,
                        float *x) {
    int64_t first = position < WINDOW ? 0 : position - WINDOW + 1;
    size_t n_raw = (size_t)(position - first + 1);
    if (i < n_raw) {
        row_decode(&s->format.raw, s->raw + ((size_t)first + i) * s->format.raw.n_bytes, x);
        return true;
    }
    if (!s->weights.ratio) return false;
    size_t n = n_selected < 0 ? (size_t)((position + 1) / s->weights.ratio) : (size_t)n_selected;
    if (i - n_raw >= n) return false;
    size_t row = n_selected < 0 ? i - n_raw : (size_t)selected[i - n_raw];
    row_decode(&s->format.compressed, row_pages_at(&s->memory.rows, row, s->format.compressed.n_bytes), x);
    return true;
}

static void attend_plainly(const struct scene *s, int t, size_t head, const int32_t *selected, int32_t n_selected,
                           double *out) {
    const hyperparameters *h = &s->hparams;
    size_t dim = (size_t)h->head_dim;
    const float *q = s->q + ((size_t)(t * h->n_heads) + head) * dim;
    int64_t position = s->first_position + t;
    double sum = exp((double)((const float *)(const void *)s->sinks.data)[head]);
    memset(out, 0, dim * sizeof *out);
    float x[512];
    for (size_t i = 0; visible_row(s, position, selected, n_selected, i, x); i++) {
        double score = 0;
        for (size_t d = 0; d < dim; d++) score += (double)q[d] * (double)x[d];
        double weight = exp(score / sqrt((double)dim));
        sum += weight;
        for (size_t d = 0; d < dim; d++) out[d] += weight * (double)x[d];
    }
    for (size_t d = 0; d < dim; d++) out[d] /= sum;
    float angles[32];
    rope_frequencies rope;
    rope_frequencies_init(h, &rope);
    rope_angles(s->weights.ratio ? rope.compressed : rope.plain, rope.n_pairs, position, angles);
    for (size_t i = dim - 32; i < dim; i += 2) {
        double a = out[i], b = out[i + 1], c = (double)angles[i - dim + 32], sine = -(double)angles[i - dim + 33];
        out[i] = a * c - b * sine;
        out[i + 1] = a * sine + b * c;
    }
}

static void check_scene(int ratio, int n_heads, int head_dim, bool compact, int64_t first_position) {
    struct scene s;
    scene_init(&s, ratio, n_heads, head_dim, compact, first_position);
    size_t n_heads_values = (size_t)(n_heads * head_dim);
    float *heads = zeros(MAX_TOKENS * n_heads_values, sizeof *heads);
    int32_t selected[MAX_TOKENS * TOP_K], n_selected[MAX_TOKENS];
    backend *base = new_backend(&s, 2);
    evaluate(&s, base, 0, MAX_TOKENS, selected, n_selected, heads);
    double expected[512];
    for (int t = 0; t < MAX_TOKENS; t += 5)
        for (size_t head = 0; head < (size_t)n_heads; head++) {
            attend_plainly(&s, t, head, selected + t * TOP_K, n_selected[t], expected);
            const float *actual = heads + (size_t)t * n_heads_values + head * (size_t)head_dim;
            for (int d = 0; d < head_dim; d++)
                if (!(fabs((double)actual[d] - expected[d]) <= 3e-6))
                    fail_msg("ratio %d, %d heads of %d: token %d, head %zu, channel %d is %.9g, expected %.9g", ratio,
                             n_heads, head_dim, t, head, d, (double)actual[d], expected[d]);
        }
    base->op->free(base);
    free(heads);
    scene_deinit(&s);
}

static void attention_is_that_of_plain_arithmetic(void **state) {
    (void)state;
    check_scene(0, 16, 96, true, 0);
    check_scene(0, 5, 160, true, 1000);
    check_scene(4, 64, 480, true, 10);
    check_scene(4, 20, 96, true, 700); /* chosen rows */
    check_scene(128, 33, 96, true, 1400);
    check_scene(4, 17, 96, false, 80); /* some tokens choose, float rows */
}

/* ---- what is in a batch, and who computes it ---- */

static void tokens_attend_alike_in_any_batch_with_any_number_of_threads(void **state) {
    (void)state;
    static const int THREADS[] = {1, 2, 3, 8};
    struct scene s;
    scene_init(&s, 4, 36, 96, true, 1000);
    /* all of them: three parts and more */
    s.hparams.index_top_k = 1000;
    size_t n = 36 * 96;
    float *whole = zeros(MAX_TOKENS * n, sizeof *whole), *part = zeros(MAX_TOKENS * n, sizeof *part);
    int32_t *selected = zeros(MAX_TOKENS * 1000, sizeof *selected), n_selected[MAX_TOKENS];
    for (size_t k = 0; k < sizeof THREADS / sizeof *THREADS; k++) {
        backend *base = new_backend(&s, THREADS[k]);
        evaluate(&s, base, 0, MAX_TOKENS, selected, n_selected, k ? part : whole);
        assert_int_equal(n_selected[0], -1);
        if (k) assert_memory_equal(part, whole, MAX_TOKENS * n * sizeof *part);
        for (int first = 0; first < MAX_TOKENS; first += 3) {
            int n_tokens = first % 2 ? 1 : 2;
            evaluate(&s, base, first, n_tokens, selected, n_selected, part);
            assert_memory_equal(part, whole + (size_t)first * n, (size_t)n_tokens * n * sizeof *part);
        }
        base->op->free(base);
    }
    free(whole);
    free(part);
    free(selected);
    scene_deinit(&s);
}

/* ---- the indexer ---- */

static double index_score(const struct scene *s, int t, size_t row) {
    const hyperparameters *h = &s->hparams;
    size_t dim = (size_t)h->index_dim, n_heads = (size_t)h->n_index_heads;
    float key[64];
    row_decode(&s->format.index, row_pages_at(&s->memory.index_rows, row, s->format.index.n_bytes), key);
    double sum = 0;
    for (size_t i = 0; i < n_heads; i++) {
        double dot = 0;
        for (size_t d = 0; d < dim; d++)
            dot += (double)s->index_q[((size_t)t * n_heads + i) * dim + d] * (double)key[d];
        sum += fmax(dot, 0) * (double)s->index_weight[(size_t)t * n_heads + i];
    }
    return sum / sqrt((double)(dim * n_heads));
}

static bool is_chosen(const int32_t *selected, int32_t row) {
    for (int i = 0; i < TOP_K; i++)
        if (selected[i] == row) return true;
    return false;
}

static void check_choice(const struct scene *s, int t, const int32_t *selected, int32_t n_selected) {
    size_t n_rows = (size_t)(s->first_position + t + 1) / 4;
    if (n_rows <= TOP_K) {
        assert_int_equal(n_selected, -1);
        return;
    }
    assert_int_equal(n_selected, TOP_K);
    double worst_chosen = INFINITY, best_other = -INFINITY;
    for (int i = 0; i < TOP_K; i++) {
        assert_true(selected[i] >= 0 && (size_t)selected[i] < n_rows);
        if (i) assert_true(selected[i] > selected[i - 1]);
    }
    for (size_t row = 0; row < n_rows; row++) {
        double score = index_score(s, t, row);
        if (is_chosen(selected, (int32_t)row))
            worst_chosen = fmin(worst_chosen, score);
        else
            best_other = fmax(best_other, score);
    }
    assert_true(worst_chosen >= best_other - 1e-6);
}

static void the_indexer_chooses_the_best_rows(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct scene s;
        scene_init(&s, 4, 2, 96, i % 2 == 0, i < 2 ? 80 : 1300);
        backend *base = new_backend(&s, 3);
        float *heads = zeros(MAX_TOKENS * 2 * 96, sizeof *heads);
        int32_t selected[MAX_TOKENS * TOP_K], n_selected[MAX_TOKENS];
        evaluate(&s, base, 0, MAX_TOKENS, selected, n_selected, heads);
        for (int t = 0; t < MAX_TOKENS; t++) check_choice(&s, t, selected + t * TOP_K, n_selected[t]);
        base->op->free(base);
        free(heads);
        scene_deinit(&s);
    }
}

/* Rows 8 to 15 and so on repeat rows 0 to 7; every other one scores 0, as do those with negative weights. */
static void of_equal_rows_the_first_are_chosen(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 4, 2, 96, true, 1300);
    size_t row_bytes = s.format.index.n_bytes;
    uint8_t *first = row_pages_at(&s.memory.index_rows, 0, row_bytes);
    for (size_t row = 0; row < 8; row += 2) memset(first + row * row_bytes, 0, (size_t)s.hparams.index_dim / 2);
    for (size_t row = 8; row < MAX_ROWS; row++)
        memcpy(row_pages_at(&s.memory.index_rows, row, row_bytes), first + row % 8 * row_bytes, row_bytes);
    backend *base = new_backend(&s, 2);
    float *heads = zeros(MAX_TOKENS * 2 * 96, sizeof *heads);
    int32_t selected[MAX_TOKENS * TOP_K], n_selected[MAX_TOKENS];
    evaluate(&s, base, 0, MAX_TOKENS, selected, n_selected, heads);
    for (int t = 0; t < MAX_TOKENS; t++) {
        const int32_t *chosen = selected + t * TOP_K;
        check_choice(&s, t, chosen, n_selected[t]);
        for (int i = 0; i < TOP_K; i++)
            for (int32_t earlier = chosen[i] % 8; earlier < chosen[i]; earlier += 8)
                assert_true(is_chosen(chosen, earlier));
    }
    base->op->free(base);
    free(heads);
    scene_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_that_of_plain_arithmetic),
        cmocka_unit_test(tokens_attend_alike_in_any_batch_with_any_number_of_threads),
        cmocka_unit_test(the_indexer_chooses_the_best_rows),
        cmocka_unit_test(of_equal_rows_the_first_are_chosen),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
