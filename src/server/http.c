#include "server/http.h"

#include "server/exchange.h"
#include "server/models.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 64 << 10,     /* of request and response */
    THREAD_BYTES = 2 << 20,    /* elsewhere the default is too small for deep JSON */
    SMALL_BODY_BYTES = 1 << 20 /* is received before a refusal, which could be lost if the connection broke */
};

/* ---- what there is ------------------------------------------------------------------------------- */

static enum MHD_Result answer_root(exchange *x) {
    buffer_clear(&x->out);
    if (!buffer_append_string(&x->out, "ds4 " DS4_VERSION " serves " /* and then which */) ||
        !buffer_append_string(&x->out, x->http->parts.facts.model_id) || !buffer_append_string(&x->out, ".\n"))
        return MHD_NO;
    return exchange_respond(x, 200, "text/plain; charset=utf-8");
}

static enum MHD_Result answer_health(exchange *x) {
    if (!atomic_load(&x->http->drains)) return exchange_respond_json(x, 200, json_pack("{s:s}", "status", "ok"));
    return exchange_respond_json(x, 503, json_pack("{s:s}", "status", "draining"));
}

static enum MHD_Result answer_models(exchange *x) {
    const server_facts *facts = &x->http->parts.facts;
    if (!*x->subpath) return exchange_respond_json(x, 200, models_list(facts));
    json_t *model = models_one(facts, x->subpath);
    if (model) return exchange_respond_json(x, 200, model);
    problem_set(&x->problem, PROBLEM_NOT_FOUND, NULL, "the model's name is not UTF-8");
    x->is_refused = true;
    return exchange_fail(x);
}

static enum MHD_Result answer_metrics(exchange *x) {
    buffer_clear(&x->out);
    if (!metrics_write(x->http->parts.metrics, &x->out)) return MHD_NO;
    return exchange_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8");
}

static const route routes[] = {
    {.path = "/v1/chat/completions", .allowed = "POST", .name = "chat", .api = &api_chat, .answer = answer_question},
    {.path = "/v1/completions",
     .allowed = "POST",
     .name = "completions",
     .api = &api_completions,
     .answer = answer_question},
    {.path = "/v1/responses", .allowed = "POST", .name = "responses", .api = &api_responses, .answer = answer_question},
    {.path = "/v1/responses/input_tokens",
     .allowed = "POST",
     .name = "responses_count",
     .api = &api_responses,
     .counts_only = true,
     .answer = answer_question},
    {.path = "/v1/messages", .allowed = "POST", .name = "messages", .api = &api_messages, .answer = answer_question},
    {.path = "/v1/messages/count_tokens",
     .allowed = "POST",
     .name = "messages_count",
     .api = &api_messages,
     .counts_only = true,
     .answer = answer_question},
    {.path = "/v1/models", .allowed = "GET, HEAD", .name = "models", .has_subpath = true, .answer = answer_models},
    {.path = "/health", .allowed = "GET, HEAD", .name = "health", .is_open = true, .answer = answer_health},
    {.path = "/metrics", .allowed = "GET, HEAD", .name = "metrics", .answer = answer_metrics},
    {.path = "/api/hello", .allowed = "GET, HEAD", .name = "root", .is_open = true, .answer = answer_root},
    {.path = "/", .allowed = "GET, HEAD", .name = "root", .is_open = true, .answer = answer_root},
};

/* Errors of paths that do not exist have the shape that whoever asks there reads. */
static const route unknown_message = {.name = "unknown", .api = &api_messages};
static const route unknown_path = {.name = "unknown", .api = &api_chat};

static const route *find_route(const char *path, const char **subpath) {
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t n = strlen(routes[i].path);
        *subpath = "";
        if (strcmp(path, routes[i].path) == 0) return &routes[i];
        if (!routes[i].has_subpath || strncmp(path, routes[i].path, n) != 0 || path[n] != '/') continue;
        *subpath = path + n + 1;
        return &routes[i];
    }
    return strncmp(path, "/v1/messages", 12) == 0 ? &unknown_message : &unknown_path;
}

static bool is_allowed(const route *found, const char *method) {
    const char *at = strstr(found->allowed, method);
    return at && (at == found->allowed || at[-1] == ' ') && strchr(",", at[strlen(method)]);
}

/* ---- the head ------------------------------------------------------------------------------------ */

/* Paths that need no key need no body either, and nobody is to fill the memory there. */
static size_t body_limit(const exchange *x) {
    size_t limit = x->http->parts.max_body_bytes;
    return x->route->api || limit < SMALL_BODY_BYTES ? limit : SMALL_BODY_BYTES;
}

