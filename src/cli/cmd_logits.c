/* ds4 logits: token ids to raw logits, the tool that every numeric check uses. */
#include "base/error.h"
#include "base/memory.h"
#include "cli/cli.h"
#include "cli/terminal.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tokens and logits are copied as they are in memory");

enum { DEFAULT_CHUNK = 512 };
#define LOGITS_BYTES ((size_t)256 << 20) /* memory for logits that are not written yet */

static ds4_status read_tokens(const char *path, size_t n_vocab, ds4_tokens *tokens, ds4_error *error) {
    ds4_buffer bytes = {0};
    ds4_status status = file_read_all(path, MAX_PROMPT_BYTES, &bytes, error);
    if (status != DS4_OK) goto out;
    if (bytes.n_bytes == 0 || bytes.n_bytes % sizeof(int32_t)) {
        status =
            error_set(error, DS4_ERROR_FORMAT, "%s: %zu bytes, expected a positive multiple of 4", path, bytes.n_bytes);
        goto out;
    }
    for (size_t at = 0; at < bytes.n_bytes && status == DS4_OK; at += sizeof(int32_t)) {
        int32_t id;
        memcpy(&id, bytes.data + at, sizeof id);
        if (id < 0 || (size_t)id >= n_vocab)
            status = error_set(error, DS4_ERROR_FORMAT, "%s: token %zu is %" PRId32 ", expected 0 to %zu", path,
                               at / sizeof id, id, n_vocab - 1);
        else
            status = ds4_tokens_append(tokens, &id, 1, error);
    }
out:
    ds4_buffer_deinit(&bytes);
    return status;
}

/* Tokens to evaluate with one call: as many whole chunks as the memory for their logits allows, so that
 * the chunks are those of one long span. */
static size_t piece_tokens(size_t n_tokens, size_t chunk, size_t n_vocab) {
    size_t fit = LOGITS_BYTES / (n_vocab * sizeof(float));
    size_t piece = fit < chunk ? chunk : fit - fit % chunk;
    return piece < n_tokens ? piece : n_tokens;
}

typedef struct logits_job {
    ds4_engine *engine;
    ds4_timeline *timeline;
    ds4_tokens tokens;
    size_t n_vocab, piece;
    bool all;
    float *logits; /* [piece or 1][n_vocab] */
    file_writer writer;
} logits_job;

static ds4_status evaluate_and_write(logits_job *job, ds4_error *error) {
    progress_bar bar = progress_bar_start("logits", job->tokens.n);
    ds4_status status = DS4_OK;
    for (size_t at = 0; at < job->tokens.n && status == DS4_OK; at += job->piece) {
        size_t left = job->tokens.n - at, n = left < job->piece ? left : job->piece;
        bool last = n == left;
        ds4_wanted_logits wanted = job->all ? DS4_LOGITS_ALL : last ? DS4_LOGITS_LAST : DS4_LOGITS_NONE;
        ds4_span span = {.timeline = job->timeline,
                         .tokens = job->tokens.id + at,
                         .n_tokens = n,
                         .wanted = wanted,
                         .logits = job->logits};
        bar.done_before = at;
        status = ds4_engine_evaluate(job->engine, &span, 1, progress_bar_step, &bar, error);
        size_t rows = wanted == DS4_LOGITS_ALL ? n : wanted == DS4_LOGITS_LAST ? 1 : 0;
        if (status == DS4_OK)
            status = file_writer_write(&job->writer, job->logits, rows * job->n_vocab * sizeof(float), error);
    }
    progress_bar_clear(&bar);
    if (status == DS4_CANCELLED) error_set(error, status, "interrupted");
    return status;
}

