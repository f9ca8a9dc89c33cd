/*
 * "D4G1", u32 n_records, then each record: u32 name_bytes, name, u32 type (0 float32, 1 int32), u32 n_dims,
 * u32 dims[n_dims], data. Little endian, without padding.
 */
#include "support/d4g.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

struct d4g_file {
    d4g_record *records;
    size_t n_records;
};

typedef struct cursor {
    const uint8_t *at;
    size_t left;
} cursor;

static const uint8_t *take(cursor *from, size_t n_bytes) {
    if (n_bytes > from->left) return NULL;
    const uint8_t *bytes = from->at;
    from->at += n_bytes;
    from->left -= n_bytes;
    return bytes;
}

static uint32_t word_at(const uint8_t *b) {
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static bool take_word(cursor *from, size_t *word) {
    const uint8_t *bytes = take(from, 4);
    if (bytes) *word = word_at(bytes);
    return bytes != NULL;
}

static bool read_shape(cursor *from, d4g_record *record) {
    size_t type;
    if (!take_word(from, &type) || type > 1) return false;
    record->is_int = type == 1;
    if (!take_word(from, &record->n_dims) || record->n_dims > D4G_MAX_DIMS) return false;
    record->n = 1;
    for (size_t d = 0; d < record->n_dims; d++) {
        if (!take_word(from, &record->dims[d])) return false;
        if (__builtin_mul_overflow(record->n, record->dims[d], &record->n)) return false;
    }
    return record->n <= from->left / 4;
}

static bool read_record(cursor *from, d4g_record *record) {
    size_t name_bytes;
    const uint8_t *name;
    if (!take_word(from, &name_bytes) || !(name = take(from, name_bytes))) return false;
    if (!(record->name = calloc(name_bytes + 1, 1))) return false;
    memcpy(record->name, name, name_bytes);
    if (!read_shape(from, record)) return false;

    const uint8_t *data = take(from, record->n * 4);
    uint32_t *words = malloc(record->n ? record->n * 4 : 1);
    if (!words) return false;
    for (size_t k = 0; k < record->n; k++) words[k] = word_at(data + 4 * k);
    if (record->is_int)
        record->i = (int32_t *)words;
    else
        record->f = (float *)(void *)words;
    return true;
}

static bool read_records(cursor *from, d4g_file *file) {
    const uint8_t *magic = take(from, 4);
    size_t n_records;
    if (!magic || memcmp(magic, "D4G1", 4) != 0 || !take_word(from, &n_records)) return false;
    if (n_records > from->left / 12) return false; /* the shortest record */
    if (!(file->records = calloc(n_records + 1, sizeof *file->records))) return false;
    for (; file->n_records < n_records; file->n_records++)
        if (!read_record(from, &file->records[file->n_records])) {
            file->n_records++; /* close frees the half that was read */
            return false;
        }
    return from->left == 0;
}

d4g_file *d4g_open(const char *path) {
    file_map map = {0};
    d4g_file *file = calloc(1, sizeof *file);
    if (!file || file_map_open(path, &map, NULL) != DS4_OK) {
        free(file);
        return NULL;
    }
    cursor from = {.at = map.data, .left = map.n_bytes};
    bool ok = read_records(&from, file);
    file_map_close(&map);
    if (!ok) {
        d4g_close(file);
        return NULL;
    }
    return file;
}

const d4g_record *d4g_find(const d4g_file *file, const char *name) {
    for (size_t r = 0; r < file->n_records; r++)
        if (strcmp(file->records[r].name, name) == 0) return &file->records[r];
    return NULL;
}

void d4g_close(d4g_file *file) {
    if (!file) return;
    for (size_t r = 0; r < file->n_records; r++) {
        free(file->records[r].name);
        free(file->records[r].f);
        free(file->records[r].i);
    }
    free(file->records);
    free(file);
}
