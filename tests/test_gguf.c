#include "base/error.h"
#include "base/memory.h"
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a file as bytes, so that it can be wrong in any way ---- */

static void put(ds4_buffer *file, const void *bytes, size_t n_bytes) {
    assert_true(buffer_append(file, bytes, n_bytes));
}
static void put_u8(ds4_buffer *file, uint8_t value) {
    put(file, &value, sizeof value);
}
static void put_u32(ds4_buffer *file, uint32_t value) {
    put(file, &value, sizeof value);
}
static void put_u64(ds4_buffer *file, uint64_t value) {
    put(file, &value, sizeof value);
}

static void put_string(ds4_buffer *file, const char *string) {
    put_u64(file, strlen(string));
    put(file, string, strlen(string));
}

static void put_header(ds4_buffer *file, uint64_t n_tensors, uint64_t n_metadata) {
    put(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, n_tensors);
    put_u64(file, n_metadata);
}

/* A key and the type of its value. */
static void put_key(ds4_buffer *file, const char *key, uint32_t type) {
    put_string(file, key);
    put_u32(file, type);
}

static void put_array(ds4_buffer *file, const char *key, uint32_t type, uint64_t n) {
    put_key(file, key, GGUF_ARRAY);
    put_u32(file, type);
    put_u64(file, n);
}

static void put_tensor(ds4_buffer *file, const char *name, uint32_t n_dims, const uint64_t *ne, uint32_t type,
                       uint64_t offset) {
    put_string(file, name);
    put_u32(file, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) put_u64(file, ne[i]);
    put_u32(file, type);
    put_u64(file, offset);
}

static void put_zeros(ds4_buffer *file, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) put_u8(file, 0);
}

static void put_padding(ds4_buffer *file, size_t alignment) {
    put_zeros(file, -file->n_bytes & (alignment - 1));
}

/* A whole file of one tensor with so many bytes of data. */
static void put_one_tensor(ds4_buffer *file, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset,
                           size_t data_bytes) {
    put_header(file, 1, 0);
    put_tensor(file, "t", n_dims, ne, type, offset);
    put_padding(file, 32);
    put_zeros(file, data_bytes);
}

/* ---- opening ---- */

/* Opens a copy with nothing behind it, so that a sanitizer sees every byte read too far. */
static ds4_status open_bytes(const void *bytes, size_t n_bytes, problem_list *problems, gguf_file **file,
                             uint8_t **copy, ds4_error *error) {
    *copy = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(*copy);
    if (n_bytes) memcpy(*copy, bytes, n_bytes);
    *file = NULL;
    return gguf_open_memory("m.gguf", *copy, n_bytes, problems, file, error);
}

static gguf_file *open_good(const ds4_buffer *bytes, uint8_t **copy) {
    gguf_file *file;
    ds4_error error = {""};
    ds4_status status = open_bytes(bytes->data, bytes->n_bytes, NULL, &file, copy, &error);
    if (status != DS4_OK) fail_msg("%s", error.message);
    return file;
}

/* The file is an error with this message, problem list or not. */
static void expect_error(ds4_buffer *bytes, const char *message) {
    for (int with_list = 0; with_list < 2; with_list++) {
        gguf_file *file;
        uint8_t *copy;
        ds4_error error = {""};
        problem_list problems = {0};
        ds4_status status = open_bytes(bytes->data, bytes->n_bytes, with_list ? &problems : NULL, &file, &copy, &error);
        assert_string_equal(error.message, message);
        assert_int_equal(status, DS4_ERROR_FORMAT);
        assert_null(file);
        problem_list_deinit(&problems);
        free(copy);
    }
    ds4_buffer_deinit(bytes);
}

