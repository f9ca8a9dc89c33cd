/*
 * The model's answer, taken apart while it arrives: reasoning, text, and one block of tool calls.
 *
 * The parser is a state machine that takes one byte at a time, so how the input is cut cannot matter. It holds
 * back only what is not decided yet: the beginning of a mark (such as "</thi"), white space that a block would
 * swallow, a tag up to its ">", and a value of JSON, which is checked as a whole. String values, which carry
 * whole files, are escaped and passed on as they come.
 *
 * When a block turns out to be malformed, everything held back since the last event (if no call has started,
 * from the white space in front of the block) comes out as text, so that a reader sees what the model wrote.
 */
#include "base/error.h"
#include "base/memory.h"
#include "text/characters.h"
#include "text/dsml.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

/* Names are short; without a limit a lost quote would hold back everything. */
#define TAG_MAX_BYTES 65536
#define JSON_VALUE_MAX_BYTES ((size_t)16 << 20)

/* Models sometimes write the tags without the first bar, or without the DSML prefix. All tags of a block are
 * spelled as its first one. */
typedef struct tag_family {
    const char *prefix;
    const char *calls, *end_calls, *end_invoke, *end_parameter, *escaped_end_parameter;
} tag_family;

#define TAG_FAMILY(PREFIX)      \
    {PREFIX,                    \
     TAG_CALLS(PREFIX),         \
     TAG_END_CALLS(PREFIX),     \
     TAG_END_INVOKE(PREFIX),    \
     TAG_END_PARAMETER(PREFIX), \
     ESCAPED_END_PARAMETER(PREFIX)}

/* The plain spelling is also a word of prose about tool calls and counts only at the start of a line. */
static const tag_family families[] = {TAG_FAMILY(TOKEN_DSML), TAG_FAMILY("DSML｜"), TAG_FAMILY("")};
enum { FAMILY_CANONICAL, FAMILY_NO_BAR, FAMILY_PLAIN, N_FAMILIES };

typedef enum parser_state {
    STATE_REASONING,
    STATE_TEXT,
    STATE_TAG,    /* inside the block, between values */
    STATE_STRING, /* inside a string value */
    STATE_JSON,   /* inside a value of JSON */
    STATE_AFTER,  /* behind the block, only white space so far */
    STATE_REST,   /* all that follows is text */
    STATE_FINISHED,
} parser_state;

struct ds4_parser {
    ds4_event_sink *sink;
    void *context;
    parser_state state;
    bool failed; /* there was no memory; nothing more comes out */

    bool at_start;      /* of the reasoning: an opening <think> may still come */
    bool at_line_start; /* of the text */

    char partial[64]; /* the beginning of a mark */
    size_t n_partial;
    ds4_buffer held; /* see the top of the file */

    const tag_family *family;
    bool in_tag, in_quotes;
    size_t tag_start; /* in held */

    bool in_call;
    size_t n_calls;           /* complete ones; the number of the open one */
    json_t *parameters;       /* the names of the open call's parameters so far, as keys */
    open_character character; /* of a string value */

    ds4_event_kind out_kind; /* bytes on their way to the sink, all of one kind */
    size_t n_out;
    char out[1024];
};

/* ---- events -------------------------------------------------------------------------------------- */

static void flush(ds4_parser *p) {
    if (!p->n_out) return;
    ds4_event event = {p->out_kind, p->out_kind == DS4_EVENT_ARGUMENTS ? p->n_calls : 0, p->out, p->n_out};
    p->n_out = 0;
    p->sink(p->context, &event);
}

static void emit(ds4_parser *p, ds4_event_kind kind, const char *bytes, size_t n_bytes) {
    if (p->failed) return;
    if (kind != p->out_kind) flush(p);
    p->out_kind = kind;
    while (n_bytes) {
        size_t room = sizeof p->out - p->n_out, n = n_bytes < room ? n_bytes : room;
        memcpy(p->out + p->n_out, bytes, n);
        p->n_out += n;
        bytes += n;
        n_bytes -= n;
        if (p->n_out == sizeof p->out) flush(p);
    }
}

static void emit_string(ds4_parser *p, ds4_event_kind kind, const char *string) {
    emit(p, kind, string, strlen(string));
}

