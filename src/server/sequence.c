#include "server/sequence.h"

#include "base/error.h"
#include "base/memory.h"
#include "text/dsml.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status sequence_new(const sequence_parts *parts, reply *to, size_t choice, uint64_t seed, sequence **out,
                        ds4_error *error) {
    const request *asked = reply_request(to);
    sequence *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "answer", sizeof *self);
    *self = (sequence){.asked = asked, .to = to, .choice = choice, .has_tools = asked->has_tools};
    self->logits = array_new(parts->n_vocab, sizeof *self->logits);
    ds4_status status = self->logits ? DS4_OK : error_memory(error, "logits", parts->n_vocab * sizeof *self->logits);
    if (status == DS4_OK) status = ds4_sampler_new(&asked->sampling, parts->n_vocab, seed, &self->sampler, error);
    if (status == DS4_OK && asked->n_bias)
        status = ds4_sampler_set_bias(self->sampler, asked->bias, asked->n_bias, error);
    if (status == DS4_OK)
        status = answer_reader_new(asked, choice, parts->tokenizer, to, parts->names, &self->reader, error);
    if (status == DS4_OK)
        *out = self;
    else
        sequence_free(self);
    return status;
}

void sequence_free(sequence *self) {
    if (!self) return;
    ds4_timeline_free(self->timeline);
    ds4_tokens_deinit(&self->pending);
    ds4_tokens_deinit(&self->forced);
    ds4_tokens_deinit(&self->scripted);
    ds4_sampler_free(self->sampler);
    answer_reader_free(self->reader);
    free(self->logits);
    free(self);
}

/* ---- the prompt ---------------------------------------------------------------------------------- */

/* Appends the tokens of the prompt's text from byte on. */
static ds4_status encode_rest(const ds4_prompt *prompt, size_t byte, const ds4_tokenizer *tokenizer, ds4_tokens *tokens,
                              ds4_error *error) {
    ds4_prompt rest = {.text = {.data = prompt->text.data + byte, .n_bytes = prompt->text.n_bytes - byte}};
    rest.control = array_new(prompt->n_control, sizeof *rest.control);
    if (!rest.control) return error_memory(error, "prompt", prompt->n_control * sizeof *rest.control);
    for (size_t i = 0; i < prompt->n_control; i++)
        if (prompt->control[i].offset_bytes >= byte) {
            rest.control[rest.n_control] = prompt->control[i];
            rest.control[rest.n_control++].offset_bytes -= byte;
        }
    ds4_status status = ds4_prompt_encode(&rest, tokenizer, tokens, error);
    free(rest.control);
    return status;
}

/* Restores what a checkpoint has of the prompt; the rest becomes pending. */
static ds4_status take_match(sequence *self, const sequence_parts *parts, const prefix_match *match, ds4_error *error) {
    const request *asked = self->asked;
    size_t n = match->checkpoint ? match->n_tokens : 0;
    ds4_status status = DS4_OK;
    if (match->by_text)
        status = encode_rest(&asked->prompt, match->n_bytes, parts->tokenizer, &self->pending, error);
    else
        status = ds4_tokens_append(&self->pending, asked->tokens.id + n, asked->tokens.n - n, error);
    if (status != DS4_OK || !n) return status;
    if (self->pending.n && n + self->pending.n < parts->context_tokens) {
        self->n_cached = n;
        return ds4_timeline_restore(self->timeline, match->checkpoint, error);
    }
    /* with the model's own spelling there is no room for it: all of it, as the request was measured */
    self->pending.n = 0;
    return ds4_tokens_append(&self->pending, asked->tokens.id, asked->tokens.n, error);
}

static int32_t token_at(const sequence *self, const int32_t *restored, size_t position) {
    return position < self->n_cached ? restored[position] : self->pending.id[position - self->n_cached];
}

static void add_mark(sequence *self, size_t position) {
    size_t last = self->n_marks ? self->mark[self->n_marks - 1] : 0;
    if (position <= self->n_cached || position < SEQUENCE_MARK_DISTANCE || position <= last) return;
    /* of two that are close the later one is enough, but other conversations begin with the same system part */
    if (last && last != self->system_mark && position - last < SEQUENCE_MARK_DISTANCE) self->n_marks--;
    self->mark[self->n_marks++] = position;
}

/* Where other prompts may part from this one: behind the system part; before the last two user turns, which may be
 * taken back or asked anew; and before the last token, which says whether to think. */