/* The file is an error with this message without a list; with one this is the only problem. */
static void expect_problem(ds4_buffer *bytes, const char *message) {
    gguf_file *file;
    uint8_t *copy;
    ds4_error error = {""};
    assert_int_equal(open_bytes(bytes->data, bytes->n_bytes, NULL, &file, &copy, &error), DS4_ERROR_FORMAT);
    assert_string_equal(error.message, message);
    assert_null(file);
    free(copy);

    problem_list problems = {0};
    ds4_status status = open_bytes(bytes->data, bytes->n_bytes, &problems, &file, &copy, &error);
    assert_int_equal(status, DS4_OK);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.text[0], message);
    problem_list_deinit(&problems);
    gguf_close(file);
    free(copy);
    ds4_buffer_deinit(bytes);
}

/* Touches everything that a file offers; the result is only there to be used. */
static uint64_t walk(const gguf_file *file) {
    uint64_t sum = 0;
    for (size_t i = 0; i < file->n_metadata; i++) {
        const gguf_value *value = &file->metadata[i].value;
        if (value->type == GGUF_STRING)
            for (size_t k = 0; k < value->string.n_bytes; k++) sum += (uint8_t)value->string.data[k];
        if (value->type != GGUF_ARRAY) continue;
        gguf_string string;
        size_t offset = 0, n = 0;
        for (; gguf_array_next_string(&value->array, &offset, &string); n++)
            for (size_t k = 0; k < string.n_bytes; k++) sum += (uint8_t)string.data[k];
        if (value->array.type == GGUF_STRING) assert_int_equal(n, value->array.n);
        double number;
        for (size_t k = 0; gguf_array_number(&value->array, k, &number); k++) sum += number > 0;
    }
    for (size_t i = 0; i < file->n_tensors; i++)
        for (size_t k = 0; file->tensors[i].data && k < file->tensors[i].n_bytes; k++) sum += file->tensors[i].data[k];
    return sum;
}

/* ---- values ---- */

static void scalars_of_every_width_keep_their_value(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 7);
    put_key(&bytes, "u8", GGUF_U8);
    put_u8(&bytes, 200);
    put_key(&bytes, "i8", GGUF_I8);
    put_u8(&bytes, 0xff);
    put_key(&bytes, "u16", GGUF_U16);
    put(&bytes, "\xfe\xff", 2);
    put_key(&bytes, "i16", GGUF_I16);
    put(&bytes, "\xfe\xff", 2);
    put_key(&bytes, "i32", GGUF_I32);
    put_u32(&bytes, 0x80000000);
    put_key(&bytes, "i64", GGUF_I64);
    put_u64(&bytes, (uint64_t)-5);
    double number = 1e300;
    put_key(&bytes, "f64", GGUF_F64);
    put(&bytes, &number, sizeof number);
    uint8_t *copy;
    gguf_file *file = open_good(&bytes, &copy);
    assert_int_equal(gguf_find(file, "u8")->u, 200);
    assert_int_equal(gguf_find(file, "i8")->i, -1);
    assert_int_equal(gguf_find(file, "u16")->u, 65534);
    assert_int_equal(gguf_find(file, "i16")->i, -2);
    assert_int_equal(gguf_find(file, "i32")->i, INT32_MIN);
    assert_int_equal(gguf_find(file, "i64")->i, -5);
    assert_true(gguf_find(file, "f64")->f == 1e300);
    gguf_close(file);
    free(copy);
    ds4_buffer_deinit(&bytes);
}

