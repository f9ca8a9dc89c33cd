/* A download from servers that lose connections, change files, and lie. */
#include "test.h"

#include "base/file.h"
#include "base/sha256.h"
#include "fetch/download.h"
#include "fetch/part.h"
#include "support/http_server.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { N_CONTENT = 200000 };
static char content[N_CONTENT], changed[N_CONTENT];
static http_server *server, *other;
static char folder[64], url[128], path[128], part_path[160], record_path[160];

#define ETAG "ETag: \"one\"\r\n"
static char linked[256]; /* the header that publishes content's SHA-256 */
static char linked_wrong[256];

/* ---- helpers ------------------------------------------------------------------------------------- */

static void write_file(const char *name, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

static void assert_file(const char *name, const void *expected, size_t n_bytes) {
    ds4_buffer found = {0};
    ds4_error error;
    assert_ok(file_read_all(name, 2 * N_CONTENT, &found, &error), &error);
    assert_int_equal(found.n_bytes, n_bytes);
    if (n_bytes) assert_memory_equal(found.data, expected, n_bytes);
    ds4_buffer_deinit(&found);
}

static int files_in_folder(void) {
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(listing));) n += entry->d_name[0] != '.';
    closedir(listing);
    return n;
}

/* Before each test. */
static int empty_folder(void **state) {
    (void)state;
    unlink(path);
    unlink(part_path);
    unlink(record_path);
    return files_in_folder() == 0 ? 0 : -1;
}

static download_options usual_options(void) {
    return (download_options){.url = url, .path = path, .retry_seconds = 1e-6, .stall_seconds = 1};
}

static download_result download(void) {
    download_options options = usual_options();
    download_result result;
    ds4_error error;
    assert_ok(download_file(&options, &result, &error), &error);
    return result;
}

/* It is right, and nothing else is left. */
static void assert_downloaded(download_result result, bool hash_verified) {
    assert_file(path, content, N_CONTENT);
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(result.n_bytes, N_CONTENT);
    assert_true(result.size_checked && !result.was_there);
    assert_int_equal(result.hash_verified, hash_verified);
}

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' is not in '%s'", part, text);
}

/* Fails so, and keeps n_kept bytes. */
static void assert_fails(ds4_status status, const char *message, size_t n_kept) {
    download_options options = usual_options();
    download_result result;
    ds4_error error;
    assert_int_equal(download_file(&options, &result, &error), status);
    assert_contains(error.message, message);
    assert_int_equal(result.n_bytes, n_kept);
    assert_int_equal(access(path, F_OK), -1);
    if (n_kept)
        assert_file(part_path, content, n_kept);
    else
        assert_int_equal(files_in_folder(), 0);
}

static void assert_range_of_request(size_t i, const char *expected) {
    assert_string_equal(http_server_request(server, i).range, expected);
}

/* ---- what should be ------------------------------------------------------------------------------ */

static void a_file_is_downloaded_and_verified(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = linked});
    assert_downloaded(download(), true);
    assert_int_equal(http_server_n_requests(server), 1);
    assert_range_of_request(0, "");
}

static void a_file_without_a_published_sum_is_taken_by_its_length(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {0});
    assert_downloaded(download(), false);
}

static void a_chunked_file_needs_its_published_length(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.is_chunked = true, .headers = "X-Linked-Size: 200000\r\n"});
    assert_downloaded(download(), false);
    empty_folder(NULL);
    HTTP_SCRIPT(server, {.is_chunked = true});
    assert_fails(DS4_ERROR_FORMAT, "does not say how long the file is", 0);
}

static void an_empty_file_is_a_file(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.content = "", .n_content = 0});
    download_result result = download();
    assert_true(result.size_checked && result.n_bytes == 0);
    assert_file(path, "", 0);
    assert_int_equal(files_in_folder(), 1);
}

/* ---- lost connections ---------------------------------------------------------------------------- */

static void a_dropped_connection_resumes(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 70000}, {.headers = ETAG, .drop_after = 30000},
                {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3);
    assert_range_of_request(1, "bytes=70000-");
    assert_range_of_request(2, "bytes=100000-");
}

static void a_reset_or_stalled_connection_resumes(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 150000, .resets = true}, {.headers = ETAG, .stalls = true},
                {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3);
}