static ds4_status write_logits(const cli_options *options, const cli_model *model, ds4_error *error) {
    logits_job job = {.engine = model->engine, .n_vocab = ds4_model_n_vocab(model->model)};
    size_t chunk = options->chunk ? (size_t)options->chunk : DEFAULT_CHUNK;
    bool writing = false;
    ds4_status status = read_tokens(options->tokens_path, job.n_vocab, &job.tokens, error);
    if (status != DS4_OK) goto out;
    if (job.tokens.n > ds4_model_max_context(model->model)) {
        status = error_set(error, DS4_ERROR_CONTEXT, "%s: %zu tokens, the model's context is %zu", options->tokens_path,
                           job.tokens.n, ds4_model_max_context(model->model));
        goto out;
    }
    job.all = options->positions == POSITIONS_ALL;
    job.piece = job.all ? piece_tokens(job.tokens.n, chunk, job.n_vocab) : job.tokens.n;
    size_t rows = job.all ? job.piece : 1, n_values = 0;
    if (size_multiply(rows, job.n_vocab, &n_values)) job.logits = array_new(n_values, sizeof *job.logits);
    if (!job.logits) {
        status = error_memory(error, "logits", n_values * sizeof *job.logits);
        goto out;
    }
    status = ds4_timeline_new(model->engine, job.tokens.n, &job.timeline, error);
    if (status != DS4_OK) goto out;
    status = file_writer_open(options->out_path, &job.writer, error);
    if (status != DS4_OK) goto out;
    writing = true;
    status = evaluate_and_write(&job, error);
    if (status == DS4_OK) status = file_writer_commit(&job.writer, error);
out:
    if (writing) file_writer_abandon(&job.writer);
    ds4_timeline_free(job.timeline);
    free(job.logits);
    ds4_tokens_deinit(&job.tokens);
    return status;
}

static int run(const cli_options *options) {
    if (!options->tokens_path) return cli_usage("--tokens FILE is missing (see: ds4 logits --help)");
    if (!options->out_path) return cli_usage("--out FILE is missing (see: ds4 logits --help)");
    ds4_engine_options engine_options = {
        .chunk_tokens = (int)options->chunk,
        .float_rows = options->float_rows,
        .no_qat = options->no_qat,
        .no_compressed_rows = options->no_compressed,
    };
    cli_model model = {0};
    int exit_status = cli_model_open(options, DS4_MODEL_FULL, &engine_options, &model);
    if (exit_status != EXIT_OK) return exit_status;
    /* An interrupted run must still take its unfinished file away. */
    interrupt_arm();
    ds4_error error;
    if (write_logits(options, &model, &error) != DS4_OK) exit_status = cli_fail(&error);
    cli_model_close(&model);
    return exit_status;
}

static const char *const positions_names[] = {"all", "last", NULL};

static const cli_option options[] = {
    OPTION_MODEL,
    {.kind = OPTION_STRING,
     .name = "tokens",
     .argument = "FILE",
     .offset = offsetof(cli_options, tokens_path),
     .help = "token ids: little-endian int32"},
    {.kind = OPTION_STRING,
     .name = "out",
     .argument = "FILE",
     .offset = offsetof(cli_options, out_path),
     .help = "where the logits go: little-endian float32, [positions][vocabulary]"},
    {.kind = OPTION_CHOICE,
     .name = "positions",
     .argument = "WHICH",
     .offset = offsetof(cli_options, positions),
     .choices = positions_names,
     .help = "all (default) or last"},
    {.kind = OPTION_INTEGER,
     .name = "chunk",
     .argument = "N",
     .offset = offsetof(cli_options, chunk),
     .min = 1,
     .max = INT32_MAX,
     .help = "tokens evaluated in one pass over the weights (default: 512)"},
    OPTION_BACKEND,
    OPTION_THREADS,
    OPTION_EXACT,
    OPTION_NO_QAT,
    OPTION_FLOAT_ROWS,
    OPTION_NO_COMPRESSED,
    OPTION_END,
};

const cli_command command_logits = {
    .name = "logits",
    .synopsis = "[-m MODEL] --tokens FILE --out FILE [options]",
    .summary = "write the raw logits of a list of tokens",
    .options = options,
    .notes = "The output file appears when it is complete. Nothing is added to the tokens.\n",
    .run = run,
};
