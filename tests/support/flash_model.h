/*
 * Random models of the published shape (V4 Flash, 43 layers), to test and to measure what depends on it.
 *
 * The first eight layers have weights of their own but for the experts, which are those of layer 0 everywhere; the
 * others repeat layers 4 to 7. So a file takes 5 GB (2 bit) or 7 GB (4 bit), and is made in seconds.
 */
#ifndef SUPPORT_FLASH_MODEL_H
#define SUPPORT_FLASH_MODEL_H

#include "support/tiny_weights.h"

#include "engine/engine.h"

/* flavour: TINY_Q2 or TINY_Q4. */
ds4_status flash_model_write(tiny_flavour flavour, const char *path, ds4_error *error);

/* Makes a new timeline one of n_tokens tokens, with random values as what it remembers; max_tokens does not limit it.
 */
ds4_status flash_timeline_fill(ds4_timeline *timeline, size_t n_tokens, uint64_t seed, ds4_error *error);

#endif
