/*
 * GGUF version 3: a header, typed metadata, a directory of tensors, their data. Little endian.
 *
 *   "GGUF", u32 version = 3, u64 n_tensors, u64 n_metadata
 *   n_metadata times: string key, u32 type, value          string = u64 n_bytes, bytes
 *   n_tensors times:  string name, u32 n_dims, u64 ne[n_dims], u32 type, u64 offset
 *   padding to general.alignment (u32, default 32)
 *   tensor data; offset counts from here and is a multiple of the alignment
 *
 * Files are hostile: every count is checked against the bytes that are there before anything is
 * allocated or read, so memory stays proportional to the file's own directory.
 */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H

#include "base/error.h"
#include "base/file.h"
#include "gguf/blocks.h"

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
} gguf_type;

/* Bytes inside the mapped file: not terminated, may contain anything. */
typedef struct gguf_string {
    const char *data;
    size_t n_bytes;
} gguf_string;

/* For "%.*s". */
#define GGUF_STRING_ARGS(string) ((string).n_bytes > 200 ? 200 : (int)(string).n_bytes), (string).data

/* Elements packed as in the file (unaligned). Arrays of arrays are refused. */
typedef struct gguf_array {
    gguf_type type;
    size_t n;
    const uint8_t *data;
    size_t n_bytes;
} gguf_array;

typedef struct gguf_value {
    gguf_type type;
    union {
        uint64_t u; /* U8, U16, U32, U64, BOOL */
        int64_t i;  /* I8, I16, I32, I64 */
        double f;   /* F32, F64 */
        gguf_string string;
        gguf_array array;
    };
} gguf_value;

typedef struct gguf_pair {
    gguf_string key;
    gguf_value value;
} gguf_pair;

typedef struct gguf_tensor {
    gguf_string name;
    const block_format *format; /* NULL if the type is unknown (reported as a problem) */
    uint32_t type;
    uint32_t n_dims; /* 1..4 */
    uint64_t ne[4];  /* ne[0] is the row length; unused ones are 1 */
    uint64_t offset; /* from the start of the tensor data */
    size_t row_bytes;
    size_t n_bytes;
    const uint8_t *data; /* NULL if any of the above is faulty or not in the file (reported as a problem) */
} gguf_tensor;

typedef struct gguf_file {
    char *name; /* path, for messages */
    file_map map;
    const uint8_t *bytes;
    size_t n_bytes;
    uint32_t alignment;
    size_t data_offset; /* start of the tensor data */
    gguf_pair *metadata;
    size_t n_metadata;
    gguf_tensor *tensors;
    size_t n_tensors;
    struct gguf_index *key_index, *tensor_index; /* hash tables by name */
} gguf_file;

/* Opens and checks the file. A fault of a single entry (duplicate name, unknown type, data outside the
 * file, misaligned offset, ...) goes to problems if there is a list, and reading goes on; it is an error if
 * problems is NULL. A directory that cannot be read to its end is an error in either case. */
ds4_status gguf_open(const char *path, problem_list *problems, gguf_file **file, ds4_error *error);
/* The same for bytes in memory, which must outlive the file. */
ds4_status gguf_open_memory(const char *name, const uint8_t *bytes, size_t n_bytes, problem_list *problems,
                            gguf_file **file, ds4_error *error);
/* The same, without a list, for a file of total_bytes bytes of which only the first n_bytes are there. They are copied;
 * the tensors' data reads as zeros and takes no memory. If it fails and *too_short is true, the directory goes on
 * behind these bytes, and more of them may help. */
ds4_status gguf_open_start(const char *name, const uint8_t *bytes, size_t n_bytes, uint64_t total_bytes,
                           gguf_file **file, bool *too_short, ds4_error *error);
void gguf_close(gguf_file *file);

/* NULL if there is none of that name. */
const gguf_value *gguf_find(const gguf_file *file, const char *key);
const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name);

/* Reading array elements. Numbers: any numeric or bool array, false if index is out of range or the type
 * is another. */
bool gguf_array_number(const gguf_array *array, size_t index, double *value);
/* Walks an array of strings: start with *offset = 0; false at the end or if it is not one of strings. */
bool gguf_array_next_string(const gguf_array *array, size_t *offset, gguf_string *string);

const char *gguf_type_name(gguf_type type);
/* Bytes of one value; 0 for strings, arrays and unknown types. */
size_t gguf_type_bytes(gguf_type type);

/* ---- writing (tests and tools) ---- */

typedef struct gguf_writer gguf_writer;

/* Metadata and tensors come in the order in which they are added; the file appears when finished.
 * Tensor data is written in the same order, each by one or more gguf_writer_data calls that must add up to
 * its size. Adding must be complete before the first data call. The u32 general.alignment is obeyed. */
ds4_status gguf_writer_new(const char *path, gguf_writer **writer, ds4_error *error);
ds4_status gguf_writer_add_u32(gguf_writer *writer, const char *key, uint32_t value, ds4_error *error);
ds4_status gguf_writer_add_u64(gguf_writer *writer, const char *key, uint64_t value, ds4_error *error);
ds4_status gguf_writer_add_f32(gguf_writer *writer, const char *key, float value, ds4_error *error);
ds4_status gguf_writer_add_bool(gguf_writer *writer, const char *key, bool value, ds4_error *error);
ds4_status gguf_writer_add_string(gguf_writer *writer, const char *key, const char *value, ds4_error *error);
/* values: packed little-endian numbers of a fixed-size type. */
ds4_status gguf_writer_add_array(gguf_writer *writer, const char *key, gguf_type type, const void *values, size_t n,
                                 ds4_error *error);
ds4_status gguf_writer_add_strings(gguf_writer *writer, const char *key, const char *const *values, size_t n,
                                   ds4_error *error);
ds4_status gguf_writer_add_tensor(gguf_writer *writer, const char *name, uint32_t block_type, uint32_t n_dims,
                                  const uint64_t *ne, ds4_error *error);
/* A tensor that shares the bytes of the tensor called like, added before, which is at least as large. */
ds4_status gguf_writer_add_shared_tensor(gguf_writer *writer, const char *name, uint32_t block_type, uint32_t n_dims,
                                         const uint64_t *ne, const char *like, ds4_error *error);
ds4_status gguf_writer_data(gguf_writer *writer, const void *bytes, size_t n_bytes, ds4_error *error);
ds4_status gguf_writer_finish(gguf_writer *writer, ds4_error *error);
/* Without finish nothing appears. */
void gguf_writer_free(gguf_writer *writer);

#endif
