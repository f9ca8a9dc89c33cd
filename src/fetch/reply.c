#include "fetch/reply.h"
#include "base/error.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* What remains to be read of a header. */
typedef struct text {
    const char *at, *end;
} text;

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_spaces(text *t) {
    while (t->at < t->end && is_space(*t->at)) t->at++;
}

static void trim(text *t) {
    skip_spaces(t);
    while (t->end > t->at && is_space(t->end[-1])) t->end--;
}

static bool skip_char(text *t, char c) {
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

static bool skip_word(text *t, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(t->end - t->at) < n || strncasecmp(t->at, word, n) != 0) return false;
    t->at += n;
    return true;
}

/* A length must fit a file offset. */
static bool take_number(text *t, uint64_t *number) {
    const char *start = t->at;
    uint64_t value = 0;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        uint64_t digit = (uint64_t)(*t->at - '0');
        if (value > (INT64_MAX - digit) / 10) return false;
        value = 10 * value + digit;
    }
    *number = value;
    return t->at > start;
}

static bool take_length(text value, uint64_t *n_bytes) {
    return take_number(&value, n_bytes) && value.at == value.end;
}

/* "bytes 0-99/1234", with * for an unknown total, or for the range of a response 416. */
static bool take_range(text value, fetch_reply *reply) {
    uint64_t last;
    if (!skip_word(&value, "bytes")) return false;
    skip_spaces(&value);
    if (!skip_char(&value, '*')) {
        if (!take_number(&value, &reply->first) || !skip_char(&value, '-') || !take_number(&value, &last)) return false;
        if (last < reply->first || last == INT64_MAX) return false;
        reply->end = last + 1;
        reply->has_range = true;
    }
    if (!skip_char(&value, '/')) return false;
    if (skip_char(&value, '*')) return value.at == value.end;
    reply->has_total = true;
    return take_length(value, &reply->total_bytes) && (!reply->has_range || reply->end <= reply->total_bytes);
}

/* Only a strong tag says that bytes are the same. */
static void take_etag(text value, char etag[FETCH_ETAG_BYTES]) {
    size_t n = (size_t)(value.end - value.at);
    etag[0] = '\0';
    if (n < 2 || n >= FETCH_ETAG_BYTES || value.at[0] != '"' || value.end[-1] != '"') return;
    for (size_t i = 0; i < n; i++)
        if (value.at[i] < 0x20 || value.at[i] > 0x7e) return;
    memcpy(etag, value.at, n);
    etag[n] = '\0';
}

static void take_sha256(text value, char sha256[SHA256_HEX_BYTES]) {
    if (skip_char(&value, '"') && value.end > value.at && value.end[-1] == '"') value.end--;
    if (value.end - value.at != SHA256_HEX_BYTES - 1) return;
    for (size_t i = 0; i < SHA256_HEX_BYTES - 1; i++)
        if (!strchr("0123456789abcdefABCDEF", value.at[i]) || !value.at[i]) return;
    for (size_t i = 0; i < SHA256_HEX_BYTES - 1; i++)
        sha256[i] = (char)(value.at[i] >= 'A' && value.at[i] <= 'F' ? value.at[i] - 'A' + 'a' : value.at[i]);
    sha256[SHA256_HEX_BYTES - 1] = '\0';
}

static void begin_response(fetch_reply *reply, text line) {
    fetch_reply fresh = {.has_linked = reply->has_linked, .linked_bytes = reply->linked_bytes};
    memcpy(fresh.sha256, reply->sha256, sizeof fresh.sha256);
    uint64_t status = 0;
    while (line.at < line.end && !is_space(*line.at)) line.at++;
    skip_spaces(&line);
    if (take_number(&line, &status) && status >= 100 && status <= 999) fresh.status = (int)status;
    *reply = fresh;
}

