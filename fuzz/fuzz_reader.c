/*
 * Tokens of an answer to events: events come in order and in whole characters, what the client is told does not depend
 * on how the text was cut into tokens, a complete call has arguments that are JSON, and no stop string gets through.
 * The first bytes choose options and stop strings, which are pieces of the text itself; the least bytes of the rest
 * stand for tags. Run from the root of the repository.
 */
#include "base/memory.h"
#include "base/utf8.h"
#include "server/answer_reader.h"
#include "server/api.h"
#include "text/characters.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define DSML "｜DSML｜"
enum { N_HEAD = 8, MAX_TEXT_BYTES = 4096 };

static ds4_model *model;
static const ds4_tokenizer *tokenizer;

#define OPEN "<" DSML "tool_calls>\n<" DSML "invoke name=\"f\">\n"
#define CLOSE "</" DSML "invoke>\n</" DSML "tool_calls>"
#define PARAMETER(NAME, IS_STRING, VALUE) \
    "<" DSML "parameter name=\"" NAME "\" string=\"" IS_STRING "\">" VALUE "</" DSML "parameter>\n"

static const char *const tag[] = {
    "",
    "<" DSML "tool_calls>\n",
    "</" DSML "tool_calls>",
    "<" DSML "invoke name=\"f\">\n",
    "</" DSML "invoke>\n",
    "<" DSML "parameter name=\"a\" string=\"true\">",
    "<" DSML "parameter name=\"b\" string=\"false\">",
    "</" DSML "parameter>\n",
    "</think>",
    "<think>",
    "\n" /* itself */,
    "\n\n",
    "{\"a\":1}",
    "<" DSML,
    "</" DSML,
    DSML,
    "invoke name=\"",
    OPEN,
    CLOSE,
    PARAMETER("a", "true", "x"),
    PARAMETER("b", "false", "{\"c\": 1}"),
    "</" DSML "invoke>\n<" DSML "invoke name=\"g\">\n",
    OPEN PARAMETER("a", "true", "x") CLOSE,
    "</think>\n\n" OPEN,
    "é",
};
enum { N_TAGS = sizeof tag / sizeof *tag };

static void require(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    require(!ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_TEXT, &model, NULL));
    tokenizer = ds4_model_tokenizer(model);
    return 0;
}

static bool is_text(const char *bytes, size_t n_bytes) {
    for (size_t at = 0, length; at < n_bytes; at += length) {
        uint32_t code_point;
        length = utf8_decode(bytes + at, n_bytes - at, &code_point);
        if (!length) return false;
    }
    return true;
}

/* ---- the question -------------------------------------------------------------------------------- */

static void add_tool(request *asked, const char *name) {
    request_tool tool = {.name = strdup(name), .api_name = strdup(name), .schema = json_object()};
    require(tool.name && tool.api_name && request_add_tool(asked, tool));
    asked->has_tools = true;
}

static void add_stop(request *asked, const ds4_buffer *text, uint8_t where, uint8_t length) {
    size_t at = text->n_bytes * where / 256, n_bytes = 1 + length % 12;
    if (!length || n_bytes > text->n_bytes - at || memchr(text->data + at, '\0', n_bytes)) return;
    if (!is_text(text->data + at, n_bytes)) return;
    asked->stop[asked->n_stop] = strndup(text->data + at, n_bytes);
    require(asked->stop[asked->n_stop++] != NULL);
}

static request *make_request(const uint8_t head[N_HEAD], const ds4_buffer *text) {
    request *asked = request_new();
    require(asked != NULL);
    asked->api = &api_chat;
    asked->starts_in_reasoning = head[0] & 1;
    if (head[0] & 2) {
        add_tool(asked, "f");
        if (head[0] & 4) add_tool(asked, "g");
        asked->one_call = head[0] & 8;
        asked->choice = (tool_choice)(head[0] >> 4 & 3);
    }
    asked->raw = (head[0] & 0xC3) == 0x40;
    asked->format = head[0] & 0x80 ? FORMAT_JSON_OBJECT : FORMAT_TEXT;
    asked->thinking_budget = head[1] & 15;
    asked->stop = array_new(2, sizeof *asked->stop);
    require(asked->stop != NULL);
    add_stop(asked, text, head[2], head[3]);
    add_stop(asked, text, head[4], head[5]);
    return asked;
}

/* ---- the answer ---------------------------------------------------------------------------------- */

/* All events as one text, pieces of a stretch joined. */
typedef struct recording {
    ds4_buffer text, arguments, visible; /* visible: since the last call */
    int open;
    bool in_call, ended;
    size_t n_calls;
    json_t *calls; /* as they would be sent back */
} recording;

static bool has_stop(const request *asked, const ds4_buffer *text) {
    for (size_t s = 0; s < asked->n_stop; s++) {
        size_t length = strlen(asked->stop[s]);
        if (strstr(asked->stop[s], REPLACEMENT_CHARACTER)) continue; /* it may come from what was no character */
        for (size_t at = 0; at + length <= text->n_bytes; at++)
            if (memcmp(text->data + at, asked->stop[s], length) == 0) return true;
    }
    return false;
}

