/* ds4 without a command: one answer, or the interactive chat. */
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/chat.h"
#include "cli/terminal.h"

#include <string.h>
#include <time.h>

enum { DEFAULT_CONTEXT = 32768 };

/* ---- one exchange -------------------------------------------------------------------------------- */

typedef struct screen {
    progress_bar bar;
    answer_printer printer;
} screen;

static void show_progress(void *context, size_t done_tokens, size_t total_tokens) {
    screen *self = context;
    progress_bar_step(&self->bar, done_tokens, total_tokens);
}

static void show_answer(void *context, bool is_reasoning, const char *bytes, size_t n_bytes) {
    screen *self = context;
    progress_bar_clear(&self->bar);
    answer_printer_add(&self->printer, is_reasoning, bytes, n_bytes);
}

static bool should_stop(void *context) {
    (void)context;
    return interrupted() || stdout_failed();
}

static double per_second(size_t n_tokens, double seconds) {
    return seconds > 0 ? (double)n_tokens / seconds : 0;
}

static void show_speed(const answer_report *report) {
    if (!is_terminal(stderr)) return;
    bool colours = has_colours(stderr);
    fprintf(stderr, "%sprefill: %zu tokens, %.2f tokens/s; generation: %zu tokens, %.2f tokens/s%s\n",
            colours ? "\033[36m" : "", report->prompt_tokens, per_second(report->prompt_tokens, report->prompt_seconds),
            report->answer_tokens, per_second(report->answer_tokens, report->answer_seconds), colours ? "\033[0m" : "");
}

ds4_status chat_ask(conversation *talk, const char *text, size_t n_bytes, size_t limit, answer_report *report,
                    ds4_error *error) {
    screen screen_now = {.bar = progress_bar_start("prefill", 0), .printer = answer_printer_start()};
    conversation_listener listener = {
        .prompt = show_progress, .answer = show_answer, .stop = should_stop, .context = &screen_now};
    ds4_status status = conversation_ask(talk, text, n_bytes, limit, &listener, report, error);
    progress_bar_clear(&screen_now.bar);
    answer_printer_finish(&screen_now.printer);
    if (status != DS4_OK) return status;
    show_speed(report);
    if (report->end == ANSWER_CONTEXT)
        cli_note("the answer ends here: the context of %zu tokens is full", conversation_context_tokens(talk));
    return DS4_OK;
}

void chat_note_effort(think_effort chosen, size_t context_tokens) {
    if (chosen == THINK_MAX && context_tokens < DS4_MAX_EFFORT_CONTEXT)
        cli_note("--think max needs a context of %d tokens, this one has %zu: the effort becomes high",
                 DS4_MAX_EFFORT_CONTEXT, context_tokens);
}

/* ---- the command --------------------------------------------------------------------------------- */

static size_t chosen_context(const cli_options *options, size_t max_context) {
    size_t context = options->context ? (size_t)options->context : DEFAULT_CONTEXT;
    if (context <= max_context) return context;
    if (options->context) cli_note("--ctx %zu is more than the model's context: it becomes %zu", context, max_context);
    return max_context;
}

static ds4_status start(const cli_options *options, const cli_model *model, conversation **talk, ds4_error *error) {
    conversation_options chosen = {
        .system = options->system,
        .effort = (think_effort)options->think,
        .context_tokens = chosen_context(options, ds4_model_max_context(model->model)),
        .sampling = {.temperature = (float)options->temperature,
                     .top_k = (int)options->top_k,
                     .top_p = (float)options->top_p,
                     .min_p = (float)options->min_p},
        .seed = options->seed >= 0 ? (uint64_t)options->seed : system_seed(),
    };
    chat_note_effort(chosen.effort, chosen.context_tokens);
    return conversation_new(model->model, model->engine, &chosen, talk, error);
}

static int answer_once(const cli_options *options, conversation *talk, const ds4_buffer *prompt) {
    answer_report report;
    ds4_error error;
    interrupt_arm();
    ds4_status status = chat_ask(talk, prompt->data, prompt->n_bytes, (size_t)options->limit, &report, &error);
    /* a lost output also stops the answer; stdout_finish says so */
    if (status == DS4_OK && report.end == ANSWER_STOPPED && !stdout_failed())
        error_set(&error, status = DS4_CANCELLED, "interrupted");
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}

