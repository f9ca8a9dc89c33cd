/* Synthetic models: small ones, made as those of the published shape are. */
#include "test.h"

#include "base/file.h"
#include "base/sha256.h"
#include "model/synth.h"
#include "model/synth_parts.h"
#include "support/traced_forward.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the shape, files ---- */

enum { N_VOCAB = 1536, SMALL_LAYERS = 6, N_EXPERTS = 16, N_USED = 2 };

static hyperparameters small_shape(int n_layers) {
    hyperparameters h = hyperparameters_flash();
    h.n_layers = n_layers;
    h.width = 256;
    h.n_vocab = N_VOCAB;
    h.n_heads = 4;
    h.head_dim = 128;
    h.q_rank = 128;
    h.n_groups = 2;
    h.group_rank = 128;
    h.n_index_heads = 4;
    h.index_top_k = 16;
    h.n_experts = N_EXPERTS;
    h.n_experts_used = N_USED;
    h.expert_width = 256;
    return h;
}

static char folder[64];

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Whose names begin with x, as those of models that do not come about. */
static size_t n_files(void) {
    char command[128];
    snprintf(command, sizeof command, "ls '%s' | grep -c '^x'", folder);
    FILE *count = popen(command, "r");
    size_t n = 0;
    assert_non_null(count);
    assert_int_equal(fscanf(count, "%zu", &n), 1);
    pclose(count);
    return n;
}

static synth_options options_of(const char *recipe, int n_own_experts, uint64_t seed) {
    return (synth_options){layout_recipe_find(recipe), n_own_experts, seed};
}

/* Returns the path, which is good until the next. */
static const char *write_small(synth_options options, int n_layers) {
    const char *path = path_of("small.gguf");
    hyperparameters h = small_shape(n_layers);
    ds4_error error;
    assert_ok(synth_write_shape(&options, &h, path, NULL, NULL, &error), &error);
    return path;
}

static gguf_file *open_small(synth_options options, int n_layers) {
    gguf_file *file = NULL;
    ds4_error error;
    assert_ok(gguf_open(write_small(options, n_layers), NULL, &file, &error), &error);
    return file;
}

/* ---- it can be run ---- */

static ds4_engine *open_engine(const char *path, ds4_model **model) {
    ds4_engine_options options = {.n_threads = 1, .exact = true, .chunk_tokens = 256};
    ds4_engine *engine = NULL;
    ds4_error error;
    assert_ok(ds4_model_open(path, DS4_MODEL_FULL, model, &error), &error);
    assert_ok(ds4_engine_new(*model, &options, &engine, &error), &error);
    return engine;
}

static ds4_timeline *new_timeline(ds4_engine *engine) {
    ds4_timeline *timeline = NULL;
    ds4_error error;
    assert_ok(ds4_timeline_new(engine, 256, &timeline, &error), &error);
    return timeline;
}

static void check_logits(const char *recipe, int n_own_experts) {
    enum { N = 24 };
    static float logits[N][N_VOCAB];
    ds4_model *model;
    ds4_engine *engine = open_engine(write_small(options_of(recipe, n_own_experts, 1), SMALL_LAYERS), &model);
    ds4_timeline *timeline = new_timeline(engine);
    int32_t token[N];
    ds4_error error;
    for (int32_t i = 0; i < N; i++) token[i] = 41 * i;
    ds4_span span = {timeline, token, N, DS4_LOGITS_ALL, logits[0]};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    double sum = 0, difference = 0;
    for (int t = 0; t < N; t++)
        for (int v = 0; v < N_VOCAB; v++) {
            assert_true(isfinite(logits[t][v]));
            sum += (double)logits[t][v] * (double)logits[t][v];
            difference += fabs((double)logits[t][v] - (double)logits[0][v]);
        }
    double rms = sqrt(sum / (N * N_VOCAB));
    if (!(rms > 1 && rms < 10)) fail_msg("%s: logits have rms %g", recipe, rms);
    assert_true(difference / (N * N_VOCAB) > 1); /* tokens matter */
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    ds4_model_free(model);
}

static void a_model_runs_with_finite_and_different_logits(void **state) {
    (void)state;
    check_logits("q2", 0);
    check_logits("q4-imatrix", 0);
    check_logits("q2", 6);
}

enum { N_TOKENS = 64 };

