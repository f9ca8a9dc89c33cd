/*
 * The whole server: sockets, connections, scheduler. Starts with server_start and works in threads of its own until
 * server_free. Model and engine are borrowed; nobody else may use the engine meanwhile.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/scheduler.h"

typedef struct server_options {
    const char *host, *port, *unix_path; /* unix_path NULL: host and port */
    const char *cors;                    /* as in auth_new */
    const char *const *key;
    size_t n_keys;
    bool insecure;          /* without a key, others may connect all the same */
    size_t max_connections; /* at once; default 512 */
    size_t max_body_bytes;  /* default 64 MiB */
    const char *model_id;
    scheduler_options schedule;
    void (*log)(void *context, const char *line); /* any thread; NULL: none */
    void *log_context;
    const uint64_t *id_seed;                                        /* tests; NULL: random */
    double incomplete_seconds, stalled_seconds, keep_alive_seconds; /* 30, 60, 15; tests take small ones */
    double patience_seconds; /* an answer that is not streamed comes without headers first for so long: 20 */
} server_options;

#define SERVER_OPTIONS_DEFAULT                               \
    ((server_options){.host = "127.0.0.1",                   \
                      .port = "8080",                        \
                      .max_connections = 512,                \
                      .max_body_bytes = (size_t)64 << 20,    \
                      .model_id = "ds4",                     \
                      .schedule = SCHEDULER_OPTIONS_DEFAULT, \
                      .incomplete_seconds = 30,              \
                      .stalled_seconds = 60,                 \
                      .keep_alive_seconds = 15,              \
                      .patience_seconds = 20})

typedef struct server server;

/* Strings of options are the caller's and outlive the server. DS4_ERROR_ARGUMENT: options that make no sense. */
ds4_status server_start(const ds4_model *model, ds4_engine *engine, const server_options *options, server **out,
                        ds4_error *error);
/* With the port that was chosen (--port 0). */
const char *server_url(const server *self);
/* No new connections and requests; waits up to so many seconds for what runs, then (server_free) cancels it. */
void server_drain(server *self, double seconds);
void server_free(server *self);

#endif
