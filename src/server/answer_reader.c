#include "server/answer_reader.h"
#include "base/error.h"
#include "base/memory.h"
#include "server/answer_format.h"
#include "server/api.h"
#include "server/stop_matcher.h"
#include "text/characters.h"
#include "text/dsml.h"
#include "text/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader_call {
    char id[ID_BYTES];
    ds4_buffer name, arguments;
} reader_call;

/* Bytes of one kind of event on their way to the reply: in whole characters. */
typedef struct outlet {
    open_character open;
    ds4_buffer whole;
    bool failed;
    bool replaced; /* something was no character: what the client has is not what the model wrote */
} outlet;

struct answer_reader {
    const request *asked;
    size_t choice;
    const ds4_tokenizer *tokenizer;
    reply *to;
    ids *names;
    reply_usage usage;

    ds4_parser *parser;  /* NULL: all that comes is text */
    bool calls_are_text; /* there are no tools, or none may be called */
    bool failed;         /* there was no memory */
    bool drops_rest;     /* what still comes is not for the client */

    outlet reasoning, text, arguments;
    stop_matcher stops;
    ds4_buffer visible; /* all text, if the format has to be checked */
    reply_logprob *logprob;
    size_t n_logprobs, logprob_capacity;

    reader_call *call;
    size_t n_calls, call_capacity;
    bool in_call, call_broken;
    char *problem;

    ds4_tokens answer;     /* what follows the reasoning, to tell the next prompt how calls were spelled */
    bool answer_cut;       /* it began in the middle of a token */
    size_t text_bytes;     /* of the text in front of the block */
    bool has_forced_start; /* of a call */
    bool has_forced_end;   /* of the reasoning */
    size_t after_call;     /* one_call: bytes of the last token behind the call's end */
    bool after_call_known;
    bool block_closed;

    bool ended; /* by itself */
    /* from answer_reader_end on */
    bool ending, cut, reasoning_is_open;
    bool block_is_known; /* and the calls can be told in the model's own words */
    finish_reason finish;
};

/* ---- to the reply -------------------------------------------------------------------------------- */

static void put(answer_reader *self, reply_event event) {
    event.choice = self->choice;
    if (!self->failed && !reply_put(self->to, &event)) self->failed = true;
}

static void put_character(void *context, const char *character, size_t n_bytes) {
    outlet *out = context;
    if (!buffer_append(&out->whole, character, n_bytes)) out->failed = true;
    if (n_bytes == strlen(REPLACEMENT_CHARACTER) && memcmp(character, REPLACEMENT_CHARACTER, n_bytes) == 0)
        out->replaced = true;
}

static void put_whole(answer_reader *self, reply_event_kind kind, outlet *out) {
    if (out->failed) self->failed = true;
    if (!out->whole.n_bytes) return;
    reply_event event = {.kind = kind, .bytes = out->whole.data, .n_bytes = out->whole.n_bytes};
    if (kind == REPLY_ARGUMENTS) event.call = self->n_calls - 1;
    if (kind == REPLY_TEXT) {
        event.logprob = self->logprob;
        event.n_logprobs = self->n_logprobs;
        self->n_logprobs = 0;
        bool wants = self->asked->format != FORMAT_TEXT;
        if (wants && !buffer_append(&self->visible, out->whole.data, out->whole.n_bytes)) self->failed = true;
    }
    put(self, event);
    buffer_clear(&out->whole);
}

static void put_bytes(answer_reader *self, reply_event_kind kind, outlet *out, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) characters_add(&out->open, bytes[i], put_character, out);
    put_whole(self, kind, out);
}

static void put_end(answer_reader *self, reply_event_kind kind, outlet *out) {
    characters_end(&out->open, put_character, out);
    put_whole(self, kind, out);
}

