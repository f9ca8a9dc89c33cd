#include "server/script.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "text/dsml.h"

#include <stdlib.h>
#include <string.h>

enum { SCRIPT_MAX_BYTES = 64 << 20 };

#define SEPARATOR "---"

struct script {
    const ds4_tokenizer *tokenizer;
    ds4_buffer text;
    size_t at; /* where the next block begins; not in the text: there is none */
};

typedef struct block {
    const char *bytes;
    size_t n_bytes;
} block;

static ds4_status script_of(ds4_buffer *text, const char *name, const ds4_tokenizer *tokenizer, script **out,
                            ds4_error *error) {
    if (!text->n_bytes) return error_set(error, DS4_ERROR_FORMAT, "%s: empty, expected an answer", name);
    script *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "script", sizeof *self);
    *self = (script){.tokenizer = tokenizer, .text = *text};
    *text = (ds4_buffer){0};
    *out = self;
    return DS4_OK;
}

ds4_status script_new(const char *text, size_t n_bytes, const char *name, const ds4_tokenizer *tokenizer, script **out,
                      ds4_error *error) {
    ds4_buffer copy = {0};
    if (!buffer_append(&copy, text, n_bytes)) return error_memory(error, name, n_bytes);
    ds4_status status = script_of(&copy, name, tokenizer, out, error);
    ds4_buffer_deinit(&copy);
    return status;
}

ds4_status script_open(const char *path, const ds4_tokenizer *tokenizer, script **out, ds4_error *error) {
    ds4_buffer text = {0};
    ds4_status status = file_read_all(path, SCRIPT_MAX_BYTES, &text, error);
    if (status == DS4_OK) status = script_of(&text, path, tokenizer, out, error);
    ds4_buffer_deinit(&text);
    return status;
}

void script_free(script *self) {
    if (!self) return;
    ds4_buffer_deinit(&self->text);
    free(self);
}

/* ---- blocks -------------------------------------------------------------------------------------- */

static bool is_separator(const char *line, size_t n_bytes) {
    if (n_bytes && line[n_bytes - 1] == '\r') n_bytes--;
    return n_bytes == strlen(SEPARATOR) && memcmp(line, SEPARATOR, n_bytes) == 0;
}

/* The block at self->at, and where the one behind it begins. The file's last newline is not part of its last block. */
static block find_block(const script *self, size_t *next) {
    const char *text = self->text.data, *start = text + self->at, *end = text + self->text.n_bytes, *line = start;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *line_end = newline ? newline : end;
        if (is_separator(line, (size_t)(line_end - line))) {
            *next = newline ? (size_t)(newline + 1 - text) : self->text.n_bytes + 1;
            size_t n_bytes = (size_t)(line - start);
            return (block){start, n_bytes ? n_bytes - 1 : 0};
        }
        line = newline ? newline + 1 : end;
    }
    *next = self->text.n_bytes + 1;
    size_t n_bytes = (size_t)(end - start);
    return (block){start, n_bytes && end[-1] == '\n' ? n_bytes - 1 : n_bytes};
}

static const char *find_end_of_thinking(block b) {
    size_t length = strlen(TOKEN_END_THINK);
    for (size_t at = 0; at + length <= b.n_bytes; at++)
        if (memcmp(b.bytes + at, TOKEN_END_THINK, length) == 0) return b.bytes + at;
    return NULL;
}

ds4_status script_next(script *self, bool starts_in_reasoning, ds4_tokens *tokens, ds4_error *error) {
    size_t next = self->at, n_before = tokens->n;
    block b = {SCRIPT_END_TEXT, strlen(SCRIPT_END_TEXT)};
    if (self->at < self->text.n_bytes) b = find_block(self, &next);
    const char *end_of_thinking = find_end_of_thinking(b);
    ds4_status status = DS4_OK;
    if (end_of_thinking && !starts_in_reasoning) {
        const char *answer = end_of_thinking + strlen(TOKEN_END_THINK);
        b = (block){answer, (size_t)(b.bytes + b.n_bytes - answer)};
    } else if (!end_of_thinking && starts_in_reasoning) {
        status = ds4_tokenizer_encode(self->tokenizer, TOKEN_END_THINK, strlen(TOKEN_END_THINK), true, tokens, error);
    }
    if (status == DS4_OK) status = ds4_tokenizer_encode(self->tokenizer, b.bytes, b.n_bytes, true, tokens, error);
    if (status != DS4_OK) {
        tokens->n = n_before;
        return status;
    }
    self->at = next;
    return DS4_OK;
}
