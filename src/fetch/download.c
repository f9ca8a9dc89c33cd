#include "fetch/download.h"
#include "base/error.h"
#include "base/file.h"
#include "fetch/fetch.h"
#include "fetch/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_FAILURES = 12,         /* one after another: five minutes or more */
    MAX_FAILURES_AT_START = 3, /* before any server answered: most likely there is no network, or no such host */
    MAX_RESTARTS = 3,
};

typedef struct download {
    const download_options *options;
    part_file part;
    download_phase phase;
    uint64_t end;      /* of the file's bytes that the response at hand has */
    bool again;        /* the response was of no use: ask for the file from its beginning */
    bool was_answered; /* by a server */
    int n_restarts;
    ds4_status status; /* of the disk, or of what the server says */
    ds4_error *error;
} download;

static bool report(const download *d, download_phase phase, uint64_t done_bytes) {
    if (!d->options->progress) return false;
    download_state state = {.phase = phase, .done_bytes = done_bytes, .total_bytes = d->part.record.total_bytes};
    return d->options->progress(d->options->context, &state);
}

/* ---- verification -------------------------------------------------------------------------------- */

static ds4_status cancelled(const download *d) {
    return error_set(d->error, DS4_CANCELLED, "%s: cancelled", d->options->path);
}

/* Adds bytes [0, n_bytes) of the file. */
static ds4_status sum_file(const download *d, int fd, const char *path, uint64_t n_bytes, sha256_context *sum) {
    enum { PIECE_BYTES = 1 << 20 };
    char *piece = malloc(PIECE_BYTES);
    ds4_status status = piece ? DS4_OK : error_memory(d->error, path, PIECE_BYTES);
    for (uint64_t at = 0; status == DS4_OK && at < n_bytes;) {
        size_t wanted = n_bytes - at < PIECE_BYTES ? (size_t)(n_bytes - at) : PIECE_BYTES;
        ssize_t n = pread(fd, piece, wanted, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) at += (uint64_t)n;
        if (n <= 0)
            status = error_set(d->error, DS4_ERROR_IO, "%s: cannot read: %s", path,
                               n < 0 ? strerror(errno) : "it is too short");
        else if (!sha256_add(sum, piece, (size_t)n))
            status = error_set(d->error, DS4_ERROR_MEMORY, "%s: SHA-256 failed", path);
        else if (report(d, DOWNLOAD_VERIFYING, at))
            status = cancelled(d);
    }
    free(piece);
    return status;
}

/* DS4_ERROR_FORMAT if the sum is another one. */
static ds4_status verify(const download *d, int fd, const char *path, uint64_t n_bytes, const char *expected) {
    sha256_context *sum = NULL;
    char found[SHA256_HEX_BYTES];
    ds4_status status = sha256_new(&sum, d->error);
    if (status != DS4_OK) return status;
    status = sum_file(d, fd, path, n_bytes, sum);
    if (status == DS4_OK && !sha256_finish(sum, found))
        status = error_set(d->error, DS4_ERROR_MEMORY, "%s: SHA-256 failed", path);
    if (status == DS4_OK && strcmp(found, expected) != 0)
        status = error_set(d->error, DS4_ERROR_FORMAT, "%s: SHA-256 is %s, published is %s", path, found, expected);
    sha256_free(sum);
    return status;
}

/* ---- one attempt --------------------------------------------------------------------------------- */

static ds4_status restart(download *d) {
    if (d->n_restarts++ == MAX_RESTARTS)
        return error_set(d->error, DS4_ERROR_IO,
                         "%s: had to begin again %d times: the server cannot resume, or the file keeps changing",
                         d->options->url, MAX_RESTARTS);
    return part_restart(&d->part, d->error);
}

static bool begin_again(download *d) {
    d->again = true;
    d->status = restart(d);
    return false;
}

/* What is remembered of the file: a SHA-256 that this server does not know is still the file's. */
static ds4_status remember(download *d, part_record record) {
    if (!record.sha256[0]) memcpy(record.sha256, d->part.record.sha256, sizeof record.sha256);
    const part_record *old = &d->part.record;
    if (old->known && old->total_bytes == record.total_bytes && strcmp(old->etag, record.etag) == 0 &&
        strcmp(old->sha256, record.sha256) == 0)
        return DS4_OK;
    return part_record_save(&d->part, &record, d->error);
}

