#include "support/patched_file.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

void patched_file_open(const char *path, patched_file *patched) {
    ds4_error error;
    *patched = (patched_file){0};
    assert_ok(file_read_all(path, SIZE_MAX / 2, &patched->content, &error), &error);
    patched->directory = patched_file_read(patched, NULL);
}

void patched_file_close(patched_file *patched) {
    gguf_close(patched->directory);
    ds4_buffer_deinit(&patched->content);
}

/* The directory points into the content, which is ours to change. */
static uint8_t *writable(const patched_file *patched, const void *place) {
    size_t offset = (size_t)((const char *)place - patched->content.data);
    assert_true(offset < patched->content.n_bytes);
    return (uint8_t *)patched->content.data + offset;
}

static gguf_string find_key(const patched_file *patched, const char *key) {
    for (size_t k = 0; k < patched->directory->n_metadata; k++) {
        gguf_string name = patched->directory->metadata[k].key;
        if (name.n_bytes == strlen(key) && memcmp(name.data, key, name.n_bytes) == 0) return name;
    }
    fail_msg("no key %s to patch", key);
    return (gguf_string){0};
}

static const gguf_tensor *find_tensor(const patched_file *patched, const char *name) {
    const gguf_tensor *tensor = gguf_find_tensor(patched->directory, name);
    if (!tensor) fail_msg("no tensor %s to patch", name);
    return tensor;
}

void patch_key_name(patched_file *patched, const char *key) {
    for (size_t k = 0; k < patched->directory->n_metadata; k++) {
        gguf_string name = patched->directory->metadata[k].key;
        /* the first character may be patched already */
        if (name.n_bytes != strlen(key) || memcmp(name.data + 1, key + 1, name.n_bytes - 1) != 0) continue;
        *writable(patched, name.data) ^= 1;
        return;
    }
    fail_msg("no key %s to patch", key);
}

void patch_tensor_name(patched_file *patched, const char *name) {
    for (size_t t = 0; t < patched->directory->n_tensors; t++) {
        gguf_string found = patched->directory->tensors[t].name;
        if (found.n_bytes != strlen(name) || memcmp(found.data + 1, name + 1, found.n_bytes - 1) != 0) continue;
        *writable(patched, found.data) ^= 1;
        return;
    }
    fail_msg("no tensor %s to patch", name);
}

/* Behind the key: u32 type, value. */
static uint8_t *type_place(const patched_file *patched, const char *key) {
    gguf_string name = find_key(patched, key);
    return writable(patched, name.data + name.n_bytes);
}

void patch_type(patched_file *patched, const char *key, gguf_type type) {
    uint32_t number = (uint32_t)type;
    memcpy(type_place(patched, key), &number, 4);
}

void patch_u32(patched_file *patched, const char *key, uint32_t value) {
    memcpy(type_place(patched, key) + 4, &value, 4);
}

void patch_f32(patched_file *patched, const char *key, float value) {
    memcpy(type_place(patched, key) + 4, &value, 4);
}

void patch_flag(patched_file *patched, const char *key, bool value) {
    type_place(patched, key)[4] = value;
}

void patch_content(patched_file *patched, const char *key, const void *bytes, size_t n_bytes) {
    const gguf_value *value = gguf_find(patched->directory, key);
    assert_non_null(value);
    const void *place = value->type == GGUF_STRING ? (const void *)value->string.data : value->array.data;
    assert_true(n_bytes <= (value->type == GGUF_STRING ? value->string.n_bytes : value->array.n_bytes));
    memcpy(writable(patched, place), bytes, n_bytes);
}

/* Behind the name: u32 n_dims, u64 ne[n_dims], u32 type, u64 offset. */
static uint8_t *sizes_place(const patched_file *patched, const gguf_tensor *tensor) {
    return writable(patched, tensor->name.data + tensor->name.n_bytes) + 4;
}

void patch_tensor_type(patched_file *patched, const char *name, uint32_t block_type) {
    const gguf_tensor *tensor = find_tensor(patched, name);
    memcpy(sizes_place(patched, tensor) + (size_t)tensor->n_dims * 8, &block_type, 4);
}

void patch_tensor_size(patched_file *patched, const char *name, uint32_t dimension, uint64_t size) {
    const gguf_tensor *tensor = find_tensor(patched, name);
    assert_true(dimension < tensor->n_dims);
    memcpy(sizes_place(patched, tensor) + (size_t)dimension * 8, &size, 8);
}

void patch_tensor_data(patched_file *patched, const char *name, size_t offset_bytes, const void *bytes,
                       size_t n_bytes) {
    const gguf_tensor *tensor = find_tensor(patched, name);
    assert_true(offset_bytes + n_bytes <= tensor->n_bytes);
    memcpy(writable(patched, tensor->data) + offset_bytes, bytes, n_bytes);
}

gguf_file *patched_file_read(const patched_file *patched, problem_list *problems) {
    gguf_file *file = NULL;
    ds4_error error;
    assert_ok(gguf_open_memory("patched", (const uint8_t *)patched->content.data, patched->content.n_bytes, problems,
                               &file, &error),
              &error);
    return file;
}

void patched_file_write(const patched_file *patched, const char *path) {
    file_writer writer;
    ds4_error error;
    assert_ok(file_writer_open(path, &writer, &error), &error);
    assert_ok(file_writer_write(&writer, patched->content.data, patched->content.n_bytes, &error), &error);
    assert_ok(file_writer_commit(&writer, &error), &error);
}
