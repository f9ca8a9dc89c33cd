/* Connections: those that misbehave, hang-ups, kinds of sockets, and the end of the server. */
#include "played.inc"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool within(double seconds, const size_t *value, size_t at_least) {
    for (double until = time_seconds() + seconds; time_seconds() < until; rest(0.01))
        if (stub_read(value) >= at_least) return true;
    return false;
}

/* ---- connections that misbehave ------------------------------------------------------------------ */

typedef struct dripping {
    int socket;
    double closed_after; /* 0: not yet */
} dripping;

/* A byte every 0.3 seconds, for six seconds. */
static void *drip(void *context) {
    dripping *self = context;
    double began = time_seconds();
    while (self->closed_after <= 0 && time_seconds() - began < 6) {
        if (!http_send_text(self->socket, "a") || http_is_closed_within(self->socket, 0.3))
            self->closed_after = time_seconds() - began;
    }
    return NULL;
}

static void requests_that_do_not_come_to_an_end_are_given_up(void **state) {
    (void)state;
    served s = start();
    int nothing = http_connect(s.url), head = http_connect(s.url), body = http_connect(s.url);
    dripping in_head = {.socket = http_connect(s.url)}, in_body = {.socket = http_connect(s.url)};
    pthread_t thread[2];
    http_send_text(head, "POST " CHAT " HTTP/1.1\r\nHos");
    http_send_text(body, "POST " CHAT " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    http_send_text(in_head.socket, "POST " CHAT " HTTP/1.1\r\nx: ");
    http_send_text(in_body.socket, "POST " CHAT " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    assert_int_equal(pthread_create(&thread[0], NULL, drip, &in_head), 0);
    assert_int_equal(pthread_create(&thread[1], NULL, drip, &in_body), 0);
    assert_false(http_is_closed_within(nothing, 0.4));
    assert_true(http_is_closed_within(nothing, 3) && http_is_closed_within(head, 1) && http_is_closed_within(body, 1));
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    assert_true(in_head.closed_after > 1.5 && in_head.closed_after < 5);
    assert_true(in_body.closed_after > 1.5 && in_body.closed_after < 5);
    close(nothing), close(head), close(body), close(in_head.socket), close(in_body.socket);
    assert_int_equal(stub_read(&stub.n_submitted), 0);
    served_stop(&s);
}

static void a_flood_of_connections_leaves_the_server_alive(void **state) {
    (void)state;
    enum { N = 60 };
    int fd[N];
    served_options options = quick();
    options.server.max_connections = 40;
    PLAY(greeting);
    served s = served_start(&options);
    for (int i = 0; i < N; i++) fd[i] = http_connect(s.url);
    /* those beyond the limit wait or are turned away; those that say nothing lose their places */
    int status = 0;
    for (double until = time_seconds() + 15; status != 200 && time_seconds() < until; rest(0.05)) {
        http_response response = http_call(s.url, "POST", CHAT, NULL, QUESTION);
        status = response.status;
        http_response_deinit(&response);
    }
    for (int i = 0; i < N; i++)
        if (fd[i] >= 0) close(fd[i]);
    assert_int_equal(status, 200);
    served_stop(&s);
}

static void *ask_once(void *context) {
    http_response response = http_call(context, "POST", CHAT, NULL, STREAMED);
    bool ok = response.status == 200 && response.is_whole && strstr(response.body.data, "[DONE]");
    http_response_deinit(&response);
    return ok ? context : NULL;
}

static void many_clients_are_answered_at_once(void **state) {
    (void)state;
    static const step slow[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 0.02, .event = {.kind = REPLY_TEXT, .bytes = "word ", .n_bytes = 5}, .repeat = 30},
        {.event = {.kind = REPLY_CHOICE_END}},
        {.event = {.kind = REPLY_END}},
    };
    enum { N = 64 };
    pthread_t thread[N];
    served s = start();
    PLAY(slow);
    char url[128];
    snprintf(url, sizeof url, "%s", s.url);
    double began = time_seconds();
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&thread[i], NULL, ask_once, url), 0);
    for (int i = 0; i < N; i++) {
        void *ok;
        pthread_join(thread[i], &ok);
        assert_non_null(ok);
    }
    assert_true(time_seconds() - began < 10); /* one after another it would be 38 seconds */
    served_stop(&s);
}

static char line[32768]; /* of text */

static const step endless[] = {
    {.event = {.kind = REPLY_STARTED}},
    {.event = {.kind = REPLY_TEXT, .bytes = line, .n_bytes = sizeof line}, .repeat = SIZE_MAX},
};

