#include "ds4.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- recording ----------------------------------------------------------------------------------- */

/* Events as one text: R(..) reasoning, T(..) text, C0(..) start of call 0, A0(..) arguments, E0 end, I invalid.
 * Fragments that follow each other are joined. */
typedef struct recording {
    char text[1 << 14];
    size_t n_bytes;
    int open; /* kind of the fragment that may go on, -1 for none */
    char problem[sizeof(ds4_error)];
} recording;

static void record_bytes(recording *record, const char *bytes, size_t n_bytes) {
    assert_true(record->n_bytes + n_bytes < sizeof record->text);
    if (n_bytes) memcpy(record->text + record->n_bytes, bytes, n_bytes);
    record->n_bytes += n_bytes;
    record->text[record->n_bytes] = '\0';
}

static void record_event(void *context, const ds4_event *event) {
    recording *record = context;
    bool stream = event->kind <= DS4_EVENT_TEXT || event->kind == DS4_EVENT_ARGUMENTS;
    if (stream) assert_true(event->n_bytes > 0);
    if (!stream || record->open != (int)event->kind) {
        if (record->open >= 0) record_bytes(record, ")", 1);
        record->open = stream ? (int)event->kind : -1;
        char start[32];
        int n = event->kind == DS4_EVENT_REASONING || event->kind == DS4_EVENT_TEXT || event->kind == DS4_EVENT_INVALID
                    ? snprintf(start, sizeof start, "%c", "RTCAEI"[event->kind])
                    : snprintf(start, sizeof start, "%c%zu", "RTCAEI"[event->kind], event -> call);
        record_bytes(record, start, (size_t)n);
        if (stream) record_bytes(record, "(", 1);
    }
    if (stream) {
        record_bytes(record, event->bytes, event->n_bytes);
    } else if (event->kind == DS4_EVENT_CALL_START) {
        record_bytes(record, "(", 1);
        record_bytes(record, event->bytes, event->n_bytes);
        record_bytes(record, ")", 1);
    } else if (event->kind == DS4_EVENT_INVALID) {
        assert_true(event->n_bytes > 0 && event->n_bytes < sizeof record->problem);
        memcpy(record->problem, event->bytes, event->n_bytes);
        record->problem[event->n_bytes] = '\0';
    }
}

/* Parses text cut at two places (0 <= first <= second <= n_bytes). */
static void parse_cut(bool thinking, const char *text, size_t n_bytes, size_t first, size_t second, recording *record) {
    record->n_bytes = 0;
    record->text[0] = '\0';
    record->open = -1;
    record->problem[0] = '\0';
    ds4_parser *parser;
    ds4_error error;
    assert_int_equal(ds4_parser_new(thinking, record_event, record, &parser, &error), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, text, first, &error), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, text + first, second - first, &error), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, text + second, n_bytes - second, &error), DS4_OK);
    assert_int_equal(ds4_parser_finish(parser, &error), DS4_OK);
    ds4_parser_free(parser);
    if (record->open >= 0) record_bytes(record, ")", 1);
}

static void parse(bool thinking, const char *text, recording *record) {
    parse_cut(thinking, text, strlen(text), strlen(text), strlen(text), record);
}

/* ---- samples ------------------------------------------------------------------------------------- */

#define CALLS "<｜DSML｜tool_calls>\n"
#define END_CALLS "</｜DSML｜tool_calls>"
#define INVOKE(NAME) "<｜DSML｜invoke name=\"" NAME "\">\n"
#define END_INVOKE "</｜DSML｜invoke>\n"
#define STRING(KEY, VALUE) "<｜DSML｜parameter name=\"" KEY "\" string=\"true\">" VALUE "</｜DSML｜parameter>\n"
#define JSON(KEY, VALUE) "<｜DSML｜parameter name=\"" KEY "\" string=\"false\">" VALUE "</｜DSML｜parameter>\n"
/* one call of f with these parameters, and what comes of it */
#define CALL(PARAMETERS) CALLS INVOKE("f") PARAMETERS END_INVOKE END_CALLS
#define CALLED(ARGUMENTS) "C0(f)A0(" ARGUMENTS ")E0"

