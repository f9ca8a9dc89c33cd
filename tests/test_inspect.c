/* The report of `ds4 inspect`: what it shows of good files and says of bad ones. */
#include "test.h"

#include "base/memory.h"
#include "model/model.h"
#include "support/patched_file.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY(name) "deepseek4." name

typedef struct inspected {
    ds4_buffer report;
    size_t n_problems;
} inspected;

static inspected inspect(const char *path) {
    inspected result = {0};
    ds4_error error;
    assert_ok(model_inspect(path, &result.report, &result.n_problems, &error), &error);
    return result;
}

static inspected inspect_patched(const patched_file *patched) {
    char path[64];
    snprintf(path, sizeof path, "build/tiny/inspect-%ld.gguf", (long)getpid());
    patched_file_write(patched, path);
    inspected result = inspect(path);
    unlink(path);
    return result;
}

/* Lines may have any indent and, with a '*' at the end, any tail. Runs of spaces count as one. */
static bool line_matches(const char *line, size_t n_bytes, const char *expected) {
    size_t at = 0;
    while (at < n_bytes && line[at] == ' ') at++;
    for (; *expected; expected++) {
        if (*expected == '*' && !expected[1]) return true;
        if (at >= n_bytes || line[at] != *expected) return false;
        at++;
        if (*expected == ' ')
            while (at < n_bytes && line[at] == ' ') at++;
    }
    return at == n_bytes;
}

static bool has_line(const inspected *result, const char *expected) {
    const char *line = result->report.data, *end;
    for (; (end = strchr(line, '\n')); line = end + 1)
        if (line_matches(line, (size_t)(end - line), expected)) return true;
    return false;
}

static void assert_line(const inspected *result, const char *expected) {
    if (!has_line(result, expected)) fail_msg("no line \"%s\" in\n%s", expected, result->report.data);
}

static void a_good_model_is_shown_and_has_no_problems(void **state) {
    (void)state;
    inspected result = inspect(tiny_model_path("tiny-a-q2"));
    assert_int_equal(result.n_problems, 0);
    static const char *const expected[] = {
        "file build/tiny/tiny-a-q2.gguf",
        "size 20.65 MiB (21651040 bytes)",
        "format GGUF version 3, alignment 32, tensor data at 27104",
        "name tiny-a-q2",
        "architecture deepseek4",
        "content model",
        "tokens 512",
        "layers 8",
        "compression ratio 0 for 2 layers, 4 for 3, 128 for 3",
        "layers with hashed experts 3",
        "YaRN original context 65536",
        "SwiGLU limit 10",
        "Metadata: 47 entries",
        "deepseek4.block_count u32 8",
        "deepseek4.expert_weights_norm bool true",
        "deepseek4.rope.scaling.type string yarn",
        "deepseek4.attention.compress_ratios array i32[9] 0, 0, 4, 128, 4, 128, ...",
        "tokenizer.ggml.merges array string[0]",
        "Tensors: 240",
        "blk.2.indexer.proj.weight F16 [256, 16] 8192 bytes",
        "blk.7.ffn_down_exps.weight Q2_K [256, 256, 16] 344064 bytes",
        "blk.4.exp_probs_b.bias F32 [16] 64 bytes",
        "routed experts 24 tensors 6.75 MiB",
        "IQ2_XXS 16 tensors 4.12 MiB",
        "all 240 tensors 20.62 MiB",
        "no problems",
    };
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) assert_line(&result, expected[k]);
    assert_false(has_line(&result, "Not part of the model*"));
    ds4_buffer_deinit(&result.report);
}

static void every_problem_of_a_bad_model_is_in_the_report(void **state) {
    (void)state;
    patched_file model;
    patched_file_open(tiny_model_path("tiny-a-q2"), &model);
    patch_key_name(&model, KEY("expert_weights_scale"));
    patch_key_name(&model, "tokenizer.ggml.merges");
    patch_u32(&model, KEY("expert_shared_count"), 2);
    patch_tensor_name(&model, "blk.6.attn_sinks.weight");
    patch_tensor_size(&model, "blk.5.attn_q_a.weight", 1, 128);
    patch_tensor_type(&model, "blk.4.attn_norm.weight", 99);
    patch_tensor_type(&model, "blk.3.attn_norm.weight", BLOCK_F16);
    inspected result = inspect_patched(&model);
    assert_int_equal(result.n_problems, 7);
    assert_line(&result, "7 problems");
    static const char *const problem[] = {
        "deepseek4.expert_weights_scale: missing",
        "tokenizer.ggml.merges: missing",
        "deepseek4.expert_shared_count: 2, expected 1",
        "blk.6.attn_sinks.weight: missing",
        "blk.5.attn_q_a.weight: shape [256, 128], expected [256, 256]",
        "tensor 'blk.4.attn_norm.weight': type 99 is unknown",
        "blk.3.attn_norm.weight: type F16, expected F32",
    };
    for (size_t k = 0; k < sizeof problem / sizeof *problem; k++) {
        char line[160];
        snprintf(line, sizeof line, "build/tiny/inspect-%ld.gguf: %s", (long)getpid(), problem[k]);
        assert_line(&result, line);
    }
    assert_line(&result, "expert weight scale ?");
    assert_line(&result, "blk.4.attn_norm.weight 99? [256] 0 bytes");
    assert_line(&result, "Not part of the model, ignored");
    assert_line(&result, "clk.6.attn_sinks.weight"); /* the name it has now */
    ds4_buffer_deinit(&result.report);
    patched_file_close(&model);
}