static void arrays_of_every_number_type_are_readable(void **state) {
    (void)state;
    static const struct {
        gguf_type type;
        size_t n_bytes;
        const char *bytes;
        double value;
    } cases[] = {
        {GGUF_U8, 1, "\xff", 255},
        {GGUF_I8, 1, "\xff", -1},
        {GGUF_BOOL, 1, "\x01", 1},
        {GGUF_U16, 2, "\xff\xff", 65535},
        {GGUF_I16, 2, "\xff\xff", -1},
        {GGUF_U32, 4, "\xff\xff\xff\xff", 4294967295.0},
        {GGUF_I32, 4, "\xff\xff\xff\xff", -1},
        {GGUF_F32, 4, "\x00\x00\xc0\x3f", 1.5},
        {GGUF_U64, 8, "\x00\x00\x00\x00\x00\x00\x00\x80", 0x1p63},
        {GGUF_I64, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", -1},
        {GGUF_F64, 8, "\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ds4_buffer bytes = {0};
        put_header(&bytes, 0, 1);
        put_array(&bytes, "a", cases[i].type, 2);
        put_zeros(&bytes, cases[i].n_bytes);
        put(&bytes, cases[i].bytes, cases[i].n_bytes);
        uint8_t *copy;
        gguf_file *file = open_good(&bytes, &copy);
        const gguf_array *array = &gguf_find(file, "a")->array;
        assert_int_equal(array->type, cases[i].type);
        assert_int_equal(array->n_bytes, 2 * cases[i].n_bytes);
        assert_int_equal(gguf_type_bytes(array->type), cases[i].n_bytes);
        double number = -7;
        assert_true(gguf_array_number(array, 0, &number) && number == 0);
        assert_true(gguf_array_number(array, 1, &number) && number == cases[i].value);
        assert_false(gguf_array_number(array, 2, &number));
        assert_false(gguf_array_number(array, SIZE_MAX, &number));
        gguf_close(file);
        free(copy);
        ds4_buffer_deinit(&bytes);
    }
}

static void names_are_found_by_all_their_bytes(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 3);
    put_key(&bytes, "key", GGUF_U8);
    put_u8(&bytes, 1);
    put_u64(&bytes, 5); /* "key\0x" is another name */
    put(&bytes, "key\0x", 5);
    put_u32(&bytes, GGUF_U8);
    put_u8(&bytes, 2);
    put_key(&bytes, "", GGUF_U8);
    put_u8(&bytes, 3);
    uint8_t *copy;
    gguf_file *file = open_good(&bytes, &copy);
    assert_int_equal(gguf_find(file, "key")->u, 1);
    assert_int_equal(gguf_find(file, "")->u, 3);
    assert_null(gguf_find(file, "ke"));
    assert_null(gguf_find(file, "keys"));
    assert_null(gguf_find_tensor(file, "key"));
    gguf_close(file);
    free(copy);
    ds4_buffer_deinit(&bytes);
}

static void types_have_names(void **state) {
    (void)state;
    assert_string_equal(gguf_type_name(GGUF_U8), "u8");
    assert_string_equal(gguf_type_name(GGUF_STRING), "string");
    assert_string_equal(gguf_type_name(GGUF_F64), "f64");
    assert_string_equal(gguf_type_name((gguf_type)13), "unknown");
    assert_int_equal(gguf_type_bytes(GGUF_STRING), 0);
    assert_int_equal(gguf_type_bytes((gguf_type)13), 0);
}

/* ---- files that cannot be read to the end ---- */

static void wrong_headers_are_refused(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 0);
    bytes.data[3] = 'X';
    expect_error(&bytes, "m.gguf: not a GGUF file: expected \"GGUF\" and a header of 24 bytes");
    put(&bytes, "GGUF", 4);
    put_u32(&bytes, 2);
    put_zeros(&bytes, 16);
    expect_error(&bytes, "m.gguf: GGUF version 2, expected 3");
    put(&bytes, "GGUF\0\0\0\3", 8);
    put_zeros(&bytes, 16);
    expect_error(&bytes, "m.gguf: big-endian GGUF, expected little-endian");
}