typedef struct sample {
    bool thinking;
    const char *text, *events;
} sample;

static const sample samples[] = {
    /* reasoning and text */
    {false, "", ""},
    {true, "", ""},
    {false, "Hello, world", "T(Hello, world)"},
    {true, "hm</think>Yes.", "R(hm)T(Yes.)"},
    {true, "</think>Yes.", "T(Yes.)"},
    {true, "<think>hm</think>Yes.", "R(hm)T(Yes.)"},
    {true, "<think></think>", ""},
    {true, "<thin</think>x", "R(<thin)T(x)"},
    {true, "a<think>b</think>c", "R(a<think>b)T(c)"},
    {true, "<think><think>b</think>c", "R(<think>b)T(c)"},
    {true, "never closed </thin", "R(never closed </thin)"},
    {true, "a</think>b</think>c", "R(a)T(b</think>c)"},
    {true, "a<</think>b", "R(a<)T(b)"},
    {true, "a</</think>b", "R(a</)T(b)"},
    {true, "a</think>\n\nb\n\n", "R(a)T(\n\nb\n\n)"},
    {true, " \n</think> ", "R( \n)T( )"},
    {false, "a<think>b</think>c", "T(a<think>b</think>c)"},
    {false, "1 < 2 <｜DSML｜tool_cal", "T(1 < 2 <｜DSML｜tool_cal)"},
    {false, "x \t\r\n ", "T(x \t\r\n )"},
    {false, "<<｜DSML｜tool<DSML", "T(<<｜DSML｜tool<DSML)"},
    {true, CALLS "</think>a", "R(" CALLS ")T(a)"},

    /* calls */
    {false, CALL(STRING("city", "Rome")), CALLED("{\"city\": \"Rome\"}")},
    {false, "Let me see.\n\n" CALL(STRING("a", "b")), "T(Let me see.)" CALLED("{\"a\": \"b\"}")},
    {true, "hm</think>\n\n" CALL(STRING("a", "b")), "R(hm)" CALLED("{\"a\": \"b\"}")},
    {false, "a\n\nb \n\n" CALL(STRING("a", "")) "\n ", "T(a\n\nb)" CALLED("{\"a\": \"\"}")},
    {false, "inline" CALL(""), "T(inline)" CALLED("{}")},
    {false, CALL("") "\n\nDone.", CALLED("{}") "T(\n\nDone.)"},
    {false, CALL("") CALL(""), CALLED("{}") "T(" CALL("") ")"},
    {false, CALLS INVOKE("f") STRING("a", "1") END_INVOKE INVOKE("g") END_INVOKE END_CALLS,
     "C0(f)A0({\"a\": \"1\"})E0C1(g)A1({})E1"},
    {false, CALL(STRING("a", "1") JSON("b", "2") STRING("c", "3")), CALLED("{\"a\": \"1\", \"b\": 2, \"c\": \"3\"}")},
    {false, CALL("<｜DSML｜parameter name=\"a\">x</｜DSML｜parameter>"), CALLED("{\"a\": \"x\"}")},
    {false, CALL("<｜DSML｜parameter  string=\"false\"  name=\"a\" >1</｜DSML｜parameter>"), CALLED("{\"a\": 1}")},
    {false, CALL("<｜DSML｜parameter name=\"a>b &amp; c\">x</｜DSML｜parameter>"), CALLED("{\"a>b &amp; c\": \"x\"}")},
    {false, CALL(STRING("a\\b", "x")), CALLED("{\"a\\\\b\": \"x\"}")},
    {false, CALL(STRING("\xff", "x")), CALLED("{\"\xef\xbf\xbd\": \"x\"}")},
    {false, CALLS INVOKE("f\xe2") END_INVOKE END_CALLS, "C0(f\xef\xbf\xbd)A0({})E0"},

    /* string values */
    {false, CALL(STRING("a", "line 1\nline 2\t\"q\" \\ \r\b\f\x01\x7f")),
     CALLED("{\"a\": \"line 1\\nline 2\\t\\\"q\\\" \\\\ \\r\\b\\f\\u0001\x7f\"}")},
    {false, CALL(STRING("a", "  spaces stay \n")), CALLED("{\"a\": \"  spaces stay \\n\"}")},
    {false, CALL(STRING("a", "\n\n")), CALLED("{\"a\": \"\\n\\n\"}")},
    {false, CALL(STRING("a", "&amp; &lt; &lt;/x &lt;/｜DSML｜parameter> &lt;/｜DSML｜param")),
     CALLED("{\"a\": \"&amp; &lt; &lt;/x </｜DSML｜parameter> &lt;/｜DSML｜param\"}")},
    {false, CALL(STRING("a", "<b></b></｜DSML｜invoke></｜DSML｜<<&&")),
     CALLED("{\"a\": \"<b></b></｜DSML｜invoke></｜DSML｜<<&&\"}")},
    {false, CALL(STRING("a", "<｜DSML｜parameter name=\\\"b\\\">")),
     CALLED("{\"a\": \"<｜DSML｜parameter name=\\\\\\\"b\\\\\\\">\"}")},
    {false, CALL(STRING("a", "ä€😀｜")), CALLED("{\"a\": \"ä€😀｜\"}")},
    {false, CALL(STRING("a", "\xff|\xc3|\xe2\x82|\xf0\x9f\x98|\xed\xa0\x80|\xc0\x80|\xf5\x80")),
     CALLED("{\"a\": \"�|�|�|�|���|��|��\"}")},
    {false, CALL(STRING("a", "\xe2\x82\xc3\xa4\xf0\x9f")), CALLED("{\"a\": \"�ä�\"}")},
    {false, CALL(STRING("a", "</think><think>")), CALLED("{\"a\": \"</think><think>\"}")},

    /* values of JSON */
    {false, CALL(JSON("a", "12")), CALLED("{\"a\": 12}")},
    {false, CALL(JSON("a", " -1.50e3\n")), CALLED("{\"a\": -1.50e3}")},
    {false, CALL(JSON("a", "123456789012345678901234567890")), CALLED("{\"a\": 123456789012345678901234567890}")},
    {false, CALL(JSON("a", "true") JSON("b", "false") JSON("c", "null")),
     CALLED("{\"a\": true, \"b\": false, \"c\": null}")},
    {false, CALL(JSON("a", "[1, {\"k\": \"ü </x> \\n\"}]")), CALLED("{\"a\": [1, {\"k\": \"ü </x> \\n\"}]}")},
    {false, CALL(JSON("a", "{\n  \"k\": []\n}")), CALLED("{\"a\": {\n  \"k\": []\n}}")},
    {false, CALL(JSON("a", "\"text\"")), CALLED("{\"a\": \"text\"}")},
    {false, CALL(JSON("a", "")), CALLED("{\"a\": null}")},
    {false, CALL(JSON("a", " \n ")), CALLED("{\"a\": null}")},
    {false, CALL(JSON("a", "Rome")), CALLED("{\"a\": \"Rome\"}")},
    {false, CALL(JSON("a", " [1, \n")), CALLED("{\"a\": \"[1,\"}")},
    {false, CALL(JSON("a", "1 2")), CALLED("{\"a\": \"1 2\"}")},
    {false, CALL(JSON("a", "\"\xff\"")), CALLED("{\"a\": \"\\\"�\\\"\"}")},

    /* other spellings */
    {false,
     "x\n\n<DSML｜tool_calls>\n<DSML｜invoke name=\"f\">\n<DSML｜parameter name=\"a\" string=\"true\">"
     "</｜DSML｜parameter>&lt;/DSML｜parameter></DSML｜parameter>\n</DSML｜invoke>\n</DSML｜tool_calls>",
     "T(x)" CALLED("{\"a\": \"</｜DSML｜parameter></DSML｜parameter>\"}")},
    {false,
     "x\n<tool_calls><invoke name=\"f\"><parameter name=\"a\" string=\"false\">1</parameter></invoke></tool_calls>",
     "T(x)" CALLED("{\"a\": 1}")},
    {true, "r</think><tool_calls><invoke name=\"f\"></invoke></tool_calls>", "R(r)" CALLED("{}")},
    {false, "Use <tool_calls> in\n prose: <tool_calls>", "T(Use <tool_calls> in\n prose: <tool_calls>)"},
    {false, "a\n <tool_calls>", "T(a\n <tool_calls>)"},
    {false, "a<\n<tool_calls>\n<invoke name=\"f\"></invoke></tool_calls>", "T(a<)" CALLED("{}")},

    /* malformed and unfinished blocks */
    {false, "Use a " CALLS " block", "T(Use a)IT( " CALLS " block)"},
    {false, "a\n\n" CALLS, "T(a)IT(\n\n" CALLS ")"},
    {false, CALLS END_CALLS, "IT(" CALLS END_CALLS ")"},
    {false, CALLS "<｜DSML｜invoke nam", "IT(" CALLS "<｜DSML｜invoke nam)"},
    {false, CALLS "<｜DSML｜invoke>" CALL(""), "IT(" CALLS "<｜DSML｜invoke>" CALL("") ")"},
    {false, CALLS INVOKE(""), "IT(" CALLS INVOKE("") ")"},
    {false, CALLS "<｜DSML｜invoke name=\"a\" name=\"b\">", "IT(" CALLS "<｜DSML｜invoke name=\"a\" name=\"b\">)"},
    {false, CALLS "<｜DSML｜invoke name=\"a\" x=\"b\">", "IT(" CALLS "<｜DSML｜invoke name=\"a\" x=\"b\">)"},
    {false, CALLS "<｜DSML｜invoke name=\"a\"string=\"true\">",
     "IT(" CALLS "<｜DSML｜invoke name=\"a\"string=\"true\">)"},
    {false, CALLS "<invoke name=\"f\">", "IT(" CALLS "<invoke name=\"f\">)"},
    {false, CALLS "<DSML｜invoke name=\"f\">", "IT(" CALLS "<DSML｜invoke name=\"f\">)"},
    {false, CALLS "<｜DSML｜invoke name=\"f\nx", "IT(" CALLS "<｜DSML｜invoke name=\"f\nx)"},
    {false, CALLS INVOKE("f"), "C0(f)IT(\n)"},
    {false, CALLS INVOKE("f") STRING("a", "1") "oops " END_INVOKE, "C0(f)A0({\"a\": \"1\")IT(\noops " END_INVOKE ")"},
    {false, CALLS INVOKE("f") STRING("a", "1") STRING("a", "2"), "C0(f)A0({\"a\": \"1\")IT(\n" STRING("a", "2") ")"},
    {false, CALLS INVOKE("f") STRING("\xff", "1") STRING("\xfe", "2"),
     "C0(f)A0({\"�\": \"1\")IT(\n" STRING("\xfe", "2") ")"},
    {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\" string=\"yes\">",
     "C0(f)IT(\n<｜DSML｜parameter name=\"a\" string=\"yes\">)"},
    {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">half</｜DSML｜par",
     "C0(f)A0({\"a\": \"half)IT(</｜DSML｜par)"},
    {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">\xe2\x82", "C0(f)A0({\"a\": \")IT(\xe2\x82)"},
    {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\" string=\"false\">[1, </｜",
     "C0(f)A0({\"a\": )IT([1, </｜)"},
    {false, CALLS INVOKE("f") END_INVOKE, "C0(f)A0({})E0IT(\n)"},
    {false, CALLS INVOKE("f") END_INVOKE "x " END_CALLS, "C0(f)A0({})E0IT(\nx " END_CALLS ")"},
    {false, CALLS INVOKE("f") END_INVOKE "</tool_calls>", "C0(f)A0({})E0IT(\n</tool_calls>)"},
};

