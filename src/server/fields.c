#include "server/fields.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/exact_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- problems ------------------------------------------------------------------------------------ */

/* Cut at a character. */
static void copy_cut(char *out, size_t capacity, const char *text) {
    size_t n = 0, length = strlen(text);
    uint32_t code_point;
    while (n < length) {
        size_t bytes = utf8_decode(text + n, length - n, &code_point);
        if (!bytes || n + bytes >= capacity) break;
        n += bytes;
    }
    memcpy(out, text, n);
    out[n] = '\0';
}

bool problem_set(problem *why, problem_kind kind, const char *param, const char *format, ...) {
    why->kind = kind;
    copy_cut(why->param, sizeof why->param, param ? param : "");
    ds4_error clean;
    va_list arguments;
    va_start(arguments, format);
    error_set_va(&clean, DS4_ERROR_FORMAT, format, arguments);
    va_end(arguments);
    copy_cut(why->message, sizeof why->message, clean.message);
    return false;
}

bool problem_memory(problem *why) {
    return problem_set(why, PROBLEM_DRAINING, NULL, "no memory for this request");
}

field_path field_path_of(const char *place, const char *name) {
    field_path path;
    snprintf(path.text, sizeof path.text, "%s%s%s", place, *place ? "." : "", name);
    return path;
}

field_path field_path_at(const char *place, size_t index) {
    field_path path;
    snprintf(path.text, sizeof path.text, "%s[%zu]", place, index);
    return path;
}

/* ---- fields -------------------------------------------------------------------------------------- */

bool field_reader_init(field_reader *reader, json_t *value, const char *place, problem *why) {
    *reader = (field_reader){.object = value, .place = place, .problem = why};
    if (json_is_object(value)) return true;
    reader->failed = true;
    return problem_set(why, PROBLEM_INVALID, place, "%s%s, expected an object",
                       *place ? "" : "the request: ", exact_json_type(value));
}

json_t *field_get(const field_reader *reader, const char *name) {
    json_t *value = json_object_get(reader->object, name);
    return json_is_null(value) ? NULL : value;
}

bool field_wrong(field_reader *reader, const char *name, const char *expected) {
    reader->failed = true;
    return problem_set(reader->problem, PROBLEM_INVALID, field_path_of(reader->place, name).text, "%s, expected %s",
                       exact_json_type(json_object_get(reader->object, name)), expected);
}

bool field_text(field_reader *reader, const char *name, const char **value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (!field) return true;
    size_t n_bytes;
    const char *text = exact_json_text(field, &n_bytes);
    if (!text) return field_wrong(reader, name, "a string");
    if (memchr(text, '\0', n_bytes)) return field_wrong(reader, name, "one without NUL characters");
    *value = text;
    return true;
}

bool field_need_text(field_reader *reader, const char *name, const char **value) {
    if (!reader->failed && !field_get(reader, name)) return field_wrong(reader, name, "a string");
    return field_text(reader, name, value);
}

bool field_bool(field_reader *reader, const char *name, bool *value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (!field) return true;
    if (!json_is_boolean(field)) return field_wrong(reader, name, "a boolean");
    *value = json_is_true(field);
    return true;
}

static bool number_out_of_range(field_reader *reader, const char *name, const char *what, double min, double max) {
    ds4_buffer shown = {0};
    bool known = exact_json_write(&shown, field_get(reader, name));
    reader->failed = true;
    if (max >= (double)INT64_MAX)
        problem_set(reader->problem, PROBLEM_INVALID, field_path_of(reader->place, name).text,
                    "%.40s, expected %s of at least %g", known ? shown.data : "too small", what, min);
    else
        problem_set(reader->problem, PROBLEM_INVALID, field_path_of(reader->place, name).text,
                    "%.40s, expected %s from %.15g to %.15g", known ? shown.data : "out of range", what, min, max);
    ds4_buffer_deinit(&shown);
    return false;
}

/* Integers beyond 18 digits are not integers to Jansson; and 1.0 is one to JavaScript. */
static bool read_integer(const json_t *field, int64_t *value, bool *in_range) {
    *in_range = true;
    if (json_is_integer(field)) {
        *value = json_integer_value(field);
        return true;
    }
    if (json_is_real(field)) {
        double real = json_real_value(field);
        if (!(real > -9e15 && real < 9e15)) return *in_range = false, true;
        *value = (int64_t)real;
        return !((double)*value < real) && !((double)*value > real);
    }
    size_t n_bytes;
    if (!json_is_string(field) || exact_json_text(field, &n_bytes)) return false;
    ds4_buffer digits = {0};
    errno = 0;
    if (exact_json_write(&digits, (json_t *)field))
        *value = strtoll(digits.data, NULL, 10);
    else
        errno = ERANGE;
    *in_range = errno != ERANGE;
    ds4_buffer_deinit(&digits);
    return true;
}

