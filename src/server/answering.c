/* Questions: from a body to a request, to the scheduler, and what comes back to the client. */
#include "server/exchange.h"
#include "server/turns.h"

#include "base/file.h"
#include "base/memory.h"
#include "text/exact_json.h"

#include <string.h>
#include <time.h>

/* How long a wait may keep a thread from seeing that its client has gone or the server stops. */
static const double wait_seconds = 0.1;
enum { EVENTS_AT_ONCE = 16 /* and no more before they are sent: they may come as fast as they are taken */ };

/* ---- reading ------------------------------------------------------------------------------------- */

/* The request of the body, encoded; NULL and a problem. */
static request *read_question(exchange *x) {
    const http_parts *parts = &x->http->parts;
    json_t *json = NULL;
    ds4_error error;
    ds4_status status = exact_json_read(x->body.data ? x->body.data : "", x->body.n_bytes, "request", &json, &error);
    if (status != DS4_OK) {
        problem_set(&x->problem, status == DS4_ERROR_MEMORY ? PROBLEM_DRAINING : PROBLEM_INVALID, NULL, "%s",
                    error.message);
        return NULL;
    }
    request *asked = request_new();
    bool ok = asked != NULL;
    if (!ok) problem_memory(&x->problem);
    if (ok) {
        asked->api = x->route->api;
        asked->counts_only = x->route->counts_only;
        asked->arrived = x->began;
        ok = x->route->api->read(json, &parts->facts, asked, &x->problem) &&
             request_encode(asked, parts->tokenizer, parts->memory, parts->facts.context_tokens, &x->problem);
    }
    json_decref(json);
    ds4_buffer_deinit(&x->body);
    if (ok) return asked;
    request_free(asked);
    return NULL;
}

/* Hands the request over. x->reply is this thread's hold of the answer. */
static bool submit(exchange *x, request *asked) {
    const http_parts *parts = &x->http->parts;
    bool streams = asked->stream;
    if (reply_new(asked, scheduler_wake, parts->scheduler, &x->reply, NULL) != DS4_OK)
        return problem_memory(&x->problem);
    x->has_stream = true;
    if (!stream_init(&x->stream, asked, parts->tokenizer, parts->ids, (int64_t)time(NULL)) ||
        (streams && !asked->api->begin(&x->stream))) {
        reply_release(x->reply); /* for the scheduler, who never sees it */
        return problem_memory(&x->problem);
    }
    submit_result result = scheduler_submit(parts->scheduler, x->reply, &x->problem.retry_after);
    if (result == SUBMIT_OK) return true;
    reply_release(x->reply);
    if (result == SUBMIT_FULL)
        return problem_set(&x->problem, PROBLEM_BUSY, NULL, "too many requests are waiting: try again later");
    return problem_set(&x->problem, PROBLEM_DRAINING, NULL, "the server is shutting down");
}

/* ---- waiting ------------------------------------------------------------------------------------- */

/* Nothing more will be read or sent. */
static void give_up(exchange *x) {
    reply_cancel(x->reply);
    x->is_cut = x->is_ended = true;
}

/* For a client that wants no stream and has no status yet; then there is a problem to report. */
static void fail_whole(exchange *x) {
    x->is_ended = true;
    if (x->status) x->is_cut = true;
}

static void stop(exchange *x) {
    reply_cancel(x->reply);
    problem_set(&x->problem, PROBLEM_DRAINING, NULL, "the server is shutting down");
    x->is_refused = true;
    if (!reply_request(x->reply)->stream) {
        fail_whole(x);
    } else {
        x->is_ended = true;
        if (!x->route->api->stream_error(&x->stream, &x->problem)) x->is_cut = true;
    }
}

