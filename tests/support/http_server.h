/*
 * An HTTP server on the loopback interface that serves one file, and misbehaves as a test says. It runs in a thread and
 * answers one connection after another. What fails in here ends the test program.
 */
#ifndef SUPPORT_HTTP_SERVER_H
#define SUPPORT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How one request is answered. All zero: properly, 200 or, if it asks for a part of the file, 206 or 416. */
typedef struct http_answer {
    int status;                 /* without a body; 0: as above */
    const char *headers;        /* more of them, each with "\r\n" */
    const char *content_length; /* the value of the header, instead of the right one; "": no such header */
    const char *content_range;  /* likewise */
    const void *content;        /* another file; NULL: the server's */
    size_t n_content;
    bool ignores_range; /* 200 and the whole file */
    bool is_chunked;    /* Transfer-Encoding instead of a length */
    size_t drop_after;  /* the connection is closed after so many bytes of the body; 0: not */
    bool resets;        /* without any goodbye */
    size_t n_surplus;   /* more bytes than there should be */
    size_t piece_bytes; /* a pause after each piece of this size; 0: none */
    int pause_ms;
    bool stalls; /* nothing comes after the headers, until the client goes away */
} http_answer;

typedef struct http_request {
    char method[8], target[512], host[128], range[64], authorization[128], proxy_authorization[128];
} http_request;

typedef struct http_server http_server;

/* The bytes are the caller's and must outlive the server. */
http_server *http_server_start(const void *content, size_t n_bytes);
void http_server_stop(http_server *server);
/* "http://127.0.0.1:PORT" */
const char *http_server_url(const http_server *server);

/* The answers to the next requests; the last one is repeated. Forgets the requests that came before. The strings are
 * the caller's. */
void http_server_script(http_server *server, const http_answer *answers, size_t n_answers);
#define HTTP_SCRIPT(server, ...)                                   \
    http_server_script(server, (const http_answer[]){__VA_ARGS__}, \
                       sizeof((const http_answer[]){__VA_ARGS__}) / sizeof(http_answer))

/* Requests since then, and the i-th of them. */
size_t http_server_n_requests(http_server *server);
http_request http_server_request(http_server *server, size_t i);

#endif
