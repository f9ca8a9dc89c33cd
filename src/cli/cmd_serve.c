/* ds4 serve: the model for programs that speak OpenAI's or Anthropic's API. */
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/cli.h"
#include "cli/nano.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_CONTEXT = 131072, MAX_CONTEXT = 1 << 20, MAX_KEYS = 1024, MAX_KEY_FILE_BYTES = 1 << 20 };
enum { GPU_CHUNK = 2048 /* the more tokens share a pass, the faster a GPU is */ };
static const uint64_t gib = (uint64_t)1 << 30;

/* ---- keys ---------------------------------------------------------------------------------------- */

typedef struct key_list {
    ds4_buffer file; /* cut into lines */
    const char *key[MAX_KEYS];
    size_t n;
} key_list;

static ds4_status add_key(key_list *keys, const char *key, ds4_error *error) {
    if (keys->n == MAX_KEYS) return error_set(error, DS4_ERROR_ARGUMENT, "more than %d keys", MAX_KEYS);
    keys->key[keys->n++] = key;
    return DS4_OK;
}

/* One a line; empty lines and those that begin with # are none. */
static ds4_status read_key_file(key_list *keys, const char *path, ds4_error *error) {
    ds4_status status = file_read_all(path, MAX_KEY_FILE_BYTES, &keys->file, error);
    size_t before = keys->n;
    char *end = NULL;
    for (char *line = keys->file.data; status == DS4_OK && line && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        line += strspn(line, " \t");
        for (size_t n = strlen(line); n && strchr(" \t\r", line[n - 1]);) line[--n] = '\0';
        if (*line && *line != '#') status = add_key(keys, line, error);
    }
    if (status == DS4_OK && keys->n == before)
        status = error_set(error, DS4_ERROR_FORMAT, "%s: no key in it, expected one a line", path);
    return status;
}

static ds4_status read_keys(const cli_options *options, key_list *keys, ds4_error *error) {
    const char *from_environment = getenv("DS4_API_KEY");
    ds4_status status = DS4_OK;
    /* most likely a variable of a script that is not set */
    if (options->key && !*options->key) return error_set(error, DS4_ERROR_ARGUMENT, "--api-key: the key is empty");
    if (options->key) status = add_key(keys, options->key, error);
    if (status == DS4_OK && options->key_path) status = read_key_file(keys, options->key_path, error);
    if (status == DS4_OK && from_environment && *from_environment) status = add_key(keys, from_environment, error);
    return status;
}

/* ---- sizes --------------------------------------------------------------------------------------- */

/* MiB, or with G behind it GiB. */
static ds4_status parse_memory(const char *text, size_t *n_bytes, ds4_error *error) {
    char digits[16];
    int64_t value = 0;
    size_t n = strspn(text, "0123456789");
    bool in_gib = strcmp(text + n, "G") == 0;
    snprintf(digits, sizeof digits, "%.*s", n < sizeof digits ? (int)n : 0, text);
    if ((!in_gib && text[n] && strcmp(text + n, "M") != 0) || !parse_integer(digits, 0, 1 << 22, &value))
        return error_set(error, DS4_ERROR_ARGUMENT, "--kv-ram: '%s', expected MiB, or GiB as in 4G", text);
    *n_bytes = (size_t)value << (in_gib ? 30 : 20);
    return DS4_OK;
}

static ds4_status choose_memory(const cli_options *options, size_t *n_bytes, ds4_error *error) {
    if (options->kv_ram) return parse_memory(options->kv_ram, n_bytes, error);
    uint64_t quarter = system_memory_available_bytes() / 4;
    *n_bytes = (size_t)(quarter == 0 ? gib : quarter < 8 * gib ? quarter : 8 * gib);
    return DS4_OK;
}

