/* Growable storage and sizes that cannot overflow. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include "ds4.h"

/* Makes room for at least needed elements, at least doubling when it grows. False if there is no memory;
 * the array is then as it was. */
bool array_reserve(void **data, size_t *capacity, size_t needed, size_t element_bytes);

/* calloc of n elements that reports overflow as failure; n = 0 gives a pointer that can be freed. */
void *array_new(size_t n, size_t element_bytes);

/* Append to a buffer; false if there is no memory, the buffer is then as it was. */
bool buffer_append(ds4_buffer *buffer, const void *bytes, size_t n_bytes);
bool buffer_append_string(ds4_buffer *buffer, const char *string);
/* Forgets the content, keeps the memory. */
void buffer_clear(ds4_buffer *buffer);

static inline bool size_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool size_multiply(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
