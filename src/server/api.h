/*
 * The APIs: each is a table of functions that read a request and write an answer. A stream is the events of the answer
 * passed on one by one; a body is the same events collected.
 *
 * Used by one connection's thread per request. The connection calls stream_init, then begin if the client wants a
 * stream, then stream_take for each event of the reply; and at the end sends what is in out, or body.
 */
#ifndef SERVER_API_H
#define SERVER_API_H

#include "server/answer_log.h"
#include "server/fields.h"
#include "server/ids.h"
#include "server/request.h"

/* One response in the making. */
typedef struct stream {
    answer_log log; /* updated before api->event is called */
    ds4_buffer out; /* bytes to send; whoever sent them takes them away */
    const ds4_tokenizer *tokenizer;
    ids *ids;
    void *own; /* the API's: open item or block, sequence number; one malloc without inner pointers */
} stream;

/* Functions that return bool are false without memory (the connection is cut then). */
typedef struct api {
    const char *name;         /* label of metrics: "chat", "completions", "responses", "messages" */
    const char *id_prefix;    /* of answers: "chatcmpl-" */
    const char *call_prefix;  /* "call_" or "toolu_" */
    const char *prompt_field; /* "messages", "input", "prompt" */
    /* Fills the request, whose api and counts_only are set, from a body of any type. */
    bool (*read)(json_t *body, const server_facts *facts, request *asked, problem *why);
    bool (*begin)(stream *self);                            /* at once, before any event; may write nothing */
    bool (*event)(stream *self, const reply_event *event);  /* REPLY_END: writes the end of the stream */
    bool (*keep_alive)(stream *self);                       /* something that counts as an event */
    json_t *(*body)(stream *self);                          /* the whole answer, from the log; NULL without memory */
    bool (*stream_error)(stream *self, const problem *why); /* in mid-stream; the stream ends with it */
    json_t *(*error)(const problem *why, const char *request_id); /* the body of an error; NULL without memory */
    json_t *(*count)(const request *asked); /* the answer to counts_only; NULL: the API has none */
} api;

extern const api api_chat, api_completions, api_responses, api_messages;

/* tokenizer may be NULL if the request asks for no logprobs. False without memory; stream_free in every case. */
bool stream_init(stream *self, const request *asked, const ds4_tokenizer *tokenizer, ids *names, int64_t created);
void stream_free(stream *self);
/* Adds the event to the log and, if the client wants a stream, writes it. REPLY_FAILED becomes a stream_error; a client
 * that wants no stream gets what problem_of_event says. */
bool stream_take(stream *self, const reply_event *event);
void problem_of_event(const reply_event *failed, problem *why);

/* Building JSON that is checked once, at the end: without memory the list or object is freed and becomes NULL, and with
 * it whatever is packed from it. value is taken. */
void json_push(json_t **list, json_t *value);
void json_put(json_t **object, const char *key, json_t *value);

/* Appends an event. event NULL: no event line. Takes data; false if that is NULL. */
bool stream_sse(stream *self, const char *event, json_t *data);
bool stream_write(stream *self, const char *text);
/* The same bytes everywhere: compact, keys in the order in which they were packed. Takes value; false if it is NULL. */
bool api_write_json(ds4_buffer *out, json_t *value);

/* The HTTP status of a problem. */
int problem_status(problem_kind kind);
/* {"error":{"message","type","param","code"}} */
json_t *openai_error(const problem *why, const char *request_id);

/* For the tables of several APIs. */
json_t *openai_logprobs(const stream *self, const reply_logprob *logprob, size_t n); /* array of entries */
/* Chat and completions: {"prompt_tokens", ...}, and an error event without a name. */
json_t *openai_usage(const reply_usage *usage);
bool openai_stream_error(stream *self, const problem *why);
json_t *buffer_json(const ds4_buffer *text); /* a string */
/* The text of a token; bytes that are no whole character become U+FFFD. */
json_t *logged_token(const stream *self, int32_t id);
json_t *json_float(float value); /* 0.7 and not 0.699999988 */
/* {"type","message"} of "invalid_json: line 1 ..."; NULL without memory. */
json_t *finish_details(const char *problem);

#endif
