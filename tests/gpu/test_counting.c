/*
 * The counting device must count what the kernels do. A device that runs each kernel in the executor of tools/metalsim
 * with access checks, which see every access, has the same dispatch counted and compares.
 */
#include "test.h"

#include "backend/gpu/gpu.h"
#include "engine/count.h"
#include "engine/engine.h"
#include "support/tiny_model.h"
#include "tools/metalsim/executor/sim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the executor ---- */

/* Accesses are marked with the number of the dispatch, so nothing has to be cleared. */
struct device_buffer {
    uint8_t *contents;
    size_t n_bytes;
    bool is_weights;
    uint16_t *read_by, *written_by; /* [n_bytes] */
    device_buffer *counted;         /* of the counting device, in the same memory */
};

struct device_kernel {
    struct device_kernel *next;
    const char *name;
    sim_library *library;
    const struct sim_kernel *kernel;
    uint32_t n_threads;
    device_kernel *counted;
};

typedef struct specialised {
    struct specialised *next;
    uint32_t constant;
    sim_library *library;
} specialised;

/* What one dispatch did. */
typedef struct accesses {
    const device_dispatch *d;
    uint16_t number;
    uint64_t weight_bytes, activation_bytes;
    bool writes_weights;
} accesses;

typedef struct compared_device {
    device base;
    device *counting;
    sim_library *library;
    specialised *copies;
    uint16_t n_dispatches;
} compared_device;

/* ds4-simulator.so has the executor. */
static struct {
    sim_library *(*library_open)(const char *path, const char **why);
    sim_library *(*library_copy)(const sim_library *library);
    void (*library_close)(sim_library *library);
    void (*set_constant)(sim_library *library, int index, const void *value, size_t bytes);
    const struct sim_kernel *(*library_kernel)(const sim_library *library, const char *name);
    int (*run)(struct sim_dispatch *dispatch);
    const char *(*first_error)(void);
    struct sim_options *options;
    struct sim_statistics *statistics;
} sim;

static void load_executor(void) {
    if (!HAVE_SIMULATOR) skip();
    if (sim.run) return;
    void *handle = dlopen(SIMULATOR, RTLD_NOW | RTLD_GLOBAL);
    if (!handle) fail_msg("%s", dlerror());
    const struct {
        const char *name;
        void *to;
    } symbol[] = {
        {"sim_library_open", &sim.library_open},
        {"sim_library_copy", &sim.library_copy},
        {"sim_library_close", &sim.library_close},
        {"sim_library_set_constant", &sim.set_constant},
        {"sim_run", &sim.run},
        {"sim_library_kernel", &sim.library_kernel},
        {"sim_first_error", &sim.first_error},
        {"sim_options", &sim.options},
        {"sim_statistics", &sim.statistics},
    };
    for (size_t i = 0; i < sizeof symbol / sizeof *symbol; i++) {
        void *found = dlsym(handle, symbol[i].name);
        if (!found) fail_msg("%s", dlerror());
        memcpy(symbol[i].to, &found, sizeof found);
    }
    sim.options->check = true;
    sim.options->n_workers = 1;
    sim.options->max_printed = 4;
    sim.options->max_shadow_bytes = 1 << 16; /* races are looked for elsewhere */
}

static compared_device *compared_of(device *d) {
    return (compared_device *)(void *)d;
}

static void device_free(device *d) {
    compared_device *compared = compared_of(d);
    for (specialised *next, *copy = compared->copies; copy; copy = next) {
        next = copy->next;
        sim.library_close(copy->library);
        free(copy);
    }
    sim.library_close(compared->library);
    compared->counting->op->free(compared->counting);
    free(compared);
}

static ds4_status new_buffer(device *d, void *contents, size_t n_bytes, bool is_weights, device_buffer **out) {
    device *counting = compared_of(d)->counting;
    device_buffer *buffer = calloc(1, sizeof *buffer);
    assert_true(buffer && contents);
    *buffer = (device_buffer){.contents = contents, .n_bytes = n_bytes, .is_weights = is_weights};
    buffer->read_by = calloc(n_bytes, sizeof *buffer->read_by);
    buffer->written_by = calloc(n_bytes, sizeof *buffer->written_by);
    assert_true(buffer->read_by && buffer->written_by);
    *out = buffer;
    return counting->op->buffer_wrap(counting, contents, n_bytes, &buffer->counted, NULL);
}

