/*
 * Which checkpoint a prompt goes on from: by its tokens or by its text, what keeps typed text from passing for control
 * tokens, and which checkpoint has to go first. Checkpoints are numbers here; nothing is evaluated.
 */
#include "test.h"

#include "base/memory.h"
#include "server/prefix_tree.h"
#include "text/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"
#define EOS "<｜end▁of▁sentence｜>"

/* ---- checkpoints --------------------------------------------------------------------------------- */

struct ds4_checkpoint {
    int number;
};

static int n_alive;

static ds4_checkpoint *new_checkpoint(int number) {
    ds4_checkpoint *made = malloc(sizeof *made);
    assert_non_null(made);
    made->number = number;
    n_alive++;
    return made;
}

/* In the place of the engine's. */
void ds4_checkpoint_free(ds4_checkpoint *checkpoint) {
    if (checkpoint) n_alive--;
    free(checkpoint);
}

/* ---- prompts ------------------------------------------------------------------------------------- */

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

static prefix_tree *new_tree(void) {
    prefix_tree *tree = NULL;
    ds4_error error;
    assert_ok(prefix_tree_new(tokenizer, &tree, &error), &error);
    assert_int_equal(n_alive, 0);
    return tree;
}

static void free_tree(prefix_tree *tree) {
    prefix_tree_free(tree);
    assert_int_equal(n_alive, 0);
}

/* Tokens of pieces that are encoded one by one, so that they need not be those of the whole text. special: control
 * strings become control tokens. NULL ends the pieces. */
static ds4_tokens tokens_of(bool special, const char *const *piece) {
    ds4_tokens tokens = {0};
    ds4_error error;
    for (; *piece; piece++)
        assert_ok(ds4_tokenizer_encode(tokenizer, *piece, strlen(*piece), special, &tokens, &error), &error);
    return tokens;
}
#define TOKENS(...) tokens_of(true, (const char *const[]){__VA_ARGS__, NULL})
#define TYPED(...) tokens_of(false, (const char *const[]){__VA_ARGS__, NULL})

/* Takes the tokens; the prompt's text is theirs. */
static request *ask_tokens(ds4_tokens tokens) {
    request *asked = request_new();
    ds4_error error;
    assert_non_null(asked);
    assert_ok(prompt_append_tokens(&asked->prompt, tokenizer, tokens.id, tokens.n, &error), &error);
    asked->tokens = tokens;
    return asked;
}

static request *ask(const char *text) {
    return ask_tokens(TOKENS(text));
}

/* Takes the tokens. */
static void add_kind(prefix_tree *tree, ds4_tokens tokens, int number, prefix_kind kind, double now) {
    prefix_tree_add(tree, tokens.id, tokens.n, new_checkpoint(number), kind, now);
    ds4_tokens_deinit(&tokens);
}

static void add(prefix_tree *tree, ds4_tokens tokens, int number) {
    add_kind(tree, tokens, number, (prefix_kind){0}, number);
}

/* The number of the checkpoint that is found, 0 for none; covered: the text that it stands for. Takes the request. */
static void expect_match(prefix_tree *tree, request *asked, int number, bool by_text, const char *covered) {
    prefix_match match = prefix_tree_find(tree, asked, 1000);
    int found = match.checkpoint ? match.checkpoint->number : 0;
    if (found != number || match.by_text != by_text || match.n_bytes != strlen(covered))
        fail_msg("%s\nfound %d, by text %d, %zu bytes; expected %d, %d, %zu", asked->prompt.text.data, found,
                 match.by_text, match.n_bytes, number, by_text, strlen(covered));
    request_free(asked);
}

static bool has(const prefix_tree *tree, ds4_tokens tokens) {
    bool found = prefix_tree_has(tree, tokens.id, tokens.n);
    ds4_tokens_deinit(&tokens);
    return found;
}

/* ---- by tokens ----------------------------------------------------------------------------------- */

