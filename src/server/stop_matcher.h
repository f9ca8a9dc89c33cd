/*
 * Stop strings in text that comes in pieces. The match that starts first counts, of those that start at the same byte
 * the longest, so the result does not depend on how the text is cut. Text is held back only as long as it may begin a
 * stop string.
 */
#ifndef SERVER_STOP_MATCHER_H
#define SERVER_STOP_MATCHER_H

#include "server/request.h"

typedef struct stop_matcher {
    char *const *stop; /* [n_stops], borrowed; each of 1..REQUEST_MAX_STOP_BYTES bytes */
    size_t n_stops;
    char held[REQUEST_MAX_STOP_BYTES]; /* what may begin a stop string: less than the whole, when a byte is added */
    size_t n_held;
    const char *matched; /* one of stop: all that follows is ignored; NULL: none yet */
} stop_matcher;

/* Appends to text what certainly belongs to no stop string. False without memory. */
bool stop_matcher_add(stop_matcher *self, const char *bytes, size_t n_bytes, ds4_buffer *text);
/* The text ends here, or something else comes between: what was held back is text, or a match after all. */
bool stop_matcher_flush(stop_matcher *self, ds4_buffer *text);

#endif
