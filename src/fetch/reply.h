/*
 * What the headers of an HTTP response say about a file. Servers are not trusted: a number that is no number, or does
 * not agree with another one, is an error, and what is not understood counts as not said.
 */
#ifndef FETCH_REPLY_H
#define FETCH_REPLY_H

#include "base/sha256.h"

enum { FETCH_ETAG_BYTES = 200 };

/* Zero-initialise. */
typedef struct fetch_reply {
    int status;         /* of the last response, such as 206; 0: none came */
    double retry_after; /* seconds that the server asks to wait; 0: none */
    bool has_length, has_range, has_total;
    uint64_t length_bytes;       /* Content-Length: of the body */
    uint64_t first, end;         /* Content-Range: the body is the file's bytes [first, end) */
    uint64_t total_bytes;        /* Content-Range: of the file */
    char etag[FETCH_ETAG_BYTES]; /* ETag with its quotes; "" if there is none, or a weak one */
    const char *malformed;       /* name of a header with an impossible value; NULL: none */

    /* Of the first response that says so: the host that was asked knows, those that it leads to only deliver. */
    bool has_linked;
    uint64_t linked_bytes;         /* X-Linked-Size: of the file */
    char sha256[SHA256_HEX_BYTES]; /* X-Linked-ETag: of the file; "" if not published */
} fetch_reply;

/* Takes one line of headers as it came. A status line begins a new response, after a redirection for example. */
void fetch_reply_header(fetch_reply *reply, const char *line, size_t n_bytes);

/* The bytes of a file that a body holds: [first, end) of total. */
typedef struct fetch_extent {
    uint64_t first, end, total;
} fetch_extent;

/* Of a response 200 or 206. DS4_ERROR_FORMAT if a header is malformed, lengths disagree or none is there. */
ds4_status fetch_reply_extent(const fetch_reply *reply, const char *url, fetch_extent *extent, ds4_error *error);

/* The error that any status but 200 and 206 is. Returns DS4_ERROR_IO. */
ds4_status fetch_reply_error(const fetch_reply *reply, const char *url, ds4_error *error);

#endif
