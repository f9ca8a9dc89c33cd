/*
 * The events of an answer, collected: what a body is written from, and what the last events of a stream repeat.
 * Belongs to one connection's thread.
 */
#ifndef SERVER_ANSWER_LOG_H
#define SERVER_ANSWER_LOG_H

#include "server/reply.h"

typedef struct logged_call {
    size_t tool; /* as in reply_event */
    char *name;  /* as the model wrote it */
    char id[ID_BYTES];
    ds4_buffer arguments;
    bool ended, broken;
} logged_call;

typedef enum logged_kind { LOGGED_REASONING, LOGGED_TEXT, LOGGED_CALL } logged_kind;

/* A stretch of one kind, in the order in which the model wrote them. */
typedef struct logged_part {
    logged_kind kind;
    size_t start, n_bytes; /* of reasoning or text */
    size_t call;
    size_t first_logprob, n_logprobs; /* of text */
    char id[ID_BYTES];                /* for the API that numbers its items; "" at first */
} logged_part;

typedef struct logged_choice {
    ds4_buffer reasoning, text;
    logged_call *call;
    size_t n_calls, call_capacity;
    logged_part *part;
    size_t n_parts, part_capacity;
    reply_logprob *logprob;
    size_t n_logprobs, logprob_capacity;
    bool ended;
    finish_reason finish;
    const char *stop_sequence; /* NULL: none; the request's */
    char *problem;             /* NULL: none */
} logged_choice;

typedef struct answer_log {
    const request *request;
    char id[ID_BYTES];
    int64_t created;       /* seconds since 1970 */
    logged_choice *choice; /* [request->n] */
    reply_usage usage;
} answer_log;

/* False without memory; deinit in every case. */
bool answer_log_init(answer_log *log, const request *asked, int64_t created);
void answer_log_deinit(answer_log *log);
/* False without memory, or if the event belongs to no choice or call. */
bool answer_log_add(answer_log *log, const reply_event *event);

/* The reasoning or text of a part that is one. NULL without memory. */
json_t *logged_part_text(const logged_choice *choice, const logged_part *part);

/* The name that the client gave the called tool; the model's if there is no such tool. */
const char *logged_call_name(const answer_log *log, const logged_call *call);
/* NULL: none. */
const char *logged_call_namespace(const answer_log *log, const logged_call *call);
tool_kind logged_call_kind(const answer_log *log, const logged_call *call);
/* The text that a custom tool was called with: "input" of its arguments; the arguments themselves if there is none.
 * NULL without memory. */
json_t *logged_call_input(const logged_call *call);
/* The JSON of the arguments; of a broken call it is cut. */
const char *logged_call_arguments(const logged_call *call);
/* The same as an object; of a broken call {"arguments": text}. NULL without memory. */
json_t *logged_call_object(const logged_call *call);

#endif
