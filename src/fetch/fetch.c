#include "fetch/fetch.h"
#include "base/error.h"
#include "base/memory.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_REDIRECTIONS = 8, CONNECT_SECONDS = 20, BUFFER_BYTES = 1 << 18 };
#define STALL_SECONDS 30.0
#define MAX_ASKED_SECONDS 600.0 /* that a server may want us to wait */
#define MAX_RANGE_SECONDS 10.0  /* likewise, for a small piece that somebody waits for */

/* ---- one transfer -------------------------------------------------------------------------------- */

typedef struct transfer {
    const fetch_sink *sink;
    fetch_reply *reply;
    bool begun;   /* the sink knows the headers; what still comes of those are trailers */
    bool stopped; /* by the sink */
    bool cancelled;
} transfer;

static size_t take_header(char *line, size_t size, size_t n, void *context) {
    transfer *t = context;
    if (!t->begun) fetch_reply_header(t->reply, line, size * n);
    return size * n;
}

static bool has_body(const fetch_reply *reply) {
    return reply->status == 200 || reply->status == 206;
}

static bool begin_body(transfer *t) {
    if (t->begun) return true;
    t->begun = true;
    t->stopped = !t->sink->begin(t->sink->context, t->reply);
    return !t->stopped;
}

/* Any return but the size ends the transfer. The text of an error page is not wanted. */
static size_t take_body(char *bytes, size_t size, size_t n, void *context) {
    transfer *t = context;
    if (!has_body(t->reply)) {
        t->stopped = true;
        return 0;
    }
    if (!begin_body(t)) return 0;
    t->stopped = !t->sink->take(t->sink->context, bytes, size * n);
    return t->stopped ? 0 : size * n;
}

static int ask_cancelled(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    transfer *t = context;
    t->cancelled = t->sink->cancelled && t->sink->cancelled(t->sink->context);
    return t->cancelled;
}

/* ---- libcurl ------------------------------------------------------------------------------------- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_begin(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool starts_with(const char *text, const char *beginning) {
    return strncasecmp(text, beginning, strlen(beginning)) == 0;
}

static CURLcode set_range(CURL *curl, const fetch_request *request) {
    char range[64];
    if (!request->offset && !request->n_bytes) return CURLE_OK;
    if (request->n_bytes)
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->offset, request->offset + request->n_bytes - 1);
    else
        snprintf(range, sizeof range, "%" PRIu64 "-", request->offset);
    return curl_easy_setopt(curl, CURLOPT_RANGE, range);
}

/* Gives a token to the host of the first URL only: so libcurl treats these two options. */
static CURLcode set_token(CURL *curl, const char *token) {
    if (!token) return CURLE_OK;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token) : code;
}

static CURLcode set_limits(CURL *curl, const fetch_request *request) {
    const char *protocols = starts_with(request->url, "https:") ? "https" : "http,https";
    long stall = (long)(request->stall_seconds > 0 ? request->stall_seconds : STALL_SECONDS);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTIONS);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stall < 1 ? 1L : stall);
    return code;
}

static CURLcode set_callbacks(CURL *curl, transfer *t) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_cancelled);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    return code;
}

static CURLcode set_request(CURL *curl, const fetch_request *request, transfer *t, char *message) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_URL, request->url);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_USERAGENT, "ds4/" DS4_VERSION);
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* the signals are the program's */
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's */
    if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    if (code == CURLE_OK) code = set_limits(curl, request);
    if (code == CURLE_OK) code = set_range(curl, request);
    if (code == CURLE_OK) code = set_token(curl, request->token);
    if (code == CURLE_OK) code = set_callbacks(curl, t);
    return code;
}

/* Whether the network may be better later. */
static bool code_may_pass(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: return true;
    default: return false;
    }
}

static bool status_may_pass(int status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static ds4_status judge(CURL *curl, CURLcode code, transfer *t, const fetch_request *request, const char *message,
                        bool *may_pass, ds4_error *error) {
    curl_off_t asked = 0;
    *may_pass = status_may_pass(t->reply->status);
    if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &asked) == CURLE_OK && asked > 0)
        t->reply->retry_after = (double)asked;
    if (t->cancelled) return error_set(error, DS4_CANCELLED, "%s: cancelled", request->url);
    if (t->stopped) return DS4_OK;
    if (code == CURLE_OK) {
        if (has_body(t->reply)) begin_body(t); /* an empty one */
        return DS4_OK;
    }
    *may_pass = code_may_pass(code);
    if (code == CURLE_OUT_OF_MEMORY) return error_memory(error, request->url, BUFFER_BYTES);
    return error_set(error, DS4_ERROR_IO, "%s: %s", request->url, *message ? message : curl_easy_strerror(code));
}

ds4_status fetch_get(const fetch_request *request, const fetch_sink *sink, fetch_reply *reply, bool *may_pass,
                     ds4_error *error) {
    *reply = (fetch_reply){0};
    *may_pass = false;
    if (request->n_bytes > INT64_MAX || request->offset > INT64_MAX - request->n_bytes)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: no file has bytes at %" PRIu64, request->url, request->offset);
    pthread_once(&library_once, library_begin);
    CURL *curl = curl_easy_init();
    if (!curl) return error_memory(error, request->url, BUFFER_BYTES);
    char message[CURL_ERROR_SIZE] = "";
    transfer t = {.sink = sink, .reply = reply};
    CURLcode code = set_request(curl, request, &t, message);
    if (code == CURLE_OK) code = curl_easy_perform(curl);
    ds4_status status = judge(curl, code, &t, request, message, may_pass, error);
    curl_easy_cleanup(curl);
    return status;
}

