/* ds4 plan: its bytes are those that are allocated, its facts about published files are true, and the command says so.
 */
#include "test.h"

#include "backend/gpu/counting.h"
#include "base/cgroup.h"
#include "base/file.h"
#include "engine/count.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "model/layout.h"
#include "support/allocated.h"
#include "support/http_server.h"
#include "support/timelines.h"
#include "support/tiny_model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NANO "models/ds4-nano.gguf"
#define GIB ((uint64_t)1 << 30)

static ds4_error error;

static void assert_close(double found, double expected, double part, const char *what) {
    if (fabs(found - expected) > part * expected)
        fail_msg("%s: %.0f, expected %.0f (%+.2f %%)", what, found, expected, 100 * (found - expected) / expected);
}

static plan *plan_of_file(const char *path) {
    gguf_file *file = NULL;
    plan *p = NULL;
    assert_ok(gguf_open(path, NULL, &file, &error), &error);
    assert_ok(plan_new(file, NULL, &p, &error), &error);
    return p;
}

static plan *plan_of_name(const char *name) {
    hyperparameters hparams = hyperparameters_flash();
    gguf_file *file = NULL;
    plan *p = NULL;
    assert_ok(layout_open(layout_recipe_find(name), &file, &error), &error);
    assert_ok(plan_new(file, &hparams, &p, &error), &error);
    return p;
}

static plan_memory measure(const plan *p, const plan_settings *settings, size_t n_context) {
    plan_memory memory;
    assert_ok(plan_measure(p, settings, n_context, &memory, &error), &error);
    return memory;
}

/* ---- what is really allocated -------------------------------------------------------------------- */

typedef struct allocation_case {
    const char *model; /* tiny model, or the path of a file */
    plan_settings settings;
    size_t n_context;
    bool hollow; /* operations do nothing: what is allocated is the same, and long contexts are quick */
} allocation_case;

static void no_embed(const batch *b, const gguf_tensor *table, float *streams) {
    (void)b, (void)table, (void)streams;
}
static void no_hyper_in(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                        float *mix) {
    (void)b, (void)w, (void)norm, (void)streams, (void)x, (void)mix;
}
static void no_project(const batch *b, const layer_weights *w, const float *x, const projections *low) {
    (void)b, (void)w, (void)x, (void)low;
}
static void no_queries(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q) {
    (void)b, (void)w, (void)low, (void)q, (void)index_q;
}
static void no_remember(const batch *b, const layer_weights *w, const projections *low) {
    (void)b, (void)w, (void)low;
}
static void no_select(const batch *b, const layer_weights *w, const projections *low, const float *index_q,
                      int32_t *selected, int32_t *n_selected) {
    (void)b, (void)w, (void)low, (void)index_q, (void)selected, (void)n_selected;
}
static void no_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                      const int32_t *n_selected, float *heads) {
    (void)b, (void)w, (void)q, (void)selected, (void)n_selected, (void)heads;
}
static void no_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y) {
    (void)b, (void)w, (void)heads, (void)y;
}
static void no_hyper_out(const batch *b, const float *y, const float *mix, float *streams) {
    (void)b, (void)y, (void)mix, (void)streams;
}
static void no_route(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight) {
    (void)b, (void)w, (void)x, (void)expert, (void)weight;
}
static void no_experts(const batch *b, const layer_weights *w, const float *x, const int32_t *expert,
                       const float *weight, float *y) {
    (void)b, (void)w, (void)x, (void)expert, (void)weight, (void)y;
}
static void no_logits(const batch *b, const model_weights *w, const float *streams) {
    (void)b, (void)w, (void)streams;
}

/* ops becomes the engine's table; memory, begin and finish stay the backend's. */
static void make_hollow(ds4_engine *engine, backend_ops *ops) {
    *ops = *engine->backend->op;
    ops->embed = no_embed;
    ops->hyper_in = no_hyper_in;
    ops->project = no_project;
    ops->queries = no_queries;
    ops->remember = no_remember;
    ops->select = no_select;
    ops->attend = no_attend;
    ops->attend_out = no_attend_out;
    ops->hyper_out = no_hyper_out;
    ops->route = no_route;
    ops->experts = no_experts;
    ops->logits = no_logits;
    engine->backend->op = ops;
}

