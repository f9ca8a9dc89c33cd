/*
 * answers [-m MODEL] [options]: what a model answers to many requests, for evaluations.
 *
 * Each line of standard input is {"request": {...}, "max_tokens": N}, the request as `ds4 render` takes it. For
 * each, one line goes to standard output when the answer is complete:
 *
 *   {"n_prompt_tokens": N, "reasoning": "...", "content": "...",
 *    "tool_calls": [{"name": "...", "arguments": "{...}"}],
 *    "finish": "stop" | "length" | "invalid", "tokens": [...]}
 *
 * Every token is the most likely one. Arguments are JSON in a string; tokens are those of the answer without the
 * end of sequence. finish: the model ended, or max_tokens or the context did, or the model ended but what it
 * wrote is no proper tool call (such a call is not in the list). Bytes that are not UTF-8, and NUL, become U+FFFD.
 */
#include "base/memory.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

/* ---- an answer in parts -------------------------------------------------------------------------- */

typedef struct reply {
    ds4_buffer reasoning, content;
    ds4_buffer name, arguments; /* of the call at hand */
    json_t *calls;
    ds4_tokens tokens;
    bool invalid, out_of_memory;
    const char *finish;
} reply;

static void add_call(reply *to) {
    json_t *call =
        json_pack("{s:o, s:o}", "name", answer_json_text(&to->name), "arguments", answer_json_text(&to->arguments));
    if (json_array_append_new(to->calls, call) != 0) to->out_of_memory = true;
}

static void take_event(void *context, const ds4_event *event) {
    reply *to = context;
    ds4_buffer *part = NULL;
    switch (event->kind) {
    case DS4_EVENT_REASONING: part = &to->reasoning; break;
    case DS4_EVENT_TEXT: part = &to->content; break;
    case DS4_EVENT_CALL_START:
        part = &to->name;
        buffer_clear(&to->name);
        buffer_clear(&to->arguments);
        break;
    case DS4_EVENT_ARGUMENTS: part = &to->arguments; break;
    case DS4_EVENT_CALL_END: add_call(to); break;
    case DS4_EVENT_INVALID: to->invalid = true; break;
    }
    if (part && !buffer_append(part, event->bytes, event->n_bytes)) to->out_of_memory = true;
}

static ds4_status print_reply(const reply *from, size_t n_prompt_tokens, ds4_error *error) {
    json_t *tokens = json_array();
    for (size_t i = 0; i < from->tokens.n; i++) json_array_append_new(tokens, json_integer(from->tokens.id[i]));
    json_t *line =
        json_pack("{s:I, s:o, s:o, s:O, s:s, s:o}", "n_prompt_tokens", (json_int_t)n_prompt_tokens, "reasoning",
                  answer_json_text(&from->reasoning), "content", answer_json_text(&from->content), "tool_calls",
                  from->calls, "finish", from->finish, "tokens", tokens);
    char *text = line && !from->out_of_memory ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text) return error_memory(error, "answer", from->content.n_bytes);
    stdout_write(text, strlen(text));
    stdout_write("\n", 1);
    stdout_flush();
    free(text);
    return DS4_OK;
}

static void reply_deinit(reply *self) {
    ds4_buffer_deinit(&self->reasoning);
    ds4_buffer_deinit(&self->content);
    ds4_buffer_deinit(&self->name);
    ds4_buffer_deinit(&self->arguments);
    ds4_tokens_deinit(&self->tokens);
    json_decref(self->calls);
}

/* ---- answering ----------------------------------------------------------------------------------- */

typedef struct answerer {
    const cli_model *model;
    const ds4_tokenizer *tokenizer;
    ds4_sampler *sampler;
    float *logits; /* [n_vocab] */
} answerer;

static ds4_status evaluate(const answerer *self, ds4_timeline *timeline, const int32_t *tokens, size_t n,
                           ds4_error *error) {
    ds4_span span = {
        .timeline = timeline, .tokens = tokens, .n_tokens = n, .wanted = DS4_LOGITS_LAST, .logits = self->logits};
    return ds4_engine_evaluate(self->model->engine, &span, 1, NULL, NULL, error);
}

/* Until the end, or until the timeline or max_tokens are used up. */
static ds4_status generate(const answerer *self, ds4_timeline *timeline, size_t max_tokens, ds4_parser *parser,
                           reply *to, ds4_error *error) {
    size_t used, n_bytes;
    for (;;) {
        int32_t id = ds4_sampler_draw(self->sampler, self->logits);
        if (id < 0) return error_set(error, DS4_ERROR_FORMAT, "the model's logits are not finite");
        to->finish = "stop";
        if (id == ds4_tokenizer_eos(self->tokenizer)) return DS4_OK;
        const char *bytes = ds4_tokenizer_token_bytes(self->tokenizer, id, &n_bytes);
        if (!bytes) return error_set(error, DS4_ERROR_FORMAT, "the model drew a token without text");
        ds4_status status = ds4_tokens_append(&to->tokens, &id, 1, error);
        if (status == DS4_OK) status = ds4_parser_feed(parser, bytes, n_bytes, error);
        if (status != DS4_OK) return status;
        ds4_timeline_tokens(timeline, &used);
        to->finish = "length";
        if (to->tokens.n == max_tokens || used == ds4_timeline_max_tokens(timeline)) return DS4_OK;
        status = evaluate(self, timeline, &id, 1, error);
        if (status != DS4_OK) return status;
    }
}