static void every_sample_gives_the_same_events_however_it_is_cut(void **state) {
    (void)state;
    static recording record;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const sample *at = &samples[i];
        size_t n = strlen(at->text);
        for (size_t first = 0; first <= n; first++) {
            for (size_t second = first; second <= n; second++) {
                parse_cut(at->thinking, at->text, n, first, second, &record);
                if (strcmp(record.text, at->events) == 0) continue;
                fail_msg("sample %zu cut at %zu and %zu:\n%s\ngave\n%s\nexpected\n%s", i, first, second, at->text,
                         record.text, at->events);
            }
        }
    }
}

static void arguments_of_complete_calls_are_json(void **state) {
    (void)state;
    static recording record;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        parse(samples[i].thinking, samples[i].text, &record);
        const char *start = strstr(record.text, "A0("), *end = strstr(record.text, ")E0");
        if (!start || !end || strstr(record.text, "123456789012345678901234567890")) continue;
        json_error_t error;
        json_t *arguments = json_loadb(start + 3, (size_t)(end - start - 3), 0, &error);
        if (!arguments) fail_msg("sample %zu: %s: %s", i, record.text, error.text);
        json_decref(arguments);
    }
}

static void zero_bytes_are_kept(void **state) {
    (void)state;
    static recording record;
    static const char text[] = "a\0b" CALLS INVOKE("f") STRING("a", "x\0y");
    parse_cut(false, text, sizeof text - 1, 1, 3, &record);
    static const char events[] = "T(a\0b)C0(f)A0({\"a\": \"x\\u0000y\")IT(\n)";
    assert_int_equal(record.n_bytes, sizeof events - 1);
    assert_memory_equal(record.text, events, sizeof events - 1);
}

