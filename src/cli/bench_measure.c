/*
 * One conversation grows from context to context. At each the new tokens are evaluated in one call, as a prompt is
 * (prefill), then more tokens one by one (decode), with the logits that choosing the next one needs. A checkpoint
 * brings the conversation back for the next run, and for the next context.
 *
 * Tokens are pseudo-random, the same in every run of the program. Those that are decoded are random too instead of
 * chosen from the logits, so that every run and every backend does the same work; and each run decodes other ones,
 * so that what one run brought into caches is not all that the next one needs.
 */
#include "base/file.h"
#include "base/memory.h"
#include "cli/bench.h"
#include "cli/terminal.h"
#include "model/model.h"
#include "model/sizes.h"

#include <stdlib.h>
#include <string.h>

/* Prefill is repeated until its runs have taken this long: what is slow is also steady. */
#define MAX_PREFILL_SECONDS 60.0

typedef struct measuring {
    const cli_model *model;
    bench_report *report;
    ds4_timeline *timeline;
    int32_t *token;        /* of the largest context, then those of each decoding run */
    size_t n_prompt;       /* the largest context */
    float *logits;         /* [n_vocab] */
    ds4_checkpoint *begin; /* of the row at hand: the end of the one before */
} measuring;

/* ---- contexts and tokens ---- */

ds4_status bench_contexts_read(const char *list, bench_contexts *contexts, ds4_error *error) {
    contexts->n = 0;
    size_t before = 0;
    for (const char *at = list;; at++) {
        char word[24];
        size_t n_bytes = strcspn(at, ",");
        int64_t context = 0;
        snprintf(word, sizeof word, "%.*s", n_bytes < sizeof word ? (int)n_bytes : 0, at);
        if (!parse_integer(word, 1, INT32_MAX, &context) || (size_t)context <= before)
            return error_set(error, DS4_ERROR_ARGUMENT, "--ctx: '%s', expected ascending numbers from 1 with commas",
                             list);
        if (contexts->n == BENCH_MAX_CONTEXTS)
            return error_set(error, DS4_ERROR_ARGUMENT, "--ctx: '%s', expected at most %d numbers", list,
                             BENCH_MAX_CONTEXTS);
        contexts->tokens[contexts->n++] = before = (size_t)context;
        at += n_bytes;
        if (!*at) return DS4_OK;
    }
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static void fill_tokens(int32_t *token, size_t n, size_t n_vocab) {
    uint64_t state = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        token[i] = (int32_t)((z ^ z >> 31) % n_vocab);
    }
}

/* ---- speeds ---- */