typedef struct behaviour {
    const ds4_engine *engine;
    double least_rms, largest_rms; /* of the streams after a layer */
    double dispersion;             /* variance by mean of how often experts are used, added up over layers */
    int n_layers;
} behaviour;

static void look_at_streams(behaviour *seen) {
    size_t n = (size_t)N_TOKENS * MODEL_STREAMS * (size_t)seen->engine->model->hparams.width;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)seen->engine->act.streams[i] * (double)seen->engine->act.streams[i];
    double rms = sqrt(sum / (double)n);
    if (!(rms >= seen->least_rms)) seen->least_rms = rms;
    if (!(rms <= seen->largest_rms)) seen->largest_rms = rms;
}

static void count_experts(behaviour *seen) {
    int used[N_EXPERTS] = {0};
    double n_experts = (double)N_EXPERTS, mean = (double)(N_TOKENS * N_USED) / n_experts;
    for (int i = 0; i < N_TOKENS * N_USED; i++) used[seen->engine->act.expert[i]]++;
    for (int e = 0; e < N_EXPERTS; e++) seen->dispersion += (used[e] - mean) * (used[e] - mean) / mean / n_experts;
    seen->n_layers++;
}

static void observe(void *context, trace_stage stage, int layer) {
    (void)layer;
    if (stage == TRACE_ROUTED) count_experts(context);
    if (stage == TRACE_LAYER_DONE) look_at_streams(context);
}

/* Of the published number of layers. Experts that were drawn by lot would have a dispersion of about 1. */
static void streams_stay_in_bounds_and_experts_are_used_evenly(void **state) {
    (void)state;
    ds4_model *model;
    ds4_engine *engine = open_engine(write_small(options_of("q2", 0, 0), 43), &model);
    ds4_timeline *timeline = new_timeline(engine);
    behaviour seen = {.engine = engine, .least_rms = 1e9};
    int32_t token[N_TOKENS];
    for (int32_t i = 0; i < N_TOKENS; i++) token[i] = 797 * i % N_VOCAB;
    traced_forward(timeline, token, N_TOKENS, observe, &seen);
    if (!(seen.least_rms > 2 && seen.largest_rms < 6))
        fail_msg("streams have an rms of %g to %g", seen.least_rms, seen.largest_rms);
    assert_int_equal(seen.n_layers, 43);
    double dispersion = seen.dispersion / seen.n_layers;
    if (!(dispersion < 2)) fail_msg("experts are used with a dispersion of %g", dispersion);
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    ds4_model_free(model);
}

static void hash_layers_choose_different_experts_for_a_token(void **state) {
    (void)state;
    gguf_file *file = open_small(options_of("q2", 6, 3), SMALL_LAYERS);
    for (int l = 0; l < 3; l++) {
        char name[32];
        int used[6] = {0};
        snprintf(name, sizeof name, "blk.%d.ffn_gate_tid2eid.weight", l);
        const gguf_tensor *tensor = gguf_find_tensor(file, name);
        for (size_t t = 0; t < N_VOCAB; t++) {
            int32_t id[N_USED];
            memcpy(id, tensor->data + t * sizeof id, sizeof id);
            for (int k = 0; k < N_USED; k++) {
                assert_in_range(id[k], 0, 5);
                for (int j = 0; j < k; j++) assert_int_not_equal(id[j], id[k]);
                used[id[k]]++;
            }
        }
        for (int e = 0; e < 6; e++) assert_in_range(used[e], N_VOCAB * N_USED / 6 - 80, N_VOCAB * N_USED / 6 + 80);
    }
    gguf_close(file);
}

/* ---- what is in the file ---- */

static void sum_of(synth_options options, char sum[SHA256_HEX_BYTES]) {
    assert_true(sha256_file_hex(write_small(options, SMALL_LAYERS), sum));
}

static void the_seed_decides_the_bytes(void **state) {
    (void)state;
    char sum[SHA256_HEX_BYTES], other[SHA256_HEX_BYTES];
    sum_of(options_of("q2", 0, 1), sum);
    sum_of(options_of("q2", 0, 1), other);
    assert_string_equal(sum, other);
    sum_of(options_of("q2-imatrix", 0, 1), other);
    assert_string_equal(sum, other);
    sum_of(options_of("q2", 0, 2), other);
    assert_string_not_equal(sum, other);
}

