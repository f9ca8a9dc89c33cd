#include "server/metrics.h"

#include "base/error.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BOUNDS = 12, MAX_REQUEST_KINDS = 128 };

typedef struct metric_name {
    const char *name, *type, *help;
} metric_name;

static const metric_name metric_names[N_METRICS] = {
    [METRIC_PROMPT_TOKENS] = {"ds4_prompt_tokens_total", "counter", "Tokens of prompts, reused ones included."},
    [METRIC_CACHED_TOKENS] = {"ds4_cached_tokens_total", "counter",
                              "Tokens of prompts that did not have to be computed."},
    [METRIC_ANSWER_TOKENS] = {"ds4_answer_tokens_total", "counter", "Tokens of answers, reasoning included."},
    [METRIC_CANCELLED] = {"ds4_cancelled_total", "counter", "Requests whose client went away before the end."},
    [METRIC_RUNNING] = {"ds4_running", "gauge", "Answers being made."},
    [METRIC_WAITING] = {"ds4_waiting", "gauge", "Requests waiting for a place."},
    [METRIC_CONNECTIONS] = {"ds4_connections", "gauge", "Open connections."},
    [METRIC_CHECKPOINTS] = {"ds4_checkpoints", "gauge", "States kept for reuse."},
    [METRIC_KV_BYTES] = {"ds4_kv_bytes", "gauge", "Memory of running answers and states kept for reuse."},
};

typedef struct histogram_name {
    const char *name, *help;
    double bound[MAX_BOUNDS]; /* 0 ends them */
} histogram_name;

static const histogram_name histogram_names[N_HISTOGRAMS] = {
    [HISTOGRAM_FIRST_TOKEN] = {"ds4_time_to_first_token_seconds",
                               "From a request's arrival to its first token.",
                               {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}},
    [HISTOGRAM_BETWEEN_TOKENS] = {"ds4_between_tokens_seconds",
                                  "Between two tokens of one answer.",
                                  {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}},
    [HISTOGRAM_STEP] = {"ds4_step_seconds",
                        "Of one forward pass.",
                        {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}},
    [HISTOGRAM_STEP_TOKENS] = {"ds4_prompt_tokens_per_step",
                               "Prompt tokens of one forward pass.",
                               {1, 16, 64, 128, 256, 512, 1024, 2048, 4096}},
};

typedef struct request_kind {
    const char *api;
    int status;
    uint64_t n;
} request_kind;

typedef struct histogram_state {
    uint64_t below[MAX_BOUNDS]; /* cumulative, as Prometheus wants them */
    uint64_t n;
    double sum;
} histogram_state;

struct metrics {
    pthread_mutex_t lock; /* of all that follows */
    double value[N_METRICS];
    histogram_state histogram[N_HISTOGRAMS];
    request_kind request[MAX_REQUEST_KINDS];
    size_t n_requests;
};

ds4_status metrics_new(metrics **out, ds4_error *error) {
    metrics *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "metrics", sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    *out = self;
    return DS4_OK;
}

void metrics_free(metrics *self) {
    if (!self) return;
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void metrics_add(metrics *self, metric which, double value) {
    pthread_mutex_lock(&self->lock);
    self->value[which] += value;
    pthread_mutex_unlock(&self->lock);
}

void metrics_set(metrics *self, metric which, double value) {
    pthread_mutex_lock(&self->lock);
    self->value[which] = value;
    pthread_mutex_unlock(&self->lock);
}

double metrics_get(metrics *self, metric which) {
    pthread_mutex_lock(&self->lock);
    double value = self->value[which];
    pthread_mutex_unlock(&self->lock);
    return value;
}

void metrics_observe(metrics *self, histogram which, double value) {
    const double *bound = histogram_names[which].bound;
    pthread_mutex_lock(&self->lock);
    histogram_state *state = &self->histogram[which];
    for (size_t i = 0; i < MAX_BOUNDS && bound[i] > 0; i++) state->below[i] += value <= bound[i];
    state->n++;
    state->sum += value;
    pthread_mutex_unlock(&self->lock);
}

void metrics_count_request(metrics *self, const char *api, int status) {
    pthread_mutex_lock(&self->lock);
    size_t i = 0;
    while (i < self->n_requests && (self->request[i].status != status || strcmp(self->request[i].api, api) != 0)) i++;
    if (i == self->n_requests && i < MAX_REQUEST_KINDS)
        self->request[self->n_requests++] = (request_kind){.api = api, .status = status};
    if (i < MAX_REQUEST_KINDS) self->request[i].n++;
    pthread_mutex_unlock(&self->lock);
}

/* ---- text ---------------------------------------------------------------------------------------- */

static bool write_line(ds4_buffer *text, const char *format, ...) PRINTF_LIKE(2, 3);
static bool write_line(ds4_buffer *text, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return n >= 0 && (size_t)n < sizeof line && buffer_append(text, line, (size_t)n);
}

static bool write_head(ds4_buffer *text, const char *name, const char *type, const char *help) {
    return write_line(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool write_histogram(ds4_buffer *text, const histogram_name *named, const histogram_state *state) {
    bool ok = write_head(text, named->name, "histogram", named->help);
    for (size_t i = 0; i < MAX_BOUNDS && named->bound[i] > 0; i++)
        ok = ok && write_line(text, "%s_bucket{le=\"%g\"} %llu\n", named->name, named->bound[i],
                              (unsigned long long)state->below[i]);
    return ok &&
           write_line(text, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", named->name,
                      (unsigned long long)state->n, named->name, state->sum, named->name, (unsigned long long)state->n);
}

bool metrics_write(metrics *self, ds4_buffer *text) {
    pthread_mutex_lock(&self->lock);
    bool ok = write_head(text, "ds4_requests_total", "counter", "Requests answered.");
    for (size_t i = 0; i < self->n_requests; i++)
        ok = ok && write_line(text, "ds4_requests_total{api=\"%s\",status=\"%d\"} %llu\n", self->request[i].api,
                              self->request[i].status, (unsigned long long)self->request[i].n);
    for (size_t i = 0; i < N_METRICS; i++)
        ok = ok && write_head(text, metric_names[i].name, metric_names[i].type, metric_names[i].help) &&
             write_line(text, "%s %.15g\n", metric_names[i].name, self->value[i]);
    for (size_t i = 0; i < N_HISTOGRAMS; i++)
        ok = ok && write_histogram(text, &histogram_names[i], &self->histogram[i]);
    pthread_mutex_unlock(&self->lock);
    return ok;
}