static bool attempt_begin(void *context, const fetch_reply *reply) {
    download *d = context;
    fetch_extent extent;
    d->status = fetch_reply_extent(reply, d->options->url, &extent, d->error);
    if (d->status != DS4_OK) return false;
    part_record record = part_record_of(reply, &extent);
    if (d->part.n_bytes && reply->status == 200)
        d->status = restart(d); /* this is the whole file, from its beginning */
    else if (extent.first != d->part.n_bytes)
        d->status =
            error_set(d->error, DS4_ERROR_FORMAT, "%s: the server sends bytes from %" PRIu64 ", asked for %" PRIu64,
                      d->options->url, extent.first, d->part.n_bytes);
    else if (d->part.n_bytes && part_record_compare(&d->part.record, &record) == PART_CHANGED)
        return begin_again(d);
    if (d->status == DS4_OK) d->status = part_check_room(&d->part, extent.total - d->part.n_bytes, d->error);
    if (d->status == DS4_OK) d->status = remember(d, record);
    d->end = extent.end;
    d->phase = DOWNLOAD_RECEIVING;
    return d->status == DS4_OK;
}

static bool attempt_take(void *context, const void *bytes, size_t n_bytes) {
    download *d = context;
    if (n_bytes <= d->end - d->part.n_bytes) {
        d->status = part_append(&d->part, bytes, n_bytes, d->error);
    } else { /* then the rest is not to be trusted either */
        d->status =
            error_set(d->error, DS4_ERROR_FORMAT,
                      "%s: the server sends more than the %" PRIu64 " bytes that it announced; what came was removed",
                      d->options->url, d->end);
        part_remove(&d->part);
    }
    return d->status == DS4_OK;
}

static bool attempt_cancelled(void *context) {
    const download *d = context;
    return report(d, d->phase, d->part.n_bytes);
}

/* 416: there is nothing behind what we have. So it may be complete. */
static ds4_status range_refused(download *d, const fetch_reply *reply) {
    part_record record = part_record_of(reply, &(fetch_extent){.total = reply->total_bytes});
    if (!d->part.n_bytes) return fetch_reply_error(reply, d->options->url, d->error);
    if (reply->has_total && !reply->malformed && reply->total_bytes == d->part.n_bytes &&
        part_record_compare(&d->part.record, &record) == PART_SAME)
        return remember(d, record);
    return restart(d);
}

/* DS4_OK if there is more than before, or a reason to ask again at once. */
static ds4_status attempt(download *d, fetch_reply *reply, bool *may_pass) {
    fetch_request request = {.url = d->options->url,
                             .token = d->options->token,
                             .offset = d->part.n_bytes,
                             .stall_seconds = d->options->stall_seconds};
    fetch_sink sink = {.context = d, .begin = attempt_begin, .take = attempt_take, .cancelled = attempt_cancelled};
    d->status = DS4_OK;
    d->again = false;
    d->phase = DOWNLOAD_CONNECTING;
    ds4_status status = fetch_get(&request, &sink, reply, may_pass, d->error);
    if (reply->status) d->was_answered = true;
    if (status != DS4_OK) return status;
    if (d->status != DS4_OK || d->again) return d->status;
    if (reply->status == 416) return range_refused(d, reply);
    if (reply->status != 200 && reply->status != 206) return fetch_reply_error(reply, d->options->url, d->error);
    if (d->part.n_bytes == d->end) return DS4_OK;
    *may_pass = true;
    return error_set(d->error, DS4_ERROR_IO, "%s: the connection ended early", d->options->url);
}

/* ---- until it is complete ------------------------------------------------------------------------ */

static bool is_complete(const part_file *part) {
    return part->record.known && part->n_bytes == part->record.total_bytes;
}

static ds4_status wait_for(const download *d, double seconds) {
    double until = time_seconds() + seconds;
    ds4_error why = d->error ? *d->error : (ds4_error){0};
    size_t n_url = strlen(d->options->url);
    bool has_url = strncmp(why.message, d->options->url, n_url) == 0 && strncmp(why.message + n_url, ": ", 2) == 0;
    download_state state = {.phase = DOWNLOAD_WAITING,
                            .done_bytes = d->part.n_bytes,
                            .total_bytes = d->part.record.total_bytes,
                            .problem = why.message + (has_url ? n_url + 2 : 0)};
    while ((state.wait_seconds = until - time_seconds()) > 0) {
        if (d->options->progress && d->options->progress(d->options->context, &state)) return cancelled(d);
        double nap = state.wait_seconds < 0.1 ? state.wait_seconds : 0.1;
        nanosleep(&(struct timespec){.tv_nsec = (long)(nap * 1e9)}, NULL);
    }
    return DS4_OK;
}

static ds4_status receive(download *d) {
    fetch_patience patience = {.first_seconds = d->options->retry_seconds};
    ds4_status status = DS4_OK;
    while (status == DS4_OK && !is_complete(&d->part)) {
        fetch_reply reply;
        bool may_pass;
        uint64_t before = d->part.n_bytes;
        status = attempt(d, &reply, &may_pass);
        if (d->part.n_bytes > before) patience.n_failures = 0;
        if (status == DS4_OK || status == DS4_CANCELLED || !may_pass) continue;
        double wait = fetch_patience_wait(&patience, &reply, d->was_answered ? MAX_FAILURES : MAX_FAILURES_AT_START);
        if (wait >= 0) status = wait_for(d, wait);
    }
    return status;
}

