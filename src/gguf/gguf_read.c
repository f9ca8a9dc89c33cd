/*
 * Reads the directory of a GGUF file. One pass over the bytes notes what is there and stops at what cannot be
 * read; then each tensor is checked, when the alignment is known and the place of the data with it.
 */
#include "base/memory.h"
#include "gguf/gguf_index.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are little endian, and so must be the machine");

enum {
    HEADER_BYTES = 24,
    METADATA_MIN_BYTES = 8 + 4 + 1,   /* empty key, type, one byte */
    TENSOR_MIN_BYTES = 8 + 4 + 4 + 8, /* empty name, no dimensions, type, offset */
    MAX_ENTRIES = 1 << 20,            /* hundreds of times what models have */
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
};

typedef struct gguf_reader {
    gguf_file *file;
    size_t at;
    uint64_t total_bytes; /* of the file; file->n_bytes while its directory is read may be only the first of them */
    bool too_short;       /* what is missing may lie behind the bytes that are there */
    problem_list *problems;
    ds4_error *error;

    /* What is being read, for messages. */
    const char *kind; /* "key" or "tensor" */
    size_t entry, n_entries;
    gguf_string name; /* data is NULL until it is known */
} gguf_reader;

/* Reports what is wrong with the present entry to problems, or as the error if that is NULL. */
PRINTF_LIKE(3, 4) static ds4_status report(gguf_reader *reader, problem_list *problems, const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const char *file = reader->file->name;
    if (!reader->kind) return problem_add(problems, reader->error, "%s: %s", file, what);
    if (!reader->name.data)
        return problem_add(problems, reader->error, "%s: %s %zu of %zu: %s", file, reader->kind, reader->entry + 1,
                           reader->n_entries, what);
    return problem_add(problems, reader->error, "%s: %s '%.*s': %s", file, reader->kind, GGUF_STRING_ARGS(reader->name),
                       what);
}

/* ---- numbers and strings ---- */

static size_t remaining_bytes(const gguf_reader *reader) {
    return reader->file->n_bytes - reader->at;
}

/* Whether n times element_bytes bytes are there. */
static bool has_bytes(gguf_reader *reader, uint64_t n, size_t element_bytes) {
    if (n <= remaining_bytes(reader) / element_bytes) return true;
    reader->too_short = n <= (reader->total_bytes - reader->at) / element_bytes;
    return false;
}

/* The next n * element_bytes bytes. */
static ds4_status take(gguf_reader *reader, uint64_t n, size_t element_bytes, const uint8_t **bytes) {
    if (!has_bytes(reader, n, element_bytes))
        return report(reader, NULL,
                      "the file ends too early: expected %" PRIu64 " times %zu bytes at offset %zu of %zu", n,
                      element_bytes, reader->at, reader->file->n_bytes);
    *bytes = reader->file->bytes + reader->at;
    reader->at += (size_t)n * element_bytes;
    return DS4_OK;
}

static ds4_status take_u32(gguf_reader *reader, uint32_t *value) {
    const uint8_t *bytes = NULL;
    ds4_status status = take(reader, 1, sizeof *value, &bytes);
    if (status == DS4_OK) memcpy(value, bytes, sizeof *value);
    return status;
}

static ds4_status take_u64(gguf_reader *reader, uint64_t *value) {
    const uint8_t *bytes = NULL;
    ds4_status status = take(reader, 1, sizeof *value, &bytes);
    if (status == DS4_OK) memcpy(value, bytes, sizeof *value);
    return status;
}

static ds4_status take_string(gguf_reader *reader, gguf_string *string) {
    uint64_t n_bytes = 0;
    ds4_status status = take_u64(reader, &n_bytes);
    if (status != DS4_OK) return status;
    const uint8_t *bytes = NULL;
    status = take(reader, n_bytes, 1, &bytes);
    if (status == DS4_OK) *string = (gguf_string){.data = (const char *)bytes, .n_bytes = (size_t)n_bytes};
    return status;
}

/* ---- values ---- */

static const char *const type_names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};

const char *gguf_type_name(gguf_type type) {
    return (uint32_t)type <= GGUF_F64 ? type_names[(uint32_t)type] : "unknown";
}

size_t gguf_type_bytes(gguf_type type) {
    static const uint8_t n_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return (uint32_t)type <= GGUF_F64 ? n_bytes[(uint32_t)type] : 0;
}