static void bytes_that_flow_make_it_patient_again(void **state) {
    (void)state;
    http_answer answers[31];
    for (size_t i = 0; i < 31; i++)
        answers[i] = i % 3 == 0 ? (http_answer){.headers = ETAG, .drop_after = 5000} : (http_answer){.status = 503};
    answers[30] = (http_answer){.headers = ETAG};
    http_server_script(server, answers, 31);
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 31);
}

static void without_any_progress_it_gives_up(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 70000}, {.status = 503});
    assert_fails(DS4_ERROR_IO, ": status 503: the server has a problem", 70000);
    assert_int_equal(http_server_n_requests(server), 13);
    empty_folder(NULL);
    download_options options = usual_options();
    options.url = "http://127.0.0.1:1/nobody";
    download_result result;
    ds4_error error;
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_IO);
    assert_contains(error.message, "http://127.0.0.1:1/nobody: Failed to connect");
    assert_int_equal(files_in_folder(), 0);
}

static void a_later_call_goes_on_where_an_earlier_one_ended(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 70000}, {.status = 404});
    assert_fails(DS4_ERROR_IO, ": status 404: no such file there", 70000);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_downloaded(download(), true);
    assert_range_of_request(0, "bytes=70000-");
}

static void a_part_that_has_everything_only_needs_its_name(void **state) {
    (void)state;
    part_file part;
    ds4_error error;
    assert_ok(part_open(path, &part, &error), &error);
    assert_ok(part_record_save(&part, &(part_record){.total_bytes = N_CONTENT}, &error), &error);
    assert_ok(part_append(&part, content, N_CONTENT, &error), &error);
    part_close(&part);
    HTTP_SCRIPT(server, {.status = 404});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 0);
}

/* As Hugging Face does it: the host that was asked knows the file, the one that it leads to has it. */
static void a_host_that_leads_elsewhere_publishes_the_sum(void **state) {
    (void)state;
    char headers[512];
    snprintf(headers, sizeof headers, "%sLocation: %s/cdn\r\n", linked, http_server_url(other));
    HTTP_SCRIPT(server, {.status = 302, .headers = headers});
    /* the other's tags may change, by what way the bytes come */
    HTTP_SCRIPT(other, {.headers = ETAG, .drop_after = 70000}, {.headers = "ETag: \"two\"\r\n"});
    assert_downloaded(download(), true);
    assert_int_equal(http_server_n_requests(server), 2);
    assert_int_equal(http_server_n_requests(other), 2);
    assert_string_equal(http_server_request(other, 1).range, "bytes=70000-");
}

/* ---- busy servers -------------------------------------------------------------------------------- */

static void a_busy_server_is_asked_again_when_it_wants(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.status = 429, .headers = "Retry-After: 0\r\n"},
                {.status = 429, .headers = "Retry-After: 1\r\n"}, {.status = 503}, {0});
    double before = time_seconds();
    assert_downloaded(download(), false);
    double passed = time_seconds() - before;
    assert_true(passed >= 1 && passed < 3);
    assert_int_equal(http_server_n_requests(server), 4);
}

static void a_server_that_wants_to_be_asked_tomorrow_is_a_failure(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.status = 429, .headers = "Retry-After: 86400\r\n"});
    assert_fails(DS4_ERROR_IO, ": status 429: too many requests", 0);
    assert_int_equal(http_server_n_requests(server), 1);
}

static void what_will_not_pass_is_not_tried_again(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *message;
    } cases[] = {
        {404, "no such file there"}, {401, "HF_TOKEN"}, {403, "HF_TOKEN"}, {416, "no such part"}, {204, "status 204"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HTTP_SCRIPT(server, {.status = cases[i].status});
        assert_fails(DS4_ERROR_IO, cases[i].message, 0);
        assert_int_equal(http_server_n_requests(server), 1);
    }
}

/* ---- files that change --------------------------------------------------------------------------- */

static void a_file_that_changed_is_begun_again(void **state) {
    (void)state;
    /* same length, another tag */
    HTTP_SCRIPT(server,
                {.headers = "ETag: \"old\"\r\n", .content = changed, .n_content = N_CONTENT, .drop_after = 70000},
                {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3);
    assert_range_of_request(1, "bytes=70000-");
    assert_range_of_request(2, "");
    /* another length, between two calls */
    empty_folder(NULL);
    HTTP_SCRIPT(server, {.headers = ETAG, .content = content, .n_content = N_CONTENT - 1, .drop_after = 70000},
                {.status = 404});
    assert_fails(DS4_ERROR_IO, "404", 70000);
    HTTP_SCRIPT(server, {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_range_of_request(1, "");
    /* another sum */
    empty_folder(NULL);
    HTTP_SCRIPT(server, {.headers = linked_wrong, .content = changed, .n_content = N_CONTENT, .drop_after = 70000},
                {.headers = linked});
    assert_downloaded(download(), true);
    assert_range_of_request(2, "");
}

static void what_cannot_be_recognised_is_begun_again(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.content = changed, .n_content = N_CONTENT, .drop_after = 70000},
                {.headers = "ETag: W/\"weak\"\r\n"});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3);
    assert_range_of_request(2, "");
}

