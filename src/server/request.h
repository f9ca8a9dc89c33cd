/*
 * A request for an answer, in the words of no API: what an API's reader makes of a body, and what the scheduler and the
 * answer's reader work from.
 *
 * The connection's thread makes it and fills it (api->read, request_encode). From scheduler_submit on nobody changes
 * it: it is owned by its reply, and both threads read it until the last of them lets go.
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "ds4.h"

#include <jansson.h>

/* What the readers of requests need to know of the server. */
typedef struct server_facts {
    size_t context_tokens; /* of one answer with its prompt */
    size_t parallel;       /* answers at once */
    size_t n_vocab;
    const char *model_id;
    ds4_sampling sampling; /* for what a request leaves open */
} server_facts;

typedef enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_CALLS, FINISH_STOP_SEQUENCE } finish_reason;

typedef enum tool_kind { TOOL_FUNCTION, TOOL_CUSTOM, TOOL_SEARCH } tool_kind;

typedef struct request_tool {
    char *name;          /* in the prompt */
    char *api_name;      /* in the answer */
    char *api_namespace; /* NULL: none */
    tool_kind kind;
    json_t *schema; /* {"name","description","parameters"} as rendered, key order of the client */
    bool deferred;  /* not in the prompt until referenced */
    bool announced; /* was shown in the middle of the prompt */
} request_tool;

typedef enum tool_choice { CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED } tool_choice;
typedef enum answer_format { FORMAT_TEXT, FORMAT_JSON_OBJECT, FORMAT_JSON_SCHEMA } answer_format;

enum { REQUEST_MAX_STOPS = 16, REQUEST_MAX_STOP_BYTES = 256, REQUEST_MAX_TOP_LOGPROBS = 20 };

struct api;

/* json_t reference counts are only touched by the connection's thread, and by whoever frees. JSON that came with the
 * request was read by exact_json_read: its strings are read with exact_json_text. */
typedef struct request {
    const struct api *api;
    bool counts_only;      /* asks how long the prompt is; no answer */
    char *model;           /* as the client named it: echoed */
    json_t *prompt_json;   /* official form: messages, tools, reasoning_effort; NULL for raw text */
    ds4_buffer raw_prompt; /* /v1/completions: text; */
    ds4_tokens raw_tokens; /* or tokens, if n is not 0 */

    /* filled by request_encode */
    ds4_prompt prompt; /* empty if the request came as tokens */
    ds4_tokens tokens;
    bool starts_in_reasoning; /* the last token is <think> */
    bool raw;                 /* no parser: everything is text */

    request_tool *tool;
    size_t n_tools;
    tool_choice choice;
    size_t chosen_tool;
    bool one_call;  /* parallel_tool_calls: false, disable_parallel_tool_use */
    bool has_tools; /* tools in the prompt: reasoning is kept; they stay in memory longer */

    ds4_sampling sampling;
    bool has_seed;
    uint64_t seed;
    ds4_logit_bias *bias;
    size_t n_bias;
    size_t max_tokens;      /* 0: the free context */
    size_t thinking_budget; /* 0: none */
    char **stop;            /* 1..REQUEST_MAX_STOP_BYTES bytes each */
    size_t n_stop;          /* at most REQUEST_MAX_STOPS */
    bool logprobs;
    int top_logprobs; /* 0..REQUEST_MAX_TOP_LOGPROBS */
    size_t n;         /* choices, 1..parallel */

    answer_format format;
    json_t *format_schema;
    bool stream, include_usage;
    bool wants_summary, wants_encrypted; /* responses: reasoning.summary, include */
    json_t *echo;   /* fields that a Responses object repeats (instructions, tools, tool_choice, text, metadata...) */
    double arrived; /* time_seconds */
} request;

/* One choice, everything else zero. NULL without memory. */
request *request_new(void);
void request_free(request *asked);

/* Adds a tool, whose members become the request's (also if it fails). False without memory. */
bool request_add_tool(request *asked, request_tool tool);
/* The tool of that name in the prompt; n_tools if there is none. */
size_t request_find_tool(const request *asked, const char *name, size_t n_bytes);

#endif