/* A value of a type with a fixed size. */
static gguf_value load_value(gguf_type type, const uint8_t *bytes) {
    gguf_value value = {.type = type};
    int8_t i8;
    int16_t i16;
    int32_t i32;
    float f32;
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: memcpy(&value.u, bytes, gguf_type_bytes(type)); break; /* the other bytes are zero */
    case GGUF_I8: value.i = (memcpy(&i8, bytes, sizeof i8), i8); break;
    case GGUF_I16: value.i = (memcpy(&i16, bytes, sizeof i16), i16); break;
    case GGUF_I32: value.i = (memcpy(&i32, bytes, sizeof i32), i32); break;
    case GGUF_I64: memcpy(&value.i, bytes, sizeof value.i); break;
    case GGUF_F32: value.f = (memcpy(&f32, bytes, sizeof f32), (double)f32); break;
    case GGUF_F64: memcpy(&value.f, bytes, sizeof value.f); break;
    case GGUF_STRING:
    case GGUF_ARRAY: break;
    }
    return value;
}

static ds4_status check_bools(gguf_reader *reader, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] > 1)
            return report(reader, reader->problems, "%u is not a bool, expected 0 or 1", (unsigned)bytes[i]);
    return DS4_OK;
}

static ds4_status take_type(gguf_reader *reader, gguf_type *type) {
    uint32_t number = 0;
    ds4_status status = take_u32(reader, &number);
    if (status != DS4_OK) return status;
    if (number > GGUF_F64)
        return report(reader, NULL, "value type %" PRIu32 " is unknown, expected 0 to %d", number, GGUF_F64);
    *type = (gguf_type)number;
    return DS4_OK;
}

static ds4_status take_strings(gguf_reader *reader, uint64_t n) {
    if (!has_bytes(reader, n, 8))
        return report(reader, NULL, "the file ends too early: %" PRIu64 " strings cannot be in %zu bytes", n,
                      remaining_bytes(reader));
    for (uint64_t i = 0; i < n; i++) {
        gguf_string string;
        ds4_status status = take_string(reader, &string);
        if (status != DS4_OK) return status;
    }
    return DS4_OK;
}

static ds4_status take_array(gguf_reader *reader, gguf_array *array) {
    uint64_t n = 0;
    ds4_status status = take_type(reader, &array->type);
    if (status == DS4_OK) status = take_u64(reader, &n);
    if (status != DS4_OK) return status;
    if (array->type == GGUF_ARRAY) return report(reader, NULL, "arrays of arrays are not supported");

    size_t start = reader->at;
    array->data = reader->file->bytes + start;
    const uint8_t *bytes = NULL;
    status =
        array->type == GGUF_STRING ? take_strings(reader, n) : take(reader, n, gguf_type_bytes(array->type), &bytes);
    if (status != DS4_OK) return status;
    array->n = (size_t)n;
    array->n_bytes = reader->at - start;
    return array->type == GGUF_BOOL ? check_bools(reader, array->data, array->n) : DS4_OK;
}

static ds4_status take_value(gguf_reader *reader, gguf_value *value) {
    gguf_type type = GGUF_U8;
    ds4_status status = take_type(reader, &type);
    if (status != DS4_OK) return status;
    *value = (gguf_value){.type = type};
    if (type == GGUF_STRING) return take_string(reader, &value->string);
    if (type == GGUF_ARRAY) return take_array(reader, &value->array);
    const uint8_t *bytes = NULL;
    status = take(reader, 1, gguf_type_bytes(type), &bytes);
    if (status != DS4_OK) return status;
    *value = load_value(type, bytes);
    return type == GGUF_BOOL ? check_bools(reader, bytes, 1) : DS4_OK;
}

/* ---- the directory ---- */