static void a_file_that_became_shorter_than_the_part_is_begun_again(void **state) {
    (void)state;
    static char longer[N_CONTENT + 5];
    HTTP_SCRIPT(server, {.headers = ETAG, .content = longer, .n_content = sizeof longer, .drop_after = N_CONTENT + 1},
                {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3); /* the second one was answered with 416 */
    assert_range_of_request(1, "bytes=200001-");
    assert_range_of_request(2, "");
}

static void a_sum_joins_what_comes_from_several_servers(void **state) {
    (void)state;
    /* the first server publishes the sum, and a mirror with a tag of its own goes on */
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 70000}, {.headers = ETAG});
    assert_downloaded(download(), true);
    assert_range_of_request(1, "bytes=70000-");
    /* the other way round */
    empty_folder(NULL);
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 70000}, {.headers = linked});
    assert_downloaded(download(), true);
    /* and it tells if they had different files */
    empty_folder(NULL);
    HTTP_SCRIPT(server, {.headers = ETAG, .content = changed, .n_content = N_CONTENT, .drop_after = 70000},
                {.headers = linked});
    assert_fails(DS4_ERROR_FORMAT, ".part: SHA-256 is ", 0);
}

/* ---- servers without ranges ---------------------------------------------------------------------- */

static void a_server_that_ignores_ranges_begins_again(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 70000}, {.headers = ETAG, .ignores_range = true});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 2);
}

static void it_does_not_begin_again_for_ever(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .ignores_range = true, .drop_after = 70000});
    assert_fails(DS4_ERROR_IO, "had to begin again 3 times", 70000);
    assert_int_equal(http_server_n_requests(server), 5);
}

/* ---- 416 ----------------------------------------------------------------------------------------- */

static void a_part_of_another_program_is_continued_if_the_sum_is_published(void **state) {
    (void)state;
    write_file(part_path, content, 1234);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_downloaded(download(), true);
    assert_range_of_request(0, "bytes=1234-");
    /* it may have everything: then the server answers 416 */
    empty_folder(NULL);
    write_file(part_path, content, N_CONTENT);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_downloaded(download(), true);
    assert_int_equal(http_server_n_requests(server), 1);
    /* otherwise nothing shows what it is */
    empty_folder(NULL);
    write_file(part_path, changed, N_CONTENT);
    HTTP_SCRIPT(server, {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 2);
    assert_range_of_request(1, "");
}

static void a_damaged_record_is_no_record(void **state) {
    (void)state;
    static const char *const records[] = {"",
                                          "{",
                                          "[]",
                                          "{\"bytes\": -1, \"etag\": \"\", \"sha256\": \"\"}",
                                          "{\"bytes\": 1e300, \"etag\": \"\", \"sha256\": \"\"}",
                                          "{\"bytes\": 200000, \"etag\": \"\\\"one\\\"\", \"sha256\": \"zz\"}",
                                          "{\"bytes\": 200000, \"etag\": 5, \"sha256\": \"\"}",
                                          "{\"bytes\": 18446744073709551616, \"etag\": \"\", \"sha256\": \"\"}"};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        empty_folder(NULL);
        write_file(part_path, changed, 1000);
        write_file(record_path, records[i], strlen(records[i]));
        HTTP_SCRIPT(server, {.headers = ETAG});
        assert_downloaded(download(), false);
    }
}

