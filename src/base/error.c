#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes text fit for one line on a terminal, in place. */
static void sanitize(char *text, size_t n_bytes) {
    size_t at = 0;
    while (at < n_bytes) {
        uint32_t code_point;
        size_t length = utf8_decode(text + at, n_bytes - at, &code_point);
        bool control = length && (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
                                  (code_point >= 0x2028 && code_point <= 0x202e)); /* lines, bidirectional overrides */
        if (!length || control) {
            /* A replaced character keeps its length in bytes, so nothing has to move. */
            size_t replaced = length ? length : 1;
            memset(text + at, '?', replaced);
            at += replaced;
        } else {
            at += length;
        }
    }
}

/* Bytes of text without the beginning of a character at its end. */
static size_t whole_characters(const char *text, size_t n_bytes) {
    size_t lead = n_bytes;
    while (lead && n_bytes - lead < 3 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80) lead--;
    if (!lead || (unsigned char)text[lead - 1] < 0xc0) return n_bytes;
    uint32_t code_point;
    return utf8_decode(text + lead - 1, n_bytes - lead + 1, &code_point) ? n_bytes : lead - 1;
}

static void format_line(char *line, size_t capacity, const char *format, va_list arguments) {
    int written = vsnprintf(line, capacity, format, arguments);
    size_t n_bytes = written < 0 ? 0 : (size_t)written;
    if (n_bytes >= capacity) {
        n_bytes = whole_characters(line, capacity - 1);
    }
    line[n_bytes] = '\0';
    sanitize(line, n_bytes);
}

ds4_status error_set_va(ds4_error *error, ds4_status status, const char *format, va_list arguments) {
    if (error) format_line(error->message, sizeof error->message, format, arguments);
    return status;
}

ds4_status error_set(ds4_error *error, ds4_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error_set_va(error, status, format, arguments);
    va_end(arguments);
    return status;
}

ds4_status error_memory(ds4_error *error, const char *what, size_t n_bytes) {
    return error_set(error, DS4_ERROR_MEMORY, "%s: no memory for %zu bytes", what, n_bytes);
}

ds4_status problem_add(problem_list *problems, ds4_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!problems) {
        error_set_va(error, DS4_ERROR_FORMAT, format, arguments);
        va_end(arguments);
        return DS4_ERROR_FORMAT;
    }
    char line[sizeof(ds4_error)];
    format_line(line, sizeof line, format, arguments);
    va_end(arguments);

    char *copy = NULL;
    if (problems->n < PROBLEM_LIST_MAX &&
        array_reserve((void **)&problems->text, &problems->capacity, problems->n + 1, sizeof *problems->text))
        copy = strdup(line);
    if (copy)
        problems->text[problems->n++] = copy;
    else
        problems->n_dropped++;
    return DS4_OK;
}

void problem_list_deinit(problem_list *problems) {
    for (size_t i = 0; i < problems->n; i++) free(problems->text[i]);
    free(problems->text);
    *problems = (problem_list){0};
}