/* An event that stands for itself. */
static void send_event(ds4_parser *p, ds4_event_kind kind, size_t call, const char *bytes, size_t n_bytes) {
    flush(p);
    ds4_event event = {kind, call, bytes, n_bytes};
    if (!p->failed) p->sink(p->context, &event);
}

static void hold(ds4_parser *p, const char *bytes, size_t n_bytes) {
    if (!buffer_append(&p->held, bytes, n_bytes)) p->failed = true;
}

static void release_held(ds4_parser *p, ds4_event_kind kind) {
    emit(p, kind, p->held.data, p->held.n_bytes);
    buffer_clear(&p->held);
}

static void release_partial(ds4_parser *p, ds4_event_kind kind) {
    emit(p, kind, p->partial, p->n_partial);
    p->n_partial = 0;
}

static void end_call(ds4_parser *p) {
    p->in_call = false;
    json_decref(p->parameters);
    p->parameters = NULL;
}

/* Gives up the block: what is held back and what follows is text. */
static void invalid(ds4_parser *p, const char *problem) {
    ds4_error line; /* one line of UTF-8, whatever the model wrote */
    int n_shown = p->held.n_bytes - p->tag_start < 80 ? (int)(p->held.n_bytes - p->tag_start) : 80;
    if (p->state == STATE_TAG && n_shown)
        error_set(&line, DS4_ERROR_FORMAT, "tool calls: %s, found \"%.*s\"", problem, n_shown,
                  p->held.data + p->tag_start);
    else
        error_set(&line, DS4_ERROR_FORMAT, "tool calls: %s", problem);
    send_event(p, DS4_EVENT_INVALID, 0, line.message, strlen(line.message));
    end_call(p);
    emit(p, DS4_EVENT_TEXT, p->character.bytes, p->character.n_bytes);
    p->character.n_bytes = 0;
    release_held(p, DS4_EVENT_TEXT);
    release_partial(p, DS4_EVENT_TEXT);
    p->state = STATE_REST;
}

/* ---- marks --------------------------------------------------------------------------------------- */

typedef enum scan_result {
    SCAN_PLAIN,  /* the byte belongs to no mark */
    SCAN_HELD,   /* the byte may belong to a mark */
    SCAN_MARK,   /* the byte completes a mark */
    SCAN_BROKEN, /* partial is not the beginning of a mark after all: release it and take the byte again */
} scan_result;

/* Looks for marks (NULL: none). No mark contains another's first byte again, so a broken one need not be
 * searched for the beginning of another. */
