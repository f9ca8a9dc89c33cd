/* What the commands share: messages and exit statuses, standard streams, the model, interrupts. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/options.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

extern const cli_command command_chat, command_inspect, command_tokenize, command_render, command_logits, command_score,
    command_bench, command_synth, command_plan, command_pull, command_serve;

/* ---- messages: one line on standard error, "ds4: ..." ---- */

/* Both return the status to exit with. */
int cli_fail(const ds4_error *error);
int cli_usage(const char *format, ...) PRINTF_LIKE(1, 2);
/* Something worth knowing that is no failure. */
void cli_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* ---- standard streams ---- */

/* Input larger than this is a mistake: a million tokens are about 5 MB. */
#define MAX_PROMPT_BYTES ((size_t)64 << 20)
#define MAX_TEXT_BYTES ((size_t)1 << 30)

/* Writes to standard output. A failure is remembered for stdout_finish, which a command's status goes
 * through: it flushes and turns a lost write into a failure. */
void stdout_write(const void *bytes, size_t n_bytes);
/* A line of at most 511 bytes, or a part of one; text from outside goes through stdout_write. */
void stdout_print(const char *format, ...) PRINTF_LIKE(1, 2);
void stdout_flush(void);
bool stdout_failed(void);
int stdout_finish(int exit_status);

/* One id per line. */
void stdout_write_ids(const ds4_tokens *tokens);

/* ---- the model ---- */

typedef struct cli_model {
    ds4_model *model;
    ds4_engine *engine; /* NULL if the model was opened for text only */
    bool is_nano;       /* the built-in one */
} cli_model;

/* Opens the model of -m or $DS4_MODEL, or else a downloaded or the built-in one, and for DS4_MODEL_FULL the engine.
 * Says what is wrong and returns the exit status, EXIT_OK if all is well. model must be zero. engine_options may be
 * NULL; backend and threads come from options in any case. */
int cli_model_open(const cli_options *options, ds4_model_parts parts, const ds4_engine_options *engine_options,
                   cli_model *model);
void cli_model_close(cli_model *model);

/* ---- Ctrl-C ---- */

/* For a command that runs once: SIGINT and SIGTERM are remembered instead of ending the process, so that it
 * can tidy up; a second one ends it. */
void interrupt_arm(void);
/* For the interactive chat: SIGINT is remembered, however often it comes. Forgets earlier ones. */
void interrupt_keep(void);
/* Whether one came. */
bool interrupted(void);

#endif