static void invalid_events_say_what_is_wrong(void **state) {
    (void)state;
    static recording record;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {CALLS "what?", "tool calls: expected a tag, found \"w\""},
        {CALLS END_CALLS, "tool calls: expected a call, found \"</｜DSML｜tool_calls>\""},
        {CALLS INVOKE("f") END_INVOKE "<b>", "tool calls: expected a call or the end of the block, found \"<b>\""},
        {CALLS INVOKE("f") "<b>", "tool calls: expected a parameter or the end of the call, found \"<b>\""},
        {CALLS "<b\n>", "tool calls: expected a tag of one line, found \"<b?\""},
        {CALLS INVOKE("f") STRING("a", "") "<｜DSML｜parameter name=\"a\">",
         "tool calls: a parameter for the second time, found \"<｜DSML｜parameter name=\"a\">\""},
        {CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">", "tool calls: the answer ends inside the block"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(false, cases[i].text, &record);
        assert_string_equal(record.problem, cases[i].problem);
    }
}

/* ---- streaming ----------------------------------------------------------------------------------- */

static void only_what_may_be_a_mark_is_held_back(void **state) {
    (void)state;
    static const struct {
        bool thinking;
        const char *text, *events;
    } cases[] = {
        {true, "think", "R(think"},
        {true, "a</thin", "R(a"},
        {true, "a</thinx", "R(a</thinx"},
        {false, "word", "T(word"},
        {false, "word \n", "T(word"},
        {false, "word \n<", "T(word"},
        {false, "word \n<x", "T(word \n<x"},
        {false, CALLS INVOKE("f"), "C0(f)"},
        {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">", "C0(f)A0({\"a\": \""},
        {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">text & more <", "C0(f)A0({\"a\": \"text & more "},
        {false, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\" string=\"false\">[1, 2]", "C0(f)A0({\"a\": "},
    };
    static recording record;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&record, 0, sizeof record);
        record.open = -1;
        ds4_parser *parser;
        assert_int_equal(ds4_parser_new(cases[i].thinking, record_event, &record, &parser, NULL), DS4_OK);
        assert_int_equal(ds4_parser_feed(parser, cases[i].text, strlen(cases[i].text), NULL), DS4_OK);
        assert_string_equal(record.text, cases[i].events);
        ds4_parser_free(parser);
    }
}

