/*
 * Which sequence gets how many tokens in the next step: a pure function. Answers come first, a token or a few each;
 * prompts share what is left, as much of it as keeps the step short enough for whoever streams.
 */
#ifndef SERVER_BATCH_PLAN_H
#define SERVER_BATCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct plan_entry {
    size_t remaining; /* pending tokens */
    size_t to_mark; /* of a prompt: at most so many at once, as a checkpoint is wanted behind them; 0: no such place */
    bool is_prompt;
    bool paused; /* gets nothing */
} plan_entry;

typedef struct plan_limits {
    size_t chunk_tokens;      /* of one forward pass */
    double step_seconds;      /* longest step while somebody streams */
    bool others_wait;         /* requests wait in the queue, so steps stay short even if only one prompt runs */
    double decode_seconds;    /* measured: a step without prompts; 0: not known */
    double seconds_per_token; /* measured: what a prompt's token adds; 0: not known */
} plan_limits;

/* Fills n_tokens[n]. turn: the entry that comes first, of answers and of prompts; callers rotate it, so that everybody
 * gets on even where a pass has fewer tokens than there are entries. The sum is at most chunk_tokens (1 and up), and
 * not 0 if an entry that is not paused has tokens. */
void batch_plan(const plan_entry *entry, size_t n, size_t turn, const plan_limits *limits, size_t *n_tokens);

#endif