static ds4_status take_header(gguf_reader *reader) {
    gguf_file *file = reader->file;
    if (!has_bytes(reader, HEADER_BYTES, 1) || memcmp(file->bytes, "GGUF", 4) != 0)
        return report(reader, NULL, "not a GGUF file: expected \"GGUF\" and a header of %d bytes", HEADER_BYTES);
    reader->at = 4;
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_metadata = 0;
    ds4_status status = take_u32(reader, &version);
    if (status == DS4_OK) status = take_u64(reader, &n_tensors);
    if (status == DS4_OK) status = take_u64(reader, &n_metadata);
    if (status != DS4_OK) return status;
    if (version == 3u << 24) return report(reader, NULL, "big-endian GGUF, expected little-endian");
    if (version != 3) return report(reader, NULL, "GGUF version %" PRIu32 ", expected 3", version);

    size_t remaining = remaining_bytes(reader);
    if (n_metadata > MAX_ENTRIES || !has_bytes(reader, n_metadata, METADATA_MIN_BYTES))
        return report(reader, NULL,
                      "%" PRIu64
                      " metadata entries, expected at most %d and no more than fit in the %zu bytes left (truncated?)",
                      n_metadata, MAX_ENTRIES, remaining);
    if (n_tensors > MAX_ENTRIES || !has_bytes(reader, n_tensors, TENSOR_MIN_BYTES))
        return report(reader, NULL,
                      "%" PRIu64
                      " tensors, expected at most %d and no more than fit in the %zu bytes left (truncated?)",
                      n_tensors, MAX_ENTRIES, remaining);
    file->n_metadata = (size_t)n_metadata;
    file->n_tensors = (size_t)n_tensors;
    return DS4_OK;
}

static ds4_status allocate_directory(gguf_reader *reader) {
    gguf_file *file = reader->file;
    file->metadata = array_new(file->n_metadata, sizeof *file->metadata);
    file->tensors = array_new(file->n_tensors, sizeof *file->tensors);
    file->key_index = gguf_index_new(file->n_metadata);
    file->tensor_index = gguf_index_new(file->n_tensors);
    if (file->metadata && file->tensors && file->key_index && file->tensor_index) return DS4_OK;
    return error_memory(reader->error, file->name,
                        file->n_metadata * sizeof *file->metadata + file->n_tensors * sizeof *file->tensors);
}

/* The name of the next entry. */
static ds4_status take_name(gguf_reader *reader, size_t entry, gguf_index *index, gguf_string *name) {
    reader->entry = entry;
    reader->name = (gguf_string){0};
    ds4_status status = take_string(reader, name);
    if (status != DS4_OK) return status;
    reader->name = *name;
    if (!gguf_index_add(index, *name, entry)) return report(reader, reader->problems, "appears twice");
    return DS4_OK;
}

static ds4_status take_metadata(gguf_reader *reader) {
    gguf_file *file = reader->file;
    reader->kind = "key";
    reader->n_entries = file->n_metadata;
    for (size_t i = 0; i < file->n_metadata; i++) {
        gguf_pair *pair = &file->metadata[i];
        ds4_status status = take_name(reader, i, file->key_index, &pair->key);
        if (status == DS4_OK) status = take_value(reader, &pair->value);
        if (status != DS4_OK) return status;
    }
    return DS4_OK;
}

static ds4_status take_tensor(gguf_reader *reader, size_t entry) {
    gguf_file *file = reader->file;
    gguf_tensor *tensor = &file->tensors[entry];
    ds4_status status = take_name(reader, entry, file->tensor_index, &tensor->name);
    if (status == DS4_OK) status = take_u32(reader, &tensor->n_dims);
    const uint8_t *ne = NULL;
    if (status == DS4_OK) status = take(reader, tensor->n_dims, sizeof *tensor->ne, &ne);
    if (status == DS4_OK) status = take_u32(reader, &tensor->type);
    if (status == DS4_OK) status = take_u64(reader, &tensor->offset);
    if (status != DS4_OK) return status;
    for (int i = 0; i < 4; i++) tensor->ne[i] = 1;
    memcpy(tensor->ne, ne, (tensor->n_dims < 4 ? tensor->n_dims : 4) * sizeof *tensor->ne);
    tensor->format = block_format_find(tensor->type);
    return DS4_OK;
}

static ds4_status take_tensors(gguf_reader *reader) {
    reader->kind = "tensor";
    reader->n_entries = reader->file->n_tensors;
    ds4_status status = DS4_OK;
    for (size_t i = 0; status == DS4_OK && i < reader->file->n_tensors; i++) status = take_tensor(reader, i);
    return status;
}

/* ---- where the data is ---- */

static ds4_status find_alignment(gguf_reader *reader) {
    static const char key[] = "general.alignment";
    reader->file->alignment = DEFAULT_ALIGNMENT;
    const gguf_value *value = gguf_find(reader->file, key);
    if (!value) return DS4_OK;
    reader->name = (gguf_string){.data = key, .n_bytes = sizeof key - 1};
    if (value->type != GGUF_U32)
        return report(reader, reader->problems, "type %s, expected u32", gguf_type_name(value->type));
    if (value->u < MIN_ALIGNMENT || (value->u & (value->u - 1)))
        return report(reader, reader->problems, "%" PRIu64 ", expected a power of two of at least %d", value->u,
                      MIN_ALIGNMENT);
    reader->file->alignment = (uint32_t)value->u;
    return DS4_OK;
}