static void a_part_longer_than_its_file_is_begun_again(void **state) {
    (void)state;
    static const char record[] = "{\"bytes\": 200000, \"etag\": \"\\\"one\\\"\", \"sha256\": \"\"}";
    static char longer[N_CONTENT + 5];
    write_file(part_path, longer, sizeof longer);
    write_file(record_path, record, strlen(record));
    HTTP_SCRIPT(server, {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 1);
}

/* ---- lies ---------------------------------------------------------------------------------------- */

static void a_wrong_sum_removes_the_part(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = linked_wrong});
    assert_fails(DS4_ERROR_FORMAT, ".part: SHA-256 is ", 0);
    /* a resumed part is looked at from its beginning */
    HTTP_SCRIPT(server, {.headers = linked, .content = changed, .n_content = N_CONTENT, .drop_after = 70000},
                {.headers = linked});
    assert_fails(DS4_ERROR_FORMAT, ", published is ", 0);
    HTTP_SCRIPT(server, {.headers = linked_wrong});
    assert_fails(DS4_ERROR_FORMAT, "; it was removed", 0);
}

static void a_server_that_announces_too_much_is_found_out(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .content_length = "250000", .ignores_range = true});
    assert_fails(DS4_ERROR_IO, "had to begin again 3 times", N_CONTENT);
    empty_folder(NULL);
    /* one that can resume says with 416 that there is no more */
    HTTP_SCRIPT(server, {.headers = ETAG, .content_length = "250000"}, {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_int_equal(http_server_n_requests(server), 3);
    assert_range_of_request(1, "bytes=200000-");
    assert_range_of_request(2, "");
}

static void a_server_that_announces_too_little_is_found_out(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = strstr(linked, "X-Linked-ETag"), .content_length = "150000"});
    assert_fails(DS4_ERROR_FORMAT, ".part: SHA-256 is ", 0);
    HTTP_SCRIPT(server, {.headers = "X-Linked-Size: 200000\r\n", .content_length = "150000"});
    assert_fails(DS4_ERROR_FORMAT, "the file is 150000 bytes, X-Linked-Size 200000", 0);
    HTTP_SCRIPT(server, {.headers = "X-Linked-Size: 200000\r\n", .is_chunked = true, .n_surplus = 1});
    assert_fails(DS4_ERROR_FORMAT, "sends more than the 200000 bytes that it announced", 0);
}

static void another_range_than_asked_for_is_refused(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = ETAG, .drop_after = 70000},
                {.headers = ETAG, .content_range = "bytes 60000-199999/200000", .content_length = "140000"});
    assert_fails(DS4_ERROR_FORMAT, "sends bytes from 60000, asked for 70000", 70000);
    HTTP_SCRIPT(server, {.headers = ETAG, .content_range = "bytes 70000-199998/200000"});
    assert_fails(DS4_ERROR_FORMAT, "Content-Length is 130000 bytes, Content-Range 129999", 70000);
    /* less than asked for is allowed; the rest is asked for */
    HTTP_SCRIPT(server, {.headers = ETAG, .content_range = "bytes 70000-79999/200000", .content_length = "10000"},
                {.headers = ETAG});
    assert_downloaded(download(), false);
    assert_range_of_request(1, "bytes=80000-");
}

static void impossible_lengths_leave_nothing(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.content_length = "99999999999999999999"});
    assert_fails(DS4_ERROR_FORMAT, "impossible Content-Length", 0);
    HTTP_SCRIPT(server, {.content_length = "-1"});
    assert_fails(DS4_ERROR_IO, "", 0); /* libcurl's words */
    HTTP_SCRIPT(server, {.is_chunked = true, .headers = "X-Linked-Size: -1\r\n"});
    assert_fails(DS4_ERROR_FORMAT, "impossible X-Linked-Size", 0);
    HTTP_SCRIPT(server, {.status = 206, .content_range = "bytes 0-9/*", .content_length = ""});
    assert_fails(DS4_ERROR_FORMAT, "without saying which", 0);
}

/* ---- the disk ------------------------------------------------------------------------------------ */

static void too_little_free_space_is_found_before_the_first_byte(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.content_length = "9223372036854775807"});
    assert_fails(DS4_ERROR_IO, ".part: needs 9223372036854775807 bytes more, the disk has ", 0);
    assert_int_equal(http_server_n_requests(server), 1);
}

static void a_full_disk_keeps_the_part(void **state) {
    (void)state;
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    HTTP_SCRIPT(server, {.headers = ETAG});
    assert_fails(DS4_ERROR_IO, ".part: cannot write: File too large", 100000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(http_server_n_requests(server), 1);
    assert_downloaded(download(), false);
    assert_range_of_request(1, "bytes=100000-");
}

static void a_missing_folder_is_named(void **state) {
    (void)state;
    download_options options = usual_options();
    download_result result;
    ds4_error error;
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/none/file", folder);
    options.path = nowhere;
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_IO);
    assert_contains(error.message, "/none/file.part: cannot open: No such file or directory");
}