static scan_result scan(ds4_parser *p, const char *const *mark, size_t n_marks, char byte, size_t *found) {
    bool begins_mark = false;
    for (size_t i = 0; i < n_marks; i++) {
        if (!mark[i] || strncmp(mark[i], p->partial, p->n_partial) != 0 || mark[i][p->n_partial] != byte || !byte)
            continue;
        if (!mark[i][p->n_partial + 1]) {
            p->n_partial = 0;
            *found = i;
            return SCAN_MARK;
        }
        begins_mark = true;
    }
    if (!begins_mark) return p->n_partial ? SCAN_BROKEN : SCAN_PLAIN;
    p->partial[p->n_partial++] = byte;
    return SCAN_HELD;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The functions below take a byte and return false if it has to be taken again in the new state. */

static bool take_reasoning(ds4_parser *p, char byte) {
    const char *mark[] = {TOKEN_END_THINK, p->at_start ? TOKEN_THINK : NULL};
    size_t found = 0;
    scan_result result = scan(p, mark, 2, byte, &found);
    if (result == SCAN_HELD) return true;
    p->at_start = false;
    if (result == SCAN_PLAIN) emit(p, DS4_EVENT_REASONING, &byte, 1);
    if (result == SCAN_BROKEN) release_partial(p, DS4_EVENT_REASONING);
    if (result == SCAN_MARK && found == 0) p->state = STATE_TEXT;
    return result != SCAN_BROKEN;
}

static bool take_text(ds4_parser *p, char byte) {
    const char *mark[N_FAMILIES];
    for (size_t i = 0; i < N_FAMILIES; i++) mark[i] = families[i].calls;
    if (!p->at_line_start) mark[FAMILY_PLAIN] = NULL;
    size_t found = 0;
    switch (scan(p, mark, N_FAMILIES, byte, &found)) {
    case SCAN_PLAIN:
        if (is_space(byte)) {
            hold(p, &byte, 1);
        } else {
            release_held(p, DS4_EVENT_TEXT);
            emit(p, DS4_EVENT_TEXT, &byte, 1);
        }
        p->at_line_start = byte == '\n';
        return true;
    case SCAN_HELD: return true;
    case SCAN_BROKEN:
        release_held(p, DS4_EVENT_TEXT);
        release_partial(p, DS4_EVENT_TEXT);
        p->at_line_start = false;
        return false;
    case SCAN_MARK: break;
    }
    p->family = &families[found];
    hold(p, mark[found], strlen(mark[found]));
    p->tag_start = p->held.n_bytes;
    p->state = STATE_TAG;
    return true;
}

/* ---- names and values ---------------------------------------------------------------------------- */

/* What models write in names and values goes into JSON and so has to be UTF-8: whole characters are handed on. */

/* A name from a tag, in UTF-8. It holds no control characters: a tag that has one is malformed. */
typedef struct name_text {
    ds4_buffer text;
    bool failed;
} name_text;

static void argument_character(void *context, const char *character, size_t n_bytes) {
    char escaped[EXACT_JSON_CHARACTER_BYTES];
    emit(context, DS4_EVENT_ARGUMENTS, escaped, exact_json_escape(character, n_bytes, escaped));
}

static void name_character(void *context, const char *character, size_t n_bytes) {
    name_text *name = context;
    if (!buffer_append(&name->text, character, n_bytes)) name->failed = true;
}

static name_text read_name(dsml_attribute attribute) {
    name_text name = {0};
    open_character open = {0};
    if (!buffer_append(&name.text, "", 0)) name.failed = true;
    for (size_t i = 0; i < attribute.n_bytes; i++) characters_add(&open, attribute.bytes[i], name_character, &name);
    characters_end(&open, name_character, &name);
    return name;
}

static void string_bytes(ds4_parser *p, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) characters_add(&p->character, bytes[i], argument_character, p);
}

static void string_end(ds4_parser *p) {
    characters_end(&p->character, argument_character, p);
    emit_string(p, DS4_EVENT_ARGUMENTS, "\"");
}

static bool take_string(ds4_parser *p, char byte) {
    const char *mark[] = {p->family->end_parameter, p->family->escaped_end_parameter};
    size_t found = 0;
    switch (scan(p, mark, 2, byte, &found)) {
    case SCAN_PLAIN: string_bytes(p, &byte, 1); return true;
    case SCAN_HELD: return true;
    case SCAN_BROKEN:
        string_bytes(p, p->partial, p->n_partial);
        p->n_partial = 0;
        return false;
    case SCAN_MARK: break;
    }
    if (found == 1) {
        string_bytes(p, p->family->end_parameter, strlen(p->family->end_parameter));
        return true;
    }
    string_end(p);
    p->state = STATE_TAG;
    return true;
}

/* A complete value: passed on as it was written if it is JSON, as a string if it is not. */
static void json_value(ds4_parser *p) {
    const char *text = p->held.n_bytes ? p->held.data : "";
    size_t n_bytes = p->held.n_bytes;
    while (n_bytes && is_space(text[n_bytes - 1])) n_bytes--;
    for (; n_bytes && is_space(*text); n_bytes--) text++;

    json_t *value = NULL;
    ds4_status status = n_bytes ? exact_json_read(text, n_bytes, "value", &value, NULL) : DS4_OK;
    json_decref(value);
    if (status == DS4_ERROR_MEMORY) {
        p->failed = true;
    } else if (!n_bytes) {
        emit_string(p, DS4_EVENT_ARGUMENTS, "null");
    } else if (!status) {
        emit(p, DS4_EVENT_ARGUMENTS, text, n_bytes);
    } else {
        emit_string(p, DS4_EVENT_ARGUMENTS, "\"");
        string_bytes(p, text, n_bytes);
        string_end(p);
    }
    buffer_clear(&p->held);
    p->state = STATE_TAG;
}

