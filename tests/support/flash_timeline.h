/* Timelines of the published shape that seem to have gone far, without evaluating a token. */
#ifndef SUPPORT_FLASH_TIMELINE_H
#define SUPPORT_FLASH_TIMELINE_H

#include "engine/engine.h"

/* Makes a new timeline one of n_tokens tokens, with random values as what it remembers; max_tokens does not limit it.
 */
ds4_status flash_timeline_fill(ds4_timeline *timeline, size_t n_tokens, uint64_t seed, ds4_error *error);

#endif
