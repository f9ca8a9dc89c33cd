/*
 * Writes GGUF files for tests and tools. Metadata and the list of tensors are collected in memory; the header
 * goes out with the first data (or when the file is finished), and from then on the data streams through.
 */
#include "base/memory.h"
#include "gguf/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct written_tensor {
    char *name;
    const block_format *format;
    uint32_t n_dims;
    uint64_t ne[4];
    size_t n_bytes;
    size_t offset; /* known once the header is written */
    size_t like;   /* the tensor whose bytes it shares; its own number if it has bytes of its own */
} written_tensor;

struct gguf_writer {
    file_writer file;
    uint32_t alignment;
    ds4_buffer metadata; /* as it will be in the file */
    uint64_t n_metadata;
    written_tensor *tensors;
    size_t n_tensors, tensors_capacity;

    bool header_written;
    size_t current; /* tensor whose data comes next */
    size_t current_bytes;
};

ds4_status gguf_writer_new(const char *path, gguf_writer **out, ds4_error *error) {
    gguf_writer *writer = array_new(1, sizeof *writer);
    if (!writer) return error_memory(error, path, sizeof *writer);
    writer->alignment = 32;
    ds4_status status = file_writer_open(path, &writer->file, error);
    if (status == DS4_OK)
        *out = writer;
    else
        gguf_writer_free(writer);
    return status;
}

void gguf_writer_free(gguf_writer *writer) {
    if (!writer) return;
    file_writer_abandon(&writer->file);
    for (size_t i = 0; i < writer->n_tensors; i++) free(writer->tensors[i].name);
    free(writer->tensors);
    ds4_buffer_deinit(&writer->metadata);
    free(writer);
}

/* ---- metadata ---- */

static bool append_string(ds4_buffer *buffer, const char *string) {
    uint64_t n_bytes = strlen(string);
    return buffer_append(buffer, &n_bytes, sizeof n_bytes) && buffer_append(buffer, string, n_bytes);
}

static bool append_u32(ds4_buffer *buffer, uint32_t value) {
    return buffer_append(buffer, &value, sizeof value);
}
static bool append_u64(ds4_buffer *buffer, uint64_t value) {
    return buffer_append(buffer, &value, sizeof value);
}

static ds4_status must_be_open(const gguf_writer *writer, const char *name, ds4_error *error) {
    if (!writer->header_written) return DS4_OK;
    return error_set(error, DS4_ERROR_ARGUMENT, "%s: '%s' is added after the first data", writer->file.path, name);
}

/* Closes an entry that began when the metadata had before bytes: counts it, or takes it back if memory ran out. */
static ds4_status end_entry(gguf_writer *writer, const char *key, size_t before, bool complete, ds4_error *error) {
    if (complete) {
        writer->n_metadata++;
        return DS4_OK;
    }
    writer->metadata.n_bytes = before;
    return error_memory(error, key, before);
}

static ds4_status add_scalar(gguf_writer *writer, const char *key, gguf_type type, const void *value, size_t n_bytes,
                             ds4_error *error) {
    ds4_status status = must_be_open(writer, key, error);
    if (status != DS4_OK) return status;
    ds4_buffer *metadata = &writer->metadata;
    size_t before = metadata->n_bytes;
    bool complete =
        append_string(metadata, key) && append_u32(metadata, type) && buffer_append(metadata, value, n_bytes);
    return end_entry(writer, key, before, complete, error);
}

ds4_status gguf_writer_add_u32(gguf_writer *writer, const char *key, uint32_t value, ds4_error *error) {
    bool is_alignment = strcmp(key, "general.alignment") == 0;
    if (is_alignment && (value < 8 || (value & (value - 1))))
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: %s %" PRIu32 ", expected a power of two of at least 8",
                         writer->file.path, key, value);
    ds4_status status = add_scalar(writer, key, GGUF_U32, &value, sizeof value, error);
    if (status == DS4_OK && is_alignment) writer->alignment = value;
    return status;
}

ds4_status gguf_writer_add_u64(gguf_writer *writer, const char *key, uint64_t value, ds4_error *error) {
    return add_scalar(writer, key, GGUF_U64, &value, sizeof value, error);
}

ds4_status gguf_writer_add_f32(gguf_writer *writer, const char *key, float value, ds4_error *error) {
    return add_scalar(writer, key, GGUF_F32, &value, sizeof value, error);
}

ds4_status gguf_writer_add_bool(gguf_writer *writer, const char *key, bool value, ds4_error *error) {
    uint8_t byte = value;
    return add_scalar(writer, key, GGUF_BOOL, &byte, sizeof byte, error);
}

ds4_status gguf_writer_add_string(gguf_writer *writer, const char *key, const char *value, ds4_error *error) {
    ds4_status status = must_be_open(writer, key, error);
    if (status != DS4_OK) return status;
    ds4_buffer *metadata = &writer->metadata;
    size_t before = metadata->n_bytes;
    bool complete = append_string(metadata, key) && append_u32(metadata, GGUF_STRING) && append_string(metadata, value);
    return end_entry(writer, key, before, complete, error);
}