static void absurd_counts_are_refused_before_anything_is_allocated(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, UINT64_MAX);
    put_zeros(&bytes, 26);
    expect_error(&bytes,
                 "m.gguf: 18446744073709551615 metadata entries, expected at most 1048576 and no more than fit in the "
                 "26 bytes left (truncated?)");
    put_header(&bytes, 0, 3); /* two could be there */
    put_zeros(&bytes, 26);
    expect_error(
        &bytes,
        "m.gguf: 3 metadata entries, expected at most 1048576 and no more than fit in the 26 bytes left (truncated?)");
    put_header(&bytes, 2, 0); /* one could be there */
    put_zeros(&bytes, 47);
    expect_error(&bytes,
                 "m.gguf: 2 tensors, expected at most 1048576 and no more than fit in the 47 bytes left (truncated?)");
    put_header(&bytes, 1ull << 60, 0);
    put_zeros(&bytes, 24);
    expect_error(&bytes, "m.gguf: 1152921504606846976 tensors, expected at most 1048576 and no more than fit in the 24 "
                         "bytes left (truncated?)");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", GGUF_U64, 1ull << 61);
    put_zeros(&bytes, 8);
    expect_error(&bytes,
                 "m.gguf: key 'a': the file ends too early: expected 2305843009213693952 times 8 bytes at offset 49 "
                 "of 57");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", GGUF_STRING, UINT64_MAX);
    put_zeros(&bytes, 8);
    expect_error(&bytes, "m.gguf: key 'a': the file ends too early: 18446744073709551615 strings cannot be in 8 bytes");
    put_header(&bytes, 1, 0);
    put_string(&bytes, "t");
    put_u32(&bytes, UINT32_MAX);
    put_zeros(&bytes, 64);
    expect_error(&bytes,
                 "m.gguf: tensor 't': the file ends too early: expected 4294967295 times 8 bytes at offset 37 of "
                 "101");
}

static void strings_longer_than_the_file_are_refused(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 1);
    put_u64(&bytes, UINT64_MAX - 7);
    put_zeros(&bytes, 5);
    expect_error(&bytes,
                 "m.gguf: key 1 of 1: the file ends too early: expected 18446744073709551608 times 1 bytes at offset "
                 "32 of 37");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", GGUF_STRING, 2);
    put_string(&bytes, "x");
    put_u64(&bytes, 2);
    put_u8(&bytes, 'y');
    expect_error(&bytes, "m.gguf: key 'a': the file ends too early: expected 2 times 1 bytes at offset 66 of 67");
}

static void unknown_value_types_and_nested_arrays_are_refused(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 1);
    put_key(&bytes, "a", 13);
    put_zeros(&bytes, 64);
    expect_error(&bytes, "m.gguf: key 'a': value type 13 is unknown, expected 0 to 12");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", UINT32_MAX, 0);
    expect_error(&bytes, "m.gguf: key 'a': value type 4294967295 is unknown, expected 0 to 12");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", GGUF_ARRAY, 1);
    put_zeros(&bytes, 64);
    expect_error(&bytes, "m.gguf: key 'a': arrays of arrays are not supported");
}

/* One of everything; the last tensor ends with the file. */
static void put_sample(ds4_buffer *bytes) {
    const uint64_t ne[3] = {32, 2, 1};
    put_header(bytes, 2, 4);
    put_key(bytes, "general.alignment", GGUF_U32);
    put_u32(bytes, 16);
    put_key(bytes, "name", GGUF_STRING);
    put_string(bytes, "sample");
    put_array(bytes, "words", GGUF_STRING, 2);
    put_string(bytes, "one");
    put_string(bytes, "two");
    put_array(bytes, "flags", GGUF_BOOL, 2);
    put(bytes, "\1\0", 2);
    put_tensor(bytes, "a", 3, ne, BLOCK_Q8_0, 16);
    put_tensor(bytes, "b", 1, ne + 1, BLOCK_F32, 0);
    put_padding(bytes, 16);
    put_zeros(bytes, 16 + 68);
}

static void truncated_files_are_refused_at_every_length(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_sample(&bytes);
    for (size_t n_bytes = 0; n_bytes <= bytes.n_bytes; n_bytes++) {
        gguf_file *file;
        uint8_t *copy;
        ds4_error error = {""};
        ds4_status status = open_bytes(bytes.data, n_bytes, NULL, &file, &copy, &error);
        assert_int_equal(status, n_bytes < bytes.n_bytes ? DS4_ERROR_FORMAT : DS4_OK);
        gguf_close(file);
        free(copy);

        problem_list problems = {0};
        status = open_bytes(bytes.data, n_bytes, &problems, &file, &copy, &error);
        if (n_bytes < bytes.n_bytes) assert_true(status == DS4_ERROR_FORMAT || problems.n > 0);
        if (status == DS4_OK) walk(file);
        problem_list_deinit(&problems);
        gguf_close(file);
        free(copy);
    }
    ds4_buffer_deinit(&bytes);
}