static ds4_status buffer_new(device *d, size_t n_bytes, device_buffer **out, ds4_error *error) {
    (void)error;
    return new_buffer(d, calloc(n_bytes, 1), n_bytes, false, out);
}

static ds4_status buffer_wrap(device *d, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error) {
    (void)error;
    return new_buffer(d, (void *)(uintptr_t)data, n_bytes, true, out);
}

static void buffer_free(device *d, device_buffer *buffer) {
    device *counting = compared_of(d)->counting;
    counting->op->buffer_free(counting, buffer->counted);
    if (!buffer->is_weights) free(buffer->contents);
    free(buffer->read_by);
    free(buffer->written_by);
    free(buffer);
}

static void *buffer_contents(const device_buffer *buffer) {
    return buffer->contents;
}

static sim_library *library_with(compared_device *compared, uint32_t constant) {
    for (specialised *copy = compared->copies; copy; copy = copy->next)
        if (copy->constant == constant) return copy->library;
    specialised *copy = calloc(1, sizeof *copy);
    assert_non_null(copy);
    *copy = (specialised){compared->copies, constant, sim.library_copy(compared->library)};
    assert_non_null(copy->library);
    sim.set_constant(copy->library, 0, &constant, sizeof constant);
    compared->copies = copy;
    return copy->library;
}

static ds4_status kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                             device_kernel **out, ds4_error *error) {
    compared_device *compared = compared_of(d);
    device_kernel *kernel = calloc(1, sizeof *kernel);
    assert_non_null(kernel);
    assert_int_equal(constants->n, 1);
    sim_library *library = library_with(compared, constants->value[0]);
    *kernel = (device_kernel){
        .library = library, .kernel = sim.library_kernel(library, name), .name = name, .n_threads = n_threads};
    if (!kernel->kernel) fail_msg("there is no kernel %s", name);
    *out = kernel;
    return compared->counting->op->kernel_new(compared->counting, name, constants, n_threads, &kernel->counted, error);
}

static void kernel_free(device *d, device_kernel *kernel) {
    device *counting = compared_of(d)->counting;
    counting->op->kernel_free(counting, kernel->counted);
    free(kernel);
}

static void mark(uint16_t *by, uint16_t dispatch, size_t n_bytes, uint64_t *n_marked) {
    for (size_t i = 0; i < n_bytes; i++) {
        *n_marked += by[i] != dispatch;
        by[i] = dispatch;
    }
}

static void on_access(void *context, int index, size_t offset, size_t n_bytes, enum sim_access access) {
    accesses *seen = context;
    const device_buffer *buffer = seen->d->binding[index].buffer;
    if (!index) return; /* parameters */
    uint16_t *by = access == SIM_READ ? buffer->read_by : buffer->written_by;
    mark(by + offset, seen->number, n_bytes, buffer->is_weights ? &seen->weight_bytes : &seen->activation_bytes);
    if (buffer->is_weights && access != SIM_READ) seen->writes_weights = true;
}

static accesses execute(const device_dispatch *d, uint16_t number) {
    const device_kernel *kernel = d->kernel;
    _Alignas(16) uint8_t parameters[4096];
    accesses seen = {.d = d, .number = number};
    struct sim_dispatch run = {.library = kernel->library,
                               .kernel = kernel->kernel,
                               .threads_per_group = {kernel->n_threads, 1, 1},
                               .groups = {d->groups[0], d->groups[1], d->groups[2]},
                               .on_access = on_access,
                               .access_context = &seen};
    memcpy(parameters, d->parameters, d->n_parameter_bytes);
    run.buffer[0] = (struct sim_binding){.base = (char *)parameters, .bytes = d->n_parameter_bytes};
    for (int i = 1; i < DEVICE_MAX_BINDINGS; i++)
        if (d->binding[i].buffer)
            run.buffer[i] = (struct sim_binding){.base = (char *)d->binding[i].buffer->contents,
                                                 .bytes = d->binding[i].buffer->n_bytes,
                                                 .offset = d->binding[i].offset};
    if (sim.run(&run) > 0) fail_msg("kernel %s: %s", kernel->name, sim.first_error());
    assert_false(seen.writes_weights);
    return seen;
}

