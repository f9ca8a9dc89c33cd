#include "server/call_memory.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/exact_json.h"
#include "text/prompt.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct memory_call {
    char *id, *name;
    ds4_buffer arguments;
} memory_call;

typedef struct memory_block {
    memory_call *call; /* [n_calls] */
    size_t n_calls;
    ds4_prompt text;
    size_t held_bytes;
} memory_block;

/* Blocks are numbered as they come; those from first on are still there, in a ring. */
struct call_memory {
    pthread_mutex_t lock;
    size_t max_bytes, held_bytes;
    memory_block *block; /* [capacity] */
    size_t capacity;
    uint64_t first, end;
    json_t *number; /* id -> number of its block; of one id the latest */
};

ds4_status call_memory_new(size_t max_bytes, call_memory **out, ds4_error *error) {
    call_memory *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "call memory", sizeof *self);
    self->max_bytes = max_bytes;
    self->number = json_object();
    if (!self->number || pthread_mutex_init(&self->lock, NULL) != 0) {
        json_decref(self->number);
        free(self);
        return error_memory(error, "call memory", sizeof *self);
    }
    *out = self;
    return DS4_OK;
}

static void block_deinit(memory_block *block) {
    for (size_t i = 0; i < block->n_calls; i++) {
        free(block->call[i].id);
        free(block->call[i].name);
        ds4_buffer_deinit(&block->call[i].arguments);
    }
    free(block->call);
    ds4_prompt_deinit(&block->text);
    *block = (memory_block){0};
}

static memory_block *block_at(call_memory *self, uint64_t number) {
    return &self->block[number % self->capacity];
}

static void forget_oldest(call_memory *self) {
    memory_block *oldest = block_at(self, self->first);
    for (size_t i = 0; i < oldest->n_calls; i++) {
        const json_t *number = json_object_get(self->number, oldest->call[i].id);
        if (number && (uint64_t)json_integer_value(number) == self->first)
            json_object_del(self->number, oldest->call[i].id);
    }
    self->held_bytes -= oldest->held_bytes;
    block_deinit(oldest);
    self->first++;
}