static void remove_wrong(download *d) {
    ds4_error why = d->error ? *d->error : (ds4_error){0};
    part_remove(&d->part);
    error_set(d->error, DS4_ERROR_FORMAT, "%.480s; it was removed", why.message);
}

static ds4_status complete(download *d, download_result *result) {
    const part_record *record = &d->part.record;
    ds4_status status = DS4_OK;
    if (record->sha256[0]) {
        status = verify(d, d->part.fd, d->part.path, d->part.n_bytes, record->sha256);
        if (status == DS4_ERROR_FORMAT) remove_wrong(d);
        result->hash_verified = status == DS4_OK;
    }
    if (status == DS4_OK) status = part_commit(&d->part, d->error);
    result->size_checked = status == DS4_OK;
    return status;
}

/* ---- a file that is there ------------------------------------------------------------------------ */

typedef struct published {
    const char *url;
    fetch_extent extent;
    const download *download;
    ds4_status status;
} published;

static bool published_begin(void *context, const fetch_reply *reply) {
    published *p = context;
    p->status = fetch_reply_extent(reply, p->url, &p->extent, p->download->error);
    return false; /* nothing but the headers is wanted */
}

static bool published_cancelled(void *context) {
    const published *p = context;
    return report(p->download, DOWNLOAD_CONNECTING, 0);
}

/* Asks for size and sum. */
static ds4_status ask(const download *d, published *p, fetch_reply *reply) {
    fetch_request request = {
        .url = d->options->url, .token = d->options->token, .stall_seconds = d->options->stall_seconds};
    fetch_sink sink = {.context = p, .begin = published_begin, .cancelled = published_cancelled};
    bool may_pass;
    *p = (published){.url = d->options->url, .download = d};
    ds4_status status = fetch_get(&request, &sink, reply, &may_pass, d->error);
    if (status == DS4_OK && reply->status != 200 && reply->status != 206)
        status = fetch_reply_error(reply, d->options->url, d->error);
    return status == DS4_OK ? p->status : status;
}

static ds4_status verify_existing(const download *d, uint64_t n_bytes, const char *expected) {
    const char *path = d->options->path;
    if (!expected[0])
        return error_set(d->error, DS4_ERROR_FORMAT, "%s: its SHA-256 is not published at %s", path, d->options->url);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(d->error, DS4_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
    ds4_status status = verify(d, fd, path, n_bytes, expected);
    close(fd);
    return status;
}

static ds4_status check_existing(download *d, const struct stat *info, download_result *result) {
    published p;
    fetch_reply reply;
    *result = (download_result){.was_there = true, .n_bytes = (uint64_t)info->st_size};
    if (!S_ISREG(info->st_mode)) return error_set(d->error, DS4_ERROR_IO, "%s: not a regular file", d->options->path);
    d->part.record.total_bytes = result->n_bytes; /* for progress */
    ds4_status status = ask(d, &p, &reply);
    if (status != DS4_OK) return status == DS4_CANCELLED || d->options->verify ? status : DS4_OK;
    if (p.extent.total != result->n_bytes)
        return error_set(d->error, DS4_ERROR_FORMAT,
                         "%s: has %" PRIu64 " bytes, but %" PRIu64 " are published; to download it again, take it away",
                         d->options->path, result->n_bytes, p.extent.total);
    result->size_checked = true;
    if (d->options->verify) status = verify_existing(d, result->n_bytes, reply.sha256);
    result->hash_verified = d->options->verify && status == DS4_OK;
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static ds4_status download_with_part(download *d, download_result *result) {
    struct stat info;
    ds4_status status = DS4_OK;
    /* another process may have completed it while this one opened the part */
    if (stat(d->options->path, &info) == 0) return check_existing(d, &info, result);
    if (d->part.record.known && d->part.n_bytes > d->part.record.total_bytes) status = part_restart(&d->part, d->error);
    if (status == DS4_OK) status = receive(d);
    if (status == DS4_OK) status = complete(d, result);
    result->n_bytes = d->part.n_bytes;
    return status;
}

ds4_status download_file(const download_options *options, download_result *result, ds4_error *error) {
    download d = {.options = options, .part.fd = -1, .error = error};
    struct stat info;
    *result = (download_result){0};
    if (stat(options->path, &info) == 0) return check_existing(&d, &info, result);
    ds4_status status = part_open(options->path, &d.part, error);
    if (status != DS4_OK) return status;
    status = download_with_part(&d, result);
    part_close(&d.part);
    return status;
}
