/* The server's HTTP: answers whole and in pieces, and what is refused and how. */
#include "played.inc"

#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_result(submit_result result) {
    pthread_mutex_lock(&stub.lock);
    stub.result = result;
    pthread_mutex_unlock(&stub.lock);
}

/* The body as JSON. */
static json_t *json_of(const http_response *response) {
    json_t *value = json_loadb(response->body.data ? response->body.data : "", response->body.n_bytes, 0, NULL);
    if (!value) fail_msg("not JSON: %s", response->body.data ? response->body.data : "");
    return value;
}

/* value[a][b] as a string. */
static const char *text_at(const json_t *value, const char *a, const char *b) {
    value = json_object_get(value, a);
    const char *text = json_string_value(b ? json_object_get(value, b) : value);
    return text ? text : "(none)";
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void an_answer_comes_whole_with_the_names_of_the_request(void **state) {
    (void)state;
    served s = start();
    http_response response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
    char value[256], other[256];
    assert_int_equal(response.status, 200);
    assert_true(response.is_whole && !response.is_chunked);
    assert_string_equal(http_header(&response, "Content-Type", value), "application/json");
    assert_memory_equal(http_header(&response, "request-id", value), "req_", 4);
    assert_string_equal(http_header(&response, "x-request-id", other), value);
    json_t *body = json_of(&response);
    const json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
    assert_string_equal(text_at(choice, "message", "content"), "Hello");
    json_decref(body);
    http_response_deinit(&response);
    served_stop(&s);
}

static void a_stream_is_chunked_and_ends_and_the_connection_stays(void **state) {
    (void)state;
    served s = start();
    int fd = http_connect(s.url);
    for (int i = 0; i < 3; i++) {
        char value[256];
        assert_true(http_ask(fd, "POST", CHAT, NULL, STREAMED));
        http_response response = http_answer_of(fd, "POST");
        assert_int_equal(response.status, 200);
        assert_true(response.is_whole && response.is_chunked);
        assert_string_equal(http_header(&response, "Content-Type", value), "text/event-stream");
        assert_string_equal(http_header(&response, "Cache-Control", value), "no-cache");
        assert_non_null(strstr(response.body.data, "\"content\":\"Hello\""));
        sse_event event = {0}, last = {0};
        for (const char *at = response.body.data; sse_read(&at, &event);) last = event;
        assert_int_equal(last.n_data, 6);
        assert_memory_equal(last.data, "[DONE]", 6);
        http_response_deinit(&response);
    }
    close(fd);
    served_stop(&s);
}

static void http_1_0_gets_a_body_that_ends_with_the_connection(void **state) {
    (void)state;
    served s = start();
    static const char bytes[] = "POST " CHAT " HTTP/1.0\r\nContent-Length: 59\r\n\r\n" STREAMED;
    http_response response = http_raw(s.url, bytes, sizeof bytes - 1);
    assert_int_equal(strlen(STREAMED), 59);
    assert_int_equal(response.status, 200);
    assert_true(response.is_whole && !response.is_chunked);
    assert_non_null(strstr(response.body.data, "[DONE]"));
    http_response_deinit(&response);
    served_stop(&s);
}

static void silence_in_a_stream_is_filled(void **state) {
    (void)state;
    static const step slow[] = {
        {.pause = 0.7, .event = {.kind = REPLY_STARTED}},
        {.pause = 0.7, .event = {.kind = REPLY_TEXT, .bytes = "x", .n_bytes = 1}},
        {.event = {.kind = REPLY_CHOICE_END}},
        {.event = {.kind = REPLY_END}},
    };
    served s = start();
    PLAY(slow);
    http_response response = http_call(s.url, "POST", CHAT, NULL, STREAMED);
    assert_true(response.is_whole);
    sse_event event = {0};
    int n_empty = 0;
    for (const char *at = response.body.data; sse_read(&at, &event);) {
        json_t *chunk = json_loadb(event.data, event.n_data, 0, NULL);
        const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
        const json_t *delta = json_object_get(choice, "delta");
        n_empty += json_object_size(delta) == 0 && json_is_null(json_object_get(choice, "finish_reason"));
        json_decref(chunk);
    }
    assert_in_range(n_empty, 4, 7);
    http_response_deinit(&response);
    served_stop(&s);
}

/* Each takes us longer than it takes the scheduler to have the next one. */
static void events_are_sent_also_if_they_come_as_fast_as_they_are_taken(void **state) {
    (void)state;
    static reply_logprob many[50];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) many[i].n_top = REQUEST_MAX_TOP_LOGPROBS;
    const step endless[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.event = {.kind = REPLY_TEXT,
                   .bytes = "x",
                   .n_bytes = 1,
                   .logprob = many,
                   .n_logprobs = sizeof many / sizeof *many},
         .repeat = SIZE_MAX},
    };
    served s = start();
    PLAY(endless);
    ds4_buffer bytes = {0};
    int fd = http_connect(s.url);
    http_ask(fd, "POST", CHAT, NULL,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true,\"logprobs\":true,"
             "\"top_logprobs\":20}");
    assert_true(http_read_until(fd, &bytes, "\"content\":\"x\"", 10));
    close(fd);
    ds4_buffer_deinit(&bytes);
    served_stop(&s); /* waits for the answer's end: the steps are ours */
}