static void the_longest_beginning_is_found(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    expect_match(tree, ask("anything"), 0, false, "");
    add(tree, TOKENS("one two three four"), 4);
    add(tree, TOKENS("one two"), 2);
    add(tree, TOKENS("one two three five"), 5);
    add(tree, TOKENS("six"), 6);
    assert_int_equal(prefix_tree_n(tree), 4);
    expect_match(tree, ask("one two three four seven"), 4, false, "one two three four");
    expect_match(tree, ask("one two three six"), 2, false, "one two");
    expect_match(tree, ask("one two three five six"), 5, false, "one two three five");
    expect_match(tree, ask("one"), 0, false, "");
    expect_match(tree, ask("six seven"), 6, false, "six");
    expect_match(tree, ask("seven"), 0, false, "");
    free_tree(tree);
}

static void a_token_is_left_to_evaluate(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS("one two three"), 3);
    add(tree, TOKENS("one two"), 2);
    expect_match(tree, ask("one two three"), 2, false, "one two");
    expect_match(tree, ask("one two"), 0, false, "");
    request *nothing = request_new();
    expect_match(tree, nothing, 0, false, "");
    free_tree(tree);
}

static void what_is_there_is_known_exactly(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS("one two three four"), 1);
    assert_true(has(tree, TOKENS("one two three four")));
    assert_false(has(tree, TOKENS("one two three")));
    assert_false(has(tree, TOKENS("one two three four five")));
    assert_false(has(tree, TOKENS("one two three five")));
    add(tree, TOKENS("one two three five"), 2); /* a split without a checkpoint */
    assert_false(has(tree, TOKENS("one two three")));
    assert_false(has(tree, (ds4_tokens){0}));
    assert_int_equal(n_alive, 2);
    add(tree, TOKENS("one two three four"), 3); /* the first one stays */
    assert_int_equal(n_alive, 2);
    expect_match(tree, ask("one two three four five"), 1, false, "one two three four");
    add(tree, (ds4_tokens){0}, 4); /* no tokens, no checkpoint */
    assert_int_equal(n_alive, 2);
    int32_t foreign = 1 << 20; /* no token */
    prefix_tree_add(tree, &foreign, 1, new_checkpoint(5), (prefix_kind){0}, 0);
    assert_int_equal(n_alive, 2);
    free_tree(tree);
    prefix_tree_free(NULL);
}

/* ---- by text ------------------------------------------------------------------------------------- */

static void tokens_that_only_spell_the_prompt_are_found_by_text(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS(USER "hi" ASSISTANT, "th", "ought", "ful ans", "wer", EOS), 1);
    expect_match(tree, ask(USER "hi" ASSISTANT "thoughtful answer" EOS USER "next"), 1, true,
                 USER "hi" ASSISTANT "thoughtful answer" EOS);
    /* further down too, where the tokens are the usual ones again */
    add(tree, TOKENS(USER "hi" ASSISTANT, "th", "ought", "ful ans", "wer", EOS USER "next" ASSISTANT "more" EOS), 2);
    expect_match(tree, ask(USER "hi" ASSISTANT "thoughtful answer" EOS USER "next" ASSISTANT "more" EOS USER), 2, true,
                 USER "hi" ASSISTANT "thoughtful answer" EOS USER "next" ASSISTANT "more" EOS);
    /* by tokens if that is as long */
    add(tree, TOKENS(USER "hi" ASSISTANT "thoughtful answer" EOS), 3);
    expect_match(tree, ask(USER "hi" ASSISTANT "thoughtful answer" EOS USER "other"), 3, false,
                 USER "hi" ASSISTANT "thoughtful answer" EOS);
    /* and by text again if that is longer */
    expect_match(tree, ask(USER "hi" ASSISTANT "thoughtful answer" EOS USER "next" ASSISTANT "more" EOS USER), 2, true,
                 USER "hi" ASSISTANT "thoughtful answer" EOS USER "next" ASSISTANT "more" EOS);
    free_tree(tree);
}