static ds4_status find_data(gguf_reader *reader) {
    size_t end;
    if (!size_add(reader->at, reader->file->alignment - 1, &end))
        return error_set(reader->error, DS4_ERROR_FORMAT, "%s: the tensor data begins beyond what can be addressed",
                         reader->file->name);
    reader->file->data_offset = end & ~((size_t)reader->file->alignment - 1);
    return DS4_OK;
}

/* Fills in the sizes of a tensor whose type is known. */
static ds4_status measure_tensor(gguf_reader *reader, gguf_tensor *tensor, bool *good) {
    *good = false;
    const block_format *format = tensor->format;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        if (tensor->ne[i] == 0) return report(reader, reader->problems, "dimension %" PRIu32 " is 0", i);
    if (tensor->ne[0] % format->n_elements)
        return report(reader, reader->problems,
                      "rows of %" PRIu64 " elements, expected a multiple of %" PRIu32 " for %s", tensor->ne[0],
                      format->n_elements, format->name);
    uint64_t row_bytes, n_bytes;
    bool overflow = __builtin_mul_overflow(tensor->ne[0] / format->n_elements, format->n_bytes, &row_bytes);
    n_bytes = row_bytes;
    for (int i = 1; i < 4; i++) overflow |= __builtin_mul_overflow(n_bytes, tensor->ne[i], &n_bytes);
    if (overflow || n_bytes > SIZE_MAX)
        return report(reader, reader->problems,
                      "%" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64 " elements are more than can be addressed",
                      tensor->ne[0], tensor->ne[1], tensor->ne[2], tensor->ne[3]);
    tensor->row_bytes = (size_t)row_bytes;
    tensor->n_bytes = (size_t)n_bytes;
    *good = true;
    return DS4_OK;
}

static ds4_status place_tensor(gguf_reader *reader, gguf_tensor *tensor) {
    gguf_file *file = reader->file;
    if (tensor->offset % file->alignment)
        return report(reader, reader->problems, "offset %" PRIu64 " is not a multiple of %" PRIu32, tensor->offset,
                      file->alignment);
    size_t available = file->n_bytes > file->data_offset ? file->n_bytes - file->data_offset : 0;
    if (tensor->offset > available || tensor->n_bytes > available - tensor->offset)
        return report(reader, reader->problems,
                      "%zu bytes at offset %" PRIu64 " are not in the file, which has %zu bytes of data",
                      tensor->n_bytes, tensor->offset, available);
    tensor->data = file->bytes + file->data_offset + (size_t)tensor->offset;
    return DS4_OK;
}

static ds4_status check_tensor(gguf_reader *reader, gguf_tensor *tensor) {
    reader->name = tensor->name;
    uint32_t n_dims = tensor->n_dims;
    if (n_dims < 1 || n_dims > 4) {
        tensor->n_dims = n_dims ? 4 : 1; /* whoever looks at ne stays inside */
        return report(reader, reader->problems, "%" PRIu32 " dimensions, expected 1 to 4", n_dims);
    }
    if (!tensor->format) return report(reader, reader->problems, "type %" PRIu32 " is unknown", tensor->type);
    bool good;
    ds4_status status = measure_tensor(reader, tensor, &good);
    return status == DS4_OK && good ? place_tensor(reader, tensor) : status;
}

/* too_short may be NULL if the file is there as a whole. */
static ds4_status read_file(gguf_file *file, uint64_t total_bytes, problem_list *problems, bool *too_short,
                            ds4_error *error) {
    gguf_reader reader = {.file = file, .total_bytes = total_bytes, .problems = problems, .error = error};
    ds4_status status = take_header(&reader);
    if (status == DS4_OK) status = allocate_directory(&reader);
    if (status == DS4_OK) status = take_metadata(&reader);
    if (status == DS4_OK) status = find_alignment(&reader);
    if (status == DS4_OK) status = take_tensors(&reader);
    if (status == DS4_OK) status = find_data(&reader);
    if (too_short) *too_short = reader.too_short;
    file->n_bytes = (size_t)total_bytes;
    for (size_t i = 0; status == DS4_OK && i < file->n_tensors; i++) status = check_tensor(&reader, &file->tensors[i]);
    return status;
}