static void two_processes_do_not_write_one_part(void **state) {
    (void)state;
    part_file part;
    ds4_error error;
    assert_ok(part_open(path, &part, &error), &error);
    assert_ok(part_append(&part, content, 10, &error), &error);
    HTTP_SCRIPT(server, {.headers = linked});
    download_options options = usual_options();
    download_result result;
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_IO);
    assert_contains(error.message, ".part: another process is downloading it");
    assert_int_equal(http_server_n_requests(server), 0);
    part_close(&part);
    assert_downloaded(download(), true);
}

/* ---- cancelling ---------------------------------------------------------------------------------- */

typedef struct progress_log {
    int64_t cancel_at; /* bytes; -1: never */
    download_phase cancel_in;
    bool seen[4]; /* by download_phase */
    uint64_t done, total;
    char problem[256];
} progress_log;

static bool log_progress(void *context, const download_state *now) {
    progress_log *log = context;
    log->seen[now->phase] = true;
    if (now->phase == DOWNLOAD_RECEIVING) {
        assert_true(now->done_bytes <= now->total_bytes);
        log->done = now->done_bytes;
        log->total = now->total_bytes;
    }
    if (now->phase == DOWNLOAD_WAITING) snprintf(log->problem, sizeof log->problem, "%s", now->problem);
    return log->cancel_at >= 0 && now->phase == log->cancel_in && now->done_bytes >= (uint64_t)log->cancel_at;
}

static void a_cancelled_download_keeps_the_part(void **state) {
    (void)state;
    static const download_phase phases[] = {DOWNLOAD_RECEIVING, DOWNLOAD_WAITING, DOWNLOAD_VERIFYING};
    for (size_t i = 0; i < 3; i++) {
        progress_log log = {.cancel_at = 1, .cancel_in = phases[i]};
        download_options options = usual_options();
        options.progress = log_progress;
        options.context = &log;
        if (phases[i] == DOWNLOAD_WAITING) options.retry_seconds = 30;
        download_result result;
        ds4_error error;
        empty_folder(NULL);
        HTTP_SCRIPT(server,
                    {.headers = linked,
                     .piece_bytes = 50000,
                     .pause_ms = 20,
                     .drop_after = phases[i] == DOWNLOAD_WAITING ? 70000 : 0},
                    {.headers = linked});
        assert_int_equal(download_file(&options, &result, &error), DS4_CANCELLED);
        assert_int_equal(access(path, F_OK), -1);
        assert_true(result.n_bytes > 0);
        assert_file(part_path, content, result.n_bytes);
        assert_downloaded(download(), true);
    }
}

static void progress_says_what_happens(void **state) {
    (void)state;
    progress_log log = {.cancel_at = -1};
    download_options options = usual_options();
    options.progress = log_progress;
    options.context = &log;
    options.retry_seconds = 0.05;
    download_result result;
    ds4_error error;
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 70000},
                {.headers = linked, .piece_bytes = 50000, .pause_ms = 20});
    assert_ok(download_file(&options, &result, &error), &error);
    for (int i = 0; i < 4; i++) assert_true(log.seen[i]);
    assert_true(log.total == N_CONTENT && log.done > 70000);
    assert_true(strlen(log.problem) > 10);
    assert_null(strstr(log.problem, "http"));
}

/* ---- a file that is there ------------------------------------------------------------------------ */

static void a_file_that_is_there_is_not_downloaded_again(void **state) {
    (void)state;
    write_file(path, changed, N_CONTENT);
    HTTP_SCRIPT(server, {.headers = linked, .piece_bytes = 1000, .pause_ms = 1000});
    download_result result = download();
    assert_true(result.was_there && result.size_checked && !result.hash_verified);
    assert_int_equal(result.n_bytes, N_CONTENT);
    assert_file(path, changed, N_CONTENT);
    /* without an answer it is there all the same */
    HTTP_SCRIPT(server, {.status = 503});
    result = download();
    assert_true(result.was_there && !result.size_checked);
    assert_int_equal(http_server_n_requests(server), 1);
}

static void a_file_of_another_length_is_an_error_and_stays(void **state) {
    (void)state;
    download_options options = usual_options();
    download_result result;
    ds4_error error;
    write_file(path, "short", 5);
    HTTP_SCRIPT(server, {0});
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_FORMAT);
    assert_contains(error.message, ": has 5 bytes, but 200000 are published");
    assert_file(path, "short", 5);
}

