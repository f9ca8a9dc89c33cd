/* ds4 render: a request to the exact prompt text, or its tokens. */
#include "base/file.h"
#include "cli/cli.h"

static ds4_status render(const ds4_tokenizer *tokenizer, ds4_error *error) {
    ds4_buffer request = {0};
    ds4_prompt prompt = {0};
    ds4_tokens tokens = {0};
    ds4_status status = stream_read_all(stdin, "standard input", MAX_PROMPT_BYTES, &request, error);
    if (status == DS4_OK) status = ds4_prompt_render(request.data ? request.data : "", request.n_bytes, &prompt, error);
    if (status == DS4_OK && tokenizer) status = ds4_prompt_encode(&prompt, tokenizer, &tokens, error);
    if (status == DS4_OK && tokenizer)
        stdout_write_ids(&tokens);
    else if (status == DS4_OK)
        stdout_write(prompt.text.data, prompt.text.n_bytes);
    ds4_buffer_deinit(&request);
    ds4_prompt_deinit(&prompt);
    ds4_tokens_deinit(&tokens);
    return status;
}

static int run(const cli_options *options) {
    cli_model model = {0};
    if (options->print_tokens) {
        int exit_status = cli_model_open(options, DS4_MODEL_TEXT, NULL, &model);
        if (exit_status != EXIT_OK) return exit_status;
    }
    ds4_error error;
    ds4_status status = render(model.model ? ds4_model_tokenizer(model.model) : NULL, &error);
    cli_model_close(&model);
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}

static const cli_option options[] = {
    OPTION_MODEL,
    {.kind = OPTION_FLAG,
     .name = "tokens",
     .offset = offsetof(cli_options, print_tokens),
     .help = "print the token ids, one per line, instead of the text"},
    OPTION_END,
};

const cli_command command_render = {
    .name = "render",
    .synopsis = "[-m MODEL] [--tokens] < REQUEST.json",
    .summary = "print the exact prompt text of a chat request",
    .options = options,
    .notes = "The request is a JSON object: messages, tools, reasoning_effort (none, high or max).\n"
             "The text is printed as it is, no newline is added. It is the same for every model: one is\n"
             "read only with --tokens, where a file with a vocabulary is enough.\n",
    .run = run,
};