static bool take_json(ds4_parser *p, char byte) {
    size_t found = 0;
    switch (scan(p, &p->family->end_parameter, 1, byte, &found)) {
    case SCAN_PLAIN: hold(p, &byte, 1); break;
    case SCAN_HELD: break;
    case SCAN_BROKEN:
        hold(p, p->partial, p->n_partial);
        p->n_partial = 0;
        return false;
    case SCAN_MARK: json_value(p); return true;
    }
    if (p->held.n_bytes > JSON_VALUE_MAX_BYTES) invalid(p, "a value of more than 16 MiB that is not a string");
    return true;
}

/* ---- tags ---------------------------------------------------------------------------------------- */

static void begin_call(ds4_parser *p, dsml_open_tag tag) {
    name_text name = read_name(tag.name);
    p->parameters = json_object();
    if (name.failed || !p->parameters) {
        p->failed = true;
    } else {
        p->in_call = true;
        buffer_clear(&p->held);
        send_event(p, DS4_EVENT_CALL_START, p->n_calls, name.text.data, name.text.n_bytes);
    }
    ds4_buffer_deinit(&name.text);
}

static void begin_parameter(ds4_parser *p, dsml_open_tag tag) {
    name_text name = read_name(tag.name);
    if (name.failed) {
        p->failed = true;
    } else if (json_object_get(p->parameters, name.text.data)) {
        invalid(p, "a parameter for the second time");
    } else {
        emit_string(p, DS4_EVENT_ARGUMENTS, json_object_size(p->parameters) ? ", \"" : "{\"");
        string_bytes(p, name.text.data, name.text.n_bytes);
        if (json_object_set_new(p->parameters, name.text.data, json_true())) p->failed = true;
        bool is_json = dsml_attribute_is(tag.string, "false");
        emit_string(p, DS4_EVENT_ARGUMENTS, is_json ? "\": " : "\": \"");
        buffer_clear(&p->held);
        p->state = is_json ? STATE_JSON : STATE_STRING;
    }
    ds4_buffer_deinit(&name.text);
}

static void complete_call(ds4_parser *p) {
    emit_string(p, DS4_EVENT_ARGUMENTS, json_object_size(p->parameters) ? "}" : "{}");
    send_event(p, DS4_EVENT_CALL_END, p->n_calls, NULL, 0);
    end_call(p);
    p->n_calls++;
    buffer_clear(&p->held);
}

static void take_tag_in_block(ds4_parser *p, const char *text, size_t n_bytes) {
    dsml_open_tag tag;
    if (dsml_read_open_tag(text, n_bytes, p->family->prefix, "invoke", &tag) && tag.name.n_bytes && !tag.string.bytes) {
        begin_call(p, tag);
    } else if (dsml_attribute_is((dsml_attribute){text, n_bytes}, p->family->end_calls) && p->n_calls) {
        buffer_clear(&p->held);
        p->state = STATE_AFTER;
    } else {
        invalid(p, p->n_calls ? "expected a call or the end of the block" : "expected a call");
    }
}

static void take_tag_in_call(ds4_parser *p, const char *text, size_t n_bytes) {
    dsml_open_tag tag;
    if (dsml_attribute_is((dsml_attribute){text, n_bytes}, p->family->end_invoke))
        complete_call(p);
    else if (dsml_read_open_tag(text, n_bytes, p->family->prefix, "parameter", &tag) &&
             (!tag.string.bytes || dsml_attribute_is(tag.string, "true") || dsml_attribute_is(tag.string, "false")))
        begin_parameter(p, tag);
    else
        invalid(p, "expected a parameter or the end of the call");
}

static bool take_tag(ds4_parser *p, char byte) {
    if (!p->in_tag) p->tag_start = p->held.n_bytes;
    hold(p, &byte, 1);
    if (p->failed) return true;
    if (!p->in_tag) {
        if (byte == '<')
            p->in_tag = true;
        else if (is_space(byte))
            p->tag_start = p->held.n_bytes;
        else
            invalid(p, "expected a tag");
        return true;
    }
    size_t n_bytes = p->held.n_bytes - p->tag_start;
    if ((unsigned char)byte < 0x20 || n_bytes > TAG_MAX_BYTES) {
        invalid(p, "expected a tag of one line");
    } else if (byte == '"') {
        p->in_quotes = !p->in_quotes;
    } else if (byte == '>' && !p->in_quotes) {
        p->in_tag = false;
        if (p->in_call)
            take_tag_in_call(p, p->held.data + p->tag_start, n_bytes);
        else
            take_tag_in_block(p, p->held.data + p->tag_start, n_bytes);
    }
    return true;
}