static void a_slow_reader_makes_the_answer_wait_and_a_stalled_one_ends_it(void **state) {
    (void)state;
    served_options options = quick();
    options.server.stalled_seconds = 3;
    served s = served_start(&options);
    memset(line, 'x', sizeof line);
    PLAY(endless);
    int fd = http_connect_narrow(s.url, 8192);
    http_ask(fd, "POST", CHAT, NULL, STREAMED);
    size_t before = 0, now = 0;
    for (double until = time_seconds() + 15; time_seconds() < until && (!before || now != before); rest(0.3)) {
        before = now;
        now = stub_read(&stub.n_put);
    }
    assert_int_equal(now, before); /* nothing came out for a while: it is paused */
    assert_int_equal(stub_read(&stub.n_cancelled), 0);
    /* it goes on when the client does */
    for (double until = time_seconds() + 10; time_seconds() < until && stub_read(&stub.n_put) == before;)
        assert_false(http_is_closed_within(fd, 0.1));
    assert_true(stub_read(&stub.n_put) > before);
    /* nothing is read any more */
    double began = time_seconds();
    assert_true(within(8, &stub.n_cancelled, 1));
    assert_true(time_seconds() - began > 1);
    close(fd);
    served_stop(&s);
}

static void a_hang_up_is_noticed_soon(void **state) {
    (void)state;
    static const step silent[] = {{.pause = 15, .event = {.kind = REPLY_STARTED}}};
    static const step slow[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 0.05, .event = {.kind = REPLY_TEXT, .bytes = "x", .n_bytes = 1}, .repeat = SIZE_MAX},
    };
    served s = start();
    for (int i = 0; i < 4; i++) { /* before anything came, and in the middle; streamed and not */
        script_set(i < 2 ? silent : slow, i < 2 ? 1 : 2);
        int fd = http_connect(s.url);
        size_t n = stub_read(&stub.n_submitted);
        http_ask(fd, "POST", CHAT, NULL, i % 2 ? STREAMED : QUESTION);
        assert_true(within(5, &stub.n_submitted, n + 1));
        rest(0.15);
        assert_int_equal(stub_read(&stub.n_cancelled), i);
        close(fd);
        assert_true(within(0.5, &stub.n_cancelled, (size_t)i + 1));
    }
    served_stop(&s);
}

/* ---- sockets ------------------------------------------------------------------------------------- */

static void a_unix_socket_is_its_owners_alone_and_a_stale_one_is_replaced(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/ds4-test-%d.sock", (int)getpid());
    unlink(path);
    served_options options = quick();
    options.server.unix_path = path;
    PLAY(greeting);
    /* what a server that was killed leaves */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int left = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(left, (struct sockaddr *)&address, sizeof address), 0);
    close(left);

    served s = served_start(&options);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    expect_status(s.url, "POST", CHAT, NULL, STREAMED, 200);
    /* one that is in use is not */
    server *second;
    ds4_error error;
    server_options chosen = options.server;
    assert_int_equal(server_start(s.model, NULL, &chosen, &second, &error), DS4_ERROR_IO);
    assert_non_null(strstr(error.message, path));
    expect_status(s.url, "POST", CHAT, NULL, QUESTION, 200);
    /* one that drains leaves the name to the next, also at its own end */
    server_drain(s.server, 0);
    served next = served_start(&options);
    served_stop(&s);
    expect_status(next.url, "POST", CHAT, NULL, QUESTION, 200);
    served_stop(&next);
    assert_int_not_equal(stat(path, &about), 0);
    /* neither is a file that is no socket */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    ds4_model *model;
    assert_ok(ds4_model_open("models/ds4-nano.gguf", DS4_MODEL_FULL, &model, &error), &error);
    assert_int_equal(server_start(model, NULL, &chosen, &second, &error), DS4_ERROR_IO);
    assert_int_equal(stat(path, &about), 0);
    unlink(path);
    ds4_model_free(model);
}

static bool has_ipv6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

static void ipv6_is_served(void **state) {
    (void)state;
    if (!has_ipv6()) skip();
    served_options options = quick();
    options.server.host = "::1";
    PLAY(greeting);
    served s = served_start(&options);
    assert_memory_equal(s.url, "http://[::1]:", 13);
    expect_status(s.url, "POST", CHAT, NULL, STREAMED, 200);
    served_stop(&s);
    /* both families at one port */
    options.server.host = "::";
    options.server.insecure = true;
    s = served_start(&options);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1%s", strrchr(s.url, ':'));
    expect_status(url, "POST", CHAT, NULL, STREAMED, 200);
    served_stop(&s);
}

static void every_address_of_a_name_is_served(void **state) {
    (void)state;
    served_options options = quick();
    options.server.host = "localhost";
    PLAY(greeting);
    served s = served_start(&options);
    char url[64];
    expect_status(s.url, "POST", CHAT, NULL, QUESTION, 200);
    snprintf(url, sizeof url, "http://127.0.0.1%s", strrchr(s.url, ':'));
    expect_status(url, "POST", CHAT, NULL, QUESTION, 200);
    served_stop(&s);
}

