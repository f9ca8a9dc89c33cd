/* Files of which only the first bytes are read: they are described as the whole file is, and nothing else is asked for.
 */
#include "test.h"

#include "base/file.h"
#include "gguf/gguf_remote.h"
#include "model/model.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static ds4_error error;

/* A file elsewhere: bytes that there are, and how they are served. */
typedef struct remote {
    const uint8_t *bytes;
    size_t n_bytes;       /* that are there; behind them zeros */
    uint64_t total_bytes; /* that the server speaks of */
    size_t n_requests, n_served;
    size_t fail_at;   /* the request that fails; 0: none */
    size_t change_at; /* the request from which the file is a byte longer; 0: none */
    size_t short_by;  /* bytes that are missing in each answer */
} remote;

static ds4_status serve(void *context, uint64_t offset, size_t n_bytes, ds4_buffer *bytes, uint64_t *total_bytes,
                        ds4_error *why) {
    remote *r = context;
    if (++r->n_requests == r->fail_at) return error_set(why, DS4_ERROR_IO, "the connection was lost");
    *total_bytes = r->total_bytes + (r->change_at && r->n_requests >= r->change_at);
    if (offset > *total_bytes) offset = *total_bytes;
    if (n_bytes > *total_bytes - offset) n_bytes = (size_t)(*total_bytes - offset);
    n_bytes -= r->short_by < n_bytes ? r->short_by : n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        char byte = offset + i < r->n_bytes ? (char)r->bytes[offset + i] : 0;
        if (bytes->capacity_bytes <= bytes->n_bytes + 1) {
            bytes->capacity_bytes = bytes->capacity_bytes * 2 + 64;
            bytes->data = realloc(bytes->data, bytes->capacity_bytes);
            assert_non_null(bytes->data);
        }
        bytes->data[bytes->n_bytes++] = byte;
    }
    if (bytes->data) bytes->data[bytes->n_bytes] = '\0';
    r->n_served += n_bytes;
    return DS4_OK;
}

static gguf_file *open_remote(remote *r) {
    gguf_file *file = NULL;
    assert_ok(gguf_open_remote("far.gguf", serve, r, &file, &error), &error);
    return file;
}

static void assert_refused(remote *r, ds4_status status, const char *message) {
    gguf_file *file = NULL;
    assert_int_equal(gguf_open_remote("far.gguf", serve, r, &file, &error), status);
    assert_null(file);
    if (!strstr(error.message, message)) fail_msg("\"%s\", expected \"%s\"", error.message, message);
}

/* A directory of about n_mib MiB, then 64 bytes of a tensor. */
static void write_file(const char *path, size_t n_mib) {
    gguf_writer *writer = NULL;
    enum { N = 1 << 14 }; /* strings of 64 bytes with their lengths: 1.125 MiB */
    static const char *string[N];
    for (size_t i = 0; i < N; i++) string[i] = "0123456789abcdef0123456789abcdef0123456789abcdef01234567";
    assert_ok(gguf_writer_new(path, &writer, &error), &error);
    for (size_t k = 0; k < n_mib; k++) {
        char key[32];
        snprintf(key, sizeof key, "strings.%zu", k);
        assert_ok(gguf_writer_add_strings(writer, key, string, N, &error), &error);
    }
    assert_ok(gguf_writer_add_tensor(writer, "t", BLOCK_F32, 1, (uint64_t[]){16}, &error), &error);
    assert_ok(gguf_writer_data(writer, string[0], 32, &error), &error);
    assert_ok(gguf_writer_data(writer, string[0], 32, &error), &error);
    assert_ok(gguf_writer_finish(writer, &error), &error);
    gguf_writer_free(writer);
}

static void the_directory_is_that_of_the_whole_file(void **state) {
    (void)state;
    const char *path = tiny_model_path("tiny-a-q2");
    gguf_file *whole = NULL;
    assert_ok(gguf_open(path, NULL, &whole, &error), &error);
    /* only the directory is there */
    remote r = {.bytes = whole->bytes, .n_bytes = whole->data_offset, .total_bytes = whole->n_bytes};
    gguf_file *far = open_remote(&r);
    assert_int_equal(r.n_served, MIB);
    assert_int_equal(far->n_bytes, whole->n_bytes);
    assert_int_equal(far->n_tensors, whole->n_tensors);
    for (size_t i = 0; i < far->n_tensors; i++) {
        assert_int_equal(far->tensors[i].n_bytes, whole->tensors[i].n_bytes);
        assert_int_equal(far->tensors[i].offset, whole->tensors[i].offset);
        assert_int_equal(far->tensors[i].data - far->bytes, whole->tensors[i].data - whole->bytes);
    }
    assert_int_equal(far->tensors[far->n_tensors - 1].data[0], 0);
    /* and is good enough to be checked as a model */
    hyperparameters hparams;
    model_weights weights;
    assert_ok(hyperparameters_read(far, NULL, &hparams, &error), &error);
    assert_ok(model_weights_read(far, &hparams, NULL, &weights, &error), &error);
    model_weights_deinit(&weights);
    gguf_close(far);
    gguf_close(whole);
}