/* The text of -p, or standard input without the newline that ends its last line. */
static ds4_status read_prompt(const cli_options *options, ds4_buffer *prompt, ds4_error *error) {
    if (options->prompt && strcmp(options->prompt, "-") != 0) {
        if (buffer_append_string(prompt, options->prompt)) return DS4_OK;
        return error_memory(error, "prompt", strlen(options->prompt));
    }
    ds4_status status = stream_read_all(stdin, "standard input", MAX_PROMPT_BYTES, prompt, error);
    if (prompt->n_bytes && prompt->data[prompt->n_bytes - 1] == '\n') prompt->data[--prompt->n_bytes] = '\0';
    return status;
}

static int run(const cli_options *options) {
    bool interactive = !options->prompt && is_terminal(stdin);
    ds4_buffer prompt = {0};
    cli_model model = {0};
    conversation *talk = NULL;
    ds4_error error;
    int exit_status = EXIT_OK;
    if (!interactive && read_prompt(options, &prompt, &error) != DS4_OK) {
        exit_status = cli_fail(&error);
        goto out;
    }
    if (!interactive && prompt.n_bytes == 0) {
        exit_status = cli_usage("the prompt is empty");
        goto out;
    }
    exit_status = cli_model_open(options, DS4_MODEL_FULL, NULL, &model);
    if (exit_status != EXIT_OK) goto out;
    if (start(options, &model, &talk, &error) != DS4_OK)
        exit_status = cli_fail(&error);
    else if (interactive)
        exit_status = chat_interactive(options, &model, talk);
    else
        exit_status = answer_once(options, talk, &prompt);
out:
    conversation_free(talk);
    cli_model_close(&model);
    ds4_buffer_deinit(&prompt);
    return exit_status;
}

static const cli_option options[] = {
    OPTION_MODEL,
    {.kind = OPTION_STRING,
     .letter = 'p',
     .name = "prompt",
     .argument = "TEXT",
     .offset = offsetof(cli_options, prompt),
     .help = "answer this text and exit; - reads it from standard input"},
    {.kind = OPTION_STRING,
     .name = "system",
     .argument = "TEXT",
     .offset = offsetof(cli_options, system),
     .help = "system text (default: \"You are a helpful assistant\"); \"\" for none"},
    {.kind = OPTION_CHOICE,
     .name = "think",
     .argument = "EFFORT",
     .offset = offsetof(cli_options, think),
     .choices = think_names,
     .help = "off, high (default) or max; max needs a context of 393216 tokens"},
    OPTION_CONTEXT("context in tokens (default: 32768, at most the model's)"),
    {.kind = OPTION_INTEGER,
     .letter = 'n',
     .argument = "N",
     .offset = offsetof(cli_options, limit),
     .min = 1,
     .max = INT32_MAX,
     .help = "tokens of an answer, reasoning included (default: until the context is full)"},
    {.kind = OPTION_REAL,
     .name = "temp",
     .argument = "X",
     .offset = offsetof(cli_options, temperature),
     .max = 100,
     .help = "temperature (default: 1); 0 always takes the most likely token"},
    {.kind = OPTION_REAL,
     .name = "top-p",
     .argument = "X",
     .offset = offsetof(cli_options, top_p),
     .max = 1,
     .help = "draw from the most likely tokens that have this much probability (default: 1)"},
    {.kind = OPTION_INTEGER,
     .name = "top-k",
     .argument = "N",
     .offset = offsetof(cli_options, top_k),
     .max = INT32_MAX,
     .help = "draw from this many tokens (default: 0, all)"},
    {.kind = OPTION_REAL,
     .name = "min-p",
     .argument = "X",
     .offset = offsetof(cli_options, min_p),
     .max = 1,
     .help = "least probability, relative to the most likely token (default: 0.05)"},
    {.kind = OPTION_INTEGER,
     .name = "seed",
     .argument = "N",
     .offset = offsetof(cli_options, seed),
     .max = 0x1p63,
     .help = "makes the draws repeatable (default: another one each time)"},
    OPTION_BACKEND,
    OPTION_EXACT,
    OPTION_THREADS,
    OPTION_END,
};

const cli_command command_chat = {
    .synopsis = "ds4 [-m MODEL] [options] -p TEXT\n"
                "       ds4 [-m MODEL] [options]\n"
                "       ds4 COMMAND ...",
    .summary = "Answers TEXT. Without -p: a chat if standard input is a terminal, otherwise answers what\n"
               "is read from it.",
    .options = options,
    .notes = "The answer goes to standard output. Reasoning is shown only on a terminal.\n"
             "Exit status: 0 all is well, 1 failure, 2 wrong usage.\n",
    .run = run,
};