/* False and a problem: there is no use in receiving a body. */
static bool check_head(exchange *x, const char *path, const char *method) {
    const http_parts *parts = &x->http->parts;
    const char *length = exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!auth_origin_is_good(parts->auth, exchange_header(x, "Origin")))
        return problem_set(&x->problem, PROBLEM_FORBIDDEN, NULL,
                           "pages of %.200s may not use this server (--cors allows them)",
                           exchange_header(x, "Origin"));
    if (!x->route->answer) return problem_set(&x->problem, PROBLEM_NOT_FOUND, NULL, "there is no %.300s here", path);
    if (!is_allowed(x->route, method))
        return problem_set(&x->problem, PROBLEM_METHOD, NULL, "%.300s takes %s, not %.20s", path, x->route->allowed,
                           method);
    if (!x->route->is_open && strcmp(method, "HEAD") != 0 &&
        !auth_key_is_good(parts->auth, exchange_header(x, "Authorization"), exchange_header(x, "x-api-key")))
        return problem_set(&x->problem, PROBLEM_KEY, NULL,
                           "no valid API key: expected in Authorization: Bearer KEY or x-api-key: KEY");
    if (x->route->api && atomic_load(&x->http->drains))
        return problem_set(&x->problem, PROBLEM_DRAINING, NULL, "the server is shutting down");
    if (length && strtoull(length, NULL, 10) > body_limit(x))
        return problem_set(&x->problem, PROBLEM_TOO_LARGE, NULL, "the request has %.20s bytes, at most %zu are allowed",
                           length, body_limit(x));
    return true;
}

/* Whether to refuse before the body has come. */
static bool refuses_at_once(const exchange *x) {
    const char *length = exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return exchange_header(x, MHD_HTTP_HEADER_EXPECT) || (length && strtoull(length, NULL, 10) > SMALL_BODY_BYTES);
}

