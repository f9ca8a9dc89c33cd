/* Error values: how library code says what went wrong. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "ds4.h"

#include <stdarg.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(position, first) __attribute__((__format__(__printf__, position, first)))
#else
#define PRINTF_LIKE(position, first)
#endif

/* Writes the message (error may be NULL) and returns status, so that callers can `return error_set(...)`.
 * Names from files end up in messages: control characters and broken UTF-8 are replaced by '?', and a
 * message that is too long is cut at a character. */
ds4_status error_set(ds4_error *error, ds4_status status, const char *format, ...) PRINTF_LIKE(3, 4);
ds4_status error_set_va(ds4_error *error, ds4_status status, const char *format, va_list arguments);

/* The message of every failed allocation. what names the thing, n_bytes its size. */
ds4_status error_memory(ds4_error *error, const char *what, size_t n_bytes);

/* Everything wrong with a file, for reports that want more than the first problem. Zero-initialise. */
typedef struct problem_list {
    char **text;
    size_t n;
    size_t capacity;
    size_t n_dropped; /* problems beyond PROBLEM_LIST_MAX, or for which there was no memory */
} problem_list;

#define PROBLEM_LIST_MAX 1000

/* Reports one problem. With a list it is added and DS4_OK returned, so that checking goes on; without one
 * (NULL) it becomes the error. Usage: if ((status = problem_add(problems, error, ...)) != DS4_OK) return status; */
ds4_status problem_add(problem_list *problems, ds4_error *error, const char *format, ...) PRINTF_LIKE(3, 4);
void problem_list_deinit(problem_list *problems);

#endif
