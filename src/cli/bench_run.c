/* ds4 bench, one run: bandwidth, the model, its contexts, bandwidth again; then what was measured. */
#include "base/bandwidth.h"
#include "base/file.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const size_t DEFAULT_CONTEXTS[] = {512, 2048, 8192};
enum { N_DEFAULT_CONTEXTS = sizeof DEFAULT_CONTEXTS / sizeof *DEFAULT_CONTEXTS, MAX_THREADS = 1024 };

typedef struct bench_job {
    const cli_options *options;
    bench_contexts contexts; /* none: the default ones that fit */
    file_writer plot;        /* open from the beginning: a folder that is not there should not be noticed at the end */
    bench_synth synth;
    cli_model model;
    bench_report report;
} bench_job;

static int usage(const ds4_error *error) {
    return cli_usage("%s (see: ds4 bench --help)", error->message);
}

/* Reports are UTF-8, which names of files need not be; what makes messages of them replaces everything else. */
static void set_text(char text[BENCH_TEXT_BYTES], const char *before, const char *name) {
    ds4_error clean;
    error_set(&clean, DS4_OK, "%s%s", before, name);
    memcpy(text, clean.message, BENCH_TEXT_BYTES);
}

/* ---- the machine ---- */

static void describe(bench_job *job) {
    bench_report *r = &job->report;
    const cli_options *options = job->options;
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(r->date, sizeof r->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    char cpu[128];
    system_cpu_name(cpu, sizeof cpu);
    set_text(r->cpu, "", cpu);
    r->machine_bytes = system_memory_bytes();
    r->n_threads = options->threads ? (int)options->threads : processor_count();
    if (r->n_threads > MAX_THREADS) r->n_threads = MAX_THREADS;
    r->chunk = options->chunk ? (int)options->chunk : BENCH_DEFAULT_CHUNK;
    r->n_decode = options->limit ? (int)options->limit : BENCH_DEFAULT_DECODE;
    r->repeat = options->repeat ? (int)options->repeat : BENCH_DEFAULT_REPEAT;
    r->exact = options->exact;
}

/* Of the memory as processors read it: how fast a GPU could read is not known from that. */
static bool measures_bandwidth(const bench_job *job) {
    return job->options->bandwidth == 0 && strcmp(job->options->backend, "cpu") == 0;
}

static ds4_status measure_bandwidth(const bench_job *job, double *bytes_per_second, ds4_error *error) {
    return measures_bandwidth(job) ? bandwidth_measure(job->report.n_threads, 0, bytes_per_second, error) : DS4_OK;
}

/* The machine can read at least as fast as it did in the better of two moments. */
static void choose_bandwidth(bench_job *job) {
    bench_report *r = &job->report;
    r->bandwidth = r->bandwidth_before > r->bandwidth_after ? r->bandwidth_before : r->bandwidth_after;
    if (job->options->bandwidth > 0) r->bandwidth = job->options->bandwidth * 1e9;
}

/* ---- the model ---- */

static int load(bench_job *job) {
    bench_report *r = &job->report;
    cli_options options = *job->options;
    if (options.synth) options.model = job->synth.path;
    ds4_engine_options engine_options = {.chunk_tokens = r->chunk};
    double started = time_seconds();
    int exit_status = cli_model_open(&options, DS4_MODEL_FULL, &engine_options, &job->model);
    r->load_seconds = time_seconds() - started;
    if (exit_status != EXIT_OK) return exit_status;
    const gguf_file *file = job->model.model->file;
    const backend *engine = job->model.engine->backend;
    set_text(r->model, options.synth ? "synthetic " : "", options.synth ? options.synth : file->name);
    r->model_bytes = file->n_bytes;
    snprintf(r->backend, sizeof r->backend, "%s", engine->op->name);
    snprintf(r->kernels, sizeof r->kernels, "%s", engine->detail ? engine->detail : "");
    bench_synth_close(&job->synth);
    return EXIT_OK;
}

static int check_contexts(bench_job *job) {
    bench_contexts *contexts = &job->contexts;
    size_t max = ds4_model_max_context(job->model.model), n_decode = (size_t)job->report.n_decode;
    if (n_decode >= max) return cli_usage("-n: %zu tokens, the model's context has %zu", n_decode, max);
    if (contexts->n && contexts->tokens[contexts->n - 1] > max - n_decode)
        return cli_usage("--ctx: %zu, the model allows at most %zu with %zu tokens behind them",
                         contexts->tokens[contexts->n - 1], max - n_decode, n_decode);
    if (contexts->n) return EXIT_OK;
    for (size_t i = 0; i < N_DEFAULT_CONTEXTS; i++)
        if (DEFAULT_CONTEXTS[i] <= max - n_decode) contexts->tokens[contexts->n++] = DEFAULT_CONTEXTS[i];
    if (!contexts->n) contexts->tokens[contexts->n++] = max - n_decode;
    return EXIT_OK;
}

/* ---- output ---- */

/* What was measured is shown also when that is not all. */
static ds4_status print_report(const bench_job *job, ds4_error *error) {
    bench_text text = {0};
    if (job->options->json)
        bench_add_json(&text, &job->report);
    else if (job->options->csv)
        bench_add_csv(&text, &job->report);
    else
        bench_add_table(&text, &job->report);
    ds4_status status = text.failed ? error_memory(error, "report", text.bytes.n_bytes) : DS4_OK;
    if (status == DS4_OK) stdout_write(text.bytes.data, text.bytes.n_bytes);
    ds4_buffer_deinit(&text.bytes);
    return status;
}

static ds4_status write_plot(bench_job *job, ds4_error *error) {
    if (!job->options->plot_path || job->report.n_rows == 0) return DS4_OK;
    bench_text text = {0};
    bench_add_plot(&text, &job->report);
    ds4_status status = text.failed ? error_memory(error, "plot", text.bytes.n_bytes)
                                    : file_writer_write(&job->plot, text.bytes.data, text.bytes.n_bytes, error);
    if (status == DS4_OK) status = file_writer_commit(&job->plot, error);
    ds4_buffer_deinit(&text.bytes);
    return status;
}

/* ---- the run ---- */

static ds4_status measure(bench_job *job, ds4_error *error) {
    bench_report *r = &job->report;
    ds4_status status = bench_measure(&job->model, &job->contexts, r, error);
    if (status == DS4_CANCELLED) error_set(error, status, "interrupted");
    cli_model_close(&job->model);
    if (status == DS4_OK) status = measure_bandwidth(job, &r->bandwidth_after, error);
    r->complete = status == DS4_OK;
    choose_bandwidth(job);
    return status;
}

static ds4_status prepare(bench_job *job, ds4_error *error) {
    bench_report *r = &job->report;
    ds4_status status = DS4_OK;
    if (job->options->plot_path) status = file_writer_open(job->options->plot_path, &job->plot, error);
    if (status == DS4_OK && job->options->synth) status = bench_synth_open(job->options->synth, &job->synth, error);
    if (status == DS4_OK) status = measure_bandwidth(job, &r->bandwidth_before, error);
    if (status == DS4_OK && interrupted()) status = error_set(error, DS4_CANCELLED, "interrupted");
    r->peak_is_sampled = !process_memory_reset_peak() && measures_bandwidth(job);
    return status;
}

static int run(bench_job *job) {
    ds4_error error, output_error;
    describe(job);
    if (prepare(job, &error) != DS4_OK) return cli_fail(&error);
    int exit_status = load(job);
    if (exit_status == EXIT_OK) exit_status = check_contexts(job);
    if (exit_status != EXIT_OK) return exit_status;
    ds4_status status = measure(job, &error);
    ds4_status output_status = print_report(job, &output_error);
    if (output_status == DS4_OK) output_status = write_plot(job, &output_error);
    if (status != DS4_OK) return cli_fail(&error);
    return output_status == DS4_OK ? EXIT_OK : cli_fail(&output_error);
}

int bench_run(const cli_options *options) {
    bench_job job = {.options = options};
    ds4_error error;
    if (options->contexts && bench_contexts_read(options->contexts, &job.contexts, &error) != DS4_OK)
        return usage(&error);
    /* before a model of ten gigabytes is made for it */
    if (ds4_backend_check(options->backend, &error) != DS4_OK) return usage(&error);
    /* unfinished files are taken away, and what was measured is shown */
    interrupt_arm();
    int exit_status = run(&job);
    cli_model_close(&job.model);
    bench_synth_close(&job.synth);
    file_writer_abandon(&job.plot);
    return exit_status;
}