static void a_long_directory_is_read_in_growing_pieces(void **state) {
    (void)state;
    const char *path = "build/remote-long.gguf";
    write_file(path, 4);
    file_map map = {0};
    assert_ok(file_map_open(path, &map, &error), &error);
    unlink(path);
    remote r = {.bytes = map.data, .n_bytes = map.n_bytes, .total_bytes = map.n_bytes};
    gguf_file *file = open_remote(&r);
    assert_int_equal(r.n_requests, 4); /* 1, 2, 4 and 8 MiB: the last ends with the file */
    assert_int_equal(r.n_served, map.n_bytes);
    gguf_close(file);

    r = (remote){.bytes = map.data, .n_bytes = map.n_bytes, .total_bytes = map.n_bytes, .fail_at = 3};
    assert_refused(&r, DS4_ERROR_IO, "the connection was lost");
    r = (remote){.bytes = map.data, .n_bytes = map.n_bytes, .total_bytes = map.n_bytes, .change_at = 2};
    assert_refused(&r, DS4_ERROR_FORMAT, "far.gguf: changed while it was read");
    r = (remote){.bytes = map.data, .n_bytes = map.n_bytes, .total_bytes = map.n_bytes, .short_by = 1};
    assert_refused(&r, DS4_ERROR_FORMAT, "bytes came from offset 0");
    /* cut off within the directory, and the server says so */
    r = (remote){.bytes = map.data, .n_bytes = 3 * MIB, .total_bytes = 3 * MIB};
    assert_refused(&r, DS4_ERROR_FORMAT, "ends too early");
    assert_int_equal(r.n_served, 3 * MIB);
    /* a tensor of which the end is missing */
    r = (remote){.bytes = map.data, .n_bytes = map.n_bytes - 1, .total_bytes = map.n_bytes - 1};
    assert_refused(&r, DS4_ERROR_FORMAT, "are not in the file");
    file_map_close(&map);
}

static void what_is_no_gguf_is_found_with_the_first_piece(void **state) {
    (void)state;
    static const uint8_t page[] = "<!doctype html><html>No such file, and a long text about it.</html>";
    remote r = {.bytes = page, .n_bytes = sizeof page, .total_bytes = (uint64_t)80 << 30};
    assert_refused(&r, DS4_ERROR_FORMAT, "not a GGUF file");
    assert_int_equal(r.n_requests, 1);
    r = (remote){.bytes = page, .n_bytes = sizeof page, .total_bytes = sizeof page};
    assert_refused(&r, DS4_ERROR_FORMAT, "not a GGUF file");
    r = (remote){.bytes = page, .n_bytes = 0, .total_bytes = 0};
    assert_refused(&r, DS4_ERROR_FORMAT, "far.gguf: ");
}

static void put_u64(uint8_t *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

static void hostile_sizes_are_bounded(void **state) {
    (void)state;
    uint8_t header[64] = "GGUF\3";
    put_u64(header + 8, 0);
    put_u64(header + 16, 1);
    /* a key that is longer than the file: no more is asked for */
    put_u64(header + 24, (uint64_t)1 << 60);
    remote r = {.bytes = header, .n_bytes = sizeof header, .total_bytes = (uint64_t)100 << 30};
    assert_refused(&r, DS4_ERROR_FORMAT, "ends too early");
    assert_int_equal(r.n_requests, 1);
    /* a key of 10 GiB that may well be in the file: 64 MiB are enough */
    put_u64(header + 24, (uint64_t)10 << 30);
    r = (remote){.bytes = header, .n_bytes = sizeof header, .total_bytes = (uint64_t)100 << 30};
    assert_refused(&r, DS4_ERROR_FORMAT, "its directory is not within the first 64 MiB");
    assert_int_equal(r.n_served, 64 * MIB);
    /* more bytes than there are addresses */
    r = (remote){.bytes = header, .n_bytes = sizeof header, .total_bytes = UINT64_MAX - 1};
    assert_refused(&r, DS4_ERROR_FORMAT, "far.gguf: ");
    r = (remote){.bytes = header, .n_bytes = sizeof header, .total_bytes = (uint64_t)1 << 62};
    assert_refused(&r, DS4_ERROR_MEMORY, "far.gguf: cannot reserve");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_directory_is_that_of_the_whole_file),
        cmocka_unit_test(a_long_directory_is_read_in_growing_pieces),
        cmocka_unit_test(what_is_no_gguf_is_found_with_the_first_piece),
        cmocka_unit_test(hostile_sizes_are_bounded),
    };
    return cmocka_run_group_tests_name("gguf_remote", tests, NULL, NULL);
}