static void files_are_the_same_on_every_machine(void **state) {
    (void)state;
    char sum[SHA256_HEX_BYTES];
    sum_of(options_of("q2", 0, 1), sum);
    assert_string_equal(sum, "d9e857b0945d40282e7b667cb31c46af292727fd67a53786bd127d48e15cb0b9");
    sum_of(options_of("q4", 6, 0), sum);
    assert_string_equal(sum, "61189b0f804ed4be9401e14418674e465fe56bf2a196b94b552453d0c361c856");
}

static bool is_in_layer(const gguf_tensor *tensor, int *layer, char what[64]) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", GGUF_STRING_ARGS(tensor->name));
    return sscanf(name, "blk.%d.%63s", layer, what) == 2;
}

/* Layers 37 to 42 have experts of 4 bits, the others of 2. */
static void layers_share_the_bytes_of_experts_of_the_same_type(void **state) {
    (void)state;
    gguf_file *file = open_small(options_of("q2-q4", 0, 0), 43);
    uint64_t end = 0;
    for (size_t t = 0; t < file->n_tensors; t++) {
        const gguf_tensor *tensor = &file->tensors[t];
        char what[64], first[96];
        int layer;
        bool shared = is_in_layer(tensor, &layer, what) && strstr(what, "_exps.") && layer != 0 && layer != 37;
        if (shared) {
            snprintf(first, sizeof first, "blk.%d.%s", layer < 37 ? 0 : 37, what);
            assert_ptr_equal(tensor->data, gguf_find_tensor(file, first)->data);
            continue;
        }
        assert_int_equal(tensor->offset, end);
        end = (tensor->offset + tensor->n_bytes + 31) / 32 * 32;
    }
    assert_int_equal(file->data_offset + end, file->n_bytes);
    gguf_close(file);
}

static void without_sharing_data_lies_in_the_order_of_the_directory(void **state) {
    (void)state;
    gguf_file *file = open_small(options_of("q2", 6, 0), SMALL_LAYERS);
    uint64_t end = 0;
    for (size_t t = 0; t < file->n_tensors; t++) {
        assert_int_equal(file->tensors[t].offset, end);
        end = (end + file->tensors[t].n_bytes + 31) / 32 * 32;
    }
    assert_int_equal(file->data_offset + end, file->n_bytes);
    assert_int_equal(gguf_find_tensor(file, "blk.1.ffn_up_exps.weight")->ne[2], 6);
    assert_int_equal(gguf_find(file, "deepseek4.expert_count")->u, 6);
    gguf_close(file);
}

static void layers_have_weights_of_their_own(void **state) {
    (void)state;
    gguf_file *file = open_small(options_of("q2", 0, 0), SMALL_LAYERS);
    const gguf_tensor *one = gguf_find_tensor(file, "blk.3.attn_q_b.weight");
    const gguf_tensor *other = gguf_find_tensor(file, "blk.5.attn_q_b.weight");
    assert_int_equal(one->n_bytes, other->n_bytes);
    assert_memory_not_equal(one->data, other->data, one->n_bytes);
    gguf_close(file);
}

/* ---- metadata ---- */

static void expect_u32(const gguf_file *file, const char *key, uint64_t expected) {
    const gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_U32 || value->u != expected)
        fail_msg("%s: not there, not u32 or not %llu", key, (unsigned long long)expected);
}

static void metadata_has_the_types_that_other_programs_want(void **state) {
    (void)state;
    gguf_file *file = open_small(options_of("q2", 6, 0), SMALL_LAYERS);
    expect_u32(file, "deepseek4.rope.scaling.original_context_length", 65536);
    expect_u32(file, "deepseek4.expert_gating_func", 4);
    expect_u32(file, "deepseek4.block_count", SMALL_LAYERS);
    expect_u32(file, "tokenizer.ggml.bos_token_id", 0);
    expect_u32(file, "tokenizer.ggml.eos_token_id", 1);
    assert_int_equal(gguf_find(file, "deepseek4.expert_weights_norm")->type, GGUF_BOOL);
    assert_int_equal(gguf_find(file, "deepseek4.attention.compress_ratios")->array.n, SMALL_LAYERS + 1);
    assert_true(gguf_find(file, "tokenizer.ggml.merges")->array.n > 0);
    gguf_close(file);
}

