/* ds4 bench: its options, and which of its two works they ask for. */
#include "cli/bench.h"
#include "model/layout.h"

/* What only measuring knows; NULL: none was given. */
static const char *measuring_option(const cli_options *options) {
    return options->model           ? "-m"
           : options->synth         ? "--synth"
           : options->limit         ? "-n"
           : options->repeat        ? "--repeat"
           : options->bandwidth > 0 ? "--bandwidth"
           : options->csv           ? "--csv"
           : options->plot_path     ? "--plot"
           : options->exact         ? "--exact"
           : options->threads       ? "--threads"
                                    : NULL;
}

static int run(const cli_options *options) {
    if (options->count && measuring_option(options))
        return cli_usage("--count and %s do not go together: nothing is measured", measuring_option(options));
    if (options->count) return bench_count(options);
    if (options->synth && options->model) return cli_usage("-m and --synth do not go together");
    if (options->json && options->csv) return cli_usage("--json and --csv do not go together");
    if (options->synth && !layout_recipe_find(options->synth))
        return cli_usage("--synth: '%s', expected " BENCH_RECIPES, options->synth);
    return bench_run(options);
}

static const cli_option options[] = {
    OPTION_MODEL,
    {.kind = OPTION_STRING,
     .name = "synth",
     .argument = "NAME",
     .offset = offsetof(cli_options, synth),
     .help = "measure a model of this published shape that is made for it, 10 GB on disk; names as for --count"},
    {.kind = OPTION_STRING,
     .name = "ctx",
     .argument = "LIST",
     .offset = offsetof(cli_options, contexts),
     .help = "contexts in tokens, ascending (default: 512,2048,8192; with --count 2048,32768,131072)"},
    {.kind = OPTION_INTEGER,
     .letter = 'n',
     .argument = "N",
     .offset = offsetof(cli_options, limit),
     .min = 1,
     .max = BENCH_MAX_DECODE,
     .help = "tokens decoded at each context (default: 16)"},
    {.kind = OPTION_INTEGER,
     .name = "repeat",
     .argument = "N",
     .offset = offsetof(cli_options, repeat),
     .min = 1,
     .max = BENCH_MAX_REPEAT,
     .help = "runs of everything, of which median and range are given (default: 3)"},
    {.kind = OPTION_INTEGER,
     .name = "chunk",
     .argument = "N",
     .offset = offsetof(cli_options, chunk),
     .min = 1,
     .max = BENCH_MAX_CHUNK,
     .help = "tokens evaluated in one pass over the weights (default: 512)"},
    OPTION_BACKEND,
    OPTION_EXACT,
    OPTION_THREADS,
    {.kind = OPTION_REAL,
     .name = "bandwidth",
     .argument = "GB/S",
     .offset = offsetof(cli_options, bandwidth),
     .min = 1e-3,
     .max = 1e6,
     .help = "take this as the memory's bandwidth instead of measuring it (for GPUs)"},
    {.kind = OPTION_FLAG, .name = "csv", .offset = offsetof(cli_options, csv), .help = "print a row for each context"},
    {.kind = OPTION_FLAG, .name = "json", .offset = offsetof(cli_options, json), .help = "print one JSON object"},
    {.kind = OPTION_STRING,
     .name = "plot",
     .argument = "FILE",
     .offset = offsetof(cli_options, plot_path),
     .help = "draw speeds over context, as SVG"},
    {.kind = OPTION_STRING,
     .name = "count",
     .argument = "NAME",
     .offset = offsetof(cli_options, count),
     .help = "measure nothing: count what a GPU would do. " BENCH_RECIPES},
    OPTION_END,
};

const cli_command command_bench = {
    .name = "bench",
    .synopsis = "[-m MODEL | --synth NAME | --count NAME] [options]",
    .summary = "measure prefill and decode speed, and how near it is to what the memory allows",
    .options = options,
    .notes =
        "At each context the prompt is prefilled up to it, then tokens are decoded, several times. Ctrl-C ends the\n"
        "measuring and shows what there is. --synth and --count need no model file; --synth writes to $TMPDIR or\n"
        "/var/tmp.\n",
    .run = run,
};