static void by_text_only_clean_cuts_count(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS(USER "th", "ought"), 1);
    /* what follows would be another token than after the prompt's own "thought" */
    expect_match(tree, ask(USER "thoughtful"), 0, false, "");
    expect_match(tree, ask(USER "thought and more"), 0, false, "");
    /* a control token follows, or was the last */
    expect_match(tree, ask(USER "thought" ASSISTANT), 1, true, USER "thought");
    add(tree, TOKENS(USER "th", "ought", ASSISTANT), 2);
    expect_match(tree, ask(USER "thought" ASSISTANT "text"), 2, true, USER "thought" ASSISTANT);
    /* a token is left */
    expect_match(tree, ask(USER "thought" ASSISTANT), 1, true, USER "thought");
    expect_match(tree, ask(USER "thought"), 0, false, "");
    free_tree(tree);
}

static void typed_control_strings_never_match(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS("a", USER, "b" EOS), 1);
    ds4_tokens typed = TOKENS("a"), mark = TYPED(USER), rest = TOKENS("b" EOS "c");
    ds4_error error;
    assert_ok(ds4_tokens_append(&typed, mark.id, mark.n, &error), &error);
    assert_ok(ds4_tokens_append(&typed, rest.id, rest.n, &error), &error);
    request *asked = ask_tokens(typed);
    assert_string_equal(asked->prompt.text.data, "a" USER "b" EOS "c");
    assert_int_equal(asked->prompt.n_control, 1);
    expect_match(tree, asked, 0, false, "");
    /* and the other way round */
    ds4_tokens_deinit(&rest);
    typed = TOKENS("x"), rest = TOKENS("y" EOS);
    assert_ok(ds4_tokens_append(&typed, mark.id, mark.n, &error), &error);
    assert_ok(ds4_tokens_append(&typed, rest.id, rest.n, &error), &error);
    add(tree, typed, 2);
    expect_match(tree, ask("x" USER "y" EOS "c"), 0, false, "");
    ds4_tokens_deinit(&mark);
    ds4_tokens_deinit(&rest);
    free_tree(tree);
}

/* The byte that marks control tokens in the tree's text is a token of its own, which a model can write. */
static void bytes_that_look_like_the_trees_marks_never_match(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    ds4_tokens fake = TOKENS("a", "\xff"), mark = TYPED(USER), rest = TOKENS(EOS);
    ds4_error error;
    assert_ok(ds4_tokens_append(&fake, mark.id, mark.n, &error), &error);
    assert_ok(ds4_tokens_append(&fake, rest.id, rest.n, &error), &error);
    add(tree, fake, 1);
    expect_match(tree, ask("a" USER EOS "b"), 0, false, "");
    ds4_tokens_deinit(&mark);
    ds4_tokens_deinit(&rest);
    free_tree(tree);
}

static void prompts_of_tokens_match_by_tokens_alone(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS(USER "th", "ought" EOS), 1);
    request *asked = ask(USER "thought" EOS "x");
    ds4_prompt_deinit(&asked->prompt);
    expect_match(tree, asked, 0, false, "");
    asked = ask_tokens(TOKENS(USER "th", "ought" EOS, "x"));
    ds4_prompt_deinit(&asked->prompt);
    expect_match(tree, asked, 1, false, USER "thought" EOS);
    free_tree(tree);
}