static void changing_any_byte_never_leads_outside_the_file(void **state) {
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x08, 0x09, 0x7f, 0x80, 0xff};
    ds4_buffer bytes = {0};
    put_sample(&bytes);
    for (size_t i = 0; i < bytes.n_bytes; i++) {
        char original = bytes.data[i];
        for (size_t v = 0; v < sizeof values; v++) {
            bytes.data[i] = (char)values[v];
            gguf_file *file;
            uint8_t *copy;
            problem_list problems = {0};
            if (open_bytes(bytes.data, bytes.n_bytes, &problems, &file, &copy, NULL) == DS4_OK) walk(file);
            problem_list_deinit(&problems);
            gguf_close(file);
            free(copy);
        }
        bytes.data[i] = original;
    }
    ds4_buffer_deinit(&bytes);
}

/* ---- faults of single entries ---- */

static void duplicate_names_are_a_problem(void **state) {
    (void)state;
    const uint64_t ne[1] = {1};
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 2);
    put_key(&bytes, "a", GGUF_U8);
    put_u8(&bytes, 1);
    put_key(&bytes, "a", GGUF_U8);
    put_u8(&bytes, 2);
    expect_problem(&bytes, "m.gguf: key 'a': appears twice");
    put_header(&bytes, 2, 0);
    put_tensor(&bytes, "t", 1, ne, BLOCK_F32, 0);
    put_tensor(&bytes, "t", 1, ne, BLOCK_F32, 0);
    put_padding(&bytes, 32);
    put_zeros(&bytes, 4);
    expect_problem(&bytes, "m.gguf: tensor 't': appears twice");
}

static void bools_other_than_0_and_1_are_a_problem(void **state) {
    (void)state;
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, 1);
    put_key(&bytes, "a", GGUF_BOOL);
    put_u8(&bytes, 2);
    expect_problem(&bytes, "m.gguf: key 'a': 2 is not a bool, expected 0 or 1");
    put_header(&bytes, 0, 1);
    put_array(&bytes, "a", GGUF_BOOL, 3);
    put(&bytes, "\0\1\xff", 3);
    expect_problem(&bytes, "m.gguf: key 'a': 255 is not a bool, expected 0 or 1");
}

static void wrong_alignments_are_a_problem(void **state) {
    (void)state;
    static const struct {
        uint32_t value;
        const char *message;
    } cases[] = {
        {0, "m.gguf: key 'general.alignment': 0, expected a power of two of at least 8"},
        {4, "m.gguf: key 'general.alignment': 4, expected a power of two of at least 8"},
        {48, "m.gguf: key 'general.alignment': 48, expected a power of two of at least 8"},
    };
    ds4_buffer bytes = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_header(&bytes, 0, 1);
        put_key(&bytes, "general.alignment", GGUF_U32);
        put_u32(&bytes, cases[i].value);
        expect_problem(&bytes, cases[i].message);
    }
    put_header(&bytes, 0, 1);
    put_key(&bytes, "general.alignment", GGUF_U64);
    put_u64(&bytes, 32);
    expect_problem(&bytes, "m.gguf: key 'general.alignment': type u64, expected u32");
}