static void place_marks(sequence *self, const ds4_tokenizer *tokenizer) {
    size_t n_restored, first = SIZE_MAX, last[2] = {SIZE_MAX, SIZE_MAX};
    const int32_t *restored = ds4_timeline_tokens(self->timeline, &n_restored);
    int32_t user = ds4_tokenizer_control_id(tokenizer, TOKEN_USER);
    for (size_t p = 0; p < self->n_prompt; p++) {
        if (token_at(self, restored, p) != user) continue;
        if (first == SIZE_MAX) first = p;
        last[0] = last[1];
        last[1] = p;
    }
    if (first != SIZE_MAX && first > self->n_cached && first >= SEQUENCE_MARK_DISTANCE) {
        self->system_mark = first;
        add_mark(self, first);
    }
    for (int i = 0; i < 2; i++)
        if (last[i] != SIZE_MAX) add_mark(self, last[i]);
    add_mark(self, self->n_prompt - 1);
}

ds4_status sequence_begin(sequence *self, const sequence_parts *parts, double now, ds4_error *error) {
    ds4_status status = ds4_timeline_new(parts->engine, parts->context_tokens, &self->timeline, error);
    if (status != DS4_OK) return status;
    prefix_match match = prefix_tree_find(parts->tree, self->asked, now);
    status = take_match(self, parts, &match, error);
    if (status != DS4_OK) return status;
    self->n_prompt = self->n_cached + self->pending.n;
    self->n_kept = self->n_cached;
    self->limit = parts->context_tokens - self->n_prompt;
    if (self->asked->max_tokens && self->asked->max_tokens < self->limit) self->limit = self->asked->max_tokens;
    place_marks(self, parts->tokenizer);
    self->phase = SEQUENCE_PROMPT;
    return DS4_OK;
}

ds4_status sequence_prepare_answer(sequence *self, const sequence_parts *parts, ds4_error *error) {
    ds4_status status = answer_reader_begin(self->reader, &self->forced, error);
    if (status == DS4_OK && parts->script)
        status = script_next(parts->script, self->asked->starts_in_reasoning, &self->scripted, error);
    return status;
}

ds4_status sequence_fork(sequence *self, const sequence *from, const sequence_parts *parts, ds4_error *error) {
    ds4_status status = ds4_timeline_fork(from->timeline, &self->timeline, error);
    if (status != DS4_OK) return status;
    memcpy(self->logits, from->logits, parts->n_vocab * sizeof *self->logits);
    self->n_prompt = from->n_prompt;
    self->n_cached = from->n_cached;
    self->n_kept = from->n_kept;
    self->limit = from->limit;
    self->phase = SEQUENCE_ANSWER;
    return DS4_OK;
}

/* ---- positions ----------------------------------------------------------------------------------- */

size_t sequence_position(const sequence *self) {
    size_t n = 0;
    if (self->timeline) ds4_timeline_tokens(self->timeline, &n);
    return n;
}

/* The first one behind the position; SIZE_MAX: none. */
static size_t next_mark(const sequence *self, size_t position) {
    size_t next = position / SEQUENCE_MARK_STEP * SEQUENCE_MARK_STEP + SEQUENCE_MARK_STEP;
    if (next >= self->n_prompt) next = SIZE_MAX;
    for (size_t i = 0; i < self->n_marks; i++)
        if (self->mark[i] > position && self->mark[i] < next) next = self->mark[i];
    return next;
}

size_t sequence_to_mark(const sequence *self) {
    size_t position = sequence_position(self), left = self->pending.n - self->at;
    size_t next = next_mark(self, position);
    return next - position < left ? next - position : left;
}

size_t sequence_mark_before(const sequence *self, size_t at) {
    size_t best = 0;
    for (size_t next = next_mark(self, sequence_position(self)); next <= at; next = next_mark(self, next)) best = next;
    return best;
}

size_t sequence_common(const sequence *self, const ds4_tokens *tokens) {
    size_t n, position = 0;
    const int32_t *evaluated = ds4_timeline_tokens(self->timeline, &n);
    size_t total = n + self->pending.n - self->at;
    if (total > tokens->n) total = tokens->n;
    while (position < total) {
        int32_t id = position < n ? evaluated[position] : self->pending.id[self->at + position - n];
        if (id != tokens->id[position]) break;
        position++;
    }
    return position;
}

