#include "base/memory.h"
#include "test.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <pthread.h>

#define VOCABULARY "tests/data/vocab.gguf"
#define CASES "tests/data/tokenizer_cases.json"

typedef struct fixture {
    ds4_tokenizer *tokenizer;
    json_t *cases;
} fixture;

static fixture vocabulary;

static int open_vocabulary(void **state) {
    (void)state;
    ds4_error error = {""};
    gguf_file *file = NULL;
    ds4_status status = gguf_open(VOCABULARY, NULL, &file, &error);
    if (status == DS4_OK) status = tokenizer_new(file, &vocabulary.tokenizer, &error);
    gguf_close(file); /* the tokenizer does not need it any more */
    if (status != DS4_OK) {
        print_error("%s\n", error.message);
        return -1;
    }
    json_error_t problem;
    vocabulary.cases = json_load_file(CASES, JSON_ALLOW_NUL, &problem);
    return vocabulary.cases ? 0 : -1;
}

static int close_vocabulary(void **state) {
    (void)state;
    json_decref(vocabulary.cases);
    tokenizer_free(vocabulary.tokenizer);
    return 0;
}

static ds4_tokens encode(const char *text, size_t n_bytes, bool special) {
    ds4_tokens tokens = {0};
    ds4_error error = {""};
    if (ds4_tokenizer_encode(vocabulary.tokenizer, text, n_bytes, special, &tokens, &error) != DS4_OK)
        fail_msg("%s", error.message);
    return tokens;
}

static ds4_buffer decode(const ds4_tokens *tokens) {
    ds4_buffer text = {0};
    ds4_error error = {""};
    if (ds4_tokenizer_decode(vocabulary.tokenizer, tokens->id, tokens->n, &text, &error) != DS4_OK)
        fail_msg("%s", error.message);
    return text;
}

static bool is_control(int32_t id) {
    size_t n_bytes;
    const char *bytes = ds4_tokenizer_token_bytes(vocabulary.tokenizer, id, &n_bytes);
    return strlen(bytes) == n_bytes && ds4_tokenizer_control_id(vocabulary.tokenizer, bytes) == id;
}

static void assert_text(const ds4_buffer *text, const char *expected, size_t n_bytes) {
    assert_int_equal(text->n_bytes, n_bytes);
    if (n_bytes) assert_memory_equal(text->data, expected, n_bytes);
}

/* Encoding and decoding gives the text back, and plain text gives no control token. */
static void assert_round_trip(const char *text, size_t n_bytes) {
    for (int special = 0; special < 2; special++) {
        ds4_tokens tokens = encode(text, n_bytes, special);
        ds4_buffer back = decode(&tokens);
        assert_text(&back, text, n_bytes);
        for (size_t i = 0; !special && i < tokens.n; i++) assert_false(is_control(tokens.id[i]));
        ds4_buffer_deinit(&back);
        ds4_tokens_deinit(&tokens);
    }
}

/* ---- the published vocabulary -------------------------------------------------------------------- */

static void the_vocabulary_has_the_published_ids(void **state) {
    (void)state;
    const ds4_tokenizer *tokenizer = vocabulary.tokenizer;
    static const struct {
        const char *string;
        int32_t id;
    } control[] = {{"<｜begin▁of▁sentence｜>", 0},
                   {"<｜end▁of▁sentence｜>", 1},
                   {"<｜User｜>", 128803},
                   {"<｜Assistant｜>", 128804},
                   {"<think>", 128821},
                   {"</think>", 128822},
                   {"｜DSML｜", 128825},
                   {"<｜latest_reminder｜>", 128828}};
    assert_int_equal(ds4_tokenizer_n_tokens(tokenizer), 129280);
    assert_int_equal(ds4_tokenizer_bos(tokenizer), 0);
    assert_int_equal(ds4_tokenizer_eos(tokenizer), 1);
    for (size_t i = 0; i < sizeof control / sizeof *control; i++) {
        assert_int_equal(ds4_tokenizer_control_id(tokenizer, control[i].string), control[i].id);
        size_t n_bytes;
        assert_string_equal(ds4_tokenizer_token_bytes(tokenizer, control[i].id, &n_bytes), control[i].string);
        assert_int_equal(n_bytes, strlen(control[i].string));
    }
    for (size_t i = 0; i < sizeof control / sizeof *control; i++)
        assert_true(ds4_tokenizer_is_control(tokenizer, control[i].id));
    static const int32_t ordinary[] = {-1, 5, 1000, 127000, 129280, INT32_MAX};
    for (size_t i = 0; i < sizeof ordinary / sizeof *ordinary; i++)
        assert_false(ds4_tokenizer_is_control(tokenizer, ordinary[i]));
    assert_int_equal(ds4_tokenizer_control_id(tokenizer, "<｜Nobody｜>"), -1);
    assert_int_equal(ds4_tokenizer_control_id(tokenizer, ""), -1);
    assert_int_equal(ds4_tokenizer_control_id(tokenizer, "Hello"), -1); /* a token, but not of control */
}

