/*
 * What Jansson does not keep, and how it is kept. A pass over the source before parsing turns an integer of
 * 19 or more digits into a string that begins with NUL and 'i'. A string of the source that begins with NUL
 * gets NUL and 's' in front, so nothing in the source can pose as such an integer. And half a surrogate pair,
 * which Jansson takes for a mistake, becomes U+FFFD: programs in JavaScript send one whenever they cut a text
 * in the middle of an emoji.
 */
#include "text/exact_json.h"
#include "base/error.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUL_ESCAPE "\\u0000"
#define REPLACEMENT_ESCAPE "\\ufffd"
#define ESCAPE_BYTES 6
#define MARK_BYTES 2
#define MARK_INTEGER 'i'
#define MARK_STRING 's'
/* Every integer of 18 digits fits into 64 bits. */
#define SHORT_INTEGER_DIGITS 18

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_number_byte(char c) {
    return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static bool is_long_integer(const char *text, size_t n_bytes) {
    if (n_bytes && text[0] == '-') {
        text++;
        n_bytes--;
    }
    if (n_bytes <= SHORT_INTEGER_DIGITS || text[0] == '0') return false;
    for (size_t i = 0; i < n_bytes; i++)
        if (!is_digit(text[i])) return false;
    return true;
}

/* The code unit of the escape at the start of text; -1: there is none. */
static long escaped_unit(const char *text, size_t n_bytes) {
    if (n_bytes < ESCAPE_BYTES || text[0] != '\\' || text[1] != 'u') return -1;
    long unit = 0;
    for (size_t i = 2; i < ESCAPE_BYTES; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) return -1;
        unit = unit * 16 + (digit - digits) - (digit - digits >= 16 ? 6 : 0);
    }
    return unit;
}

