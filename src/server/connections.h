/*
 * Open connections, and a thread that looks once a second whether one of them only keeps a place: a request that does
 * not come to its end, or an answer that nobody reads. The library below only knows silence, and a byte a second is
 * none. Such sockets are shut down; whoever works on the connection then finds its end. Any thread; one mutex.
 */
#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H

#include "ds4.h"

typedef struct connections connections;
typedef struct connection connection; /* one of them */

/* A request has twice incomplete_seconds, and a second for every 64 KiB of its body; an answer of which nothing is read
 * has stalled_seconds. */
ds4_status connections_new(double incomplete_seconds, double stalled_seconds, connections **out, ds4_error *error);
/* Joins the thread. No connection may be left. */
void connections_free(connections *self);

/* The socket must stay open until connections_remove. NULL without memory. A new one waits for its first request. */
connection *connections_add(connections *self, int socket);
void connections_remove(connections *self, connection *which);

/* What is going on there now. which may be NULL: nothing. */
void connection_waits(connections *self, connection *which);                    /* for the next request */
void connection_receives(connections *self, connection *which, size_t n_bytes); /* so much more of a request's body */
void connection_works(connections *self, connection *which);                    /* an answer is being made */
void connection_sends(connections *self, connection *which);                    /* more of it is on its way */

#endif