static void every_case_gives_the_expected_ids(void **state) {
    (void)state;
    size_t index;
    json_t *one;
    assert_int_equal(json_array_size(vocabulary.cases), 71);
    json_array_foreach(vocabulary.cases, index, one) {
        json_t *text = json_object_get(one, "text"), *ids = json_object_get(one, "ids");
        ds4_tokens tokens = encode(json_string_value(text), json_string_length(text), false);
        if (tokens.n != json_array_size(ids))
            fail_msg("case %zu has %zu tokens, expected %zu", index, tokens.n, json_array_size(ids));
        for (size_t i = 0; i < tokens.n; i++)
            assert_int_equal(tokens.id[i], json_integer_value(json_array_get(ids, i)));
        ds4_tokens_deinit(&tokens);
    }
}

static void every_case_survives_decoding_and_encoding_again(void **state) {
    (void)state;
    size_t index;
    json_t *one;
    json_array_foreach(vocabulary.cases, index, one) {
        json_t *text = json_object_get(one, "text"), *ids = json_object_get(one, "ids");
        ds4_tokens expected = {0};
        for (size_t i = 0; i < json_array_size(ids); i++) {
            int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
            assert_int_equal(ds4_tokens_append(&expected, &id, 1, NULL), DS4_OK);
        }
        ds4_buffer back = decode(&expected);
        assert_text(&back, json_string_value(text), json_string_length(text));
        ds4_tokens again = encode(back.data ? back.data : "", back.n_bytes, false);
        assert_int_equal(again.n, expected.n);
        if (again.n) assert_memory_equal(again.id, expected.id, again.n * sizeof *again.id);
        ds4_tokens_deinit(&again);
        ds4_tokens_deinit(&expected);
        ds4_buffer_deinit(&back);
    }
}

/* ---- pieces -------------------------------------------------------------------------------------- */

static ds4_status append_piece(void *context, const char *piece, size_t n_bytes, ds4_error *error) {
    (void)error;
    ds4_buffer *joined = context;
    bool enough =
        buffer_append(joined, "[", 1) && buffer_append(joined, piece, n_bytes) && buffer_append(joined, "]", 1);
    return enough ? DS4_OK : DS4_ERROR_MEMORY;
}

static void text_is_cut_into_the_official_pieces(void **state) {
    (void)state;
    static const struct {
        const char *text, *pieces;
    } expected[] = {
        {"1234567", "[123][456][7]"},
        {"a1 b22", "[a][1][ b][22]"},
        {"x一龥y龦", "[x][一龥][y龦]"},         /* U+9FA5 ends the ideographs */
        {"xぁゟァヿyㄅ", "[x][ぁゟァヿ][yㄅ]"}, /* U+3041, U+309F, U+30A1, U+30FF; U+3105 is none */
        {"xァy", "[x][ァ][y]"},
        {"ア゠ア・", "[ア][゠][ア][・]"}, /* the last split still applies within kana */
        {" 日本 go", "[ ][日本][ go]"},   /* the ideographs are cut out first, the space stays behind */
        {"don't", "[don]['t]"},
        {"foo_bar -x", "[foo][_bar][ -][x]"},
        {" !? \r\nz", "[ !?][ \r\n][z]"},
        {"!?\r\n\nz", "[!?\r\n\n][z]"},
        {"a   b", "[a][  ][ b]"},
        {"a  \n \n  b", "[a][  \n \n][ ][ b]"},
        {"a   1", "[a][   ][1]"}, /* the digit is cut off first: nothing follows the spaces */
        {"a  ", "[a][  ]"},
        {"cafés", "[cafés]"},
        {"“é” ~°", "[“][é][”][ ~°]"},
        {"\001\002a", "[\001][\002a]"},
        {"a\xff\xfe  b", "[a][\xff\xfe][ ][ b]"},
    };
    pretokenizer *splitter = NULL;
    pretokenizer_run *run = NULL;
    assert_int_equal(pretokenizer_new(&splitter, NULL), DS4_OK);
    assert_int_equal(pretokenizer_run_new(splitter, &run, NULL), DS4_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ds4_buffer pieces = {0};
        assert_int_equal(
            pretokenizer_split(run, expected[i].text, strlen(expected[i].text), append_piece, &pieces, NULL), DS4_OK);
        assert_string_equal(pieces.data, expected[i].pieces);
        ds4_buffer_deinit(&pieces);
    }
    pretokenizer_run_free(run);
    pretokenizer_free(splitter);
}

