/* What the headers of a response say, and reading parts of files from a server. */
#include "test.h"

#include "fetch/fetch.h"
#include "support/http_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA_REST "f0c9d1e4f0c9d1e4f0c9d1e4f0c9d1e4f0c9d1e4f0c9d1e4f0c9d1e4f0c9d1e"
#define SHA "4" SHA_REST

/* ---- headers ------------------------------------------------------------------------------------- */

static fetch_reply reply_of(const char *const *lines) {
    fetch_reply reply = {0};
    for (; *lines; lines++) {
        char line[512];
        int n = snprintf(line, sizeof line, "%s\r\n", *lines);
        fetch_reply_header(&reply, line, (size_t)n);
    }
    return reply;
}

#define REPLY(...) reply_of((const char *const[]){__VA_ARGS__, NULL})

static void assert_extent(fetch_reply reply, uint64_t first, uint64_t end, uint64_t total) {
    fetch_extent extent;
    ds4_error error;
    assert_ok(fetch_reply_extent(&reply, "URL", &extent, &error), &error);
    assert_true(extent.first == first && extent.end == end && extent.total == total);
}

static void assert_refused(fetch_reply reply, const char *message) {
    fetch_extent extent;
    ds4_error error;
    assert_int_equal(fetch_reply_extent(&reply, "URL", &extent, &error), DS4_ERROR_FORMAT);
    assert_string_equal(error.message, message);
}

static void the_bytes_of_a_body_are_known_from_its_headers(void **state) {
    (void)state;
    assert_extent(REPLY("HTTP/1.1 200 OK", "Content-Length: 1234"), 0, 1234, 1234);
    assert_extent(REPLY("HTTP/2 200", "content-length:0"), 0, 0, 0);
    assert_extent(REPLY("HTTP/1.1 206 Partial", "Content-Range: bytes 5-9/1234"), 5, 10, 1234);
    assert_extent(REPLY("HTTP/1.1 206", "CONTENT-RANGE:  bytes 0-0/1  ", "content-length: 1"), 0, 1, 1);
    assert_extent(REPLY("HTTP/1.1 200 OK", "X-Linked-Size: 77"), 0, 77, 77);
    assert_extent(REPLY("HTTP/1.1 200 OK", "Content-Length: 9223372036854775807"), 0, INT64_MAX, INT64_MAX);
    fetch_reply nothing_left = REPLY("HTTP/1.1 416 No", "Content-Range: bytes */1234");
    assert_true(nothing_left.status == 416 && nothing_left.has_total && nothing_left.total_bytes == 1234);
}

static void impossible_lengths_are_refused(void **state) {
    (void)state;
    static const char *const lengths[] = {"-1",
                                          "",
                                          "x",
                                          "1x",
                                          "1 2",
                                          "0x10",
                                          "+5",
                                          "9223372036854775808",
                                          "18446744073709551617",
                                          "99999999999999999999999999"};
    static const char *const ranges[] = {"bytes 5-4/10",
                                         "bytes 0-10/10",
                                         "bytes 0-9",
                                         "bytes -1-9/10",
                                         "bytes 0-9/-1",
                                         "0-9/10",
                                         "bytes 0-9/10x",
                                         "bytes a-b/c",
                                         "bytes",
                                         "bytes 0-/10",
                                         "bytes 0-9223372036854775807/9223372036854775807",
                                         "bytes 0-9/99999999999999999999",
                                         ""};
    char line[128];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(line, sizeof line, "Content-Length: %s", lengths[i]);
        assert_refused(REPLY("HTTP/1.1 200 OK", line), "URL: the server sends an impossible Content-Length");
    }
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        snprintf(line, sizeof line, "Content-Range: %s", ranges[i]);
        assert_refused(REPLY("HTTP/1.1 206 OK", line), "URL: the server sends an impossible Content-Range");
    }
    assert_refused(REPLY("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"),
                   "URL: the server sends an impossible Content-Length");
    assert_refused(REPLY("HTTP/1.1 200 OK", "Content-Length: 5", "X-Linked-Size: -5"),
                   "URL: the server sends an impossible X-Linked-Size");
}