static void put_text(answer_reader *self, const char *bytes, size_t n_bytes, bool at_end) {
    if (self->stops.matched) return;
    ds4_buffer decided = {0};
    if (!stop_matcher_add(&self->stops, bytes, n_bytes, &decided)) self->failed = true;
    if (at_end && !stop_matcher_flush(&self->stops, &decided)) self->failed = true;
    put_bytes(self, REPLY_TEXT, &self->text, decided.data, decided.n_bytes);
    if (at_end || self->stops.matched) put_end(self, REPLY_TEXT, &self->text);
    ds4_buffer_deinit(&decided);
    if (self->stops.matched) self->ended = self->drops_rest = true;
}

/* ---- from the parser ----------------------------------------------------------------------------- */

static void begin_call(answer_reader *self, const ds4_event *event) {
    put_text(self, NULL, 0, true);
    self->n_logprobs = 0; /* of tokens that were the beginning of the block */
    if (self->drops_rest) return;
    if (!array_reserve((void **)&self->call, &self->call_capacity, self->n_calls + 1, sizeof *self->call)) {
        self->failed = true;
        return;
    }
    reader_call *call = &self->call[self->n_calls++];
    *call = (reader_call){0};
    ids_next(self->names, self->asked->api ? self->asked->api->call_prefix : "call_", call->id);
    if (!buffer_append(&call->name, event->bytes, event->n_bytes)) self->failed = true;
    reply_event start = {.kind = REPLY_CALL_START,
                         .call = self->n_calls - 1,
                         .bytes = event->bytes,
                         .n_bytes = event->n_bytes,
                         .tool = request_find_tool(self->asked, event->bytes, event->n_bytes)};
    snprintf(start.id, sizeof start.id, "%.*s", (int)sizeof start.id - 1, call->id);
    self->in_call = true;
    put(self, start);
}

static void add_arguments(answer_reader *self, const ds4_event *event) {
    if (!buffer_append(&self->call[self->n_calls - 1].arguments, event->bytes, event->n_bytes)) self->failed = true;
    put_bytes(self, REPLY_ARGUMENTS, &self->arguments, event->bytes, event->n_bytes);
}

static void end_call(answer_reader *self, bool broken) {
    put_end(self, REPLY_ARGUMENTS, &self->arguments);
    self->in_call = false;
    self->call_broken |= broken;
    put(self, (reply_event){.kind = REPLY_CALL_END, .call = self->n_calls - 1, .broken = broken});
    if (self->asked->one_call && !broken) self->ended = self->drops_rest = true;
}

static void set_problem(answer_reader *self, const char *kind, const char *text, size_t n_bytes) {
    ds4_buffer line = {0};
    bool ok = buffer_append_string(&line, kind) && buffer_append(&line, text, n_bytes);
    free(self->problem);
    self->problem = line.data;
    if (!ok) self->failed = true;
}

static void take_event(void *context, const ds4_event *event) {
    answer_reader *self = context;
    if (self->drops_rest || self->failed) return;
    /* one token may end the reasoning in the middle of a character and have text too */
    if (event->kind != DS4_EVENT_REASONING) put_end(self, REPLY_REASONING, &self->reasoning);
    switch (event->kind) {
    case DS4_EVENT_REASONING: put_bytes(self, REPLY_REASONING, &self->reasoning, event->bytes, event->n_bytes); break;
    case DS4_EVENT_TEXT:
        if (!self->n_calls) self->text_bytes += event->n_bytes;
        put_text(self, event->bytes, event->n_bytes, false);
        break;
    case DS4_EVENT_CALL_START: begin_call(self, event); break;
    case DS4_EVENT_ARGUMENTS: add_arguments(self, event); break;
    case DS4_EVENT_CALL_END: end_call(self, false); break;
    case DS4_EVENT_INVALID:
        if (!self->ending || !self->cut) set_problem(self, "invalid_tool_call: ", event->bytes, event->n_bytes);
        /* of a block that was cut the client sees no half tags */
        if (self->ending && (self->cut || self->in_call)) self->drops_rest = true;
        if (self->in_call) end_call(self, true);
        break;
    }
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status answer_reader_new(const request *asked, size_t choice, const ds4_tokenizer *tokenizer, reply *to, ids *names,
                             answer_reader **out, ds4_error *error) {
    answer_reader *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "answer", sizeof *self);
    *self = (answer_reader){.asked = asked,
                            .choice = choice,
                            .tokenizer = tokenizer,
                            .to = to,
                            .names = names,
                            .stops = {.stop = asked->stop, .n_stops = asked->n_stop},
                            .calls_are_text = asked->n_tools == 0 || asked->choice == CHOICE_NONE};
    if (!asked->raw && (asked->starts_in_reasoning || !self->calls_are_text)) {
        ds4_status status = ds4_parser_new(asked->starts_in_reasoning, take_event, self, &self->parser, error);
        if (status != DS4_OK) {
            free(self);
            return status;
        }
    }
    *out = self;
    return DS4_OK;
}