static void an_answer_may_take_longer_than_a_client_may_be_silent(void **state) {
    (void)state;
    static const step slow[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 2.5, .event = {.kind = REPLY_TEXT, .bytes = "late", .n_bytes = 4}},
        {.event = {.kind = REPLY_CHOICE_END}},
        {.event = {.kind = REPLY_END}},
    };
    served_options options = quick();
    options.server.keep_alive_seconds = options.server.patience_seconds = 20;
    served s = served_start(&options);
    PLAY(slow);
    int whole = http_connect(s.url), streamed = http_connect(s.url);
    http_ask(whole, "POST", CHAT, NULL, QUESTION);
    http_ask(streamed, "POST", CHAT, NULL, STREAMED);
    for (int i = 0; i < 2; i++) {
        http_response response = http_answer_of(i ? streamed : whole, "POST");
        assert_int_equal(response.status, 200);
        assert_true(response.is_whole);
        assert_non_null(strstr(response.body.data, "late"));
        http_response_deinit(&response);
    }
    close(whole);
    close(streamed);
    served_stop(&s);
}

static void an_answer_that_takes_long_begins_with_white_space(void **state) {
    (void)state;
    static const step slow[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 1.2, .event = {.kind = REPLY_TEXT, .bytes = "late", .n_bytes = 4}},
        {.event = {.kind = REPLY_CHOICE_END}},
        {.event = {.kind = REPLY_END}},
    };
    served s = start();
    PLAY(slow);
    http_response response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
    assert_int_equal(response.status, 200);
    assert_true(response.is_whole && response.is_chunked);
    assert_in_range(strspn(response.body.data, " "), 1, 20);
    json_t *body = json_of(&response);
    assert_string_equal(text_at(json_array_get(json_object_get(body, "choices"), 0), "message", "content"), "late");
    json_decref(body);
    http_response_deinit(&response);
    served_stop(&s);
}

static void a_failure_has_a_status_while_it_can_and_cuts_the_connection_later(void **state) {
    (void)state;
    static const step early[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.event = {.kind = REPLY_FAILED, .error = {.status = 500, .message = "the engine has a bad day"}}},
    };
    static const step late[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 0.8,
         .event = {.kind = REPLY_FAILED, .error = {.status = 500, .message = "the engine has a bad day"}}},
    };
    served s = start();
    PLAY(early);
    http_response response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
    assert_int_equal(response.status, 500);
    json_t *body = json_of(&response);
    assert_string_equal(text_at(body, "error", "message"), "the engine has a bad day");
    json_decref(body);
    http_response_deinit(&response);

    response = http_call(s.url, "POST", CHAT, NULL, STREAMED);
    assert_int_equal(response.status, 200);
    assert_true(response.is_whole); /* the stream ends with the error */
    assert_non_null(strstr(response.body.data, "the engine has a bad day"));
    http_response_deinit(&response);

    PLAY(late);
    response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
    assert_int_equal(response.status, 200);
    assert_false(response.is_whole);
    http_response_deinit(&response);
    served_stop(&s);
}