static ds4_status refuse_piece(void *context, const char *piece, size_t n_bytes, ds4_error *error) {
    (void)piece, (void)n_bytes, (void)error;
    ++*(int *)context;
    return DS4_ERROR_MEMORY;
}

static void a_sink_that_fails_stops_the_cutting(void **state) {
    (void)state;
    static const char *const texts[] = {"a b c", "\xff b", "12345", "日a"};
    pretokenizer *splitter = NULL;
    pretokenizer_run *run = NULL;
    assert_int_equal(pretokenizer_new(&splitter, NULL), DS4_OK);
    assert_int_equal(pretokenizer_run_new(splitter, &run, NULL), DS4_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int n_calls = 0;
        assert_int_equal(pretokenizer_split(run, texts[i], strlen(texts[i]), refuse_piece, &n_calls, NULL),
                         DS4_ERROR_MEMORY);
        assert_int_equal(n_calls, 1);
    }
    pretokenizer_run_free(run);
    pretokenizer_free(splitter);
}

/* ---- any bytes ----------------------------------------------------------------------------------- */

static void nul_bytes_are_kept(void **state) {
    (void)state;
    static const char text[] = "\0before\0\0after 1\0002\0";
    assert_round_trip(text, sizeof text - 1);
    ds4_tokens with = encode("a\0b", 3, false), without = encode("a", 1, false);
    assert_true(with.n > without.n);
    ds4_tokens_deinit(&with);
    ds4_tokens_deinit(&without);
}

static void bytes_that_are_not_utf8_become_byte_tokens(void **state) {
    (void)state;
    static const char *const texts[] = {
        "\xff",         "\x80\x80\x80", "abc\xc3",          "\xe4\xbd",
        "\xed\xa0\x80", "\xc0\xaf",     "\xf4\x90\x80\x80", "a\xff b\xfe\xfe 12\x80\xe2\x80\x9c"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_round_trip(texts[i], strlen(texts[i]));
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    assert_round_trip(all, sizeof all);

    /* What is around such bytes is cut as if it stood alone. */
    ds4_tokens whole = encode("Hello\xff world", 12, false), first = encode("Hello", 5, false),
               last = encode(" world", 6, false);
    assert_int_equal(whole.n, first.n + 1 + last.n);
    assert_memory_equal(whole.id, first.id, first.n * sizeof *first.id);
    assert_memory_equal(whole.id + first.n + 1, last.id, last.n * sizeof *last.id);
    ds4_tokens_deinit(&whole);
    ds4_tokens_deinit(&first);
    ds4_tokens_deinit(&last);
}

static void random_bytes_survive(void **state) {
    (void)state;
    static const char alphabet[17] = " \n\r1a<>|,.\xe3\x81\x82\xef\xbd\x9c";
    uint64_t random = 1;
    for (int round = 0; round < 300; round++) {
        char text[64];
        size_t n = 0;
        while (n < sizeof text) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[n++] = round % 2 ? (char)(random >> 56) : alphabet[random >> 33 & 15];
        }
        assert_round_trip(text, (size_t)(random >> 40 & 63));
    }
}

