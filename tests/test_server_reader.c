/*
 * From tokens to events: what a client is told of an answer, what the model has to say next whether it wants or not,
 * and what of it the next prompt will know again. Answers are written as text, in the published vocabulary.
 */
#include "test.h"

#include "base/memory.h"
#include "server/answer_reader.h"
#include "server/api.h"
#include "server/script.h"
#include "server/stop_matcher.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS "<｜DSML｜tool_calls>\n"
#define END_CALLS "</｜DSML｜tool_calls>"
#define INVOKE(NAME) "<｜DSML｜invoke name=\"" NAME "\">\n"
#define END_INVOKE "</｜DSML｜invoke>\n"
#define PARAMETER(KEY, VALUE) "<｜DSML｜parameter name=\"" KEY "\" string=\"true\">" VALUE "</｜DSML｜parameter>\n"
#define EOS "<｜end▁of▁sentence｜>"

static ds4_model *model;
static const ds4_tokenizer *tokenizer;

static int setup(void **state) {
    (void)state;
    ds4_error error;
    assert_ok(ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_TEXT, &model, &error), &error);
    tokenizer = ds4_model_tokenizer(model);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ds4_model_free(model);
    return 0;
}

static ds4_tokens encode(const char *text) {
    ds4_tokens tokens = {0};
    ds4_error error;
    assert_ok(ds4_tokenizer_encode(tokenizer, text, strlen(text), true, &tokens, &error), &error);
    return tokens;
}

static void assert_tokens_are(const ds4_tokens *tokens, const char *expected) {
    ds4_buffer text = {0};
    ds4_error error;
    assert_true(buffer_append(&text, "", 0));
    assert_ok(ds4_tokenizer_decode(tokenizer, tokens->id, tokens->n, &text, &error), &error);
    assert_string_equal(text.data, expected);
    ds4_buffer_deinit(&text);
}

/* ---- an answer being read ------------------------------------------------------------------------ */

static const api test_api = {.name = "test", .call_prefix = "call_"};

static request *new_request(void) {
    request *asked = request_new();
    assert_non_null(asked);
    asked->api = &test_api;
    return asked;
}

static void add_tool(request *asked, const char *name) {
    request_tool tool = {.name = strdup(name), .api_name = strdup(name), .schema = json_object()};
    assert_true(request_add_tool(asked, tool));
    asked->has_tools = true;
}

static request *with_tools(bool starts_in_reasoning) {
    request *asked = new_request();
    add_tool(asked, "read");
    add_tool(asked, "write");
    asked->starts_in_reasoning = starts_in_reasoning;
    return asked;
}

static void add_stop(request *asked, const char *stop) {
    asked->stop = realloc(asked->stop, (asked->n_stop + 1) * sizeof *asked->stop);
    asked->stop[asked->n_stop++] = strdup(stop);
}

typedef struct reading {
    request *asked;
    reply *to;
    ids *names;
    call_memory *memory;
    answer_reader *reader;
    ds4_tokens forced;
    reader_verdict verdict;
    size_t n_taken; /* of the tokens given */
} reading;

static void ignore_wake(void *context) {
    (void)context;
}

/* Takes the request. */
static reading start(request *asked) {
    reading r = {.asked = asked};
    uint64_t seed = 1;
    ds4_error error;
    assert_ok(ids_new(&seed, &r.names, &error), &error);
    assert_ok(call_memory_new(CALL_MEMORY_BYTES, &r.memory, &error), &error);
    assert_ok(reply_new(asked, ignore_wake, NULL, &r.to, &error), &error);
    assert_ok(answer_reader_new(asked, 0, tokenizer, r.to, r.names, &r.reader, &error), &error);
    assert_ok(answer_reader_begin(r.reader, &r.forced, &error), &error);
    return r;
}

static void stop_reading(reading *r) {
    answer_reader_free(r->reader);
    reply_release(r->to);
    reply_release(r->to);
    ids_free(r->names);
    call_memory_free(r->memory);
    ds4_tokens_deinit(&r->forced);
}

/* Tokens, until the reader has had enough or wants others. */
static void give_tokens(reading *r, const int32_t *id, size_t n) {
    ds4_error error;
    r->verdict = READER_GOES_ON;
    for (r->n_taken = 0; r->n_taken < n && r->verdict == READER_GOES_ON; r->n_taken++) {
        r->verdict = answer_reader_add(r->reader, id[r->n_taken], NULL, &r->forced, &error);
        if (r->verdict == READER_FAILED) fail_msg("%s", error.message);
    }
}

static void give(reading *r, const char *text) {
    ds4_tokens tokens = encode(text);
    give_tokens(r, tokens.id, tokens.n);
    ds4_tokens_deinit(&tokens);
}

static void take_forced(reading *r, const char *expected) {
    assert_tokens_are(&r->forced, expected);
    ds4_tokens forced = r->forced;
    r->forced = (ds4_tokens){0};
    give_tokens(r, forced.id, forced.n);
    assert_int_equal(r->n_taken, forced.n);
    ds4_tokens_deinit(&forced);
}

static void end(reading *r, finish_reason why) {
    ds4_error error;
    assert_ok(answer_reader_end(r->reader, why, r->memory, &error), &error);
}

/* Events as one text: R() reasoning, T() text, C0:name#tool call, A() arguments, E or X end (X: broken), F(reason).
 * Pieces of one stretch are joined. */
static const char *events(reading *r) {
    static char text[1 << 16];
    static const char *const reason[] = {"stop", "length", "calls", "sequence", "error"};
    size_t n = 0;
    int open = -1;
    const reply_event *event;
    text[0] = '\0';
    while (reply_take(r->to, 0, &event)) {
        bool streams = event->kind == REPLY_REASONING || event->kind == REPLY_TEXT || event->kind == REPLY_ARGUMENTS;
        if (open >= 0 && open != (int)event->kind) n += (size_t)snprintf(text + n, sizeof text - n, ")");
        if (streams && open != (int)event->kind)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s(",
                                  event->kind == REPLY_REASONING ? "R"
                                  : event->kind == REPLY_TEXT    ? "T"
                                                                 : "A");
        open = streams ? (int)event->kind : -1;
        if (streams) {
            assert_true(event->n_bytes > 0 && n + event->n_bytes < sizeof text);
            memcpy(text + n, event->bytes, event->n_bytes + 1);
            n += event->n_bytes;
        } else if (event->kind == REPLY_CALL_START) {
            n += (size_t)snprintf(text + n, sizeof text - n, "C%zu:%s#%zu", event->call, event->bytes, event->tool);
            assert_int_equal(strncmp(event->id, "call_", 5), 0);
            assert_int_equal(strlen(event->id), 29);
        } else if (event->kind == REPLY_CALL_END) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", event->broken ? "X" : "E");
        } else {
            assert_int_equal(event->kind, REPLY_CHOICE_END);
            n += (size_t)snprintf(text + n, sizeof text - n, "F(%s", reason[event->finish]);
            if (event->stop_sequence) n += (size_t)snprintf(text + n, sizeof text - n, ": %s", event->stop_sequence);
            if (event->problem) n += (size_t)snprintf(text + n, sizeof text - n, "; %s", event->problem);
            n += (size_t)snprintf(text + n, sizeof text - n, ")");
        }
    }
    return text;
}

