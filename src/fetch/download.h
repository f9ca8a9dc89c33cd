/*
 * Downloads a large file so that it need not be begun twice: it grows as FILE.part, which a later call continues
 * wherever an earlier one ended, and gets its name when its length, and its SHA-256 if the server publishes one, are
 * right. Lost connections and busy servers are tried again. See part.h for what lies on the disk meanwhile.
 */
#ifndef FETCH_DOWNLOAD_H
#define FETCH_DOWNLOAD_H

#include "ds4.h"

typedef enum download_phase {
    DOWNLOAD_CONNECTING,
    DOWNLOAD_RECEIVING,
    DOWNLOAD_WAITING, /* before the next attempt */
    DOWNLOAD_VERIFYING,
} download_phase;

typedef struct download_state {
    download_phase phase;
    uint64_t done_bytes, total_bytes; /* total 0: not known yet */
    double wait_seconds;              /* that are left */
    const char *problem;              /* why it waits, without the URL; otherwise NULL */
} download_state;

/* Called several times a second; true cancels. */
typedef bool download_progress(void *context, const download_state *state);

/* Zero-initialise; the caller's strings. */
typedef struct download_options {
    const char *url, *path;
    const char *token;    /* as in fetch_request */
    bool verify;          /* a file that is there already is compared with the published SHA-256, too */
    double retry_seconds; /* before the first new attempt, doubling; 0: 0.25 */
    double stall_seconds; /* as in fetch_request */
    download_progress *progress;
    void *context;
} download_options;

typedef struct download_result {
    uint64_t n_bytes;   /* of the file, or on failure of what is kept of it */
    bool was_there;     /* nothing was downloaded */
    bool size_checked;  /* its size is the published one */
    bool hash_verified; /* so is its SHA-256 */
} download_result;

/* Makes the file at path be the one at url. Its folder must exist. A file that is there already is never changed: if
 * its size is another one that is DS4_ERROR_FORMAT, and without a connection it stays unchecked, which is DS4_OK.
 *
 * DS4_ERROR_IO: connection, status, disk; too little free space for what is missing is found before the first byte.
 * DS4_ERROR_FORMAT: the server's lengths disagree, or the SHA-256 is wrong: then the part is removed. DS4_CANCELLED.
 * In all other cases the part stays. *result is always set. */
ds4_status download_file(const download_options *options, download_result *result, ds4_error *error);

#endif
