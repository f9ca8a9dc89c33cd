/* A request read, checked and put in the order in which it is rendered. */
#ifndef TEXT_PROMPT_REQUEST_H
#define TEXT_PROMPT_REQUEST_H

#include "ds4.h"

#include <jansson.h>

typedef enum message_role {
    ROLE_SYSTEM,
    ROLE_DEVELOPER,
    ROLE_USER,
    ROLE_ASSISTANT,
    ROLE_LATEST_REMINDER,
    ROLE_TOOL, /* of messages only: a turn with tool results is a user turn */
} message_role;

/* Text that a user or a tool put into a user turn. */
typedef struct turn_block {
    json_t *content;
    bool is_tool_result;
    const char *call_id; /* of a tool result; NULL if it has none */
    size_t call_id_bytes;
    size_t order; /* of a tool result: the number of the call it answers */
    size_t position;
} turn_block;

/* One or, in user turns, several messages. JSON is owned by the request. */
typedef struct prompt_turn {
    message_role role;
    json_t *message;    /* NULL for the system turn that was put in front to hold the tools */
    const char *task;   /* control token of the task, NULL for none */
    json_t *top_tools;  /* the request's tools, if this turn shows them */
    size_t first_block; /* user turns: their part of the request's blocks */
    size_t n_blocks;
} prompt_turn;

typedef struct prompt_request {
    json_t *json;
    prompt_turn *turn;
    size_t n_turns, turn_capacity;
    turn_block *block;
    size_t n_blocks, block_capacity;
    bool thinking, max_effort;
    bool keep_reasoning; /* some message has tools */
} prompt_request;

/* Everything that can be wrong with a request is found here. json is shared, not changed. Zero-initialise; deinit in
 * every case. */
ds4_status prompt_request_take(json_t *json, prompt_request *request, ds4_error *error);
void prompt_request_deinit(prompt_request *request);

/* Number of the last user or developer turn; n_turns if there is none. */
size_t prompt_request_last_user(const prompt_request *request);

#endif
