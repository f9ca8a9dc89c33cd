#include "cli/cli.h"
#include "cli/nano.h"
#include "cli/terminal.h"
#include "model/published.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ------------------------------------------------------------------------------------ */

static void message_print(const char *message, const char *behind) {
    /* the lines belong together also when both streams go to one place */
    fflush(stdout);
    fprintf(stderr, "ds4: %s%s\n", message, behind);
}

int cli_fail(const ds4_error *error) {
    message_print(error->message, "");
    return EXIT_FAILED;
}

int cli_usage(const char *format, ...) {
    ds4_error error;
    va_list arguments;
    va_start(arguments, format);
    error_set_va(&error, DS4_ERROR_ARGUMENT, format, arguments);
    va_end(arguments);
    message_print(error.message, "");
    return EXIT_USAGE;
}

void cli_note(const char *format, ...) {
    ds4_error error;
    va_list arguments;
    va_start(arguments, format);
    error_set_va(&error, DS4_OK, format, arguments);
    va_end(arguments);
    message_print(error.message, "");
}

/* ---- standard streams ---------------------------------------------------------------------------- */

static int stdout_errno; /* of the first lost write; 0: none */

static void stdout_check(bool ok) {
    if (!ok && !stdout_errno) stdout_errno = errno ? errno : EIO;
}

void stdout_write(const void *bytes, size_t n_bytes) {
    if (n_bytes && !stdout_errno) stdout_check(fwrite(bytes, 1, n_bytes, stdout) == n_bytes);
}

void stdout_print(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n > 0) stdout_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void stdout_flush(void) {
    if (!stdout_errno) stdout_check(fflush(stdout) == 0);
}

bool stdout_failed(void) {
    return stdout_errno != 0;
}

int stdout_finish(int exit_status) {
    if (!stdout_errno) {
        if (fflush(stdout) != 0)
            stdout_check(false);
        else if (ferror(stdout))
            stdout_check(false);
    }
    /* a failure that was reported already keeps its one line */
    if (!stdout_errno || exit_status != EXIT_OK) return exit_status;
    fprintf(stderr, "ds4: standard output: cannot write: %s\n", strerror(stdout_errno));
    return EXIT_FAILED;
}

void stdout_write_ids(const ds4_tokens *tokens) {
    for (size_t i = 0; i < tokens->n && !stdout_errno; i++) {
        char line[16];
        int n = snprintf(line, sizeof line, "%" PRId32 "\n", tokens->id[i]);
        stdout_write(line, (size_t)n);
    }
}

/* ---- the model ----------------------------------------------------------------------------------- */

/* When neither -m nor DS4_MODEL names a model: the path of a downloaded one, which the caller frees, or NULL for the
 * built-in one. */
static ds4_status choose_model(char **path, ds4_error *error) {
    const published_file *file;
    ds4_status status = published_choose(&file, path, error);
    if (status != DS4_OK || !is_terminal(stderr)) return status;
    if (file)
        cli_note("no model given: using the downloaded %s (-m FILE or DS4_MODEL chooses another)", file->name);
    else
        cli_note("no model given: using the built-in " NANO_NAME " (-m FILE or DS4_MODEL chooses another)");
    return DS4_OK;
}

int cli_model_open(const cli_options *options, ds4_model_parts parts, const ds4_engine_options *engine_options,
                   cli_model *model) {
    ds4_error error;
    if (ds4_backend_check(options->backend, &error) != DS4_OK) return cli_usage("%s", error.message);
    const char *name = options->model, *from_environment = getenv("DS4_MODEL");
    /* most likely a variable of a script that is not set */
    if (name && !*name) return cli_usage("-m: the name of the model is empty");
    if (!name && from_environment && *from_environment) name = from_environment;

    char *downloaded = NULL;
    if (!name && choose_model(&downloaded, &error) != DS4_OK) return cli_fail(&error);
    if (!name) name = downloaded;
    model->is_nano = nano_is_meant(name);
    ds4_status status = nano_or_file_open(name, parts, &model->model, &error);
    free(downloaded);
    if (status != DS4_OK) return cli_fail(&error);
    if (parts == DS4_MODEL_TEXT) return EXIT_OK;

    ds4_engine_options chosen = engine_options ? *engine_options : (ds4_engine_options){0};
    chosen.backend = options->backend;
    chosen.n_threads = (int)options->threads;
    chosen.exact = options->exact;
    if (ds4_engine_new(model->model, &chosen, &model->engine, &error) != DS4_OK) {
        cli_model_close(model);
        return cli_fail(&error);
    }
    return EXIT_OK;
}

void cli_model_close(cli_model *model) {
    ds4_engine_free(model->engine);
    ds4_model_free(model->model);
    *model = (cli_model){0};
}

/* ---- Ctrl-C -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t signal_came;

static void remember_signal(int number) {
    (void)number;
    signal_came = 1;
}

static void set_handler(int number, int flags) {
    struct sigaction action;
    /* what was started in the background without job control shall stay deaf to the terminal's Ctrl-C */
    if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_IGN) return;
    memset(&action, 0, sizeof action);
    action.sa_handler = remember_signal;
    action.sa_flags = flags | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void interrupt_arm(void) {
    signal_came = 0;
    /* the first signal uses the handler up, the second one finds the default: impatience wins */
    set_handler(SIGINT, (int)SA_RESETHAND);
    set_handler(SIGTERM, (int)SA_RESETHAND);
}

void interrupt_keep(void) {
    signal_came = 0;
    set_handler(SIGINT, 0);
}

bool interrupted(void) {
    return signal_came != 0;
}
