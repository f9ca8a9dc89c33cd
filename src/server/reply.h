/*
 * The answer on its way from the scheduler's thread to the connection's: a queue of events, and a flag the other way
 * that says that nobody wants the rest.
 *
 * A reply has two holders, the scheduler and the connection; each lets go once, and the last one frees it together with
 * its request. Its lock is its own and never held while another is taken. The scheduler never waits for it: a reply
 * that is over its limit is full, and its sequence pauses until wake is called.
 */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include "server/ids.h"
#include "server/request.h"

typedef enum reply_event_kind {
    REPLY_STARTED,    /* a slot and a prefix were found: usage.prompt and .cached are known */
    REPLY_REASONING,  /* bytes: whole characters */
    REPLY_TEXT,       /* bytes: whole characters */
    REPLY_CALL_START, /* call, tool, id; bytes: the name that the model wrote */
    REPLY_ARGUMENTS,  /* bytes: a piece of one JSON object, whole characters */
    REPLY_CALL_END,   /* broken: its arguments are cut */
    REPLY_CHOICE_END, /* finish, stop_sequence, problem */
    REPLY_END,        /* usage is final; nothing follows */
    REPLY_FAILED,     /* error; nothing follows */
} reply_event_kind;

typedef struct reply_usage {
    size_t prompt, cached, answer, reasoning;
} reply_usage;

/* One token of visible text. */
typedef struct reply_logprob {
    int32_t id;
    float logprob;
    ds4_logprob top[REQUEST_MAX_TOP_LOGPROBS];
    int n_top;
} reply_logprob;

typedef struct reply_event {
    reply_event_kind kind;
    size_t choice, call;
    const char *bytes;
    size_t n_bytes;
    size_t tool; /* index into request.tool; n_tools: the model named one that is not there */
    char id[ID_BYTES];
    bool broken;
    finish_reason finish;
    const char *stop_sequence; /* NULL: none; owned by the request */
    const char *problem;       /* NULL, or "invalid_json: line 1 column 5: ...", "invalid_tool_call: ..." */
    const reply_logprob *logprob;
    size_t n_logprobs;
    reply_usage usage;
    struct {
        int status;
        double retry_after;
        char message[512];
    } error; /* REPLY_FAILED */
} reply_event;

typedef struct reply reply;
enum { REPLY_LIMIT_BYTES = 256 << 10 };

/* Takes the request, also if it fails. wake is called, without the reply's lock, when the queue has drained to half its
 * limit and when the reply is cancelled. */
ds4_status reply_new(request *asked, void (*wake)(void *context), void *context, reply **out, ds4_error *error);
void reply_release(reply *self);
const request *reply_request(const reply *self);

/* The scheduler's side. Copies the bytes and what else the event points to; false without memory. Never blocks. */
bool reply_put(reply *self, const reply_event *event);
bool reply_is_full(const reply *self);      /* over the limit: do not generate more now */
bool reply_is_cancelled(const reply *self); /* atomic; from the progress callback too */

/* The connection's side. Waits up to seconds for an event; it and its bytes are valid until the next take. False:
 * nothing came. */
bool reply_take(reply *self, double seconds, const reply_event **event);
void reply_cancel(reply *self);

#endif
