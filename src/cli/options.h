/*
 * Command lines. Every command declares the options it takes as a table; one parser reads them all into
 * one struct, and the same table prints the help.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/error.h"

#include <stddef.h>
#include <stdio.h>

typedef enum think_effort { THINK_OFF, THINK_HIGH, THINK_MAX } think_effort;
typedef enum plan_processor { PROCESSOR_AUTO, PROCESSOR_CPU, PROCESSOR_GPU } plan_processor;
typedef enum logit_positions { POSITIONS_ALL, POSITIONS_LAST } logit_positions;

/* Strings point into argv. What a command does not take keeps its default. */
typedef struct cli_options {
    bool help, version;
    const char *operand; /* the word that is not an option: MODEL or FILE */
    const char *second_operand;

    const char *model;
    const char *backend;
    int64_t threads;
    int64_t context; /* 0: the command's default */
    int64_t sessions;
    const char *machine;
    int processor; /* plan_processor */

    const char *prompt; /* NULL: none given */
    const char *system;
    int think;     /* think_effort */
    int64_t limit; /* tokens to generate; 0: until the context is full */
    int64_t seed;  /* -1: another one each time */
    double temperature, top_p, min_p;
    int64_t top_k;

    bool special, decode;
    bool print_tokens;
    const char *tokens_path, *out_path;
    int positions; /* logit_positions */
    int64_t chunk;
    bool exact, no_qat, float_rows, no_compressed;
    const char *count, *contexts; /* NULL: none given */
    bool json;
    const char *synth, *plot_path; /* NULL: none given */
    int64_t repeat;                /* 0: the command's default */
    double bandwidth;              /* GB/s; 0: measured */
    bool csv;
    const char *to, *from; /* NULL: none given */
    bool verify;
    int64_t experts; /* of each layer; 0: all, shared by the layers */

    const char *host, *port, *unix_path, *cors; /* unix_path, cors: NULL: none given */
    const char *key, *key_path, *script_path, *model_id, *kv_ram;
    bool insecure;
    int64_t parallel, queue, body_mib;
    double drain_seconds;
} cli_options;

typedef enum option_kind {
    OPTION_FLAG = 1, /* bool */
    OPTION_STRING,   /* const char * */
    OPTION_INTEGER,  /* int64_t from min to max */
    OPTION_REAL,     /* double from min to max */
    OPTION_CHOICE,   /* int: index into choices */
} option_kind;

typedef struct cli_option {
    option_kind kind; /* 0 ends a table */
    char letter;      /* 0: none */
    const char *name; /* NULL: only the letter */
    const char *argument;
    size_t offset; /* of the value in cli_options */
    double min, max;
    const char *const *choices; /* ends with NULL */
    const char *help;
} cli_option;

typedef struct cli_command {
    const char *name;     /* NULL: what ds4 does without a command */
    const char *synopsis; /* what follows the name in the usage line */
    const char *summary;
    const char *operand;        /* NULL: takes none; otherwise it must be there */
    const char *second_operand; /* likewise */
    bool operand_is_optional;
    const cli_option *options;
    const char *notes;                      /* NULL, or lines below the options in the help */
    int (*run)(const cli_options *options); /* returns the exit status */
} cli_command;

extern const char *const think_names[]; /* by think_effort */

#ifdef DS4_METAL
#define OPTION_BACKENDS "cpu, metal, sim"
#else
#define OPTION_BACKENDS "cpu, sim"
#endif
/* clang-format off */
#define OPTION_MODEL \
    {.kind = OPTION_STRING, .letter = 'm', .name = "model", .argument = "FILE", \
     .offset = offsetof(cli_options, model), \
     .help = "GGUF file, name of a downloaded one, or nano (default: $DS4_MODEL, a downloaded one, nano)"}
#define OPTION_BACKEND \
    {.kind = OPTION_STRING, .name = "backend", .argument = "NAME", .offset = offsetof(cli_options, backend), \
     .help = "what computes: " OPTION_BACKENDS " (sim: a simulated GPU, for tests)"}
#define OPTION_THREADS \
    {.kind = OPTION_INTEGER, .letter = 't', .name = "threads", .argument = "N", \
     .offset = offsetof(cli_options, threads), .min = 1, .max = 1024, \
     .help = "CPU threads (default: one per processor)"}
#define OPTION_CONTEXT(default_text) \
    {.kind = OPTION_INTEGER, .letter = 'c', .name = "ctx", .argument = "N", \
     .offset = offsetof(cli_options, context), .min = 1, .max = INT32_MAX, .help = default_text}
#define OPTION_SPECIAL \
    {.kind = OPTION_FLAG, .name = "special", .offset = offsetof(cli_options, special), \
     .help = "strings of control tokens in the text become those tokens"}
#define OPTION_EXACT \
    {.kind = OPTION_FLAG, .name = "exact", .offset = offsetof(cli_options, exact), \
     .help = "CPU: float activations for all weights instead of 8-bit ones; slow (a GPU computes that way)"}
#define OPTION_NO_QAT \
    {.kind = OPTION_FLAG, .name = "no-qat", .offset = offsetof(cli_options, no_qat), \
     .help = "for tests: do not round rows and indexer queries to FP8/FP4"}
#define OPTION_FLOAT_ROWS \
    {.kind = OPTION_FLAG, .name = "float-rows", .offset = offsetof(cli_options, float_rows), \
     .help = "for tests: keep rows as float32"}
#define OPTION_NO_COMPRESSED \
    {.kind = OPTION_FLAG, .name = "no-compressed", .offset = offsetof(cli_options, no_compressed), \
     .help = "for tests: attention does not see compressed rows"}
#define OPTION_END {.kind = 0}
/* clang-format on */

/* Reads argv[first..argc-1]. Fails with DS4_ERROR_ARGUMENT and one line; --help and --version end the
 * reading. */
ds4_status options_parse(const cli_command *command, int argc, char **argv, int first, cli_options *options,
                         ds4_error *error);

/* A whole number in decimal from min to max and nothing else. */
bool parse_integer(const char *text, int64_t min, int64_t max, int64_t *value);

/* The list of a command's options, for its help. */
void options_print(const cli_command *command, FILE *stream);

#endif