static void begin_call(recording *record, const reply_event *event) {
    require(!record->in_call && event->call == record->n_calls && event->n_bytes && strlen(event->id) > 5);
    record->in_call = true;
    buffer_clear(&record->arguments);
    buffer_clear(&record->visible);
    json_t *name = exact_json_string(event->bytes, event->n_bytes);
    json_t *call = json_pack("{s:s,s:s,s:{s:o}}", "type", "function", "id", event->id, "function", "name", name);
    require(json_array_append_new(record->calls, call) == 0);
}

static void end_call(recording *record, bool broken) {
    json_t *value = NULL, *function = json_object_get(json_array_get(record->calls, record->n_calls), "function");
    const ds4_buffer *arguments = &record->arguments;
    if (!broken) {
        require(!exact_json_read(arguments->data, arguments->n_bytes, "arguments", &value, NULL));
        require(json_is_object(value));
        json_decref(value);
        require(!json_object_set_new(function, "arguments", exact_json_string(arguments->data, arguments->n_bytes)));
    }
    record->in_call = false;
    record->n_calls++;
}

static void record_call(recording *record, const reply_event *event) {
    if (event->kind == REPLY_CALL_START) {
        begin_call(record, event);
        return;
    }
    require(record->in_call && event->call == record->n_calls);
    if (event->kind == REPLY_CALL_END)
        end_call(record, event->broken);
    else
        require(buffer_append(&record->arguments, event->bytes, event->n_bytes));
}

static void record_end(recording *record, const request *asked, const reply_event *event) {
    char finish = (char)('0' + (int)event->finish);
    require(!record->in_call);
    require((event->finish == FINISH_STOP_SEQUENCE) == (event->stop_sequence != NULL));
    require(event->finish != FINISH_CALLS || record->n_calls);
    require(event->finish != FINISH_STOP || !record->n_calls);
    bool is_ours = !event->stop_sequence;
    for (size_t i = 0; i < asked->n_stop; i++) is_ours |= event->stop_sequence == asked->stop[i];
    require(is_ours);
    require(buffer_append(&record->text, &finish, 1));
    if (event->stop_sequence) require(buffer_append_string(&record->text, event->stop_sequence));
    if (event->problem) require(is_text(event->problem, strlen(event->problem)));
    record->ended = true;
}

static void record_event(recording *record, const request *asked, const reply_event *event) {
    bool is_piece = event->kind == REPLY_REASONING || event->kind == REPLY_TEXT || event->kind == REPLY_ARGUMENTS;
    require(!record->ended && event->choice == 0 && is_text(event->bytes, event->n_bytes));
    require(!is_piece || event->n_bytes);
    if (!is_piece || record->open != (int)event->kind)
        require(buffer_append(&record->text, &"SRTCAEZ"[event->kind], 1));
    record->open = is_piece ? (int)event->kind : -1;
    if (event->n_bytes) require(buffer_append(&record->text, event->bytes, event->n_bytes));
    switch (event->kind) {
    case REPLY_REASONING: break;
    case REPLY_TEXT:
        require(!record->in_call && buffer_append(&record->visible, event->bytes, event->n_bytes));
        require(!has_stop(asked, &record->visible));
        break;
    case REPLY_CALL_START:
    case REPLY_ARGUMENTS:
    case REPLY_CALL_END: record_call(record, event); break;
    case REPLY_CHOICE_END: record_end(record, asked, event); break;
    case REPLY_STARTED:
    case REPLY_END:
    case REPLY_FAILED: abort();
    }
}

static void drain(reply *to, recording *record) {
    const reply_event *event;
    while (reply_take(to, 0, &event)) record_event(record, reply_request(to), event);
}

/* Tokens of the text. seed 0: as they are; else of pieces of it. */
static void cut_into_tokens(const ds4_buffer *text, uint32_t seed, ds4_tokens *tokens) {
    for (size_t at = 0; at < text->n_bytes;) {
        size_t piece = text->n_bytes - at;
        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            size_t wanted = 1 + (seed >> 28);
            if (wanted < piece) piece = wanted;
        }
        require(!ds4_tokenizer_encode(tokenizer, text->data + at, piece, !seed || seed >> 31, tokens, NULL));
        at += piece;
    }
}

static void check_closing(const answer_reader *reader) {
    ds4_tokens closing = {0};
    bool closes = answer_reader_closing(reader, &closing);
    require(closes == (closing.n > 0));
    if (closes) require(closing.id[closing.n - 1] == ds4_tokenizer_eos(tokenizer));
    ds4_tokens_deinit(&closing);
}

/* Calls that are sent back are written as the model wrote them, which must be the same calls. */
typedef struct comparison {
    json_t *calls;
    size_t n_calls;
    ds4_buffer arguments;
} comparison;