static void wrong_shapes_are_a_problem(void **state) {
    (void)state;
    const uint64_t ne[5] = {32, 1, 1, 1, 1}, zero[2] = {32, 0}, odd[1] = {33};
    ds4_buffer bytes = {0};
    put_one_tensor(&bytes, 0, NULL, BLOCK_F32, 0, 4);
    expect_problem(&bytes, "m.gguf: tensor 't': 0 dimensions, expected 1 to 4");
    put_one_tensor(&bytes, 5, ne, BLOCK_Q8_0, 0, 34);
    expect_problem(&bytes, "m.gguf: tensor 't': 5 dimensions, expected 1 to 4");
    put_one_tensor(&bytes, 2, zero, BLOCK_Q8_0, 0, 34);
    expect_problem(&bytes, "m.gguf: tensor 't': dimension 1 is 0");
    put_one_tensor(&bytes, 1, odd, BLOCK_Q8_0, 0, 68);
    expect_problem(&bytes, "m.gguf: tensor 't': rows of 33 elements, expected a multiple of 32 for Q8_0");
    put_one_tensor(&bytes, 1, ne, 3, 0, 34);
    expect_problem(&bytes, "m.gguf: tensor 't': type 3 is unknown");
}

static void sizes_that_overflow_are_a_problem(void **state) {
    (void)state;
    /* 2^62 rows of four bytes are 2^64, which must not count as none; so must 2^32 * 2^32 */
    const uint64_t wraps[2] = {1, 1ull << 62}, squares[4] = {1ull << 32, 1, 1, 1ull << 32}, row[1] = {1ull << 63};
    ds4_buffer bytes = {0};
    put_one_tensor(&bytes, 2, wraps, BLOCK_F32, 0, 4);
    expect_problem(&bytes,
                   "m.gguf: tensor 't': 1 x 4611686018427387904 x 1 x 1 elements are more than can be addressed");
    put_one_tensor(&bytes, 4, squares, BLOCK_F16, 0, 4);
    expect_problem(&bytes,
                   "m.gguf: tensor 't': 4294967296 x 1 x 1 x 4294967296 elements are more than can be addressed");
    put_one_tensor(&bytes, 1, row, BLOCK_F16, 0, 4);
    expect_problem(&bytes,
                   "m.gguf: tensor 't': 9223372036854775808 x 1 x 1 x 1 elements are more than can be addressed");
}

static void data_outside_the_file_is_a_problem(void **state) {
    (void)state;
    const uint64_t ne[1] = {32}, large[1] = {1ull << 61};
    ds4_buffer bytes = {0};
    put_one_tensor(&bytes, 1, ne, BLOCK_Q8_0, 33, 100);
    expect_problem(&bytes, "m.gguf: tensor 't': offset 33 is not a multiple of 32");
    put_one_tensor(&bytes, 1, ne, BLOCK_Q8_0, 0, 33);
    expect_problem(&bytes, "m.gguf: tensor 't': 34 bytes at offset 0 are not in the file, which has 33 bytes of data");
    put_one_tensor(&bytes, 1, ne, BLOCK_Q8_0, 64, 97);
    expect_problem(&bytes, "m.gguf: tensor 't': 34 bytes at offset 64 are not in the file, which has 97 bytes of data");
    put_one_tensor(&bytes, 1, ne, BLOCK_Q8_0, UINT64_MAX - 31, 100);
    expect_problem(&bytes,
                   "m.gguf: tensor 't': 34 bytes at offset 18446744073709551584 are not in the file, which has 100 "
                   "bytes of data");
    put_one_tensor(&bytes, 1, large, BLOCK_F32, 32, 100);
    expect_problem(&bytes,
                   "m.gguf: tensor 't': 9223372036854775808 bytes at offset 32 are not in the file, which has 100 "
                   "bytes of data");
    put_header(&bytes, 1, 0); /* not even the padding is there */
    put_tensor(&bytes, "t", 1, ne, BLOCK_Q8_0, 0);
    expect_problem(&bytes, "m.gguf: tensor 't': 34 bytes at offset 0 are not in the file, which has 0 bytes of data");
}

