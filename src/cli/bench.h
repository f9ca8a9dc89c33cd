/*
 * ds4 bench: how fast a model runs on this machine, and how near that is to what the memory allows.
 *
 *   cmd_bench.c      options
 *   bench_run.c      the run: model, bandwidth, memory; what is printed when
 *   bench_measure.c  prefill and decode at each context
 *   bench_synth.c    a model of the published shape that leaves nothing behind
 *   bench_report.c   the results as text, CSV and JSON
 *   bench_plot.c     the results as a picture
 *   bench_count.c    --count: what a published model would read on a GPU, without running it
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "base/system.h"
#include "cli/cli.h"

enum {
    BENCH_MAX_CONTEXTS = 32,
    BENCH_MAX_REPEAT = 100,
    BENCH_MAX_DECODE = 4096,
    BENCH_DEFAULT_REPEAT = 3,
    BENCH_DEFAULT_DECODE = 16,
    BENCH_DEFAULT_CHUNK = 512,
    BENCH_MAX_CHUNK = 1 << 14,
    BENCH_TEXT_BYTES = sizeof(((ds4_error *)0)->message),
};

#define BENCH_RECIPES "q2, q2-imatrix, q4, q4-imatrix or q2-q4" /* the names of layout_recipes */

/* Both return the status to exit with. */
int bench_run(const cli_options *options);
int bench_count(const cli_options *options);

/* ---- results ---- */

/* Tokens a second of several runs of the same work. */
typedef struct bench_speed {
    int n_runs; /* 0: there is none, the rest is zero */
    double median, lowest, highest;
    double seconds; /* of the run in the middle */
} bench_speed;

/* At one context. */
typedef struct bench_row {
    size_t context;             /* tokens of the conversation when the prefill is done */
    size_t prefill_tokens;      /* those of them that are not in the row before */
    bench_speed prefill;        /* of these tokens */
    bench_speed decode;         /* of tokens evaluated one by one behind them */
    double first_token_seconds; /* for a prompt of `context` tokens: the prefills up to here */
    uint64_t weight_bytes;      /* that a token decoded here must read */
    size_t timeline_bytes;
    uint64_t resident_bytes;
} bench_row;

typedef struct bench_report {
    char date[32];              /* ISO 8601, UTC */
    char cpu[BENCH_TEXT_BYTES]; /* UTF-8, as the name of the model */
    uint64_t machine_bytes;     /* memory; 0: unknown */

    char model[BENCH_TEXT_BYTES];
    uint64_t model_bytes; /* of the file */
    double load_seconds;
    char backend[16], kernels[32];
    bool exact;
    int n_threads, chunk, n_decode, repeat;

    /* Bytes a second. 0: not measured, or unknown */
    double bandwidth_before, bandwidth_after;
    double bandwidth; /* what shares are of */

    process_memory memory;
    bool peak_is_sampled; /* the system cannot forget the memory of measuring bandwidth: the most seen behind a row */
    bool complete;        /* all contexts, all runs */
    size_t n_rows;
    bench_row row[BENCH_MAX_CONTEXTS];
} bench_report;

/* Bytes of weights a second that decoding needs at least, and as a share of the bandwidth; 0: unknown. */
double bench_weight_rate(const bench_row *row);
double bench_share(const bench_report *report, const bench_row *row);

/* ---- measuring ---- */

typedef struct bench_contexts {
    size_t n;
    size_t tokens[BENCH_MAX_CONTEXTS]; /* ascending, not zero */
} bench_contexts;

/* Numbers with commas. DS4_ERROR_ARGUMENT names what is wrong. */
ds4_status bench_contexts_read(const char *list, bench_contexts *contexts, ds4_error *error);

/* Fills the report's rows, those of the contexts that were measured also when it fails or is interrupted
 * (DS4_CANCELLED). n_threads, chunk, n_decode and repeat are those of the report. */
ds4_status bench_measure(const cli_model *model, const bench_contexts *contexts, bench_report *report,
                         ds4_error *error);

/* ---- a model for --synth ---- */

typedef struct bench_synth {
    char *path; /* of the model, which is there until bench_synth_close */
    char *folder;
    int to_guard; /* its end tells the guard, a process that takes the folder away */
    int guard;
} bench_synth;

/* Writes the model of a recipe into a new folder in $TMPDIR or /var/tmp. However this process ends, nothing of it
 * stays. */
ds4_status bench_synth_open(const char *recipe, bench_synth *synth, ds4_error *error);
/* Takes the file's name away; who has opened it can go on. Harmless if synth is zero. */
void bench_synth_close(bench_synth *synth);

/* ---- reports ---- */

/* Text that grows; failed stays true when there was no memory for some of it. Zero-initialise. */
typedef struct bench_text {
    ds4_buffer bytes;
    bool failed;
} bench_text;

void bench_add(bench_text *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* Three or more digits of a number that is not negative, without an exponent. */
#define BENCH_NUMBER_BYTES 32
const char *bench_number(double number, char text[BENCH_NUMBER_BYTES]);

void bench_add_table(bench_text *text, const bench_report *report);
void bench_add_csv(bench_text *text, const bench_report *report);
void bench_add_json(bench_text *text, const bench_report *report);
void bench_add_plot(bench_text *text, const bench_report *report);

#endif