static void a_full_queue_says_when_to_come_again(void **state) {
    (void)state;
    served s = start();
    char value[256];
    set_result(SUBMIT_FULL);
    http_response response = http_call(s.url, "POST", CHAT, NULL, STREAMED);
    assert_int_equal(response.status, 429);
    assert_string_equal(http_header(&response, "Retry-After", value), "7");
    http_response_deinit(&response);
    set_result(SUBMIT_DRAINING);
    response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
    assert_int_equal(response.status, 503);
    assert_string_equal(http_header(&response, "Retry-After", value), "7");
    http_response_deinit(&response);
    served_stop(&s);
}

static void counting_tokens_needs_no_scheduler(void **state) {
    (void)state;
    served s = start();
    http_response response = http_call(s.url, "POST", "/v1/messages/count_tokens", NULL, QUESTION);
    assert_int_equal(response.status, 200);
    json_t *body = json_of(&response);
    assert_true(json_integer_value(json_object_get(body, "input_tokens")) > 2);
    json_decref(body);
    http_response_deinit(&response);
    assert_int_equal(stub_read(&stub.n_submitted), 0);
    served_stop(&s);
}

/* ---- refusals ------------------------------------------------------------------------------------ */

static void paths_and_methods_that_are_not_there_are_refused_in_the_shape_of_their_api(void **state) {
    (void)state;
    served s = start();
    char value[256];
    http_response response = http_call(s.url, "POST", "/v1/nothing?x=1", NULL, QUESTION);
    assert_int_equal(response.status, 404);
    json_t *body = json_of(&response);
    assert_string_equal(text_at(body, "error", "code"), "not_found");
    json_decref(body);
    http_response_deinit(&response);

    response = http_call(s.url, "POST", "/v1/messages/batches", NULL, QUESTION);
    assert_int_equal(response.status, 404);
    body = json_of(&response);
    assert_string_equal(text_at(body, "type", NULL), "error");
    assert_string_equal(text_at(body, "error", "type"), "not_found_error");
    json_decref(body);
    http_response_deinit(&response);

    response = http_call(s.url, "GET", CHAT, NULL, NULL);
    assert_int_equal(response.status, 405);
    assert_string_equal(http_header(&response, "Allow", value), "POST");
    http_response_deinit(&response);
    expect_status(s.url, "DELETE", "/v1/models", NULL, NULL, 405);
    expect_status(s.url, "OPTIONS", CHAT, NULL, NULL, 405);
    expect_status(s.url, "POST", CHAT "?beta=true", NULL, QUESTION, 200);
    served_stop(&s);
}

static void probes_and_models_are_answered(void **state) {
    (void)state;
    static const char *const probes[] = {"/", "/api/hello", "/health", "/v1/models", "/v1/models/any/thing"};
    served s = start();
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        expect_status(s.url, "HEAD", probes[i], NULL, NULL, 200);
        expect_status(s.url, "GET", probes[i], NULL, NULL, 200);
    }
    http_response response = http_call(s.url, "GET", "/v1/models", NULL, NULL);
    json_t *body = json_of(&response);
    const json_t *model = json_array_get(json_object_get(body, "data"), 0);
    assert_string_equal(text_at(model, "id", NULL), "ds4-nano");
    assert_int_equal(json_integer_value(json_object_get(model, "context_length")), 8192);
    json_decref(body);
    http_response_deinit(&response);
    response = http_call(s.url, "GET", "/v1/models/gpt-5", NULL, NULL);
    body = json_of(&response);
    assert_string_equal(text_at(body, "id", NULL), "gpt-5");
    json_decref(body);
    http_response_deinit(&response);
    expect_status(s.url, "GET", "/v1/models/%ff", NULL, NULL, 404);
    expect_status(s.url, "GET", "/%ff%0a%00x", NULL, NULL, 404);
    response = http_call(s.url, "GET", "/metrics", NULL, NULL);
    assert_non_null(strstr(response.body.data, "ds4_requests_total{api=\"models\",status=\"200\"}"));
    assert_non_null(strstr(response.body.data, "\nds4_connections "));
    http_response_deinit(&response);
    served_stop(&s);
}