static ds4_status new_counting_device(device **out, ds4_error *why) {
    return counting_device_new(false, out, why);
}

static ds4_engine *engine_of(const allocation_case *c, const ds4_model *model) {
    ds4_engine_options options = {.n_threads = c->settings.n_threads, .chunk_tokens = c->settings.chunk_tokens};
    new_device_function *new_device = c->settings.backend == PLAN_GPU ? new_counting_device : NULL;
    ds4_engine *engine = NULL;
    assert_ok(engine_new_on(model, &options, new_device, &engine, &error), &error);
    return engine;
}

/* Fills the context so that a piece begins where most of the frontier is open: it is saved then. */
static ds4_timeline *fill(ds4_engine *engine, const allocation_case *c, const int32_t *tokens, float *logits) {
    ds4_timeline *timeline = new_timeline(engine, c->n_context);
    size_t last = c->n_context - DS4_FREE_REWIND_TOKENS - 1;
    size_t first = last < 127 ? last : (last + 1) / 128 * 128 - 1;
    if (first) evaluate(engine, timeline, tokens, first, NULL);
    evaluate(engine, timeline, tokens + first, c->n_context - first, logits);
    return timeline;
}

static void check_allocation(const allocation_case *c) {
    enum { MAX_SESSIONS = 4 };
    char what[160];
    const char *path = strchr(c->model, '/') ? c->model : tiny_model_path(c->model);
    plan *p = plan_of_file(path);
    plan_memory memory = measure(p, &c->settings, c->n_context);
    int32_t n_vocab = p->model.hparams.n_vocab, *tokens = malloc(c->n_context * sizeof *tokens);
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    assert_true(tokens && logits && c->settings.n_sessions <= MAX_SESSIONS);
    make_tokens(1, n_vocab, tokens, c->n_context);
    plan_free(p);

    size_t before = allocated_bytes(), n_sessions = c->settings.n_sessions;
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    ds4_model *model = NULL;
    ds4_timeline *timeline[MAX_SESSIONS];
    assert_ok(ds4_model_open(path, DS4_MODEL_FULL, &model, &error), &error);
    ds4_engine *engine = engine_of(c, model);
    backend_ops ops;
    if (c->hollow) make_hollow(engine, &ops);
    for (size_t i = 0; i < n_sessions; i++) {
        timeline[i] = fill(engine, c, tokens, logits);
        snprintf(what, sizeof what, "%s: timeline of %zu tokens", c->model, c->n_context);
        assert_close((double)(memory.rings + memory.rows), (double)ds4_timeline_n_bytes(timeline[i]), 0, what);
    }
    snprintf(what, sizeof what, "%s: %zu sessions of %zu tokens, %s, %d threads, chunks of %d", c->model, n_sessions,
             c->n_context, c->settings.backend == PLAN_GPU ? "GPU" : "CPU", c->settings.n_threads,
             c->settings.chunk_tokens);
    assert_close((double)memory.total, (double)((size_t)file.st_size + allocated_bytes() - before), 0.005, what);
    for (size_t i = 0; i < n_sessions; i++) ds4_timeline_free(timeline[i]);
    ds4_engine_free(engine);
    ds4_model_free(model);
    free(tokens);
    free(logits);
}