void fetch_reply_header(fetch_reply *reply, const char *line, size_t n_bytes) {
    text rest = {line, line + n_bytes};
    if (skip_word(&rest, "HTTP/")) {
        begin_response(reply, rest);
        return;
    }
    const char *colon = memchr(line, ':', n_bytes);
    if (!colon) return;
    text name = {line, colon + 1}, value = {colon + 1, line + n_bytes};
    trim(&value);
    if (skip_word(&name, "content-length:")) {
        uint64_t before = reply->length_bytes;
        if (!take_length(value, &reply->length_bytes) || (reply->has_length && reply->length_bytes != before))
            reply->malformed = "Content-Length";
        reply->has_length = true;
    } else if (skip_word(&name, "content-range:")) {
        if (reply->has_range || reply->has_total || !take_range(value, reply)) reply->malformed = "Content-Range";
    } else if (skip_word(&name, "etag:")) {
        take_etag(value, reply->etag);
    } else if (skip_word(&name, "x-linked-size:")) {
        if (reply->has_linked) return;
        if (!take_length(value, &reply->linked_bytes)) reply->malformed = "X-Linked-Size";
        reply->has_linked = true;
    } else if (skip_word(&name, "x-linked-etag:")) {
        if (!reply->sha256[0]) take_sha256(value, reply->sha256);
    }
}

/* ---- judgement ----------------------------------------------------------------------------------- */

static ds4_status disagree(ds4_error *error, const char *url, const char *a, uint64_t a_bytes, const char *b,
                           uint64_t b_bytes) {
    return error_set(error, DS4_ERROR_FORMAT, "%s: %s is %" PRIu64 " bytes, %s %" PRIu64, url, a, a_bytes, b, b_bytes);
}

static ds4_status partial_extent(const fetch_reply *reply, const char *url, fetch_extent *extent, ds4_error *error) {
    if (!reply->has_range || !reply->has_total)
        return error_set(error, DS4_ERROR_FORMAT, "%s: the server sends a part without saying which (Content-Range)",
                         url);
    if (reply->has_length && reply->length_bytes != reply->end - reply->first)
        return disagree(error, url, "Content-Length", reply->length_bytes, "Content-Range", reply->end - reply->first);
    *extent = (fetch_extent){.first = reply->first, .end = reply->end, .total = reply->total_bytes};
    return DS4_OK;
}

ds4_status fetch_reply_extent(const fetch_reply *reply, const char *url, fetch_extent *extent, ds4_error *error) {
    fetch_extent found = {0};
    if (reply->malformed)
        return error_set(error, DS4_ERROR_FORMAT, "%s: the server sends an impossible %s", url, reply->malformed);
    if (reply->status == 206) {
        ds4_status status = partial_extent(reply, url, &found, error);
        if (status != DS4_OK) return status;
    } else if (reply->has_length || reply->has_linked) {
        found.end = found.total = reply->has_length ? reply->length_bytes : reply->linked_bytes;
    } else {
        return error_set(error, DS4_ERROR_FORMAT, "%s: the server does not say how long the file is (Content-Length)",
                         url);
    }
    if (reply->has_linked && reply->linked_bytes != found.total)
        return disagree(error, url, "the file", found.total, "X-Linked-Size", reply->linked_bytes);
    *extent = found;
    return DS4_OK;
}

ds4_status fetch_reply_error(const fetch_reply *reply, const char *url, ds4_error *error) {
    const char *meaning;
    switch (reply->status) {
    case 401:
    case 403: meaning = "no access; if it takes a token of Hugging Face, put it into HF_TOKEN"; break;
    case 404:
    case 410: meaning = "no such file there"; break;
    case 416: meaning = "no such part of the file"; break;
    case 429: meaning = "too many requests"; break;
    default: meaning = reply->status >= 500 ? "the server has a problem" : "unexpected"; break;
    }
    return error_set(error, DS4_ERROR_IO, "%s: status %d: %s", url, reply->status, meaning);
}