static void count_bytes(void *context, const ds4_event *event) {
    size_t *count = context;
    count[event->kind] += event->n_bytes;
}

static void feed_repeated(ds4_parser *parser, const char *text, size_t times) {
    for (size_t i = 0; i < times; i++) assert_int_equal(ds4_parser_feed(parser, text, strlen(text), NULL), DS4_OK);
}

/* 16 MiB is the limit of a value of JSON; string values have none. */
static void values_are_held_back_up_to_a_limit(void **state) {
    (void)state;
    static const char spaces[] = "                                                                "
                                 "                                                                ";
    size_t count[6] = {0};
    ds4_parser *parser;
    assert_int_equal(ds4_parser_new(false, count_bytes, count, &parser, NULL), DS4_OK);
    feed_repeated(parser, CALLS INVOKE("f") "<｜DSML｜parameter name=\"a\">", 1);
    feed_repeated(parser, spaces, (17 << 20) / strlen(spaces));
    assert_int_equal(count[DS4_EVENT_INVALID], 0);
    assert_int_equal(count[DS4_EVENT_ARGUMENTS], (17 << 20) + strlen("{\"a\": \""));
    feed_repeated(parser,
                  "</｜DSML｜parameter>"
                  "<｜DSML｜parameter name=\"b\" string=\"false\">",
                  1);
    feed_repeated(parser, spaces, (17 << 20) / strlen(spaces));
    assert_true(count[DS4_EVENT_INVALID] > 0);
    assert_int_equal(ds4_parser_finish(parser, NULL), DS4_OK);
    assert_int_equal(count[DS4_EVENT_TEXT], 17 << 20);
    ds4_parser_free(parser);
}

