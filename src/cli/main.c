/* ds4: finds the command, reads its options, runs it. */
#include "cli/cli.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

static const cli_command *const commands[] = {
    &command_inspect, &command_tokenize, &command_render, &command_logits, &command_score,
    &command_bench,   &command_synth,    &command_pull,   &command_plan,   &command_serve,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const cli_command *command_find(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

/* A link named ds4-inspect is the command inspect; ds4-server is what programs look for that start one. */
static const cli_command *command_of_link(const char *program) {
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    if (strcmp(name, "ds4-server") == 0) return &command_serve;
    return strncmp(name, "ds4-", 4) == 0 ? command_find(name + 4) : NULL;
}

static void help_print(const cli_command *command) {
    if (command->name)
        printf("usage: ds4 %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
    else
        printf("usage: %s\n\n%s\n", command->synopsis, command->summary);
    if (!command->name) {
        printf("\ncommands (ds4 COMMAND --help says more):\n");
        for (size_t i = 0; i < N_COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("\noptions:\n");
    options_print(command, stdout);
    if (command->notes) printf("\n%s", command->notes);
}

static int run(const cli_command *command, int argc, char **argv, int first) {
    cli_options options;
    ds4_error error;
    if (options_parse(command, argc, argv, first, &options, &error) != DS4_OK) {
        const char *space = command->name ? " " : "", *name = command->name ? command->name : "";
        return cli_usage("%s (see: ds4%s%s --help)", error.message, space, name);
    }
    if (options.help) {
        help_print(command);
        return EXIT_OK;
    }
    if (options.version) {
        printf("ds4 %s\n", DS4_VERSION);
        return EXIT_OK;
    }
    return command->run(&options);
}

int main(int argc, char **argv) {
    /* A reader that went away is a failed write, which is reported. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* so is a file that has grown to its limit */
    /* The line editor needs the terminal's encoding. Numbers stay as in C. */
    setlocale(LC_CTYPE, "");

    const cli_command *command = argc > 0 ? command_of_link(argv[0]) : NULL;
    if (command) return stdout_finish(run(command, argc, argv, 1));
    if (argc > 1 && argv[1][0] != '-') {
        command = command_find(argv[1]);
        if (!command) return cli_usage("unknown command '%s' (see: ds4 --help)", argv[1]);
        return stdout_finish(run(command, argc, argv, 2));
    }
    return stdout_finish(run(&command_chat, argc, argv, 1));
}