static void take(exchange *x, const reply_event *event) {
    bool streams = reply_request(x->reply)->stream;
    if (event->kind == REPLY_FAILED) {
        problem_of_event(event, &x->problem);
        x->is_refused = true;
    }
    if (!stream_take(&x->stream, event))
        give_up(x);
    else if (event->kind == REPLY_FAILED && !streams)
        fail_whole(x);
    else if (event->kind == REPLY_FAILED || event->kind == REPLY_END)
        x->is_ended = true;
}

/* Waits a moment; takes the events that are there. False: nothing came. */
static bool collect(exchange *x) {
    const reply_event *event;
    if (atomic_load(&x->http->stops)) {
        stop(x);
        return true;
    }
    /* also while events come: they may only be collected, so that no write fails */
    if (time_seconds() - x->last_looked >= wait_seconds) {
        x->last_looked = time_seconds();
        if (exchange_client_is_gone(x)) {
            give_up(x);
            return true;
        }
    }
    if (!reply_take(x->reply, wait_seconds, &event)) {
        if (!reply_is_cancelled(x->reply)) return false;
        give_up(x); /* the scheduler had no memory to say why */
        return true;
    }
    int n = 0;
    do take(x, event);
    while (++n < EVENTS_AT_ONCE && !x->is_ended && reply_take(x->reply, 0, &event));
    return true;
}

static void keep_alive(exchange *x) {
    if (time_seconds() - x->last_sent < x->http->parts.keep_alive_seconds) return;
    bool ok = reply_request(x->reply)->stream ? x->route->api->keep_alive(&x->stream) : stream_write(&x->stream, " ");
    if (!ok) give_up(x);
}

/* ---- sending ------------------------------------------------------------------------------------- */

/* The library wants more bytes. What does not fit in room stays in stream.out for the next time. */
static ssize_t next_of_stream(void *context, uint64_t position, char *to, size_t room) {
    (void)position;
    exchange *x = context;
    ds4_buffer *out = &x->stream.out;
    connection_works(x->http->connections, x->watched);
    while (x->n_sent == out->n_bytes) {
        buffer_clear(out);
        x->n_sent = 0;
        if (x->is_ended) return x->is_cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
        if (!collect(x)) keep_alive(x);
        /* the end of an answer that is not streamed, but took too long to come with its status */
        if (x->is_ended && !x->is_cut && !reply_request(x->reply)->stream &&
            !api_write_json(out, x->route->api->body(&x->stream)))
            x->is_cut = true;
    }
    size_t left = out->n_bytes - x->n_sent, n = left < room ? left : room;
    memcpy(to, out->data + x->n_sent, n);
    x->n_sent += n;
    x->last_sent = time_seconds();
    exchange_restart_timeout(x);
    connection_sends(x->http->connections, x->watched);
    return (ssize_t)n;
}

/* Within patience the answer can still have any status; later it begins as 200, with white space until it is there. */
static enum MHD_Result answer_whole(exchange *x) {
    double until = time_seconds() + x->http->parts.patience_seconds;
    while (!x->is_ended && time_seconds() < until) collect(x);
    exchange_restart_timeout(x);
    if (x->is_cut) return MHD_NO;
    if (x->is_refused) return exchange_fail(x);
    if (x->is_ended) return exchange_respond_json(x, 200, x->route->api->body(&x->stream));
    return exchange_respond_pieces(x, 200, "application/json", next_of_stream);
}

enum MHD_Result answer_question(exchange *x) {
    connection_works(x->http->connections, x->watched);
    request *asked = read_question(x);
    exchange_restart_timeout(x);
    if (!asked) {
        x->is_refused = true;
        return exchange_fail(x);
    }
    if (asked->counts_only) {
        json_t *count = x->route->api->count(asked);
        request_free(asked);
        return exchange_respond_json(x, 200, count);
    }
    x->last_sent = time_seconds();
    if (!submit(x, asked)) {
        x->is_refused = true;
        return exchange_fail(x);
    }
    if (!reply_request(x->reply)->stream) return answer_whole(x);
    return exchange_respond_pieces(x, 200, "text/event-stream", next_of_stream);
}