static void with_a_list_all_problems_are_reported_and_good_entries_are_usable(void **state) {
    (void)state;
    const uint64_t ne[1] = {32}, odd[1] = {31};
    ds4_buffer bytes = {0};
    put_header(&bytes, 4, 2);
    put_key(&bytes, "flag", GGUF_BOOL);
    put_u8(&bytes, 7);
    put_key(&bytes, "number", GGUF_U8);
    put_u8(&bytes, 5);
    put_tensor(&bytes, "bad.type", 1, ne, 7, 0);
    put_tensor(&bytes, "bad.row", 1, odd, BLOCK_MXFP4, 0);
    put_tensor(&bytes, "good", 1, ne, BLOCK_MXFP4, 32);
    put_tensor(&bytes, "bad\n\xff.", 1, ne, BLOCK_F32, 1);
    put_padding(&bytes, 32);
    put_zeros(&bytes, 32 + 17);
    gguf_file *file;
    uint8_t *copy;
    problem_list problems = {0};
    assert_int_equal(open_bytes(bytes.data, bytes.n_bytes, &problems, &file, &copy, NULL), DS4_OK);
    assert_int_equal(problems.n, 4);
    assert_string_equal(problems.text[0], "m.gguf: key 'flag': 7 is not a bool, expected 0 or 1");
    assert_string_equal(problems.text[1], "m.gguf: tensor 'bad.type': type 7 is unknown");
    assert_string_equal(problems.text[2],
                        "m.gguf: tensor 'bad.row': rows of 31 elements, expected a multiple of 32 for MXFP4");
    assert_string_equal(problems.text[3], "m.gguf: tensor 'bad??.': offset 1 is not a multiple of 32");
    assert_int_equal(gguf_find(file, "number")->u, 5);
    assert_null(gguf_find_tensor(file, "bad.type")->format);
    assert_null(gguf_find_tensor(file, "bad.type")->data);
    assert_null(gguf_find_tensor(file, "bad.row")->data);
    assert_ptr_equal(gguf_find_tensor(file, "good")->data, file->bytes + file->data_offset + 32);
    problem_list_deinit(&problems);
    gguf_close(file);
    free(copy);
    ds4_buffer_deinit(&bytes);
}

/* Slow if finding duplicates were quadratic. */
static void a_hundred_thousand_entries_are_told_apart(void **state) {
    (void)state;
    enum { N = 100000 };
    ds4_buffer bytes = {0};
    put_header(&bytes, 0, N + 1);
    char key[16];
    for (int i = 0; i <= N; i++) {
        snprintf(key, sizeof key, "key.%d", i == N ? 777 : i);
        put_key(&bytes, key, GGUF_U8);
        put_u8(&bytes, (uint8_t)i);
    }
    gguf_file *file;
    uint8_t *copy;
    problem_list problems = {0};
    assert_int_equal(open_bytes(bytes.data, bytes.n_bytes, &problems, &file, &copy, NULL), DS4_OK);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.text[0], "m.gguf: key 'key.777': appears twice");
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key.%d", i);
        assert_ptr_equal(gguf_find(file, key), &file->metadata[i].value);
    }
    assert_null(gguf_find(file, "key.100001"));
    problem_list_deinit(&problems);
    gguf_close(file);
    free(copy);
    ds4_buffer_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_of_every_width_keep_their_value),
        cmocka_unit_test(arrays_of_every_number_type_are_readable),
        cmocka_unit_test(names_are_found_by_all_their_bytes),
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(absurd_counts_are_refused_before_anything_is_allocated),
        cmocka_unit_test(strings_longer_than_the_file_are_refused),
        cmocka_unit_test(unknown_value_types_and_nested_arrays_are_refused),
        cmocka_unit_test(truncated_files_are_refused_at_every_length),
        cmocka_unit_test(changing_any_byte_never_leads_outside_the_file),
        cmocka_unit_test(duplicate_names_are_a_problem),
        cmocka_unit_test(bools_other_than_0_and_1_are_a_problem),
        cmocka_unit_test(wrong_alignments_are_a_problem),
        cmocka_unit_test(wrong_shapes_are_a_problem),
        cmocka_unit_test(sizes_that_overflow_are_a_problem),
        cmocka_unit_test(data_outside_the_file_is_a_problem),
        cmocka_unit_test(with_a_list_all_problems_are_reported_and_good_entries_are_usable),
        cmocka_unit_test(a_hundred_thousand_entries_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
