/* ds4 synth: a model file of the published shape with pseudo-random weights. */
#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/terminal.h"
#include "model/synth.h"

enum { RECIPES_BYTES = 128 };

/* "q2, q2-imatrix, ..." */
static void list_recipes(char text[RECIPES_BYTES]) {
    size_t used = 0;
    for (const layout_recipe *recipe = layout_recipes; recipe->name && used < RECIPES_BYTES; recipe++)
        used += (size_t)snprintf(text + used, RECIPES_BYTES - used, "%s%s", used ? ", " : "", recipe->name);
}

/* ---- progress ---- */

typedef struct byte_counter {
    double drawn; /* seconds; 0: nothing is on the screen */
} byte_counter;

static bool count_bytes(void *context, size_t done, size_t total) {
    byte_counter *counter = context;
    double now = time_seconds();
    if (now - counter->drawn > 0.2 && can_redraw(stderr)) {
        fprintf(stderr, "\rsynth: %.1f of %.1f GB", (double)done * 1e-9, (double)total * 1e-9);
        fflush(stderr);
        counter->drawn = now;
    }
    return interrupted();
}

static void counter_clear(const byte_counter *counter) {
    if (counter->drawn > 0) fputs("\r\033[K", stderr);
}

/* ---- the command ---- */

static int run(const cli_options *options) {
    const layout_recipe *recipe = layout_recipe_find(options->operand);
    if (!recipe) {
        char recipes[RECIPES_BYTES];
        list_recipes(recipes);
        return cli_usage("unknown recipe '%s', expected one of %s", options->operand, recipes);
    }
    synth_options wanted = {.recipe = recipe,
                            .n_own_experts = (int)options->experts,
                            .seed = options->seed < 0 ? 0 : (uint64_t)options->seed};
    byte_counter counter = {0};
    ds4_error error;
    interrupt_arm(); /* an unfinished file is taken away */
    ds4_status status = synth_write(&wanted, options->second_operand, count_bytes, &counter, &error);
    counter_clear(&counter);
    if (status == DS4_CANCELLED) error_set(&error, status, "interrupted");
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}

static const cli_option options[] = {
    {.kind = OPTION_INTEGER,
     .name = "experts",
     .argument = "N",
     .offset = offsetof(cli_options, experts),
     .min = 6,
     .max = 256,
     .help = "experts of each layer, not shared (default: 256, the same bytes for all layers)"},
    {.kind = OPTION_INTEGER,
     .name = "seed",
     .argument = "N",
     .offset = offsetof(cli_options, seed),
     .min = 0,
     .max = (double)INT64_MAX,
     .help = "chooses the weights (default: 0)"},
    OPTION_END,
};

const cli_command command_synth = {
    .name = "synth",
    .synopsis = "q2|q2-imatrix|q4|q4-imatrix|q2-q4 OUT.gguf [options]",
    .summary = "write a model file of the published shape with pseudo-random weights",
    .operand = "q2|q2-imatrix|q4|q4-imatrix|q2-q4",
    .second_operand = "OUT.gguf",
    .options = options,
    .notes = "A file has 10.6 GB (q2), 12.4 GB (q4) or 14.2 GB (q2-q4). With --experts no bytes are shared, as other\n"
             "programs want it. The file appears when it is complete; the same seed gives the same bytes.\n",
    .run = run,
};
