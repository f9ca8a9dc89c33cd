#include "server/ids.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/sha256.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_BYTES = 32, ID_HEX_BYTES = 24 };

struct ids {
    pthread_mutex_t lock;
    uint8_t seed[SEED_BYTES];
    uint64_t n_given;
};

static ds4_status read_random(uint8_t *bytes, size_t n_bytes, ds4_error *error) {
    FILE *file = fopen("/dev/urandom", "rb");
    bool ok = file && fread(bytes, 1, n_bytes, file) == n_bytes;
    if (file) fclose(file);
    return ok ? DS4_OK : error_set(error, DS4_ERROR_IO, "/dev/urandom: cannot be read");
}

ds4_status ids_new(const uint64_t *seed, ids **out, ds4_error *error) {
    ids *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "ids", sizeof *self);
    ds4_status status = DS4_OK;
    if (seed)
        memcpy(self->seed, seed, sizeof *seed);
    else
        status = read_random(self->seed, sizeof self->seed, error);
    if (status == DS4_OK && pthread_mutex_init(&self->lock, NULL) != 0)
        status = error_set(error, DS4_ERROR_MEMORY, "ids: no mutex");
    if (status != DS4_OK) {
        free(self);
        return status;
    }
    *out = self;
    return DS4_OK;
}

void ids_free(ids *self) {
    if (!self) return;
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void ids_next(ids *self, const char *prefix, char out[ID_BYTES]) {
    uint8_t message[SEED_BYTES + sizeof(uint64_t)];
    char hex[SHA256_HEX_BYTES];
    pthread_mutex_lock(&self->lock);
    uint64_t number = self->n_given++;
    pthread_mutex_unlock(&self->lock);
    memcpy(message, self->seed, SEED_BYTES);
    for (size_t i = 0; i < sizeof number; i++) message[SEED_BYTES + i] = (uint8_t)(number >> 8 * i);
    /* without the hash ids can be guessed but still differ */
    if (!sha256_hex(message, sizeof message, hex)) snprintf(hex, sizeof hex, "%024llx", (unsigned long long)number);
    snprintf(out, ID_BYTES, "%.*s%.*s", (int)ID_PREFIX_MAX_BYTES, prefix, (int)ID_HEX_BYTES, hex);
}
