/*
 * HTTP and HTTPS by libcurl: one request at a time, followed over redirections, into a sink. Honours http_proxy,
 * https_proxy, all_proxy and no_proxy. Certificates are verified; from https a redirection may lead to https only.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "fetch/reply.h"

typedef struct fetch_request {
    const char *url;      /* http: or https: */
    const char *token;    /* NULL, or goes as "Authorization: Bearer TOKEN" to the url's host and to no other */
    uint64_t offset;      /* byte of the file to begin with */
    uint64_t n_bytes;     /* 0: to its end; with offset 0 then no range is asked for */
    double stall_seconds; /* a connection that brings nothing for this long is lost; 0: 30 */
} fetch_request;

typedef struct fetch_sink {
    void *context;
    /* Before the body of a response 200 or 206, which may be another part of the file than was asked for. */
    bool (*begin)(void *context, const fetch_reply *reply);
    /* Pieces of that body. */
    bool (*take)(void *context, const void *bytes, size_t n_bytes);
    /* Asked several times a second; true ends the transfer. NULL: never. */
    bool (*cancelled)(void *context);
} fetch_sink;

/* One attempt. DS4_OK: the body is complete, or begin or take ended the transfer by being false, or the status is
 * neither 200 nor 206 (fetch_reply_error makes a message of that); *reply tells. DS4_ERROR_IO: no connection, or one
 * that was lost; DS4_CANCELLED. *may_pass: the same request may succeed later. */
ds4_status fetch_get(const fetch_request *request, const fetch_sink *sink, fetch_reply *reply, bool *may_pass,
                     ds4_error *error);

/* How long to wait between attempts. Zero-initialise. */
typedef struct fetch_patience {
    double first_seconds; /* doubles with each failure; 0: 0.25 */
    int n_failures;       /* since there was progress */
} fetch_patience;

/* Counts a failure that may pass. Seconds to wait before the next attempt: what the server asked for, else longer
 * each time. -1: give up, because it failed max_failures times, or asks for more than ten minutes. */
double fetch_patience_wait(fetch_patience *patience, const fetch_reply *reply, int max_failures);

/* The token for a URL: $HF_TOKEN for https://huggingface.co/..., otherwise NULL. */
const char *fetch_token(const char *url);

/* Reads n_bytes of a file at offset, fewer if it ends before, and appends them; *total_bytes becomes the file's
 * length. A server without ranges is read up to the last byte wanted. Tries a few times. Sends fetch_token(url).
 * DS4_ERROR_IO, DS4_ERROR_FORMAT (lengths disagree, or there is none), DS4_ERROR_MEMORY; bytes and total_bytes are
 * then as they were. */
ds4_status fetch_range(const char *url, uint64_t offset, size_t n_bytes, ds4_buffer *bytes, uint64_t *total_bytes,
                       ds4_error *error);

#endif