static exchange *exchange_new(http *self, struct MHD_Connection *client, const char *path) {
    exchange *x = array_new(1, sizeof *x);
    if (!x) return NULL;
    const union MHD_ConnectionInfo *socket = MHD_get_connection_info(client, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *watched = MHD_get_connection_info(client, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    *x = (exchange){.http = self,
                    .connection = client,
                    .socket = socket ? socket->connect_fd : -1,
                    .watched = watched ? watched->socket_context : NULL,
                    .began = time_seconds()};
    x->route = find_route(path, &x->subpath);
    ids_next(self->parts.ids, "req_", x->request_id);
    return x;
}

static enum MHD_Result begin(exchange *x, const char *path, const char *method) {
    if (strcmp(method, "OPTIONS") == 0 && auth_cors(x->http->parts.auth, exchange_header(x, "Origin")))
        return exchange_respond(x, 204, NULL);
    x->is_refused = !check_head(x, path, method);
    if (x->is_refused && refuses_at_once(x)) return exchange_fail(x);
    return MHD_YES;
}

/* ---- the body ------------------------------------------------------------------------------------ */

/* Of a body that is of no use as much is read as one may have, so that the client comes to read the answer. */
static enum MHD_Result receive(exchange *x, const char *bytes, size_t n_bytes) {
    size_t limit = body_limit(x);
    connection_receives(x->http->connections, x->watched, n_bytes);
    x->n_received += n_bytes;
    if (x->n_received > limit && !x->is_refused) {
        problem_set(&x->problem, PROBLEM_TOO_LARGE, NULL, "the request has more than %zu bytes", limit);
        x->is_refused = true;
    }
    if (!x->is_refused && !buffer_append(&x->body, bytes, n_bytes)) {
        problem_memory(&x->problem);
        x->is_refused = true;
    }
    if (x->is_refused) ds4_buffer_deinit(&x->body);
    return x->n_received / 2 > limit ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *client, const char *path, const char *method,
                              const char *version, const char *bytes, size_t *n_bytes, void **state) {
    (void)version;
    http *self = context;
    exchange *x = *state;
    if (!x) {
        *state = x = exchange_new(self, client, path);
        return x ? begin(x, path, method) : MHD_NO;
    }
    if (*n_bytes) {
        enum MHD_Result result = receive(x, bytes, *n_bytes);
        *n_bytes = 0;
        return result;
    }
    if (x->is_refused) return exchange_fail(x);
    x->is_answering = true;
    atomic_fetch_add(&self->n_answering, 1);
    return x->route->answer(x);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void log_exchange(const exchange *x) {
    const http_parts *parts = &x->http->parts;
    char line[700];
    if (!parts->log || !x->route->api) return;
    double seconds = time_seconds() - x->began;
    if (x->is_refused) {
        const char *param = x->problem.param;
        snprintf(line, sizeof line, "%s: %d: %s%s%s", x->route->name, x->status, param, *param ? ": " : "",
                 x->problem.message);
    } else if (x->has_stream) {
        const reply_usage *usage = &x->stream.log.usage;
        snprintf(line, sizeof line, "%s: %d in %.2f s: %zu prompt tokens (%zu reused), %zu answer tokens%s",
                 x->route->name, x->status, seconds, usage->prompt, usage->cached, usage->answer,
                 x->is_ended && !x->is_cut ? "" : ", the client went away");
    } else {
        snprintf(line, sizeof line, "%s: %d in %.2f s", x->route->name, x->status, seconds);
    }
    parts->log(parts->log_context, line);
}

/* The response is sent, or will never be. */
static void completed(void *context, struct MHD_Connection *client, void **state,
                      enum MHD_RequestTerminationCode code) {
    http *self = context;
    exchange *x = *state;
    if (!x) return;
    *state = NULL;
    MHD_set_connection_option(client, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)ceil(self->parts.incomplete_seconds));
    if (x->has_stream && (code != MHD_REQUEST_TERMINATED_COMPLETED_OK || !x->status)) x->is_cut = true;
    if (!x->status) x->status = 499; /* what others call a client that did not wait */
    metrics_count_request(self->parts.metrics, x->route->name, x->status);
    log_exchange(x);
    if (x->has_stream) stream_free(&x->stream); /* it looks at the reply's request */
    if (x->reply) {
        reply_cancel(x->reply);
        reply_release(x->reply);
    }
    ds4_buffer_deinit(&x->body);
    ds4_buffer_deinit(&x->out);
    if (x->is_answering) atomic_fetch_sub(&self->n_answering, 1);
    connection_waits(self->connections, x->watched);
    free(x);
}

static void notice(void *context, struct MHD_Connection *client, void **state,
                   enum MHD_ConnectionNotificationCode code) {
    http *self = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *socket = MHD_get_connection_info(client, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = socket ? connections_add(self->connections, socket->connect_fd) : NULL;
        metrics_add(self->parts.metrics, METRIC_CONNECTIONS, 1);
    } else {
        connections_remove(self->connections, *state);
        *state = NULL;
        metrics_add(self->parts.metrics, METRIC_CONNECTIONS, -1);
    }
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status http_new(const http_parts *parts, http **out, ds4_error *error) {
    http *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "server", sizeof *self);
    self->parts = *parts;
    atomic_init(&self->drains, false);
    atomic_init(&self->stops, false);
    atomic_init(&self->n_answering, 0);
    ds4_status status = connections_new(parts->incomplete_seconds, parts->stalled_seconds, &self->connections, error);
    if (status == DS4_OK)
        *out = self;
    else
        free(self);
    return status;
}

ds4_status http_listen(http *self, int socket, size_t n_sockets, ds4_error *error) {
    const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;
    if (self->n_daemons == HTTP_MAX_SOCKETS)
        return error_set(error, DS4_ERROR_ARGUMENT, "more than %d sockets", HTTP_MAX_SOCKETS);
    /* the port is not used: the socket is there */
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, self, MHD_OPTION_LISTEN_SOCKET, socket, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(self->parts.max_connections / n_sockets), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ceil(self->parts.incomplete_seconds), MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)THREAD_BYTES, MHD_OPTION_NOTIFY_COMPLETED, completed, self, MHD_OPTION_NOTIFY_CONNECTION, notice, self,
        MHD_OPTION_END);
    if (!daemon) return error_set(error, DS4_ERROR_IO, "cannot start answering connections");
    self->daemon[self->n_daemons++] = daemon;
    return DS4_OK;
}

void http_drain(http *self) {
    if (atomic_exchange(&self->drains, true)) return;
    for (size_t i = 0; i < self->n_daemons; i++) {
        MHD_socket socket = MHD_quiesce_daemon(self->daemon[i]);
        if (socket != MHD_INVALID_SOCKET) close(socket);
    }
}

bool http_is_idle(http *self, double wait_seconds) {
    const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    double until = time_seconds() + wait_seconds;
    while (atomic_load(&self->n_answering) > 0) {
        if (time_seconds() >= until) return false;
        nanosleep(&moment, NULL);
    }
    return true;
}

void http_free(http *self) {
    if (!self) return;
    http_drain(self);
    atomic_store(&self->stops, true);
    /* streams say why they end; stopping the library's daemons breaks off what is left */
    http_is_idle(self, 2);
    for (size_t i = 0; i < self->n_daemons; i++) MHD_stop_daemon(self->daemon[i]);
    connections_free(self->connections);
    free(self);
}