static void outlet_deinit(outlet *out) {
    ds4_buffer_deinit(&out->whole);
}

void answer_reader_free(answer_reader *self) {
    if (!self) return;
    ds4_parser_free(self->parser);
    outlet_deinit(&self->reasoning);
    outlet_deinit(&self->text);
    outlet_deinit(&self->arguments);
    ds4_buffer_deinit(&self->visible);
    free(self->logprob);
    for (size_t i = 0; i < self->n_calls; i++) {
        ds4_buffer_deinit(&self->call[i].name);
        ds4_buffer_deinit(&self->call[i].arguments);
    }
    free(self->call);
    free(self->problem);
    ds4_tokens_deinit(&self->answer);
    free(self);
}

const reply_usage *answer_reader_usage(const answer_reader *self) {
    return &self->usage;
}

static ds4_parser_place place(const answer_reader *self) {
    return self->parser ? ds4_parser_where(self->parser) : DS4_PLACE_TEXT;
}

bool answer_reader_wants_greedy(const answer_reader *self) {
    return place(self) == DS4_PLACE_STRUCTURE;
}

/* ---- what has to come next ----------------------------------------------------------------------- */

static bool prompt_text(ds4_prompt *prompt, const char *text) {
    return buffer_append_string(&prompt->text, text);
}

static bool prompt_control(ds4_prompt *prompt, const char *token) {
    ds4_control_span span = {0, strlen(token)};
    ds4_prompt piece = {.control = &span, .n_control = 1};
    bool ok = prompt_text(&piece, token) && prompt_append(prompt, &piece);
    ds4_buffer_deinit(&piece.text);
    return ok;
}

/* Appends the prompt's tokens and frees it. */
static ds4_status force(const answer_reader *self, ds4_prompt *prompt, bool ok, ds4_tokens *forced, ds4_error *error) {
    ds4_status status = ok ? ds4_prompt_encode(prompt, self->tokenizer, forced, error)
                           : error_memory(error, "forced tokens", prompt->text.n_bytes);
    ds4_prompt_deinit(prompt);
    return status;
}

/* Up to the tool's name if there is a choice of tools, else the name too. */
static ds4_status force_call(answer_reader *self, ds4_tokens *forced, ds4_error *error) {
    const request *asked = self->asked;
    size_t tool = asked->choice == CHOICE_NAMED ? asked->chosen_tool : asked->n_tools == 1 ? 0 : asked->n_tools;
    ds4_prompt start = {0};
    bool ok = prompt_text(&start, "\n\n<") && prompt_control(&start, TOKEN_DSML) &&
              prompt_text(&start, "tool_calls>\n<") && prompt_control(&start, TOKEN_DSML) &&
              prompt_text(&start, "invoke name=\"");
    if (tool < asked->n_tools) ok = ok && prompt_text(&start, asked->tool[tool].name) && prompt_text(&start, "\">\n");
    self->has_forced_start = true;
    return force(self, &start, ok, forced, error);
}

static bool needs_call(const answer_reader *self) {
    bool asks = self->asked->choice == CHOICE_REQUIRED || self->asked->choice == CHOICE_NAMED;
    return asks && self->parser && !self->calls_are_text && !self->has_forced_start;
}

