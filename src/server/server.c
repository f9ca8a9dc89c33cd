#include "server/server.h"

#include "server/auth.h"
#include "server/http.h"
#include "server/listen.h"

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdlib.h>

struct server {
    server_options options;
    listener listener;
    auth *auth;
    metrics *metrics;
    ids *ids;
    call_memory *memory;
    scheduler *scheduler;
    http *http;
};

static ds4_status check(const server_options *options, ds4_error *error) {
    const scheduler_options *schedule = &options->schedule;
    if (schedule->parallel < 1 || schedule->parallel > SCHEDULER_MAX_PARALLEL)
        return error_set(error, DS4_ERROR_ARGUMENT, "%zu answers at once, expected 1 to %d", schedule->parallel,
                         SCHEDULER_MAX_PARALLEL);
    if (schedule->context_tokens < 1) return error_set(error, DS4_ERROR_ARGUMENT, "a context of 0 tokens");
    if (options->max_body_bytes < 1) return error_set(error, DS4_ERROR_ARGUMENT, "requests of at most 0 bytes");
    return DS4_OK;
}

static ds4_status start_http(server *self, const ds4_model *model, ds4_error *error) {
    const server_options *options = &self->options;
    const http_parts parts = {
        .tokenizer = ds4_model_tokenizer(model),
        .scheduler = self->scheduler,
        .memory = self->memory,
        .metrics = self->metrics,
        .ids = self->ids,
        .auth = self->auth,
        .facts = {.context_tokens = options->schedule.context_tokens,
                  .parallel = options->schedule.parallel,
                  .n_vocab = ds4_model_n_vocab(model),
                  .model_id = options->model_id,
                  .sampling = DS4_SAMPLING_DEFAULT},
        .max_connections = options->max_connections,
        .max_body_bytes = options->max_body_bytes,
        .incomplete_seconds = options->incomplete_seconds,
        .stalled_seconds = options->stalled_seconds,
        .keep_alive_seconds = options->keep_alive_seconds,
        .patience_seconds = options->patience_seconds,
        .log = options->log,
        .log_context = options->log_context,
    };
    listener *sockets = &self->listener;
    ds4_status status = http_new(&parts, &self->http, error);
    for (size_t i = 0; status == DS4_OK && i < sockets->n; i++) {
        status = http_listen(self->http, sockets->socket[i], sockets->n, error);
        if (status == DS4_OK) sockets->socket[i] = -1; /* given away */
    }
    return status;
}

ds4_status server_start(const ds4_model *model, ds4_engine *engine, const server_options *options, server **out,
                        ds4_error *error) {
    ds4_status status = check(options, error);
    if (status != DS4_OK) return status;
    server *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "server", sizeof *self);
    self->options = *options;
    /* Jansson chooses it at the first object, which two threads could make at once */
    json_object_seed(0);
    bool local_only = !options->n_keys && !options->insecure;
    status = listen_open(options->host, options->port, options->unix_path, local_only, &self->listener, error);
    if (status == DS4_OK) status = auth_new(options->key, options->n_keys, options->cors, &self->auth, error);
    if (status == DS4_OK) status = metrics_new(&self->metrics, error);
    if (status == DS4_OK) status = ids_new(options->id_seed, &self->ids, error);
    if (status == DS4_OK) status = call_memory_new(CALL_MEMORY_BYTES, &self->memory, error);
    if (status == DS4_OK)
        status = scheduler_new(model, engine, self->memory, self->metrics, self->ids, &options->schedule,
                               &self->scheduler, error);
    if (status == DS4_OK) status = start_http(self, model, error);
    if (status == DS4_OK)
        *out = self;
    else
        server_free(self);
    return status;
}

const char *server_url(const server *self) {
    return self->listener.url;
}

void server_drain(server *self, double seconds) {
    double until = time_seconds() + seconds;
    /* from here on a unix socket's name may be the next server's */
    listen_close(&self->listener);
    scheduler_drain(self->scheduler);
    http_drain(self->http);
    if (http_is_idle(self->http, seconds)) scheduler_is_idle(self->scheduler, until - time_seconds());
}

/* Connections first: they use everything else. */
void server_free(server *self) {
    if (!self) return;
    http_free(self->http);
    scheduler_free(self->scheduler);
    call_memory_free(self->memory);
    ids_free(self->ids);
    metrics_free(self->metrics);
    auth_free(self->auth);
    listen_close(&self->listener);
    free(self);
}