static void check(const char *kernel, const char *what, uint64_t counted, uint64_t seen, uint64_t tolerance) {
    if (counted <= seen + tolerance && seen <= counted + tolerance) return;
    fail_msg("kernel %s: %llu %s, counted %llu", kernel, (unsigned long long)seen, what, (unsigned long long)counted);
}

enum { MAX_KERNELS = 64 };
static const char *compared_kernel[MAX_KERNELS];
static size_t n_compared_kernels;

static bool was_compared(const char *name) {
    for (size_t i = 0; i < n_compared_kernels; i++)
        if (strcmp(compared_kernel[i], name) == 0) return true;
    return false;
}

static void dispatch(device *d, const device_dispatch *item) {
    compared_device *compared = compared_of(d);
    device *counting = compared->counting;
    const char *name = item->kernel->name;
    uint64_t barriers = sim.statistics->barriers;
    if (!was_compared(name) && n_compared_kernels < MAX_KERNELS) compared_kernel[n_compared_kernels++] = name;
    compared->n_dispatches++;
    assert_int_not_equal(compared->n_dispatches, 0); /* what nothing is marked with */
    accesses seen = execute(item, compared->n_dispatches);
    barriers = sim.statistics->barriers - barriers;

    device_dispatch same = *item;
    same.kernel = item->kernel->counted;
    for (int i = 0; i < DEVICE_MAX_BINDINGS; i++)
        if (same.binding[i].buffer) same.binding[i].buffer = same.binding[i].buffer->counted;
    counting_totals before = counting_device_totals(counting), after;
    counting->op->dispatch(counting, &same);
    after = counting_device_totals(counting);

    check(name, "dispatches", after.dispatches - before.dispatches, 1, 0);
    check(name, "barriers", after.barriers - before.barriers, barriers, 0);
    check(name, "bytes of weights", after.weight_bytes - before.weight_bytes, seen.weight_bytes, 0);
    /* Tables are counted roughly. */
    check(name, "bytes of activations", after.activation_bytes - before.activation_bytes, seen.activation_bytes,
          seen.activation_bytes / 100 + 128);
}

static ds4_status succeed(device *d, ds4_error *error) {
    (void)d;
    (void)error;
    return DS4_OK;
}

static const device_ops OPS = {
    .name = "compared",
    .free = device_free,
    .buffer_new = buffer_new,
    .buffer_wrap = buffer_wrap,
    .buffer_free = buffer_free,
    .buffer_contents = buffer_contents,
    .kernel_new = kernel_new,
    .kernel_free = kernel_free,
    .begin = succeed,
    .dispatch = dispatch,
    .submit = succeed,
    .wait = succeed,
};

static ds4_status new_compared_device(device **out, ds4_error *error) {
    compared_device *compared = calloc(1, sizeof *compared);
    const char *why;
    char path[4096];
    assert_non_null(compared);
    snprintf(path, sizeof path, "%.*s/kernels_checked.so", (int)(strrchr(SIMULATOR, '/') - SIMULATOR), SIMULATOR);
    compared->base = (device){.op = &OPS,
                              .limits = {.name = "compared device",
                                         .max_buffer_bytes = 1 << 30,
                                         .wrap_alignment = (uint32_t)sysconf(_SC_PAGESIZE)}};
    compared->library = sim.library_open(path, &why);
    if (!compared->library) fail_msg("%s: %s", path, why);
    *out = &compared->base;
    return counting_device_new(true, &compared->counting, error);
}

/* ---- batches ---- */

enum { CHUNK = 96, CONTEXT = 512, N_TIMELINES = 2 };

struct scene {
    ds4_model *model;
    ds4_engine *engine;
    ds4_timeline *timeline[N_TIMELINES];
    float *logits;
    uint32_t seed;
};