static void lengths_that_are_missing_or_disagree_are_refused(void **state) {
    (void)state;
    assert_refused(REPLY("HTTP/1.1 200 OK"), "URL: the server does not say how long the file is (Content-Length)");
    assert_refused(REPLY("HTTP/1.1 206 OK", "Content-Length: 5"),
                   "URL: the server sends a part without saying which (Content-Range)");
    assert_refused(REPLY("HTTP/1.1 206 OK", "Content-Range: bytes 0-4/*"),
                   "URL: the server sends a part without saying which (Content-Range)");
    assert_refused(REPLY("HTTP/1.1 206 OK", "Content-Range: bytes 0-4/9", "Content-Length: 6"),
                   "URL: Content-Length is 6 bytes, Content-Range 5");
    assert_refused(REPLY("HTTP/1.1 200 OK", "Content-Length: 6", "X-Linked-Size: 7"),
                   "URL: the file is 6 bytes, X-Linked-Size 7");
    assert_refused(REPLY("HTTP/1.1 206 OK", "Content-Range: bytes 0-4/9", "X-Linked-Size: 5"),
                   "URL: the file is 9 bytes, X-Linked-Size 5");
}

static void a_redirection_keeps_only_what_is_published_about_the_file(void **state) {
    (void)state;
    fetch_reply reply = REPLY("HTTP/1.1 302 Found", "Content-Length: 17", "ETag: \"of the page\"", "X-Linked-Size: 99",
                              "X-Linked-ETag: \"" SHA "\"", "", "HTTP/1.1 200 OK", "Content-Length: 99");
    assert_extent(reply, 0, 99, 99);
    assert_string_equal(reply.sha256, SHA);
    assert_string_equal(reply.etag, "");
    /* whom it leads to does not know better */
    static const char *const later[] = {"X-Linked-Size: 5\r\n", "X-Linked-ETag: \"1" SHA_REST "\"\r\n"};
    for (size_t i = 0; i < 2; i++) fetch_reply_header(&reply, later[i], strlen(later[i]));
    assert_extent(reply, 0, 99, 99);
    assert_string_equal(reply.sha256, SHA);
}

static void only_a_strong_tag_and_a_whole_sum_count(void **state) {
    (void)state;
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "ETag: \"abc\"").etag, "\"abc\"");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "etag:W/\"abc\"").etag, "");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "ETag: abc").etag, "");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "ETag: \"a\tb\"").etag, "");
    char tag[400] = "ETag: \"";
    memset(tag + 7, 'a', 300);
    strcpy(tag + 307, "\"");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", tag).etag, "");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "x-linked-etag: " SHA).sha256, SHA);
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "x-linked-etag: \"" SHA "0\"").sha256, "");
    assert_string_equal(REPLY("HTTP/1.1 200 OK", "x-linked-etag: \"da39a3ee5e6b4b0d3255bfef95601890afd80709\"").sha256,
                        "");
    char upper[128] = "X-LINKED-ETAG: \"" SHA "\"";
    upper[16 + 1] = 'F';
    assert_string_equal(REPLY("HTTP/1.1 200 OK", upper).sha256, SHA);
}

static void a_header_may_end_anywhere(void **state) {
    (void)state;
    static const char *const lines[] = {"HTTP/1.1 206 Partial\r\n", "Content-Range: bytes 10-19/200\r\n",
                                        "Content-Length: 10\r\n", "ETag: \"abc\"\r\n",
                                        "X-Linked-ETag: \"" SHA "\"\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        for (size_t n = 0; n <= strlen(lines[i]); n++) { /* a copy, so that a sanitizer sees what is behind it */
            char *copy = malloc(n + !n);
            assert_non_null(copy);
            memcpy(copy, lines[i], n);
            fetch_reply reply = {0};
            fetch_reply_header(&reply, copy, n);
            free(copy);
        }
    }
}

static void a_status_becomes_one_line(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *message;
    } cases[] = {
        {401, "URL: status 401: no access; if it takes a token of Hugging Face, put it into HF_TOKEN"},
        {404, "URL: status 404: no such file there"},
        {429, "URL: status 429: too many requests"},
        {503, "URL: status 503: the server has a problem"},
        {418, "URL: status 418: unexpected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fetch_reply reply = {.status = cases[i].status};
        ds4_error error;
        assert_int_equal(fetch_reply_error(&reply, "URL", &error), DS4_ERROR_IO);
        assert_string_equal(error.message, cases[i].message);
    }
}

/* ---- patience ------------------------------------------------------------------------------------ */