ds4_status answer_reader_begin(answer_reader *self, ds4_tokens *forced, ds4_error *error) {
    return needs_call(self) && place(self) == DS4_PLACE_TEXT ? force_call(self, forced, error) : DS4_OK;
}

static ds4_status force_end_of_reasoning(answer_reader *self, ds4_tokens *forced, ds4_error *error) {
    ds4_prompt end = {0};
    self->has_forced_end = true;
    return force(self, &end, prompt_control(&end, TOKEN_END_THINK), forced, error);
}

/* ---- tokens -------------------------------------------------------------------------------------- */

static void note_logprob(answer_reader *self, int32_t id, const float *logits) {
    if (!array_reserve((void **)&self->logprob, &self->logprob_capacity, self->n_logprobs + 1, sizeof *self->logprob)) {
        self->failed = true;
        return;
    }
    reply_logprob *record = &self->logprob[self->n_logprobs++];
    *record = (reply_logprob){.id = id};
    size_t n_top = self->asked->top_logprobs > 0 ? (size_t)self->asked->top_logprobs : 0;
    if (n_top > REQUEST_MAX_TOP_LOGPROBS) n_top = REQUEST_MAX_TOP_LOGPROBS;
    size_t n_vocab = ds4_tokenizer_n_tokens(self->tokenizer);
    record->n_top = (int)ds4_logprobs(logits, n_vocab, id, &record->logprob, record->top, n_top);
}

/* An answer ends with its block, whatever the token has behind it. When it ends with its first call, what lies behind
 * that must be known. */
static ds4_status feed_singly(answer_reader *self, const char *bytes, size_t n_bytes, ds4_error *error) {
    for (size_t i = 0; i < n_bytes && !self->ended && place(self) != DS4_PLACE_AFTER_CALLS; i++) {
        ds4_status status = ds4_parser_feed(self->parser, bytes + i, 1, error);
        if (status != DS4_OK) return status;
        self->after_call = n_bytes - i - 1;
    }
    self->after_call_known = self->ended;
    return DS4_OK;
}

/* The reasoning is over: where calls are text the rest needs no parser. */
static ds4_status end_reasoning(answer_reader *self, const char *bytes, size_t n_bytes, ds4_error *error) {
    size_t n_tag = strlen(TOKEN_END_THINK);
    self->answer_cut = n_bytes > n_tag || memcmp(bytes, &TOKEN_END_THINK[n_tag - n_bytes], n_bytes) != 0;
    put_end(self, REPLY_REASONING, &self->reasoning);
    if (!self->calls_are_text) return DS4_OK;
    ds4_status status = ds4_parser_finish(self->parser, error);
    ds4_parser_free(self->parser);
    self->parser = NULL;
    return status;
}

static ds4_status take_token(answer_reader *self, int32_t id, const float *logits, ds4_error *error) {
    ds4_parser_place before = place(self);
    size_t n_bytes = 0;
    const char *bytes = ds4_tokenizer_token_bytes(self->tokenizer, id, &n_bytes);
    if (!bytes) return error_set(error, DS4_ERROR_ARGUMENT, "answer: token %ld is not in the vocabulary", (long)id);
    self->usage.answer++;
    if (before == DS4_PLACE_TEXT && self->asked->logprobs && logits) note_logprob(self, id, logits);
    ds4_status status = DS4_OK;
    if (before == DS4_PLACE_REASONING)
        self->usage.reasoning++;
    else
        status = ds4_tokens_append(&self->answer, &id, 1, error);
    if (status != DS4_OK) return status;

    if (!self->parser) {
        self->text_bytes += n_bytes;
        put_text(self, bytes, n_bytes, false);
    } else if (before == DS4_PLACE_STRUCTURE) {
        status = feed_singly(self, bytes, n_bytes, error);
    } else {
        status = ds4_parser_feed(self->parser, bytes, n_bytes, error);
    }
    if (status == DS4_OK && before == DS4_PLACE_REASONING && place(self) != DS4_PLACE_REASONING)
        status = end_reasoning(self, bytes, n_bytes, error);
    if (place(self) == DS4_PLACE_AFTER_CALLS) self->ended = self->block_closed = true;
    return status;
}