/* ---- opening and closing ---- */

static ds4_status file_new(const char *name, gguf_file **out, ds4_error *error) {
    gguf_file *file = array_new(1, sizeof *file);
    char *copy = strdup(name);
    if (!file || !copy) {
        free(file);
        free(copy);
        return error_memory(error, name, sizeof *file + strlen(name) + 1);
    }
    file->name = copy;
    *out = file;
    return DS4_OK;
}

ds4_status gguf_open(const char *path, problem_list *problems, gguf_file **out, ds4_error *error) {
    gguf_file *file = NULL;
    ds4_status status = file_new(path, &file, error);
    if (status != DS4_OK) return status;
    status = file_map_open(path, &file->map, error);
    file->bytes = file->map.data;
    file->n_bytes = file->map.n_bytes;
    if (status == DS4_OK) status = read_file(file, file->n_bytes, problems, NULL, error);
    if (status == DS4_OK)
        *out = file;
    else
        gguf_close(file);
    return status;
}

ds4_status gguf_open_memory(const char *name, const uint8_t *bytes, size_t n_bytes, problem_list *problems,
                            gguf_file **out, ds4_error *error) {
    gguf_file *file = NULL;
    ds4_status status = file_new(name, &file, error);
    if (status != DS4_OK) return status;
    file->bytes = bytes;
    file->n_bytes = n_bytes;
    status = read_file(file, n_bytes, problems, NULL, error);
    if (status == DS4_OK)
        *out = file;
    else
        gguf_close(file);
    return status;
}

ds4_status gguf_open_start(const char *name, const uint8_t *bytes, size_t n_bytes, uint64_t total_bytes,
                           gguf_file **out, bool *too_short, ds4_error *error) {
    *too_short = false;
    if (total_bytes < n_bytes || total_bytes > PTRDIFF_MAX || !total_bytes)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %" PRIu64 " bytes in all, of which %zu are there", name,
                         total_bytes, n_bytes);
    gguf_file *file = NULL;
    ds4_status status = file_new(name, &file, error);
    if (status != DS4_OK) return status;
    status = file_map_zeros(name, bytes, n_bytes, (size_t)total_bytes, &file->map, error);
    file->bytes = file->map.data;
    file->n_bytes = n_bytes;
    if (status == DS4_OK) status = read_file(file, total_bytes, NULL, too_short, error);
    if (status == DS4_OK)
        *out = file;
    else
        gguf_close(file);
    return status;
}

void gguf_close(gguf_file *file) {
    if (!file) return;
    gguf_index_free(file->key_index);
    gguf_index_free(file->tensor_index);
    free(file->metadata);
    free(file->tensors);
    file_map_close(&file->map);
    free(file->name);
    free(file);
}

/* ---- looking up ---- */

const gguf_value *gguf_find(const gguf_file *file, const char *key) {
    size_t entry;
    gguf_string name = {.data = key, .n_bytes = strlen(key)};
    return gguf_index_find(file->key_index, name, &entry) ? &file->metadata[entry].value : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name) {
    size_t entry;
    gguf_string string = {.data = name, .n_bytes = strlen(name)};
    return gguf_index_find(file->tensor_index, string, &entry) ? &file->tensors[entry] : NULL;
}

bool gguf_array_number(const gguf_array *array, size_t index, double *number) {
    size_t element_bytes = gguf_type_bytes(array->type);
    if (!element_bytes || index >= array->n) return false;
    gguf_value value = load_value(array->type, array->data + index * element_bytes);
    switch (value.type) {
    case GGUF_F32:
    case GGUF_F64: *number = value.f; break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: *number = (double)value.i; break;
    default: *number = (double)value.u; break;
    }
    return true;
}

bool gguf_array_next_string(const gguf_array *array, size_t *offset, gguf_string *string) {
    if (array->type != GGUF_STRING || *offset >= array->n_bytes) return false;
    /* The lengths were checked when the file was opened. */
    uint64_t n_bytes;
    memcpy(&n_bytes, array->data + *offset, sizeof n_bytes);
    *string = (gguf_string){.data = (const char *)array->data + *offset + 8, .n_bytes = (size_t)n_bytes};
    *offset += 8 + (size_t)n_bytes;
    return true;
}