static void waits_double_up_to_a_minute(void **state) {
    (void)state;
    fetch_patience patience = {0};
    fetch_reply reply = {0};
    static const double expected[] = {0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(fetch_patience_wait(&patience, &reply, 10) == expected[i]);
    assert_true(fetch_patience_wait(&patience, &reply, 10) == -1);
}

static void a_server_that_asks_for_time_gets_it_within_reason(void **state) {
    (void)state;
    fetch_patience patience = {0};
    assert_true(fetch_patience_wait(&patience, &(fetch_reply){.retry_after = 120}, 10) == 120);
    assert_true(fetch_patience_wait(&patience, &(fetch_reply){.retry_after = 0.1}, 10) == 0.5);
    assert_true(fetch_patience_wait(&patience, &(fetch_reply){.retry_after = 1e9}, 10) == -1);
}

/* ---- the token ----------------------------------------------------------------------------------- */

static void the_token_is_for_hugging_face_only(void **state) {
    (void)state;
    setenv("HF_TOKEN", "secret", 1);
    assert_string_equal(fetch_token("https://huggingface.co/antirez/deepseek-v4-gguf/resolve/main/x"), "secret");
    assert_string_equal(fetch_token("HTTPS://HuggingFace.co:443/"), "secret");
    static const char *const others[] = {"http://huggingface.co/x",
                                         "https://huggingface.co.evil.org/x",
                                         "https://huggingface.co@evil.org/",
                                         "https://evil.org/huggingface.co",
                                         "https://huggingface.co:8443/x",
                                         "https://xhuggingface.co/x",
                                         "https://cdn.huggingface.co/x",
                                         "no url",
                                         "",
                                         "https://"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_null(fetch_token(others[i]));
    setenv("HF_TOKEN", "", 1);
    assert_null(fetch_token("https://huggingface.co/x"));
    unsetenv("HF_TOKEN");
    assert_null(fetch_token("https://huggingface.co/x"));
}

/* ---- one request --------------------------------------------------------------------------------- */

enum { N_CONTENT = 100000 };
static char content[N_CONTENT];
static http_server *server, *other;

static bool accept_body(void *context, const fetch_reply *reply) {
    (void)context, (void)reply;
    return true;
}

static bool count_bytes(void *context, const void *bytes, size_t n_bytes) {
    (void)bytes;
    *(size_t *)context += n_bytes;
    return true;
}

static ds4_status get(const char *url, const char *token, size_t *n_bytes, fetch_reply *reply, bool *may_pass,
                      ds4_error *error) {
    fetch_request request = {.url = url, .token = token, .stall_seconds = 1};
    fetch_sink sink = {.context = n_bytes, .begin = accept_body, .take = count_bytes};
    *n_bytes = 0;
    return fetch_get(&request, &sink, reply, may_pass, error);
}

static void the_token_does_not_follow_a_redirection_to_another_host(void **state) {
    (void)state;
    char location[128];
    size_t n_bytes;
    fetch_reply reply;
    bool may_pass;
    ds4_error error;
    snprintf(location, sizeof location, "Location: %s/elsewhere\r\n", http_server_url(other));
    HTTP_SCRIPT(server, {.status = 302, .headers = location});
    HTTP_SCRIPT(other, {0});
    assert_ok(get(http_server_url(server), "secret", &n_bytes, &reply, &may_pass, &error), &error);
    assert_int_equal(n_bytes, N_CONTENT);
    assert_string_equal(http_server_request(server, 0).authorization, "Bearer secret");
    assert_int_equal(http_server_n_requests(other), 1);
    assert_string_equal(http_server_request(other, 0).target, "/elsewhere");
    assert_string_equal(http_server_request(other, 0).authorization, "");

    /* on the same host it does */
    HTTP_SCRIPT(server, {.status = 302, .headers = "Location: /moved\r\n"}, {0});
    assert_ok(get(http_server_url(server), "secret", &n_bytes, &reply, &may_pass, &error), &error);
    assert_string_equal(http_server_request(server, 1).target, "/moved");
    assert_string_equal(http_server_request(server, 1).authorization, "Bearer secret");
}

static void redirections_end_and_stay_with_http(void **state) {
    (void)state;
    size_t n_bytes;
    fetch_reply reply;
    bool may_pass;
    ds4_error error;
    HTTP_SCRIPT(server, {.status = 302, .headers = "Location: /again\r\n"});
    assert_int_equal(get(http_server_url(server), NULL, &n_bytes, &reply, &may_pass, &error), DS4_ERROR_IO);
    assert_false(may_pass);
    assert_int_equal(http_server_n_requests(server), 9);
    HTTP_SCRIPT(server, {.status = 302, .headers = "Location: file:///etc/passwd\r\n"});
    assert_int_equal(get(http_server_url(server), NULL, &n_bytes, &reply, &may_pass, &error), DS4_ERROR_IO);
    assert_false(may_pass);
    assert_int_equal(get("file:///etc/passwd", NULL, &n_bytes, &reply, &may_pass, &error), DS4_ERROR_IO);
    assert_false(may_pass);
    assert_int_equal(n_bytes, 0);
}

static void what_may_pass_is_told_from_what_stays(void **state) {
    (void)state;
    static const struct {
        http_answer how;
        ds4_status status;
        bool may_pass;
    } cases[] = {
        {{.status = 404}, DS4_OK, false},          {{.status = 403}, DS4_OK, false},
        {{.status = 429}, DS4_OK, true},           {{.status = 503}, DS4_OK, true},
        {{.drop_after = 100}, DS4_ERROR_IO, true}, {{.drop_after = 100, .resets = true}, DS4_ERROR_IO, true},
        {{.stalls = true}, DS4_ERROR_IO, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n_bytes;
        fetch_reply reply;
        bool may_pass;
        ds4_error error;
        http_server_script(server, &cases[i].how, 1);
        ds4_status status = get(http_server_url(server), NULL, &n_bytes, &reply, &may_pass, &error);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(may_pass, cases[i].may_pass);
    }
    size_t n_bytes;
    fetch_reply reply;
    bool may_pass;
    ds4_error error;
    /* nobody listens there */
    assert_int_equal(get("http://127.0.0.1:1/x", NULL, &n_bytes, &reply, &may_pass, &error), DS4_ERROR_IO);
    assert_true(may_pass);
    assert_int_equal(reply.status, 0);
    assert_int_equal(get("http://[broken/x", NULL, &n_bytes, &reply, &may_pass, &error), DS4_ERROR_IO);
    assert_false(may_pass);
}

static bool always(void *context) {
    (void)context;
    return true;
}

static void a_transfer_can_be_cancelled(void **state) {
    (void)state;
    size_t n_bytes = 0;
    fetch_request request = {.url = http_server_url(server)};
    fetch_sink sink = {.context = &n_bytes, .begin = accept_body, .take = count_bytes, .cancelled = always};
    fetch_reply reply;
    bool may_pass;
    ds4_error error;
    HTTP_SCRIPT(server, {.stalls = true});
    assert_int_equal(fetch_get(&request, &sink, &reply, &may_pass, &error), DS4_CANCELLED);
    assert_false(may_pass);
}

/* ---- ranges -------------------------------------------------------------------------------------- */

static void assert_range(uint64_t offset, size_t n_bytes, size_t expected) {
    ds4_buffer bytes = {0};
    uint64_t total = 0;
    ds4_error error;
    assert_ok(fetch_range(http_server_url(server), offset, n_bytes, &bytes, &total, &error), &error);
    assert_int_equal(total, N_CONTENT);
    assert_int_equal(bytes.n_bytes, expected);
    if (expected) assert_memory_equal(bytes.data, content + offset, expected);
    ds4_buffer_deinit(&bytes);
}

static void a_range_is_read_and_the_length_of_the_file_known(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {0});
    assert_range(0, 10, 10);
    assert_range(N_CONTENT - 10, 10, 10);
    assert_range(N_CONTENT - 10, 1000, 10);
    assert_range(N_CONTENT, 10, 0);
    assert_range(N_CONTENT + 1000, 10, 0);
    assert_range(0, 2 * N_CONTENT, N_CONTENT);
    assert_string_equal(http_server_request(server, 0).range, "bytes=0-9");
}

static void without_ranges_no_more_than_needed_is_read(void **state) {
    (void)state;
    /* what comes behind the first piece would take minutes */
    HTTP_SCRIPT(server, {.ignores_range = true, .piece_bytes = 30000, .pause_ms = 20},
                {.ignores_range = true, .piece_bytes = 30000, .pause_ms = 60000});
    assert_range(50000, 20000, 20000);
    assert_range(1000, 20000, 20000);
    HTTP_SCRIPT(server, {.ignores_range = true});
    assert_range(N_CONTENT, 10, 0);
    assert_range(N_CONTENT - 1, 10, 1);
}

static void a_range_is_asked_for_again_when_the_connection_is_lost(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.drop_after = 5}, {.status = 503}, {0});
    assert_range(100, 50, 50);
    assert_int_equal(http_server_n_requests(server), 3);
}

