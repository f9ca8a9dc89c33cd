/* ds4 tokenize: text to token ids and back. */
#include "base/file.h"
#include "base/memory.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#define IDS_NAME "standard input"

/* The next word of ids, written to word without its end cut off silently: a word that does not fit is no
 * number either. Counts lines. False at the end. */
static bool next_word(const ds4_buffer *text, size_t *at, size_t *line, char *word, size_t capacity) {
    static const char spaces[] = " \t\r\n\v\f";
    for (; *at < text->n_bytes && text->data[*at] && strchr(spaces, text->data[*at]); ++*at)
        *line += text->data[*at] == '\n';
    if (*at >= text->n_bytes) return false;
    size_t n = 0;
    for (; *at < text->n_bytes && !(text->data[*at] && strchr(spaces, text->data[*at])); ++*at)
        if (n + 1 < capacity) word[n++] = text->data[*at] ? text->data[*at] : '?';
    word[n] = '\0';
    return true;
}

static ds4_status read_ids(const ds4_tokenizer *tokenizer, const ds4_buffer *text, ds4_tokens *tokens,
                           ds4_error *error) {
    size_t at = 0, line = 1;
    char word[32];
    while (next_word(text, &at, &line, word, sizeof word)) {
        int64_t value;
        if (!parse_integer(word, INT32_MIN, INT32_MAX, &value))
            return error_set(error, DS4_ERROR_FORMAT, "%s: line %zu: '%s' is not a token id", IDS_NAME, line, word);
        if (value < 0 || (uint64_t)value >= ds4_tokenizer_n_tokens(tokenizer))
            return error_set(error, DS4_ERROR_FORMAT, "%s: line %zu: token id %" PRId64 ", expected 0 to %zu", IDS_NAME,
                             line, value, ds4_tokenizer_n_tokens(tokenizer) - 1);
        int32_t id = (int32_t)value;
        ds4_status status = ds4_tokens_append(tokens, &id, 1, error);
        if (status != DS4_OK) return status;
    }
    return DS4_OK;
}

static ds4_status convert(const cli_options *options, const ds4_tokenizer *tokenizer, ds4_error *error) {
    ds4_buffer input = {0}, text = {0};
    ds4_tokens tokens = {0};
    ds4_status status = stream_read_all(stdin, IDS_NAME, MAX_TEXT_BYTES, &input, error);
    if (status != DS4_OK) goto out;
    if (options->decode) {
        status = read_ids(tokenizer, &input, &tokens, error);
        if (status == DS4_OK) status = ds4_tokenizer_decode(tokenizer, tokens.id, tokens.n, &text, error);
        if (status == DS4_OK) stdout_write(text.data, text.n_bytes);
    } else {
        status = ds4_tokenizer_encode(tokenizer, input.data, input.n_bytes, options->special, &tokens, error);
        if (status == DS4_OK) stdout_write_ids(&tokens);
    }
out:
    ds4_buffer_deinit(&input);
    ds4_buffer_deinit(&text);
    ds4_tokens_deinit(&tokens);
    return status;
}

static int run(const cli_options *options) {
    if (options->special && options->decode) return cli_usage("--special and --decode do not go together");
    cli_model model = {0};
    int exit_status = cli_model_open(options, DS4_MODEL_TEXT, NULL, &model);
    if (exit_status != EXIT_OK) return exit_status;
    ds4_error error;
    if (convert(options, ds4_model_tokenizer(model.model), &error) != DS4_OK) exit_status = cli_fail(&error);
    cli_model_close(&model);
    return exit_status;
}

static const cli_option options[] = {
    OPTION_MODEL,
    OPTION_SPECIAL,
    {.kind = OPTION_FLAG,
     .name = "decode",
     .offset = offsetof(cli_options, decode),
     .help = "the other way: ids separated by white space in, bytes out"},
    OPTION_END,
};

const cli_command command_tokenize = {
    .name = "tokenize",
    .synopsis = "[-m MODEL] [--special | --decode] < TEXT",
    .summary = "print the token ids of a text, one per line",
    .options = options,
    .notes = "A file with a vocabulary and no tensors is enough. Nothing is added to the text.\n",
    .run = run,
};
