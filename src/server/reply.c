#include "server/reply.h"

#include "base/condition.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An event and, in the same allocation, what it points to. */
typedef struct node {
    struct node *next;
    size_t n_bytes;
    reply_event event;
} node;

struct reply {
    request *request;
    void (*wake)(void *context);
    void *wake_context;
    atomic_int holders;
    atomic_bool is_cancelled;

    pthread_mutex_t lock; /* of the queue */
    pthread_cond_t came;
    node *first, **end;
    size_t n_bytes;
    node *taken; /* the connection's: what the last take gave */
};

ds4_status reply_new(request *asked, void (*wake)(void *context), void *context, reply **out, ds4_error *error) {
    reply *self = array_new(1, sizeof *self);
    if (!self) {
        request_free(asked);
        return error_memory(error, "reply", sizeof *self);
    }
    self->request = asked;
    self->wake = wake;
    self->wake_context = context;
    atomic_init(&self->holders, 2);
    atomic_init(&self->is_cancelled, false);
    pthread_mutex_init(&self->lock, NULL);
    condition_init(&self->came);
    self->end = &self->first;
    *out = self;
    return DS4_OK;
}

void reply_release(reply *self) {
    if (!self || atomic_fetch_sub(&self->holders, 1) > 1) return;
    for (node *next; self->first; self->first = next) {
        next = self->first->next;
        free(self->first);
    }
    free(self->taken);
    request_free(self->request);
    pthread_cond_destroy(&self->came);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

const request *reply_request(const reply *self) {
    return self->request;
}

/* ---- the scheduler's side ------------------------------------------------------------------------ */

static node *node_new(const reply_event *event) {
    size_t logprob_bytes = event->n_logprobs * sizeof *event->logprob;
    size_t n_problem = event->problem ? strlen(event->problem) + 1 : 0;
    size_t n_bytes = sizeof(node) + logprob_bytes + event->n_bytes + 1 + n_problem;
    node *fresh = malloc(n_bytes);
    if (!fresh) return NULL;
    *fresh = (node){.n_bytes = n_bytes, .event = *event};
    char *at = (char *)(fresh + 1); /* logprobs first: they are aligned as the node is */
    if (logprob_bytes) {
        memcpy(at, event->logprob, logprob_bytes);
        fresh->event.logprob = (const reply_logprob *)(const void *)at;
        at += logprob_bytes;
    }
    if (event->n_bytes) memcpy(at, event->bytes, event->n_bytes);
    at[event->n_bytes] = '\0';
    fresh->event.bytes = at;
    at += event->n_bytes + 1;
    if (n_problem) {
        memcpy(at, event->problem, n_problem);
        fresh->event.problem = at;
    }
    return fresh;
}

bool reply_put(reply *self, const reply_event *event) {
    node *fresh = node_new(event);
    if (!fresh) return false;
    pthread_mutex_lock(&self->lock);
    *self->end = fresh;
    self->end = &fresh->next;
    self->n_bytes += fresh->n_bytes;
    pthread_cond_signal(&self->came);
    pthread_mutex_unlock(&self->lock);
    return true;
}

bool reply_is_full(const reply *self) {
    reply *unlocked = (reply *)(uintptr_t)self;
    pthread_mutex_lock(&unlocked->lock);
    bool full = self->n_bytes > REPLY_LIMIT_BYTES;
    pthread_mutex_unlock(&unlocked->lock);
    return full;
}

bool reply_is_cancelled(const reply *self) {
    return atomic_load(&self->is_cancelled);
}

/* ---- the connection's side ----------------------------------------------------------------------- */

bool reply_take(reply *self, double seconds, const reply_event **event) {
    double until = seconds > 0 ? time_seconds() + seconds : 0;
    free(self->taken);
    pthread_mutex_lock(&self->lock);
    while (!self->first && condition_wait_until(&self->came, &self->lock, until)) continue;
    node *taken = self->first;
    bool drained = false;
    if (taken) {
        size_t half = REPLY_LIMIT_BYTES / 2;
        self->first = taken->next;
        if (!self->first) self->end = &self->first;
        drained = self->n_bytes > half && self->n_bytes - taken->n_bytes <= half;
        self->n_bytes -= taken->n_bytes;
    }
    pthread_mutex_unlock(&self->lock);
    self->taken = taken;
    if (taken) *event = &taken->event;
    if (drained && self->wake) self->wake(self->wake_context);
    return taken != NULL;
}

void reply_cancel(reply *self) {
    if (!atomic_exchange(&self->is_cancelled, true) && self->wake) self->wake(self->wake_context);
}
