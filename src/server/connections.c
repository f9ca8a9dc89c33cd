#include "server/connections.h"

#include "base/condition.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A body may take longer the larger it is: a second for so many bytes that came. */
static const double body_bytes_per_second = 64 << 10;

typedef enum connection_state { CONNECTION_READS, CONNECTION_WORKS, CONNECTION_WRITES } connection_state;

struct connection {
    connection *next, *previous;
    int socket;
    connection_state state;
    double since; /* of reading: the request's beginning; of writing: the last progress */
    size_t n_received;
};

struct connections {
    double incomplete_seconds, stalled_seconds;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t stop;
    bool is_stopped;
    connection *first;
};

/* ---- watching ------------------------------------------------------------------------------------ */

static bool is_overdue(const connections *self, const connection *c, double now) {
    double patience = 2 * self->incomplete_seconds + (double)c->n_received / body_bytes_per_second;
    switch (c->state) {
    case CONNECTION_READS: return now - c->since > patience;
    case CONNECTION_WORKS: return false;
    case CONNECTION_WRITES: return now - c->since > self->stalled_seconds;
    }
    return false;
}

static void *watch(void *context) {
    connections *self = context;
    pthread_mutex_lock(&self->lock);
    while (!self->is_stopped) {
        double now = time_seconds();
        for (connection *c = self->first; c; c = c->next)
            if (is_overdue(self, c, now)) shutdown(c->socket, SHUT_RDWR);
        condition_wait_until(&self->stop, &self->lock, now + 1);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status connections_new(double incomplete_seconds, double stalled_seconds, connections **out, ds4_error *error) {
    connections *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "connections", sizeof *self);
    self->incomplete_seconds = incomplete_seconds;
    self->stalled_seconds = stalled_seconds;
    pthread_mutex_init(&self->lock, NULL);
    condition_init(&self->stop);
    if (pthread_create(&self->thread, NULL, watch, self) == 0) {
        *out = self;
        return DS4_OK;
    }
    pthread_cond_destroy(&self->stop);
    pthread_mutex_destroy(&self->lock);
    free(self);
    return error_set(error, DS4_ERROR_MEMORY, "cannot start a thread");
}

void connections_free(connections *self) {
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    self->is_stopped = true;
    pthread_cond_signal(&self->stop);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->stop);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

connection *connections_add(connections *self, int socket) {
    connection *c = array_new(1, sizeof *c);
    if (!c) return NULL;
    *c = (connection){.socket = socket, .since = time_seconds()};
    pthread_mutex_lock(&self->lock);
    c->next = self->first;
    if (c->next) c->next->previous = c;
    self->first = c;
    pthread_mutex_unlock(&self->lock);
    return c;
}

void connections_remove(connections *self, connection *c) {
    if (!c) return;
    pthread_mutex_lock(&self->lock);
    if (c->next) c->next->previous = c->previous;
    *(c->previous ? &c->previous->next : &self->first) = c->next;
    pthread_mutex_unlock(&self->lock);
    free(c);
}

/* ---- what goes on -------------------------------------------------------------------------------- */

static void set_state(connections *self, connection *c, connection_state state) {
    if (!c) return;
    double now = time_seconds();
    pthread_mutex_lock(&self->lock);
    c->state = state;
    c->since = now;
    c->n_received = 0;
    pthread_mutex_unlock(&self->lock);
}

void connection_waits(connections *self, connection *which) {
    set_state(self, which, CONNECTION_READS);
}

void connection_works(connections *self, connection *which) {
    set_state(self, which, CONNECTION_WORKS);
}

void connection_sends(connections *self, connection *which) {
    set_state(self, which, CONNECTION_WRITES);
}

void connection_receives(connections *self, connection *c, size_t n_bytes) {
    if (!c) return;
    pthread_mutex_lock(&self->lock);
    c->n_received += n_bytes;
    pthread_mutex_unlock(&self->lock);
}