static void compare_call(void *context, const ds4_event *event) {
    comparison *compared = context;
    json_t *function = json_object_get(json_array_get(compared->calls, compared->n_calls), "function");
    size_t n_bytes;
    const char *expected = exact_json_text(json_object_get(function, "name"), &n_bytes);
    require(event->kind != DS4_EVENT_INVALID && event->kind != DS4_EVENT_REASONING);
    if (event->kind == DS4_EVENT_CALL_START) {
        require(expected && n_bytes == event->n_bytes && memcmp(expected, event->bytes, n_bytes) == 0);
        buffer_clear(&compared->arguments);
    }
    if (event->kind == DS4_EVENT_ARGUMENTS) require(buffer_append(&compared->arguments, event->bytes, event->n_bytes));
    if (event->kind != DS4_EVENT_CALL_END) return;
    expected = exact_json_text(json_object_get(function, "arguments"), &n_bytes);
    require(expected && n_bytes == compared->arguments.n_bytes);
    require(memcmp(expected, compared->arguments.data, n_bytes) == 0);
    compared->n_calls++;
}

static void check_memory(call_memory *memory, const recording *record) {
    ds4_prompt block = {0};
    comparison compared = {.calls = record->calls};
    call_lookup lookup = {.memory = memory};
    if (record->n_calls && call_memory_put(&lookup, record->calls, &block)) {
        ds4_parser *parser;
        require(!ds4_parser_new(false, compare_call, &compared, &parser, NULL));
        require(!ds4_parser_feed(parser, block.text.data, block.text.n_bytes, NULL));
        require(!ds4_parser_finish(parser, NULL));
        require(compared.n_calls == record->n_calls);
        ds4_parser_free(parser);
    }
    ds4_buffer_deinit(&compared.arguments);
    ds4_prompt_deinit(&block);
}

/* Gives tokens until the reader has enough; what it wants first comes first. */
static reader_verdict give(answer_reader *reader, const ds4_tokens *tokens, ds4_tokens *forced, reply *to,
                           recording *record) {
    reader_verdict verdict = READER_GOES_ON;
    size_t n_forced = 0;
    for (size_t i = 0; i < tokens->n && verdict != READER_ENDED;) {
        int32_t id = n_forced < forced->n ? forced->id[n_forced++] : tokens->id[i++];
        verdict = answer_reader_add(reader, id, NULL, forced, NULL);
        require(verdict != READER_FAILED);
        (void)answer_reader_wants_greedy(reader);
        drain(to, record);
    }
    return verdict;
}

static void record_answer(const uint8_t head[N_HEAD], const ds4_buffer *text, uint32_t seed, recording *record) {
    const uint64_t id_seed = 1;
    request *asked = make_request(head, text);
    ids *names;
    call_memory *memory;
    reply *to;
    answer_reader *reader;
    ds4_tokens tokens = {0}, forced = {0};
    *record = (recording){.open = -1, .calls = json_array()};
    require(!ids_new(&id_seed, &names, NULL));
    require(!call_memory_new(CALL_MEMORY_BYTES, &memory, NULL));
    require(!reply_new(asked, NULL, NULL, &to, NULL));
    require(!answer_reader_new(asked, 0, tokenizer, to, names, &reader, NULL));
    cut_into_tokens(text, seed, &tokens);
    require(!answer_reader_begin(reader, &forced, NULL));
    reader_verdict verdict = give(reader, &tokens, &forced, to, record);
    finish_reason why = verdict == READER_ENDED || head[6] & 1 ? FINISH_STOP : FINISH_LENGTH;
    require(!answer_reader_end(reader, why, memory, NULL));
    drain(to, record);
    require(record->ended);
    check_closing(reader);
    check_memory(memory, record);
    const reply_usage *usage = answer_reader_usage(reader);
    require(usage->answer <= tokens.n + forced.n && usage->reasoning <= usage->answer);
    answer_reader_free(reader);
    reply_release(to);
    reply_release(to);
    call_memory_free(memory);
    ids_free(names);
    ds4_tokens_deinit(&tokens);
    ds4_tokens_deinit(&forced);
}

static void recording_deinit(recording *record) {
    ds4_buffer_deinit(&record->text);
    ds4_buffer_deinit(&record->arguments);
    ds4_buffer_deinit(&record->visible);
    json_decref(record->calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    if (n_bytes <= N_HEAD) return 0;
    ds4_buffer text = {0};
    for (size_t i = N_HEAD; i < n_bytes && text.n_bytes < MAX_TEXT_BYTES; i++) {
        if (data[i] && data[i] < N_TAGS)
            require(buffer_append_string(&text, tag[data[i]]));
        else
            require(buffer_append(&text, (const char *)&data[i], 1));
    }
    recording whole, cut;
    record_answer(data, &text, 0, &whole);
    record_answer(data, &text, 1u + data[7], &cut);
    /* where tokens are counted or put in between, it does matter how they are cut */
    bool counts = data[1] & 15, forces = data[0] & 2 && data[0] & 0x20;
    if (!counts && !forces) {
        require(whole.text.n_bytes == cut.text.n_bytes);
        require(memcmp(whole.text.data, cut.text.data, whole.text.n_bytes) == 0);
    }
    recording_deinit(&whole);
    recording_deinit(&cut);
    ds4_buffer_deinit(&text);
    return 0;
}
