#include "server/auth.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sha256.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct key_sum {
    char hex[SHA256_HEX_BYTES];
} key_sum;

struct auth {
    key_sum *key;
    size_t n_keys;
    char *cors; /* NULL: off */
};

/* As browsers write it: no path, not even "/". */
static bool is_origin(const char *text) {
    const char *name = strstr(text, "://");
    return strcmp(text, "*") == 0 || (name && name > text && name[3] && !strchr(name + 3, '/'));
}

ds4_status auth_new(const char *const *key, size_t n_keys, const char *cors, auth **out, ds4_error *error) {
    if (cors && !is_origin(cors))
        return error_set(error, DS4_ERROR_ARGUMENT, "--cors: '%s', expected * or an origin as https://NAME", cors);
    auth *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "keys", sizeof *self);
    ds4_status status = DS4_OK;
    self->key = array_new(n_keys, sizeof *self->key);
    if (cors) self->cors = strdup(cors);
    if (!self->key || (cors && !self->cors)) status = error_memory(error, "keys", n_keys * sizeof *self->key);
    for (size_t i = 0; status == DS4_OK && i < n_keys; i++) {
        if (!*key[i])
            status = error_set(error, DS4_ERROR_ARGUMENT, "an API key is empty");
        else if (!sha256_hex(key[i], strlen(key[i]), self->key[self->n_keys++].hex))
            status = error_set(error, DS4_ERROR_MEMORY, "API key: SHA-256 failed");
    }
    if (status == DS4_OK)
        *out = self;
    else
        auth_free(self);
    return status;
}

void auth_free(auth *self) {
    if (!self) return;
    free(self->key);
    free(self->cors);
    free(self);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* How long this takes tells nothing about the keys. */
static bool is_key(const auth *self, const char *text) {
    char hex[SHA256_HEX_BYTES];
    size_t n_bytes = strlen(text);
    while (n_bytes && text[n_bytes - 1] == ' ') n_bytes--;
    if (!sha256_hex(text, n_bytes, hex)) return false;
    int n_equal = 0;
    for (size_t k = 0; k < self->n_keys; k++) {
        int difference = 0;
        for (size_t i = 0; i + 1 < SHA256_HEX_BYTES; i++) difference |= hex[i] ^ self->key[k].hex[i];
        n_equal += difference == 0;
    }
    return n_equal > 0;
}

bool auth_key_is_good(const auth *self, const char *authorization, const char *x_api_key) {
    static const char bearer[] = "Bearer ";
    if (!self->n_keys) return true;
    bool good = x_api_key && is_key(self, x_api_key + strspn(x_api_key, " "));
    if (authorization && strncasecmp(authorization, bearer, sizeof bearer - 1) == 0) {
        const char *key = authorization + sizeof bearer - 1;
        good |= is_key(self, key + strspn(key, " "));
    }
    return good;
}

/* ---- origins ------------------------------------------------------------------------------------- */

/* 127.0.0.1, but not 127.0.0.1.example.org */
static bool is_loopback_name(const char *host, size_t n_bytes) {
    static const char localhost[] = "localhost";
    const size_t n_localhost = sizeof localhost - 1;
    if (n_bytes == 5 && memcmp(host, "[::1]", 5) == 0) return true;
    if (n_bytes > 4 && memcmp(host, "127.", 4) == 0) {
        size_t i = 4;
        while (i < n_bytes && strchr("0123456789.", host[i])) i++;
        return i == n_bytes;
    }
    if (n_bytes < n_localhost || strncasecmp(host + n_bytes - n_localhost, localhost, n_localhost) != 0) return false;
    return n_bytes == n_localhost || host[n_bytes - n_localhost - 1] == '.';
}

bool auth_origin_is_good(const auth *self, const char *origin) {
    if (!origin) return true;
    if (self->cors && (strcmp(self->cors, "*") == 0 || strcasecmp(self->cors, origin) == 0)) return true;
    /* what a page says that hides where it comes from */
    if (strcasecmp(origin, "null") == 0) return false;
    const char *host;
    if (strncasecmp(origin, "http://", 7) == 0)
        host = origin + 7;
    else if (strncasecmp(origin, "https://", 8) == 0)
        host = origin + 8;
    else
        return true; /* a program's own pages, such as those of an editor */
    const char *bracket = *host == '[' ? strchr(host, ']') : NULL;
    size_t n_bytes = bracket ? (size_t)(bracket - host) + 1 : strcspn(host, ":/");
    return (!host[n_bytes] || strchr(":/", host[n_bytes])) && is_loopback_name(host, n_bytes);
}

const char *auth_cors(const auth *self, const char *origin) {
    if (!origin || !auth_origin_is_good(self, origin)) return NULL;
    return self->cors && strcmp(self->cors, "*") == 0 ? self->cors : origin;
}
