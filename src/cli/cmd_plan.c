/* ds4 plan: what a model takes of a machine's memory and how fast it would be, before it is downloaded or started. */
#include "base/bandwidth.h"
#include "base/cgroup.h"
#include "base/system.h"
#include "base/threads.h"
#include "cli/cli.h"
#include "cli/nano.h"
#include "cli/plan_report.h"
#include "engine/engine.h"
#include "fetch/fetch.h"
#include "gguf/gguf_remote.h"
#include "model/layout.h"
#include "model/published.h"
#ifdef DS4_METAL
#include "backend/gpu/metal.h"
#endif

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CHUNK = 1 << 14, MAX_SESSIONS = 1 << 16, MAX_THREADS = 1024 };

/* ---- the model ---- */

static bool is_url(const char *name) {
    return strncmp(name, "http://", 7) == 0 || strncmp(name, "https://", 8) == 0;
}

static ds4_status read_range(void *context, uint64_t offset, size_t n_bytes, ds4_buffer *bytes, uint64_t *total_bytes,
                             ds4_error *error) {
    return fetch_range(context, offset, n_bytes, bytes, total_bytes, error);
}

static ds4_status open_url(const char *url, plan **out, ds4_error *error) {
    gguf_file *file;
    ds4_status status = gguf_open_remote(url, read_range, (void *)(uintptr_t)url, &file, error);
    return status == DS4_OK ? plan_new(file, NULL, out, error) : status;
}

static ds4_status open_nano(plan **out, ds4_error *error) {
    size_t n_bytes;
    const void *data = nano_data(&n_bytes);
    gguf_file *file;
    ds4_status status = gguf_open_memory(NANO_NAME, data, n_bytes, NULL, &file, error);
    return status == DS4_OK ? plan_new(file, NULL, out, error) : status;
}

static ds4_status open_file(const char *path, plan **out, ds4_error *error) {
    gguf_file *file;
    ds4_status status = gguf_open(path, NULL, &file, error);
    return status == DS4_OK ? plan_new(file, NULL, out, error) : status;
}

static ds4_status open_recipe(const char *name, plan **out, ds4_error *error) {
    const layout_recipe *recipe = layout_recipe_find(name);
    bool is_mtp = strcmp(name, "mtp") == 0;
    if (!recipe && !is_mtp)
        return error_set(error, DS4_ERROR_IO,
                         "%s: no such file; expected a path, a URL or one of q2, q2-imatrix, q4, q4-imatrix, q2-q4, "
                         "mtp, nano",
                         name);
    hyperparameters hparams = hyperparameters_flash();
    gguf_file *file;
    ds4_status status = is_mtp ? layout_open_mtp(&file, error) : layout_open(recipe, &file, error);
    return status == DS4_OK ? plan_new(file, &hparams, out, error) : status;
}

/* A path wins over a name, and a file that is here over its description. */
static ds4_status open_named(const char *name, plan_source *source, plan **out, ds4_error *error) {
    *source = SOURCE_URL;
    if (is_url(name)) return open_url(name, out, error);
    *source = SOURCE_FILE;
    if (nano_is_meant(name)) return open_nano(out, error);
    if (access(name, F_OK) == 0) return open_file(name, out, error);
    char *path = NULL;
    ds4_status status = published_find_local(name, &path, error);
    if (status == DS4_OK && path) {
        status = open_file(path, out, error);
    } else if (status == DS4_OK) {
        *source = SOURCE_RECIPE;
        status = open_recipe(name, out, error);
    }
    free(path);
    return status;
}

/* What ds4 would use, but rather than the built-in model the smallest published one. */
static ds4_status name_default(char **name, ds4_error *error) {
    const char *from_environment = getenv("DS4_MODEL");
    const published_file *file = NULL;
    char *path = NULL;
    ds4_status status = DS4_OK;
    if (!from_environment || !*from_environment) status = published_choose(&file, &path, error);
    if (status != DS4_OK) return status;
    *name = path ? path : strdup(from_environment && *from_environment ? from_environment : "q2");
    return *name ? DS4_OK : error_memory(error, "name of a model", 1);
}

/* ---- the machine ---- */

/* A computer that is not in the table, or whose CPU is meant. */
static ds4_status measure_bandwidth(plan_target *target, int n_threads, ds4_error *error) {
    double bytes_per_second = 0;
    ds4_status status = bandwidth_measure(n_threads, 0, &bytes_per_second, error);
    target->machine.bandwidth_gb = bytes_per_second / 1e9;
    target->is_measured = true;
    return status;
}

