/*
 * Messages of any API -> one official form -> prompt text -> tokens. Clients send the same conversation in changing
 * clothes: a string now, an array of parts next turn, cache marks that move. Whatever does not reach the model is taken
 * off here, so that the same conversation always is the same prompt, and its computed prefix is found.
 *
 * Used by the connection's thread. JSON is borrowed and not changed; what is built belongs to the request.
 */
#ifndef SERVER_TURNS_H
#define SERVER_TURNS_H

#include "server/call_memory.h"
#include "server/fields.h"
#include "server/request.h"

typedef enum thinking_effort { EFFORT_NONE, EFFORT_HIGH, EFFORT_MAX } thinking_effort;

/* The message list being built. Functions return false with the problem set; place ("messages[2].content") is for its
 * message. */
typedef struct turns {
    json_t *messages;        /* official form, without the system message */
    ds4_buffer instructions; /* system texts so far */
    /* The assistant's message that is being put together; it is added when something else comes. */
    bool answering;
    ds4_buffer reasoning, content;
    json_t *calls;             /* NULL: none yet */
    ds4_buffer next_reasoning; /* came behind content or calls: of the message after it */
    /* Set while tools are read that come with the conversation: known ones are no problem then, and announcement, if
     * there is one, tells the model of them. */
    bool later_tools;
    ds4_buffer *announcement;
    thinking_effort effort;
    request *request;
    const server_facts *facts;
    problem *problem;
} turns;

/* False without memory; deinit in every case. */
bool turns_init(turns *self, request *asked, const server_facts *facts, problem *why);
void turns_deinit(turns *self);

/* Text of system and developer: what comes first becomes the system message, later ones the text of a user. */
bool turns_instructions(turns *self, json_t *content, const char *place);
bool turns_user(turns *self, json_t *content, const char *place);
/* Reasoning of the next assistant message, which may come as an item of its own. */
bool turns_reasoning(turns *self, const char *text, size_t n_bytes);
/* Joins the assistant message before it as long as the order reasoning, content, calls stays. content may be NULL.
 * calls: an array made by turns_call, or NULL. */
bool turns_assistant(turns *self, json_t *content, json_t *calls, const char *place);
/* Appends a call in official form. id may be NULL. arguments: a string (kept as it was sent), an object, or NULL. */
bool turns_call(turns *self, json_t *calls, const char *id, const char *name, json_t *arguments, const char *place);
/* The same for a custom tool, which gets a string. */
bool turns_custom_call(turns *self, json_t *calls, const char *id, const char *name, json_t *input, const char *place);
/* call_id NULL: it is missing. */
bool turns_tool_result(turns *self, const char *call_id, json_t *content, bool is_error, const char *place);
/* Adds a tool. schema is official: {"name","description","parameters"}; it is taken. api_namespace may be NULL. place
 * is that of the name. */
bool turns_tool(turns *self, tool_kind kind, const char *api_namespace, const char *api_name, bool deferred,
                json_t *schema, const char *place);
/* The name in the prompt of a tool in a namespace (NULL: none); malloc, NULL without memory. */
char *turns_tool_name(const char *api_namespace, const char *api_name);

/* Appends the text of content: a string, null, a part, or parts, joined by a blank line. What is no text is a problem.
 */
bool turns_text(turns *self, json_t *content, const char *place, ds4_buffer *text);

/* The end of reading: instructions, tools and format become request->prompt_json. */
bool turns_finish(turns *self);

/* Prompt text, tokens, starts_in_reasoning; PROBLEM_TOO_LONG if the context has no room for an answer. For all APIs, on
 * the connection's thread. memory may be NULL. */
bool request_encode(request *asked, const ds4_tokenizer *tokenizer, call_memory *memory, size_t context_tokens,
                    problem *why);

#endif