/* A long conversation whose first answer has unusual tokens: all its turns lie on a path that only the text finds. */
static void a_path_of_many_turns_is_followed_by_text(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    ds4_tokens path = TOKENS(USER "hi" ASSISTANT "th", "ought" EOS), turn = TOKENS(USER "go" ASSISTANT "on" EOS);
    ds4_buffer text = {0};
    ds4_error error;
    assert_true(buffer_append_string(&text, USER "hi" ASSISTANT "thought" EOS));
    for (int i = 1; i <= 500; i++) {
        prefix_tree_add(tree, path.id, path.n, new_checkpoint(i), (prefix_kind){0}, i);
        assert_ok(ds4_tokens_append(&path, turn.id, turn.n, &error), &error);
        assert_true(buffer_append_string(&text, USER "go" ASSISTANT "on" EOS));
    }
    ds4_buffer covered = {0};
    assert_true(buffer_append(&covered, text.data, text.n_bytes - strlen(USER "go" ASSISTANT "on" EOS)));
    expect_match(tree, ask(text.data), 500, true, covered.data);
    ds4_buffer_deinit(&text);
    ds4_buffer_deinit(&covered);
    ds4_tokens_deinit(&path);
    ds4_tokens_deinit(&turn);
    free_tree(tree);
}

/* ---- against a list ------------------------------------------------------------------------------ */

enum { MAX_LISTED = 60, MAX_LENGTH = 7 };

typedef struct listed {
    int32_t id[MAX_LENGTH];
    size_t n;
    int number;
    double last_used;
} listed;

static unsigned next_random(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/* Token strings that can be put together to the same text in several ways. */
static const char *const alphabet[] = {"a", "b", "ab", "ba", "aa", "th", USER, EOS};

static size_t random_tokens(unsigned *seed, int32_t id[MAX_LENGTH]) {
    size_t n = 1 + next_random(seed) % MAX_LENGTH;
    for (size_t i = 0; i < n; i++) {
        ds4_tokens one = TOKENS(alphabet[next_random(seed) % 8]);
        assert_int_equal(one.n, 1);
        id[i] = one.id[0];
        ds4_tokens_deinit(&one);
    }
    return n;
}

static ds4_buffer marked_text(const int32_t *id, size_t n) {
    ds4_buffer text = {0};
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        const char *bytes = ds4_tokenizer_token_bytes(tokenizer, id[i], &n_bytes);
        if (ds4_tokenizer_is_control(tokenizer, id[i])) assert_true(buffer_append(&text, "\xff", 1));
        assert_true(buffer_append(&text, bytes, n_bytes));
    }
    return text;
}

/* How much of the prompt's marked text one of the list covers; 0: it does not begin the prompt. */
static size_t covered_by(const listed *one, const int32_t *id, size_t n, bool *by_tokens) {
    ds4_buffer ours = marked_text(one->id, one->n), whole = marked_text(id, n);
    *by_tokens = one->n < n && memcmp(one->id, id, one->n * sizeof *id) == 0;
    size_t covered = ours.n_bytes;
    bool begins = ours.n_bytes < whole.n_bytes && memcmp(ours.data, whole.data, ours.n_bytes) == 0;
    bool clean = begins && (whole.data[covered] == '\xff' || ds4_tokenizer_is_control(tokenizer, one->id[one->n - 1]));
    if (!*by_tokens && !clean) covered = 0;
    ds4_buffer_deinit(&ours);
    ds4_buffer_deinit(&whole);
    return covered;
}

static void check_find(prefix_tree *tree, const listed *list, size_t n_listed, const int32_t *id, size_t n) {
    size_t longest = 0, longest_by_tokens = 0;
    for (size_t i = 0; i < n_listed; i++) {
        bool by_tokens;
        size_t covered = covered_by(&list[i], id, n, &by_tokens);
        if (covered > longest) longest = covered;
        if (by_tokens && covered > longest_by_tokens) longest_by_tokens = covered;
    }
    ds4_tokens tokens = {0};
    assert_int_equal(ds4_tokens_append(&tokens, id, n, NULL), DS4_OK);
    request *asked = ask_tokens(tokens);
    prefix_match match =
        prefix_tree_find(tree, asked, 0); /* as if long ago: changes what is evicted, not what is there */
    assert_int_equal(match.checkpoint != NULL, longest > 0);
    assert_int_equal(match.by_text, longest > longest_by_tokens);
    for (size_t i = 0; match.checkpoint && i < n_listed; i++)
        if (list[i].number == match.checkpoint->number) {
            bool by_tokens;
            assert_int_equal(covered_by(&list[i], id, n, &by_tokens), longest);
            assert_int_equal(match.n_tokens, list[i].n);
            assert_true(match.by_text || by_tokens);
            size_t n_marks = 0;
            for (size_t k = 0; k < list[i].n; k++) n_marks += ds4_tokenizer_is_control(tokenizer, list[i].id[k]);
            assert_int_equal(match.n_bytes, longest - n_marks);
        }
    request_free(asked);
}