static void words_of_a_megabyte_are_encoded(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    static const char *const units[] = {"a", " ", "7", "!", "\n", "\t", "日", "é", "\xff", "\0", " \n", "<", "ab1 ,"};
    char *text = malloc(N + 8);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i]) ? strlen(units[i]) : 1, n = 0;
        for (; n < N; n += length) memcpy(text + n, units[i], length);
        assert_round_trip(text, n);
        text[n] = 'x';
        assert_round_trip(text, n + 1);
    }
    for (size_t n = 0; n < N; n++) text[n] = (char)('a' + (n * n / 7 + n / 3) % 26);
    assert_round_trip(text, N);
    free(text);
}

/* ---- control tokens ------------------------------------------------------------------------------ */

static void control_strings_in_plain_text_stay_text(void **state) {
    (void)state;
    size_t n_control = 0;
    for (int32_t id = 0; (size_t)id < ds4_tokenizer_n_tokens(vocabulary.tokenizer); id++) {
        if (!is_control(id)) continue;
        n_control++;
        size_t n_bytes;
        const char *string = ds4_tokenizer_token_bytes(vocabulary.tokenizer, id, &n_bytes);
        char embedded[512];
        int n = snprintf(embedded, sizeof embedded, "say %s%s, now %s5\n", string, string, string);
        assert_round_trip(string, n_bytes);
        assert_round_trip(embedded, (size_t)n);
    }
    assert_int_equal(n_control, 1283);
}

static void control_strings_become_control_tokens_when_asked_for(void **state) {
    (void)state;
    for (int32_t id = 0; (size_t)id < ds4_tokenizer_n_tokens(vocabulary.tokenizer); id++) {
        if (!is_control(id)) continue;
        size_t n_bytes;
        const char *string = ds4_tokenizer_token_bytes(vocabulary.tokenizer, id, &n_bytes);
        char embedded[512];
        int n = snprintf(embedded, sizeof embedded, "Hello%s%s world", string, string);
        ds4_tokens tokens = encode(embedded, (size_t)n, true), first = encode("Hello", 5, false),
                   last = encode(" world", 6, false);
        assert_int_equal(tokens.n, first.n + 2 + last.n);
        assert_memory_equal(tokens.id, first.id, first.n * sizeof *first.id);
        assert_int_equal(tokens.id[first.n], id);
        assert_int_equal(tokens.id[first.n + 1], id);
        assert_memory_equal(tokens.id + first.n + 2, last.id, last.n * sizeof *last.id);
        ds4_tokens_deinit(&tokens);
        ds4_tokens_deinit(&first);
        ds4_tokens_deinit(&last);
    }
}

static void a_prompt_with_control_strings_has_the_known_frame(void **state) {
    (void)state;
    static const char text[] = "<｜begin▁of▁sentence｜><｜User｜>Hello<｜Assistant｜></think><｜Us";
    ds4_tokens tokens = encode(text, sizeof text - 1, true), plain = encode("<｜Us", strlen("<｜Us"), false);
    assert_int_equal(tokens.n, 5 + plain.n);
    static const int32_t frame[] = {0, 128803, 19923, 128804, 128822};
    assert_memory_equal(tokens.id, frame, sizeof frame);
    ds4_tokens_deinit(&tokens);
    ds4_tokens_deinit(&plain);
}

static void cut_control_strings_are_text(void **state) {
    (void)state;
    static const char *const strings[] = {"<｜User｜>", "</think>", "｜DSML｜"};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        for (size_t n_bytes = 0; n_bytes < strlen(strings[i]); n_bytes++) {
            ds4_tokens tokens = encode(strings[i], n_bytes, true); /* what follows must not be read */
            for (size_t t = 0; t < tokens.n; t++) assert_false(is_control(tokens.id[t]));
            ds4_tokens_deinit(&tokens);
        }
    }
}

/* ---- arguments ----------------------------------------------------------------------------------- */

static void ids_outside_the_vocabulary_are_refused(void **state) {
    (void)state;
    static const int32_t wrong[] = {-1, 129280, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ds4_buffer text = {0};
        ds4_error error = {""};
        int32_t id[2] = {19923, wrong[i]};
        size_t n_bytes = 7;
        assert_true(buffer_append_string(&text, "kept"));
        assert_int_equal(ds4_tokenizer_decode(vocabulary.tokenizer, id, 2, &text, &error), DS4_ERROR_ARGUMENT);
        assert_string_equal(text.data, "kept");
        assert_non_null(strstr(error.message, "expected 0 to 129279"));
        assert_null(ds4_tokenizer_token_bytes(vocabulary.tokenizer, wrong[i], &n_bytes));
        ds4_buffer_deinit(&text);
    }
}