/* Failing only loses the reuse. */
static void keep(sequence *self, const sequence_parts *parts, double now) {
    size_t n;
    const int32_t *tokens = ds4_timeline_tokens(self->timeline, &n);
    ds4_checkpoint *checkpoint;
    self->n_kept = n;
    if (prefix_tree_has(parts->tree, tokens, n)) return;
    if (ds4_timeline_checkpoint(self->timeline, &checkpoint, NULL) != DS4_OK) return;
    prefix_kind kind = {.has_tools = self->has_tools, .ends_system = n == self->system_mark};
    prefix_tree_add(parts->tree, tokens, n, checkpoint, kind, now);
}

void sequence_keep(sequence *self, const sequence_parts *parts, double now) {
    if (sequence_position(self) >= self->n_kept + SEQUENCE_MARK_DISTANCE) keep(self, parts, now);
}

void sequence_advance(sequence *self, const sequence_parts *parts, size_t n, double now) {
    size_t position = sequence_position(self);
    self->at += n;
    bool done = self->at == self->pending.n;
    if (self->phase == SEQUENCE_PROMPT && next_mark(self, position - 1) == position) keep(self, parts, now);
    if (self->phase == SEQUENCE_CLOSING && done) keep(self, parts, now);
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* The next token; EOS ends the answer. -1: there is none. */
static int32_t choose(sequence *self, const sequence_parts *parts) {
    if (self->forced_at < self->forced.n) return self->forced.id[self->forced_at++];
    if (parts->script)
        return self->scripted_at < self->scripted.n ? self->scripted.id[self->scripted_at++]
                                                    : ds4_tokenizer_eos(parts->tokenizer);
    if (answer_reader_wants_greedy(self->reader)) return ds4_sampler_most_likely(self->sampler, self->logits);
    return ds4_sampler_draw(self->sampler, self->logits);
}

/* What of it the next prompt will have is evaluated, if there is room. */
static ds4_status end_answer(sequence *self, const sequence_parts *parts, finish_reason why, ds4_error *error) {
    ds4_status status = answer_reader_end(self->reader, why, parts->memory, error);
    if (status != DS4_OK) return status;
    metrics_add(parts->counts, METRIC_ANSWER_TOKENS, (double)answer_reader_usage(self->reader)->answer);
    bool closes = answer_reader_closing(self->reader, &self->pending) &&
                  sequence_position(self) + self->pending.n <= parts->context_tokens;
    if (!closes) self->pending.n = 0;
    self->phase = SEQUENCE_CLOSING;
    return DS4_OK;
}

static void note_time(sequence *self, const sequence_parts *parts, double now) {
    if (self->last_token > 0)
        metrics_observe(parts->counts, HISTOGRAM_BETWEEN_TOKENS, now - self->last_token);
    else if (self->choice == 0)
        metrics_observe(parts->counts, HISTOGRAM_FIRST_TOKEN, now - self->asked->arrived);
    self->last_token = now;
}

ds4_status sequence_speak(sequence *self, const sequence_parts *parts, double now, bool *ended, ds4_error *error) {
    const int32_t eos = ds4_tokenizer_eos(parts->tokenizer);
    const float *logits = self->asked->logprobs ? self->logits : NULL; /* of the first token; forced ones have none */
    self->pending.n = self->at = 0;
    self->phase = SEQUENCE_ANSWER;
    *ended = true;
    note_time(self, parts, now);
    do {
        int32_t id = choose(self, parts);
        if (id < 0) return error_set(error, DS4_ERROR_FORMAT, "the model's logits are not finite");
        if (id == eos) return end_answer(self, parts, FINISH_STOP, error);
        ds4_status status = ds4_tokens_append(&self->pending, &id, 1, error);
        if (status != DS4_OK) return status;
        ds4_sampler_note(self->sampler, id);
        reader_verdict verdict = answer_reader_add(self->reader, id, logits, &self->forced, error);
        if (verdict == READER_FAILED) return DS4_ERROR_MEMORY;
        if (verdict == READER_ENDED) return end_answer(self, parts, FINISH_STOP, error);
        if (answer_reader_usage(self->reader)->answer >= self->limit)
            return end_answer(self, parts, FINISH_LENGTH, error);
        logits = NULL;
    } while (self->forced_at < self->forced.n);
    *ended = false;
    return DS4_OK;
}