static ds4_status answer_tokens(const answerer *self, const ds4_tokens *prompt, size_t max_tokens, reply *to,
                                ds4_error *error) {
    size_t context = ds4_model_max_context(self->model->model);
    if (prompt->n > context)
        return error_set(error, DS4_ERROR_CONTEXT, "a prompt of %zu tokens, the model's context is %zu", prompt->n,
                         context);
    if (max_tokens < context - prompt->n) context = prompt->n + max_tokens;
    bool thinking = prompt->id[prompt->n - 1] == ds4_tokenizer_control_id(self->tokenizer, "<think>");
    ds4_timeline *timeline = NULL;
    ds4_parser *parser = NULL;
    ds4_status status = ds4_timeline_new(self->model->engine, context, &timeline, error);
    if (status == DS4_OK) status = ds4_parser_new(thinking, take_event, to, &parser, error);
    if (status == DS4_OK) status = evaluate(self, timeline, prompt->id, prompt->n, error);
    if (status == DS4_OK) status = generate(self, timeline, max_tokens, parser, to, error);
    bool ended = status == DS4_OK && strcmp(to->finish, "stop") == 0;
    if (status == DS4_OK) status = ds4_parser_finish(parser, error);
    if (ended && to->invalid) to->finish = "invalid";
    ds4_parser_free(parser);
    ds4_timeline_free(timeline);
    return status;
}

static ds4_status read_line(const char *line, size_t n_bytes, ds4_buffer *request, size_t *max_tokens,
                            ds4_error *error) {
    json_t *object = NULL;
    ds4_status status = exact_json_read(line, n_bytes, "input", &object, error);
    if (status != DS4_OK) return status;
    json_t *wanted = json_object_get(object, "request"), *limit = json_object_get(object, "max_tokens");
    if (!json_is_object(wanted) || json_integer_value(limit) < 1 || json_object_size(object) != 2)
        status = error_set(error, DS4_ERROR_FORMAT,
                           "expected {\"request\": {...}, \"max_tokens\": N} and nothing else, N at least 1");
    else if (!exact_json_write(request, wanted))
        status = error_memory(error, "request", n_bytes);
    *max_tokens = (size_t)json_integer_value(limit);
    json_decref(object);
    return status;
}

static ds4_status answer_line(const answerer *self, const char *line, size_t n_bytes, ds4_error *error) {
    ds4_buffer request = {0};
    ds4_prompt prompt = {0};
    ds4_tokens tokens = {0};
    reply to = {.calls = json_array()};
    size_t max_tokens = 0;
    ds4_status status = to.calls ? DS4_OK : error_memory(error, "answer", sizeof to);
    if (status == DS4_OK) status = read_line(line, n_bytes, &request, &max_tokens, error);
    if (status == DS4_OK) status = ds4_prompt_render(request.data, request.n_bytes, &prompt, error);
    if (status == DS4_OK) status = ds4_prompt_encode(&prompt, self->tokenizer, &tokens, error);
    if (status == DS4_OK) status = answer_tokens(self, &tokens, max_tokens, &to, error);
    if (status == DS4_OK) status = print_reply(&to, tokens.n, error);
    reply_deinit(&to);
    ds4_tokens_deinit(&tokens);
    ds4_prompt_deinit(&prompt);
    ds4_buffer_deinit(&request);
    return status;
}

/* ---- the program --------------------------------------------------------------------------------- */

static ds4_status answer_lines(const answerer *self, ds4_error *error) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n_bytes;
    ds4_status status = DS4_OK;
    ds4_error what;
    for (size_t number = 1; status == DS4_OK && (n_bytes = getline(&line, &capacity, stdin)) >= 0; number++) {
        status = answer_line(self, line, (size_t)n_bytes, &what);
        if (status != DS4_OK) error_set(error, status, "line %zu: %s", number, what.message);
        if (stdout_failed()) break;
    }
    if (status == DS4_OK && ferror(stdin)) status = error_set(error, DS4_ERROR_IO, "standard input: cannot read");
    free(line);
    return status;
}

static int run(const cli_options *options) {
    ds4_engine_options engine_options = {
        .float_rows = options->float_rows, .no_qat = options->no_qat, .no_compressed_rows = options->no_compressed};
    cli_model model = {0};
    int exit_status = cli_model_open(options, DS4_MODEL_FULL, &engine_options, &model);
    if (exit_status != EXIT_OK) return exit_status;
    static const ds4_sampling greedy = {.temperature = 0};
    size_t n_vocab = ds4_model_n_vocab(model.model);
    ds4_error error;
    answerer self = {.model = &model,
                     .tokenizer = ds4_model_tokenizer(model.model),
                     .logits = array_new(n_vocab, sizeof *self.logits)};
    ds4_status status = self.logits ? ds4_sampler_new(&greedy, n_vocab, 0, &self.sampler, &error)
                                    : error_memory(&error, "logits", n_vocab * sizeof *self.logits);
    if (status == DS4_OK) status = answer_lines(&self, &error);
    ds4_sampler_free(self.sampler);
    free(self.logits);
    cli_model_close(&model);
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}

static const cli_option options[] = {OPTION_MODEL,      OPTION_BACKEND,       OPTION_THREADS, OPTION_NO_QAT,
                                     OPTION_FLOAT_ROWS, OPTION_NO_COMPRESSED, OPTION_END};

static const cli_command command = {.options = options};

int main(int argc, char **argv) {
    cli_options chosen;
    ds4_error error;
    if (options_parse(&command, argc, argv, 1, &chosen, &error) != DS4_OK) return cli_usage("%s", error.message);
    if (chosen.help || chosen.version) {
        printf("usage: answers [options] < REQUESTS.jsonl (version %s)\n\n", DS4_VERSION);
        options_print(&command, stdout);
        return stdout_finish(EXIT_OK);
    }
    return stdout_finish(run(&chosen));
}