reader_verdict answer_reader_add(answer_reader *self, int32_t id, const float *logits, ds4_tokens *forced,
                                 ds4_error *error) {
    size_t n_forced = forced->n, budget = self->asked->thinking_budget;
    bool was_reasoning = place(self) == DS4_PLACE_REASONING;
    ds4_status status = take_token(self, id, logits, error);
    if (status == DS4_OK && self->failed) status = error_memory(error, "answer", self->answer.n);
    if (status != DS4_OK) return READER_FAILED;
    if (self->ended) return READER_ENDED;
    bool reasons = place(self) == DS4_PLACE_REASONING;
    if (reasons && budget && self->usage.reasoning >= budget && !self->has_forced_end)
        status = force_end_of_reasoning(self, forced, error);
    else if (was_reasoning && !reasons && needs_call(self))
        status = force_call(self, forced, error);
    if (status != DS4_OK) return READER_FAILED;
    return forced->n > n_forced ? READER_FORCES : READER_GOES_ON;
}

/* ---- the end ------------------------------------------------------------------------------------- */

/* What is missing of the block that ended with its first call; nothing if it is whole. False: it cannot be closed. */
static bool rest_of_block(const answer_reader *self, ds4_prompt *rest) {
    static const char tag_start[] = "\n</";
    if (self->block_closed) return true;
    if (!self->after_call_known) return false;
    size_t n_bytes = 0, n_behind = self->after_call, n_written = 0;
    const char *token = ds4_tokenizer_token_bytes(self->tokenizer, self->answer.id[self->answer.n - 1], &n_bytes);
    for (const char *at = token + n_bytes - n_behind; at < token + n_bytes; at++) {
        bool is_blank = *at == '\n' || *at == ' ' || *at == '\t' || *at == '\r';
        if (is_blank && n_written <= 1)
            n_written = 1;
        else if ((*at == '<' && n_written <= 1) || (*at == '/' && n_written == 2))
            n_written = *at == '<' ? 2 : 3;
        else
            return false;
    }
    return prompt_text(rest, tag_start + n_written) && prompt_control(rest, TOKEN_DSML) &&
           prompt_text(rest, "tool_calls>");
}

/* The part of all from a byte on. False without memory, or if there are control tokens before: what is shown as text
 * comes back as text. */
static bool cut_prompt(const ds4_prompt *all, size_t from, ds4_prompt *part) {
    if (from >= all->text.n_bytes || (all->n_control && all->control[0].offset_bytes < from)) return false;
    ds4_control_span *control = array_new(all->n_control, sizeof *control);
    if (!control) return false;
    for (size_t i = 0; i < all->n_control; i++)
        control[i] = (ds4_control_span){all->control[i].offset_bytes - from, all->control[i].n_bytes};
    ds4_prompt view = {.text = {.data = all->text.data + from, .n_bytes = all->text.n_bytes - from},
                       .control = control,
                       .n_control = all->n_control};
    bool ok = prompt_append(part, &view);
    free(control);
    return ok;
}

/* The block of calls as the next prompt should have it, the white space before it included. */
static bool copy_block(const answer_reader *self, ds4_prompt *block) {
    ds4_prompt all = {0}, rest = {0};
    bool ok = !self->answer_cut && rest_of_block(self, &rest) &&
              prompt_append_tokens(&all, self->tokenizer, self->answer.id, self->answer.n, NULL) == DS4_OK &&
              cut_prompt(&all, self->text_bytes, block) && prompt_append(block, &rest);
    if (ok && !self->block_closed) {
        /* the tag that closes it is spelled as a good one is opened */
        const char *start = block->text.data + strspn(block->text.data, " \t\r\n");
        ok = strncmp(start, TAG_CALLS(TOKEN_DSML), strlen(TAG_CALLS(TOKEN_DSML))) == 0;
    }
    ds4_prompt_deinit(&all);
    ds4_prompt_deinit(&rest);
    return ok;
}