void call_memory_free(call_memory *self) {
    if (!self) return;
    while (self->first < self->end) forget_oldest(self);
    free(self->block);
    json_decref(self->number);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* ---- remembering --------------------------------------------------------------------------------- */

/* False without memory; deinit in every case. */
static bool block_init(memory_block *block, const remembered_call *call, size_t n, const ds4_prompt *text) {
    enum { ENTRY_BYTES = 200 }; /* of an id in the table */
    block->call = array_new(n, sizeof *block->call);
    if (!block->call || !prompt_append(&block->text, text)) return false;
    block->held_bytes =
        sizeof *block + block->text.text.capacity_bytes + block->text.control_capacity * sizeof *block->text.control;
    for (size_t i = 0; i < n; i++) {
        memory_call *copy = &block->call[block->n_calls++];
        copy->id = strdup(call[i].id);
        copy->name = strdup(call[i].name);
        if (!copy->id || !copy->name || !buffer_append(&copy->arguments, call[i].arguments, call[i].arguments_bytes))
            return false;
        block->held_bytes +=
            sizeof *copy + 2 * strlen(copy->id) + strlen(copy->name) + copy->arguments.capacity_bytes + ENTRY_BYTES;
    }
    return true;
}

/* Room for one more in the ring, which grows as a whole. */
static bool reserve_block(call_memory *self) {
    if (self->end - self->first < self->capacity) return true;
    size_t capacity = self->capacity ? 2 * self->capacity : 16;
    memory_block *grown = array_new(capacity, sizeof *grown);
    if (!grown) return false;
    for (uint64_t number = self->first; number < self->end; number++)
        grown[number % capacity] = *block_at(self, number);
    free(self->block);
    self->block = grown;
    self->capacity = capacity;
    return true;
}

static bool add_block(call_memory *self, const memory_block *block) {
    if (block->held_bytes > self->max_bytes) return false;
    while (self->held_bytes > self->max_bytes - block->held_bytes) forget_oldest(self);
    if (!reserve_block(self)) return false;
    *block_at(self, self->end) = *block;
    self->held_bytes += block->held_bytes;
    /* an id that is not in the table is not found, and so is its block: no harm */
    for (size_t i = 0; i < block->n_calls; i++)
        json_object_set_new(self->number, block->call[i].id, json_integer((json_int_t)self->end));
    self->end++;
    return true;
}

void call_memory_add(call_memory *self, const remembered_call *call, size_t n, const ds4_prompt *text) {
    memory_block block = {0};
    bool added = n && block_init(&block, call, n, text);
    if (added) {
        pthread_mutex_lock(&self->lock);
        added = add_block(self, &block);
        pthread_mutex_unlock(&self->lock);
    }
    if (!added) block_deinit(&block);
}

/* ---- finding ------------------------------------------------------------------------------------- */

/* A string of the request without NUL; NULL: it is none. */
static const char *plain_string(const json_t *value, size_t *n_bytes) {
    const char *text = exact_json_text(value, n_bytes);
    return text && strlen(text) == *n_bytes ? text : NULL;
}

/* The schemas of a tool's arguments by their names; NULL: not known. */
static json_t *properties_of(const request *asked, const char *name) {
    if (!asked) return NULL;
    size_t i = request_find_tool(asked, name, strlen(name));
    if (i == asked->n_tools) return NULL;
    return json_object_get(json_object_get(asked->tool[i].schema, "parameters"), "properties");
}

/* Whether theirs are ours, and besides only defaults. */
static bool same_but_defaults(json_t *ours, json_t *theirs, const json_t *properties) {
    const char *name;
    json_t *value;
    if (!json_is_object(ours) || !json_is_object(theirs)) return json_equal(ours, theirs);
    json_object_foreach(ours, name, value) {
        if (!json_equal(value, json_object_get(theirs, name))) return false;
    }
    json_object_foreach(theirs, name, value) {
        const json_t *known = json_object_get(ours, name);
        if (!known && !json_equal(value, json_object_get(json_object_get(properties, name), "default"))) return false;
    }
    return true;
}

/* Most clients send back the very text; others read it and write it anew. */
static bool same_arguments(const memory_call *call, json_t *arguments, const request *asked) {
    size_t n_bytes;
    const char *text = exact_json_text(arguments, &n_bytes);
    if (text && n_bytes == call->arguments.n_bytes && memcmp(text, call->arguments.data, n_bytes) == 0) return true;
    json_t *ours = NULL, *theirs = NULL;
    bool same = exact_json_read(call->arguments.data, call->arguments.n_bytes, "arguments", &ours, NULL) == DS4_OK &&
                (!text || exact_json_read(text, n_bytes, "arguments", &theirs, NULL) == DS4_OK) &&
                same_but_defaults(ours, text ? theirs : arguments, properties_of(asked, call->name));
    json_decref(ours);
    json_decref(theirs);
    return same;
}

static bool same_call(const memory_call *call, const json_t *from_client, const request *asked) {
    size_t n_bytes;
    const json_t *function = json_object_get(from_client, "function");
    const char *id = plain_string(json_object_get(from_client, "id"), &n_bytes);
    if (!id || strcmp(id, call->id) != 0) return false;
    const char *name = plain_string(json_object_get(function, "name"), &n_bytes);
    return name && strcmp(name, call->name) == 0 && same_arguments(call, json_object_get(function, "arguments"), asked);
}

bool call_memory_put(void *lookup, json_t *tool_calls, ds4_prompt *prompt) {
    const call_lookup *from = lookup;
    call_memory *self = from->memory;
    size_t n_bytes, n = json_array_size(tool_calls);
    const char *id = plain_string(json_object_get(json_array_get(tool_calls, 0), "id"), &n_bytes);
    if (!id) return false;
    pthread_mutex_lock(&self->lock);
    const json_t *number = json_object_get(self->number, id);
    const memory_block *block = number ? block_at(self, (uint64_t)json_integer_value(number)) : NULL;
    bool same = block && block->n_calls == n;
    for (size_t i = 0; same && i < n; i++)
        same = same_call(&block->call[i], json_array_get(tool_calls, i), from->request);
    same = same && prompt_append(prompt, &block->text);
    pthread_mutex_unlock(&self->lock);
    return same;
}
