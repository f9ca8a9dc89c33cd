#include "base/memory.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

bool array_reserve(void **data, size_t *capacity, size_t needed, size_t element_bytes) {
    if (needed <= *capacity) return true;
    size_t grown = *capacity < SIZE_MAX / 2 ? *capacity * 2 : needed;
    if (grown < needed) grown = needed;
    if (grown < 8) grown = 8;
    size_t n_bytes;
    if (!size_multiply(grown, element_bytes, &n_bytes)) return false;
    void *moved = realloc(*data, n_bytes);
    if (!moved) return false;
    *data = moved;
    *capacity = grown;
    return true;
}

void *array_new(size_t n, size_t element_bytes) {
    return calloc(n ? n : 1, element_bytes ? element_bytes : 1);
}

bool buffer_append(ds4_buffer *buffer, const void *bytes, size_t n_bytes) {
    size_t needed;
    if (!size_add(buffer->n_bytes, n_bytes, &needed) || !size_add(needed, 1, &needed)) return false;
    if (!array_reserve((void **)&buffer->data, &buffer->capacity_bytes, needed, 1)) return false;
    if (n_bytes) memcpy(buffer->data + buffer->n_bytes, bytes, n_bytes);
    buffer->n_bytes += n_bytes;
    buffer->data[buffer->n_bytes] = '\0';
    return true;
}

bool buffer_append_string(ds4_buffer *buffer, const char *string) {
    return buffer_append(buffer, string, strlen(string));
}

void buffer_clear(ds4_buffer *buffer) {
    buffer->n_bytes = 0;
    if (buffer->data) buffer->data[0] = '\0';
}

void ds4_buffer_deinit(ds4_buffer *buffer) {
    free(buffer->data);
    *buffer = (ds4_buffer){0};
}

ds4_status ds4_tokens_append(ds4_tokens *tokens, const int32_t *id, size_t n, ds4_error *error) {
    size_t needed;
    if (!size_add(tokens->n, n, &needed) ||
        !array_reserve((void **)&tokens->id, &tokens->capacity, needed, sizeof *tokens->id))
        return error_memory(error, "token list", n * sizeof *id);
    if (n) memcpy(tokens->id + tokens->n, id, n * sizeof *id);
    tokens->n += n;
    return DS4_OK;
}

void ds4_tokens_deinit(ds4_tokens *tokens) {
    free(tokens->id);
    *tokens = (ds4_tokens){0};
}