static void others_are_let_in_only_with_a_key_or_on_purpose(void **state) {
    (void)state;
    static const char *const keys[] = {"k"};
    ds4_model *model;
    ds4_error error;
    server *opened;
    assert_ok(ds4_model_open("models/ds4-nano.gguf", DS4_MODEL_FULL, &model, &error), &error);
    server_options options = quick().server;
    options.host = "0.0.0.0";
    assert_int_equal(server_start(model, NULL, &options, &opened, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message,
                        "--host 0.0.0.0: others could use this server: give --api-key-file, or say --insecure");
    options.insecure = true;
    assert_ok(server_start(model, NULL, &options, &opened, &error), &error);
    server_free(opened);
    options.insecure = false;
    options.key = keys;
    options.n_keys = 1;
    assert_ok(server_start(model, NULL, &options, &opened, &error), &error);
    server_free(opened);
    options.port = "70000";
    assert_int_equal(server_start(model, NULL, &options, &opened, &error), DS4_ERROR_ARGUMENT);
    options.port = "0";
    options.host = "no.such.name.invalid";
    assert_int_equal(server_start(model, NULL, &options, &opened, &error), DS4_ERROR_IO);
    ds4_model_free(model);
}

static void a_port_that_is_taken_is_named(void **state) {
    (void)state;
    served s = start();
    server_options options = quick().server;
    server *second;
    ds4_error error;
    options.port = strrchr(s.url, ':') + 1;
    assert_int_equal(server_start(s.model, NULL, &options, &second, &error), DS4_ERROR_IO);
    assert_non_null(strstr(error.message, options.port));
    served_stop(&s);
}

/* ---- the end ------------------------------------------------------------------------------------- */

typedef struct draining {
    server *server;
    double seconds;
} draining;

static void *drain(void *context) {
    draining *self = context;
    server_drain(self->server, self->seconds);
    return NULL;
}

static void draining_lets_answers_end_and_refuses_new_ones(void **state) {
    (void)state;
    static const step slow[] = {
        {.event = {.kind = REPLY_STARTED}},
        {.pause = 0.05, .event = {.kind = REPLY_TEXT, .bytes = "x", .n_bytes = 1}, .repeat = 20},
        {.event = {.kind = REPLY_CHOICE_END}},
        {.event = {.kind = REPLY_END}},
    };
    served s = start();
    int open = http_connect(s.url), streaming = http_connect(s.url);
    http_ask(open, "GET", "/health", NULL, NULL);
    http_response response = http_answer_of(open, "GET");
    assert_int_equal(response.status, 200);
    http_response_deinit(&response);
    PLAY(slow);
    http_ask(streaming, "POST", CHAT, NULL, STREAMED);
    assert_true(within(5, &stub.n_submitted, 1));
    draining ending = {s.server, 10};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &ending), 0);
    rest(0.2);
    http_ask(open, "GET", "/health", NULL, NULL);
    response = http_answer_of(open, "GET");
    assert_int_equal(response.status, 503);
    http_response_deinit(&response);
    http_ask(open, "POST", CHAT, NULL, QUESTION);
    response = http_answer_of(open, "POST");
    assert_int_equal(response.status, 503);
    char value[256];
    assert_string_not_equal(http_header(&response, "Retry-After", value), "");
    http_response_deinit(&response);
    assert_true(http_connect(s.url) < 0);
    response = http_answer_of(streaming, "POST");
    assert_true(response.is_whole);
    assert_non_null(strstr(response.body.data, "[DONE]"));
    http_response_deinit(&response);
    pthread_join(thread, NULL);
    close(open), close(streaming);
    served_stop(&s);
}

static void *read_all(void *context) {
    int *fd = context;
    http_response *response = calloc(1, sizeof *response);
    if (response) *response = http_answer_of(*fd, "POST");
    return response;
}

static void what_does_not_end_in_time_is_told_so(void **state) {
    (void)state;
    static const step silent[] = {{.event = {.kind = REPLY_STARTED}}, {.pause = 15, .event = {.kind = REPLY_END}}};
    served s = start();
    PLAY(silent);
    int fd = http_connect(s.url);
    http_ask(fd, "POST", CHAT, NULL, STREAMED);
    assert_true(within(5, &stub.n_submitted, 1));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_all, &fd), 0);
    double began = time_seconds();
    server_drain(s.server, 0.3);
    served_stop(&s);
    assert_true(time_seconds() - began < 3);
    void *result;
    pthread_join(thread, &result);
    http_response *response = result;
    assert_non_null(strstr(response->body.data, "shutting down"));
    assert_true(response->is_whole);
    http_response_deinit(response);
    free(response);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_do_not_come_to_an_end_are_given_up),
        cmocka_unit_test(a_flood_of_connections_leaves_the_server_alive),
        cmocka_unit_test(many_clients_are_answered_at_once),
        cmocka_unit_test(a_slow_reader_makes_the_answer_wait_and_a_stalled_one_ends_it),
        cmocka_unit_test(a_hang_up_is_noticed_soon),
        cmocka_unit_test(a_unix_socket_is_its_owners_alone_and_a_stale_one_is_replaced),
        cmocka_unit_test(ipv6_is_served),
        cmocka_unit_test(every_address_of_a_name_is_served),
        cmocka_unit_test(others_are_let_in_only_with_a_key_or_on_purpose),
        cmocka_unit_test(a_port_that_is_taken_is_named),
        cmocka_unit_test(draining_lets_answers_end_and_refuses_new_ones),
        cmocka_unit_test(what_does_not_end_in_time_is_told_so),
    };
    return cmocka_run_group_tests_name("server_connections", tests, NULL, NULL);
}