static void a_file_that_is_there_can_be_verified(void **state) {
    (void)state;
    download_options options = usual_options();
    options.verify = true;
    download_result result;
    ds4_error error;
    write_file(path, content, N_CONTENT);
    HTTP_SCRIPT(server, {.headers = linked}, {.headers = linked_wrong}, {.headers = ETAG}, {.status = 503});
    assert_ok(download_file(&options, &result, &error), &error);
    assert_true(result.was_there && result.hash_verified);
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_FORMAT);
    assert_contains(error.message, ", published is ");
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_FORMAT);
    assert_contains(error.message, ": its SHA-256 is not published at http://");
    assert_int_equal(download_file(&options, &result, &error), DS4_ERROR_IO);
    assert_contains(error.message, ": status 503");
    assert_file(path, content, N_CONTENT);
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    for (size_t i = 0; i < N_CONTENT; i++) {
        content[i] = (char)(i * 2654435761u >> 13);
        changed[i] = (char)(content[i] ^ 1);
    }
    char sha[SHA256_HEX_BYTES];
    if (!sha256_hex(content, N_CONTENT, sha)) return -1;
    snprintf(linked, sizeof linked, "X-Linked-Size: %d\r\nX-Linked-ETag: \"%s\"\r\n", N_CONTENT, sha);
    sha[5] = sha[5] == '0' ? '1' : '0';
    snprintf(linked_wrong, sizeof linked_wrong, "X-Linked-Size: %d\r\nX-Linked-ETag: \"%s\"\r\n", N_CONTENT, sha);

    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/ds4-pull-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(part_path, sizeof part_path, "%s.part", path);
    snprintf(record_path, sizeof record_path, "%s.part.json", path);
    server = http_server_start(content, N_CONTENT);
    other = http_server_start(content, N_CONTENT);
    snprintf(url, sizeof url, "%s/file", http_server_url(server));
    return 0;
}

static int tear_down(void **state) {
    http_server_stop(server);
    http_server_stop(other);
    return empty_folder(state) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_setup(function, empty_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_downloaded_and_verified),
        TEST(a_file_without_a_published_sum_is_taken_by_its_length),
        TEST(a_chunked_file_needs_its_published_length),
        TEST(an_empty_file_is_a_file),
        TEST(a_dropped_connection_resumes),
        TEST(a_reset_or_stalled_connection_resumes),
        TEST(bytes_that_flow_make_it_patient_again),
        TEST(without_any_progress_it_gives_up),
        TEST(a_later_call_goes_on_where_an_earlier_one_ended),
        TEST(a_part_that_has_everything_only_needs_its_name),
        TEST(a_host_that_leads_elsewhere_publishes_the_sum),
        TEST(a_busy_server_is_asked_again_when_it_wants),
        TEST(a_server_that_wants_to_be_asked_tomorrow_is_a_failure),
        TEST(what_will_not_pass_is_not_tried_again),
        TEST(a_file_that_changed_is_begun_again),
        TEST(what_cannot_be_recognised_is_begun_again),
        TEST(a_file_that_became_shorter_than_the_part_is_begun_again),
        TEST(a_sum_joins_what_comes_from_several_servers),
        TEST(a_server_that_ignores_ranges_begins_again),
        TEST(it_does_not_begin_again_for_ever),
        TEST(a_part_of_another_program_is_continued_if_the_sum_is_published),
        TEST(a_damaged_record_is_no_record),
        TEST(a_part_longer_than_its_file_is_begun_again),
        TEST(a_wrong_sum_removes_the_part),
        TEST(a_server_that_announces_too_much_is_found_out),
        TEST(a_server_that_announces_too_little_is_found_out),
        TEST(another_range_than_asked_for_is_refused),
        TEST(impossible_lengths_leave_nothing),
        TEST(too_little_free_space_is_found_before_the_first_byte),
        TEST(a_full_disk_keeps_the_part),
        TEST(a_missing_folder_is_named),
        TEST(two_processes_do_not_write_one_part),
        TEST(a_cancelled_download_keeps_the_part),
        TEST(progress_says_what_happens),
        TEST(a_file_that_is_there_is_not_downloaded_again),
        TEST(a_file_of_another_length_is_an_error_and_stays),
        TEST(a_file_that_is_there_can_be_verified),
    };
    return cmocka_run_group_tests_name("download", tests, set_up, tear_down);
}
