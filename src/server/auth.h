/*
 * Who may ask: keys, and the web pages that a browser speaks for. Read-only after auth_new, so any thread. Keys are
 * kept as SHA-256 sums, and all of a sum is compared however early it differs.
 */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "ds4.h"

typedef struct auth auth;

/* n_keys 0: everybody may. cors: origin whose pages may (or "*"), NULL: only those of this machine. */
ds4_status auth_new(const char *const *key, size_t n_keys, const char *cors, auth **out, ds4_error *error);
void auth_free(auth *self);

/* Values of the headers Authorization and x-api-key; NULL: not there. Either may hold a key. */
bool auth_key_is_good(const auth *self, const char *authorization, const char *x_api_key);
/* Value of the header Origin; NULL (not a browser, or the server's own page) is good. */
bool auth_origin_is_good(const auth *self, const char *origin);
/* What Access-Control-Allow-Origin says to a page of that Origin; NULL: no such header, as it is no page or may not. */
const char *auth_cors(const auth *self, const char *origin);

#endif
