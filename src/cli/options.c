#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const think_names[] = {"off", "high", "max", NULL};

static const cli_option common_options[] = {
    {.kind = OPTION_FLAG,
     .letter = 'h',
     .name = "help",
     .offset = offsetof(cli_options, help),
     .help = "print this and exit"},
    {.kind = OPTION_FLAG,
     .name = "version",
     .offset = offsetof(cli_options, version),
     .help = "print the version and exit"},
    OPTION_END,
};

/* ---- values -------------------------------------------------------------------------------------- */

bool parse_integer(const char *text, int64_t min, int64_t max, int64_t *value) {
    const char *digits = text + (*text == '-');
    if (!*digits || digits[strspn(digits, "0123456789")]) return false;
    errno = 0;
    long long parsed = strtoll(text, NULL, 10);
    if (errno || parsed < min || parsed > max) return false;
    *value = parsed;
    return true;
}

static bool parse_real(const char *text, double min, double max, double *value) {
    /* strtod alone would also take spaces, "nan", "infinity" and hexadecimal */
    if (!*text || text[strspn(text, "0123456789.eE+-")]) return false;
    char *end;
    double parsed = strtod(text, &end);
    if (end == text || *end || !isfinite(parsed) || parsed < min || parsed > max) return false;
    *value = parsed;
    return true;
}

/* "a, b or c" */
static void join_choices(const char *const *choices, char *text, size_t capacity) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; choices[i] && used < capacity; i++) {
        const char *before = i == 0 ? "" : choices[i + 1] ? ", " : " or ";
        int n = snprintf(text + used, capacity - used, "%s%s", before, choices[i]);
        if (n < 0) return;
        used += (size_t)n;
    }
}

static ds4_status set_choice(const cli_option *option, const char *shown, const char *text, int *value,
                             ds4_error *error) {
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(text, option->choices[i]) == 0) {
            *value = i;
            return DS4_OK;
        }
    }
    char expected[128];
    join_choices(option->choices, expected, sizeof expected);
    return error_set(error, DS4_ERROR_ARGUMENT, "%s: '%s', expected %s", shown, text, expected);
}

static ds4_status set_value(const cli_option *option, const char *shown, const char *text, cli_options *options,
                            ds4_error *error) {
    void *value = (char *)options + option->offset;
    /* tables hold doubles, and 2^63 - 1 is not one of them */
    int64_t max = option->max >= 0x1p63 ? INT64_MAX : (int64_t)option->max;
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)value = true; return DS4_OK;
    case OPTION_STRING: *(const char **)value = text; return DS4_OK;
    case OPTION_CHOICE: return set_choice(option, shown, text, value, error);
    case OPTION_INTEGER:
        if (parse_integer(text, (int64_t)option->min, max, value)) return DS4_OK;
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: '%s', expected a whole number from %" PRId64 " to %" PRId64,
                         shown, text, (int64_t)option->min, max);
    case OPTION_REAL:
        if (parse_real(text, option->min, option->max, value)) return DS4_OK;
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: '%s', expected a number from %g to %g", shown, text,
                         option->min, option->max);
    }
    return error_set(error, DS4_ERROR_ARGUMENT, "%s: unknown kind of option", shown);
}

/* ---- parsing ------------------------------------------------------------------------------------- */

static const cli_option *find_in(const cli_option *table, char letter, const char *name, size_t n_bytes) {
    for (; table->kind; table++) {
        if (letter && table->letter == letter) return table;
        if (name && table->name && strlen(table->name) == n_bytes && memcmp(table->name, name, n_bytes) == 0)
            return table;
    }
    return NULL;
}

static const cli_option *find_option(const cli_command *command, char letter, const char *name, size_t n_bytes) {
    const cli_option *found = find_in(command->options, letter, name, n_bytes);
    return found ? found : find_in(common_options, letter, name, n_bytes);
}

/* Reads the option at argv[*at], leaves *at at the last word that belongs to it. */
static ds4_status parse_option(const cli_command *command, int argc, char **argv, int *at, cli_options *options,
                               ds4_error *error) {
    const char *word = argv[*at];
    const cli_option *option;
    const char *attached = NULL; /* the value in the same word */
    char shown[128];             /* the option without it, for messages */
    if (word[1] == '-') {
        size_t n_bytes = strcspn(word + 2, "=");
        if (word[2 + n_bytes] == '=') attached = word + 2 + n_bytes + 1;
        option = find_option(command, 0, word + 2, n_bytes);
        snprintf(shown, sizeof shown, "%.*s", n_bytes < 100 ? (int)n_bytes + 2 : 102, word);
    } else {
        if (word[2]) attached = word + 2;
        option = find_option(command, word[1], NULL, 0);
        snprintf(shown, sizeof shown, "-%c", word[1]);
        if (!option) snprintf(shown, sizeof shown, "%.100s", word);
    }
    if (!option) return error_set(error, DS4_ERROR_ARGUMENT, "unknown option %s", shown);
    if (option->kind == OPTION_FLAG) {
        if (attached) return error_set(error, DS4_ERROR_ARGUMENT, "%s takes no value", shown);
        return set_value(option, shown, NULL, options, error);
    }
    if (!attached && *at + 1 >= argc)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s needs a value (%s)", shown, option->argument);
    return set_value(option, shown, attached ? attached : argv[++*at], options, error);
}

ds4_status options_parse(const cli_command *command, int argc, char **argv, int first, cli_options *options,
                         ds4_error *error) {
    ds4_sampling sampling = DS4_SAMPLING_DEFAULT;
    *options = (cli_options){
        .backend = "cpu",
        .sessions = 1,
        .machine = "auto",
        .system = "You are a helpful assistant",
        .think = THINK_HIGH,
        .seed = -1,
        .temperature = sampling.temperature,
        .top_k = sampling.top_k,
        .top_p = sampling.top_p,
        .min_p = sampling.min_p,
        .host = "127.0.0.1",
        .port = "8080",
        .parallel = 4,
        .queue = 64,
        .body_mib = 64,
        .drain_seconds = 30,
    };
    bool options_ended = false;
    for (int at = first; at < argc; at++) {
        const char *word = argv[at];
        if (!options_ended && strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && word[0] == '-' && word[1]) {
            ds4_status status = parse_option(command, argc, argv, &at, options, error);
            if (status != DS4_OK) return status;
            if (options->help || options->version) return DS4_OK;
        } else if (command->operand && !options->operand) {
            options->operand = word;
        } else if (command->second_operand && !options->second_operand) {
            options->second_operand = word;
        } else {
            return error_set(error, DS4_ERROR_ARGUMENT, "unexpected argument '%s'", word);
        }
    }
    if (command->operand && !command->operand_is_optional && !options->operand)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s is missing", command->operand);
    if (command->second_operand && !options->second_operand)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s is missing", command->second_operand);
    return DS4_OK;
}

/* ---- help ---------------------------------------------------------------------------------------- */

static void table_print(const cli_option *table, FILE *stream) {
    for (; table->kind; table++) {
        char left[64], letter[8] = "   ";
        if (table->letter) snprintf(letter, sizeof letter, "-%c%s", table->letter, table->name ? "," : "");
        snprintf(left, sizeof left, "%s %s%s%s%s", letter, table->name ? "--" : "", table->name ? table->name : "",
                 table->argument && table->name ? " " : "", table->argument ? table->argument : "");
        fprintf(stream, "  %-26s %s\n", left, table->help);
    }
}

void options_print(const cli_command *command, FILE *stream) {
    table_print(command->options, stream);
    table_print(common_options, stream);
}