static void a_key_is_asked_for_where_there_are_keys(void **state) {
    (void)state;
    static const char *const keys[] = {"first-key", "second key"};
    served_options options = quick();
    options.server.key = keys;
    options.server.n_keys = 2;
    PLAY(greeting);
    served s = served_start(&options);
    static const char *const good[] = {
        "Authorization: Bearer first-key\r\n",
        "authorization: bearer second key\r\n",
        "x-api-key: first-key\r\n",
        "Authorization: Bearer wrong\r\nx-api-key: second key\r\n",
        "Authorization: Bearer first-key\r\nx-api-key: wrong\r\n",
    };
    static const char *const bad[] = {
        NULL,
        "Authorization: Bearer \r\n",
        "Authorization: Bearer first-ke\r\n",
        "Authorization: Bearer first-keyx\r\n",
        "Authorization: Basic first-key\r\n",
        "Authorization: first-key\r\n",
        "x-api-key: \r\n",
        "x-api-key: FIRST-KEY\r\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) expect_status(s.url, "POST", CHAT, good[i], QUESTION, 200);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect_status(s.url, "POST", CHAT, bad[i], QUESTION, 401);
    expect_status(s.url, "GET", "/metrics", NULL, NULL, 401);
    expect_status(s.url, "GET", "/v1/models", NULL, NULL, 401);
    expect_status(s.url, "GET", "/v1/models", good[0], NULL, 200);
    expect_status(s.url, "HEAD", "/v1/models", NULL, NULL, 200);
    expect_status(s.url, "GET", "/health", NULL, NULL, 200);
    char value[256];
    http_response response = http_call(s.url, "POST", "/v1/messages", NULL, QUESTION);
    assert_int_equal(response.status, 401);
    assert_string_equal(http_header(&response, "WWW-Authenticate", value), "Bearer");
    json_t *body = json_of(&response);
    assert_string_equal(text_at(body, "error", "type"), "authentication_error");
    json_decref(body);
    http_response_deinit(&response);
    served_stop(&s);
}

static void without_keys_any_key_is_fine(void **state) {
    (void)state;
    served s = start();
    expect_status(s.url, "POST", CHAT, "Authorization: Bearer whatever\r\n", QUESTION, 200);
    served_stop(&s);
}

static void pages_of_other_sites_may_not_use_the_server(void **state) {
    (void)state;
    static const char *const good[] = {
        "Origin: http://localhost:3000\r\n",   "Origin: https://127.0.0.1\r\n",    "Origin: http://[::1]:80\r\n",
        "Origin: vscode-webview://abcdef\r\n", "Origin: http://app.localhost\r\n",
    };
    static const char *const bad[] = {
        "Origin: http://example.org\r\n",           "Origin: https://127.0.0.1.example.org\r\n",
        "Origin: http://localhost.example.org\r\n", "Origin: null\r\n",
        "Origin: http://evillocalhost\r\n",         "Origin: http://[::1]example.org\r\n",
    };
    served s = start();
    char value[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) { /* a browser asks first, and wants to be told by name */
        http_response asked = http_call(s.url, "OPTIONS", CHAT, good[i], NULL);
        assert_int_equal(asked.status, 204);
        http_response response = http_call(s.url, "POST", CHAT, good[i], QUESTION);
        assert_int_equal(response.status, 200);
        const char *origin = good[i] + strlen("Origin: ");
        size_t n_bytes = strcspn(origin, "\r");
        assert_int_equal(strlen(http_header(&asked, "Access-Control-Allow-Origin", value)), n_bytes);
        assert_memory_equal(http_header(&response, "Access-Control-Allow-Origin", value), origin, n_bytes);
        assert_string_equal(http_header(&response, "Vary", value), "Origin");
        http_response_deinit(&asked);
        http_response_deinit(&response);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_status(s.url, "OPTIONS", CHAT, bad[i], NULL, 403);
        expect_status(s.url, "POST", CHAT, bad[i], QUESTION, 403);
    }
    served_stop(&s);
}

static void cors_lets_one_origin_in(void **state) {
    (void)state;
    served_options options = quick();
    options.server.cors = "https://chat.example.org";
    PLAY(greeting);
    served s = served_start(&options);
    char value[256];
    http_response response = http_call(s.url, "POST", CHAT, "Origin: https://chat.example.org\r\n", QUESTION);
    assert_int_equal(response.status, 200);
    assert_string_equal(http_header(&response, "Access-Control-Allow-Origin", value), "https://chat.example.org");
    http_response_deinit(&response);
    response = http_call(s.url, "OPTIONS", CHAT,
                         "Origin: https://chat.example.org\r\nAccess-Control-Request-Headers: x-own\r\n", NULL);
    assert_int_equal(response.status, 204);
    assert_string_equal(http_header(&response, "Access-Control-Allow-Headers", value), "x-own");
    assert_non_null(strstr(http_header(&response, "Access-Control-Allow-Methods", value), "POST"));
    http_response_deinit(&response);
    expect_status(s.url, "POST", CHAT, "Origin: https://example.org\r\n", QUESTION, 403);
    served_stop(&s);
}

static void bodies_that_are_no_requests_are_refused(void **state) {
    (void)state;
    static const char *const bodies[] = {"", "{", "[]", "7", "{\"messages\":7}", "\xff\xfe", "{}x", "null"};
    served s = start();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        expect_status(s.url, "POST", CHAT, NULL, bodies[i], 400);
    expect_status(s.url, "POST", CHAT, NULL, NULL, 400);
    /* deep enough for a stack that is too small */
    enum { DEPTH = 100000 };
    char *deep = malloc(DEPTH + 1);
    assert_non_null(deep);
    memset(deep, '[', DEPTH);
    deep[DEPTH] = '\0';
    expect_status(s.url, "POST", CHAT, NULL, deep, 400);
    free(deep);
    assert_int_equal(stub_read(&stub.n_submitted), 0);
    served_stop(&s);
}

static void a_body_that_is_too_large_is_refused_and_read_no_further(void **state) {
    (void)state;
    served_options options = quick();
    options.server.max_body_bytes = 1000;
    PLAY(greeting);
    served s = served_start(&options);
    char body[1501];
    memset(body, ' ', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    memcpy(body, QUESTION, strlen(QUESTION));
    expect_status(s.url, "POST", CHAT, NULL, body, 413); /* with a length */
    body[1000] = '\0';
    expect_status(s.url, "POST", CHAT, NULL, body, 200);
    body[1000] = ' ';

    char head[256]; /* in chunks, which say no length */
    int n =
        snprintf(head, sizeof head, "POST " CHAT " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n");
    int fd = http_connect(s.url);
    assert_true(http_send(fd, head, (size_t)n) && http_send(fd, body, 1500) && http_send_text(fd, "\r\n0\r\n\r\n"));
    http_response response = http_answer_of(fd, "POST");
    assert_int_equal(response.status, 413);
    http_response_deinit(&response);
    close(fd);

    fd = http_connect(s.url); /* without end */
    assert_true(http_send(fd, head, (size_t)n));
    bool goes_on = true;
    for (int i = 0; goes_on && i < 100000; i++)
        goes_on = http_send(fd, body, 1500) && http_send_text(fd, "\r\n5dc\r\n");
    assert_false(goes_on);
    close(fd);
    served_stop(&s);
}

/* Where no key is needed nobody fills the memory. */
static void a_path_that_takes_no_body_reads_only_a_small_one(void **state) {
    (void)state;
    enum { N = 3 << 19 };
    served s = start();
    char *body = calloc(1, N);
    assert_non_null(body);
    for (int is_large = 0; is_large < 2; is_large++) {
        char head[128];
        int n_bytes = is_large ? N : 1000;
        int fd = http_connect(s.url),
            n = snprintf(head, sizeof head,
                         "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
                         (unsigned)n_bytes);
        assert_true(http_send(fd, head, (size_t)n) && http_send(fd, body, (size_t)n_bytes) &&
                    http_send_text(fd, "\r\n0\r\n\r\n"));
        http_response response = http_answer_of(fd, "GET");
        assert_int_equal(response.status, is_large ? 413 : 200);
        http_response_deinit(&response);
        close(fd);
    }
    free(body);
    served_stop(&s);
}

static void a_body_in_chunks_is_read_and_a_bad_chunk_refused(void **state) {
    (void)state;
    served s = start();
    static const char good[] = "POST " CHAT " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "10\r\n{\"messages\":[{\"r\r\n" /* 16 bytes */
                               "20;ext=1\r\nole\":\"user\",\"content\":\"Hi\"}]}   \r\n0\r\n\r\n";
    http_response response = http_raw(s.url, good, sizeof good - 1);
    assert_int_equal(response.status, 200);
    http_response_deinit(&response);
    static const char bad[] =
        "POST " CHAT " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n";
    response = http_raw(s.url, bad, sizeof bad - 1);
    assert_int_equal(response.status, 400);
    http_response_deinit(&response);
    served_stop(&s);
}

static void the_body_is_asked_for_only_if_it_will_be_read(void **state) {
    (void)state;
    served s = start();
    int fd = http_connect(s.url);
    char bytes[256];
    snprintf(bytes, sizeof bytes,
             "POST " CHAT " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
             strlen(QUESTION));
    http_send_text(fd, bytes);
    ds4_buffer came = {0};
    assert_true(http_read_until(fd, &came, "HTTP/1.1 100", 5));
    ds4_buffer_deinit(&came);
    http_send_text(fd, QUESTION);
    http_response response = http_answer_of(fd, "POST");
    http_response_deinit(&response);
    close(fd);

    fd = http_connect(s.url);
    http_send_text(fd, "POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n");
    assert_true(http_read_until(fd, &came, "\r\n", 5));
    assert_memory_equal(came.data, "HTTP/1.1 404", 12);
    ds4_buffer_deinit(&came);
    close(fd);
    served_stop(&s);
}

static void heads_that_are_too_large_or_no_heads_end_the_connection(void **state) {
    (void)state;
    served s = start();
    enum { N = 100000 };
    char *bytes = malloc(N + 100);
    assert_non_null(bytes);
    memset(bytes, 'a', N);
    memcpy(bytes, "GET /", 5);
    memcpy(bytes + N, " HTTP/1.1\r\n\r\n", 14);
    http_response response = http_raw(s.url, bytes, N + 13);
    assert_int_equal(response.status, 414);
    http_response_deinit(&response);

    ds4_buffer flood = {0};
    assert_true(buffer_append_string(&flood, "GET / HTTP/1.1\r\n"));
    for (int i = 0; i < 10000; i++) assert_true(buffer_append_string(&flood, "x-header: value\r\n"));
    int fd = http_connect(s.url);
    http_send(fd, flood.data, flood.n_bytes);
    assert_true(http_is_closed_within(fd, 5));
    close(fd);
    ds4_buffer_deinit(&flood);

    memset(bytes, '\x01', 3000);
    fd = http_connect(s.url);
    http_send(fd, bytes, 3000);
    http_send_text(fd, "\r\n\r\n");
    assert_true(http_is_closed_within(fd, 5));
    close(fd);
    free(bytes);
    expect_status(s.url, "POST", CHAT, NULL, QUESTION, 200);
    served_stop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_whole_with_the_names_of_the_request),
        cmocka_unit_test(a_stream_is_chunked_and_ends_and_the_connection_stays),
        cmocka_unit_test(http_1_0_gets_a_body_that_ends_with_the_connection),
        cmocka_unit_test(silence_in_a_stream_is_filled),
        cmocka_unit_test(events_are_sent_also_if_they_come_as_fast_as_they_are_taken),
        cmocka_unit_test(an_answer_may_take_longer_than_a_client_may_be_silent),
        cmocka_unit_test(an_answer_that_takes_long_begins_with_white_space),
        cmocka_unit_test(a_failure_has_a_status_while_it_can_and_cuts_the_connection_later),
        cmocka_unit_test(a_full_queue_says_when_to_come_again),
        cmocka_unit_test(counting_tokens_needs_no_scheduler),
        cmocka_unit_test(paths_and_methods_that_are_not_there_are_refused_in_the_shape_of_their_api),
        cmocka_unit_test(probes_and_models_are_answered),
        cmocka_unit_test(a_key_is_asked_for_where_there_are_keys),
        cmocka_unit_test(without_keys_any_key_is_fine),
        cmocka_unit_test(pages_of_other_sites_may_not_use_the_server),
        cmocka_unit_test(cors_lets_one_origin_in),
        cmocka_unit_test(bodies_that_are_no_requests_are_refused),
        cmocka_unit_test(a_body_that_is_too_large_is_refused_and_read_no_further),
        cmocka_unit_test(a_path_that_takes_no_body_reads_only_a_small_one),
        cmocka_unit_test(a_body_in_chunks_is_read_and_a_bad_chunk_refused),
        cmocka_unit_test(the_body_is_asked_for_only_if_it_will_be_read),
        cmocka_unit_test(heads_that_are_too_large_or_no_heads_end_the_connection),
    };
    return cmocka_run_group_tests_name("server_http", tests, NULL, NULL);
}