/* A whole answer, that ends by itself or with EOS. Takes the request. */
static void expect(request *asked, const char *answer, const char *expected) {
    reading r = start(asked);
    give(&r, answer);
    end(&r, FINISH_STOP);
    assert_string_equal(events(&r), expected);
    stop_reading(&r);
}

static void expect_closing(reading *r, const char *expected) {
    ds4_tokens closing = {0};
    int32_t before = 7;
    assert_int_equal(ds4_tokens_append(&closing, &before, 1, NULL), DS4_OK);
    bool closes = answer_reader_closing(r->reader, &closing);
    assert_int_equal(closes, expected != NULL);
    assert_int_equal(closing.id[0], 7);
    memmove(closing.id, closing.id + 1, --closing.n * sizeof *closing.id);
    if (closes) assert_tokens_are(&closing, expected);
    if (!closes) assert_int_equal(closing.n, 0);
    ds4_tokens_deinit(&closing);
}

/* ---- reasoning, text, calls ---------------------------------------------------------------------- */

static void an_answer_becomes_reasoning_text_and_calls(void **state) {
    (void)state;
    expect(new_request(), "Hello, world.\n", "T(Hello, world.\n)F(stop)");
    expect(new_request(), "", "F(stop)");
    expect(with_tools(true), "let me see</think>Hi 🙂!", "R(let me see)T(Hi 🙂!)F(stop)");
    expect(with_tools(true),
           "hm</think>I read.\n\n" CALLS INVOKE("read") PARAMETER("path", "a/b \"c\"") END_INVOKE INVOKE("write")
               END_INVOKE END_CALLS,
           "R(hm)T(I read.)C0:read#0A({\"path\": \"a/b \\\"c\\\"\"})EC1:write#1A({})EF(calls)");
    expect(with_tools(false), CALLS INVOKE("sing") END_INVOKE END_CALLS, "C0:sing#2A({})EF(calls)");
}

static void an_answer_ends_with_its_block(void **state) {
    (void)state;
    reading r = start(with_tools(false));
    ds4_tokens tokens = encode(CALLS INVOKE("read") END_INVOKE END_CALLS " and more");
    give_tokens(&r, tokens.id, tokens.n);
    assert_int_equal(r.verdict, READER_ENDED);
    assert_true(r.n_taken < tokens.n - 1);
    end(&r, FINISH_LENGTH); /* a limit at the same token */
    assert_string_equal(events(&r), "C0:read#0A({})EF(calls)");
    ds4_tokens_deinit(&tokens);
    stop_reading(&r);
    /* also in the middle of a token: "></" is one */
    expect(with_tools(false), CALLS INVOKE("read") END_INVOKE END_CALLS "</more", "C0:read#0A({})EF(calls)");
}

static void without_tools_a_block_is_text(void **state) {
    (void)state;
    static const char block[] = "so:\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS;
    char expected[512];
    snprintf(expected, sizeof expected, "T(%s)F(stop)", block);
    expect(new_request(), block, expected);
    request *asked = with_tools(false);
    asked->choice = CHOICE_NONE;
    expect(asked, block, expected);
    asked = with_tools(true);
    asked->choice = CHOICE_NONE;
    char answer[600];
    snprintf(answer, sizeof answer, "no</think>%s", block);
    snprintf(expected, sizeof expected, "R(no)T(%s)F(stop)", block);
    expect(asked, answer, expected);
    asked = new_request();
    asked->raw = true;
    expect(asked, "a</think>b <think>", "T(a</think>b <think>)F(stop)");
}

static void choices_say_which_they_are(void **state) {
    (void)state;
    request *asked = with_tools(true);
    reading r = start(asked);
    answer_reader *third = NULL;
    ds4_error error;
    assert_ok(answer_reader_new(asked, 2, tokenizer, r.to, r.names, &third, &error), &error);
    answer_reader_free(r.reader);
    r.reader = third;
    give(&r, "a</think>b\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    const reply_event *event;
    size_t n = 0;
    for (; reply_take(r.to, 0, &event); n++) assert_int_equal(event->choice, 2);
    assert_int_equal(n, 6);
    stop_reading(&r);
}

static void a_character_comes_whole(void **state) {
    (void)state;
    /* one token for each byte: 🙂 is f0 9f 99 82 */
    reading r = start(new_request());
    char byte[2] = "";
    for (const char *at = "a🙂b"; *at; at++) {
        byte[0] = *at;
        give(&r, byte);
        const reply_event *event;
        bool came = reply_take(r.to, 0, &event);
        assert_int_equal(came, *at == 'a' || *at == 'b' || *at == '\x82');
    }
    stop_reading(&r);
}

static void bytes_that_are_no_character_are_replaced(void **state) {
    (void)state;
    expect(new_request(),
           "a\xff"
           "b\xf0\x9f",
           "T(a\xef\xbf\xbd"
           "b\xef\xbf\xbd)F(stop)");
    expect(with_tools(true), "a\xf0\x9f</think>\xf0\x9f", "R(a\xef\xbf\xbd)T(\xef\xbf\xbd)F(stop)");
    expect(with_tools(false), "\xf0\x9f\n\n" CALLS INVOKE("read") PARAMETER("a", "\x99") END_INVOKE END_CALLS,
           "T(\xef\xbf\xbd)C0:read#0A({\"a\": \"\xef\xbf\xbd\"})EF(calls)");
}

/* The tag is spelled in ordinary tokens, the last of which goes on as text. */
static void reasoning_that_ends_in_half_a_character_ends_before_the_text(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        request *asked = with ? with_tools(true) : new_request();
        asked->starts_in_reasoning = true;
        reading r = start(asked);
        give(&r, "a\xf0\x9f</thi");
        give(&r, "nk></b");
        end(&r, FINISH_STOP);
        assert_string_equal(events(&r), "R(a\xef\xbf\xbd)T(</b)F(stop)");
        stop_reading(&r);
    }
}

