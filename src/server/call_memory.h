/*
 * What the model wrote, by the ids of its calls. A client sends a call back as JSON, which does not tell how it was
 * spelled; with the model's own text the next prompt is the one that the model's memory already has. Blocks are kept by
 * ids that no client can guess, the oldest go first. It has its own mutex: any thread.
 */
#ifndef SERVER_CALL_MEMORY_H
#define SERVER_CALL_MEMORY_H

#include "server/request.h"

enum { CALL_MEMORY_BYTES = 64 << 20 };

typedef struct call_memory call_memory;

ds4_status call_memory_new(size_t max_bytes, call_memory **out, ds4_error *error);
void call_memory_free(call_memory *self);

/* A call as it would stand in the official form of its message. */
typedef struct remembered_call {
    const char *id;        /* without NUL */
    const char *name;      /* in the prompt */
    const char *arguments; /* JSON */
    size_t arguments_bytes;
} remembered_call;

/* Remembers the block of n calls, white space before it included; everything is copied. Failing only loses the
 * spelling. */
void call_memory_add(call_memory *self, const remembered_call *call, size_t n, const ds4_prompt *block);

typedef struct call_lookup {
    call_memory *memory;
    const request *request; /* for the schemas of its tools; NULL: none */
} call_lookup;

/* For prompt_hooks.put_calls (lookup: a call_lookup). If all the ids are known, of one block, in its order and number,
 * and name and arguments (as JSON values) still what was remembered: appends the block and returns true. Arguments that
 * the client has added count for nothing if they are the default of the tool's schema: clients that check calls with a
 * schema library fill these in. */
bool call_memory_put(void *lookup, json_t *tool_calls, ds4_prompt *prompt);

#endif