static bool take_after(ds4_parser *p, char byte) {
    hold(p, &byte, 1);
    if (is_space(byte)) return true;
    release_held(p, DS4_EVENT_TEXT);
    p->state = STATE_REST;
    return true;
}

/* ---- the interface ------------------------------------------------------------------------------- */

static bool take(ds4_parser *p, char byte) {
    switch (p->state) {
    case STATE_REASONING: return take_reasoning(p, byte);
    case STATE_TEXT: return take_text(p, byte);
    case STATE_TAG: return take_tag(p, byte);
    case STATE_STRING: return take_string(p, byte);
    case STATE_JSON: return take_json(p, byte);
    case STATE_AFTER: return take_after(p, byte);
    case STATE_REST: emit(p, DS4_EVENT_TEXT, &byte, 1); break;
    case STATE_FINISHED: break;
    }
    return true;
}

ds4_status ds4_parser_new(bool thinking, ds4_event_sink *sink, void *context, ds4_parser **parser, ds4_error *error) {
    if (!sink) return error_set(error, DS4_ERROR_ARGUMENT, "parser: no event sink");
    ds4_parser *p = array_new(1, sizeof *p);
    if (!p) return error_memory(error, "parser", sizeof *p);
    p->sink = sink;
    p->context = context;
    p->state = thinking ? STATE_REASONING : STATE_TEXT;
    p->at_start = true;
    p->at_line_start = true;
    *parser = p;
    return DS4_OK;
}

/* A parser that once lacked memory has lost its place and can only be freed. */
static ds4_status parser_status(const ds4_parser *p, ds4_error *error) {
    return p->failed ? error_memory(error, "parser", p->held.n_bytes) : DS4_OK;
}

ds4_status ds4_parser_feed(ds4_parser *p, const char *bytes, size_t n_bytes, ds4_error *error) {
    if (p->state == STATE_FINISHED) return error_set(error, DS4_ERROR_ARGUMENT, "parser: fed after the end");
    for (size_t i = 0; i < n_bytes && !p->failed;)
        if (take(p, bytes[i])) i++;
    flush(p);
    return parser_status(p, error);
}

ds4_status ds4_parser_finish(ds4_parser *p, ds4_error *error) {
    switch (p->state) {
    case STATE_REASONING: release_partial(p, DS4_EVENT_REASONING); break;
    case STATE_TEXT:
        release_held(p, DS4_EVENT_TEXT);
        release_partial(p, DS4_EVENT_TEXT);
        break;
    case STATE_TAG:
    case STATE_STRING:
    case STATE_JSON: invalid(p, "the answer ends inside the block"); break;
    case STATE_AFTER:
    case STATE_REST:
    case STATE_FINISHED: break;
    }
    flush(p);
    p->state = STATE_FINISHED;
    return parser_status(p, error);
}

ds4_parser_place ds4_parser_where(const ds4_parser *p) {
    switch (p->state) {
    case STATE_REASONING: return DS4_PLACE_REASONING;
    case STATE_TEXT: return p->n_partial >= strlen("<" TOKEN_DSML) ? DS4_PLACE_STRUCTURE : DS4_PLACE_TEXT;
    case STATE_TAG: return DS4_PLACE_STRUCTURE;
    case STATE_STRING:
    case STATE_JSON: {
        bool in_closing_tag =
            p->n_partial >= 2 && p->partial[0] == '<'; /* not an escaped one, which is part of the value */
        return in_closing_tag ? DS4_PLACE_STRUCTURE : DS4_PLACE_ARGUMENT;
    }
    case STATE_AFTER: return DS4_PLACE_AFTER_CALLS;
    case STATE_REST:
    case STATE_FINISHED: break;
    }
    return DS4_PLACE_TEXT;
}

void ds4_parser_free(ds4_parser *p) {
    if (!p) return;
    json_decref(p->parameters);
    ds4_buffer_deinit(&p->held);
    free(p);
}
