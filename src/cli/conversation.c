#include "cli/conversation.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "cli/answer.h"

#include <stdlib.h>
#include <string.h>

/* Each holds a frontier of up to 15 MB at the true shape. The last one serves almost every turn, the ones
 * before it a question that was taken back. */
enum { MAX_CHECKPOINTS = 4 };

struct conversation {
    const ds4_model *model;
    const ds4_tokenizer *tokenizer;
    ds4_engine *engine;
    ds4_timeline *timeline;
    ds4_sampler *sampler;
    float *logits; /* [n_vocab], of the timeline's last token */
    json_t *messages;
    char *system;
    think_effort effort;
    size_t context_tokens;
    ds4_checkpoint *checkpoint[MAX_CHECKPOINTS]; /* increasing positions, all on the timeline */
    size_t n_checkpoints;
};

/* ---- messages ------------------------------------------------------------------------------------ */

static ds4_status append_message(conversation *self, json_t *message, ds4_error *error) {
    if (message && json_array_append_new(self->messages, message) == 0) return DS4_OK;
    return error_memory(error, "message", sizeof message);
}

static void remove_last_message(conversation *self) {
    size_t n = json_array_size(self->messages);
    if (n) json_array_remove(self->messages, n - 1);
}

static ds4_status append_user_message(conversation *self, const char *text, size_t n_bytes, ds4_error *error) {
    for (size_t at = 0; at < n_bytes;) {
        uint32_t code_point;
        size_t n = utf8_decode(text + at, n_bytes - at, &code_point);
        if (!n || !code_point)
            return error_set(error, DS4_ERROR_FORMAT, "the text must be UTF-8 without NUL: byte %zu is not", at);
        at += n;
    }
    return append_message(self, json_pack("{s:s, s:s%}", "role", "user", "content", text, n_bytes), error);
}

ds4_status conversation_reset(conversation *self, ds4_error *error) {
    json_array_clear(self->messages);
    if (!*self->system) return DS4_OK;
    json_t *system = json_pack("{s:s, s:s}", "role", "system", "content", self->system);
    if (!system) return error_set(error, DS4_ERROR_FORMAT, "the system text is not UTF-8");
    return append_message(self, system, error);
}

think_effort conversation_effort(const conversation *self) {
    return self->effort == THINK_MAX && self->context_tokens < DS4_MAX_EFFORT_CONTEXT ? THINK_HIGH : self->effort;
}

void conversation_set_effort(conversation *self, think_effort effort) {
    self->effort = effort;
}

/* The tokens of the whole conversation, up to the place where the model goes on. */
static ds4_status render(const conversation *self, ds4_tokens *tokens, ds4_error *error) {
    static const char *const effort_names[] = {[THINK_OFF] = "none", [THINK_HIGH] = "high", [THINK_MAX] = "max"};
    ds4_prompt prompt = {0};
    json_t *request = json_pack("{s:O, s:s}", "messages", self->messages, "reasoning_effort",
                                effort_names[conversation_effort(self)]);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    ds4_status status = text ? DS4_OK : error_memory(error, "request", json_array_size(self->messages));
    if (status == DS4_OK) status = ds4_prompt_render(text, strlen(text), &prompt, error);
    if (status == DS4_OK) status = ds4_prompt_encode(&prompt, self->tokenizer, tokens, error);
    ds4_prompt_deinit(&prompt);
    free(text);
    json_decref(request);
    return status;
}

/* ---- the timeline -------------------------------------------------------------------------------- */

static void drop_checkpoints_after(conversation *self, size_t n_tokens) {
    while (self->n_checkpoints && ds4_checkpoint_n_tokens(self->checkpoint[self->n_checkpoints - 1]) > n_tokens)
        ds4_checkpoint_free(self->checkpoint[--self->n_checkpoints]);
}

/* No answer depends on a checkpoint, only how fast the next one begins: failing is allowed. */
static void add_checkpoint(conversation *self) {
    size_t at = conversation_used_tokens(self);
    size_t n = self->n_checkpoints;
    ds4_checkpoint *fresh;
    if (n && ds4_checkpoint_n_tokens(self->checkpoint[n - 1]) == at) return;
    if (ds4_timeline_checkpoint(self->timeline, &fresh, NULL) != DS4_OK) return;
    if (n == MAX_CHECKPOINTS) {
        ds4_checkpoint_free(self->checkpoint[0]);
        memmove(self->checkpoint, self->checkpoint + 1, (MAX_CHECKPOINTS - 1) * sizeof *self->checkpoint);
        n--;
    }
    self->checkpoint[n++] = fresh;
    self->n_checkpoints = n;
}

