/*
 * Tokens of one answer (one choice of a request) become events of its reply: what is reasoning, text and calls, where a
 * stop string ends it, what must be written next whether the model wants or not, and how it ended. Bytes of events are
 * whole UTF-8 characters. Belongs to the scheduler's thread; the request, tokenizer, reply and ids must outlive it.
 */
#ifndef SERVER_ANSWER_READER_H
#define SERVER_ANSWER_READER_H

#include "server/call_memory.h"
#include "server/ids.h"
#include "server/reply.h"

typedef struct answer_reader answer_reader;

ds4_status answer_reader_new(const request *asked, size_t choice, const ds4_tokenizer *tokenizer, reply *to, ids *names,
                             answer_reader **out, ds4_error *error);
void answer_reader_free(answer_reader *self);

/* Tokens that an answer must begin with (a forced call of an answer that does not start in reasoning): to be taken
 * before the first draw. Appends them to forced; none: nothing. */
ds4_status answer_reader_begin(answer_reader *self, ds4_tokens *forced, ds4_error *error);

typedef enum reader_verdict {
    READER_GOES_ON,
    READER_FORCES, /* forced has tokens to take before the next draw */
    READER_ENDED,  /* the answer is over: REPLY_CHOICE_END comes with answer_reader_end */
    READER_FAILED, /* error says why (memory) */
} reader_verdict;

/* Takes a drawn or forced token that is not EOS. logits: those that it was drawn from, [n_vocab]; NULL: no logprobs.
 * READER_FORCES: tokens were appended to forced (</think> when the budget is used up; the start of a forced call behind
 * </think>). */
reader_verdict answer_reader_add(answer_reader *self, int32_t id, const float *logits, ds4_tokens *forced,
                                 ds4_error *error);

/* The answer is over: what was held back comes out, the format is checked, and if there were calls they are remembered
 * (memory may be NULL) before REPLY_CHOICE_END is put, for the client's next request may be rendered at once.
 * why: FINISH_STOP for EOS or READER_ENDED, FINISH_LENGTH for a limit; the event says what it came to. */
ds4_status answer_reader_end(answer_reader *self, finish_reason why, call_memory *memory, ds4_error *error);

/* The next token belongs to the structure of tool calls: draw the likeliest. */
bool answer_reader_wants_greedy(const answer_reader *self);

/* After answer_reader_end. Appends the tokens that bring a finished answer to the text which the next prompt will have
 * (the closing tag of a block that was cut after its first call, EOS). False: the next prompt will not contain this
 * answer as it is (stop sequence, cut, reasoning that will be dropped), or there is no memory. */
bool answer_reader_closing(const answer_reader *self, ds4_tokens *tokens);

/* Only .answer and .reasoning: tokens so far. */
const reply_usage *answer_reader_usage(const answer_reader *self);

#endif