static void evaluate(struct scene *scene, const size_t *lengths) {
    int32_t token[N_TIMELINES][CHUNK];
    ds4_span span[N_TIMELINES];
    ds4_error error;
    size_t n_spans = 0;
    for (int i = 0; i < N_TIMELINES; i++) {
        for (size_t t = 0; t < lengths[i]; t++) {
            scene->seed = scene->seed * 1664525u + 1013904223u;
            token[i][t] = (int32_t)((scene->seed >> 8) % ds4_model_n_vocab(scene->model));
        }
        if (lengths[i])
            span[n_spans++] = (ds4_span){.timeline = scene->timeline[i],
                                         .tokens = token[i],
                                         .n_tokens = lengths[i],
                                         .wanted = DS4_LOGITS_LAST,
                                         .logits = scene->logits + (size_t)i * ds4_model_n_vocab(scene->model)};
    }
    assert_ok(ds4_engine_evaluate(scene->engine, span, n_spans, NULL, NULL, &error), &error);
}

struct shape_case {
    const char *model;
    bool pure;
    size_t n_batches;
};

/* Prefill in tiles across windows of both ratios, then decode of one and several, with and without choosing rows. */
static void counts_are_what_the_kernels_do(void **state) {
    const struct shape_case *c = *state;
    struct scene scene = {.seed = 7};
    ds4_error error;
    load_executor();
    assert_ok(ds4_model_open(tiny_model_path(c->model), DS4_MODEL_FULL, &scene.model, &error), &error);
    ds4_engine_options options = {.chunk_tokens = CHUNK, .no_qat = c->pure};
    assert_ok(engine_new_on(scene.model, &options, new_compared_device, &scene.engine, &error), &error);
    for (int i = 0; i < N_TIMELINES; i++)
        assert_ok(ds4_timeline_new(scene.engine, CONTEXT, &scene.timeline[i], &error), &error);
    scene.logits = calloc(N_TIMELINES * ds4_model_n_vocab(scene.model), sizeof *scene.logits);
    assert_non_null(scene.logits);
    static const size_t BATCH[][N_TIMELINES] = {{1, 0}, {3, 1}, {70, 6}, {1, 1}, {0, 5}, {1, 0}, {58, 0}};
    assert_true(c->n_batches <= sizeof BATCH / sizeof *BATCH);
    for (size_t i = 0; i < c->n_batches; i++) evaluate(&scene, BATCH[i]);
    free(scene.logits);
    for (int i = 0; i < N_TIMELINES; i++) ds4_timeline_free(scene.timeline[i]);
    ds4_engine_free(scene.engine);
    ds4_model_free(scene.model);
}

/* By the tests before this one. */
static void every_kernel_was_compared(void **state) {
    (void)state;
    load_executor();
    device *d;
    ds4_error error;
    size_t n;
    assert_ok(counting_device_new(false, &d, &error), &error);
    const counting_kernel *kernel = counting_device_kernels(d, &n);
    for (size_t i = 0; i < n; i++)
        if (!was_compared(kernel[i].name)) fail_msg("%s", kernel[i].name);
    d->op->free(d);
}

/* ---- the published models ---- */

static counter *open_counter(const char *name) {
    counter *c;
    ds4_error error;
    assert_ok(counter_new(layout_recipe_find(name), 512, &c, &error), &error);
    return c;
}

static counting_totals count(counter *c, size_t position, int n_tokens) {
    ds4_error error;
    assert_ok(counter_run(c, position, n_tokens, &error), &error);
    return counting_device_totals(counter_device(c));
}

static void decoding_reads_each_weight_once_in_few_dispatches(void **state) {
    (void)state;
    static const size_t POSITION[] = {0, 2046, 2047, 2048, 32768, 131072};
    for (const layout_recipe *recipe = layout_recipes; recipe->name; recipe++) {
        counter *c = open_counter(recipe->name);
        for (size_t i = 0; i < sizeof POSITION / sizeof *POSITION; i++) {
            counting_totals totals = count(c, POSITION[i], 1);
            uint64_t minimum = counter_minimum(c, POSITION[i], 1);
            assert_in_range(totals.dispatches, 500, 600);
            assert_in_range(totals.weight_bytes, minimum - minimum / 1000, minimum + minimum / 100);
        }
        counter_free(c);
    }
}