static size_t choose_context(const cli_options *options, size_t max_context) {
    size_t context = options->context ? (size_t)options->context : DEFAULT_CONTEXT;
    size_t limit = options->script_path ? MAX_CONTEXT : max_context;
    if (context <= limit) return context;
    if (options->context)
        cli_note("--ctx %zu is more than %s: it becomes %zu", context,
                 options->script_path ? "a script may have" : "the model's context", limit);
    return limit;
}

/* ---- the command --------------------------------------------------------------------------------- */

static void log_line(void *context, const char *line) {
    (void)context;
    cli_note("%s", line);
}

static int serve(const cli_options *options, const server_options *chosen, const cli_model *model) {
    const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
    server *running;
    ds4_error error;
    interrupt_arm();
    ds4_status status = server_start(model->model, model->engine, chosen, &running, &error);
    if (status == DS4_ERROR_ARGUMENT) return cli_usage("%s", error.message);
    if (status != DS4_OK) return cli_fail(&error);
    if (options->script_path) cli_note("--script: answers come from %s, not from the model", options->script_path);
    cli_note("%s listens at %s, with %zu answer%s at once of %zu tokens each", chosen->model_id, server_url(running),
             chosen->schedule.parallel, chosen->schedule.parallel == 1 ? "" : "s", chosen->schedule.context_tokens);
    while (!interrupted()) nanosleep(&moment, NULL);
    cli_note("shutting down; answers have %.0f seconds to end", options->drain_seconds);
    server_drain(running, options->drain_seconds);
    server_free(running);
    return EXIT_OK;
}

static int run_model(const cli_options *options, server_options *chosen, const cli_model *model) {
    ds4_error error;
    script *answers = NULL;
    chosen->model_id = options->model_id ? options->model_id : model->is_nano ? NANO_NAME : "deepseek-v4-flash";
    chosen->schedule.context_tokens = choose_context(options, ds4_model_max_context(model->model));
    if (options->script_path &&
        script_open(options->script_path, ds4_model_tokenizer(model->model), &answers, &error) != DS4_OK)
        return cli_fail(&error);
    chosen->schedule.script = answers;
    int result = serve(options, chosen, model);
    script_free(answers);
    return result;
}

static int run(const cli_options *options) {
    key_list keys = {0};
    cli_model model = {0};
    ds4_error error;
    server_options chosen = SERVER_OPTIONS_DEFAULT;
    chosen.host = options->host;
    chosen.port = options->port;
    chosen.unix_path = options->unix_path;
    chosen.cors = options->cors;
    chosen.insecure = options->insecure;
    chosen.max_body_bytes = (size_t)options->body_mib << 20;
    chosen.schedule.parallel = (size_t)options->parallel;
    chosen.schedule.queue = (size_t)options->queue;
    chosen.log = log_line;

    ds4_status status = read_keys(options, &keys, &error);
    chosen.key = keys.key;
    chosen.n_keys = keys.n;
    if (status == DS4_OK) status = choose_memory(options, &chosen.schedule.kv_ram_bytes, &error);
    if (status == DS4_OK && options->model_id && !*options->model_id)
        status = error_set(&error, DS4_ERROR_ARGUMENT, "--model-id: the name is empty");
    int result = status == DS4_OK               ? EXIT_OK
                 : status == DS4_ERROR_ARGUMENT ? cli_usage("%s", error.message)
                                                : cli_fail(&error);
    const ds4_engine_options engine = {
        .chunk_tokens = options->chunk                           ? (int)options->chunk
                        : strcmp(options->backend, "metal") == 0 ? GPU_CHUNK
                                                                 : 0,
        .any_context = options->script_path != NULL,
    };
    if (result == EXIT_OK) result = cli_model_open(options, DS4_MODEL_FULL, &engine, &model);
    if (result == EXIT_OK) result = run_model(options, &chosen, &model);
    cli_model_close(&model);
    ds4_buffer_deinit(&keys.file);
    return result;
}