static bool append_array_header(ds4_buffer *metadata, const char *key, gguf_type type, size_t n) {
    return append_string(metadata, key) && append_u32(metadata, GGUF_ARRAY) && append_u32(metadata, type) &&
           append_u64(metadata, n);
}

ds4_status gguf_writer_add_array(gguf_writer *writer, const char *key, gguf_type type, const void *values, size_t n,
                                 ds4_error *error) {
    ds4_status status = must_be_open(writer, key, error);
    if (status != DS4_OK) return status;
    size_t element_bytes = gguf_type_bytes(type), n_bytes;
    if (!element_bytes || !size_multiply(n, element_bytes, &n_bytes))
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: array '%s': %zu elements of type %s, expected numbers",
                         writer->file.path, key, n, gguf_type_name(type));
    ds4_buffer *metadata = &writer->metadata;
    size_t before = metadata->n_bytes;
    bool complete = append_array_header(metadata, key, type, n) && buffer_append(metadata, values, n_bytes);
    return end_entry(writer, key, before, complete, error);
}

ds4_status gguf_writer_add_strings(gguf_writer *writer, const char *key, const char *const *values, size_t n,
                                   ds4_error *error) {
    ds4_status status = must_be_open(writer, key, error);
    if (status != DS4_OK) return status;
    ds4_buffer *metadata = &writer->metadata;
    size_t before = metadata->n_bytes;
    bool complete = append_array_header(metadata, key, GGUF_STRING, n);
    for (size_t i = 0; complete && i < n; i++) complete = append_string(metadata, values[i]);
    return end_entry(writer, key, before, complete, error);
}

/* ---- the list of tensors ---- */

/* Their number if there is none of that name. */
static size_t find_written(const gguf_writer *writer, const char *name) {
    size_t i = 0;
    while (i < writer->n_tensors && strcmp(writer->tensors[i].name, name) != 0) i++;
    return i;
}

/* Fills in the shape and size. */
static ds4_status shape_tensor(const gguf_writer *writer, written_tensor *tensor, const char *name, uint32_t type,
                               uint32_t n_dims, const uint64_t *ne, ds4_error *error) {
    const char *path = writer->file.path;
    const block_format *format = block_format_find(type);
    if (!format)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': type %" PRIu32 " is unknown", path, name, type);
    if (n_dims < 1 || n_dims > 4)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': %" PRIu32 " dimensions, expected 1 to 4", path,
                         name, n_dims);
    if (ne[0] % format->n_elements)
        return error_set(error, DS4_ERROR_ARGUMENT,
                         "%s: tensor '%s': rows of %" PRIu64 " elements, expected a multiple of %" PRIu32, path, name,
                         ne[0], format->n_elements);
    uint64_t n_bytes = ne[0] / format->n_elements;
    bool overflow = __builtin_mul_overflow(n_bytes, format->n_bytes, &n_bytes);
    for (uint32_t i = 0; i < n_dims; i++) {
        tensor->ne[i] = ne[i];
        if (i > 0) overflow |= __builtin_mul_overflow(n_bytes, ne[i], &n_bytes);
    }
    if (overflow || n_bytes == 0 || n_bytes > SIZE_MAX)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': no elements or too many", path, name);
    tensor->format = format;
    tensor->n_dims = n_dims;
    tensor->n_bytes = (size_t)n_bytes;
    return DS4_OK;
}

static ds4_status add_tensor(gguf_writer *writer, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                             const char *like, ds4_error *error) {
    ds4_status status = must_be_open(writer, name, error);
    if (status != DS4_OK) return status;
    written_tensor tensor = {.like = writer->n_tensors};
    status = shape_tensor(writer, &tensor, name, type, n_dims, ne, error);
    if (status != DS4_OK) return status;
    const char *path = writer->file.path;
    if (find_written(writer, name) < writer->n_tensors)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s' is added twice", path, name);
    if (like) {
        size_t other = find_written(writer, like);
        if (other == writer->n_tensors)
            return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': there is no '%s' to share with", path, name,
                             like);
        if (tensor.n_bytes > writer->tensors[other].n_bytes)
            return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': %zu bytes, expected at most the %zu of '%s'",
                             path, name, tensor.n_bytes, writer->tensors[other].n_bytes, like);
        tensor.like = writer->tensors[other].like;
    }
    tensor.name = strdup(name);
    if (!tensor.name || !array_reserve((void **)&writer->tensors, &writer->tensors_capacity, writer->n_tensors + 1,
                                       sizeof *writer->tensors)) {
        free(tensor.name);
        return error_memory(error, name, sizeof tensor);
    }
    writer->tensors[writer->n_tensors++] = tensor;
    return DS4_OK;
}