bool field_integer(field_reader *reader, const char *name, int64_t min, int64_t max, int64_t *value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (!field) return true;
    int64_t read = 0;
    bool in_range;
    if (!read_integer(field, &read, &in_range)) return field_wrong(reader, name, "an integer");
    if (!in_range || read < min || read > max)
        return number_out_of_range(reader, name, "an integer", (double)min, (double)max);
    *value = read;
    return true;
}

bool field_real(field_reader *reader, const char *name, double min, double max, float *value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (!field) return true;
    int64_t integer = 0;
    bool in_range = true;
    double read = 0;
    if (json_is_real(field)) {
        read = json_real_value(field);
    } else {
        if (!read_integer(field, &integer, &in_range)) return field_wrong(reader, name, "a number");
        read = (double)integer;
    }
    if (!in_range || !(read >= min && read <= max)) return number_out_of_range(reader, name, "a number", min, max);
    *value = (float)read;
    return true;
}

bool field_choice(field_reader *reader, const char *name, const char *const *names, int *value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (!field) return true;
    char list[256];
    size_t used = 0;
    for (int i = 0; names[i]; i++) {
        if (text_is(field, names[i])) {
            *value = i;
            return true;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    size_t n_bytes;
    const char *text = exact_json_text(field, &n_bytes);
    reader->failed = true;
    if (text)
        return problem_set(reader->problem, PROBLEM_INVALID, field_path_of(reader->place, name).text,
                           "\"%.64s\" is not one of %s", text, list);
    return problem_set(reader->problem, PROBLEM_INVALID, field_path_of(reader->place, name).text,
                       "%s, expected one of %s", exact_json_type(field), list);
}

bool field_array(field_reader *reader, const char *name, json_t **value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (field && !json_is_array(field)) return field_wrong(reader, name, "an array");
    if (field) *value = field;
    return true;
}

bool field_object(field_reader *reader, const char *name, json_t **value) {
    if (reader->failed) return false;
    json_t *field = field_get(reader, name);
    if (field && !json_is_object(field)) return field_wrong(reader, name, "an object");
    if (field) *value = field;
    return true;
}

bool fields_refuse(field_reader *reader, const refused_field *table) {
    for (; !reader->failed && table->name; table++) {
        json_t *field = field_get(reader, table->name);
        if (!field) continue;
        json_t *harmless = table->harmless ? json_loads(table->harmless, JSON_DECODE_ANY, NULL) : NULL;
        if (table->harmless && !harmless) return problem_memory(reader->problem);
        bool is_harmless = harmless && json_equal(field, harmless);
        json_decref(harmless);
        if (is_harmless) continue;
        reader->failed = true;
        problem_set(reader->problem, PROBLEM_UNSUPPORTED, field_path_of(reader->place, table->name).text,
                    "is not supported%s", table->why ? table->why : "");
    }
    return !reader->failed;
}

/* ---- values -------------------------------------------------------------------------------------- */

bool text_is(const json_t *value, const char *string) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    return text && n_bytes == strlen(string) && memcmp(text, string, n_bytes) == 0;
}

static json_t *plain_object(const json_t *value) {
    json_t *copy = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member) {
        if (!copy || json_object_set_new(copy, key, fields_plain(member)) == 0) continue;
        json_decref(copy);
        return NULL;
    }
    return copy;
}

static json_t *plain_array(const json_t *value) {
    json_t *copy = json_array();
    for (size_t i = 0; copy && i < json_array_size(value); i++) {
        if (json_array_append_new(copy, fields_plain(json_array_get(value, i))) == 0) continue;
        json_decref(copy);
        return NULL;
    }
    return copy;
}

static json_t *plain_string(const json_t *value) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    if (text) return json_stringn(text, n_bytes);
    ds4_buffer digits = {0};
    bool written = buffer_append(&digits, PLAIN_INTEGER, 1) && exact_json_write(&digits, (json_t *)value);
    json_t *copy = written ? json_stringn_nocheck(digits.data, digits.n_bytes) : NULL;
    ds4_buffer_deinit(&digits);
    return copy;
}

/* Recursion is bounded by the depth that Jansson reads. */
json_t *fields_plain(const json_t *value) {
    if (json_is_object(value)) return plain_object(value);
    if (json_is_array(value)) return plain_array(value);
    if (json_is_string(value)) return plain_string(value);
    return json_copy((json_t *)value);
}
