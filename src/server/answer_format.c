#include "server/answer_format.h"
#include "base/error.h"
#include "server/fields.h"
#include "text/exact_json.h"

#include <string.h>

/* Types of schemas in the words of exact_json_type. */
static const struct {
    const char *name, *type, *other; /* other: also fits; NULL: none */
} TYPES[] = {
    {"object", "an object", NULL},   {"array", "an array", NULL},
    {"string", "a string", NULL},    {"number", "a number", "an integer"},
    {"integer", "an integer", NULL}, {"boolean", "a boolean", NULL},
    {"null", "null", NULL},
};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

/* Names that are none of schemas fit everything. */
static bool fits(const json_t *type_name, const json_t *value) {
    const char *type = exact_json_type(value);
    for (size_t i = 0; i < N_TYPES; i++)
        if (text_is(type_name, TYPES[i].name))
            return strcmp(type, TYPES[i].type) == 0 || (TYPES[i].other && strcmp(type, TYPES[i].other) == 0);
    return true;
}

static bool fits_one(const json_t *types, const json_t *value) {
    if (!json_is_array(types)) return !types || fits(types, value);
    bool found = false;
    for (size_t i = 0; i < json_array_size(types) && !found; i++) found = fits(json_array_get(types, i), value);
    return found;
}

static ds4_status check_schema(const json_t *schema, const json_t *value, ds4_error *error) {
    if (!fits_one(json_object_get(schema, "type"), value))
        return error_set(error, DS4_ERROR_FORMAT, "%s, which is not the type of the schema", exact_json_type(value));
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; json_is_object(value) && i < json_array_size(required); i++) {
        size_t n_bytes;
        const char *key = exact_json_text(json_array_get(required, i), &n_bytes);
        if (key && strlen(key) == n_bytes && !json_object_get(value, key))
            return error_set(error, DS4_ERROR_FORMAT, "\"%s\" is missing", key);
    }
    return DS4_OK;
}

ds4_status format_check(const request *asked, const char *text, size_t n_bytes, ds4_error *error) {
    json_t *value = NULL;
    ds4_status status = exact_json_read(text, n_bytes, "answer", &value, error);
    if (status != DS4_OK) return status;
    if (asked->format == FORMAT_JSON_OBJECT && !json_is_object(value))
        status = error_set(error, DS4_ERROR_FORMAT, "%s, expected an object", exact_json_type(value));
    if (asked->format == FORMAT_JSON_SCHEMA) status = check_schema(asked->format_schema, value, error);
    json_decref(value);
    return status;
}
