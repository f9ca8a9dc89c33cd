/*
 * Reading the fields of a JSON object, with the field's name in every complaint; and the problem that a request may
 * have, in the words of no API.
 *
 * Plain functions without state; any thread. JSON is borrowed. It was read by exact_json_read.
 */
#ifndef SERVER_FIELDS_H
#define SERVER_FIELDS_H

#include "base/error.h"

#include <jansson.h>

typedef enum problem_kind {
    PROBLEM_INVALID,     /* 400 */
    PROBLEM_UNSUPPORTED, /* 400: a known field that is refused */
    PROBLEM_TOO_LONG,    /* 400: n_tokens, limit */
    PROBLEM_KEY,         /* 401 */
    PROBLEM_FORBIDDEN,   /* 403 */
    PROBLEM_NOT_FOUND,   /* 404 */
    PROBLEM_METHOD,      /* 405 */
    PROBLEM_TOO_LARGE,   /* 413 */
    PROBLEM_BUSY,        /* 429 */
    PROBLEM_DRAINING,    /* 503; also: no memory */
    PROBLEM_ENGINE,      /* 500 */
} problem_kind;

typedef struct problem {
    problem_kind kind;
    char param[96];    /* "messages[2].content[0].image_url"; "": none */
    char message[512]; /* without the param; see api.h */
    size_t n_tokens, limit;
    double retry_after;
} problem;

/* Returns false, so that readers can `return problem_set(...)`. param may be NULL. */
bool problem_set(problem *why, problem_kind kind, const char *param, const char *format, ...) PRINTF_LIKE(4, 5);
/* No memory for the request. Returns false. */
bool problem_memory(problem *why);

/* The path of a field or element, cut to fit into problem.param. */
typedef struct field_path {
    char text[96];
} field_path;
field_path field_path_of(const char *place, const char *name); /* place.name, or name if place is "" */
field_path field_path_at(const char *place, size_t index);     /* place[index] */

/* A reader of one object. null counts as absent. The functions leave *value alone if the field is absent, and return
 * false if it is wrong: the problem is set then, and every later call of the same reader returns false too. */
typedef struct field_reader {
    json_t *object;
    const char *place; /* "" at the top, "messages[2]" */
    problem *problem;
    bool failed;
} field_reader;

/* False (and a problem) if value is not an object. */
bool field_reader_init(field_reader *reader, json_t *value, const char *place, problem *why);

/* The field; NULL if it is absent or null. */
json_t *field_get(const field_reader *reader, const char *name);
/* Sets the problem of a field: "a boolean, expected a string". Returns false. */
bool field_wrong(field_reader *reader, const char *name, const char *expected);

/* Strings without NUL, owned by the object. */
bool field_text(field_reader *reader, const char *name, const char **value);
/* The same, and it must be there. */
bool field_need_text(field_reader *reader, const char *name, const char **value);
bool field_bool(field_reader *reader, const char *name, bool *value);
bool field_integer(field_reader *reader, const char *name, int64_t min, int64_t max, int64_t *value);
bool field_real(field_reader *reader, const char *name, double min, double max, float *value);
/* One of the names (ends with NULL); *value is its index. */
bool field_choice(field_reader *reader, const char *name, const char *const *names, int *value);
bool field_array(field_reader *reader, const char *name, json_t **value);
bool field_object(field_reader *reader, const char *name, json_t **value);

/* Refused fields of an API: present (not null, not equal to harmless) is PROBLEM_UNSUPPORTED with why behind "is not
 * supported". The table ends with a NULL name. */
typedef struct refused_field {
    const char *name;
    const char *harmless; /* JSON, NULL: none */
    const char *why;      /* NULL, or ": send the whole input" */
} refused_field;
bool fields_refuse(field_reader *reader, const refused_field *table);

/* Whether a value is exactly that string. */
bool text_is(const json_t *value, const char *string);
/* A copy for answers, which go out with api_write_json: without the marks of exact_json_read. An integer that Jansson
 * cannot hold becomes a string of its digits behind PLAIN_INTEGER, which no text can begin with. NULL without memory.
 */
json_t *fields_plain(const json_t *value);
#define PLAIN_INTEGER "\xff"

#endif
