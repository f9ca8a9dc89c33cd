/* The interactive chat: lines are what the user says, or commands that begin with a slash. */
#include "base/file.h"
#include "base/memory.h"
#include "cli/chat.h"
#include "cli/line_editor.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT "ds4> "

typedef struct chat {
    const cli_options *options;
    const cli_model *model;
    conversation *talk;
    think_effort effort; /* as the user chose it */
    bool ended;
} chat;

static void say(chat *self, const char *text, size_t n_bytes) {
    answer_report report;
    ds4_error error;
    if (chat_ask(self->talk, text, n_bytes, (size_t)self->options->limit, &report, &error) != DS4_OK)
        cli_note("%s", error.message);
    self->ended = stdout_failed();
}

/* ---- commands: argument is what follows the name, "" if nothing does ----------------------------- */

static void set_effort(chat *self, think_effort effort) {
    self->effort = effort;
    conversation_set_effort(self->talk, effort);
    chat_note_effort(effort, conversation_context_tokens(self->talk));
    printf("thinking: %s\n", think_names[conversation_effort(self->talk)]);
}

static void do_think(chat *self, const char *argument) {
    (void)argument;
    set_effort(self, THINK_HIGH);
}

static void do_nothink(chat *self, const char *argument) {
    (void)argument;
    set_effort(self, THINK_OFF);
}

static void do_think_max(chat *self, const char *argument) {
    (void)argument;
    set_effort(self, THINK_MAX);
}

static void do_context(chat *self, const char *argument) {
    size_t max_context = ds4_model_max_context(self->model->model);
    int64_t context;
    ds4_error error;
    if (*argument) {
        if (!parse_integer(argument, 1, (int64_t)max_context, &context)) {
            cli_note("/ctx: '%s', expected a whole number from 1 to %zu", argument, max_context);
            return;
        }
        if (conversation_set_context(self->talk, (size_t)context, &error) != DS4_OK) {
            cli_note("%s", error.message);
            return;
        }
        chat_note_effort(self->effort, (size_t)context);
    }
    size_t used;
    if (conversation_count_tokens(self->talk, &used, &error) != DS4_OK)
        cli_note("%s", error.message);
    else
        printf("context: %zu of %zu tokens used\n", used, conversation_context_tokens(self->talk));
}

static void do_read(chat *self, const char *argument) {
    ds4_buffer text = {0};
    ds4_error error;
    if (!*argument)
        cli_note("/read: the name of a file is missing");
    else if (file_read_all(argument, MAX_PROMPT_BYTES, &text, &error) != DS4_OK)
        cli_note("%s", error.message);
    else if (text.n_bytes == 0)
        cli_note("%s: empty", argument);
    else
        say(self, text.data, text.n_bytes);
    ds4_buffer_deinit(&text);
}

static void do_reset(chat *self, const char *argument) {
    (void)argument;
    ds4_error error;
    if (conversation_reset(self->talk, &error) == DS4_OK)
        printf("new conversation\n");
    else
        cli_note("%s", error.message);
}

static void do_quit(chat *self, const char *argument) {
    (void)argument;
    self->ended = true;
}

static void do_help(chat *self, const char *argument);

static const struct chat_command {
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;
    void (*run)(chat *self, const char *argument);
} chat_commands[] = {
    {"/help", NULL, "this list", do_help},
    {"/think", NULL, "reason before answering", do_think},
    {"/nothink", NULL, "answer at once", do_nothink},
    {"/think-max", NULL, "reason with maximum effort (needs a context of 393216 tokens)", do_think_max},
    {"/ctx", "[N]", "show the context, or set its size in tokens", do_context},
    {"/read", "FILE", "say what is in a file", do_read},
    {"/reset", NULL, "begin a new conversation", do_reset},
    {"/quit", NULL, "leave, as Ctrl-D does", do_quit},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof *chat_commands };

static void do_help(chat *self, const char *argument) {
    (void)self, (void)argument;
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", chat_commands[i].name,
                 chat_commands[i].argument ? chat_commands[i].argument : "");
        printf("  %-12s %s\n", left, chat_commands[i].help);
    }
    printf("Everything else is said to the model. A line that ends with \\ goes on in the next one; one that\n"
           "begins with a space is never a command. Ctrl-C ends an answer or drops the line.\n");
}

static void run_command(chat *self, char *line) {
    size_t length = strcspn(line, " \t");
    char *argument = line + length + strspn(line + length, " \t");
    size_t end = strlen(argument);
    while (end && (argument[end - 1] == ' ' || argument[end - 1] == '\t')) argument[--end] = '\0';
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        const struct chat_command *command = &chat_commands[i];
        if (strlen(command->name) != length || strncmp(command->name, line, length) != 0) continue;
        if (*argument && !command->argument)
            cli_note("%s takes nothing behind it", command->name);
        else
            command->run(self, argument);
        return;
    }
    cli_note("unknown command %.*s, /help lists them", length < 60 ? (int)length : 60, line);
}

/* ---- the loop ------------------------------------------------------------------------------------ */

/* Reads lines into text until one does not end with a backslash. */
static line_result read_input(line_editor *editor, ds4_buffer *text) {
    const char *line;
    size_t n_bytes;
    buffer_clear(text);
    for (;;) {
        line_result result = line_editor_read(editor, &line, &n_bytes);
        if (result != LINE_READ) return result;
        bool goes_on = n_bytes && line[n_bytes - 1] == '\\';
        if (n_bytes) line_editor_remember(editor, line);
        if (!buffer_append(text, line, n_bytes - goes_on) || (goes_on && !buffer_append(text, "\n", 1)))
            return LINE_END;
        if (!goes_on) return LINE_READ;
    }
}

static void chat_loop(chat *self, line_editor *editor) {
    ds4_buffer text = {0};
    while (!self->ended) {
        stdout_flush();
        /* here and not before an answer: a Ctrl-C right behind the line belongs to it */
        interrupt_keep();
        line_result result = read_input(editor, &text);
        if (result == LINE_END) break;
        if (result == LINE_CANCELLED || text.data[strspn(text.data, " \t\n")] == '\0') continue;
        if (text.data[0] == '/')
            run_command(self, text.data);
        else
            say(self, text.data, text.n_bytes);
    }
    ds4_buffer_deinit(&text);
}

static char *history_path(void) {
    static const char name[] = "/.ds4_history";
    const char *home = getenv("HOME");
    if (!home || !*home) return NULL;
    char *path = malloc(strlen(home) + sizeof name);
    if (path) {
        memcpy(path, home, strlen(home));
        memcpy(path + strlen(home), name, sizeof name);
    }
    return path;
}

int chat_interactive(const cli_options *options, const cli_model *model, conversation *talk) {
    chat self = {.options = options, .model = model, .talk = talk, .effort = (think_effort)options->think};
    char *path = history_path();
    line_editor *editor = NULL;
    ds4_error error;
    ds4_status status = line_editor_new(PROMPT, path, &editor, &error);
    free(path);
    if (status != DS4_OK) return cli_fail(&error);
    if (is_terminal(stdout))
        printf("ds4 %s, context of %zu tokens. /help lists the commands, Ctrl-D leaves.\n", DS4_VERSION,
               conversation_context_tokens(talk));
    chat_loop(&self, editor);
    line_editor_free(editor);
    if (is_terminal(stdout)) printf("\n");
    return EXIT_OK;
}