ds4_status gguf_writer_add_tensor(gguf_writer *writer, const char *name, uint32_t block_type, uint32_t n_dims,
                                  const uint64_t *ne, ds4_error *error) {
    return add_tensor(writer, name, block_type, n_dims, ne, NULL, error);
}

ds4_status gguf_writer_add_shared_tensor(gguf_writer *writer, const char *name, uint32_t block_type, uint32_t n_dims,
                                         const uint64_t *ne, const char *like, ds4_error *error) {
    return add_tensor(writer, name, block_type, n_dims, ne, like, error);
}

/* ---- output ---- */

static size_t padding_bytes(const gguf_writer *writer, size_t n_bytes) {
    return -n_bytes & (writer->alignment - 1);
}

static ds4_status write_padding(gguf_writer *writer, size_t n_bytes, ds4_error *error) {
    static const char zeros[64];
    ds4_status status = DS4_OK;
    for (size_t left = padding_bytes(writer, n_bytes); status == DS4_OK && left > 0;) {
        size_t piece = left < sizeof zeros ? left : sizeof zeros;
        status = file_writer_write(&writer->file, zeros, piece, error);
        left -= piece;
    }
    return status;
}

static ds4_status place_tensors(gguf_writer *writer, ds4_error *error) {
    size_t end = 0;
    for (size_t i = 0; i < writer->n_tensors; i++) {
        written_tensor *tensor = &writer->tensors[i];
        if (tensor->like != i) {
            tensor->offset = writer->tensors[tensor->like].offset;
            continue;
        }
        tensor->offset = end;
        if (!size_add(end, tensor->n_bytes, &end) || !size_add(end, padding_bytes(writer, end), &end))
            return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': the data is too large", writer->file.path,
                             tensor->name);
    }
    return DS4_OK;
}

static bool append_tensor(ds4_buffer *header, const written_tensor *tensor) {
    bool complete = append_string(header, tensor->name) && append_u32(header, tensor->n_dims);
    for (uint32_t i = 0; complete && i < tensor->n_dims; i++) complete = append_u64(header, tensor->ne[i]);
    return complete && append_u32(header, tensor->format->type) && append_u64(header, tensor->offset);
}

static ds4_status write_header(gguf_writer *writer, ds4_error *error) {
    ds4_status status = place_tensors(writer, error);
    if (status != DS4_OK) return status;
    ds4_buffer header = {0};
    bool complete = buffer_append(&header, "GGUF", 4) && append_u32(&header, 3) &&
                    append_u64(&header, writer->n_tensors) && append_u64(&header, writer->n_metadata) &&
                    buffer_append(&header, writer->metadata.data, writer->metadata.n_bytes);
    for (size_t i = 0; complete && i < writer->n_tensors; i++) complete = append_tensor(&header, &writer->tensors[i]);
    if (complete) {
        writer->header_written = true;
        status = file_writer_write(&writer->file, header.data, header.n_bytes, error);
        if (status == DS4_OK) status = write_padding(writer, header.n_bytes, error);
    } else {
        status = error_memory(error, writer->file.path, header.n_bytes);
    }
    ds4_buffer_deinit(&header);
    return status;
}

/* Moves current past tensors whose bytes are those of another. */
static void skip_shared(gguf_writer *writer) {
    while (writer->current < writer->n_tensors && writer->tensors[writer->current].like != writer->current)
        writer->current++;
}

ds4_status gguf_writer_data(gguf_writer *writer, const void *bytes, size_t n_bytes, ds4_error *error) {
    ds4_status status = writer->header_written ? DS4_OK : write_header(writer, error);
    if (status != DS4_OK || n_bytes == 0) return status;
    skip_shared(writer);
    if (writer->current == writer->n_tensors)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: %zu bytes of data after those of the last tensor",
                         writer->file.path, n_bytes);
    const written_tensor *tensor = &writer->tensors[writer->current];
    size_t expected = tensor->n_bytes - writer->current_bytes;
    if (n_bytes > expected)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': %zu bytes of data, expected at most %zu more",
                         writer->file.path, tensor->name, n_bytes, expected);
    status = file_writer_write(&writer->file, bytes, n_bytes, error);
    if (status != DS4_OK) return status;
    writer->current_bytes += n_bytes;
    if (writer->current_bytes < tensor->n_bytes) return DS4_OK;
    writer->current++;
    writer->current_bytes = 0;
    return write_padding(writer, tensor->n_bytes, error);
}

ds4_status gguf_writer_finish(gguf_writer *writer, ds4_error *error) {
    ds4_status status = writer->header_written ? DS4_OK : write_header(writer, error);
    if (status != DS4_OK) return status;
    skip_shared(writer);
    if (writer->current < writer->n_tensors) {
        const written_tensor *tensor = &writer->tensors[writer->current];
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: tensor '%s': %zu bytes of data, expected %zu",
                         writer->file.path, tensor->name, writer->current_bytes, tensor->n_bytes);
    }
    return file_writer_commit(&writer->file, error);
}
