/* Files that appear only when they are whole, and reading with a limit. */
#include "test.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/ds4-base-XXXXXX";

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    return rmdir(directory); /* fails if a test left something behind */
}

static const char *in_directory(const char *name) {
    static char path[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int files_in_directory(void) {
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(listing));) n += entry->d_name[0] != '.';
    closedir(listing);
    return n;
}

static void check_content(const char *path, const char *expected) {
    ds4_buffer content = {0};
    ds4_error error;
    assert_ok(file_read_all(path, 1000, &content, &error), &error);
    assert_string_equal(content.data, expected);
    ds4_buffer_deinit(&content);
}

static void begin_file(const char *path, const char *content, file_writer *writer) {
    ds4_error error;
    assert_ok(file_writer_open(path, writer, &error), &error);
    assert_ok(file_writer_write(writer, content, strlen(content), &error), &error);
    assert_int_equal(fflush(writer->stream), 0);
}

static void a_file_appears_only_when_it_is_committed(void **state) {
    (void)state;
    const char *path = in_directory("new");
    ds4_error error;
    file_writer writer;
    begin_file(path, "hello", &writer);
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(file_writer_commit(&writer, &error), &error);
    check_content(path, "hello");
    assert_int_equal(files_in_directory(), 1);
    file_writer_abandon(&writer);
    check_content(path, "hello");
    assert_int_equal(unlink(path), 0);
}

static void an_abandoned_file_leaves_nothing(void **state) {
    (void)state;
    file_writer writer;
    begin_file(in_directory("given-up"), "half", &writer);
    assert_int_equal(files_in_directory(), 1); /* the unfinished one, under another name */
    file_writer_abandon(&writer);
    assert_int_equal(files_in_directory(), 0);
}

static void an_existing_file_is_replaced_only_by_a_whole_one(void **state) {
    (void)state;
    const char *path = in_directory("kept");
    ds4_error error;
    file_writer writer;
    begin_file(path, "old", &writer);
    assert_ok(file_writer_commit(&writer, &error), &error);
    begin_file(path, "never", &writer);
    file_writer_abandon(&writer);
    check_content(path, "old");
    begin_file(path, "new", &writer);
    check_content(path, "old");
    assert_ok(file_writer_commit(&writer, &error), &error);
    check_content(path, "new");
    assert_int_equal(files_in_directory(), 1);
    assert_int_equal(unlink(path), 0);
}

static void failures_name_the_file_and_the_reason(void **state) {
    (void)state;
    ds4_error error;
    file_writer writer;
    char expected[128];
    const char *path = in_directory("none/file");
    assert_int_equal(file_writer_open(path, &writer, &error), DS4_ERROR_IO);
    snprintf(expected, sizeof expected, "%s: cannot open for writing: No such file or directory", path);
    assert_string_equal(error.message, expected);
    file_writer_abandon(&writer);

    ds4_buffer content = {0};
    assert_int_equal(file_read_all(path, 10, &content, &error), DS4_ERROR_IO);
    snprintf(expected, sizeof expected, "%s: cannot open: No such file or directory", path);
    assert_string_equal(error.message, expected);
    file_map map;
    assert_int_equal(file_map_open(path, &map, &error), DS4_ERROR_IO);
    assert_string_equal(error.message, expected);
    assert_int_equal(file_map_open(directory, &map, &error), DS4_ERROR_IO);
    snprintf(expected, sizeof expected, "%s: not a regular file", directory);
    assert_string_equal(error.message, expected);
    ds4_buffer_deinit(&content);
}

static void a_full_disk_is_noticed(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    ds4_error error;
    file_writer writer;
    assert_ok(file_writer_open("/dev/full", &writer, &error), &error);
    assert_ok(file_writer_write(&writer, "x", 1, &error), &error);
    assert_int_equal(file_writer_commit(&writer, &error), DS4_ERROR_IO);
    assert_string_equal(error.message, "/dev/full: cannot write: No space left on device");
    assert_int_equal(access("/dev/full", F_OK), 0);
}

/* Reads n_bytes with a limit. */
static ds4_status read_limited(size_t n_bytes, size_t max_bytes, ds4_buffer *content, ds4_error *error) {
    FILE *stream = tmpfile();
    assert_non_null(stream);
    for (size_t i = 0; i < n_bytes; i++) fputc((int)(i % 251), stream);
    rewind(stream);
    ds4_status status = stream_read_all(stream, "input", max_bytes, content, error);
    fclose(stream);
    return status;
}

static void streams_are_read_up_to_the_limit(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ds4_error error;
        ds4_buffer content = {0};
        assert_true(buffer_append_string(&content, "before")); /* does not count */
        assert_ok(read_limited(sizes[i], sizes[i], &content, &error), &error);
        assert_int_equal(content.n_bytes, 6 + sizes[i]);
        assert_memory_equal(content.data, "before", 6);
        for (size_t k = 0; k < sizes[i]; k++) assert_true((uint8_t)content.data[6 + k] == k % 251);
        ds4_buffer_deinit(&content);
        if (!sizes[i]) continue;
        char expected[64];
        snprintf(expected, sizeof expected, "input: larger than %zu bytes", sizes[i] - 1);
        assert_int_equal(read_limited(sizes[i], sizes[i] - 1, &content, &error), DS4_ERROR_FORMAT);
        assert_string_equal(error.message, expected);
        ds4_buffer_deinit(&content);
    }
}

static void a_file_beside_the_program_is_named_from_the_root(void **state) {
    (void)state;
    char *path = path_beside_program("test_file");
    assert_non_null(path);
    assert_true(path[0] == '/');
    assert_int_equal(access(path, X_OK), 0); /* this program */
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_beside_the_program_is_named_from_the_root),
        cmocka_unit_test(a_file_appears_only_when_it_is_committed),
        cmocka_unit_test(an_abandoned_file_leaves_nothing),
        cmocka_unit_test(an_existing_file_is_replaced_only_by_a_whole_one),
        cmocka_unit_test(failures_name_the_file_and_the_reason),
        cmocka_unit_test(a_full_disk_is_noticed),
        cmocka_unit_test(streams_are_read_up_to_the_limit),
    };
    return cmocka_run_group_tests_name("file", tests, make_directory, remove_directory);
}
