#ifndef __APPLE__
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "server/exchange.h"

#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BLOCK_BYTES = 64 << 10 };

static const char json_media[] = "application/json", default_headers[] = "authorization, content-type, x-api-key, "
                                                                         "anthropic-version, anthropic-beta";

/* ---- the connection ------------------------------------------------------------------------------ */

/* The library takes the time in which we made an answer for a client's silence. Setting the timeout anew from 0 starts
 * its clock again. */
void exchange_restart_timeout(exchange *x) {
    unsigned seconds = (unsigned)ceil(x->http->parts.stalled_seconds);
    MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

bool exchange_client_is_gone(const exchange *x) {
#ifdef POLLRDHUP
    struct pollfd watched = {.fd = x->socket, .events = POLLRDHUP};
    return poll(&watched, 1, 0) > 0 && (watched.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
#else
    char byte;
    ssize_t n = recv(x->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
#endif
}

/* ---- responses ----------------------------------------------------------------------------------- */

static bool add_header(struct MHD_Response *response, const char *name, const char *value) {
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

const char *exchange_header(const exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static bool add_cors(const exchange *x, struct MHD_Response *response) {
    const char *origin = auth_cors(x->http->parts.auth, exchange_header(x, "Origin"));
    if (!origin) return true;
    const char *headers = exchange_header(x, "Access-Control-Request-Headers");
    return add_header(response, "Access-Control-Allow-Origin", origin) && add_header(response, "Vary", "Origin") &&
           add_header(response, "Access-Control-Allow-Methods", "GET, POST, HEAD, OPTIONS") &&
           add_header(response, "Access-Control-Allow-Headers", headers && *headers ? headers : default_headers);
}

/* What the problem wants said beside the body. */
static bool add_problem_headers(const exchange *x, struct MHD_Response *response) {
    char seconds[24];
    switch (x->problem.kind) {
    case PROBLEM_KEY: return add_header(response, "WWW-Authenticate", "Bearer");
    case PROBLEM_METHOD: return add_header(response, "Allow", x->route->allowed);
    case PROBLEM_BUSY:
    case PROBLEM_DRAINING:
        snprintf(seconds, sizeof seconds, "%.0f", ceil(fmin(fmax(x->problem.retry_after, 1), 60)));
        return add_header(response, "Retry-After", seconds);
    default: return true;
    }
}

static enum MHD_Result respond(exchange *x, int status, const char *content_type, uint64_t n_bytes,
                               MHD_ContentReaderCallback next) {
    struct MHD_Response *response = MHD_create_response_from_callback(n_bytes, BLOCK_BYTES, next, x, NULL);
    if (!response) return MHD_NO;
    bool ok = add_header(response, "request-id", x->request_id) && add_header(response, "x-request-id", x->request_id);
    if (content_type) ok = ok && add_header(response, "Content-Type", content_type);
    if (n_bytes == MHD_SIZE_UNKNOWN) ok = ok && add_header(response, "Cache-Control", "no-cache");
    if (status >= 400) ok = ok && add_problem_headers(x, response);
    ok = ok && add_cors(x, response);
    enum MHD_Result result = ok ? MHD_queue_response(x->connection, (unsigned)status, response) : MHD_NO;
    MHD_destroy_response(response);
    if (result == MHD_YES) x->status = status;
    exchange_restart_timeout(x);
    connection_sends(x->http->connections, x->watched);
    return result;
}

static ssize_t next_of_out(void *context, uint64_t position, char *to, size_t room) {
    exchange *x = context;
    size_t left = x->out.n_bytes - (size_t)position, n = left < room ? left : room;
    memcpy(to, x->out.data + position, n);
    connection_sends(x->http->connections, x->watched);
    return (ssize_t)n;
}

enum MHD_Result exchange_respond(exchange *x, int status, const char *content_type) {
    return respond(x, status, content_type, x->out.n_bytes, next_of_out);
}

enum MHD_Result exchange_respond_json(exchange *x, int status, json_t *value) {
    buffer_clear(&x->out);
    return api_write_json(&x->out, value) ? exchange_respond(x, status, json_media) : MHD_NO;
}

enum MHD_Result exchange_respond_pieces(exchange *x, int status, const char *content_type,
                                        MHD_ContentReaderCallback next) {
    return respond(x, status, content_type, MHD_SIZE_UNKNOWN, next);
}

enum MHD_Result exchange_fail(exchange *x) {
    const api *style = x->route && x->route->api ? x->route->api : &api_chat;
    return exchange_respond_json(x, problem_status(x->problem.kind), style->error(&x->problem, x->request_id));
}