static void a_tag_without_end_is_given_up(void **state) {
    (void)state;
    size_t count[6] = {0};
    ds4_parser *parser;
    assert_int_equal(ds4_parser_new(false, count_bytes, count, &parser, NULL), DS4_OK);
    feed_repeated(parser, CALLS "<｜DSML｜invoke name=\"", 1);
    feed_repeated(parser, "a long name ", 10000);
    assert_true(count[DS4_EVENT_INVALID] > 0);
    ds4_parser_free(parser);
}

static void misuse_is_an_error(void **state) {
    (void)state;
    ds4_error error;
    ds4_parser *parser = NULL;
    assert_int_equal(ds4_parser_new(false, NULL, NULL, &parser, &error), DS4_ERROR_ARGUMENT);
    assert_null(parser);
    size_t count[6] = {0};
    assert_int_equal(ds4_parser_new(false, count_bytes, count, &parser, &error), DS4_OK);
    assert_int_equal(ds4_parser_finish(parser, &error), DS4_OK);
    assert_int_equal(ds4_parser_finish(parser, &error), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, "x", 1, &error), DS4_ERROR_ARGUMENT);
    ds4_parser_free(parser);
    ds4_parser_free(NULL);
}

/* ---- places -------------------------------------------------------------------------------------- */

static void ignore_event(void *context, const ds4_event *event) {
    (void)context;
    (void)event;
}

/* first bytes lead to one place, then all others to another. */
static void expect_places(bool thinking, const char *text, ds4_parser_place before, size_t first,
                          ds4_parser_place after) {
    ds4_parser *parser = NULL;
    assert_int_equal(ds4_parser_new(thinking, ignore_event, NULL, &parser, NULL), DS4_OK);
    for (size_t i = 0; text[i]; i++) {
        ds4_parser_place expected = i < first ? before : after;
        assert_int_equal(ds4_parser_feed(parser, &text[i], 1, NULL), DS4_OK);
        if (ds4_parser_where(parser) != expected)
            fail_msg("%s: behind byte %zu at place %d, expected %d", text, i, ds4_parser_where(parser), expected);
    }
    ds4_parser_free(parser);
}