static bool is_high_surrogate(long unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(long unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* Marks the string that starts behind its opening quote; moves *at behind the closing one, or to the end of the text.
 * Up to *copied the source is in marked. */
static bool mark_string(const char *text, size_t n_bytes, size_t *at, size_t *copied, ds4_buffer *marked) {
    size_t i = *at;
    if (n_bytes - i >= strlen(NUL_ESCAPE) && memcmp(text + i, NUL_ESCAPE, strlen(NUL_ESCAPE)) == 0) {
        if (!buffer_append(marked, text + *copied, i - *copied) || !buffer_append_string(marked, NUL_ESCAPE "s"))
            return false;
        *copied = i;
    }
    while (i < n_bytes && text[i] != '"') {
        if (text[i] != '\\' || i + 1 == n_bytes) {
            i++;
            continue;
        }
        long unit = escaped_unit(text + i, n_bytes - i);
        if (is_high_surrogate(unit) &&
            is_low_surrogate(escaped_unit(text + i + ESCAPE_BYTES, n_bytes - i - ESCAPE_BYTES))) {
            i += 2 * (size_t)ESCAPE_BYTES;
        } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
            if (!buffer_append(marked, text + *copied, i - *copied) ||
                !buffer_append_string(marked, REPLACEMENT_ESCAPE))
                return false;
            i += ESCAPE_BYTES;
            *copied = i;
        } else {
            i += 2;
        }
    }
    *at = i < n_bytes ? i + 1 : i;
    return true;
}

/* Fills marked with the marked source, or leaves it empty if the source needs no marks. */
static bool mark_source(const char *text, size_t n_bytes, ds4_buffer *marked) {
    size_t at = 0, copied = 0;
    while (at < n_bytes) {
        if (text[at] == '"') {
            at++;
            if (!mark_string(text, n_bytes, &at, &copied, marked)) return false;
        } else if (is_number_byte(text[at])) {
            size_t start = at;
            while (at < n_bytes && is_number_byte(text[at])) at++;
            if (!is_long_integer(text + start, at - start)) continue;
            if (!buffer_append(marked, text + copied, start - copied) ||
                !buffer_append_string(marked, "\"" NUL_ESCAPE "i") ||
                !buffer_append(marked, text + start, at - start) || !buffer_append_string(marked, "\""))
                return false;
            copied = at;
        } else {
            at++;
        }
    }
    return !copied || buffer_append(marked, text + copied, n_bytes - copied);
}

ds4_status exact_json_read(const char *text, size_t n_bytes, const char *what, json_t **value, ds4_error *error) {
    ds4_buffer marked = {0};
    if (!mark_source(text, n_bytes, &marked)) {
        ds4_buffer_deinit(&marked);
        return error_memory(error, what, n_bytes);
    }
    json_error_t problem = {0};
    const char *source = marked.n_bytes ? marked.data : n_bytes ? text : "";
    json_t *read =
        json_loadb(source, marked.n_bytes ? marked.n_bytes : n_bytes, JSON_ALLOW_NUL | JSON_DECODE_ANY, &problem);
    ds4_buffer_deinit(&marked);
    /* Jansson says nothing at all of most failed allocations. */
    if (!read && (!problem.text[0] || json_error_code(&problem) == json_error_out_of_memory))
        return error_memory(error, what, n_bytes);
    if (!read)
        return error_set(error, DS4_ERROR_FORMAT, "%s: not JSON: %s (line %d, column %d)", what, problem.text,
                         problem.line, problem.column);
    *value = read;
    return DS4_OK;
}

static bool is_marked(const json_t *value, char mark) {
    return json_is_string(value) && json_string_length(value) >= MARK_BYTES && json_string_value(value)[0] == '\0' &&
           json_string_value(value)[1] == mark;
}

const char *exact_json_text(const json_t *value, size_t *n_bytes) {
    if (!json_is_string(value) || is_marked(value, MARK_INTEGER)) return NULL;
    size_t skipped = is_marked(value, MARK_STRING) ? MARK_BYTES : 0;
    *n_bytes = json_string_length(value) - skipped;
    return json_string_value(value) + skipped;
}

json_t *exact_json_string(const char *text, size_t n_bytes) {
    if (!n_bytes || text[0] != '\0') return json_stringn(n_bytes ? text : "", n_bytes);
    char *marked = malloc(MARK_BYTES + n_bytes);
    if (!marked) return NULL;
    marked[0] = '\0';
    marked[1] = MARK_STRING;
    memcpy(marked + MARK_BYTES, text, n_bytes);
    json_t *string = json_stringn(marked, MARK_BYTES + n_bytes);
    free(marked);
    return string;
}

const char *exact_json_type(const json_t *value) {
    if (!value) return "missing";
    if (is_marked(value, MARK_INTEGER)) return "an integer";
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: break;
    }
    return "null";
}

bool exact_json_is_true(const json_t *value) {
    if (!value) return false;
    switch (json_typeof(value)) {
    case JSON_OBJECT: return json_object_size(value) > 0;
    case JSON_ARRAY: return json_array_size(value) > 0;
    case JSON_STRING: return json_string_length(value) > 0;
    case JSON_INTEGER: return json_integer_value(value) != 0;
    case JSON_REAL: return fpclassify(json_real_value(value)) != FP_ZERO;
    case JSON_TRUE: return true;
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return false;
}

/* ---- writing ------------------------------------------------------------------------------------- */

size_t exact_json_escape(const char *character, size_t n_bytes, char out[EXACT_JSON_CHARACTER_BYTES]) {
    static const char short_escape[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'},
                                           {'\t', 't'}, {'\b', 'b'},  {'\f', 'f'}};
    for (size_t i = 0; i < sizeof short_escape / sizeof *short_escape; i++) {
        if (character[0] != short_escape[i][0]) continue;
        out[0] = '\\';
        out[1] = short_escape[i][1];
        return 2;
    }
    unsigned char byte = (unsigned char)character[0];
    if (byte < 0x20) {
        static const char hex[] = "0123456789abcdef";
        memcpy(out, "\\u00", 4);
        out[4] = hex[byte >> 4];
        out[5] = hex[byte & 15];
        return 6;
    }
    memcpy(out, character, n_bytes);
    return n_bytes;
}

bool exact_json_write_string(ds4_buffer *out, const char *text, size_t n_bytes) {
    if (!buffer_append_string(out, "\"")) return false;
    size_t copied = 0;
    for (size_t at = 0; at < n_bytes; at++) {
        if ((unsigned char)text[at] >= 0x20 && text[at] != '"' && text[at] != '\\') continue;
        char escaped[EXACT_JSON_CHARACTER_BYTES];
        size_t length = exact_json_escape(text + at, 1, escaped);
        if (!buffer_append(out, text + copied, at - copied) || !buffer_append(out, escaped, length)) return false;
        copied = at + 1;
    }
    return buffer_append(out, text + copied, n_bytes - copied) && buffer_append_string(out, "\"");
}

/* The fewest significant digits that read back as magnitude, and the place of the decimal point: the value is
 * 0.DIGITS * 10^point. */
static size_t shortest_digits(double magnitude, char digits[DBL_DECIMAL_DIG + 1], int *point) {
    char text[40];
    for (int precision = 1;; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, magnitude);
        if (precision == DBL_DECIMAL_DIG || !(strtod(text, NULL) < magnitude || strtod(text, NULL) > magnitude)) break;
    }
    /* The point is whatever the locale says, so only digits are taken. */
    size_t n = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++)
        if (is_digit(*at)) digits[n++] = *at;
    digits[n] = '\0';
    *point = *at ? (int)strtol(at + 1, NULL, 10) + 1 : 1;
    return n;
}

