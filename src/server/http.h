/*
 * HTTP, by libmicrohttpd: one thread for each connection, which may wait. Checks who asks for what, collects the body,
 * lets the API read it, hands it to the scheduler and sends what comes back. Owned by the server, used from its thread;
 * what is in http_parts is borrowed by all connections' threads and must outlive http_free.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "server/auth.h"
#include "server/request.h"
#include "server/scheduler.h"

typedef struct http_parts {
    const ds4_tokenizer *tokenizer;
    scheduler *scheduler;
    call_memory *memory;
    metrics *metrics;
    ids *ids;
    const auth *auth;
    server_facts facts;
    size_t max_connections, max_body_bytes;
    double incomplete_seconds; /* silence within a request, or before the next one; see connections_new */
    double stalled_seconds;    /* an answer that nobody reads */
    double keep_alive_seconds; /* nothing to say in an answer */
    double patience_seconds;   /* an answer that is not streamed waits so long for its status */
    void (*log)(void *context, const char *line); /* any thread; NULL: none */
    void *log_context;
} http_parts;

typedef struct http http;

ds4_status http_new(const http_parts *parts, http **out, ds4_error *error);
/* Answers what comes to a listening socket, and takes it if OK. n_sockets: how many there will be; they share the
 * number of connections that may be open. */
ds4_status http_listen(http *self, int socket, size_t n_sockets, ds4_error *error);
/* No more connections, and no more questions on those that are open: 503. */
void http_drain(http *self);
/* Whether no answer is being made or sent; waits for that up to so many seconds. */
bool http_is_idle(http *self, double wait_seconds);
/* Ends what is left and joins all threads. */
void http_free(http *self);

#endif