static void reasoning_text_and_structure_are_places(void **state) {
    (void)state;
    expect_places(true, "a<b</think>\nHi\n\n<b>", DS4_PLACE_REASONING, strlen("a<b</think"), DS4_PLACE_TEXT);
    expect_places(false, "Hi\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n", DS4_PLACE_TEXT,
                  strlen("Hi\n\n<｜DSML｜") - 1, DS4_PLACE_STRUCTURE);
    expect_places(false, "<｜DSML｜tool", DS4_PLACE_TEXT, strlen("<｜DSML｜") - 1, DS4_PLACE_STRUCTURE);
}

static void values_are_arguments_up_to_the_second_byte_of_their_closing_tag(void **state) {
    (void)state;
    static const char *const parameter[] = {"<｜DSML｜parameter name=\"k\" string=\"true\">",
                                            "<｜DSML｜parameter name=\"k\" string=\"false\">"};
    for (int i = 0; i < 2; i++) {
        static const char value[] = "1 < 2 </ <b>&lt;/";
        ds4_parser *parser = NULL;
        assert_int_equal(ds4_parser_new(false, ignore_event, NULL, &parser, NULL), DS4_OK);
        assert_int_equal(ds4_parser_feed(parser, CALLS INVOKE("f"), strlen(CALLS INVOKE("f")), NULL), DS4_OK);
        for (const char *at = parameter[i]; *at; at++) {
            assert_int_equal(ds4_parser_where(parser), DS4_PLACE_STRUCTURE);
            assert_int_equal(ds4_parser_feed(parser, at, 1, NULL), DS4_OK);
        }
        assert_int_equal(ds4_parser_where(parser), DS4_PLACE_ARGUMENT);
        for (size_t at = 0; value[at]; at++) {
            bool may_close = at && value[at - 1] == '<' && value[at] == '/';
            assert_int_equal(ds4_parser_feed(parser, &value[at], 1, NULL), DS4_OK);
            assert_int_equal(ds4_parser_where(parser), may_close ? DS4_PLACE_STRUCTURE : DS4_PLACE_ARGUMENT);
        }
        static const char closing[] = "</｜DSML｜parameter>";
        for (size_t at = 0; closing[at]; at++) {
            assert_int_equal(ds4_parser_feed(parser, &closing[at], 1, NULL), DS4_OK);
            assert_int_equal(ds4_parser_where(parser), at ? DS4_PLACE_STRUCTURE : DS4_PLACE_ARGUMENT);
        }
        ds4_parser_free(parser);
    }
}

static void behind_the_block_and_behind_a_broken_one_are_places_too(void **state) {
    (void)state;
    static const char whole[] = CALLS INVOKE("f") END_INVOKE END_CALLS, broken[] = CALLS "oh";
    ds4_parser *parser = NULL;
    assert_int_equal(ds4_parser_new(false, ignore_event, NULL, &parser, NULL), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, whole, strlen(whole), NULL), DS4_OK);
    assert_int_equal(ds4_parser_where(parser), DS4_PLACE_AFTER_CALLS);
    assert_int_equal(ds4_parser_feed(parser, "\n", 1, NULL), DS4_OK);
    assert_int_equal(ds4_parser_where(parser), DS4_PLACE_AFTER_CALLS);
    assert_int_equal(ds4_parser_feed(parser, "x", 1, NULL), DS4_OK);
    assert_int_equal(ds4_parser_where(parser), DS4_PLACE_TEXT);
    ds4_parser_free(parser);
    assert_int_equal(ds4_parser_new(false, ignore_event, NULL, &parser, NULL), DS4_OK);
    assert_int_equal(ds4_parser_feed(parser, broken, strlen(broken), NULL), DS4_OK);
    assert_int_equal(ds4_parser_where(parser), DS4_PLACE_TEXT);
    assert_int_equal(ds4_parser_finish(parser, NULL), DS4_OK);
    assert_int_equal(ds4_parser_where(parser), DS4_PLACE_TEXT);
    ds4_parser_free(parser);
}

static void tags_quoted_in_reasoning_are_reasoning(void **state) {
    (void)state;
    expect_places(true, CALLS INVOKE("f") END_INVOKE END_CALLS, DS4_PLACE_REASONING, 1000, DS4_PLACE_TEXT);
}

