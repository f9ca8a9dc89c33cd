/*
 * An HTTP client on raw sockets, so that tests can look at bytes, send half of something, read slowly and hang up. What
 * fails in here that no server can cause ends the test program.
 */
#ifndef SUPPORT_HTTP_CLIENT_H
#define SUPPORT_HTTP_CLIENT_H

#include "ds4.h"

typedef struct http_response {
    int status;      /* 0: none came */
    ds4_buffer head; /* status line and headers */
    ds4_buffer body; /* without the marks of chunks */
    bool is_whole;   /* it came to its proper end */
    bool is_chunked;
} http_response;

void http_response_deinit(http_response *response);
/* The first header of that name, copied into value; "" if there is none. */
const char *http_header(const http_response *response, const char *name, char value[256]);

/* url: http://HOST:PORT or unix:PATH. -1: refused. Nothing waits longer than 20 seconds. */
int http_connect(const char *url);
/* The same with a receive buffer that small. */
int http_connect_narrow(const char *url, int receive_bytes);
/* False: the server has closed. */
bool http_send(int socket, const void *bytes, size_t n_bytes);
bool http_send_text(int socket, const char *text);
/* A request line, headers (each ends with "\r\n"; NULL: none), and the body with its length (NULL: no body). */
bool http_ask(int socket, const char *method, const char *path, const char *headers, const char *body);
/* The response to one request; method "HEAD": it has no body. The socket stays open. */
http_response http_answer_of(int socket, const char *method);
/* Appends what comes until it contains text; false: end or timeout before that. */
bool http_read_until(int socket, ds4_buffer *bytes, const char *text, double seconds);
/* Whether the server closes the connection within so many seconds; reads what comes before. */
bool http_is_closed_within(int socket, double seconds);

/* All of it on a connection of its own. */
http_response http_call(const char *url, const char *method, const char *path, const char *headers, const char *body);
/* Bytes as they are. */
http_response http_raw(const char *url, const char *bytes, size_t n_bytes);

/* The next event of a stream's text, from *at on; false at the end. data and event are cut at their capacity. */
typedef struct sse_event {
    char event[64]; /* "": no event line */
    const char *data;
    size_t n_data;
} sse_event;
bool sse_read(const char **at, sse_event *event);

#endif