/* Takes the timeline back until it is a beginning of prompt, with at least one token of it left. */
static ds4_status go_back(conversation *self, const ds4_tokens *prompt, ds4_error *error) {
    size_t used, common = 0;
    const int32_t *tokens = ds4_timeline_tokens(self->timeline, &used);
    while (common < used && common + 1 < prompt->n && tokens[common] == prompt->id[common]) common++;
    drop_checkpoints_after(self, common);
    if (common == used) return DS4_OK;
    if (used - common <= DS4_FREE_REWIND_TOKENS && ds4_timeline_rewind(self->timeline, used - common, NULL) == DS4_OK)
        return DS4_OK;
    if (self->n_checkpoints)
        return ds4_timeline_restore(self->timeline, self->checkpoint[self->n_checkpoints - 1], error);
    ds4_timeline *fresh;
    ds4_status status = ds4_timeline_new(self->engine, self->context_tokens, &fresh, error);
    if (status != DS4_OK) return status;
    ds4_timeline_free(self->timeline);
    self->timeline = fresh;
    return DS4_OK;
}

ds4_status conversation_count_tokens(const conversation *self, size_t *n_tokens, ds4_error *error) {
    ds4_tokens tokens = {0};
    ds4_status status = json_array_size(self->messages) ? render(self, &tokens, error) : DS4_OK;
    if (status == DS4_OK) *n_tokens = tokens.n;
    ds4_tokens_deinit(&tokens);
    return status;
}

ds4_status conversation_set_context(conversation *self, size_t context_tokens, ds4_error *error) {
    ds4_timeline *resized;
    ds4_checkpoint *present = NULL;
    size_t n_tokens = 0;
    ds4_status status = conversation_count_tokens(self, &n_tokens, error);
    if (status == DS4_OK && n_tokens > context_tokens)
        status =
            error_set(error, DS4_ERROR_ARGUMENT, "the conversation has %zu tokens, more than a context of %zu holds",
                      n_tokens, context_tokens);
    if (status == DS4_OK) status = ds4_timeline_new(self->engine, context_tokens, &resized, error);
    if (status != DS4_OK) return status;
    bool kept = conversation_used_tokens(self) <= context_tokens &&
                ds4_timeline_checkpoint(self->timeline, &present, NULL) == DS4_OK &&
                ds4_timeline_restore(resized, present, NULL) == DS4_OK;
    ds4_checkpoint_free(present);
    if (!kept) drop_checkpoints_after(self, 0);
    ds4_timeline_free(self->timeline);
    self->timeline = resized;
    self->context_tokens = context_tokens;
    return DS4_OK;
}

size_t conversation_context_tokens(const conversation *self) {
    return self->context_tokens;
}

size_t conversation_used_tokens(const conversation *self) {
    size_t n;
    ds4_timeline_tokens(self->timeline, &n);
    return n;
}

/* ---- one turn ------------------------------------------------------------------------------------ */

typedef struct turn {
    conversation *conversation;
    const conversation_listener *listener;
    size_t done_before, total_tokens; /* of the prompt's evaluation; total 0 during the answer */
} turn;

static bool turn_progress(void *context, size_t done_tokens, size_t total_tokens) {
    const turn *self = context;
    (void)total_tokens;
    if (self->total_tokens)
        self->listener->prompt(self->listener->context, self->done_before + done_tokens, self->total_tokens);
    return self->listener->stop(self->listener->context);
}

static ds4_status evaluate(turn *self, const int32_t *tokens, size_t n, bool with_logits, ds4_error *error) {
    ds4_span span = {.timeline = self->conversation->timeline,
                     .tokens = tokens,
                     .n_tokens = n,
                     .wanted = with_logits ? DS4_LOGITS_LAST : DS4_LOGITS_NONE,
                     .logits = with_logits ? self->conversation->logits : NULL};
    return ds4_engine_evaluate(self->conversation->engine, &span, 1, turn_progress, self, error);
}

static ds4_status evaluate_prompt(turn *self, const ds4_tokens *prompt, answer_report *report, ds4_error *error) {
    conversation *talk = self->conversation;
    if (prompt->n == 0 || prompt->n > talk->context_tokens)
        return error_set(error, DS4_ERROR_CONTEXT,
                         "the conversation would have %zu tokens, the context has room for %zu", prompt->n,
                         talk->context_tokens);
    ds4_status status = go_back(talk, prompt, error);
    if (status != DS4_OK) return status;
    double started = time_seconds();
    size_t used = conversation_used_tokens(talk), last = prompt->n - 1;
    self->total_tokens = prompt->n - used;
    if (used < last) status = evaluate(self, prompt->id + used, last - used, false, error);
    if (status == DS4_OK) {
        add_checkpoint(talk);
        self->done_before = last - used;
        status = evaluate(self, prompt->id + last, 1, true, error);
    }
    self->total_tokens = 0;
    report->prompt_tokens = conversation_used_tokens(talk) - used;
    report->prompt_seconds = time_seconds() - started;
    return status;
}