/* ---- there and back ------------------------------------------------------------------------------ */

static const char *const round_trip_arguments[] = {
    "{}",
    "{\"a\": \"\"}",
    "{\"path\": \"a<b>&c\", \"old\": \"line1\\nline2 \\\"q\\\"\", \"new\": \" x \", \"all\": true}",
    "{\"n\": 1, \"r\": 1.5, \"e\": 1e-7, \"null\": null, \"list\": [1, {\"k\": \"ü\"}, []], \"o\": {}}",
    "{\"tag\": \"</｜DSML｜parameter>\", \"json\": [\"</｜DSML｜parameter>\"]}",
    "{\"tag\": \"<｜DSML｜tool_calls></think><think><｜User｜>\", \"amp\": \"&amp;&lt;\"}",
    "{\"control\": \"\\u0001\\b\\f\\r\\t\\u007f\\u2028\", \"emoji\": \"\\ud83d\\ude00\"}",
};

/* Renders an assistant message with one call and gives its part of the prompt. */
static void render_call(const char *arguments, ds4_prompt *prompt, const char **answer, size_t *n_bytes) {
    json_t *request = json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:s, s:[{s:s, s:{s:s, s:s}}]}]}", "reasoning_effort",
                                "high", "messages", "role", "user", "content", "go", "role", "assistant", "content",
                                "text", "tool_calls", "id", "x", "function", "name", "f", "arguments", arguments);
    assert_non_null(request);
    char *text = json_dumps(request, 0);
    ds4_error error = {{0}};
    if (ds4_prompt_render(text, strlen(text), prompt, &error)) fail_msg("%s", error.message);
    free(text);
    json_decref(request);
    *answer = strstr(prompt->text.data, "<think>") + strlen("<think>");
    *n_bytes = strlen(*answer) - strlen("<｜end▁of▁sentence｜>");
}

static void rendered_calls_are_parsed_back(void **state) {
    (void)state;
    static recording record;
    for (size_t i = 0; i < sizeof round_trip_arguments / sizeof *round_trip_arguments; i++) {
        ds4_prompt prompt = {0};
        const char *answer;
        size_t n_bytes;
        render_call(round_trip_arguments[i], &prompt, &answer, &n_bytes);
        parse_cut(true, answer, n_bytes, n_bytes / 3, n_bytes / 2, &record);
        ds4_prompt_deinit(&prompt);
        static const char before[] = "T(text)C0(f)A0(", after[] = ")E0";
        assert_int_equal(strncmp(record.text, before, strlen(before)), 0);
        assert_string_equal(record.text + record.n_bytes - strlen(after), after);
        json_t *wanted = json_loads(round_trip_arguments[i], 0, NULL);
        json_t *got =
            json_loadb(record.text + strlen(before), record.n_bytes - strlen(before) - strlen(after), 0, NULL);
        if (!wanted || !got || !json_equal(wanted, got)) fail_msg("%s became %s", round_trip_arguments[i], record.text);
        json_decref(wanted);
        json_decref(got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_gives_the_same_events_however_it_is_cut),
        cmocka_unit_test(arguments_of_complete_calls_are_json),
        cmocka_unit_test(zero_bytes_are_kept),
        cmocka_unit_test(invalid_events_say_what_is_wrong),
        cmocka_unit_test(only_what_may_be_a_mark_is_held_back),
        cmocka_unit_test(values_are_held_back_up_to_a_limit),
        cmocka_unit_test(a_tag_without_end_is_given_up),
        cmocka_unit_test(misuse_is_an_error),
        cmocka_unit_test(reasoning_text_and_structure_are_places),
        cmocka_unit_test(values_are_arguments_up_to_the_second_byte_of_their_closing_tag),
        cmocka_unit_test(behind_the_block_and_behind_a_broken_one_are_places_too),
        cmocka_unit_test(tags_quoted_in_reasoning_are_reasoning),
        cmocka_unit_test(rendered_calls_are_parsed_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