static size_t find_listed(const listed *list, size_t n_listed, const int32_t *id, size_t n) {
    size_t i = 0;
    while (i < n_listed && (list[i].n != n || memcmp(list[i].id, id, n * sizeof *id) != 0)) i++;
    return i;
}

static void the_tree_finds_what_a_list_would_find(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        unsigned random_state = seed;
        prefix_tree *tree = new_tree();
        static listed list[MAX_LISTED];
        size_t n_listed = 0;
        for (int step = 1; step <= 150; step++) {
            listed one = {.number = step};
            one.n = random_tokens(&random_state, one.id);
            size_t at = find_listed(list, n_listed, one.id, one.n);
            assert_int_equal(prefix_tree_has(tree, one.id, one.n), at < n_listed);
            check_find(tree, list, n_listed, one.id, one.n);
            if (n_listed == MAX_LISTED || next_random(&random_state) % 4 == 0) {
                bool evicted = prefix_tree_evict(tree);
                assert_int_equal(evicted, n_listed > 0);
                for (size_t i = 0, n_gone = 0; i < n_listed; i++) /* one is gone, and only one */
                    if (!prefix_tree_has(tree, list[i].id, list[i].n)) {
                        assert_int_equal(n_gone++, 0);
                        list[i--] = list[--n_listed];
                    }
            } else {
                prefix_tree_add(tree, one.id, one.n, new_checkpoint(step), (prefix_kind){0}, step);
                if (at == n_listed) list[n_listed++] = one;
            }
            assert_int_equal(prefix_tree_n(tree), n_listed);
            assert_int_equal(n_alive, n_listed);
        }
        while (prefix_tree_evict(tree)) continue;
        assert_int_equal(prefix_tree_bytes(tree), 0);
        free_tree(tree);
    }
}

/* ---- what goes first ----------------------------------------------------------------------------- */

static void edges_weigh_what_they_hold(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    assert_int_equal(prefix_tree_bytes(tree), 0);
    ds4_tokens one = TOKENS("one"), two = TOKENS("one and two");
    size_t of_one = one.n * sizeof *one.id + strlen("one"), of_two = two.n * sizeof *two.id + strlen("one and two");
    add(tree, two, 1);
    assert_int_equal(prefix_tree_bytes(tree), of_two);
    add(tree, one, 2); /* a part of the same edge */
    assert_int_equal(prefix_tree_bytes(tree), of_two);
    assert_true(prefix_tree_evict(tree)); /* two */
    assert_int_equal(prefix_tree_bytes(tree), of_one);
    assert_true(prefix_tree_evict(tree));
    assert_int_equal(prefix_tree_bytes(tree), 0);
    free_tree(tree);
}

static void the_least_recently_used_goes_first(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add(tree, TOKENS("one"), 1);
    add(tree, TOKENS("two"), 2);
    add(tree, TOKENS("three"), 3);
    expect_match(tree, ask("one and"), 1, false, "one"); /* now used at 1000 */
    assert_true(prefix_tree_evict(tree));
    assert_false(has(tree, TOKENS("two")));
    add_kind(tree, TOKENS("three"), 3, (prefix_kind){0}, 2000); /* adding it again is a use too */
    assert_true(prefix_tree_evict(tree));
    assert_false(has(tree, TOKENS("one")));
    assert_true(has(tree, TOKENS("three")));
    assert_true(prefix_tree_evict(tree));
    assert_false(prefix_tree_evict(tree));
    assert_int_equal(prefix_tree_n(tree), 0);
    free_tree(tree);
}