static void remember(answer_reader *self, call_memory *memory) {
    ds4_prompt block = {0};
    remembered_call *call = array_new(self->n_calls, sizeof *call);
    self->block_is_known = call && copy_block(self, &block);
    for (size_t i = 0; self->block_is_known && i < self->n_calls; i++)
        call[i] = (remembered_call){.id = self->call[i].id,
                                    .name = self->call[i].name.data,
                                    .arguments = self->call[i].arguments.data,
                                    .arguments_bytes = self->call[i].arguments.n_bytes};
    if (self->block_is_known && memory) call_memory_add(memory, call, self->n_calls, &block);
    free(call);
    ds4_prompt_deinit(&block);
}

static void check_format(answer_reader *self) {
    ds4_error wrong;
    const char *text = self->visible.data ? self->visible.data : "";
    if (self->asked->format == FORMAT_TEXT || self->problem) return;
    ds4_status status = format_check(self->asked, text, self->visible.n_bytes, &wrong);
    if (status == DS4_ERROR_MEMORY) self->failed = true;
    if (status != DS4_OK) set_problem(self, "invalid_json: ", wrong.message, strlen(wrong.message));
}

ds4_status answer_reader_end(answer_reader *self, finish_reason why, call_memory *memory, ds4_error *error) {
    if (self->ended) why = FINISH_STOP;
    self->ending = true;
    self->cut = why != FINISH_STOP;
    /* of a block that was cut before its first call the client sees nothing, and not the half of a tag */
    if (self->cut && !self->in_call && place(self) == DS4_PLACE_STRUCTURE) self->drops_rest = true;
    if (self->parser && !self->ended) {
        self->reasoning_is_open = place(self) == DS4_PLACE_REASONING;
        ds4_status status = ds4_parser_finish(self->parser, error);
        if (status != DS4_OK) return status;
    }
    put_end(self, REPLY_REASONING, &self->reasoning);
    put_text(self, NULL, 0, true);
    self->finish = self->stops.matched ? FINISH_STOP_SEQUENCE
                   : self->cut         ? why
                   : self->n_calls     ? FINISH_CALLS
                                       : FINISH_STOP;
    if (self->finish == FINISH_CALLS && !self->call_broken) remember(self, memory);
    if (self->finish != FINISH_CALLS) check_format(self);
    put(self, (reply_event){.kind = REPLY_CHOICE_END,
                            .finish = self->finish,
                            .stop_sequence = self->stops.matched,
                            .problem = self->problem});
    return self->failed ? error_memory(error, "answer", self->answer.n) : DS4_OK;
}

/* The answer stands in the next prompt as the model wrote it. */
static bool comes_again(const answer_reader *self) {
    const request *asked = self->asked;
    bool dropped = asked->starts_in_reasoning && !asked->has_tools; /* its reasoning */
    if (self->failed || asked->raw || dropped || self->text.replaced || self->reasoning.replaced) return false;
    if (self->finish == FINISH_CALLS) return self->block_is_known;
    if (!self->ending || self->finish != FINISH_STOP || self->reasoning_is_open) return false;
    for (size_t i = 0; i < self->answer.n; i++)
        if (ds4_tokenizer_is_control(self->tokenizer, self->answer.id[i])) return false; /* text by then */
    return true;
}

bool answer_reader_closing(const answer_reader *self, ds4_tokens *tokens) {
    if (!comes_again(self)) return false;
    size_t n_before = tokens->n;
    int32_t eos = ds4_tokenizer_eos(self->tokenizer);
    ds4_prompt rest = {0};
    bool ok = (self->finish != FINISH_CALLS || rest_of_block(self, &rest)) &&
              ds4_prompt_encode(&rest, self->tokenizer, tokens, NULL) == DS4_OK &&
              ds4_tokens_append(tokens, &eos, 1, NULL) == DS4_OK;
    if (!ok) tokens->n = n_before;
    ds4_prompt_deinit(&rest);
    return ok;
}
