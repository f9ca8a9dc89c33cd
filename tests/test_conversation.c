/* The chat's conversation: what it keeps between turns, and how it goes back. */
#include "test.h"

#include "support/tiny_model.h"

/* The command line is no library: its files come in as they are. */
#include "cli/answer.c"
#include "cli/conversation.c"

#include <stdio.h>

static ds4_model *model;
static ds4_engine *engine;

/* ---- a listener that writes down ----------------------------------------------------------------- */

typedef struct notes {
    ds4_buffer said[2]; /* text, reasoning */
    size_t prompt_done, prompt_total;
    size_t n_questions; /* how often stop was asked */
    size_t stop_at;     /* answers true from this question on; 0: never */
} notes;

static void note_prompt(void *context, size_t done, size_t total) {
    notes *self = context;
    assert_true(done <= total && done >= self->prompt_done);
    self->prompt_done = done;
    self->prompt_total = total;
}

static void note_answer(void *context, bool is_reasoning, const char *bytes, size_t n_bytes) {
    notes *self = context;
    assert_true(buffer_append(&self->said[is_reasoning], bytes, n_bytes));
}

static bool note_stop(void *context) {
    notes *self = context;
    self->n_questions++;
    return self->stop_at && self->n_questions >= self->stop_at;
}

static conversation_listener listener_of(notes *self) {
    return (conversation_listener){.prompt = note_prompt, .answer = note_answer, .stop = note_stop, .context = self};
}

static void notes_deinit(notes *self) {
    ds4_buffer_deinit(&self->said[0]);
    ds4_buffer_deinit(&self->said[1]);
    *self = (notes){0};
}

static conversation *new_conversation(think_effort effort, size_t context_tokens) {
    /* greedy, so that two conversations can be compared */
    conversation_options options = {.system = "Be kind", .effort = effort, .context_tokens = context_tokens};
    conversation *talk = NULL;
    ds4_error error;
    assert_ok(conversation_new(model, engine, &options, &talk, &error), &error);
    return talk;
}

static answer_report ask(conversation *talk, const char *text, size_t limit, notes *heard) {
    conversation_listener listener = listener_of(heard);
    answer_report report;
    ds4_error error;
    assert_ok(conversation_ask(talk, text, strlen(text), limit, &listener, &report, &error), &error);
    return report;
}

static const char *message_text(const conversation *talk, size_t index, const char *key) {
    const char *text = json_string_value(json_object_get(json_array_get(talk->messages, index), key));
    assert_non_null(text);
    return text;
}

/* ---- turns --------------------------------------------------------------------------------------- */

static size_t whole_prompt(const conversation *talk) {
    ds4_tokens tokens = {0};
    ds4_error error;
    assert_ok(render(talk, &tokens, &error), &error);
    size_t n = tokens.n;
    ds4_tokens_deinit(&tokens);
    return n;
}

static void check_going_back(think_effort effort) {
    static const char *const said[] = {"One question", "And another", "Then a third one",
                                       "A fourth",     "A fifth",     "Last"};
    enum { TURNS = sizeof said / sizeof *said, ANSWER_TOKENS = DS4_FREE_REWIND_TOKENS + 4 };
    conversation *talk = new_conversation(effort, 4096);
    for (size_t i = 0; i < TURNS; i++) {
        assert_true(talk->n_checkpoints <= MAX_CHECKPOINTS);
        if (i != 1 && i != TURNS - 1) {
            notes unheard = {0};
            ask(talk, said[i], ANSWER_TOKENS, &unheard);
            notes_deinit(&unheard);
            continue;
        }
        conversation *fresh = new_conversation(effort, 4096);
        json_decref(fresh->messages);
        fresh->messages = json_deep_copy(talk->messages);
        notes heard = {0}, heard_fresh = {0};
        answer_report report = ask(talk, said[i], ANSWER_TOKENS, &heard),
                      whole = ask(fresh, said[i], ANSWER_TOKENS, &heard_fresh);
        assert_int_equal(report.answer_tokens, whole.answer_tokens);
        assert_int_equal(heard.prompt_total, report.prompt_tokens);
        assert_int_equal(heard.prompt_done, report.prompt_tokens);
        for (int kind = 0; kind < 2; kind++) {
            assert_int_equal(heard.said[kind].n_bytes, heard_fresh.said[kind].n_bytes);
            assert_memory_equal(heard.said[kind].data ? heard.said[kind].data : "",
                                heard_fresh.said[kind].data ? heard_fresh.said[kind].data : "",
                                heard.said[kind].n_bytes);
        }
        /* what was there before the previous answer need not be evaluated again */
        assert_true(report.prompt_tokens < whole.prompt_tokens);
        notes_deinit(&heard), notes_deinit(&heard_fresh);
        conversation_free(fresh);
    }
    conversation_free(talk);
}

static void answers_after_dropped_reasoning_are_those_of_a_fresh_start(void **state) {
    (void)state;
    check_going_back(THINK_HIGH);
}

static void answers_without_reasoning_are_those_of_a_fresh_start(void **state) {
    (void)state;
    check_going_back(THINK_OFF);
}