static ds4_status generate(turn *self, answer *reply, size_t limit, answer_report *report, ds4_error *error) {
    conversation *talk = self->conversation;
    double started = time_seconds();
    ds4_status status = DS4_OK;
    report->end = ANSWER_COMPLETE;
    while (status == DS4_OK) {
        if (self->listener->stop(self->listener->context)) {
            report->end = ANSWER_STOPPED;
            break;
        }
        int32_t id = ds4_sampler_draw(talk->sampler, talk->logits);
        size_t n_bytes = 0;
        const char *bytes = id < 0 ? NULL : ds4_tokenizer_token_bytes(talk->tokenizer, id, &n_bytes);
        if (id == ds4_tokenizer_eos(talk->tokenizer) && id >= 0) break;
        if (!bytes) {
            status = error_set(error, DS4_ERROR_FORMAT,
                               id < 0 ? "the model's logits are not finite" : "the model drew a token without text");
            break;
        }
        status = answer_add(reply, bytes, n_bytes, error);
        report->answer_tokens++;
        if (limit && report->answer_tokens >= limit) {
            report->end = ANSWER_LIMIT;
            break;
        }
        if (conversation_used_tokens(talk) >= talk->context_tokens) {
            report->end = ANSWER_CONTEXT;
            break;
        }
        if (status == DS4_OK) status = evaluate(self, &id, 1, true, error);
    }
    if (status == DS4_CANCELLED) {
        report->end = ANSWER_STOPPED;
        status = DS4_OK;
    }
    report->answer_seconds = time_seconds() - started;
    return status;
}

static ds4_status answer_prompt(turn *self, bool thinking, size_t limit, answer_report *report, ds4_error *error) {
    answer reply;
    const conversation_listener *listener = self->listener;
    ds4_status status = answer_init(&reply, thinking, listener->answer, listener->context, error);
    if (status == DS4_OK) status = generate(self, &reply, limit, report, error);
    if (report->answer_tokens || (status == DS4_OK && report->end == ANSWER_COMPLETE)) {
        /* also what came before a failure belongs to the conversation */
        ds4_error ignored;
        ds4_error *first = status == DS4_OK ? error : &ignored;
        ds4_status finished = answer_finish(&reply, first);
        ds4_status kept = append_message(self->conversation, answer_message(&reply), first);
        if (status == DS4_OK) status = finished != DS4_OK ? finished : kept;
    }
    answer_deinit(&reply);
    return status;
}

ds4_status conversation_ask(conversation *self, const char *text, size_t n_bytes, size_t limit,
                            const conversation_listener *listener, answer_report *report, ds4_error *error) {
    turn now = {.conversation = self, .listener = listener};
    ds4_tokens prompt = {0};
    *report = (answer_report){0};
    ds4_status status = append_user_message(self, text, n_bytes, error);
    if (status != DS4_OK) return status;
    status = render(self, &prompt, error);
    if (status == DS4_OK) status = evaluate_prompt(&now, &prompt, report, error);
    if (status == DS4_OK) {
        bool thinking = prompt.id[prompt.n - 1] == ds4_tokenizer_control_id(self->tokenizer, "<think>");
        status = answer_prompt(&now, thinking, limit, report, error);
    } else if (status == DS4_CANCELLED) {
        report->end = ANSWER_STOPPED;
        status = DS4_OK;
    }
    if (report->answer_tokens == 0 && (status != DS4_OK || report->end == ANSWER_STOPPED)) remove_last_message(self);
    ds4_tokens_deinit(&prompt);
    return status;
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status conversation_new(const ds4_model *model, ds4_engine *engine, const conversation_options *options,
                            conversation **conversation_out, ds4_error *error) {
    size_t n_vocab = ds4_model_n_vocab(model);
    conversation *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "conversation", sizeof *self);
    *self = (conversation){
        .model = model,
        .tokenizer = ds4_model_tokenizer(model),
        .engine = engine,
        .logits = array_new(n_vocab, sizeof *self->logits),
        .messages = json_array(),
        .system = strdup(options->system),
        .effort = options->effort,
        .context_tokens = options->context_tokens,
    };
    ds4_status status = DS4_OK;
    if (!self->logits || !self->messages || !self->system)
        status = error_memory(error, "conversation", n_vocab * sizeof *self->logits);
    if (status == DS4_OK) status = conversation_reset(self, error);
    if (status == DS4_OK) status = ds4_timeline_new(engine, options->context_tokens, &self->timeline, error);
    if (status == DS4_OK) status = ds4_sampler_new(&options->sampling, n_vocab, options->seed, &self->sampler, error);
    if (status == DS4_OK)
        *conversation_out = self;
    else
        conversation_free(self);
    return status;
}

void conversation_free(conversation *self) {
    if (!self) return;
    while (self->n_checkpoints) ds4_checkpoint_free(self->checkpoint[--self->n_checkpoints]);
    ds4_timeline_free(self->timeline);
    ds4_sampler_free(self->sampler);
    free(self->logits);
    json_decref(self->messages);
    free(self->system);
    free(self);
}