/* repr(float): plain from 1e-4 up to 1e16, with an exponent of at least two digits outside. */
static bool write_real(ds4_buffer *out, double value) {
    char digits[DBL_DECIMAL_DIG + 1], text[64];
    int point;
    size_t n = shortest_digits(fabs(value), digits, &point);
    int n_digits = (int)n, written;
    const char *sign = signbit(value) ? "-" : "";
    if (point > 16 || point < -3)
        written = snprintf(text, sizeof text, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                           point > 0 ? '+' : '-', abs(point - 1));
    else if (point <= 0)
        written = snprintf(text, sizeof text, "%s0.%.*s%s", sign, -point, "0000", digits);
    else if (n_digits <= point)
        written = snprintf(text, sizeof text, "%s%s%.*s.0", sign, digits, point - n_digits, "0000000000000000");
    else
        written = snprintf(text, sizeof text, "%s%.*s.%s", sign, point, digits, digits + point);
    return buffer_append(out, text, (size_t)written);
}

static bool write_array(ds4_buffer *out, json_t *array, const json_style *style) {
    if (!buffer_append_string(out, "[")) return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i && !buffer_append_string(out, style->comma)) return false;
        if (!exact_json_write_as(out, json_array_get(array, i), style)) return false;
    }
    return buffer_append_string(out, "]");
}

static bool write_object(ds4_buffer *out, json_t *object, const json_style *style) {
    const char *key, *separator = "{";
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!buffer_append_string(out, separator) || !exact_json_write_string(out, key, strlen(key)) ||
            !buffer_append_string(out, style->colon) || !exact_json_write_as(out, value, style))
            return false;
        separator = style->comma;
    }
    return buffer_append_string(out, json_object_size(object) ? "}" : "{}");
}

/* Recursion is bounded by the depth that Jansson reads (2048). */
bool exact_json_write_as(ds4_buffer *out, json_t *value, const json_style *style) {
    char integer[24];
    switch (json_typeof(value)) {
    case JSON_OBJECT: return write_object(out, value, style);
    case JSON_ARRAY: return write_array(out, value, style);
    case JSON_STRING: return style->write_string(out, value);
    case JSON_INTEGER:
        snprintf(integer, sizeof integer, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return buffer_append_string(out, integer);
    case JSON_REAL: return write_real(out, json_real_value(value));
    case JSON_TRUE: return buffer_append_string(out, "true");
    case JSON_FALSE: return buffer_append_string(out, "false");
    case JSON_NULL: break;
    }
    return buffer_append_string(out, "null");
}

static bool write_marked(ds4_buffer *out, const json_t *value) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    if (text) return exact_json_write_string(out, text, n_bytes);
    return buffer_append(out, json_string_value(value) + MARK_BYTES, json_string_length(value) - MARK_BYTES);
}

bool exact_json_write(ds4_buffer *out, json_t *value) {
    static const json_style python = {.comma = ", ", .colon = ": ", .write_string = write_marked};
    return exact_json_write_as(out, value, &python);
}
