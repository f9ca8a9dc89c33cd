/* Cases of bodies of requests, for tests of the server's readers. */
#ifndef SUPPORT_REQUEST_CASES_H
#define SUPPORT_REQUEST_CASES_H

#include "server/api.h"
#include "server/turns.h"

/* For cmocka_run_group_tests: the tokenizer of the tests' vocabulary. */
int open_vocabulary(void **state);
int close_vocabulary(void **state);
const ds4_tokenizer *vocabulary(void);

extern const server_facts usual_facts;

json_t *json_of(const char *text);
/* Reads and encodes. The request is the caller's, also if it was refused. */
bool read_with(const api *of, json_t *body, const server_facts *known, bool counts, call_memory *memory, request **out,
               problem *why);
/* The prompt's text with short names of control tokens: [U], [A] and [E] for user, assistant and end, % in the tags of
 * calls, nothing for the beginning. The text about tools that never changes is left out: TOOLS(schemas). */
void short_prompt(const ds4_prompt *prompt, ds4_buffer *out);
/* "! " and the message that the API answers with, and its code. */
void describe_problem(ds4_buffer *out, const api *of, const problem *why);

typedef struct field_case {
    const char *fields; /* members of the body: they replace those of the smallest one */
    const char *change; /* what they change in the request, "" for nothing; or the problem */
} field_case;

void check_fields(const api *of, const char *smallest, const field_case *cases, size_t n);

typedef struct prompt_case {
    const char *body;
    const char *prompt; /* as short_prompt writes it; or the problem */
} prompt_case;

void check_prompts(const api *of, const prompt_case *cases, size_t n);

#define COUNT(cases) (sizeof(cases) / sizeof *(cases))

/* Bodies and prompts in pieces. */
#define CHAT_SMALLEST "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define RESPONSES_SMALLEST "{\"input\":\"hi\"}"
#define MESSAGES_SMALLEST "{\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASSISTANT(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define INVOKE(name, parameters) "<%invoke name=\"" name "\">\n" parameters "\n</%invoke>\n"
#define PARAMETER(name, string, value) "<%parameter name=\"" name "\" string=\"" string "\">" value "</%parameter>"
#define BLOCK(calls) "\n\n<%tool_calls>\n" calls "</%tool_calls>"

#endif
