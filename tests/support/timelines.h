/* Texts and evaluations as the tests of engines want them. What fails in here fails the test. */
#ifndef SUPPORT_TIMELINES_H
#define SUPPORT_TIMELINES_H

#include "ds4.h"

/* The same tokens below n_vocab for the same seed. */
void make_tokens(unsigned seed, int32_t n_vocab, int32_t *tokens, size_t n);
ds4_timeline *new_timeline(ds4_engine *engine, size_t max_tokens);
/* One span; logits of its last token unless last_logits is NULL. */
void evaluate(ds4_engine *engine, ds4_timeline *timeline, const int32_t *tokens, size_t n, float *last_logits);

#endif
