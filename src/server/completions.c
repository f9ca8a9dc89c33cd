/*
 * POST /v1/completions: a text, and what the model writes behind it. No template, no reasoning, no tools: the answer's
 * tokens are text whatever they are.
 */
#include "base/memory.h"
#include "server/answer_fields.h"
#include "server/api.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_TOKENS = 16, MAX_LOGPROBS = 5 };

static const refused_field refused[] = {
    {"echo", "false", NULL},
    {"best_of", "1", NULL},
    {"suffix", "\"\"", NULL},
    {NULL, NULL, NULL},
};

/* ---- the request --------------------------------------------------------------------------------- */

static bool read_prompt_tokens(json_t *prompt, const server_facts *facts, request *asked, problem *why) {
    for (size_t i = 0; i < json_array_size(prompt); i++) {
        json_t *value = json_array_get(prompt, i);
        field_path place = field_path_at("prompt", i);
        if (!json_is_integer(value))
            return problem_set(why, PROBLEM_INVALID, place.text, "%s, expected a token's number",
                               exact_json_type(value));
        json_int_t number = json_integer_value(value);
        if (number < 0 || (size_t)number >= facts->n_vocab)
            return problem_set(why, PROBLEM_INVALID, place.text, "%lld is no token, expected 0 to %zu",
                               (long long)number, facts->n_vocab - 1);
        int32_t id = (int32_t)number;
        if (ds4_tokens_append(&asked->raw_tokens, &id, 1, NULL)) return problem_memory(why);
    }
    return true;
}

/* A string, an array of tokens, or an array with one of either. */
static bool read_prompt(field_reader *fields, const server_facts *facts, request *asked) {
    json_t *prompt = field_get(fields, "prompt");
    if (json_is_array(prompt) && !json_is_integer(json_array_get(prompt, 0))) {
        if (json_array_size(prompt) > 1)
            return problem_set(fields->problem, PROBLEM_UNSUPPORTED, "prompt", "several prompts are not supported");
        prompt = json_array_get(prompt, 0);
        if (!prompt) return problem_set(fields->problem, PROBLEM_INVALID, "prompt", "empty, expected a prompt");
    }
    if (json_is_array(prompt)) return read_prompt_tokens(prompt, facts, asked, fields->problem);
    size_t n_bytes;
    const char *text = exact_json_text(prompt, &n_bytes);
    if (!text) return field_wrong(fields, "prompt", "a string or an array of tokens");
    return buffer_append(&asked->raw_prompt, text, n_bytes) || problem_memory(fields->problem);
}

