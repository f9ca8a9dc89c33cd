/*
 * Answers from a file in the model's place, so that clients can be tried without a model that is clever enough.
 *
 * Blocks are separated by a line that is exactly "---"; the newline in front of the separator belongs to no block. A
 * block is what the model would write, control strings included; of "reasoning</think>answer" an answer that does not
 * start in reasoning takes what is behind the tag, and a block without the tag gets it in front where one does. Behind
 * the last block every answer is SCRIPT_END_TEXT. Used by the scheduler's thread alone.
 */
#ifndef SERVER_SCRIPT_H
#define SERVER_SCRIPT_H

#include "ds4.h"

#define SCRIPT_END_TEXT "The script has no more answers."

typedef struct script script;

/* Reads the whole file. The tokenizer must outlive the script. */
ds4_status script_open(const char *path, const ds4_tokenizer *tokenizer, script **out, ds4_error *error);
/* The same for a text in memory, which is copied; name stands for the path in messages. */
ds4_status script_new(const char *text, size_t n_bytes, const char *name, const ds4_tokenizer *tokenizer, script **out,
                      ds4_error *error);
void script_free(script *self);
/* Appends the tokens of the next block for an answer that starts in reasoning or not; without EOS. If it fails, the
 * block is still the next one. */
ds4_status script_next(script *self, bool starts_in_reasoning, ds4_tokens *tokens, ds4_error *error);

#endif