static void the_minimum_has_six_experts_of_each_layer(void **state) {
    (void)state;
    counter *q2 = open_counter("q2"), *q4 = open_counter("q4");
    const uint64_t in = 2162688, out = 2752512, four_bits = 4718592; /* one matrix of one expert */
    assert_int_equal(counter_minimum(q4, 5000, 1) - counter_minimum(q2, 5000, 1),
                     43 * 6 * (3 * four_bits - 2 * in - out));
    /* all experts: 43 layers without the embeddings and expert ids of the other tokens */
    uint64_t rows = (129280 - 512) * (4096 * 2 + 3 * 6 * 4);
    assert_int_equal(counter_minimum(q2, 5000, 512), counter_tensor_bytes(q2) - rows);
    counter_free(q2);
    counter_free(q4);
}

static void prefill_reads_weights_again_for_every_tile(void **state) {
    (void)state;
    counter *c = open_counter("q2");
    counting_totals chunk = count(c, 4096, 512);
    uint64_t minimum = counter_minimum(c, 4096, 512), tiles = 512 / 32;
    assert_in_range(chunk.weight_bytes, minimum - minimum / 1000, minimum + minimum / 100);
    assert_in_range(chunk.weight_reads, chunk.weight_bytes, chunk.weight_bytes * tiles);
    /* one tile: only hyper-connections and norms are read for each token */
    counting_totals tile = count(c, 4096, 32);
    assert_in_range(tile.weight_reads, tile.weight_bytes, tile.weight_bytes + tile.weight_bytes / 20);
    counter_free(c);
}

static void kernels_add_up_until_the_reset(void **state) {
    (void)state;
    counter *c = open_counter("q2");
    counting_totals totals = count(c, 100, 1), sum = {0};
    size_t n;
    const counting_kernel *kernel = counting_device_kernels(counter_device(c), &n);
    for (size_t i = 0; i < n; i++) {
        sum.dispatches += kernel[i].totals.dispatches;
        sum.barriers += kernel[i].totals.barriers;
        if (strcmp(kernel[i].name, "hyper_in") == 0) assert_int_equal(kernel[i].totals.dispatches, 2 * 43);
        if (strcmp(kernel[i].name, "matmul") == 0) assert_int_equal(kernel[i].totals.dispatches, 0);
    }
    assert_int_equal(sum.dispatches, totals.dispatches);
    assert_int_equal(sum.barriers, totals.barriers);
    counting_totals again = count(c, 100, 1); /* not added to the first */
    assert_memory_equal(&again, &totals, sizeof totals);
    counter_free(c);
}

static void an_unknown_kernel_is_refused(void **state) {
    (void)state;
    device *d;
    device_kernel *kernel;
    device_constants constants = {0};
    ds4_error error;
    assert_ok(counting_device_new(false, &d, &error), &error);
    assert_int_equal(d->op->kernel_new(d, "matvec_5", &constants, 32, &kernel, &error), DS4_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "matvec_5"));
    d->op->free(d);
}

int main(void) {
    static struct shape_case cases[] = {
        {"tiny-a-f", true, 4}, {"tiny-a-q2", false, 7}, {"tiny-a-q4", false, 2}, {"tiny-b-q2", false, 7}};
    const struct CMUnitTest tests[] = {
        {"counts_match_on_tiny_a_f_without_rounding", counts_are_what_the_kernels_do, NULL, NULL, &cases[0]},
        {"counts_match_on_tiny_a_q2", counts_are_what_the_kernels_do, NULL, NULL, &cases[1]},
        {"counts_match_on_tiny_a_q4", counts_are_what_the_kernels_do, NULL, NULL, &cases[2]},
        {"counts_match_on_tiny_b_q2", counts_are_what_the_kernels_do, NULL, NULL, &cases[3]},
        cmocka_unit_test(every_kernel_was_compared),
        cmocka_unit_test(decoding_reads_each_weight_once_in_few_dispatches),
        cmocka_unit_test(the_minimum_has_six_experts_of_each_layer),
        cmocka_unit_test(prefill_reads_weights_again_for_every_tile),
        cmocka_unit_test(kernels_add_up_until_the_reset),
        cmocka_unit_test(an_unknown_kernel_is_refused),
    };
    return cmocka_run_group_tests_name("counting device", tests, NULL, NULL);
}
