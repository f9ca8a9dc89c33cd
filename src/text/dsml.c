#include "text/dsml.h"

#include <string.h>

typedef struct tag_reader {
    const char *at, *end;
} tag_reader;

static bool skip(tag_reader *reader, const char *string) {
    size_t length = strlen(string);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, string, length) != 0) return false;
    reader->at += length;
    return true;
}

static bool skip_spaces(tag_reader *reader) {
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at == ' ') reader->at++;
    return reader->at > start;
}

static bool read_attribute(tag_reader *reader, dsml_open_tag *tag) {
    dsml_attribute *attribute = skip(reader, "name=\"") ? &tag->name : skip(reader, "string=\"") ? &tag->string : NULL;
    if (!attribute || attribute->bytes) return false;
    const char *quote = memchr(reader->at, '"', (size_t)(reader->end - reader->at));
    if (!quote) return false;
    *attribute = (dsml_attribute){reader->at, (size_t)(quote - reader->at)};
    reader->at = quote + 1;
    return true;
}

bool dsml_read_open_tag(const char *text, size_t n_bytes, const char *prefix, const char *kind, dsml_open_tag *tag) {
    tag_reader reader = {text, text + n_bytes};
    *tag = (dsml_open_tag){0};
    if (!skip(&reader, "<") || !skip(&reader, prefix) || !skip(&reader, kind)) return false;
    while (skip_spaces(&reader) && reader.at < reader.end && *reader.at != '>')
        if (!read_attribute(&reader, tag)) return false;
    return skip(&reader, ">") && reader.at == reader.end && tag->name.bytes;
}

bool dsml_attribute_is(dsml_attribute value, const char *string) {
    return value.bytes && value.n_bytes == strlen(string) && memcmp(value.bytes, string, value.n_bytes) == 0;
}
