/* Messages, and the text that is being written. */
#include "translation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void translation_error(struct translation *t, int token, const char *format, ...) {
    int last = t->tokens.n - 1;
    struct token none = {"", 0, 0, "?"};
    const struct token *at = last < 0 ? &none : &t->tokens.token[token > last ? last : token];
    va_list arguments;
    fprintf(stderr, "%s:%d: error: ", at->file, at->line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    t->n_errors++;
}

static char *string_format_va(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *string = malloc((size_t)length + 1);
    if (!string) abort();
    vsnprintf(string, (size_t)length + 1, format, again);
    va_end(again);
    return string;
}

char *string_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *string = string_format_va(format, arguments);
    va_end(arguments);
    return string;
}

char *token_string(const struct translation *t, int token) {
    return tokens_join(&t->tokens, token, token + 1);
}

void out_bytes(struct translation *t, const char *bytes, size_t n) {
    if (t->out_length + n + 1 > t->out_capacity) {
        t->out_capacity = (t->out_length + n + 1) * 2;
        t->out = realloc(t->out, t->out_capacity);
        if (!t->out) abort();
    }
    memcpy(t->out + t->out_length, bytes, n);
    t->out_length += n;
    t->out[t->out_length] = '\0';
}

void out_format(struct translation *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *string = string_format_va(format, arguments);
    va_end(arguments);
    out_bytes(t, string, strlen(string));
    free(string);
}

void out_tokens(struct translation *t, int begin, int end) {
    if (begin >= end) return;
    const struct token *first = &t->tokens.token[begin], *last = &t->tokens.token[end - 1];
    out_bytes(t, first->text, (size_t)(last->text + last->length - first->text));
}

void out_line_marker(struct translation *t, int token) {
    if (token >= t->tokens.n) return;
    out_format(t, "\n# %d \"%s\"\n", t->tokens.token[token].line, t->tokens.token[token].file);
}