static const cli_option options[] = {
    OPTION_MODEL,
    OPTION_BACKEND,
    OPTION_THREADS,
    OPTION_CONTEXT("tokens of a prompt with its answer (default: 131072, at most the model's)"),
    {.kind = OPTION_STRING,
     .name = "host",
     .argument = "NAME",
     .offset = offsetof(cli_options, host),
     .help = "name or address to listen at (default: 127.0.0.1)"},
    {.kind = OPTION_STRING,
     .name = "port",
     .argument = "N",
     .offset = offsetof(cli_options, port),
     .help = "port to listen at; 0: any that is free (default: 8080)"},
    {.kind = OPTION_STRING,
     .name = "unix",
     .argument = "PATH",
     .offset = offsetof(cli_options, unix_path),
     .help = "listen at a unix socket instead"},
    {.kind = OPTION_STRING,
     .name = "api-key",
     .argument = "KEY",
     .offset = offsetof(cli_options, key),
     .help = "key that clients must give; others see it in the list of processes, so rather:"},
    {.kind = OPTION_STRING,
     .name = "api-key-file",
     .argument = "FILE",
     .offset = offsetof(cli_options, key_path),
     .help = "file with keys, one a line ($DS4_API_KEY is a key, too)"},
    {.kind = OPTION_FLAG,
     .name = "insecure",
     .offset = offsetof(cli_options, insecure),
     .help = "let other machines in without a key"},
    {.kind = OPTION_STRING,
     .name = "cors",
     .argument = "ORIGIN",
     .offset = offsetof(cli_options, cors),
     .help = "web pages that may use the server: https://NAME, or * for all (default: local ones)"},
    {.kind = OPTION_INTEGER,
     .name = "parallel",
     .argument = "N",
     .offset = offsetof(cli_options, parallel),
     .min = 1,
     .max = SCHEDULER_MAX_PARALLEL,
     .help = "answers at once (default: 4)"},
    {.kind = OPTION_INTEGER,
     .name = "queue",
     .argument = "N",
     .offset = offsetof(cli_options, queue),
     .min = 0,
     .max = 100000,
     .help = "requests that may wait; more are told to come again (default: 64)"},
    {.kind = OPTION_STRING,
     .name = "kv-ram",
     .argument = "SIZE",
     .offset = offsetof(cli_options, kv_ram),
     .help = "MiB, or GiB as in 4G, for what is known of conversations (default: a quarter of the\n"
             "                             free memory, at most 8G)"},
    {.kind = OPTION_INTEGER,
     .name = "max-body",
     .argument = "MIB",
     .offset = offsetof(cli_options, body_mib),
     .min = 1,
     .max = 4096,
     .help = "largest request (default: 64)"},
    {.kind = OPTION_INTEGER,
     .name = "chunk",
     .argument = "N",
     .offset = offsetof(cli_options, chunk),
     .min = 1,
     .max = 16384,
     .help = "tokens in one pass over the weights (default: 512 on a CPU, 2048 on a GPU)"},
    {.kind = OPTION_REAL,
     .name = "drain-seconds",
     .argument = "N",
     .offset = offsetof(cli_options, drain_seconds),
     .min = 0,
     .max = 86400,
     .help = "after Ctrl-C or SIGTERM, for answers to end (default: 30)"},
    {.kind = OPTION_STRING,
     .name = "model-id",
     .argument = "NAME",
     .offset = offsetof(cli_options, model_id),
     .help = "the model's name for clients (default: deepseek-v4-flash or ds4-nano)"},
    {.kind = OPTION_STRING,
     .name = "script",
     .argument = "FILE",
     .offset = offsetof(cli_options, script_path),
     .help = "for tests: answers from a file, with lines --- between them; --ctx may be more than the model's"},
    OPTION_EXACT,
    OPTION_END,
};

const cli_command command_serve = {
    .name = "serve",
    .synopsis = "[options]",
    .summary = "answer programs that speak OpenAI's or Anthropic's API",
    .options = options,
    .notes = "POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages and their counts of tokens; GET\n"
             "/v1/models, /health, /metrics (Prometheus). A link named ds4-server does the same.\n",
    .run = run,
};
