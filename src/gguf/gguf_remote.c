#include "gguf/gguf_remote.h"

/* The published models' directories have about 5 MB, nearly all of it the vocabulary. */
enum { FIRST_BYTES = 1 << 20, MOST_BYTES = 64 << 20 };

/* Appends the bytes behind those that are there, up to n_bytes in all. */
static ds4_status read_more(const char *name, range_reader *read, void *context, size_t n_bytes, ds4_buffer *start,
                            uint64_t *total_bytes, ds4_error *error) {
    size_t before = start->n_bytes, wanted = n_bytes - before;
    uint64_t total = 0;
    ds4_status status = read(context, before, wanted, start, &total, error);
    if (status != DS4_OK) return status;
    if (before && total != *total_bytes)
        return error_set(error, DS4_ERROR_FORMAT, "%s: changed while it was read: %llu bytes, then %llu", name,
                         (unsigned long long)*total_bytes, (unsigned long long)total);
    uint64_t expected = total - before < wanted ? total - before : wanted;
    if (total < before || start->n_bytes - before != expected)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %zu bytes came from offset %zu of %llu, expected %llu", name,
                         start->n_bytes - before, before, (unsigned long long)total, (unsigned long long)expected);
    *total_bytes = total;
    return DS4_OK;
}

ds4_status gguf_open_remote(const char *name, range_reader *read, void *context, gguf_file **file, ds4_error *error) {
    ds4_buffer start = {0};
    uint64_t total_bytes = 0;
    bool too_short = true;
    ds4_status status = DS4_OK;
    for (size_t n_bytes = FIRST_BYTES; too_short && n_bytes <= MOST_BYTES; n_bytes *= 2) {
        status = read_more(name, read, context, n_bytes, &start, &total_bytes, error);
        if (status != DS4_OK) break;
        status =
            gguf_open_start(name, (const uint8_t *)start.data, start.n_bytes, total_bytes, file, &too_short, error);
        if (status == DS4_OK) break;
    }
    if (status != DS4_OK && too_short && start.n_bytes == MOST_BYTES)
        status = error_set(error, DS4_ERROR_FORMAT, "%s: its directory is not within the first %d MiB", name,
                           MOST_BYTES >> 20);
    ds4_buffer_deinit(&start);
    return status;
}
