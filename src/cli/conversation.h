/*
 * One conversation with the model: its messages, and a timeline that follows them.
 *
 * Each turn renders the whole conversation anew, because the official rules change what was there before:
 * reasoning of earlier turns is dropped. What the new prompt shares with the timeline is kept, the rest of
 * the timeline is taken back, to a checkpoint that each turn leaves before the last token of its prompt
 * (the think token), the place where the next prompt begins to differ.
 */
#ifndef CLI_CONVERSATION_H
#define CLI_CONVERSATION_H

#include "cli/options.h"

typedef struct conversation conversation;

typedef struct conversation_options {
    const char *system; /* "": none */
    think_effort effort;
    size_t context_tokens;
    ds4_sampling sampling;
    uint64_t seed;
} conversation_options;

/* Who hears the answer while it comes. */
typedef struct conversation_listener {
    void (*prompt)(void *context, size_t done_tokens, size_t total_tokens); /* of the prompt's evaluation */
    void (*answer)(void *context, bool is_reasoning, const char *bytes, size_t n_bytes);
    bool (*stop)(void *context); /* true ends the answer; asked often */
    void *context;
} conversation_listener;

typedef enum answer_end {
    ANSWER_COMPLETE,
    ANSWER_LIMIT,   /* as many tokens as were allowed */
    ANSWER_CONTEXT, /* the context is full */
    ANSWER_STOPPED, /* the listener said so */
} answer_end;

typedef struct answer_report {
    answer_end end;
    size_t prompt_tokens; /* evaluated, without those that were there already */
    size_t answer_tokens;
    double prompt_seconds, answer_seconds;
} answer_report;

/* model and engine must outlive it. */
ds4_status conversation_new(const ds4_model *model, ds4_engine *engine, const conversation_options *options,
                            conversation **conversation_out, ds4_error *error);
void conversation_free(conversation *self);

/* Adds the user's text and lets the model answer with at most limit tokens (0: no limit). What was said
 * before the answer ended, for whatever reason, stays in the conversation. If there is no room for the
 * text, or the answer fails or is stopped before its first token, the conversation is as it was. */
ds4_status conversation_ask(conversation *self, const char *text, size_t n_bytes, size_t limit,
                            const conversation_listener *listener, answer_report *report, ds4_error *error);

/* Forgets all messages but the system text. */
ds4_status conversation_reset(conversation *self, ds4_error *error);
void conversation_set_effort(conversation *self, think_effort effort);
think_effort conversation_effort(const conversation *self);
/* The messages and what the model remembers of them stay; refused if they do not fit. */
ds4_status conversation_set_context(conversation *self, size_t context_tokens, ds4_error *error);
size_t conversation_context_tokens(const conversation *self);
/* Tokens of all messages, as the next prompt would have them. */
ds4_status conversation_count_tokens(const conversation *self, size_t *n_tokens, ds4_error *error);
/* Tokens on the timeline. */
size_t conversation_used_tokens(const conversation *self);

#endif
