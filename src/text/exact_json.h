/* JSON through Jansson that loses nothing a prompt must show, written as Python's json.dumps writes it. */
#ifndef TEXT_EXACT_JSON_H
#define TEXT_EXACT_JSON_H

#include "ds4.h"

#include <jansson.h>

/* Reads one value of any type (DS4_ERROR_FORMAT, naming what, line and column, if it is not JSON). Keys keep
 * their order; of equal keys the last value stays at the first's place. Strings may contain NUL, keys may not.
 *
 * Jansson's integers end at 64 bits. Longer ones are kept as strings with a mark that no string of the
 * source can have, so strings must be read with exact_json_text, never with json_string_value. */
ds4_status exact_json_read(const char *text, size_t n_bytes, const char *what, json_t **value, ds4_error *error);

/* The bytes of a string (owned by value); NULL if value is NULL or not a string. */
const char *exact_json_text(const json_t *value, size_t *n_bytes);

/* A string as exact_json_read would have read it; text is UTF-8. NULL if it is not, or without memory. */
json_t *exact_json_string(const char *text, size_t n_bytes);

/* What value is, with article, for messages: "a string", "an integer", ..., "missing" for NULL. */
const char *exact_json_type(const json_t *value);

/* Python's truth: false for NULL, null, false, 0, "", [] and {}. */
bool exact_json_is_true(const json_t *value);

/* Appends value as json.dumps(value, ensure_ascii=False); false if there is no memory. */
bool exact_json_write(ds4_buffer *out, json_t *value);

/* The same, but for what stands between members and behind keys, and with strings written by write_string. */
typedef struct json_style {
    const char *comma, *colon;
    bool (*write_string)(ds4_buffer *out, const json_t *string);
} json_style;
bool exact_json_write_as(ds4_buffer *out, json_t *value, const json_style *style);

/* Appends a string in its quotes; text is UTF-8. False if there is no memory. */
bool exact_json_write_string(ds4_buffer *out, const char *text, size_t n_bytes);

/* One character of valid UTF-8 as it stands inside a JSON string; returns the number of bytes. */
#define EXACT_JSON_CHARACTER_BYTES 6
size_t exact_json_escape(const char *character, size_t n_bytes, char out[EXACT_JSON_CHARACTER_BYTES]);

#endif