static int compare_seconds(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts seconds[n_runs], each of n_tokens tokens. */
static bench_speed speed_of(double *seconds, int n_runs, size_t n_tokens) {
    if (n_runs == 0) return (bench_speed){0};
    qsort(seconds, (size_t)n_runs, sizeof *seconds, compare_seconds);
    double middle = (seconds[(n_runs - 1) / 2] + seconds[n_runs / 2]) / 2, n = (double)n_tokens;
    return (bench_speed){.n_runs = n_runs,
                         .median = n / middle,
                         .lowest = n / seconds[n_runs - 1],
                         .highest = n / seconds[0],
                         .seconds = middle};
}

double bench_weight_rate(const bench_row *row) {
    return (double)row->weight_bytes * row->decode.median;
}

double bench_share(const bench_report *report, const bench_row *row) {
    return report->bandwidth > 0 ? bench_weight_rate(row) / report->bandwidth : 0;
}

/* ---- evaluating ---- */

/* n tokens in calls of `step` tokens, each of which gives logits for its last one. */
static ds4_status evaluate(measuring *m, const char *label, const int32_t *token, size_t n, size_t step,
                           double *seconds, ds4_error *error) {
    progress_bar bar = progress_bar_start(label, n);
    double started = time_seconds();
    ds4_status status = DS4_OK;
    for (; bar.done_before < n && status == DS4_OK; bar.done_before += step) {
        ds4_span span = {.timeline = m->timeline,
                         .tokens = token + bar.done_before,
                         .n_tokens = step,
                         .wanted = DS4_LOGITS_LAST,
                         .logits = m->logits};
        status = ds4_engine_evaluate(m->model->engine, &span, 1, progress_bar_step, &bar, error);
    }
    double passed = time_seconds() - started;
    *seconds = passed > 1e-9 ? passed : 1e-9; /* a clock may be coarse */
    progress_bar_clear(&bar);
    return status;
}

/* The first evaluations bring weights into memory and threads into being. */
static ds4_status warm_up(measuring *m, size_t first_context, ds4_error *error) {
    size_t chunk = (size_t)m->report->chunk, n = first_context < chunk ? first_context : chunk;
    double seconds;
    ds4_status status = evaluate(m, "warm-up", m->token, n, n, &seconds, error);
    if (status == DS4_OK) status = evaluate(m, "warm-up", m->token + n, 1, 1, &seconds, error);
    return status == DS4_OK ? ds4_timeline_restore(m->timeline, m->begin, error) : status;
}

static ds4_status measure_prefill(measuring *m, bench_row *row, ds4_error *error) {
    double seconds[BENCH_MAX_REPEAT], sum = 0;
    const int32_t *token = m->token + row->context - row->prefill_tokens;
    char label[64];
    int n = 0;
    ds4_status status = DS4_OK;
    while (status == DS4_OK && n < m->report->repeat && sum < MAX_PREFILL_SECONDS) {
        snprintf(label, sizeof label, "prefill to %zu (%d)", row->context, n + 1);
        if (n) status = ds4_timeline_restore(m->timeline, m->begin, error);
        if (status == DS4_OK)
            status = evaluate(m, label, token, row->prefill_tokens, row->prefill_tokens, &seconds[n], error);
        if (status == DS4_OK) sum += seconds[n++];
    }
    row->prefill = speed_of(seconds, n, row->prefill_tokens);
    return status;
}

static ds4_status measure_decode(measuring *m, bench_row *row, ds4_error *error) {
    double seconds[BENCH_MAX_REPEAT];
    size_t n_decode = (size_t)m->report->n_decode;
    char label[64];
    int n = 0;
    ds4_status status = DS4_OK;
    while (status == DS4_OK && n < m->report->repeat) {
        const int32_t *token = m->token + m->n_prompt + (size_t)n * n_decode;
        snprintf(label, sizeof label, "decode at %zu (%d)", row->context, n + 1);
        status = evaluate(m, label, token, n_decode, 1, &seconds[n], error);
        if (status == DS4_OK) n++;
        if (status == DS4_OK) status = ds4_timeline_restore(m->timeline, m->begin, error);
    }
    row->decode = speed_of(seconds, n, n_decode);
    return status;
}

static void note_memory(measuring *m, bench_row *row) {
    process_memory *most = &m->report->memory, now = process_memory_now();
    row->timeline_bytes = ds4_timeline_n_bytes(m->timeline);
    row->resident_bytes = now.resident_bytes;
    if (m->report->peak_is_sampled) now.peak_bytes = now.resident_bytes;
    if (now.peak_bytes < most->peak_bytes) now.peak_bytes = most->peak_bytes;
    *most = now;
}

/* The row counts once there is a speed in it. */
static ds4_status measure_row(measuring *m, size_t context, size_t context_before, ds4_error *error) {
    const ds4_model *model = m->model->model;
    bench_row *row = &m->report->row[m->report->n_rows];
    *row = (bench_row){
        .context = context,
        .prefill_tokens = context - context_before,
        .weight_bytes = tensor_bytes_needed(model->file, &model->hparams, context, 1),
        .first_token_seconds = m->report->n_rows ? row[-1].first_token_seconds : 0,
    };
    ds4_status status = measure_prefill(m, row, error);
    if (row->prefill.n_runs == 0) return status;
    m->report->n_rows++;
    row->first_token_seconds += row->prefill.seconds;
    ds4_checkpoint_free(m->begin);
    m->begin = NULL;
    if (status == DS4_OK) status = ds4_timeline_checkpoint(m->timeline, &m->begin, error);
    if (status == DS4_OK) status = measure_decode(m, row, error);
    note_memory(m, row);
    return status;
}

/* ---- all contexts ---- */

static ds4_status prepare(measuring *m, const bench_contexts *contexts, ds4_error *error) {
    const bench_report *report = m->report;
    size_t n_vocab = ds4_model_n_vocab(m->model->model), n_decode = (size_t)report->n_decode;
    m->n_prompt = contexts->tokens[contexts->n - 1];
    size_t n_tokens = m->n_prompt + (size_t)report->repeat * n_decode;
    m->token = array_new(n_tokens, sizeof *m->token);
    m->logits = array_new(n_vocab, sizeof *m->logits);
    if (!m->token || !m->logits)
        return error_memory(error, "tokens and logits", n_tokens * sizeof *m->token + n_vocab * sizeof *m->logits);
    fill_tokens(m->token, n_tokens, n_vocab);
    ds4_status status = ds4_timeline_new(m->model->engine, m->n_prompt + n_decode, &m->timeline, error);
    return status == DS4_OK ? ds4_timeline_checkpoint(m->timeline, &m->begin, error) : status;
}

ds4_status bench_measure(const cli_model *model, const bench_contexts *contexts, bench_report *report,
                         ds4_error *error) {
    measuring m = {.model = model, .report = report};
    ds4_status status = prepare(&m, contexts, error);
    if (status == DS4_OK) status = warm_up(&m, contexts->tokens[0], error);
    for (size_t i = 0; i < contexts->n && status == DS4_OK; i++)
        status = measure_row(&m, contexts->tokens[i], i ? contexts->tokens[i - 1] : 0, error);
    ds4_checkpoint_free(m.begin);
    ds4_timeline_free(m.timeline);
    free(m.token);
    free(m.logits);
    return status;
}