static void a_single_problem_is_one_problem(void **state) {
    (void)state;
    patched_file model;
    patched_file_open(tiny_model_path("tiny-a-q2"), &model);
    patch_tensor_name(&model, "output.weight");
    inspected result = inspect_patched(&model);
    assert_int_equal(result.n_problems, 1);
    assert_line(&result, "1 problem");
    ds4_buffer_deinit(&result.report);
    patched_file_close(&model);
}

static void a_vocabulary_is_not_asked_for_weights(void **state) {
    (void)state;
    inspected result = inspect("tests/data/vocab.gguf");
    assert_int_equal(result.n_problems, 0);
    assert_line(&result, "content vocabulary only, no weights");
    assert_line(&result, "tokens 129280");
    assert_line(&result, "merges 127741");
    assert_line(&result, "no problems");
    assert_false(has_line(&result, "Hyperparameters*"));
    ds4_buffer_deinit(&result.report);
}

static void a_prediction_block_is_checked_as_one(void **state) {
    (void)state;
    patched_file mtp;
    patched_file_open(tiny_model_mtp_path("tiny-a-q2"), &mtp);
    inspected result = inspect_patched(&mtp);
    assert_int_equal(result.n_problems, 0);
    assert_line(&result, "content multi-token prediction block");
    assert_line(&result, "Hyperparameters");
    assert_line(&result, "mtp.0.e_proj.weight Q8_0 [256, 256] 69632 bytes");
    ds4_buffer_deinit(&result.report);

    patch_tensor_name(&mtp, "mtp.0.exp_probs_b.bias");
    result = inspect_patched(&mtp);
    assert_int_equal(result.n_problems, 1);
    assert_line(&result, "1 problem");
    ds4_buffer_deinit(&result.report);
    patched_file_close(&mtp);
}

static void a_prediction_block_without_hyperparameters_has_those_of_the_published_model(void **state) {
    (void)state;
    patched_file mtp;
    patched_file_open(tiny_model_mtp_path("tiny-a-q2"), &mtp);
    patch_key_name(&mtp, KEY("block_count"));
    patch_key_name(&mtp, KEY("embedding_length"));
    inspected result = inspect_patched(&mtp);
    assert_line(&result, "Hyperparameters: not in the file, these are of the published V4 Flash model");
    assert_line(&result, "layers 43");
    assert_line(&result, "compression ratio 0 for 2 layers, 4 for 21, 128 for 20");
    char line[160];
    snprintf(line, sizeof line, "build/tiny/inspect-%ld.gguf: mtp.0.enorm.weight: shape [256], expected [4096]",
             (long)getpid());
    assert_line(&result, line);
    ds4_buffer_deinit(&result.report);
    patched_file_close(&mtp);
}

static void another_architecture_is_the_only_problem(void **state) {
    (void)state;
    patched_file model;
    patched_file_open(tiny_model_path("tiny-a-q2"), &model);
    patch_content(&model, "general.architecture", "deepseek3", 9);
    inspected result = inspect_patched(&model);
    assert_int_equal(result.n_problems, 1);
    assert_line(&result, "Tensors: 240");
    ds4_buffer_deinit(&result.report);
    patched_file_close(&model);
}

static void text_from_the_file_cannot_write_to_the_terminal(void **state) {
    (void)state;
    patched_file model;
    patched_file_open(tiny_model_path("tiny-a-q2"), &model);
    patch_content(&model, "general.name", "\033[2J\n\xff\177", 7);
    inspected result = inspect_patched(&model);
    assert_line(&result, "name ?[2J???q2");
    for (size_t k = 0; k < result.report.n_bytes; k++) {
        unsigned char byte = (unsigned char)result.report.data[k];
        assert_true(byte == '\n' || (byte >= 0x20 && byte != 0x7f && byte != 0xff));
    }
    ds4_buffer_deinit(&result.report);
    patched_file_close(&model);
}

static void what_is_not_a_model_file_is_an_error_and_leaves_the_report_alone(void **state) {
    (void)state;
    ds4_buffer report = {0};
    size_t n_problems = 77;
    ds4_error error;
    assert_true(buffer_append_string(&report, "before"));
    assert_int_equal(model_inspect("Makefile", &report, &n_problems, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "Makefile: not a GGUF file"));
    assert_int_equal(model_inspect("tests/data/nothing.gguf", &report, &n_problems, &error), DS4_ERROR_IO);
    assert_string_equal(report.data, "before");
    assert_int_equal(n_problems, 77);
    ds4_buffer_deinit(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_model_is_shown_and_has_no_problems),
        cmocka_unit_test(every_problem_of_a_bad_model_is_in_the_report),
        cmocka_unit_test(a_single_problem_is_one_problem),
        cmocka_unit_test(a_vocabulary_is_not_asked_for_weights),
        cmocka_unit_test(a_prediction_block_is_checked_as_one),
        cmocka_unit_test(a_prediction_block_without_hyperparameters_has_those_of_the_published_model),
        cmocka_unit_test(another_architecture_is_the_only_problem),
        cmocka_unit_test(text_from_the_file_cannot_write_to_the_terminal),
        cmocka_unit_test(what_is_not_a_model_file_is_an_error_and_leaves_the_report_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