static void thirty_titles_leave_the_conversation_of_the_last_hour(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    const prefix_kind agent = {.has_tools = true}, title = {0};
    add_kind(tree, TOKENS("agent of long ago"), 1, agent, 0);
    add_kind(tree, TOKENS("agent"), 2, agent, 5000);
    add_kind(tree, TOKENS("agent goes on"), 3, agent, 5001);
    char text[32];
    for (int i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "title %d", i);
        add_kind(tree, TOKENS(text), 10 + i, title, 5100 + i);
        assert_true(prefix_tree_evict(tree)); /* room for two only */
        assert_int_equal(prefix_tree_n(tree), 3);
    }
    assert_true(has(tree, TOKENS("agent")));
    assert_true(has(tree, TOKENS("agent goes on")));
    /* after more than an hour anybody's turn comes */
    add_kind(tree, TOKENS("much later"), 50, title, 9000);
    assert_true(prefix_tree_evict(tree));
    assert_true(prefix_tree_evict(tree));
    assert_false(has(tree, TOKENS("agent")));
    assert_true(has(tree, TOKENS("agent goes on")));
    assert_true(has(tree, TOKENS("much later")));
    free_tree(tree);
}

static void a_chat_among_agents_keeps_its_last_state(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    const prefix_kind agent = {.has_tools = true}, chat = {0};
    add_kind(tree, TOKENS("agent"), 1, agent, 1);
    add_kind(tree, TOKENS("agent goes on"), 2, agent, 2);
    for (int turn = 0; turn < 2; turn++) { /* room for two */
        add_kind(tree, turn ? TOKENS("chat goes on") : TOKENS("chat"), 3 + turn, chat, 3 + turn);
        assert_true(prefix_tree_evict(tree));
    }
    assert_true(has(tree, TOKENS("agent goes on")));
    assert_true(has(tree, TOKENS("chat goes on")));
    free_tree(tree);
}

static void the_end_of_the_system_part_is_used_with_everything_below(void **state) {
    (void)state;
    prefix_tree *tree = new_tree();
    add_kind(tree, TOKENS("system"), 1, (prefix_kind){.ends_system = true}, 1);
    add_kind(tree, TOKENS("system and one"), 2, (prefix_kind){0}, 2);
    add_kind(tree, TOKENS("system and one turn"), 3, (prefix_kind){0}, 3);
    expect_match(tree, ask("system and one turn more"), 3, false, "system and one turn");
    assert_true(prefix_tree_evict(tree));
    assert_false(has(tree, TOKENS("system and one")));
    assert_true(has(tree, TOKENS("system")));
    assert_true(has(tree, TOKENS("system and one turn")));
    free_tree(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_beginning_is_found),
        cmocka_unit_test(a_token_is_left_to_evaluate),
        cmocka_unit_test(what_is_there_is_known_exactly),
        cmocka_unit_test(tokens_that_only_spell_the_prompt_are_found_by_text),
        cmocka_unit_test(by_text_only_clean_cuts_count),
        cmocka_unit_test(typed_control_strings_never_match),
        cmocka_unit_test(bytes_that_look_like_the_trees_marks_never_match),
        cmocka_unit_test(prompts_of_tokens_match_by_tokens_alone),
        cmocka_unit_test(a_path_of_many_turns_is_followed_by_text),
        cmocka_unit_test(the_tree_finds_what_a_list_would_find),
        cmocka_unit_test(edges_weigh_what_they_hold),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(thirty_titles_leave_the_conversation_of_the_last_hour),
        cmocka_unit_test(a_chat_among_agents_keeps_its_last_state),
        cmocka_unit_test(the_end_of_the_system_part_is_used_with_everything_below),
    };
    return cmocka_run_group_tests_name("server_prefix", tests, setup, teardown);
}