static void the_bytes_of_a_cpu_are_those_that_are_allocated(void **state) {
    (void)state;
    if (!allocated_is_known()) skip();
    static const allocation_case cases[] = {
        {"tiny-a-q2", {PLAN_CPU, 2, 512, 1, 0}, 60, false},   {NANO, {PLAN_CPU, 1, 64, 2, 0}, 25, false},
        {"tiny-a-q2", {PLAN_CPU, 1, 512, 1, 0}, 9000, true},  {"tiny-a-q2", {PLAN_CPU, 2, 64, 3, 0}, 700, true},
        {"tiny-b-q2", {PLAN_CPU, 4, 256, 2, 0}, 20000, true}, {"tiny-c-f", {PLAN_CPU, 2, 512, 1, 0}, 4000, true},
        {NANO, {PLAN_CPU, 2, 512, 1, 0}, 8000, true},         {NANO, {PLAN_CPU, 3, 2048, 4, 0}, 5000, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_allocation(&cases[i]);
}

static void the_bytes_of_a_gpu_are_those_that_are_allocated(void **state) {
    (void)state;
    if (!allocated_is_known()) skip();
    static const allocation_case cases[] = {
        {"tiny-a-q2", {PLAN_GPU, 1, 512, 1, UINT64_MAX}, 1500, false},
        {"tiny-a-q2", {PLAN_GPU, 1, 2048, 3, UINT64_MAX}, 5000, false},
        {"tiny-b-q2", {PLAN_GPU, 1, 64, 2, UINT64_MAX}, 700, false},
        {NANO, {PLAN_GPU, 1, 512, 4, UINT64_MAX}, 2500, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_allocation(&cases[i]);
}

/* The rows of all sessions together need a second arena and a third. */
static void a_gpu_takes_memory_for_sessions_in_large_pieces(void **state) {
    (void)state;
    plan *p = plan_of_name("q2");
    plan_settings settings = {PLAN_GPU, 1, 512, 1, UINT64_MAX};
    const uint64_t mib = 1 << 20;
    plan_memory one = measure(p, &settings, 8192);
    assert_int_equal((one.sessions - one.lists) / mib, 128);
    settings.n_sessions = 4;
    plan_memory four = measure(p, &settings, 8192);
    assert_int_equal((four.sessions - 4 * four.lists) / mib, 128 + 256);
    plan_memory much = measure(p, &settings, 131072);
    assert_int_equal((much.sessions - 4 * much.lists) / mib, 128 + 256 + 512 + 1024);
    settings.max_buffer_bytes = 512 * mib;
    much = measure(p, &settings, 131072);
    assert_int_equal((much.sessions - 4 * much.lists) / mib, 128 + 256 + 3 * 512);
    plan_free(p);
}

/* ---- the published files ------------------------------------------------------------------------- */

static void the_published_weights_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t n_bytes;
    } file[] = {{"q2", 86714775900}, {"q4", 164628167004}};
    for (size_t i = 0; i < 2; i++) {
        plan *p = plan_of_name(file[i].name);
        uint64_t in_groups = 0;
        size_t n_tensors = 0;
        for (size_t g = 0; g < N_TENSOR_GROUPS; g++) {
            in_groups += p->group[g].n_bytes;
            n_tensors += p->group[g].n_tensors;
        }
        assert_int_equal(p->weight_bytes, file[i].n_bytes);
        assert_int_equal(p->tensor_bytes, file[i].n_bytes);
        assert_int_equal(in_groups, file[i].n_bytes);
        assert_int_equal(n_tensors, 1328);
        plan_free(p);
    }
}

static void rows_and_frontier_have_the_published_models_size(void **state) {
    (void)state;
    plan *p = plan_of_name("q2");
    plan_settings settings = {PLAN_CPU, 2, 512, 1, 0};
    /* 21 layers of ratio 4 with rows of 583 and 68 bytes, 20 of ratio 128 with rows of 583 */
    uint64_t per_128_tokens = 21 * 32 * (583 + 68) + 20 * 583;
    plan_memory memory = measure(p, &settings, 1 << 20);
    assert_int_equal(memory.rows, ((uint64_t)1 << 13) * per_128_tokens);
    assert_close((double)memory.rows / (1 << 20), 3500, 0.01, "bytes of rows for a token");
    /* twice the sessions, twice the bytes */
    settings.n_sessions = 2;
    plan_memory two = measure(p, &settings, 1 << 20);
    assert_int_equal(two.total - memory.total, memory.rings + memory.rows + memory.lists);
    uint64_t least, most;
    plan_checkpoint_bytes(p, &least, &most);
    assert_in_range(least, 4500000, 5500000);
    assert_in_range(most, 14500000, 16000000);
    assert_true(memory.rings > most && memory.rings < 22000000);
    plan_free(p);
}

static void a_prediction_block_has_its_weights_only(void **state) {
    (void)state;
    plan *p = NULL;
    gguf_file *file = NULL;
    hyperparameters hparams = hyperparameters_flash();
    assert_ok(layout_open_mtp(&file, &error), &error);
    assert_ok(plan_new(file, &hparams, &p, &error), &error);
    assert_true(p->is_mtp);
    assert_in_range(p->weight_bytes, 3700000000, 3900000000); /* three Q4_K experts' tensors alone are 3.62 GB */
    plan_settings settings = {PLAN_CPU, 2, 512, 1, 0};
    plan_memory memory = measure(p, &settings, 8192);
    assert_int_equal(memory.total, p->weight_bytes);
    plan_free(p);
    /* one that is there, published without hyperparameters or with them */
    p = plan_of_file(tiny_model_mtp_path("tiny-a-q2"));
    assert_true(p->is_mtp);
    plan_free(p);
}

/* A model whose layers share one layer's expert bytes. */
static void weights_that_tensors_share_count_once(void **state) {
    (void)state;
    gguf_file *file = NULL;
    assert_ok(layout_open(layout_recipe_find("q2"), &file, &error), &error);
    uint64_t all = 0, of_layers = 0;
    const gguf_tensor *first = gguf_find_tensor(file, "blk.0.ffn_up_exps.weight");
    for (int l = 1; l < 43; l++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.ffn_up_exps.weight", l);
        gguf_tensor *tensor = &file->tensors[gguf_find_tensor(file, name) - file->tensors];
        tensor->offset = first->offset;
        tensor->data = first->data;
        of_layers += tensor->n_bytes;
    }
    assert_ok(tensor_bytes_shared(file, &all, &error), &error);
    assert_int_equal(all, 86714775900 - of_layers);
    assert_int_equal(tensor_bytes(file), 86714775900);
    gguf_close(file);
}

/* ---- speed --------------------------------------------------------------------------------------- */

/* What the GPU backend is seen to read and dispatch. */
static void bytes_of_a_token_are_those_that_the_kernels_read(void **state) {
    (void)state;
    static const size_t position[] = {0, 2046, 2047, 32767, 131071};
    machine m = *machine_find("M3 Ultra", 0);
    plan_settings settings = {PLAN_GPU, 1, 512, 1, UINT64_MAX};
    plan *p = plan_of_name("q2");
    counter *c = NULL;
    assert_ok(counter_new(layout_recipe_find("q2"), 1, &c, &error), &error);
    for (size_t i = 0; i < sizeof position / sizeof *position; i++) {
        assert_ok(counter_run(c, position[i], 1, &error), &error);
        counting_totals totals = counting_device_totals(counter_device(c));
        plan_speed speed = plan_predict(p, &settings, position[i] + 1, &m);
        assert_int_equal(speed.dispatches, totals.dispatches);
        assert_close((double)speed.weight_bytes, (double)totals.weight_bytes, 1e-4, "weights");
        assert_true(speed.row_bytes < totals.activation_bytes);
    }
    counter_free(c);
    plan_free(p);
}

static void a_prompt_token_at_2048_costs_about_28_gflop(void **state) {
    (void)state;
    plan *p = plan_of_name("q2"), *q4 = plan_of_name("q4");
    double operations = token_operations(p->model.file, &p->model.hparams, 2047);
    assert_close(operations, 27.8e9, 0.02, "operations");
    assert_true(operations == token_operations(q4->model.file, &q4->model.hparams, 2047));
    plan_free(p);
    plan_free(q4);
}

static void speeds_follow_from_bytes_and_operations(void **state) {
    (void)state;
    plan *p = plan_of_name("q2");
    plan_settings gpu = {PLAN_GPU, 1, 512, 1, UINT64_MAX}, cpu = {PLAN_CPU, 2, 512, 1, 0};
    const machine *ultra = machine_find("M2 Ultra", 0);
    plan_speed speed = plan_predict(p, &gpu, 2048, ultra);
    double bytes = (double)(speed.weight_bytes + speed.row_bytes);
    assert_close(speed.decode, 1 / (bytes / 560e9 + (double)speed.dispatches * 3e-6), 1e-6, "decoding");
    assert_int_equal(speed.prefill_bound, BOUND_COMPUTE);
    assert_close(speed.prefill, 0.4 * 27.2e12 / speed.operations, 1e-6, "prefill");
    /* no figure for arithmetic: what bandwidth allows, and it says so */
    speed = plan_predict(p, &gpu, 2048, machine_find("M3 Ultra", 0));
    assert_int_equal(speed.prefill_bound, BOUND_UNKNOWN);
    machine measured = {.name = "this computer", .kind = MACHINE_CPU, .bandwidth_gb = 10};
    speed = plan_predict(p, &cpu, 2048, &measured);
    bytes = (double)(speed.weight_bytes + speed.row_bytes);
    assert_close(speed.decode, 10e9 * machine_bandwidth_part(MACHINE_CPU) / bytes, 1e-6, "decoding");
    assert_int_equal(speed.dispatches, 0);
    /* longer contexts are slower, smaller weights faster */
    assert_true(plan_predict(p, &gpu, 1 << 20, ultra).decode < plan_predict(p, &gpu, 2048, ultra).decode);
    plan *q4 = plan_of_name("q4");
    assert_true(plan_predict(q4, &gpu, 2048, ultra).decode < plan_predict(p, &gpu, 2048, ultra).decode);
    plan_free(q4);
    plan_free(p);
}

/* ---- machines ------------------------------------------------------------------------------------ */

static void machines_are_found_by_many_spellings(void **state) {
    (void)state;
    const machine *ultra = machine_find("M3 Ultra", 0);
    assert_non_null(ultra);
    assert_true(ultra->bandwidth_gb == 819 && ultra->memory_gib[0] == 512);
    assert_ptr_equal(machine_find("m3-ultra", 0), ultra);
    assert_ptr_equal(machine_find("Apple M3 Ultra", 0), ultra);
    assert_ptr_equal(machine_find("APPLE_M3_ULTRA", 512), ultra);
    assert_non_null(machine_find("dgx-spark", 0));
    assert_non_null(machine_find("NVIDIA H200", 0));
    assert_string_equal(machine_find("m4", 0)->name, "M4");
    static const char *const unknown[] = {"", "M", "M3 Ultr", "M3 Ultra 2", "M9 Max", "Apple", "auto"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) assert_null(machine_find(unknown[i], 0));
}

static void a_chip_with_fewer_cores_is_told_by_its_memory(void **state) {
    (void)state;
    assert_true(machine_find("Apple M3 Max", 128)->bandwidth_gb == 400);
    assert_true(machine_find("Apple M3 Max", 96)->bandwidth_gb == 300);
    assert_true(machine_find("Apple M3 Max", 36)->bandwidth_gb == 300);
    assert_true(machine_find("Apple M4 Max", 36)->bandwidth_gb == 410);
    assert_true(machine_find("Apple M4 Max", 64)->bandwidth_gb == 546);
    assert_true(machine_find("Apple M4 Max", 1000)->bandwidth_gb == 546);
    assert_true(machine_find("Apple M4", 64)->bandwidth_gb == 120);
    assert_true(machine_find("M3 Max 30-core", 0)->bandwidth_gb == 300);
}

static void the_table_of_machines_is_in_order(void **state) {
    (void)state;
    for (const machine *m = machines; m->name; m++) {
        assert_true(m->bandwidth_gb > 0 && m->memory_gib[0] > 0);
        for (int i = 1; i < MACHINE_MEMORY_SIZES; i++)
            assert_true(m->memory_gib[i] == 0 || m->memory_gib[i] < m->memory_gib[i - 1]);
        assert_ptr_equal(machine_find(m->name, 0), m);
        assert_ptr_equal(machine_find(m->name, m->memory_gib[0]), m);
    }
}

static void what_fits_depends_on_the_gpus_share_of_memory(void **state) {
    (void)state;
    const machine *ultra = machine_find("M3 Ultra", 0);
    plan_room gpu = plan_room_of(ultra, PLAN_GPU, 96), cpu = plan_room_of(ultra, PLAN_CPU, 96);
    assert_int_equal(gpu.working_bytes, 72 * GIB);
    assert_int_equal(plan_usable_bytes(&gpu), 90 * GIB);
    assert_int_equal(plan_fits(&gpu, 72 * GIB), PLAN_FITS);
    assert_int_equal(plan_fits(&gpu, 72 * GIB + 1), PLAN_FITS_IF_RAISED);
    assert_int_equal(plan_fits(&gpu, 90 * GIB), PLAN_FITS_IF_RAISED);
    assert_int_equal(plan_fits(&gpu, 90 * GIB + 1), PLAN_DOES_NOT_FIT);
    assert_int_equal(plan_fits(&cpu, 90 * GIB), PLAN_FITS);
    assert_int_equal(plan_fits(&cpu, 90 * GIB + 1), PLAN_DOES_NOT_FIT);
    plan_room card = plan_room_of(machine_find("H200", 0), PLAN_GPU, 140);
    assert_int_equal(plan_fits(&card, 131 * GIB), PLAN_FITS);
    assert_int_equal(plan_fits(&card, 132 * GIB), PLAN_DOES_NOT_FIT);
    assert_int_equal(plan_raised_mib(81 * GIB), 81 * 1024);
    assert_int_equal(plan_raised_mib(81 * GIB + 1), 82 * 1024);
}

static void the_largest_context_fits_and_one_token_more_does_not(void **state) {
    (void)state;
    plan *p = plan_of_name("q2");
    static const plan_settings settings[] = {{PLAN_CPU, 8, 512, 1, 0}, {PLAN_GPU, 1, 512, 3, UINT64_MAX}};
    for (size_t i = 0; i < 2; i++) {
        uint64_t limit = 84 * GIB;
        size_t n = 0;
        assert_ok(plan_largest_context(p, &settings[i], limit, &n, &error), &error);
        assert_true(n > 100000 && n < 1048576);
        assert_true(measure(p, &settings[i], n).total <= limit);
        assert_true(measure(p, &settings[i], n + 1).total > limit);
        assert_ok(plan_largest_context(p, &settings[i], 80 * GIB, &n, &error), &error);
        assert_int_equal(n, 0);
        assert_ok(plan_largest_context(p, &settings[i], UINT64_MAX, &n, &error), &error);
        assert_int_equal(n, 1048576);
    }
    plan_free(p);
}

/* ---- control groups ------------------------------------------------------------------------------ */

static void put_file(const char *root, const char *path, const char *content) {
    char name[256];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *slash = strchr(name + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(name, 0755);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static uint64_t limit_in(const char *root, const char *membership) {
    char path[256];
    put_file(root, "membership", membership);
    snprintf(path, sizeof path, "%s/membership", root);
    return cgroup_memory_limit(path, root);
}

static void the_memory_of_a_container_is_what_its_groups_allow(void **state) {
    (void)state;
    char root[] = "build/plan-cgroup-XXXXXX", command[64];
    assert_non_null(mkdtemp(root));
    put_file(root, "a/b/memory.max", "max\n");
    put_file(root, "a/memory.max", "3000\n");
    put_file(root, "a/c/memory.max", "1000\n");
    put_file(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_file(root, "memory/x/memory.limit_in_bytes", "2000\n");
    assert_int_equal(limit_in(root, "0::/a/b\n"), 3000);
    assert_int_equal(limit_in(root, "0::/a/c\n"), 1000);
    assert_int_equal(limit_in(root, "0::/\n"), UINT64_MAX);
    assert_int_equal(limit_in(root, "5:cpu,memory:/x\n4:freezer:/\n0::/\n"), 2000);
    assert_int_equal(limit_in(root, "5:memory:/not/there/x\n"), 9223372036854771712u);
    assert_int_equal(limit_in(root, "5:memoryless:/x\n"), UINT64_MAX);
    assert_int_equal(limit_in(root, "nonsense\n::\n0:\n0::relative\n"), UINT64_MAX);
    assert_int_equal(cgroup_memory_limit("build/not-there", root), UINT64_MAX);
    put_file(root, "memory.max", "700");
    assert_int_equal(limit_in(root, "0::/a/b"), 700);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

/* ---- the command --------------------------------------------------------------------------------- */

/* Its standard output; standard error is put behind. The caller frees it. */
static char *run(const char *arguments, int expected_status) {
    char command[512];
    snprintf(command, sizeof command, "env -u DS4_MODEL XDG_DATA_HOME=/nonexistent no_proxy=127.0.0.1 %s plan %s 2>&1",
             DS4_BINARY, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    assert_non_null(text);
    size_t n = fread(text, 1, capacity - 1, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected_status)
        fail_msg("%s: status %d, expected %d\n%s", arguments, status, expected_status, text);
    return text;
}

static void assert_says(const char *arguments, int status, const char *const *expected) {
    char *text = run(arguments, status);
    for (; *expected; expected++)
        if (!strstr(text, *expected)) fail_msg("plan %s: no \"%s\" in\n%s", arguments, *expected, text);
    free(text);
}

#define SAYS(arguments, status, ...) assert_says(arguments, status, (const char *const[]){__VA_ARGS__, NULL})

static json_t *json_of(const char *arguments) {
    char *text = run(arguments, 0);
    json_error_t wrong;
    json_t *object = json_loads(text, 0, &wrong);
    if (!object) fail_msg("plan %s: %s\n%s", arguments, wrong.text, text);
    free(text);
    return object;
}

static json_int_t integer(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) fail_msg("no integer '%s'", key);
    return json_integer_value(value);
}

static void the_command_says_what_fits_a_machine(void **state) {
    (void)state;
    SAYS("q2 --machine 'M3 Ultra'", 0, "q2: 80.76 GiB of weights (86714775900 bytes)", "routed experts",
         "96 GiB: fits if its GPU may use more than about 72 GiB: sudo sysctl iogpu.wired_limit_mb=",
         "512 GiB: fits, up to 1048576 tokens of context", "Predicted, not measured");
    SAYS("q4 --machine m4-max --ctx 32768", 0, "does not fit", "q2 takes 81", "M3 Ultra (256)");
    SAYS("--machine h100", 0, "q2: 80.76 GiB", "does not fit", "no backend for NVIDIA");
    SAYS("mtp", 0, "multi-token prediction block");
}

static void the_command_plans_for_this_computer(void **state) {
    (void)state;
    SAYS("nano --backend cpu --threads 2", 0, "nano: 0.02 GiB of weights", "measured just now", "2 threads",
         "fits, up to ");
}

static void json_has_the_numbers_of_the_text(void **state) {
    (void)state;
    json_t *object = json_of("q2 --machine 'M3 Ultra' --ctx 32768 --sessions 2 --json");
    assert_int_equal(integer(object, "weight_bytes"), 86714775900);
    assert_int_equal(integer(object, "sessions"), 2);
    assert_int_equal(json_array_size(json_object_get(object, "contexts")), 1);
    const json_t *one = json_array_get(json_object_get(object, "contexts"), 0);
    assert_int_equal(integer(one, "context"), 32768);
    assert_int_equal(integer(one, "total_bytes"),
                     integer(object, "weight_bytes") + integer(one, "scratch_bytes") + integer(one, "sessions_bytes"));
    assert_int_equal(json_array_size(json_object_get(one, "fits")), 3);
    const json_t *prediction = json_object_get(one, "prediction");
    assert_true(json_real_value(json_object_get(prediction, "decode_tokens_per_second")) > 30);
    assert_string_equal(json_string_value(json_object_get(prediction, "prefill_bound")), "unknown");
    assert_string_equal(json_string_value(json_object_get(object, "source")), "recipe");
    json_decref(object);
    object = json_of("q2 --machine m1 --json");
    assert_int_equal(json_array_size(json_object_get(object, "contexts")), 5);
    json_decref(object);
}

static void a_file_and_its_name_give_the_same_plan(void **state) {
    (void)state;
    char arguments[256];
    snprintf(arguments, sizeof arguments, "%s --machine m1-max --ctx 1000 --json", NANO);
    json_t *of_file = json_of(arguments), *of_name = json_of("nano --machine m1-max --ctx 1000 --json");
    json_object_del(of_file, "model");
    json_object_del(of_name, "model");
    assert_true(json_equal(of_file, of_name));
    json_decref(of_file);
    json_decref(of_name);
}

static void a_url_is_planned_from_the_beginning_of_its_file(void **state) {
    (void)state;
    const char *path = tiny_model_path("tiny-a-q2");
    char arguments[256];
    file_map map = {0};
    assert_ok(file_map_open(path, &map, &error), &error);
    http_server *server = http_server_start(map.data, map.n_bytes);
    snprintf(arguments, sizeof arguments, "%s --machine m1-max --ctx 1000 --json", path);
    json_t *of_file = json_of(arguments);
    snprintf(arguments, sizeof arguments, "%s/a.gguf --machine m1-max --ctx 1000 --json", http_server_url(server));
    json_t *of_url = json_of(arguments);
    assert_int_equal(http_server_n_requests(server), 1);
    assert_string_equal(http_server_request(server, 0).range, "bytes=0-1048575");
    assert_string_equal(json_string_value(json_object_get(of_url, "source")), "url");
    json_object_del(of_file, "model"), json_object_del(of_url, "model");
    json_object_del(of_file, "source"), json_object_del(of_url, "source");
    assert_true(json_equal(of_file, of_url));
    json_decref(of_file);
    json_decref(of_url);
    HTTP_SCRIPT(server, {.status = 404});
    snprintf(arguments, sizeof arguments, "%s/b.gguf --machine m1-max", http_server_url(server));
    SAYS(arguments, 1, "/b.gguf", "404");
    http_server_stop(server);
    file_map_close(&map);
}

static void wrong_usage_is_said(void **state) {
    (void)state;
    SAYS("q2 --machine 'M9 Max'", 2, "--machine: 'M9 Max', expected auto or one of M1, ");
    SAYS("q2 --machine m1 --ctx 2000000", 2, "--ctx: 2000000, expected at most 1048576");
    SAYS("q2 --sessions 0", 2, "--sessions: '0'");
    SAYS("q3", 1, "q3: no such file; expected a path, a URL or one of q2,");
    SAYS("tests/data/vocab.gguf", 1, "tests/data/vocab.gguf: ");
#ifndef DS4_METAL
    SAYS("q2 --backend gpu", 2, "this build has no GPU backend");
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_a_cpu_are_those_that_are_allocated),
        cmocka_unit_test(the_bytes_of_a_gpu_are_those_that_are_allocated),
        cmocka_unit_test(a_gpu_takes_memory_for_sessions_in_large_pieces),
        cmocka_unit_test(the_published_weights_are_exact),
        cmocka_unit_test(rows_and_frontier_have_the_published_models_size),
        cmocka_unit_test(a_prediction_block_has_its_weights_only),
        cmocka_unit_test(weights_that_tensors_share_count_once),
        cmocka_unit_test(bytes_of_a_token_are_those_that_the_kernels_read),
        cmocka_unit_test(a_prompt_token_at_2048_costs_about_28_gflop),
        cmocka_unit_test(speeds_follow_from_bytes_and_operations),
        cmocka_unit_test(machines_are_found_by_many_spellings),
        cmocka_unit_test(a_chip_with_fewer_cores_is_told_by_its_memory),
        cmocka_unit_test(the_table_of_machines_is_in_order),
        cmocka_unit_test(what_fits_depends_on_the_gpus_share_of_memory),
        cmocka_unit_test(the_largest_context_fits_and_one_token_more_does_not),
        cmocka_unit_test(the_memory_of_a_container_is_what_its_groups_allow),
        cmocka_unit_test(the_command_says_what_fits_a_machine),
        cmocka_unit_test(the_command_plans_for_this_computer),
        cmocka_unit_test(json_has_the_numbers_of_the_text),
        cmocka_unit_test(a_file_and_its_name_give_the_same_plan),
        cmocka_unit_test(a_url_is_planned_from_the_beginning_of_its_file),
        cmocka_unit_test(wrong_usage_is_said),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