static void assert_no_range(size_t n_requests, ds4_status expected, const char *message) {
    ds4_buffer bytes = {0};
    uint64_t total = 77;
    ds4_error error;
    assert_int_equal(fetch_range(http_server_url(server), 100, 50, &bytes, &total, &error), expected);
    if (!strstr(error.message, message)) fail_msg("'%s' is not in '%s'", message, error.message);
    assert_int_equal(bytes.n_bytes, 0);
    assert_int_equal(total, 77);
    if (n_requests) assert_int_equal(http_server_n_requests(server), n_requests);
    ds4_buffer_deinit(&bytes);
}

static void a_range_that_cannot_be_had_is_an_error(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.status = 404});
    assert_no_range(1, DS4_ERROR_IO, ": status 404: no such file there");
    HTTP_SCRIPT(server, {.content_range = "bytes 120-149/100000", .content_length = "30"});
    assert_no_range(1, DS4_ERROR_FORMAT, ": the server sends bytes from 120, asked for 100");
    HTTP_SCRIPT(server, {.content_range = "bytes 100-149/*"});
    assert_no_range(1, DS4_ERROR_FORMAT, "without saying which");
    HTTP_SCRIPT(server, {.ignores_range = true, .content_length = ""});
    assert_no_range(1, DS4_ERROR_FORMAT, "does not say how long the file is");
    HTTP_SCRIPT(server, {.ignores_range = true, .content_length = "-5"});
    assert_no_range(1, DS4_ERROR_IO, ""); /* libcurl's word for it */
    HTTP_SCRIPT(server, {.ignores_range = true, .content_length = "99999999999999999999"});
    assert_no_range(1, DS4_ERROR_FORMAT, "impossible Content-Length");
    HTTP_SCRIPT(server, {.status = 416, .content_range = "bytes */100000"}); /* there is something */
    assert_no_range(1, DS4_ERROR_IO, ": status 416");
    HTTP_SCRIPT(server, {.status = 429, .headers = "Retry-After: 3600\r\n"});
    assert_no_range(1, DS4_ERROR_IO, ": status 429: too many requests");
}

