/* Writing files, and reading back what was written. */
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_gguf-XXXXXX";
static char path[sizeof directory + 16];

static int make_directory(void **state) {
    (void)state;
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/file.gguf", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static gguf_writer *new_writer(void) {
    gguf_writer *writer = NULL;
    assert_int_equal(gguf_writer_new(path, &writer, NULL), DS4_OK);
    return writer;
}

static gguf_file *open_path(void) {
    gguf_file *file = NULL;
    ds4_error error = {""};
    if (gguf_open(path, NULL, &file, &error) != DS4_OK) fail_msg("%s", error.message);
    return file;
}

static bool string_is(gguf_string string, const char *expected) {
    return string.n_bytes == strlen(expected) && memcmp(string.data, expected, string.n_bytes) == 0;
}

static void metadata_that_was_written_is_read_back(void **state) {
    (void)state;
    static const int32_t numbers[] = {-4, 0, 128};
    static const char *const strings[] = {"", "a b", "\xef\xbd\x9c"};
    gguf_writer *writer = new_writer();
    assert_int_equal(gguf_writer_add_u32(writer, "u32", 0xfffffffe, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_u64(writer, "u64", 0xfffffffffffffffd, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_f32(writer, "f32", -0.5f, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_bool(writer, "bool", true, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_string(writer, "string", "text", NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_array(writer, "array", GGUF_I32, numbers, 3, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_array(writer, "empty", GGUF_F64, NULL, 0, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_strings(writer, "strings", strings, 3, NULL), DS4_OK);
    assert_int_equal(gguf_writer_finish(writer, NULL), DS4_OK);
    gguf_writer_free(writer);

    gguf_file *file = open_path();
    assert_int_equal(file->n_metadata, 8);
    assert_int_equal(file->n_tensors, 0);
    assert_int_equal(file->alignment, 32);
    assert_true(string_is(file->metadata[7].key, "strings"));
    assert_int_equal(gguf_find(file, "u32")->type, GGUF_U32);
    assert_int_equal(gguf_find(file, "u32")->u, 0xfffffffe);
    assert_int_equal(gguf_find(file, "u64")->u, 0xfffffffffffffffd);
    assert_true(gguf_find(file, "f32")->f == -0.5);
    assert_int_equal(gguf_find(file, "bool")->type, GGUF_BOOL);
    assert_int_equal(gguf_find(file, "bool")->u, 1);
    assert_true(string_is(gguf_find(file, "string")->string, "text"));

    const gguf_array *array = &gguf_find(file, "array")->array;
    double number = 0;
    assert_int_equal(array->n, 3);
    assert_true(gguf_array_number(array, 0, &number) && number == -4);
    assert_true(gguf_array_number(array, 2, &number) && number == 128);
    assert_false(gguf_array_number(array, 3, &number));
    assert_int_equal(gguf_find(file, "empty")->array.n, 0);
    assert_false(gguf_array_number(&gguf_find(file, "empty")->array, 0, &number));

    gguf_string string;
    size_t offset = 0;
    assert_false(gguf_array_next_string(array, &offset, &string));
    array = &gguf_find(file, "strings")->array;
    assert_false(gguf_array_number(array, 0, &number));
    for (int i = 0; i < 3; i++) {
        assert_true(gguf_array_next_string(array, &offset, &string));
        assert_true(string_is(string, strings[i]));
    }
    assert_false(gguf_array_next_string(array, &offset, &string));
    gguf_close(file);
}

static const uint32_t all_types[] = {BLOCK_F32,  BLOCK_F16,  BLOCK_Q4_0,    BLOCK_Q8_0, BLOCK_Q2_K, BLOCK_Q4_K,
                                     BLOCK_Q5_K, BLOCK_Q6_K, BLOCK_IQ2_XXS, BLOCK_I32,  BLOCK_BF16, BLOCK_MXFP4};
enum { N_TYPES = sizeof all_types / sizeof *all_types, ROW = 512, ROWS = 3, PLANES = 2 };

static void tensors_of_every_type_are_read_back(void **state) {
    (void)state;
    gguf_writer *writer = new_writer();
    const uint64_t ne[4] = {ROW, ROWS, PLANES, 1};
    for (uint32_t i = 0; i < N_TYPES; i++) {
        const char *name = block_format_find(all_types[i])->name;
        assert_int_equal(gguf_writer_add_tensor(writer, name, all_types[i], 2 + i % 3, ne, NULL), DS4_OK);
    }
    static uint8_t data[ROW * ROWS * PLANES * 4];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 37 + i / 256);
    for (uint32_t i = 0; i < N_TYPES; i++) {
        const block_format *format = block_format_find(all_types[i]);
        size_t n_bytes = ROW / format->n_elements * format->n_bytes * ROWS * (i % 3 ? PLANES : 1);
        /* in two pieces, each tensor with other bytes */
        assert_int_equal(gguf_writer_data(writer, data + i, 7, NULL), DS4_OK);
        assert_int_equal(gguf_writer_data(writer, data + i + 7, n_bytes - 7, NULL), DS4_OK);
    }
    assert_int_equal(gguf_writer_finish(writer, NULL), DS4_OK);
    gguf_writer_free(writer);

    gguf_file *file = open_path();
    assert_int_equal(file->n_tensors, N_TYPES);
    for (uint32_t i = 0; i < N_TYPES; i++) {
        const block_format *format = block_format_find(all_types[i]);
        const gguf_tensor *tensor = gguf_find_tensor(file, format->name);
        assert_ptr_equal(tensor, &file->tensors[i]);
        assert_ptr_equal(tensor->format, format);
        assert_int_equal(tensor->n_dims, 2 + i % 3);
        assert_int_equal(tensor->ne[0], ROW);
        assert_int_equal(tensor->ne[1], ROWS);
        assert_int_equal(tensor->ne[2], i % 3 ? PLANES : 1);
        assert_int_equal(tensor->ne[3], 1);
        assert_int_equal(tensor->row_bytes, ROW / format->n_elements * format->n_bytes);
        assert_int_equal(tensor->n_bytes, tensor->row_bytes * ROWS * (i % 3 ? PLANES : 1));
        assert_int_equal(tensor->offset % 32, 0);
        assert_int_equal((size_t)(tensor->data - file->bytes) % 32, 0);
        assert_memory_equal(tensor->data, data + i, tensor->n_bytes);
    }
    gguf_close(file);
}

static void tensors_can_share_their_bytes(void **state) {
    (void)state;
    gguf_writer *writer = new_writer();
    const uint64_t ne[1] = {4}, smaller[1] = {2};
    assert_int_equal(gguf_writer_add_tensor(writer, "a", BLOCK_F32, 1, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_shared_tensor(writer, "b", BLOCK_F32, 1, smaller, "a", NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "c", BLOCK_F32, 1, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_shared_tensor(writer, "d", BLOCK_F16, 1, ne, "b", NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "aaaabbbbccccdddd", 16, NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "0000111122223333", 16, NULL), DS4_OK);
    assert_int_equal(gguf_writer_finish(writer, NULL), DS4_OK);
    gguf_writer_free(writer);
    gguf_file *file = open_path();
    assert_memory_equal(gguf_find_tensor(file, "a")->data, "aaaabbbbccccdddd", 16);
    assert_ptr_equal(gguf_find_tensor(file, "b")->data, gguf_find_tensor(file, "a")->data);
    assert_ptr_equal(gguf_find_tensor(file, "d")->data, gguf_find_tensor(file, "a")->data);
    assert_memory_equal(gguf_find_tensor(file, "c")->data, "0000111122223333", 16);
    gguf_close(file);
}

static void the_alignment_of_the_file_is_obeyed(void **state) {
    (void)state;
    gguf_writer *writer = new_writer();
    const uint64_t ne[1] = {1};
    assert_int_equal(gguf_writer_add_u32(writer, "general.alignment", 256, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "a", BLOCK_F32, 1, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "b", BLOCK_F32, 1, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "aaaa", 4, NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "bbbb", 4, NULL), DS4_OK);
    assert_int_equal(gguf_writer_finish(writer, NULL), DS4_OK);
    gguf_writer_free(writer);
    gguf_file *file = open_path();
    assert_int_equal(file->alignment, 256);
    assert_int_equal(file->data_offset, 256);
    assert_int_equal(file->n_bytes, 3 * 256);
    assert_int_equal(gguf_find_tensor(file, "b")->offset, 256);
    assert_memory_equal(gguf_find_tensor(file, "b")->data, "bbbb", 4);
    gguf_close(file);
}

static void the_writer_refuses_data_of_the_wrong_size(void **state) {
    (void)state;
    ds4_error error;
    char expected[200];
    const uint64_t ne[1] = {2};
    gguf_writer *writer = new_writer();
    assert_int_equal(gguf_writer_add_tensor(writer, "t", BLOCK_F32, 1, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "12345", 5, NULL), DS4_OK);
    assert_int_equal(gguf_writer_finish(writer, &error), DS4_ERROR_ARGUMENT);
    snprintf(expected, sizeof expected, "%s: tensor 't': 5 bytes of data, expected 8", path);
    assert_string_equal(error.message, expected);
    assert_int_equal(gguf_writer_data(writer, "6789", 4, &error), DS4_ERROR_ARGUMENT);
    snprintf(expected, sizeof expected, "%s: tensor 't': 4 bytes of data, expected at most 3 more", path);
    assert_string_equal(error.message, expected);
    assert_int_equal(gguf_writer_data(writer, "678", 3, NULL), DS4_OK);
    assert_int_equal(gguf_writer_data(writer, "9", 1, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_u32(writer, "late", 1, &error), DS4_ERROR_ARGUMENT);
    snprintf(expected, sizeof expected, "%s: 'late' is added after the first data", path);
    assert_string_equal(error.message, expected);
    assert_int_equal(gguf_writer_finish(writer, NULL), DS4_OK);
    gguf_writer_free(writer);
    gguf_close(open_path());
}

static void the_writer_refuses_what_the_reader_would(void **state) {
    (void)state;
    ds4_error error;
    const uint64_t ne[4] = {32, 2, 1, 1}, odd[1] = {33}, none[2] = {32, 0}, huge[2] = {32, UINT64_MAX};
    gguf_writer *writer = new_writer();
    assert_int_equal(gguf_writer_add_tensor(writer, "t", BLOCK_Q8_0, 2, ne, NULL), DS4_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "t", BLOCK_Q8_0, 2, ne, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", 5, 2, ne, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", BLOCK_Q8_0, 0, ne, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", BLOCK_Q8_0, 5, ne, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", BLOCK_Q8_0, 1, odd, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", BLOCK_Q8_0, 2, none, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "u", BLOCK_Q8_0, 2, huge, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_shared_tensor(writer, "u", BLOCK_Q8_0, 2, ne, "x", &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_shared_tensor(writer, "u", BLOCK_F32, 2, ne, "t", &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_u32(writer, "general.alignment", 48, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_array(writer, "a", GGUF_STRING, "", 1, &error), DS4_ERROR_ARGUMENT);
    gguf_writer_free(writer);
}

static void without_finish_no_file_appears(void **state) {
    (void)state;
    unlink(path);
    gguf_writer *writer = new_writer();
    assert_int_equal(gguf_writer_add_u32(writer, "a", 1, NULL), DS4_OK);
    gguf_writer_free(writer);
    assert_int_equal(access(path, F_OK), -1);
    gguf_writer_free(NULL);
}

static void missing_and_empty_files_are_named(void **state) {
    (void)state;
    gguf_file *file = NULL;
    ds4_error error;
    unlink(path);
    assert_int_equal(gguf_open(path, NULL, &file, &error), DS4_ERROR_IO);
    assert_non_null(strstr(error.message, path));
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    fclose(stream);
    assert_int_equal(gguf_open(path, NULL, &file, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, path));
    assert_null(file);
    gguf_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_that_was_written_is_read_back),
        cmocka_unit_test(tensors_of_every_type_are_read_back),
        cmocka_unit_test(tensors_can_share_their_bytes),
        cmocka_unit_test(the_alignment_of_the_file_is_obeyed),
        cmocka_unit_test(the_writer_refuses_data_of_the_wrong_size),
        cmocka_unit_test(the_writer_refuses_what_the_reader_would),
        cmocka_unit_test(without_finish_no_file_appears),
        cmocka_unit_test(missing_and_empty_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
