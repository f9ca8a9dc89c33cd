/* Cuts text into the pieces that BPE works on, as the official tokenizer of DeepSeek V3 and V4 does. */
#ifndef TEXT_PRETOKENIZER_H
#define TEXT_PRETOKENIZER_H

#include "ds4.h"

/* Read-only after creation: threads may share it. */
typedef struct pretokenizer pretokenizer;

typedef ds4_status piece_sink(void *context, const char *piece, size_t n_bytes, ds4_error *error);

ds4_status pretokenizer_new(pretokenizer **result, ds4_error *error);
void pretokenizer_free(pretokenizer *splitter);

/* The state of cutting, for one thread. */
typedef struct pretokenizer_run pretokenizer_run;
ds4_status pretokenizer_run_new(const pretokenizer *splitter, pretokenizer_run **result, ds4_error *error);
void pretokenizer_run_free(pretokenizer_run *run);

/* Hands the pieces of the text to the sink, in order; joined they are the text. Any bytes are allowed: a
 * stretch of bytes that are not UTF-8 is a piece of its own, and the text between such stretches is cut as
 * if each part stood alone. Stops when the sink fails and returns its status. */
ds4_status pretokenizer_split(pretokenizer_run *run, const char *text, size_t n_bytes, piece_sink *sink, void *context,
                              ds4_error *error);

#endif
