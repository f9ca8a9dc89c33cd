/* Names of answers, messages and calls: nobody can guess another's, and no two are equal. A counter is hashed with a
 * seed from the system; tests give the seed and so know the names. Any thread. */
#ifndef SERVER_IDS_H
#define SERVER_IDS_H

#include "ds4.h"

typedef struct ids ids; /* has its own mutex */

/* seed NULL: random. */
ds4_status ids_new(const uint64_t *seed, ids **out, ds4_error *error);
void ids_free(ids *self);

enum { ID_BYTES = 48, ID_PREFIX_MAX_BYTES = 23 };
/* prefix (at most ID_PREFIX_MAX_BYTES) and 24 of [0-9a-f]. */
void ids_next(ids *self, const char *prefix, char out[ID_BYTES]);

#endif