/* The published vocabulary's size, without tensors. */
static ds4_model *open_vocabulary(void) {
    hyperparameters h = hyperparameters_flash();
    gguf_writer *writer;
    ds4_model *model = NULL;
    ds4_error error;
    assert_ok(gguf_writer_new(path_of("vocabulary.gguf"), &writer, &error), &error);
    assert_ok(synth_add_metadata(writer, &h, &error), &error);
    assert_ok(gguf_writer_finish(writer, &error), &error);
    gguf_writer_free(writer);
    assert_ok(ds4_model_open(path_of("vocabulary.gguf"), DS4_MODEL_TEXT, &model, &error), &error);
    return model;
}

static void control_tokens_have_their_published_ids(void **state) {
    (void)state;
    static const struct {
        const char *string;
        int32_t id;
    } expected[] = {{"<｜begin▁of▁sentence｜>", 0}, {"<｜end▁of▁sentence｜>", 1}, {"<｜▁pad▁｜>", 2},
                    {"<｜User｜>", 128803},         {"<｜Assistant｜>", 128804},  {"<think>", 128821},
                    {"</think>", 128822},           {"｜DSML｜", 128825},         {"<｜read_url｜>", 128845}};
    ds4_model *model = open_vocabulary();
    const ds4_tokenizer *tokenizer = ds4_model_tokenizer(model);
    assert_int_equal(ds4_tokenizer_n_tokens(tokenizer), 129280);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(ds4_tokenizer_control_id(tokenizer, expected[i].string), expected[i].id);
    ds4_model_free(model);
}

static void text_becomes_fewer_tokens_and_the_same_text_again(void **state) {
    (void)state;
    static const char text[] = "<｜User｜>what is written here, in 2026?\n\tÄ ← 日本\xff\x01 end<｜Assistant｜><think>";
    ds4_model *model = open_vocabulary();
    const ds4_tokenizer *tokenizer = ds4_model_tokenizer(model);
    ds4_tokens tokens = {0};
    ds4_buffer again = {0};
    ds4_error error;
    assert_ok(ds4_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &tokens, &error), &error);
    assert_int_equal(tokens.id[0], 128803);
    assert_int_equal(tokens.id[tokens.n - 1], 128821);
    assert_ok(ds4_tokenizer_decode(tokenizer, tokens.id, tokens.n, &again, &error), &error);
    assert_int_equal(again.n_bytes, sizeof text - 1);
    assert_memory_equal(again.data, text, sizeof text - 1);
    tokens.n = 0;
    assert_ok(ds4_tokenizer_encode(tokenizer, " there", 6, false, &tokens, &error), &error);
    assert_in_range(tokens.n, 2, 4); /* merges are used */
    ds4_tokens_deinit(&tokens);
    ds4_buffer_deinit(&again);
    ds4_model_free(model);
}

/* ---- what goes wrong ---- */

static void expect_failure(const synth_options *options, const hyperparameters *h, const char *path,
                           ds4_status expected, const char *said) {
    ds4_error error;
    ds4_status status = synth_write_shape(options, h, path, NULL, NULL, &error);
    if (status != expected || !strstr(error.message, said)) fail_msg("status %d: %s", (int)status, error.message);
    assert_int_equal(n_files(), 0);
}

static void what_cannot_be_made_is_said(void **state) {
    (void)state;
    synth_options options = options_of("q2", 0, 0);
    hyperparameters h = small_shape(SMALL_LAYERS);
    expect_failure(&options, &h, path_of("missing/x.gguf"), DS4_ERROR_IO, "missing/x.gguf: ");
    h.n_vocab = 1000;
    expect_failure(&options, &h, path_of("x.gguf"), DS4_ERROR_ARGUMENT, "vocabulary: 1000 tokens, expected at least ");
    h = small_shape(SMALL_LAYERS);
    h.expert_width = 32;
    expect_failure(&options, &h, path_of("x.gguf"), DS4_ERROR_ARGUMENT, "blk.0.ffn_down_exps.weight");
    h = small_shape(SMALL_LAYERS);
    options.n_own_experts = N_USED - 1;
    expect_failure(&options, &h, path_of("x.gguf"), DS4_ERROR_ARGUMENT, "experts: 1, expected 2 to 16");
    options.n_own_experts = N_EXPERTS + 1;
    expect_failure(&options, &h, path_of("x.gguf"), DS4_ERROR_ARGUMENT, "experts: 17, expected 2 to 16");
}

