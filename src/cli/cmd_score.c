/* ds4 score: how well the model predicts a text. */
#include "base/file.h"
#include "base/memory.h"
#include "cli/cli.h"
#include "cli/terminal.h"

#include <math.h>
#include <stdlib.h>

/* DEFAULT_WINDOW as text is in the help. */
enum { DEFAULT_WINDOW = 4096, PIECE_TOKENS = 512 };

typedef struct score_job {
    const cli_model *model;
    size_t n_vocab;
    float *logits;     /* [PIECE_TOKENS][n_vocab] */
    ds4_tokens inputs; /* of one window */
    double nll;        /* sum over the tokens so far */
    progress_bar bar;
} score_job;

/* -log softmax(logits)[target] */
static double negative_log_likelihood(const float *logits, size_t n_vocab, int32_t target) {
    float highest = logits[0];
    for (size_t i = 1; i < n_vocab; i++)
        if (logits[i] > highest) highest = logits[i];
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - (double)highest);
    return (double)highest + log(sum) - (double)logits[target];
}

/* Predicts targets[0..n-1], each from BOS and the targets before it. */
static ds4_status score_window(score_job *score, const int32_t *targets, size_t n, ds4_error *error) {
    int32_t bos = ds4_tokenizer_bos(ds4_model_tokenizer(score->model->model));
    score->inputs.n = 0;
    ds4_timeline *timeline = NULL;
    ds4_status status = ds4_tokens_append(&score->inputs, &bos, 1, error);
    if (status == DS4_OK) status = ds4_tokens_append(&score->inputs, targets, n - 1, error);
    if (status == DS4_OK) status = ds4_timeline_new(score->model->engine, n, &timeline, error);
    for (size_t at = 0; at < n && status == DS4_OK;) {
        size_t piece = n - at < PIECE_TOKENS ? n - at : PIECE_TOKENS;
        ds4_span span = {.timeline = timeline,
                         .tokens = score->inputs.id + at,
                         .n_tokens = piece,
                         .wanted = DS4_LOGITS_ALL,
                         .logits = score->logits};
        status = ds4_engine_evaluate(score->model->engine, &span, 1, progress_bar_step, &score->bar, error);
        if (status != DS4_OK) break;
        for (size_t i = 0; i < piece; i++)
            score->nll += negative_log_likelihood(score->logits + i * score->n_vocab, score->n_vocab, targets[at + i]);
        at += piece;
        score->bar.done_before += piece;
    }
    ds4_timeline_free(timeline);
    return status;
}

static ds4_status read_text(const cli_options *options, const ds4_tokenizer *tokenizer, size_t n_vocab,
                            ds4_tokens *tokens, ds4_error *error) {
    ds4_buffer text = {0};
    ds4_status status = file_read_all(options->operand, MAX_TEXT_BYTES, &text, error);
    if (status == DS4_OK)
        status = ds4_tokenizer_encode(tokenizer, text.data, text.n_bytes, options->special, tokens, error);
    ds4_buffer_deinit(&text);
    if (status != DS4_OK) return status;
    if (tokens->n == 0) return error_set(error, DS4_ERROR_FORMAT, "%s: empty, nothing to score", options->operand);
    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->id[i] < 0 || (size_t)tokens->id[i] >= n_vocab)
            return error_set(error, DS4_ERROR_FORMAT, "%s: token id %d of the tokenizer has no logit (%zu)",
                             options->operand, (int)tokens->id[i], n_vocab);
    return DS4_OK;
}

static ds4_status score_file(const cli_options *options, const cli_model *model, ds4_error *error) {
    score_job score = {.model = model, .n_vocab = ds4_model_n_vocab(model->model)};
    size_t window = options->context ? (size_t)options->context : DEFAULT_WINDOW;
    size_t max_context = ds4_model_max_context(model->model);
    if (window > max_context) window = max_context;
    ds4_tokens tokens = {0};
    ds4_status status = read_text(options, ds4_model_tokenizer(model->model), score.n_vocab, &tokens, error);
    if (status != DS4_OK) goto out;
    score.logits = array_new(score.n_vocab, PIECE_TOKENS * sizeof *score.logits);
    if (!score.logits) {
        status = error_memory(error, "logits", score.n_vocab * PIECE_TOKENS * sizeof *score.logits);
        goto out;
    }
    score.bar = progress_bar_start("score", tokens.n);
    for (size_t at = 0; at < tokens.n && status == DS4_OK; at += window) {
        size_t left = tokens.n - at;
        status = score_window(&score, tokens.id + at, left < window ? left : window, error);
    }
    progress_bar_clear(&score.bar);
    if (status == DS4_CANCELLED) error_set(error, status, "interrupted");
    if (status == DS4_OK && !isfinite(score.nll))
        status = error_set(error, DS4_ERROR_FORMAT, "%s: the model's logits are not finite", options->operand);
    if (status == DS4_OK) {
        double mean = score.nll / (double)tokens.n;
        printf("tokens %zu\nnll_per_token %.9g\nperplexity %.9g\n", tokens.n, mean, exp(mean));
    }
out:
    free(score.logits);
    ds4_tokens_deinit(&score.inputs);
    ds4_tokens_deinit(&tokens);
    return status;
}

static int run(const cli_options *options) {
    cli_model model = {0};
    int exit_status = cli_model_open(options, DS4_MODEL_FULL, NULL, &model);
    if (exit_status != EXIT_OK) return exit_status;
    interrupt_arm();
    ds4_error error;
    if (score_file(options, &model, &error) != DS4_OK) exit_status = cli_fail(&error);
    cli_model_close(&model);
    return exit_status;
}

static const cli_option options[] = {
    OPTION_MODEL,   OPTION_CONTEXT("tokens in one window (default: 4096, at most the model's context)"),
    OPTION_SPECIAL, OPTION_BACKEND, OPTION_EXACT,
    OPTION_THREADS, OPTION_END,
};

const cli_command command_score = {
    .name = "score",
    .synopsis = "[-m MODEL] [options] FILE",
    .summary = "print negative log likelihood per token and perplexity of a text",
    .operand = "FILE",
    .options = options,
    .notes = "Prints three lines:\n"
             "  tokens N            tokens of the text, each predicted once\n"
             "  nll_per_token X     mean of -ln p(token)\n"
             "  perplexity Y        e to the power of nll_per_token\n"
             "A text longer than the window is cut into windows that do not overlap. Each starts with the\n"
             "beginning-of-sequence token, from which its first token is predicted.\n",
    .run = run,
};