static void encoding_appends_and_empty_text_gives_nothing(void **state) {
    (void)state;
    ds4_tokens tokens = encode("Hello", 5, false);
    size_t n = tokens.n;
    assert_int_equal(ds4_tokenizer_encode(vocabulary.tokenizer, NULL, 0, true, &tokens, NULL), DS4_OK);
    assert_int_equal(tokens.n, n);
    assert_int_equal(ds4_tokenizer_encode(vocabulary.tokenizer, "Hello", 5, false, &tokens, NULL), DS4_OK);
    assert_int_equal(tokens.n, 2 * n);
    assert_memory_equal(tokens.id, tokens.id + n, n * sizeof *tokens.id);
    ds4_tokens_deinit(&tokens);
}

static void *encode_all_cases(void *unused) {
    (void)unused;
    size_t n_wrong = 0;
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < json_array_size(vocabulary.cases); i++) {
            json_t *one = json_array_get(vocabulary.cases, i), *text = json_object_get(one, "text");
            ds4_tokens tokens = {0};
            ds4_tokenizer_encode(vocabulary.tokenizer, json_string_value(text), json_string_length(text), false,
                                 &tokens, NULL);
            n_wrong += tokens.n != json_array_size(json_object_get(one, "ids"));
            ds4_tokens_deinit(&tokens);
        }
    }
    return (void *)(uintptr_t)n_wrong;
}