#ifdef DS4_METAL
static ds4_status describe_own_gpu(plan_report *r, const char *processor, ds4_error *error) {
    plan_target *target = &r->target;
    uint64_t memory_bytes = system_memory_bytes();
    device_limits limits;
    ds4_status status = metal_device_limits(&limits, error);
    if (status != DS4_OK) return status;
    int memory_gib = (int)((memory_bytes + (1 << 29)) >> 30);
    const machine *known = machine_find(processor, memory_gib);
    target->machine = known ? *known : (machine){.name = target->name, .kind = MACHINE_APPLE};
    target->room[0] = (plan_room){memory_bytes, limits.max_working_bytes, true};
    r->settings.max_buffer_bytes = limits.max_buffer_bytes;
    return known ? DS4_OK : measure_bandwidth(target, r->settings.n_threads, error);
}
#else
static ds4_status describe_own_gpu(plan_report *r, const char *processor, ds4_error *error) {
    (void)r;
    (void)processor;
    return error_set(error, DS4_ERROR_ARGUMENT,
                     "--backend: this build has no GPU backend; --machine NAME plans for "
                     "another computer");
}
#endif

static ds4_status describe_this_computer(plan_report *r, ds4_error *error) {
    plan_target *target = &r->target;
    char processor[128];
    system_cpu_name(processor, sizeof processor);
    target->is_this_computer = true;
    snprintf(target->name, sizeof target->name, "this computer%s%s", *processor ? ", " : "", processor);
    target->n_rooms = 1;
    if (r->settings.backend == PLAN_GPU) return describe_own_gpu(r, processor, error);
    uint64_t n_bytes = system_memory_bytes(), allowed = cgroup_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    if (!n_bytes)
        return error_set(error, DS4_ERROR_IO,
                         "the system does not say how much memory it has; --machine NAME plans for another computer");
    if (n_bytes > allowed) n_bytes = allowed;
    target->machine = (machine){.name = target->name, .kind = MACHINE_CPU};
    target->room[0] = (plan_room){n_bytes, n_bytes, false};
    return measure_bandwidth(target, r->settings.n_threads, error);
}

static ds4_status describe_named(plan_report *r, const char *name, ds4_error *error) {
    plan_target *target = &r->target;
    const machine *m = machine_find(name, 0);
    if (!m) {
        char known[400];
        size_t at = 0;
        for (m = machines; m->name && at < sizeof known; m++)
            at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", m == machines ? "" : ", ", m->name);
        return error_set(error, DS4_ERROR_ARGUMENT, "--machine: '%s', expected auto or one of %s", name, known);
    }
    target->machine = *m;
    snprintf(target->name, sizeof target->name, "%s", m->name);
    bool is_cpu = r->settings.backend == PLAN_CPU;
    if (is_cpu) target->machine.kind = MACHINE_CPU;
    target->is_working_estimated = !is_cpu && m->kind == MACHINE_APPLE;
    for (int i = MACHINE_MEMORY_SIZES - 1; i >= 0; i--)
        if (m->memory_gib[i]) target->room[target->n_rooms++] = plan_room_of(m, r->settings.backend, m->memory_gib[i]);
    return DS4_OK;
}

static plan_backend choose_backend(const cli_options *options, bool is_auto) {
    if (options->processor != PROCESSOR_AUTO) return options->processor == PROCESSOR_CPU ? PLAN_CPU : PLAN_GPU;
#ifdef DS4_METAL
    is_auto = false; /* this computer has a GPU */
#endif
    return is_auto ? PLAN_CPU : PLAN_GPU;
}

static ds4_status describe_machine(plan_report *r, const cli_options *options, ds4_error *error) {
    bool is_auto = strcmp(options->machine, "auto") == 0;
    int n_threads = options->threads ? (int)options->threads : processor_count();
    r->settings = (plan_settings){.backend = choose_backend(options, is_auto),
                                  .n_threads = n_threads < MAX_THREADS ? n_threads : MAX_THREADS,
                                  .chunk_tokens = options->chunk ? (int)options->chunk : ENGINE_CHUNK_TOKENS,
                                  .n_sessions = (size_t)options->sessions,
                                  .max_buffer_bytes = UINT64_MAX};
    return is_auto ? describe_this_computer(r, error) : describe_named(r, options->machine, error);
}

/* ---- the numbers ---- */

static ds4_status list_contexts(plan_report *r, int64_t context, ds4_error *error) {
    static const size_t usual[] = {8192, 32768, 131072, 524288, 1048576};
    size_t max = (size_t)r->plan->model.hparams.max_context;
    if (context > (int64_t)max)
        return error_set(error, DS4_ERROR_ARGUMENT, "--ctx: %lld, expected at most %zu, the model's context",
                         (long long)context, max);
    if (context) {
        r->cases[r->n_cases++].n_context = (size_t)context;
        return DS4_OK;
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i] < max) r->cases[r->n_cases++].n_context = usual[i];
    r->cases[r->n_cases++].n_context = max;
    return DS4_OK;
}

static ds4_status fill_cases(plan_report *r, ds4_error *error) {
    ds4_status status = DS4_OK;
    for (size_t i = 0; status == DS4_OK && i < r->n_cases; i++) {
        plan_case *c = &r->cases[i];
        status = plan_measure(r->plan, &r->settings, c->n_context, &c->memory, error);
        c->speed = plan_predict(r->plan, &r->settings, c->n_context, &r->target.machine);
    }
    return status;
}