static void a_turn_with_reasoning_starts_at_the_last_think_token(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_HIGH, 4096);
    notes heard = {0};
    ask(talk, "One question", DS4_FREE_REWIND_TOKENS + 4, &heard); /* more than a free rewind reaches */
    assert_true(heard.said[1].n_bytes > 0);
    size_t kept = ds4_checkpoint_n_tokens(talk->checkpoint[0]);
    notes_deinit(&heard);
    answer_report report = ask(talk, "Another", 1, &heard);
    json_array_remove(talk->messages, json_array_size(talk->messages) - 1);
    assert_int_equal(report.prompt_tokens, whole_prompt(talk) - kept);
    notes_deinit(&heard);
    conversation_free(talk);
}

static void reset_forgets_all_but_the_system_text(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 4096);
    ds4_error error;
    notes heard = {0}, heard_again = {0};
    ask(talk, "Hello", 10, &heard);
    ask(talk, "Hello", 10, &heard_again);
    notes_deinit(&heard_again);
    assert_ok(conversation_reset(talk, &error), &error);
    assert_int_equal(json_array_size(talk->messages), 1);
    assert_string_equal(message_text(talk, 0, "content"), "Be kind");
    ask(talk, "Hello", 10, &heard_again);
    assert_string_equal(heard.said[0].data, heard_again.said[0].data);
    notes_deinit(&heard), notes_deinit(&heard_again);
    conversation_free(talk);
}

static void a_stopped_answer_stays_in_the_conversation(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 4096);
    notes heard = {0};
    ask(talk, "Hello", 1, &heard);
    notes again = {.stop_at = heard.n_questions + 30};
    answer_report report = ask(talk, "More", 0, &again);
    assert_int_equal(report.end, ANSWER_STOPPED);
    assert_true(report.answer_tokens > 0);
    assert_int_equal(json_array_size(talk->messages), 5); /* system, two of each */
    assert_string_equal(message_text(talk, 4, "role"), "assistant");
    notes_deinit(&heard), notes_deinit(&again);
    conversation_free(talk);
}

static void a_question_stopped_before_its_answer_is_taken_back(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 4096);
    notes heard = {.stop_at = 1};
    answer_report report = ask(talk, "Hello", 0, &heard);
    assert_int_equal(report.end, ANSWER_STOPPED);
    assert_int_equal(report.answer_tokens, 0);
    assert_int_equal(json_array_size(talk->messages), 1);
    notes_deinit(&heard);
    conversation_free(talk);
}

static void the_same_question_again_needs_its_last_token_only(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 4096);
    notes heard = {0}, again = {0};
    answer_report whole = ask(talk, "Hello", 1, &heard); /* the answer's token is not evaluated */
    assert_int_equal(conversation_used_tokens(talk), whole.prompt_tokens);
    json_array_remove(talk->messages, 2);
    json_array_remove(talk->messages, 1);
    answer_report report = ask(talk, "Hello", 1, &again);
    assert_int_equal(report.prompt_tokens, 1);
    assert_int_equal(conversation_used_tokens(talk), whole.prompt_tokens);
    assert_string_equal(heard.said[0].data, again.said[0].data);
    notes_deinit(&heard), notes_deinit(&again);
    conversation_free(talk);
}

static void a_question_without_room_leaves_the_conversation_as_it_was(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 60);
    notes heard = {0};
    ask(talk, "Hi", 4, &heard);
    conversation_listener listener = listener_of(&heard);
    answer_report report;
    ds4_error error;
    static const char text[] = "More than sixty tokens of text do not fit into a context of only sixty tokens";
    size_t used = conversation_used_tokens(talk);
    assert_int_equal(conversation_ask(talk, text, strlen(text), 0, &listener, &report, &error), DS4_ERROR_CONTEXT);
    assert_non_null(strstr(error.message, "room for 60"));
    assert_int_equal(json_array_size(talk->messages), 3);
    assert_int_equal(conversation_used_tokens(talk), used);
    notes_deinit(&heard);
    answer_report full = ask(talk, "Hi", 0, &heard);
    assert_true(full.end == ANSWER_CONTEXT || full.end == ANSWER_COMPLETE);
    notes_deinit(&heard);
    conversation_free(talk);
}

static void text_that_is_not_utf8_is_refused_with_its_place(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 60);
    notes heard = {0};
    conversation_listener listener = listener_of(&heard);
    answer_report report;
    ds4_error error;
    assert_int_equal(conversation_ask(talk, "a\xc3", 2, 0, &listener, &report, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "byte 1"));
    assert_int_equal(conversation_ask(talk, "ab\0c", 4, 0, &listener, &report, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "byte 2"));
    assert_int_equal(json_array_size(talk->messages), 1);
    conversation_free(talk);
}