static void threads_share_one_tokenizer(void **state) {
    (void)state;
    pthread_t thread[4];
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, encode_all_cases, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        void *n_wrong;
        assert_int_equal(pthread_join(thread[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
}

/* ---- small vocabularies -------------------------------------------------------------------------- */

#define BOS "<｜begin▁of▁sentence｜>"
#define EOS "<｜end▁of▁sentence｜>"
enum { SMALL_MAX = 300 };

/* What a small file says; a NULL pointer leaves the key out. */
typedef struct small_file {
    const char *model, *pre;
    const char *token[SMALL_MAX];
    size_t n_tokens;
    int32_t type[SMALL_MAX];
    size_t n_types;
    const char *merge[16];
    size_t n_merges;
    bool without_tokens, without_merges;
    const uint32_t *bos, *eos;
    char byte[256][5];
} small_file;

/* Every byte, then BOS and EOS. */
static void small_file_init(small_file *small) {
    *small = (small_file){.model = "gpt2", .pre = "joyai-llm"};
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        int code_point = (byte > 32 && byte < 127) || (byte > 160 && byte != 173) ? byte : next++;
        char *out = small->byte[byte];
        if (code_point < 128) {
            out[0] = (char)code_point;
        } else {
            out[0] = (char)(0xc0 | code_point >> 6);
            out[1] = (char)(0x80 | (code_point & 63));
        }
        small->token[small->n_tokens++] = out;
    }
    small->token[small->n_tokens++] = BOS;
    small->token[small->n_tokens++] = EOS;
    small->n_types = small->n_tokens;
    for (size_t i = 0; i < small->n_types; i++) small->type[i] = i < 256 ? 1 : 3;
}

static void small_add(small_file *small, const char *token, int32_t type) {
    small->type[small->n_tokens] = type;
    small->token[small->n_tokens++] = token;
    small->n_types = small->n_tokens;
}

static void write_small(const small_file *small, const char *path) {
    gguf_writer *writer = NULL;
    assert_int_equal(gguf_writer_new(path, &writer, NULL), DS4_OK);
    ds4_status status = DS4_OK;
    if (small->model) status |= gguf_writer_add_string(writer, "tokenizer.ggml.model", small->model, NULL);
    if (small->pre) status |= gguf_writer_add_string(writer, "tokenizer.ggml.pre", small->pre, NULL);
    if (!small->without_tokens)
        status |= gguf_writer_add_strings(writer, "tokenizer.ggml.tokens", small->token, small->n_tokens, NULL);
    if (small->n_types)
        status |=
            gguf_writer_add_array(writer, "tokenizer.ggml.token_type", GGUF_I32, small->type, small->n_types, NULL);
    if (!small->without_merges)
        status |= gguf_writer_add_strings(writer, "tokenizer.ggml.merges", small->merge, small->n_merges, NULL);
    if (small->bos) status |= gguf_writer_add_u32(writer, "tokenizer.ggml.bos_token_id", *small->bos, NULL);
    if (small->eos) status |= gguf_writer_add_u32(writer, "tokenizer.ggml.eos_token_id", *small->eos, NULL);
    status |= gguf_writer_finish(writer, NULL);
    gguf_writer_free(writer);
    assert_int_equal(status, DS4_OK);
}

static ds4_status load_small(const small_file *small, ds4_tokenizer **tokenizer, ds4_error *error) {
    char path[] = "/tmp/ds4-tokenizer-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    write_small(small, path);
    gguf_file *file = NULL;
    ds4_status status = gguf_open(path, NULL, &file, error);
    if (status == DS4_OK) status = tokenizer_new(file, tokenizer, error);
    gguf_close(file);
    unlink(path);
    return status;
}

static void assert_refused(const small_file *small, const char *key, const char *expected) {
    ds4_tokenizer *tokenizer = NULL;
    ds4_error error = {""};
    assert_int_equal(load_small(small, &tokenizer, &error), DS4_ERROR_FORMAT);
    assert_null(tokenizer);
    if (!strstr(error.message, key) || !strstr(error.message, expected))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error.message, key, expected);
}

static void assert_ids(const ds4_tokenizer *tokenizer, const char *text, bool special, const int32_t *expected,
                       size_t n) {
    ds4_tokens tokens = {0};
    assert_int_equal(ds4_tokenizer_encode(tokenizer, text, strlen(text), special, &tokens, NULL), DS4_OK);
    assert_int_equal(tokens.n, n);
    assert_memory_equal(tokens.id, expected, n * sizeof *expected);
    ds4_tokens_deinit(&tokens);
}

#define ASSERT_IDS(tokenizer, text, special, ...) \
    assert_ids(tokenizer, text, special, (const int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / 4)

static void merges_are_done_by_rank_then_from_the_left(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small_add(&small, "bc", 1);  /* 258 */
    small_add(&small, "aa", 1);  /* 259 */
    small_add(&small, "abc", 1); /* 260 */
    small.merge[small.n_merges++] = "b c";
    small.merge[small.n_merges++] = "a a";
    small.merge[small.n_merges++] = "a bc";
    small.merge[small.n_merges++] = "x y"; /* xy is no token */
    small.merge[small.n_merges++] = "a b";
    small.merge[small.n_merges++] = "b c"; /* the first one counts */
    ds4_tokenizer *tokenizer = NULL;
    ds4_error error = {""};
    if (load_small(&small, &tokenizer, &error) != DS4_OK) fail_msg("%s", error.message);
    ASSERT_IDS(tokenizer, "abc", false, 260);
    ASSERT_IDS(tokenizer, "aaa", false, 259, 'a');
    ASSERT_IDS(tokenizer, "aaaaabc", false, 259, 259, 260);
    ASSERT_IDS(tokenizer, "aabc", false, 259, 258);
    ASSERT_IDS(tokenizer, "zxyxyz", false, 'z', 'x', 'y', 'x', 'y', 'z');
    ASSERT_IDS(tokenizer, "ab", false, 'a', 'b');
    tokenizer_free(tokenizer);
}

static void merges_that_would_make_a_control_token_give_its_bytes(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small_add(&small, "on", 3);    /* 258 */
    small_add(&small, "one", 4);   /* 259 */
    small_add(&small, "\xff?", 3); /* 260: not UTF-8 */
    small.merge[small.n_merges++] = "o n";
    small.merge[small.n_merges++] = "on e";
    ds4_tokenizer *tokenizer = NULL;
    ds4_error error = {""};
    if (load_small(&small, &tokenizer, &error) != DS4_OK) fail_msg("%s", error.message);
    ASSERT_IDS(tokenizer, "on", false, 'o', 'n');
    ASSERT_IDS(tokenizer, "one", false, 'o', 'n', 'e');
    ASSERT_IDS(tokenizer, "ononeon", true, 258, 259, 258); /* the longest that starts there */
    ASSERT_IDS(tokenizer, "x\xff\xff?o", true, 'x', 0xff, 260, 'o');
    assert_int_equal(ds4_tokenizer_control_id(tokenizer, "one"), 259);
    tokenizer_free(tokenizer);
}

static void without_types_the_usual_names_are_control_tokens(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small_add(&small, "<think>", 1);
    small_add(&small, "</think>", 1);
    small_add(&small, "｜DSML｜", 1);
    small_add(&small, "<b>", 1);
    small.n_types = 0;
    ds4_tokenizer *tokenizer = NULL;
    ds4_error error = {""};
    if (load_small(&small, &tokenizer, &error) != DS4_OK) fail_msg("%s", error.message);
    ASSERT_IDS(tokenizer, BOS "<think></think>｜DSML｜<b>" EOS, true, 256, 258, 259, 260, '<', 'b', '>', 257);
    assert_int_equal(ds4_tokenizer_bos(tokenizer), 256);
    assert_int_equal(ds4_tokenizer_eos(tokenizer), 257);
    tokenizer_free(tokenizer);
}

static void tokens_with_code_points_that_are_no_byte_are_literal(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small_add(&small, "日", 1);
    small_add(&small, "", 1);
    small_add(&small, "Ġa", 1);
    small.eos = &(uint32_t){65};
    small.bos = &(uint32_t){0};
    ds4_tokenizer *tokenizer = NULL;
    ds4_error error = {""};
    if (load_small(&small, &tokenizer, &error) != DS4_OK) fail_msg("%s", error.message);
    static const char *const expected[] = {"日", "", " a"};
    for (int32_t i = 0; i < 3; i++) {
        size_t n_bytes;
        assert_string_equal(ds4_tokenizer_token_bytes(tokenizer, 258 + i, &n_bytes), expected[i]);
        assert_int_equal(n_bytes, strlen(expected[i]));
    }
    assert_int_equal(ds4_tokenizer_bos(tokenizer), 0);
    assert_int_equal(ds4_tokenizer_eos(tokenizer), 65);
    tokenizer_free(tokenizer);
}

static void files_of_another_kind_are_refused(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small.model = "llama";
    assert_refused(&small, "tokenizer.ggml.model", "expected \"gpt2\"");
    small.model = NULL;
    assert_refused(&small, "tokenizer.ggml.model", "is missing");
    small.model = "gpt2";
    small.pre = "qwen2";
    assert_refused(&small, "tokenizer.ggml.pre is \"qwen2\"", "expected \"joyai-llm\" or \"deepseek-v3\"");
    small.pre = NULL;
    assert_refused(&small, "tokenizer.ggml.pre", "is missing");
    small.pre = "deepseek-v3";
    ds4_tokenizer *tokenizer = NULL;
    assert_int_equal(load_small(&small, &tokenizer, NULL), DS4_OK);
    tokenizer_free(tokenizer);
}

static void broken_vocabularies_are_refused(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small.without_tokens = true;
    assert_refused(&small, "tokenizer.ggml.tokens", "expected an array of strings");
    small.without_tokens = false;
    small.without_merges = true;
    assert_refused(&small, "tokenizer.ggml.merges", "expected an array of strings");
    small.without_merges = false;
    small.n_types--;
    assert_refused(&small, "tokenizer.ggml.token_type", "257 entries, expected an array of 258 numbers");
    small.n_types++;
    small.token['A'] = "other";
    assert_refused(&small, "tokenizer.ggml.tokens", "\"A\" for byte 0x41");
    small_file_init(&small);
    small.type['A'] = 3; /* then text could not have it */
    assert_refused(&small, "tokenizer.ggml.tokens", "\"A\" for byte 0x41");
    small_file_init(&small);
    small_add(&small, "", 3);
    assert_refused(&small, "tokenizer.ggml.tokens", "control token 258 has 0 bytes");
    char name[400];
    memset(name, '<', sizeof name);
    name[sizeof name - 1] = '\0';
    small.token[258] = name;
    assert_refused(&small, "tokenizer.ggml.tokens", "control token 258 has 399 bytes");
}

static void broken_merges_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"", " ", "ab", " ab", "ab ", "a b c", "a  b", "  "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        small_file small;
        small_file_init(&small);
        small.merge[small.n_merges++] = "a b";
        small.merge[small.n_merges++] = wrong[i];
        assert_refused(&small, "tokenizer.ggml.merges: merge 1", "expected two parts with one space between");
    }
}