static ds4_status fill_limits(plan_report *r, ds4_error *error) {
    ds4_status status = DS4_OK;
    for (size_t i = 0; status == DS4_OK && i < r->target.n_rooms; i++) {
        const plan_room *room = &r->target.room[i];
        uint64_t usable = plan_usable_bytes(room),
                 working = room->working_bytes < usable ? room->working_bytes : usable;
        plan_limit *limit = &r->limit[i];
        status = plan_largest_context(r->plan, &r->settings, working, &limit->context, error);
        if (status != DS4_OK || !room->can_be_raised) continue;
        status = plan_largest_context(r->plan, &r->settings, usable, &limit->raised_context, error);
        if (status != DS4_OK || !limit->raised_context) continue;
        plan_memory memory;
        status = plan_measure(r->plan, &r->settings, limit->raised_context, &memory, error);
        limit->raised_bytes = memory.total;
    }
    return status;
}

/* What the smallest published model would take instead. */
static ds4_status fill_alternative(plan_report *r, ds4_error *error) {
    plan *q2;
    plan_memory memory;
    ds4_status status = open_recipe("q2", &q2, error);
    if (status != DS4_OK) return status;
    size_t n_context = r->cases[0].n_context;
    status = plan_measure(q2, &r->settings, n_context, &memory, error);
    if (status == DS4_OK && memory.total < r->cases[0].memory.total) r->q2_bytes = memory.total;
    plan_free(q2);
    return status;
}

static ds4_status make_report(plan_report *r, const cli_options *options, ds4_error *error) {
    ds4_status status = list_contexts(r, options->context, error);
    if (status == DS4_OK) status = describe_machine(r, options, error);
    if (status == DS4_OK) status = fill_cases(r, error);
    if (status == DS4_OK) status = fill_limits(r, error);
    return status == DS4_OK ? fill_alternative(r, error) : status;
}

/* ---- the command ---- */

static ds4_status run_plan(const cli_options *options, ds4_error *error) {
    char *chosen = NULL;
    plan *p = NULL;
    plan_report report = {0};
    ds4_error name; /* the model's, fit for a terminal and for JSON */
    ds4_status status = options->operand ? DS4_OK : name_default(&chosen, error);
    if (status != DS4_OK) return status;
    error_set(&name, DS4_OK, "%s", options->operand ? options->operand : chosen);
    report.model = name.message;
    status = open_named(options->operand ? options->operand : chosen, &report.source, &p, error);
    report.plan = p;
    if (status == DS4_OK && !p->is_mtp) status = make_report(&report, options, error);
    if (status == DS4_OK) {
        if (options->json)
            status = plan_report_json(&report, error);
        else
            plan_report_text(&report);
    }
    plan_free(p);
    free(chosen);
    return status;
}

static int run(const cli_options *options) {
    ds4_error error;
    ds4_status status = run_plan(options, &error);
    if (status == DS4_ERROR_ARGUMENT) return cli_usage("%s (see: ds4 plan --help)", error.message);
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}

static const char *const processor_names[] = {"auto", "cpu", "gpu", NULL};

static const cli_option options[] = {
    OPTION_CONTEXT("tokens of context of each session (default: a table of 8192 to the model's most)"),
    {.kind = OPTION_INTEGER,
     .name = "sessions",
     .argument = "N",
     .offset = offsetof(cli_options, sessions),
     .min = 1,
     .max = MAX_SESSIONS,
     .help = "conversations held at the same time (default: 1)"},
    {.kind = OPTION_STRING,
     .name = "machine",
     .argument = "NAME",
     .offset = offsetof(cli_options, machine),
     .help = "auto: this computer (default), or another one such as 'M3 Ultra', m4-max, 'DGX Spark', h200"},
    {.kind = OPTION_CHOICE,
     .name = "backend",
     .argument = "NAME",
     .offset = offsetof(cli_options, processor),
     .choices = processor_names,
     .help = "what computes: cpu, or gpu (default: gpu where there is a backend for it)"},
    OPTION_THREADS,
    {.kind = OPTION_INTEGER,
     .name = "chunk",
     .argument = "N",
     .offset = offsetof(cli_options, chunk),
     .min = 1,
     .max = MAX_CHUNK,
     .help = "tokens of a prompt evaluated in one pass over the weights (default: 512)"},
    {.kind = OPTION_FLAG, .name = "json", .offset = offsetof(cli_options, json), .help = "print the numbers as JSON"},
    OPTION_END,
};

const cli_command command_plan = {
    .name = "plan",
    .synopsis = "[MODEL] [options]",
    .summary = "say what a model takes of a machine's memory, and how fast it would be",
    .operand = "MODEL",
    .operand_is_optional = true,
    .options = options,
    .notes = "MODEL is a file, nano, a URL of which only the beginning is read, or a published file that need not be\n"
             "there: q2, q2-imatrix, q4, q4-imatrix, q2-q4 or mtp. Default: $DS4_MODEL, the downloaded one, or q2.\n"
             "Speeds are predictions.\n",
    .run = run,
};