/* ---- stop strings -------------------------------------------------------------------------------- */

static void a_stop_string_is_found_however_the_text_is_cut(void **state) {
    (void)state;
    static const char text[] = "one two\n\nSTOP three";
    for (size_t first = 0; first <= strlen(text); first++)
        for (size_t second = first; second <= strlen(text); second++) {
            request *asked = new_request();
            add_stop(asked, "\n\nSTOP");
            add_stop(asked, "\n\nSTEP");
            reading r = start(asked);
            char piece[64];
            const size_t cut[] = {0, first, second, strlen(text)};
            for (int i = 0; i < 3 && r.verdict != READER_ENDED; i++) {
                snprintf(piece, sizeof piece, "%.*s", (int)(cut[i + 1] - cut[i]), text + cut[i]);
                give(&r, piece);
            }
            assert_int_equal(r.verdict, READER_ENDED);
            end(&r, FINISH_STOP);
            assert_string_equal(events(&r), "T(one two)F(sequence: \n\nSTOP)");
            expect_closing(&r, NULL);
            stop_reading(&r);
        }
}

static void the_first_match_wins_and_of_equal_starts_the_longest(void **state) {
    (void)state;
    static const struct {
        const char *stop[3], *text, *expected;
    } cases[] = {
        {{"ab", "abc"}, "xabcd", "T(x)F(sequence: abc)"},
        {{"ab", "abc"}, "xabd", "T(x)F(sequence: ab)"},
        {{"ab", "abc"}, "xab", "T(x)F(sequence: ab)"},
        {{"bc", "abcd"}, "xabcd", "T(x)F(sequence: abcd)"},
        {{"bc", "abcd"}, "xabce", "T(xa)F(sequence: bc)"},
        {{"aab"}, "aaab", "T(a)F(sequence: aab)"},
        {{"aab"}, "aaa", "T(aaa)F(stop)"},
        {{"é"}, "caf\xc3\xa8", "T(caf\xc3\xa8)F(stop)"},
        {{"é"}, "café!", "T(caf)F(sequence: é)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request *asked = new_request();
        for (size_t k = 0; k < 3 && cases[i].stop[k]; k++) add_stop(asked, cases[i].stop[k]);
        expect(asked, cases[i].text, cases[i].expected);
    }
}

static void text_is_held_back_only_as_long_as_it_may_be_a_stop_string(void **state) {
    (void)state;
    request *asked = new_request();
    add_stop(asked, "xyz");
    reading r = start(asked);
    const reply_event *event;
    give(&r, "a");
    assert_true(reply_take(r.to, 0, &event));
    give(&r, "x");
    assert_false(reply_take(r.to, 0, &event));
    give(&r, "y");
    assert_false(reply_take(r.to, 0, &event));
    give(&r, "!");
    assert_true(reply_take(r.to, 0, &event));
    assert_string_equal(event->bytes, "xy!");
    stop_reading(&r);
}

static void stop_strings_are_for_text_alone(void **state) {
    (void)state;
    request *asked = with_tools(true);
    add_stop(asked, "STOP");
    expect(asked, "STOP</think>go\n\n" CALLS INVOKE("read") PARAMETER("a", "STOP") END_INVOKE END_CALLS,
           "R(STOP)T(go)C0:read#0A({\"a\": \"STOP\"})EF(calls)");
    /* text that was held back when the block came */
    asked = with_tools(false);
    add_stop(asked, "ST");
    add_stop(asked, "STOP");
    expect(asked, "goST\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS, "T(go)F(sequence: ST)");
    asked = with_tools(false);
    add_stop(asked, "o!");
    expect(asked, "go\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS, "T(go)C0:read#0A({})EF(calls)");
}

static void the_longest_stop_strings_work(void **state) {
    (void)state;
    char longest[REQUEST_MAX_STOP_BYTES + 1], *stops[] = {longest};
    memset(longest, 'a', REQUEST_MAX_STOP_BYTES);
    longest[REQUEST_MAX_STOP_BYTES] = '\0';
    longest[REQUEST_MAX_STOP_BYTES - 1] = 'b';
    stop_matcher matcher = {.stop = stops, .n_stops = 1};
    ds4_buffer text = {0};
    for (int i = 0; i < 1000; i++) assert_true(stop_matcher_add(&matcher, "a", 1, &text));
    assert_null(matcher.matched);
    assert_int_equal(text.n_bytes, 1000 - (REQUEST_MAX_STOP_BYTES - 1));
    assert_true(stop_matcher_add(&matcher, "bc", 2, &text));
    assert_ptr_equal(matcher.matched, longest);
    assert_int_equal(text.n_bytes, 1000 - (REQUEST_MAX_STOP_BYTES - 1));
    ds4_buffer_deinit(&text);
}

/* ---- what has to come ---------------------------------------------------------------------------- */

static void the_thinking_budget_ends_the_reasoning(void **state) {
    (void)state;
    request *asked = with_tools(true);
    asked->thinking_budget = 3;
    reading r = start(asked);
    give(&r, " one two three four five six");
    assert_int_equal(r.verdict, READER_FORCES);
    assert_int_equal(r.n_taken, 3);
    take_forced(&r, "</think>");
    assert_int_equal(r.verdict, READER_GOES_ON);
    give(&r, "So: four five six seven");
    end(&r, FINISH_STOP);
    assert_string_equal(events(&r), "R( one two three)T(So: four five six seven)F(stop)");
    assert_int_equal(answer_reader_usage(r.reader)->reasoning, 4);
    assert_true(answer_reader_usage(r.reader)->answer > 8);
    stop_reading(&r);

    asked = with_tools(true); /* its end comes in time */
    asked->thinking_budget = 4;
    r = start(asked);
    give(&r, " one two three</think> four five six");
    assert_int_equal(r.verdict, READER_GOES_ON);
    stop_reading(&r);
}

static void a_named_call_is_forced_at_the_start(void **state) {
    (void)state;
    request *asked = with_tools(false);
    asked->choice = CHOICE_NAMED;
    asked->chosen_tool = 1;
    reading r = start(asked);
    take_forced(&r, "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"write\">\n");
    assert_int_equal(r.verdict, READER_GOES_ON);
    assert_true(answer_reader_wants_greedy(r.reader));
    give(&r, PARAMETER("a", "b") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    assert_string_equal(events(&r), "C0:write#1A({\"a\": \"b\"})EF(calls)");
    assert_true(answer_reader_usage(r.reader)->answer > 20);
    stop_reading(&r);
}

static void a_required_call_is_forced_behind_the_reasoning(void **state) {
    (void)state;
    request *asked = with_tools(true);
    asked->choice = CHOICE_REQUIRED;
    reading r = start(asked);
    assert_int_equal(r.forced.n, 0);
    give(&r, "which?</think>text that does not come");
    assert_int_equal(r.verdict, READER_FORCES);
    take_forced(&r, "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"");
    give(&r, "read\">\n" END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    assert_string_equal(events(&r), "R(which?)C0:read#0A({})EF(calls)");
    stop_reading(&r);

    asked = new_request(); /* one tool: no choice */
    add_tool(asked, "only");
    asked->choice = CHOICE_REQUIRED;
    r = start(asked);
    take_forced(&r, "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"only\">\n");
    stop_reading(&r);

    asked = with_tools(true); /* both */
    asked->choice = CHOICE_NAMED;
    asked->thinking_budget = 1;
    r = start(asked);
    give(&r, " hm hm");
    take_forced(&r, "</think>");
    assert_int_equal(r.verdict, READER_FORCES);
    take_forced(&r, "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"read\">\n");
    stop_reading(&r);
}

static void the_structure_of_calls_is_drawn_greedily_and_their_values_are_not(void **state) {
    (void)state;
    static const struct {
        const char *piece;
        bool greedy;
    } pieces[] = {{" <hm", false},
                  {"</think>", false},
                  {"go\n\n<", false},
                  {"｜DSML｜", true},
                  {"tool_calls>\n", true},
                  {INVOKE("read"), true},
                  {"<｜DSML｜parameter name=\"a\" string=\"true\">", false},
                  {"value", false},
                  {"</", true},
                  {"｜DSML｜parameter>", true},
                  {"\n", true}};
    reading r = start(with_tools(true));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        give(&r, pieces[i].piece);
        if (answer_reader_wants_greedy(r.reader) != pieces[i].greedy) fail_msg("behind %s", pieces[i].piece);
    }
    stop_reading(&r);
}

/* ---- one call ------------------------------------------------------------------------------------ */

static void with_one_call_the_answer_ends_with_it_and_the_block_is_closed(void **state) {
    (void)state;
    static const struct {
        const char *last, *closing;
    } cases[] = {{"", "\n</｜DSML｜tool_calls>" EOS}, {"\n", "</｜DSML｜tool_calls>" EOS}};
    for (size_t i = 0; i < 2; i++) {
        request *asked = with_tools(false);
        asked->one_call = true;
        reading r = start(asked);
        give(&r, "ok\n\n" CALLS INVOKE("read") PARAMETER("a", "b") "</｜DSML｜invoke");
        ds4_buffer last = {0};
        assert_true(buffer_append_string(&last, ">"));
        assert_true(buffer_append_string(&last, cases[i].last));
        ds4_tokens tokens = encode(last.data);
        assert_int_equal(tokens.n, 1); /* ">" and ">\n" are tokens */
        give_tokens(&r, tokens.id, tokens.n);
        assert_int_equal(r.verdict, READER_ENDED);
        end(&r, FINISH_STOP);
        assert_string_equal(events(&r), "T(ok)C0:read#0A({\"a\": \"b\"})EF(calls)");
        expect_closing(&r, cases[i].closing);
        ds4_tokens_deinit(&tokens);
        ds4_buffer_deinit(&last);
        stop_reading(&r);
    }
}

/* ---- what goes wrong ----------------------------------------------------------------------------- */

static void a_malformed_block_breaks_its_call_and_goes_on_as_text(void **state) {
    (void)state;
    expect(with_tools(true), "a</think>" CALLS INVOKE("read") PARAMETER("a", "b") "oops</think> the rest",
           "R(a)C0:read#0A({\"a\": \"b\")XT(\noops</think> the rest)"
           "F(calls; invalid_tool_call: tool calls: expected a tag, found \"o\")");
    expect(with_tools(false), "x\n\n" CALLS "oops",
           "T(x\n\n" CALLS "oops)F(stop; invalid_tool_call: tool calls: expected a tag, found \"o\")");
}

static void a_block_that_the_limit_cuts_leaves_a_broken_call_and_no_tags(void **state) {
    (void)state;
    static const struct {
        const char *answer, *expected;
    } cases[] = {
        {"x\n\n" CALLS, "T(x)F(length)"},
        {"x\n\n<", "T(x\n\n<)F(length)"},
        {"x\n\n<｜DSML｜tool_c", "T(x)F(length)"},
        {"x\n\n" CALLS "<｜DSML｜invoke na", "T(x)F(length)"},
        {"x\n\n" CALLS INVOKE("read"), "T(x)C0:read#0XF(length)"},
        {CALLS INVOKE("read") "<｜DSML｜parameter name=\"a\" string=\"true\">bc</｜DS",
         "C0:read#0A({\"a\": \"bc)XF(length)"},
        {CALLS INVOKE("read") END_INVOKE, "C0:read#0A({})EF(length)"},
        {CALLS INVOKE("read") END_INVOKE INVOKE("write"), "C0:read#0A({})EC1:write#1XF(length)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reading r = start(with_tools(false));
        give(&r, cases[i].answer);
        end(&r, FINISH_LENGTH);
        const char *found = events(&r);
        if (strcmp(found, cases[i].expected) != 0) fail_msg("%s\ngave\n%s", cases[i].answer, found);
        expect_closing(&r, NULL);
        stop_reading(&r);
    }
    /* the model itself stops in a call: said so, and no tags either */
    expect(with_tools(false), CALLS INVOKE("read") "<｜DSML｜para",
           "C0:read#0XF(calls; invalid_tool_call: tool calls: the answer ends inside the block, found "
           "\"<｜DSML｜para\")");
}

static void an_answer_must_be_the_json_that_was_asked_for(void **state) {
    (void)state;
    static const struct {
        answer_format format;
        const char *schema, *answer, *expected;
    } cases[] = {
        {FORMAT_JSON_OBJECT, NULL, "{\"a\": 1}", "T({\"a\": 1})F(stop)"},
        {FORMAT_JSON_OBJECT, NULL, "[1]", "T([1])F(stop; invalid_json: an array, expected an object)"},
        {FORMAT_JSON_SCHEMA, "{\"type\": \"object\", \"required\": [\"a\", \"b\"]}", "{\"a\": 1}",
         "T({\"a\": 1})F(stop; invalid_json: \"b\" is missing)"},
        {FORMAT_JSON_SCHEMA, "{\"type\": \"object\", \"required\": [\"a\"]}", "{\"a\": 1}", "T({\"a\": 1})F(stop)"},
        {FORMAT_JSON_SCHEMA, "{\"type\": \"array\"}", "{}",
         "T({})F(stop; invalid_json: an object, which is not the type of the schema)"},
        {FORMAT_JSON_SCHEMA, "{\"type\": [\"null\", \"number\"]}", "7", "T(7)F(stop)"},
        {FORMAT_JSON_SCHEMA, "{\"type\": \"integer\"}", "7.5",
         "T(7.5)F(stop; invalid_json: a number, which is not the type of the schema)"},
        {FORMAT_JSON_SCHEMA, "{}", "true", "T(true)F(stop)"},
        {FORMAT_JSON_SCHEMA, "{}", "",
         "F(stop; invalid_json: answer: not JSON: '[' or '{' expected near end of file (line 1, column 0))"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request *asked = new_request();
        asked->format = cases[i].format;
        if (cases[i].schema) asked->format_schema = json_loads(cases[i].schema, 0, NULL);
        reading r = start(asked);
        give(&r, cases[i].answer);
        end(&r, FINISH_STOP);
        const char *found = events(&r);
        if (cases[i].answer[0] ? strcmp(found, cases[i].expected) != 0 : !strstr(found, "invalid_json: answer: not"))
            fail_msg("%s gave %s", cases[i].answer, found);
        stop_reading(&r);
    }
    /* the limit may cut it, or a stop string: then it is none, too */
    request *asked = new_request();
    asked->format = FORMAT_JSON_OBJECT;
    reading r = start(asked);
    give(&r, "{\"a\": ");
    end(&r, FINISH_LENGTH);
    assert_non_null(strstr(events(&r), "T({\"a\": )F(length; invalid_json: "));
    stop_reading(&r);
    asked = new_request();
    asked->format = FORMAT_JSON_OBJECT;
    add_stop(asked, ":");
    r = start(asked);
    give(&r, "{\"a\": 1}");
    end(&r, FINISH_STOP);
    assert_non_null(strstr(events(&r), "invalid_json: "));
    stop_reading(&r);
}

static void a_token_of_another_vocabulary_is_an_error(void **state) {
    (void)state;
    reading r = start(new_request());
    ds4_error error;
    assert_int_equal(answer_reader_add(r.reader, 1 << 20, NULL, &r.forced, &error), READER_FAILED);
    assert_string_equal(error.message, "answer: token 1048576 is not in the vocabulary");
    stop_reading(&r);
}

/* ---- probabilities ------------------------------------------------------------------------------- */

static void give_with_logits(reading *r, const char *text) {
    static float *logits;
    size_t n_vocab = ds4_tokenizer_n_tokens(tokenizer);
    if (!logits) logits = calloc(n_vocab, sizeof *logits);
    ds4_tokens tokens = encode(text);
    ds4_error error;
    for (size_t i = 0; i < tokens.n; i++) {
        logits[tokens.id[i]] = 20;
        assert_int_not_equal(answer_reader_add(r->reader, tokens.id[i], logits, &r->forced, &error), READER_FAILED);
        logits[tokens.id[i]] = 0;
    }
    ds4_tokens_deinit(&tokens);
}

static void every_token_of_text_has_its_probability(void **state) {
    (void)state;
    request *asked = with_tools(true);
    asked->logprobs = true;
    asked->top_logprobs = 2;
    add_stop(asked, " three!");
    reading r = start(asked);
    give_with_logits(&r, "thinking about it</think>one two three four\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    ds4_tokens expected = encode("one two three four");
    size_t n = 0;
    const reply_event *event;
    while (reply_take(r.to, 0, &event)) {
        if (event->kind != REPLY_TEXT) assert_int_equal(event->n_logprobs, 0);
        for (size_t i = 0; i < event->n_logprobs; i++) {
            const reply_logprob *record = &event->logprob[i];
            assert_true(n < expected.n);
            assert_int_equal(record->id, expected.id[n++]);
            assert_true(record->logprob > -1e-3f && record->logprob <= 0);
            assert_int_equal(record->n_top, 2);
            assert_int_equal(record->top[0].id, record->id);
        }
    }
    assert_int_equal(n, expected.n);
    ds4_tokens_deinit(&expected);
    stop_reading(&r);
}

static void the_beginning_of_a_block_has_no_probabilities(void **state) {
    (void)state;
    request *asked = with_tools(false);
    asked->logprobs = true;
    reading r = start(asked);
    give_with_logits(&r, "one\n\n" CALLS INVOKE("read") "oops and more");
    end(&r, FINISH_STOP);
    ds4_tokens behind = encode("oops and more"); /* what breaks the block is its first token */
    const reply_event *event;
    size_t n = 0, before_call = 0;
    for (; reply_take(r.to, 0, &event); n += event->n_logprobs)
        if (event->kind == REPLY_CALL_START) before_call = n;
    assert_int_equal(before_call, 1);
    assert_int_equal(n - before_call, behind.n - 1);
    ds4_tokens_deinit(&behind);
    stop_reading(&r);
}

static void probabilities_that_nobody_asked_for_do_not_come(void **state) {
    (void)state;
    reading r = start(new_request());
    give_with_logits(&r, "one two");
    end(&r, FINISH_STOP);
    const reply_event *event;
    while (reply_take(r.to, 0, &event)) assert_int_equal(event->n_logprobs, 0);
    stop_reading(&r);
}

/* ---- closing ------------------------------------------------------------------------------------- */

static void an_answer_that_will_come_again_is_closed(void **state) {
    (void)state;
    static const struct {
        bool reasons, has_tools;
        const char *answer, *closing;
    } cases[] = {
        {false, false, "Hi.", EOS},
        {false, true, "Hi.", EOS},
        {true, true, "hm</think>Hi.", EOS},
        {true, false, "hm</think>Hi.", NULL}, /* without tools reasoning is dropped */
        {true, true, "hm", NULL},             /* and this one is not over */
        {false, true, "a\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS, EOS},
        {true, true, "hm</think>" CALLS INVOKE("read") END_INVOKE END_CALLS, EOS},
        {false, true, CALLS "oops", NULL},
        {false, true, CALLS INVOKE("read") "oops", NULL},
        {false, false, "a <｜User｜> b", NULL}, /* a control token that will be text */
        {false, false, "a \xff b", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request *asked = cases[i].has_tools ? with_tools(cases[i].reasons) : new_request();
        asked->starts_in_reasoning = cases[i].reasons;
        reading r = start(asked);
        give(&r, cases[i].answer);
        end(&r, FINISH_STOP);
        expect_closing(&r, cases[i].closing);
        stop_reading(&r);
    }
    request *asked = new_request();
    asked->raw = true;
    reading r = start(asked);
    give(&r, "Hi.");
    end(&r, FINISH_STOP);
    expect_closing(&r, NULL);
    stop_reading(&r);
}

/* ---- calls that come back ------------------------------------------------------------------------ */

/* The calls as a client would send them back: of each the id and what the events said. */
static json_t *calls_of(reading *r) {
    json_t *calls = json_array();
    ds4_buffer arguments = {0};
    const reply_event *event;
    while (reply_take(r->to, 0, &event)) {
        if (event->kind == REPLY_CALL_START) {
            json_array_append_new(calls,
                                  json_pack("{s:s, s:{s:s}}", "id", event->id, "function", "name", event->bytes));
            buffer_clear(&arguments);
        }
        if (event->kind == REPLY_ARGUMENTS) assert_true(buffer_append(&arguments, event->bytes, event->n_bytes));
        if (event->kind == REPLY_CALL_END) {
            json_t *last = json_array_get(calls, json_array_size(calls) - 1);
            json_object_set_new(json_object_get(last, "function"), "arguments", json_string(arguments.data));
        }
    }
    ds4_buffer_deinit(&arguments);
    return calls;
}

/* The block as the memory has it; NULL: it does not know. */
static void expect_block(reading *r, json_t *calls, const char *expected, size_t n_control) {
    ds4_prompt prompt = {0};
    assert_true(buffer_append_string(&prompt.text, "before"));
    call_lookup lookup = {.memory = r->memory};
    bool known = call_memory_put(&lookup, calls, &prompt);
    assert_int_equal(known, expected != NULL);
    assert_string_equal(prompt.text.data + strlen("before"), known ? expected : "");
    assert_int_equal(prompt.n_control, known ? n_control : 0);
    for (size_t i = 0; i < prompt.n_control; i++)
        assert_memory_equal(prompt.text.data + prompt.control[i].offset_bytes, "｜DSML｜", strlen("｜DSML｜"));
    ds4_prompt_deinit(&prompt);
}

static void calls_come_back_as_the_model_spelled_them(void **state) {
    (void)state;
    /* white space and the order of attributes are the model's own */
#define BLOCK                                                                                             \
    "\n \n" CALLS INVOKE(                                                                                 \
        "read") "  <｜DSML｜parameter string=\"false\" name=\"n\">[1,2]</｜DSML｜parameter>\n" END_INVOKE \
        INVOKE("write") PARAMETER("a", "1") END_INVOKE END_CALLS
    reading r = start(with_tools(true));
    give(&r, "hm</think>Text." BLOCK);
    end(&r, FINISH_STOP);
    json_t *calls = calls_of(&r);
    assert_int_equal(json_array_size(calls), 2);
    expect_block(&r, calls, BLOCK, 10);
    /* read and written anew */
    json_t *function = json_object_get(json_array_get(calls, 0), "function");
    json_object_set_new(function, "arguments", json_string("{ \"n\" : [ 1, 2 ] }"));
    expect_block(&r, calls, BLOCK, 10);
    json_object_set_new(function, "arguments", json_pack("{s:[i,i]}", "n", 1, 2));
    expect_block(&r, calls, BLOCK, 10);
    json_decref(calls);
    stop_reading(&r);
}

static void changed_calls_are_not_the_models_any_more(void **state) {
    (void)state;
    reading r = start(with_tools(false));
    give(&r, CALLS INVOKE("read") PARAMETER("a", "1") END_INVOKE INVOKE("write") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    json_t *calls = calls_of(&r);
    for (int change = 0; change < 9; change++) {
        json_t *changed = json_deep_copy(calls), *first = json_array_get(changed, 0);
        json_t *function = json_object_get(first, "function");
        switch (change) {
        case 0: json_object_set_new(function, "arguments", json_string("{\"a\": \"2\"}")); break;
        case 1: json_object_set_new(function, "arguments", json_string("{\"a\": \"1\"")); break;
        case 2: json_object_del(function, "arguments"); break;
        case 3: json_object_set_new(function, "name", json_string("write")); break;
        case 4: json_object_set_new(first, "id", json_string("call_other")); break;
        case 5: json_object_del(first, "id"); break;
        case 6: json_array_remove(changed, 1); break;
        case 7: json_array_append(changed, first); break;
        case 8: json_array_insert_new(changed, 0, json_incref(json_array_get(changed, 1))); break;
        }
        expect_block(&r, changed, NULL, 0);
        json_decref(changed);
    }
    json_t *empty = json_array();
    expect_block(&r, empty, NULL, 0);
    expect_block(&r, NULL, NULL, 0);
    json_decref(empty);
    expect_block(&r, calls, CALLS INVOKE("read") PARAMETER("a", "1") END_INVOKE INVOKE("write") END_INVOKE END_CALLS,
                 8);
    json_decref(calls);
    stop_reading(&r);
}

static void one_call_is_remembered_with_its_block_closed(void **state) {
    (void)state;
    request *asked = with_tools(false);
    asked->one_call = true;
    reading r = start(asked);
    give(&r, "a\n\n" CALLS INVOKE("read") END_INVOKE INVOKE("write") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    json_t *calls = calls_of(&r);
    assert_int_equal(json_array_size(calls), 1);
    expect_block(&r, calls, "\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS, 4);
    json_decref(calls);
    stop_reading(&r);
}

static void typed_control_strings_in_calls_stay_typed(void **state) {
    (void)state;
    reading r = start(with_tools(false));
    give(&r, CALLS INVOKE("read") "<｜DSML｜parameter name=\"a\" string=\"true\">");
    ds4_tokens typed = {0};
    ds4_error error;
    assert_ok(ds4_tokenizer_encode(tokenizer, "<｜User｜>", strlen("<｜User｜>"), false, &typed, &error), &error);
    give_tokens(&r, typed.id, typed.n);
    give(&r, "</｜DSML｜parameter>\n" END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    json_t *calls = calls_of(&r);
    expect_block(&r, calls, CALLS INVOKE("read") PARAMETER("a", "<｜User｜>") END_INVOKE END_CALLS, 6);
    json_decref(calls);
    ds4_tokens_deinit(&typed);
    stop_reading(&r);
}

static void blocks_behind_a_control_token_that_is_shown_are_not_remembered(void **state) {
    (void)state;
    reading r = start(with_tools(false));
    give(&r, "a <｜User｜> b\n\n" CALLS INVOKE("read") END_INVOKE END_CALLS);
    end(&r, FINISH_STOP);
    expect_closing(&r, NULL);
    json_t *calls = calls_of(&r);
    assert_int_equal(json_array_size(calls), 1);
    expect_block(&r, calls, NULL, 0);
    json_decref(calls);
    stop_reading(&r);
}

static bool knows(call_memory *memory, const char *id) {
    json_t *calls = json_pack("[{s:s, s:{s:s, s:s}}]", "id", id, "function", "name", "f", "arguments", "{}");
    ds4_prompt prompt = {0};
    call_lookup lookup = {.memory = memory};
    bool known = call_memory_put(&lookup, calls, &prompt);
    ds4_prompt_deinit(&prompt);
    json_decref(calls);
    return known;
}

static void remember_text(call_memory *memory, const char *id, size_t n_bytes) {
    ds4_prompt block = {0};
    for (size_t i = 0; i < n_bytes; i++) assert_true(buffer_append(&block.text, "x", 1));
    remembered_call call = {.id = id, .name = "f", .arguments = "{}", .arguments_bytes = 2};
    call_memory_add(memory, &call, 1, &block);
    ds4_prompt_deinit(&block);
}

static void the_oldest_blocks_are_forgotten_first(void **state) {
    (void)state;
    call_memory *memory = NULL;
    ds4_error error;
    assert_ok(call_memory_new(100000, &memory, &error), &error);
    char id[32];
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "call_%d", i);
        remember_text(memory, id, 4000);
        assert_true(knows(memory, id));
    }
    int n_known = 0, first = -1;
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "call_%d", i);
        bool known = knows(memory, id);
        if (known && first < 0) first = i;
        assert_int_equal(known, first >= 0);
        n_known += known;
    }
    assert_in_range(n_known, 10, 25);
    remember_text(memory, "call_large", 200000);
    assert_false(knows(memory, "call_large"));
    assert_true(knows(memory, "call_99"));
    /* of one id the latest counts, and outlives the first */
    remember_text(memory, "twice", 10);
    for (int i = 0; i < 10; i++) remember_text(memory, "other", 4000);
    remember_text(memory, "twice", 20);
    for (int i = 0; i < 12; i++) remember_text(memory, "other", 4000);
    assert_true(knows(memory, "twice"));
    call_memory_free(memory);
    call_memory_free(NULL);
}

/* ---- scripts ------------------------------------------------------------------------------------- */

static void expect_next(script *from, bool starts_in_reasoning, const char *expected) {
    ds4_tokens tokens = {0};
    ds4_error error;
    assert_ok(script_next(from, starts_in_reasoning, &tokens, &error), &error);
    assert_tokens_are(&tokens, expected);
    ds4_tokens again = encode(expected); /* control strings are tokens */
    assert_int_equal(tokens.n, again.n);
    assert_memory_equal(tokens.id, again.id, tokens.n * sizeof *tokens.id);
    ds4_tokens_deinit(&tokens);
    ds4_tokens_deinit(&again);
}

static script *new_script(const char *text) {
    script *made = NULL;
    ds4_error error;
    assert_ok(script_new(text, strlen(text), "script", tokenizer, &made, &error), &error);
    return made;
}

static void a_script_has_one_answer_a_block(void **state) {
    (void)state;
    script *from = new_script("one\n---\ntwo\nlines\n\n---\n----\n ---\n---\n---\nlast\n");
    expect_next(from, false, "one");
    expect_next(from, false, "two\nlines\n");
    expect_next(from, false, "----\n ---");
    expect_next(from, false, "");
    expect_next(from, false, "last");
    for (int i = 0; i < 3; i++) expect_next(from, false, SCRIPT_END_TEXT);
    expect_next(from, true, "</think>" SCRIPT_END_TEXT);
    script_free(from);
    from = new_script("a\n---\n");
    expect_next(from, false, "a");
    expect_next(from, false, SCRIPT_END_TEXT);
    script_free(from);
    script_free(NULL);
}

static void one_script_fits_answers_with_and_without_reasoning(void **state) {
    (void)state;
    static const char text[] = "why</think>because\n---\nplain\n---\n</think>" CALLS;
    for (int reasons = 0; reasons < 2; reasons++) {
        script *from = new_script(text);
        expect_next(from, reasons, reasons ? "why</think>because" : "because");
        expect_next(from, reasons, reasons ? "</think>plain" : "plain");
        expect_next(from, reasons, reasons ? "</think><｜DSML｜tool_calls>" : "<｜DSML｜tool_calls>");
        script_free(from);
    }
}

static void a_script_comes_from_a_file(void **state) {
    (void)state;
    char path[] = "/tmp/ds4-script-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    script *from = NULL;
    ds4_error error;
    assert_int_equal(script_open(path, tokenizer, &from, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "empty, expected an answer"));
    assert_int_equal(write(descriptor, "x\n---\ny", 7), 7);
    close(descriptor);
    assert_ok(script_open(path, tokenizer, &from, &error), &error);
    expect_next(from, false, "x");
    expect_next(from, false, "y");
    script_free(from);
    unlink(path);
    assert_int_equal(script_open(path, tokenizer, &from, &error), DS4_ERROR_IO);
}

/* ---- ids ----------------------------------------------------------------------------------------- */

static void ids_differ_and_follow_their_seed(void **state) {
    (void)state;
    ids *a = NULL, *b = NULL, *random = NULL, *other = NULL;
    uint64_t seed = 5;
    ds4_error error;
    assert_ok(ids_new(&seed, &a, &error), &error);
    assert_ok(ids_new(&seed, &b, &error), &error);
    assert_ok(ids_new(NULL, &random, &error), &error);
    assert_ok(ids_new(NULL, &other, &error), &error);
    char x[ID_BYTES], y[ID_BYTES], last[ID_BYTES] = "";
    for (int i = 0; i < 100; i++) {
        ids_next(a, "call_", x);
        ids_next(b, "call_", y);
        assert_string_equal(x, y);
        assert_string_not_equal(x, last);
        assert_int_equal(strncmp(x, "call_", 5), 0);
        assert_int_equal(strspn(x + 5, "0123456789abcdef"), 24);
        assert_int_equal(strlen(x), 29);
        memcpy(last, x, sizeof last);
    }
    ids_next(random, "msg_", x);
    ids_next(other, "msg_", y);
    assert_string_not_equal(x, y);
    ids_next(a, "a prefix that is much too long for an id", x);
    assert_int_equal(strlen(x), ID_BYTES - 1);
    ids_free(a);
    ids_free(b);
    ids_free(random);
    ids_free(other);
    ids_free(NULL);
}

/* ---- threads ------------------------------------------------------------------------------------- */

enum { N_THREADS = 4, N_PER_THREAD = 300 };

typedef struct sharing {
    ids *names;
    call_memory *memory;
    char id[N_PER_THREAD][ID_BYTES];
    int n_known; /* of its own calls, right after they were added */
} sharing;

static void *share(void *context) {
    sharing *mine = context;
    for (int i = 0; i < N_PER_THREAD; i++) {
        ids_next(mine->names, "call_", mine->id[i]);
        remember_text(mine->memory, mine->id[i], 500);
        mine->n_known += knows(mine->memory, mine->id[i]);
        knows(mine->memory, mine->id[i / 2]); /* forgotten by then, or not */
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(a, b);
}

static void threads_share_ids_and_the_memory_of_calls(void **state) {
    (void)state;
    static sharing sharings[N_THREADS];
    static char all[N_THREADS * N_PER_THREAD][ID_BYTES];
    pthread_t thread[N_THREADS];
    ids *names = NULL;
    call_memory *memory = NULL;
    ds4_error error;
    json_object_seed(0);
    assert_ok(ids_new(NULL, &names, &error), &error);
    assert_ok(call_memory_new(100000, &memory, &error), &error);
    for (int i = 0; i < N_THREADS; i++) {
        sharings[i] = (sharing){.names = names, .memory = memory};
        assert_int_equal(pthread_create(&thread[i], NULL, share, &sharings[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(sharings[i].n_known > 0);
        memcpy(all + i * N_PER_THREAD, sharings[i].id, sizeof sharings[i].id);
    }
    qsort(all, N_THREADS * N_PER_THREAD, ID_BYTES, compare_ids);
    for (int i = 1; i < N_THREADS * N_PER_THREAD; i++) assert_string_not_equal(all[i - 1], all[i]);
    ids_free(names);
    call_memory_free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_becomes_reasoning_text_and_calls),
        cmocka_unit_test(an_answer_ends_with_its_block),
        cmocka_unit_test(without_tools_a_block_is_text),
        cmocka_unit_test(choices_say_which_they_are),
        cmocka_unit_test(a_character_comes_whole),
        cmocka_unit_test(bytes_that_are_no_character_are_replaced),
        cmocka_unit_test(reasoning_that_ends_in_half_a_character_ends_before_the_text),
        cmocka_unit_test(a_stop_string_is_found_however_the_text_is_cut),
        cmocka_unit_test(the_first_match_wins_and_of_equal_starts_the_longest),
        cmocka_unit_test(text_is_held_back_only_as_long_as_it_may_be_a_stop_string),
        cmocka_unit_test(stop_strings_are_for_text_alone),
        cmocka_unit_test(the_longest_stop_strings_work),
        cmocka_unit_test(the_thinking_budget_ends_the_reasoning),
        cmocka_unit_test(a_named_call_is_forced_at_the_start),
        cmocka_unit_test(a_required_call_is_forced_behind_the_reasoning),
        cmocka_unit_test(the_structure_of_calls_is_drawn_greedily_and_their_values_are_not),
        cmocka_unit_test(with_one_call_the_answer_ends_with_it_and_the_block_is_closed),
        cmocka_unit_test(a_malformed_block_breaks_its_call_and_goes_on_as_text),
        cmocka_unit_test(a_block_that_the_limit_cuts_leaves_a_broken_call_and_no_tags),
        cmocka_unit_test(an_answer_must_be_the_json_that_was_asked_for),
        cmocka_unit_test(a_token_of_another_vocabulary_is_an_error),
        cmocka_unit_test(every_token_of_text_has_its_probability),
        cmocka_unit_test(the_beginning_of_a_block_has_no_probabilities),
        cmocka_unit_test(probabilities_that_nobody_asked_for_do_not_come),
        cmocka_unit_test(an_answer_that_will_come_again_is_closed),
        cmocka_unit_test(calls_come_back_as_the_model_spelled_them),
        cmocka_unit_test(changed_calls_are_not_the_models_any_more),
        cmocka_unit_test(one_call_is_remembered_with_its_block_closed),
        cmocka_unit_test(typed_control_strings_in_calls_stay_typed),
        cmocka_unit_test(blocks_behind_a_control_token_that_is_shown_are_not_remembered),
        cmocka_unit_test(the_oldest_blocks_are_forgotten_first),
        cmocka_unit_test(a_script_has_one_answer_a_block),
        cmocka_unit_test(one_script_fits_answers_with_and_without_reasoning),
        cmocka_unit_test(a_script_comes_from_a_file),
        cmocka_unit_test(ids_differ_and_follow_their_seed),
        cmocka_unit_test(threads_share_ids_and_the_memory_of_calls),
    };
    return cmocka_run_group_tests_name("server_reader", tests, setup, teardown);
}
