/* ds4 inspect: what is in a model file, and what is wrong with it. */
#include "cli/cli.h"
#include "cli/nano.h"
#include "model/model.h"
#include "model/published.h"

#include <stdlib.h>

static ds4_status inspect(const char *name, ds4_buffer *report, size_t *n_problems, ds4_error *error) {
    if (!nano_is_meant(name)) {
        char *path = NULL;
        ds4_status status = published_resolve(name, &path, error);
        if (status == DS4_OK) status = model_inspect(path, report, n_problems, error);
        free(path);
        return status;
    }
    size_t n_bytes;
    const void *data = nano_data(&n_bytes);
    return model_inspect_memory(data, n_bytes, NANO_NAME, report, n_problems, error);
}

static int run(const cli_options *options) {
    ds4_buffer report = {0};
    size_t n_problems = 0;
    ds4_error error;
    int exit_status = EXIT_OK;
    if (inspect(options->operand, &report, &n_problems, &error) != DS4_OK) {
        exit_status = cli_fail(&error);
        goto out;
    }
    stdout_write(report.data, report.n_bytes);
    if (n_problems) {
        stdout_flush();
        error_set(&error, DS4_ERROR_FORMAT, "%s: %zu problem%s", options->operand, n_problems,
                  n_problems == 1 ? "" : "s");
        exit_status = cli_fail(&error);
    }
out:
    ds4_buffer_deinit(&report);
    return exit_status;
}

static const cli_option options[] = {OPTION_END};

const cli_command command_inspect = {
    .name = "inspect",
    .synopsis = "MODEL",
    .summary = "print metadata, tensors and sizes of a model file, and what is wrong with it",
    .operand = "MODEL",
    .options = options,
    .notes = "MODEL is a file, the name of a downloaded one (see ds4 pull), or nano: the built-in one.\n"
             "Exit status 1 if anything is wrong; the report then ends with the problems.\n",
    .run = run,
};
