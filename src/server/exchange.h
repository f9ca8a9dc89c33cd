/*
 * One request and its response, from the head of the one to the last byte of the other: what the files of HTTP share.
 * Belongs to the thread of its connection.
 */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "server/api.h"
#include "server/connections.h"
#include "server/http.h"

#include <microhttpd.h>
#include <stdatomic.h>

enum { HTTP_MAX_SOCKETS = 8 };

struct http {
    http_parts parts;
    connections *connections;
    struct MHD_Daemon *daemon[HTTP_MAX_SOCKETS];
    size_t n_daemons;
    atomic_bool drains, stops;
    atomic_int n_answering;
};

typedef struct exchange exchange;

/* What a path means. */
typedef struct route {
    const char *path;
    const char *allowed; /* methods, as the header Allow lists them */
    const char *name;    /* label of metrics */
    const api *api;      /* for questions and their errors; NULL: no questions here */
    bool counts_only;
    bool is_open;     /* to everybody */
    bool has_subpath; /* also path/anything */
    enum MHD_Result (*answer)(exchange *x);
} route;

struct exchange {
    http *http;
    struct MHD_Connection *connection;
    connection *watched;
    int socket;
    const route *route;
    const char *subpath;
    char request_id[ID_BYTES];
    double began;

    ds4_buffer body;
    size_t n_received;
    bool is_refused; /* problem is why; the rest of the body is of no use */
    problem problem;

    int status; /* of the response; 0: none so far */
    bool is_answering;
    reply *reply; /* NULL: none */
    stream stream;
    bool has_stream;
    bool is_ended; /* nothing comes after what is in out */
    bool is_cut;   /* the connection is to break off behind it, so that nobody takes the answer for whole */
    ds4_buffer out;
    size_t n_sent;                 /* of out, or of stream.out */
    double last_sent, last_looked; /* the latter: whether the client is still there */
};

/* Of the request; NULL: not there. */
const char *exchange_header(const exchange *x, const char *name);

/* Sends x->out as the whole body. */
enum MHD_Result exchange_respond(exchange *x, int status, const char *content_type);
/* The same with JSON, which is taken; NULL: no memory for it. */
enum MHD_Result exchange_respond_json(exchange *x, int status, json_t *value);
/* The error that the API has for x->problem. */
enum MHD_Result exchange_fail(exchange *x);
/* A body that next makes piece by piece. */
enum MHD_Result exchange_respond_pieces(exchange *x, int status, const char *content_type,
                                        MHD_ContentReaderCallback next);

/* To be called before a function that may have waited goes back to the library: the client has stalled_seconds from now
 * to take something. */
void exchange_restart_timeout(exchange *x);
bool exchange_client_is_gone(const exchange *x);

/* Questions (answering.c). */
enum MHD_Result answer_question(exchange *x);

#endif