/* ---- again --------------------------------------------------------------------------------------- */

double fetch_patience_wait(fetch_patience *patience, const fetch_reply *reply, int max_failures) {
    static const double longest = 60;
    if (++patience->n_failures > max_failures || reply->retry_after > MAX_ASKED_SECONDS) return -1;
    double wait = patience->first_seconds > 0 ? patience->first_seconds : 0.25;
    for (int i = 1; i < patience->n_failures && wait < longest; i++) wait *= 2;
    if (wait > longest) wait = longest;
    return reply->retry_after > wait ? reply->retry_after : wait;
}

/* ---- the token ----------------------------------------------------------------------------------- */

static bool is_hugging_face(const char *url) {
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool is = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcasecmp(scheme, "https") == 0 &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK && strcasecmp(host, "huggingface.co") == 0 &&
              curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && strcmp(port, "443") == 0;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return is;
}

const char *fetch_token(const char *url) {
    const char *token = getenv("HF_TOKEN");
    return token && *token && is_hugging_face(url) ? token : NULL;
}

/* ---- a range ------------------------------------------------------------------------------------- */

typedef struct range_reader {
    const char *url;
    uint64_t offset; /* of the bytes wanted */
    size_t n_bytes;
    uint64_t at; /* of the bytes that come next */
    fetch_extent extent;
    ds4_buffer got;
    ds4_status status;
    ds4_error *error;
} range_reader;

static bool range_begin(void *context, const fetch_reply *reply) {
    range_reader *reader = context;
    reader->status = fetch_reply_extent(reply, reader->url, &reader->extent, reader->error);
    if (reader->status != DS4_OK) return false;
    if (reader->extent.first > reader->offset)
        reader->status = error_set(reader->error, DS4_ERROR_FORMAT,
                                   "%s: the server sends bytes from %" PRIu64 ", asked for %" PRIu64, reader->url,
                                   reader->extent.first, reader->offset);
    reader->at = reader->extent.first;
    return reader->status == DS4_OK && reader->extent.total > reader->offset;
}

static bool range_take(void *context, const void *bytes, size_t n_bytes) {
    range_reader *reader = context;
    const char *data = bytes;
    uint64_t before = reader->offset > reader->at ? reader->offset - reader->at : 0;
    size_t skipped = before < n_bytes ? (size_t)before : n_bytes, n = n_bytes - skipped;
    size_t missing = reader->n_bytes - reader->got.n_bytes;
    reader->at += n_bytes;
    if (n > missing) n = missing;
    if (n && !buffer_append(&reader->got, data + skipped, n))
        reader->status = error_memory(reader->error, reader->url, reader->n_bytes);
    return reader->status == DS4_OK && reader->got.n_bytes < reader->n_bytes;
}

/* Whether the bytes are all there that the file has of those wanted. */
static bool range_is_complete(const range_reader *reader) {
    uint64_t left = reader->extent.total > reader->offset ? reader->extent.total - reader->offset : 0;
    return reader->got.n_bytes == (left < reader->n_bytes ? left : reader->n_bytes);
}

static ds4_status range_attempt(range_reader *reader, fetch_reply *reply, bool *may_pass) {
    fetch_request request = {
        .url = reader->url, .token = fetch_token(reader->url), .offset = reader->offset, .n_bytes = reader->n_bytes};
    fetch_sink sink = {.context = reader, .begin = range_begin, .take = range_take};
    buffer_clear(&reader->got);
    reader->status = DS4_OK;
    ds4_status status = fetch_get(&request, &sink, reply, may_pass, reader->error);
    if (status != DS4_OK) return status;
    if (reader->status != DS4_OK) return reader->status;
    if (reply->status == 416 && reply->has_total && !reply->malformed && reply->total_bytes <= reader->offset) {
        reader->extent.total = reply->total_bytes; /* nothing of the file is there */
        return DS4_OK;
    }
    if (reply->status != 200 && reply->status != 206) return fetch_reply_error(reply, reader->url, reader->error);
    if (range_is_complete(reader)) return DS4_OK;
    *may_pass = true;
    return error_set(reader->error, DS4_ERROR_IO, "%s: the connection ended early", reader->url);
}

ds4_status fetch_range(const char *url, uint64_t offset, size_t n_bytes, ds4_buffer *bytes, uint64_t *total_bytes,
                       ds4_error *error) {
    enum { MAX_FAILURES = 3 };
    range_reader reader = {.url = url, .offset = offset, .n_bytes = n_bytes, .error = error};
    fetch_patience patience = {0};
    fetch_reply reply;
    bool may_pass;
    ds4_status status;
    if (!n_bytes) return error_set(error, DS4_ERROR_ARGUMENT, "%s: a range of no bytes", url);
    while ((status = range_attempt(&reader, &reply, &may_pass)) != DS4_OK && may_pass) {
        double wait = fetch_patience_wait(&patience, &reply, MAX_FAILURES);
        if (wait < 0 || wait > MAX_RANGE_SECONDS) break;
        nanosleep(&(struct timespec){.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)},
                  NULL);
    }
    if (status == DS4_OK && reader.got.n_bytes && !buffer_append(bytes, reader.got.data, reader.got.n_bytes))
        status = error_memory(error, url, reader.got.n_bytes);
    if (status == DS4_OK) *total_bytes = reader.extent.total;
    ds4_buffer_deinit(&reader.got);
    return status;
}