static void a_shorter_range_than_asked_for_is_not_taken_for_the_end(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.content_range = "bytes 100-119/100000", .content_length = "20"});
    assert_no_range(4, DS4_ERROR_IO, "the connection ended early");
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < N_CONTENT; i++) content[i] = (char)(i * 2654435761u >> 13);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    server = http_server_start(content, N_CONTENT);
    other = http_server_start(content, N_CONTENT);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    http_server_stop(server);
    http_server_stop(other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_a_body_are_known_from_its_headers),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(lengths_that_are_missing_or_disagree_are_refused),
        cmocka_unit_test(a_redirection_keeps_only_what_is_published_about_the_file),
        cmocka_unit_test(only_a_strong_tag_and_a_whole_sum_count),
        cmocka_unit_test(a_header_may_end_anywhere),
        cmocka_unit_test(a_status_becomes_one_line),
        cmocka_unit_test(waits_double_up_to_a_minute),
        cmocka_unit_test(a_server_that_asks_for_time_gets_it_within_reason),
        cmocka_unit_test(the_token_is_for_hugging_face_only),
        cmocka_unit_test(the_token_does_not_follow_a_redirection_to_another_host),
        cmocka_unit_test(redirections_end_and_stay_with_http),
        cmocka_unit_test(what_may_pass_is_told_from_what_stays),
        cmocka_unit_test(a_transfer_can_be_cancelled),
        cmocka_unit_test(a_range_is_read_and_the_length_of_the_file_known),
        cmocka_unit_test(without_ranges_no_more_than_needed_is_read),
        cmocka_unit_test(a_range_is_asked_for_again_when_the_connection_is_lost),
        cmocka_unit_test(a_range_that_cannot_be_had_is_an_error),
        cmocka_unit_test(a_shorter_range_than_asked_for_is_not_taken_for_the_end),
    };
    return cmocka_run_group_tests_name("fetch", tests, set_up, tear_down);
}