static void too_little_disk_space_is_said_before_writing(void **state) {
    (void)state;
    synth_options options = options_of("q2", 0, 0);
    hyperparameters h = small_shape(SMALL_LAYERS);
    /* file systems that never have room: Linux, macOS */
    const char *path = access("/proc/self", F_OK) == 0 ? "/proc/x.gguf" : "/dev/x.gguf";
    expect_failure(&options, &h, path, DS4_ERROR_IO, " GB of disk space, 0.0 GB are free");
}

static void a_full_disk_leaves_no_file(void **state) {
    (void)state;
    synth_options options = options_of("q2", 0, 0);
    hyperparameters h = small_shape(SMALL_LAYERS);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ds4_error error;
    ds4_status status = synth_write_shape(&options, &h, path_of("x.gguf"), NULL, NULL, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, DS4_ERROR_IO);
    assert_non_null(strstr(error.message, "x.gguf: cannot write"));
    assert_int_equal(n_files(), 0);
}

typedef struct progress_log {
    size_t n_calls, done, total;
    size_t cancel_at; /* bytes */
} progress_log;

static bool log_progress(void *context, size_t done, size_t total) {
    progress_log *log = context;
    if (log->n_calls++ == 0) {
        assert_int_equal(done, 0);
        log->total = total;
    }
    assert_true(done >= log->done && done <= total);
    assert_int_equal(total, log->total);
    log->done = done;
    return done >= log->cancel_at;
}

static void progress_can_cancel_and_no_file_is_left(void **state) {
    (void)state;
    synth_options options = options_of("q2", 0, 0);
    hyperparameters h = small_shape(SMALL_LAYERS);
    progress_log log = {.cancel_at = 1 << 20};
    ds4_error error;
    assert_int_equal(synth_write_shape(&options, &h, path_of("x.gguf"), log_progress, &log, &error), DS4_CANCELLED);
    assert_in_range(log.done, 1 << 20, 2 << 20);
    assert_int_equal(n_files(), 0);
    log = (progress_log){.cancel_at = SIZE_MAX};
    assert_ok(synth_write_shape(&options, &h, path_of("x.gguf"), log_progress, &log, &error), &error);
    assert_int_equal(n_files(), 1);
    assert_int_equal(unlink(path_of("x.gguf")), 0);
}

/* ---- the command ---- */

static pid_t start_command(char *const *words) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    signal(SIGINT, SIG_DFL); /* this test itself may have been started deaf to it */
    if (freopen("/dev/null", "w", stderr)) execv(DS4_BINARY, words);
    _exit(127);
}

static int exit_status(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void an_interrupted_command_leaves_no_file(void **state) {
    (void)state;
    char ds4[] = "ds4", synth[] = "synth", q2[] = "q2", out[128];
    snprintf(out, sizeof out, "%s", path_of("x.gguf"));
    pid_t pid = start_command((char *[]){ds4, synth, q2, out, NULL});
    siginfo_t ended = {0};
    /* it may also end by itself, if there is no room for the file */
    for (int i = 0; i < 3000 && n_files() == 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                    ended.si_pid == 0;
         i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(exit_status(pid), 1);
    assert_int_equal(n_files(), 0);
}

/* ---- main ---- */

static int set_up(void **state) {
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/ds4-synth-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_runs_with_finite_and_different_logits),
        cmocka_unit_test(streams_stay_in_bounds_and_experts_are_used_evenly),
        cmocka_unit_test(hash_layers_choose_different_experts_for_a_token),
        cmocka_unit_test(the_seed_decides_the_bytes),
        cmocka_unit_test(files_are_the_same_on_every_machine),
        cmocka_unit_test(layers_share_the_bytes_of_experts_of_the_same_type),
        cmocka_unit_test(without_sharing_data_lies_in_the_order_of_the_directory),
        cmocka_unit_test(layers_have_weights_of_their_own),
        cmocka_unit_test(metadata_has_the_types_that_other_programs_want),
        cmocka_unit_test(control_tokens_have_their_published_ids),
        cmocka_unit_test(text_becomes_fewer_tokens_and_the_same_text_again),
        cmocka_unit_test(what_cannot_be_made_is_said),
        cmocka_unit_test(too_little_disk_space_is_said_before_writing),
        cmocka_unit_test(a_full_disk_leaves_no_file),
        cmocka_unit_test(progress_can_cancel_and_no_file_is_left),
        cmocka_unit_test(an_interrupted_command_leaves_no_file),
    };
    return cmocka_run_group_tests_name("synthetic models", tests, set_up, tear_down);
}