static void another_context_size_keeps_what_fits(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_OFF, 4096);
    ds4_error error;
    notes heard = {0};
    ask(talk, "Hello", 10, &heard);
    size_t used = conversation_used_tokens(talk);
    assert_ok(conversation_set_context(talk, 1000, &error), &error);
    assert_int_equal(conversation_context_tokens(talk), 1000);
    assert_int_equal(conversation_used_tokens(talk), used);
    assert_int_equal(conversation_set_context(talk, 5, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(conversation_set_context(talk, 0, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(conversation_context_tokens(talk), 1000);
    assert_int_equal(conversation_used_tokens(talk), used);
    assert_ok(conversation_set_context(talk, 4096, &error), &error);
    notes_deinit(&heard);
    ask(talk, "Hello", 10, &heard);
    assert_int_equal(json_array_size(talk->messages), 5);
    notes_deinit(&heard);
    conversation_free(talk);
}

static void maximum_effort_needs_its_context(void **state) {
    (void)state;
    conversation *talk = new_conversation(THINK_MAX, DS4_MAX_EFFORT_CONTEXT - 1);
    ds4_error error;
    assert_int_equal(conversation_effort(talk), THINK_HIGH);
    assert_ok(conversation_set_context(talk, DS4_MAX_EFFORT_CONTEXT, &error), &error);
    assert_int_equal(conversation_effort(talk), THINK_MAX);
    conversation_free(talk);
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void check_answer(bool thinking, const char *raw, const char *reasoning, const char *text) {
    for (size_t piece = 1; piece <= strlen(raw); piece++) {
        notes heard = {0};
        answer reply;
        ds4_error error;
        assert_ok(answer_init(&reply, thinking, note_answer, &heard, &error), &error);
        for (size_t at = 0; at < strlen(raw); at += piece) {
            size_t left = strlen(raw) - at;
            assert_ok(answer_add(&reply, raw + at, left < piece ? left : piece, &error), &error);
        }
        assert_ok(answer_finish(&reply, &error), &error);
        json_t *message = answer_message(&reply);
        const char *kept = json_string_value(json_object_get(message, "reasoning_content"));
        assert_string_equal(json_string_value(json_object_get(message, "content")), text);
        assert_string_equal(kept ? kept : "", reasoning);
        assert_string_equal(heard.said[0].data ? heard.said[0].data : "", text);
        json_decref(message);
        answer_deinit(&reply);
        notes_deinit(&heard);
    }
}

static void reasoning_and_text_are_told_apart(void **state) {
    (void)state;
    check_answer(true, "let me see</think>Yes.", "let me see", "Yes.");
    check_answer(true, "cut off in the", "cut off in the", "");
    check_answer(false, "Yes.", "", "Yes.");
}

#define CALL                                                                                             \
    "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"x\" string=\"true\">1" \
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"

static void a_tool_call_stays_the_text_that_it_is(void **state) {
    (void)state;
    check_answer(true, "tool_calls> or not</think>I look.\n\n" CALL, "tool_calls> or not", "I look.\n\n" CALL);
    check_answer(false, CALL, "", CALL);
    check_answer(false, "A <b>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">", "",
                 "A <b>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">");
    check_answer(false, "\n\n<｜DSML｜tool_calls> oops", "", "\n\n<｜DSML｜tool_calls> oops");
}

static void an_answer_cut_inside_a_character_is_kept_as_text(void **state) {
    (void)state;
    notes heard = {0};
    answer reply;
    ds4_error error;
    assert_ok(answer_init(&reply, false, note_answer, &heard, &error), &error);
    assert_ok(answer_add(&reply, "a\xff\0z\xe4\xb8", 6, &error), &error);
    assert_ok(answer_finish(&reply, &error), &error);
    json_t *message = answer_message(&reply);
    assert_string_equal(json_string_value(json_object_get(message, "content")),
                        "a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(message);
    answer_deinit(&reply);
    notes_deinit(&heard);
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    ds4_error error;
    ds4_engine_options options = {0};
    if (ds4_model_open(tiny_model_path("tiny-a-f"), DS4_MODEL_FULL, &model, &error) == DS4_OK &&
        ds4_engine_new(model, &options, &engine, &error) == DS4_OK)
        return 0;
    fprintf(stderr, "%s\n", error.message);
    return -1;
}

static int tear_down(void **state) {
    (void)state;
    ds4_engine_free(engine);
    ds4_model_free(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_after_dropped_reasoning_are_those_of_a_fresh_start),
        cmocka_unit_test(answers_without_reasoning_are_those_of_a_fresh_start),
        cmocka_unit_test(a_turn_with_reasoning_starts_at_the_last_think_token),
        cmocka_unit_test(reset_forgets_all_but_the_system_text),
        cmocka_unit_test(a_stopped_answer_stays_in_the_conversation),
        cmocka_unit_test(a_question_stopped_before_its_answer_is_taken_back),
        cmocka_unit_test(the_same_question_again_needs_its_last_token_only),
        cmocka_unit_test(a_question_without_room_leaves_the_conversation_as_it_was),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_with_its_place),
        cmocka_unit_test(another_context_size_keeps_what_fits),
        cmocka_unit_test(maximum_effort_needs_its_context),
        cmocka_unit_test(reasoning_and_text_are_told_apart),
        cmocka_unit_test(a_tool_call_stays_the_text_that_it_is),
        cmocka_unit_test(an_answer_cut_inside_a_character_is_kept_as_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