static void bos_and_eos_must_be_tokens(void **state) {
    (void)state;
    small_file small;
    small_file_init(&small);
    small.bos = &(uint32_t){258};
    assert_refused(&small, "tokenizer.ggml.bos_token_id is 258", "one of the 258 tokens");
    small.bos = NULL;
    small.eos = &(uint32_t){UINT32_MAX};
    assert_refused(&small, "tokenizer.ggml.eos_token_id", "one of the 258 tokens");
    small.eos = NULL;
    small.token[257] = "<end>";
    assert_refused(&small, "tokenizer.ggml.eos_token_id is missing", EOS);
}

static void arrays_of_the_wrong_type_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    for (size_t i = 0; i < 2; i++) {
        char path[] = "/tmp/ds4-tokenizer-XXXXXX";
        int descriptor = mkstemp(path);
        assert_true(descriptor >= 0);
        close(descriptor);
        small_file small;
        small_file_init(&small);
        gguf_writer *writer = NULL;
        ds4_status status = gguf_writer_new(path, &writer, NULL);
        status |= gguf_writer_add_string(writer, "tokenizer.ggml.model", "gpt2", NULL);
        status |= gguf_writer_add_string(writer, "tokenizer.ggml.pre", "joyai-llm", NULL);
        if (i) status |= gguf_writer_add_strings(writer, keys[0], small.token, small.n_tokens, NULL);
        status |= gguf_writer_add_array(writer, keys[i], GGUF_I32, small.type, small.n_types, NULL);
        status |= gguf_writer_finish(writer, NULL);
        gguf_writer_free(writer);
        assert_int_equal(status, DS4_OK);
        gguf_file *file = NULL;
        ds4_tokenizer *tokenizer = NULL;
        ds4_error error = {""};
        assert_int_equal(gguf_open(path, NULL, &file, NULL), DS4_OK);
        assert_int_equal(tokenizer_new(file, &tokenizer, &error), DS4_ERROR_FORMAT);
        assert_non_null(strstr(error.message, keys[i]));
        assert_non_null(strstr(error.message, "expected an array of strings"));
        gguf_close(file);
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vocabulary_has_the_published_ids),
        cmocka_unit_test(every_case_gives_the_expected_ids),
        cmocka_unit_test(every_case_survives_decoding_and_encoding_again),
        cmocka_unit_test(text_is_cut_into_the_official_pieces),
        cmocka_unit_test(a_sink_that_fails_stops_the_cutting),
        cmocka_unit_test(nul_bytes_are_kept),
        cmocka_unit_test(bytes_that_are_not_utf8_become_byte_tokens),
        cmocka_unit_test(random_bytes_survive),
        cmocka_unit_test(words_of_a_megabyte_are_encoded),
        cmocka_unit_test(control_strings_in_plain_text_stay_text),
        cmocka_unit_test(control_strings_become_control_tokens_when_asked_for),
        cmocka_unit_test(a_prompt_with_control_strings_has_the_known_frame),
        cmocka_unit_test(cut_control_strings_are_text),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(encoding_appends_and_empty_text_gives_nothing),
        cmocka_unit_test(threads_share_one_tokenizer),
        cmocka_unit_test(merges_are_done_by_rank_then_from_the_left),
        cmocka_unit_test(merges_that_would_make_a_control_token_give_its_bytes),
        cmocka_unit_test(without_types_the_usual_names_are_control_tokens),
        cmocka_unit_test(tokens_with_code_points_that_are_no_byte_are_literal),
        cmocka_unit_test(files_of_another_kind_are_refused),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(broken_merges_are_refused),
        cmocka_unit_test(bos_and_eos_must_be_tokens),
        cmocka_unit_test(arrays_of_the_wrong_type_are_refused),
    };
    return cmocka_run_group_tests(tests, open_vocabulary, close_vocabulary);
}
