/*
 * What the server counts, written as Prometheus text. Any thread; one mutex, held for a few additions at a time. Owned
 * by the server; the scheduler and the connections borrow it.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "ds4.h"

typedef enum metric {
    METRIC_PROMPT_TOKENS, /* of prompts, those taken from checkpoints included */
    METRIC_CACHED_TOKENS, /* of prompts, taken from checkpoints */
    METRIC_ANSWER_TOKENS, /* drawn or forced */
    METRIC_CANCELLED,     /* requests whose client went away */
    METRIC_RUNNING,       /* gauges from here on: answers being made */
    METRIC_WAITING,       /* requests in the queue */
    METRIC_CONNECTIONS,
    METRIC_CHECKPOINTS,
    METRIC_KV_BYTES,
    N_METRICS
} metric;

typedef enum histogram {
    HISTOGRAM_FIRST_TOKEN, /* seconds from a request's arrival */
    HISTOGRAM_BETWEEN_TOKENS,
    HISTOGRAM_STEP,
    HISTOGRAM_STEP_TOKENS, /* prompt tokens of a step */
    N_HISTOGRAMS
} histogram;

typedef struct metrics metrics;

ds4_status metrics_new(metrics **out, ds4_error *error);
void metrics_free(metrics *self);

void metrics_add(metrics *self, metric which, double value); /* counters and gauges */
void metrics_set(metrics *self, metric which, double value);
double metrics_get(metrics *self, metric which);
void metrics_observe(metrics *self, histogram which, double value);
/* api: a string that lives as long as the program. */
void metrics_count_request(metrics *self, const char *api, int status);
/* Appends all of it; false without memory. */
bool metrics_write(metrics *self, ds4_buffer *text);

#endif