static bool completions_read(json_t *body, const server_facts *facts, request *asked, problem *why) {
    field_reader fields;
    int64_t logprobs = -1;
    asked->raw = true;
    asked->max_tokens = DEFAULT_MAX_TOKENS;
    if (!field_reader_init(&fields, body, "", why) || !fields_refuse(&fields, refused) ||
        !read_model(&fields, facts, asked) || !read_sampling(&fields, facts, 2, asked) ||
        !read_max_tokens(&fields, "max_tokens", asked) || !read_stop(&fields, "stop", asked) ||
        !read_choices(&fields, facts, asked) || !read_stream(&fields, asked) ||
        !field_integer(&fields, "logprobs", 0, MAX_LOGPROBS, &logprobs))
        return false;
    asked->logprobs = logprobs >= 0;
    asked->top_logprobs = logprobs > 0 ? (int)logprobs : 0;
    return read_prompt(&fields, facts, asked);
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* Characters begin at bytes that continue none. */
static size_t n_characters(const stream *self, int32_t id) {
    size_t n_bytes = 0, n = 0;
    const char *bytes = ds4_tokenizer_token_bytes(self->tokenizer, id, &n_bytes);
    for (size_t i = 0; bytes && i < n_bytes; i++) n += (bytes[i] & 0xC0) != 0x80;
    return n;
}

static json_t *top_logprobs(const stream *self, const reply_logprob *logprob) {
    json_t *top = json_object();
    for (int i = 0; i < logprob->n_top; i++) {
        json_t *token = logged_token(self, logprob->top[i].id);
        json_put(&top, json_string_value(token), json_float(logprob->top[i].logprob));
        json_decref(token);
    }
    return top;
}

/* offset: characters of the answer before these tokens; moved behind them. */
static json_t *text_logprobs(const stream *self, const reply_logprob *logprob, size_t n, size_t *offset) {
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    for (size_t i = 0; i < n; i++) {
        json_push(&tokens, logged_token(self, logprob[i].id));
        json_push(&values, json_float(logprob[i].logprob));
        json_push(&tops, top_logprobs(self, &logprob[i]));
        json_push(&offsets, json_integer((json_int_t)*offset));
        *offset += n_characters(self, logprob[i].id);
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops,
                     "text_offset", offsets);
}

/* text, logprobs and choices are taken. */
static json_t *choice_entry(size_t index, json_t *text, json_t *logprobs, const logged_choice *ended) {
    json_t *entry = json_pack("{s:o,s:I,s:o}", "text", text, "index", (json_int_t)index, "logprobs", logprobs);
    const char *finish = ended && ended->finish == FINISH_LENGTH ? "length" : "stop";
    json_put(&entry, "finish_reason", ended ? json_string(finish) : json_null());
    if (ended && ended->stop_sequence) json_put(&entry, "stop_reason", json_string(ended->stop_sequence));
    return entry;
}

/* choices is taken. With usage that of the whole answer. */
static json_t *completion(const stream *self, json_t *choices, bool usage) {
    const answer_log *log = &self->log;
    json_t *object = json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", log->id, "object", "text_completion", "created",
                               (json_int_t)log->created, "model", log->request->model, "choices", choices);
    if (usage)
        json_put(&object, "usage", openai_usage(&log->usage));
    else if (log->request->include_usage)
        json_put(&object, "usage", json_null());
    return object;
}

static bool write_piece(stream *self, json_t *entry) {
    return stream_sse(self, NULL, completion(self, json_pack("[o]", entry), false));
}

/* own: characters so far of each choice. */
static bool completions_begin(stream *self) {
    self->own = array_new(self->log.request->n, sizeof(size_t));
    return self->own != NULL;
}

static bool write_text(stream *self, const reply_event *event) {
    json_t *logprobs = json_null();
    size_t *offset = self->own;
    if (!event->n_bytes && !event->n_logprobs) return true;
    if (event->n_logprobs) logprobs = text_logprobs(self, event->logprob, event->n_logprobs, &offset[event->choice]);
    json_t *text = json_stringn(event->n_bytes ? event->bytes : "", event->n_bytes);
    return write_piece(self, choice_entry(event->choice, text, logprobs, NULL));
}

static bool completions_event(stream *self, const reply_event *event) {
    if (event->kind == REPLY_TEXT) return write_text(self, event);
    if (event->kind == REPLY_CHOICE_END)
        return write_piece(self,
                           choice_entry(event->choice, json_string(""), json_null(), &self->log.choice[event->choice]));
    if (event->kind != REPLY_END) return true;
    if (self->log.request->include_usage && !stream_sse(self, NULL, completion(self, json_array(), true))) return false;
    return stream_write(self, "data: [DONE]\n\n");
}

static bool completions_keep_alive(stream *self) {
    return write_piece(self, choice_entry(0, json_string(""), json_null(), NULL));
}

static json_t *completions_body(stream *self) {
    const answer_log *log = &self->log;
    json_t *choices = json_array();
    for (size_t i = 0; i < log->request->n; i++) {
        const logged_choice *choice = &log->choice[i];
        size_t offset = 0;
        json_t *logprobs =
            log->request->logprobs ? text_logprobs(self, choice->logprob, choice->n_logprobs, &offset) : json_null();
        json_push(&choices, choice_entry(i, buffer_json(&choice->text), logprobs, choice));
    }
    return completion(self, choices, true);
}

const api api_completions = {
    .name = "completions",
    .id_prefix = "cmpl-",
    .call_prefix = "call_",
    .prompt_field = "prompt",
    .read = completions_read,
    .begin = completions_begin,
    .event = completions_event,
    .keep_alive = completions_keep_alive,
    .body = completions_body,
    .stream_error = openai_stream_error,
    .error = openai_error,
};
