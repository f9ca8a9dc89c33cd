/*
 * One answer being made. The rest of a prompt, a drawn token, forced tokens and the closing of an answer are all the
 * same to a step: pending tokens. Belongs to the scheduler's thread, which alone touches it; so do the tree, the engine
 * and the script of sequence_parts.
 */
#ifndef SERVER_SEQUENCE_H
#define SERVER_SEQUENCE_H

#include "server/answer_reader.h"
#include "server/metrics.h"
#include "server/prefix_tree.h"
#include "server/script.h"

/* What sequences work with; borrowed. */
typedef struct sequence_parts {
    const ds4_tokenizer *tokenizer;
    size_t n_vocab;
    ds4_engine *engine;
    size_t context_tokens;
    prefix_tree *tree;
    call_memory *memory;
    metrics *counts;
    ids *names;
    script *script; /* NULL: the model speaks */
} sequence_parts;

typedef enum sequence_phase {
    SEQUENCE_WAITS,  /* a further choice, until the prompt is evaluated */
    SEQUENCE_PROMPT, /* pending: the rest of the prompt */
    SEQUENCE_ANSWER, /* pending: tokens of the answer */
    SEQUENCE_CLOSING /* the client has it all; pending: what makes the answer the beginning of the next prompt */
} sequence_phase;

enum {
    SEQUENCE_MAX_MARKS = 4,
    SEQUENCE_MARK_STEP = 4096,   /* of 128: a small frontier; of 512: no half-filled page */
    SEQUENCE_MARK_DISTANCE = 64, /* a checkpoint that saves less is not worth its memory */
};

typedef struct sequence {
    const request *asked; /* NULL in SEQUENCE_CLOSING, as the reply may be gone */
    reply *to;            /* likewise */
    size_t choice;
    bool has_tools;
    sequence_phase phase;
    ds4_timeline *timeline; /* NULL in SEQUENCE_WAITS */
    ds4_tokens pending;     /* to be evaluated from at on; logits of the last one are wanted, but in CLOSING */
    size_t at;
    ds4_tokens forced; /* come before any draw */
    size_t forced_at;
    ds4_tokens scripted;
    size_t scripted_at;
    size_t n_prompt, n_cached; /* tokens of the prompt, and those of them that a checkpoint had */
    size_t mark[SEQUENCE_MAX_MARKS],
        n_marks;        /* positions for checkpoints, in order; multiples of the step come to them */
    size_t system_mark; /* the one that ends the system part; 0: none */
    size_t n_kept;      /* tokens of the last checkpoint on the timeline */
    ds4_sampler *sampler;
    float *logits; /* [n_vocab], of the last token evaluated */
    answer_reader *reader;
    size_t limit;      /* answer tokens */
    double last_token; /* when it came; 0: none so far */
} sequence;

/* Phase WAITS. to and its request are borrowed. */
ds4_status sequence_new(const sequence_parts *parts, reply *to, size_t choice, uint64_t seed, sequence **out,
                        ds4_error *error);
void sequence_free(sequence *self);

/* Finds what is known of the prompt and makes the rest pending: phase PROMPT. */
ds4_status sequence_begin(sequence *self, const sequence_parts *parts, double now, ds4_error *error);
/* What comes before any draw, and instead of it. Takes a block of the script. */
ds4_status sequence_prepare_answer(sequence *self, const sequence_parts *parts, ds4_error *error);
/* From another choice whose prompt is evaluated: phase ANSWER, with nothing pending. */
ds4_status sequence_fork(sequence *self, const sequence *from, const sequence_parts *parts, ds4_error *error);

/* Tokens on the timeline. */
size_t sequence_position(const sequence *self);
/* Pending tokens up to the next mark of the prompt. */
size_t sequence_to_mark(const sequence *self);
/* The largest mark up to position at that the prompt has yet to come to; 0: none. */
size_t sequence_mark_before(const sequence *self, size_t at);
/* How many tokens the prompt has in common with tokens. */
size_t sequence_common(const sequence *self, const ds4_tokens *tokens);

/* n pending tokens are on the timeline now. Keeps a checkpoint if that is a mark. */
void sequence_advance(sequence *self, const sequence_parts *parts, size_t n, double now);
/* Keeps a checkpoint of the present state if that is worth it. */
void sequence_keep(sequence *self, const sequence_parts *parts, double now);

/* Nothing is pending and logits are there: the next token, and those that follow by force, become pending.
 * *ended: the answer is over, its REPLY_CHOICE_END put; tokens to close it with may be pending (phase CLOSING). */
ds4_status sequence_speak(sequence *self, const sequence_parts *parts, double now, bool *ended, ds4_error *error);

#endif
