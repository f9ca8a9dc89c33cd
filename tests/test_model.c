/* Opening a model: what is read from a good file, and how each fault of a bad one is named. */
#include "test.h"

#include "base/sha256.h"
#include "model/model.h"
#include "support/patched_file.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "deepseek4." name

static const char *const MODELS[] = {"tiny-a-f", "tiny-a-q2", "tiny-a-q4", "tiny-b-q2"};
enum { N_MODELS = sizeof MODELS / sizeof *MODELS };

static patched_file model, mtp;

static int open_files(void **state) {
    (void)state;
    patched_file_open(tiny_model_path("tiny-a-q2"), &model);
    patched_file_open(tiny_model_mtp_path("tiny-a-q2"), &mtp);
    return 0;
}

static int close_files(void **state) {
    (void)state;
    patched_file_close(&model);
    patched_file_close(&mtp);
    return 0;
}

/* Every test finds the files as they were. */
static ds4_buffer saved_model, saved_mtp;

static int save_files(void **state) {
    (void)state;
    saved_model = (ds4_buffer){.data = malloc(model.content.n_bytes), .n_bytes = model.content.n_bytes};
    saved_mtp = (ds4_buffer){.data = malloc(mtp.content.n_bytes), .n_bytes = mtp.content.n_bytes};
    if (!saved_model.data || !saved_mtp.data) return -1;
    memcpy(saved_model.data, model.content.data, saved_model.n_bytes);
    memcpy(saved_mtp.data, mtp.content.data, saved_mtp.n_bytes);
    return 0;
}

static int restore_files(void **state) {
    (void)state;
    memcpy(model.content.data, saved_model.data, saved_model.n_bytes);
    memcpy(mtp.content.data, saved_mtp.data, saved_mtp.n_bytes);
    ds4_buffer_deinit(&saved_model);
    ds4_buffer_deinit(&saved_mtp);
    return 0;
}

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* What reading the patched model says: the first error. */
static ds4_status read_model(ds4_error *error) {
    gguf_file *file = patched_file_read(&model, NULL);
    hyperparameters h;
    model_weights weights = {0};
    ds4_status status = hyperparameters_read(file, NULL, &h, error);
    if (status == DS4_OK) status = model_weights_read(file, &h, NULL, &weights, error);
    model_weights_deinit(&weights);
    gguf_close(file);
    return status;
}

static void assert_refused(const char *part) {
    ds4_error error;
    assert_int_equal(read_model(&error), DS4_ERROR_FORMAT);
    assert_contains(error.message, "patched: ");
    assert_contains(error.message, part);
}

static void assert_accepted(void) {
    ds4_error error;
    assert_ok(read_model(&error), &error);
}

/* ---- good files ---- */

static void the_tiny_models_are_the_known_ones(void **state) {
    (void)state;
    char sha[SHA256_HEX_BYTES];
    assert_true(sha256_hex("abc", 3, sha));
    assert_string_equal(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (int m = 0; m < N_MODELS; m++) { /* these end the program if a byte is not as it should be */
        assert_non_null(tiny_model_path(MODELS[m]));
        assert_non_null(tiny_model_mtp_path(MODELS[m]));
    }
}

static void every_tiny_model_opens(void **state) {
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        ds4_model *opened = NULL;
        ds4_error error;
        assert_ok(ds4_model_open(tiny_model_path(MODELS[m]), DS4_MODEL_FULL, &opened, &error), &error);
        size_t n_vocab = strcmp(MODELS[m], "tiny-b-q2") == 0 ? 384 : 512;
        assert_int_equal(ds4_model_n_vocab(opened), n_vocab);
        assert_int_equal(ds4_model_max_context(opened), 1 << 20);
        assert_int_equal(ds4_tokenizer_n_tokens(ds4_model_tokenizer(opened)), n_vocab);
        ds4_model_free(opened);
    }
    ds4_model_free(NULL);
}

static void a_model_opened_for_text_has_a_tokenizer_only(void **state) {
    (void)state;
    ds4_model *opened = NULL;
    ds4_error error;
    assert_ok(ds4_model_open(tiny_model_path("tiny-b-q2"), DS4_MODEL_TEXT, &opened, &error), &error);
    assert_int_equal(ds4_model_n_vocab(opened), 0);
    assert_int_equal(ds4_model_max_context(opened), 0);
    assert_int_equal(ds4_tokenizer_n_tokens(ds4_model_tokenizer(opened)), 384);
    ds4_model_free(opened);
}

static void a_vocabulary_opens_for_text_and_not_in_full(void **state) {
    (void)state;
    ds4_model *opened = NULL;
    ds4_error error;
    assert_ok(ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_TEXT, &opened, &error), &error);
    ds4_model_free(opened);
    opened = NULL;
    assert_int_equal(ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_FULL, &opened, &error), DS4_ERROR_FORMAT);
    assert_contains(error.message, "tests/data/vocab.gguf: deepseek4.block_count: missing");
    assert_null(opened);
    assert_int_equal(ds4_model_open("tests/data/nothing.gguf", DS4_MODEL_TEXT, &opened, &error), DS4_ERROR_IO);
    assert_null(opened);
}

static void a_model_in_memory_is_the_same_as_in_a_file(void **state) {
    (void)state;
    enum { N_TOKENS = 5, N_VOCAB = 512 };
    static const int32_t tokens[N_TOKENS] = {0, 17, 300, 511, 4};
    static float logits[2][N_VOCAB];
    for (int from_memory = 0; from_memory < 2; from_memory++) {
        ds4_model *opened = NULL;
        ds4_engine *engine = NULL;
        ds4_timeline *timeline = NULL;
        ds4_error error;
        if (from_memory)
            assert_ok(ds4_model_open_memory(model.content.data, model.content.n_bytes, "memory", DS4_MODEL_FULL,
                                            &opened, &error),
                      &error);
        else
            assert_ok(ds4_model_open(tiny_model_path("tiny-a-q2"), DS4_MODEL_FULL, &opened, &error), &error);
        assert_ok(ds4_engine_new(opened, NULL, &engine, &error), &error);
        assert_ok(ds4_timeline_new(engine, N_TOKENS, &timeline, &error), &error);
        ds4_span span = {.timeline = timeline,
                         .tokens = tokens,
                         .n_tokens = N_TOKENS,
                         .wanted = DS4_LOGITS_LAST,
                         .logits = logits[from_memory]};
        assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
        ds4_timeline_free(timeline);
        ds4_engine_free(engine);
        ds4_model_free(opened);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
}

static void assert_memory_refused(size_t offset, size_t n_bytes, ds4_status expected, const char *part) {
    ds4_model *opened = NULL;
    ds4_error error;
    assert_int_equal(
        ds4_model_open_memory(model.content.data + offset, n_bytes, "memory", DS4_MODEL_FULL, &opened, &error),
        expected);
    assert_null(opened);
    assert_contains(error.message, "memory: ");
    assert_contains(error.message, part);
}

static void memory_that_is_cut_off_or_not_aligned_is_refused(void **state) {
    (void)state;
    size_t n_bytes = model.content.n_bytes;
    assert_memory_refused(0, 0, DS4_ERROR_FORMAT, "not a GGUF file");
    assert_memory_refused(0, 1000, DS4_ERROR_FORMAT, "truncated");
    assert_memory_refused(0, n_bytes - 1, DS4_ERROR_FORMAT, "are not in the file");
    memmove(model.content.data + 4, model.content.data, n_bytes - 4);
    assert_memory_refused(4, n_bytes - 4, DS4_ERROR_ARGUMENT, "not aligned to 8 bytes");
}

static void hyperparameters_are_those_of_the_file(void **state) {
    (void)state;
    hyperparameters h;
    ds4_error error;
    assert_ok(hyperparameters_read(model.directory, NULL, &h, &error), &error);
    const int found[] = {
        h.n_layers,    h.width,     h.n_vocab,        h.max_context,  h.n_heads,       h.head_dim,
        h.q_rank,      h.n_groups,  h.group_rank,     h.window,       h.n_index_heads, h.index_dim,
        h.index_top_k, h.n_experts, h.n_experts_used, h.expert_width, h.n_hash_layers, h.sinkhorn_iterations,
        h.rotary_dim};
    const int expected[] = {8, 256, 512, 1 << 20, 4, 256, 256, 2, 128, 128, 16, 128, 16, 16, 4, 256, 3, 20, 64};
    assert_memory_equal(found, expected, sizeof expected);
    const float numbers[] = {h.rms_epsilon, h.hyper_epsilon,        h.expert_scale,   h.rope_base,
                             h.yarn_factor, h.compressed_rope_base, h.yarn_beta_fast, h.yarn_beta_slow};
    const float expected_numbers[] = {1e-6f, 1e-6f, 1.5f, 10000, 16, 160000, 32, 1};
    assert_memory_equal(numbers, expected_numbers, sizeof numbers);
    assert_int_equal(h.yarn_original_context, 65536);
    const int ratio[] = {0, 0, 4, 128, 4, 128, 4, 128};
    assert_memory_equal(h.ratio, ratio, sizeof ratio);
    for (int l = 0; l < 8; l++) assert_true(h.swiglu_limit[l] == 10.0f);
}

static void layers_have_the_tensors_of_their_kind(void **state) {
    (void)state;
    hyperparameters h;
    model_weights weights;
    ds4_error error;
    assert_ok(hyperparameters_read(model.directory, NULL, &h, &error), &error);
    assert_ok(model_weights_read(model.directory, &h, NULL, &weights, &error), &error);
    for (int l = 0; l < h.n_layers; l++) {
        const layer_weights *layer = &weights.layer[l];
        assert_int_equal(layer->index, l);
        assert_int_equal(layer->ratio, h.ratio[l]);
        assert_true(layer->swiglu_limit == 10.0f);
        assert_int_equal(layer->compressor.ape != NULL, layer->ratio != 0);
        assert_int_equal(layer->index_q_b != NULL, layer->ratio == 4);
        assert_int_equal(layer->index_compressor.norm != NULL, layer->ratio == 4);
        assert_int_equal(layer->router_bias != NULL, l >= 3);
        assert_int_equal(layer->expert_ids != NULL, l < 3);
    }
    assert_ptr_equal(weights.layer[5].down_experts, gguf_find_tensor(model.directory, "blk.5.ffn_down_exps.weight"));
    assert_ptr_equal(weights.layer[2].index_compressor.gate,
                     gguf_find_tensor(model.directory, "blk.2.indexer_compressor_gate.weight"));
    assert_ptr_equal(weights.hyper_head.fn, gguf_find_tensor(model.directory, "output_hc_fn.weight"));
    model_weights_deinit(&weights);
}

/* ---- hyperparameters that are wrong ---- */

static const char *const REQUIRED_KEYS[] = {
    "general.architecture",
    KEY("block_count"),
    KEY("embedding_length"),
    KEY("attention.head_count"),
    KEY("attention.head_count_kv"),
    KEY("attention.key_length"),
    KEY("attention.value_length"),
    KEY("rope.dimension_count"),
    KEY("attention.q_lora_rank"),
    KEY("attention.output_lora_rank"),
    KEY("attention.output_group_count"),
    KEY("expert_count"),
    KEY("expert_used_count"),
    KEY("expert_feed_forward_length"),
    KEY("expert_shared_count"),
    KEY("hash_layer_count"),
    KEY("attention.sliding_window"),
    KEY("attention.indexer.head_count"),
    KEY("attention.indexer.key_length"),
    KEY("attention.indexer.top_k"),
    KEY("hyper_connection.count"),
    KEY("hyper_connection.sinkhorn_iterations"),
    KEY("hyper_connection.epsilon"),
    KEY("attention.compress_ratios"),
    KEY("swiglu_clamp_exp"),
    KEY("rope.scaling.original_context_length"),
    KEY("rope.freq_base"),
    KEY("rope.scaling.factor"),
    KEY("rope.scaling.yarn_beta_fast"),
    KEY("rope.scaling.yarn_beta_slow"),
    KEY("attention.compress_rope_freq_base"),
    KEY("expert_weights_scale"),
    KEY("attention.layer_norm_rms_epsilon"),
    KEY("expert_weights_norm"),
};
enum { N_REQUIRED = sizeof REQUIRED_KEYS / sizeof *REQUIRED_KEYS };

static void a_missing_key_is_named(void **state) {
    (void)state;
    for (size_t k = 0; k < N_REQUIRED; k++) {
        char expected[128];
        snprintf(expected, sizeof expected, "patched: %s: missing", REQUIRED_KEYS[k]);
        patch_key_name(&model, REQUIRED_KEYS[k]);
        assert_refused(expected);
        patch_key_name(&model, REQUIRED_KEYS[k]);
    }
    assert_accepted();
}

static void optional_keys_may_be_missing(void **state) {
    (void)state;
    patch_key_name(&model, KEY("context_length"));
    patch_key_name(&model, KEY("vocab_size"));
    patch_key_name(&model, KEY("expert_gating_func"));
    patch_key_name(&model, KEY("rope.scaling.type"));
    assert_accepted();
    patch_key_name(&model, "tokenizer.ggml.tokens");
    assert_refused("deepseek4.vocab_size: missing");
}

static void all_missing_keys_are_listed_together(void **state) {
    (void)state;
    for (size_t k = 0; k < N_REQUIRED; k++) patch_key_name(&model, REQUIRED_KEYS[k]);
    problem_list problems = {0};
    hyperparameters h;
    ds4_error error;
    gguf_file *file = patched_file_read(&model, NULL);
    assert_ok(hyperparameters_read(file, &problems, &h, &error), &error);
    /* Without the layers and the key length nobody can say what these should be. */
    assert_int_equal(problems.n, N_REQUIRED - 3);
    problem_list_deinit(&problems);
    gguf_close(file);
}

static void a_wrong_number_is_named_with_what_was_expected(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *expected;
    } cases[] = {
        {KEY("block_count"), 0, "deepseek4.block_count: 0, expected 1 to 1024"},
        {KEY("block_count"), 4000000000u, "deepseek4.block_count: 4000000000, expected 1 to 1024"},
        {KEY("block_count"), 9, "deepseek4.swiglu_clamp_exp: 8 entries, expected at least 9"},
        {KEY("block_count"), 10, "deepseek4.attention.compress_ratios: 9 entries, expected at least 10"},
        {KEY("embedding_length"), 0, "embedding_length: 0, expected 1 to"},
        {KEY("embedding_length"), 65537, "embedding_length: 65537, expected 1 to 65536"},
        {KEY("vocab_size"), 511, "vocab_size: 511, expected 512, the number of tokens"},
        {KEY("attention.head_count"), 5000, "attention.head_count: 5000, expected 1 to 4096"},
        {KEY("attention.head_count"), 3, "output_group_count: 2, expected a divisor of attention.head_count 3"},
        {KEY("attention.head_count_kv"), 2, "attention.head_count_kv: 2, expected 1"},
        {KEY("attention.value_length"), 128, "attention.value_length: 128, expected 256"},
        {KEY("rope.dimension_count"), 63, "rope.dimension_count: 63, expected an even number"},
        {KEY("rope.dimension_count"), 256, "rope.dimension_count: 256, expected less than attention.key_length 256"},
        {KEY("rope.dimension_count"), 62, "attention.key_length: 256, expected rope.dimension_count 62 plus"},
        {KEY("attention.indexer.key_length"), 96, "indexer.key_length: 96, expected a power of two"},
        {KEY("attention.indexer.key_length"), 32, "indexer.key_length: 32, expected at least rope.dimension_count"},
        {KEY("attention.sliding_window"), 0, "attention.sliding_window: 0, expected 1 to 65536"},
        {KEY("attention.indexer.top_k"), 0, "attention.indexer.top_k: 0, expected 1 to"},
        {KEY("hyper_connection.count"), 2, "hyper_connection.count: 2, expected 4"},
        {KEY("hyper_connection.sinkhorn_iterations"), 0, "sinkhorn_iterations: 0, expected 1 to"},
        {KEY("expert_used_count"), 17, "expert_used_count: 17, expected at most expert_count 16"},
        {KEY("expert_shared_count"), 2, "expert_shared_count: 2, expected 1"},
        {KEY("expert_gating_func"), 2, "expert_gating_func: 2, expected 4"},
        {KEY("hash_layer_count"), 9, "hash_layer_count: 9, expected at most block_count 8"},
        {KEY("rope.scaling.original_context_length"), 0, "original_context_length: 0, expected 1 to"},
        {KEY("context_length"), 0, "context_length: 0, expected 1 to"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const gguf_value *value = gguf_find(model.directory, cases[c].key);
        assert_non_null(value);
        patch_u32(&model, cases[c].key, cases[c].value);
        assert_refused(cases[c].expected);
        patch_u32(&model, cases[c].key, (uint32_t)value->u);
    }
    assert_accepted();
}

static void a_number_that_is_not_finite_or_not_positive_is_named(void **state) {
    (void)state;
    static const char *const keys[] = {KEY("attention.layer_norm_rms_epsilon"),
                                       KEY("hyper_connection.epsilon"),
                                       KEY("expert_weights_scale"),
                                       KEY("rope.freq_base"),
                                       KEY("attention.compress_rope_freq_base"),
                                       KEY("rope.scaling.factor"),
                                       KEY("rope.scaling.yarn_beta_fast"),
                                       KEY("rope.scaling.yarn_beta_slow")};
    const float wrong[] = {0.0f, -1.0f, INFINITY, -INFINITY, NAN};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        float right = (float)gguf_find(model.directory, keys[k])->f;
        for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
            patch_f32(&model, keys[k], wrong[w]);
            assert_refused(keys[k]);
            assert_refused("expected a finite number above");
        }
        patch_f32(&model, keys[k], right);
    }
    patch_f32(&model, KEY("rope.scaling.yarn_beta_slow"), 33.0f);
    assert_refused("yarn_beta_fast: 32, expected at least rope.scaling.yarn_beta_slow 33");
}

static void numbers_may_have_any_type_that_can_hold_them(void **state) {
    (void)state;
    patch_type(&model, KEY("block_count"), GGUF_I32);
    patch_type(&model, KEY("rope.freq_base"), GGUF_U32);
    patch_u32(&model, KEY("rope.freq_base"), 10000);
    patch_type(&model, KEY("rope.scaling.factor"), GGUF_I32);
    patch_u32(&model, KEY("rope.scaling.factor"), 16);
    assert_accepted();
    patch_u32(&model, KEY("block_count"), (uint32_t)-8);
    assert_refused("deepseek4.block_count: -8, expected 1 to 1024");
    patch_type(&model, KEY("block_count"), GGUF_F32);
    assert_refused("deepseek4.block_count: type f32, expected an integer");
}

static void wrong_strings_and_flags_are_named(void **state) {
    (void)state;
    patch_content(&model, KEY("rope.scaling.type"), "y\nrn", 4);
    assert_refused("rope.scaling.type: \"y?rn\", expected \"yarn\"");
    patch_content(&model, KEY("rope.scaling.type"), "yarn", 4);

    patch_type(&model, KEY("expert_weights_norm"), GGUF_U8);
    assert_refused("expert_weights_norm: expected true");
    patch_type(&model, KEY("expert_weights_norm"), GGUF_BOOL);
    patch_flag(&model, KEY("expert_weights_norm"), false);
    assert_refused("expert_weights_norm: expected true");
}

static void another_architecture_is_named_and_nothing_else(void **state) {
    (void)state;
    patch_content(&model, "general.architecture", "deepseek2", 9);
    assert_refused("general.architecture: \"deepseek2\", expected \"deepseek4\"");
    problem_list problems = {0};
    hyperparameters h;
    ds4_error error;
    gguf_file *file = patched_file_read(&model, NULL);
    assert_ok(hyperparameters_read(file, &problems, &h, &error), &error);
    assert_int_equal(problems.n, 1);
    problem_list_deinit(&problems);
    gguf_close(file);
}

static void wrong_ratios_and_limits_are_named_with_their_layer(void **state) {
    (void)state;
    const int32_t ratios[] = {0, 0, 4, 128, 8, 128, 4, 128};
    patch_content(&model, KEY("attention.compress_ratios"), ratios, sizeof ratios);
    assert_refused("deepseek4.attention.compress_ratios: 8 for layer 4, expected 0, 4 or 128");
    patch_content(&model, KEY("attention.compress_ratios"), (const int32_t[]){0, 0, 4, 128, 4}, 20);
    assert_accepted();
    patch_content(&model, KEY("swiglu_clamp_exp"), (const float[]){10, NAN}, 8);
    assert_refused("deepseek4.swiglu_clamp_exp: nan for layer 1, expected a finite number above 0");
}

/* ---- tensors that are wrong ---- */

static void a_missing_tensor_is_named(void **state) {
    (void)state;
    for (size_t t = 0; t < model.directory->n_tensors; t++) {
        char name[64], expected[96];
        snprintf(name, sizeof name, "%.*s", GGUF_STRING_ARGS(model.directory->tensors[t].name));
        snprintf(expected, sizeof expected, "patched: %s: missing", name);
        patch_tensor_name(&model, name);
        if (strstr(name, "exp_probs_b.bias"))
            assert_accepted();
        else
            assert_refused(expected);
        patch_tensor_name(&model, name);
    }
}

static void a_wrong_shape_is_named_with_both_shapes(void **state) {
    (void)state;
    for (size_t t = 0; t < model.directory->n_tensors; t++) {
        const gguf_tensor *tensor = &model.directory->tensors[t];
        char name[64], expected[96];
        uint32_t last = tensor->n_dims - 1;
        uint64_t size = tensor->ne[last];
        snprintf(name, sizeof name, "%.*s", GGUF_STRING_ARGS(tensor->name));
        snprintf(expected, sizeof expected, "patched: %s: shape [", name);
        patch_tensor_size(&model, name, last, size > 1 ? size - 1 : 2);
        assert_refused(expected);
        patch_tensor_size(&model, name, last, size);
    }
    patch_tensor_size(&model, "blk.7.attn_q_a.weight", 1, 128);
    assert_refused("patched: blk.7.attn_q_a.weight: shape [256, 128], expected [256, 256]");
}

static void sizes_of_one_behind_the_last_do_not_matter(void **state) {
    (void)state;
    hyperparameters h;
    model_weights weights;
    ds4_error error;
    gguf_file *file = patched_file_read(&model, NULL);
    assert_ok(hyperparameters_read(file, NULL, &h, &error), &error);
    for (size_t t = 0; t < file->n_tensors; t++) file->tensors[t].n_dims = 4;
    assert_ok(model_weights_read(file, &h, NULL, &weights, &error), &error);
    model_weights_deinit(&weights);
    file->tensors[4].ne[3] = 2;
    assert_int_equal(model_weights_read(file, &h, NULL, &weights, &error), DS4_ERROR_FORMAT);
    assert_contains(error.message, "output_norm.weight: shape [256, 1, 1, 2], expected [256]");
    model_weights_deinit(&weights);
    gguf_close(file);
}

static void a_wrong_type_is_named_with_those_that_work(void **state) {
    (void)state;
    patch_tensor_type(&model, "blk.3.attn_norm.weight", BLOCK_F16);
    assert_refused("patched: blk.3.attn_norm.weight: type F16, expected F32");
    patch_tensor_type(&model, "blk.3.attn_norm.weight", BLOCK_F32);

    patch_tensor_type(&model, "blk.2.indexer_compressor_ape.weight", BLOCK_Q8_0);
    assert_refused("blk.2.indexer_compressor_ape.weight: type Q8_0, expected one of F32, F16, BF16");
    patch_tensor_type(&model, "blk.2.indexer_compressor_ape.weight", BLOCK_F16);

    patch_tensor_type(&model, "blk.0.ffn_gate_tid2eid.weight", BLOCK_F32);
    assert_refused("blk.0.ffn_gate_tid2eid.weight: type F32, expected I32");
    patch_tensor_type(&model, "blk.0.ffn_gate_tid2eid.weight", BLOCK_I32);

    patch_tensor_type(&model, "blk.3.attn_q_a.weight", BLOCK_I32);
    assert_refused("blk.3.attn_q_a.weight: type I32, expected one of F32, F16, ");
    assert_refused(", MXFP4");
}

static void a_matrix_may_have_any_format_that_can_be_decoded(void **state) {
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        const block_format *format = block_format_find(type);
        if (!format || !format->decode) continue;
        patch_tensor_type(&model, "blk.3.attn_q_a.weight", type);
        patch_tensor_type(&model, "blk.3.ffn_gate_exps.weight", type);
        assert_accepted();
    }
}

static void an_expert_id_outside_the_experts_is_named(void **state) {
    (void)state;
    const int32_t wrong[] = {16, -1};
    patch_tensor_data(&model, "blk.1.ffn_gate_tid2eid.weight", 4 * (4 * 300 + 2), &wrong[0], 4);
    assert_refused("blk.1.ffn_gate_tid2eid.weight: expert 16 for token 300, expected 0 to 15");
    patch_tensor_data(&model, "blk.1.ffn_gate_tid2eid.weight", 4 * (4 * 300 + 2), &wrong[1], 4);
    assert_refused("blk.1.ffn_gate_tid2eid.weight: expert -1 for token 300, expected 0 to 15");
}

static void all_wrong_tensors_are_listed_together(void **state) {
    (void)state;
    patch_tensor_name(&model, "output.weight");
    patch_tensor_size(&model, "blk.4.attn_kv.weight", 1, 200);
    patch_tensor_type(&model, "blk.7.ffn_norm.weight", BLOCK_F16);
    patch_tensor_type(&model, "blk.0.attn_sinks.weight", 77);
    problem_list problems = {0};
    hyperparameters h;
    model_weights weights;
    ds4_error error;
    gguf_file *file = patched_file_read(&model, &problems);
    assert_ok(hyperparameters_read(file, &problems, &h, &error), &error);
    assert_ok(model_weights_read(file, &h, &problems, &weights, &error), &error);
    assert_int_equal(problems.n, 4);
    assert_contains(problems.text[0], "blk.0.attn_sinks.weight");
    assert_contains(problems.text[1], "output.weight: missing");
    assert_contains(problems.text[2], "blk.4.attn_kv.weight: shape [256, 200], expected [256, 256]");
    assert_contains(problems.text[3], "blk.7.ffn_norm.weight: type F16, expected F32");
    model_weights_deinit(&weights);
    problem_list_deinit(&problems);
    /* Even if the caller forgot what opening the file said. */
    assert_int_equal(model_weights_read(file, &h, NULL, &weights, &error), DS4_ERROR_FORMAT);
    model_weights_deinit(&weights);
    gguf_close(file);
}

static void a_wrong_key_does_not_hide_wrong_tensors_nor_invent_them(void **state) {
    (void)state;
    patch_u32(&model, KEY("attention.q_lora_rank"), 0);
    patch_tensor_name(&model, "blk.2.attn_q_b.weight");
    problem_list problems = {0};
    hyperparameters h;
    model_weights weights;
    ds4_error error;
    gguf_file *file = patched_file_read(&model, &problems);
    assert_ok(hyperparameters_read(file, &problems, &h, &error), &error);
    assert_ok(model_weights_read(file, &h, &problems, &weights, &error), &error);
    assert_int_equal(problems.n, 2);
    assert_contains(problems.text[0], "attention.q_lora_rank");
    assert_contains(problems.text[1], "blk.2.attn_q_b.weight: missing");
    model_weights_deinit(&weights);
    problem_list_deinit(&problems);
    gguf_close(file);
}

/* ---- the prediction block ---- */

static ds4_status read_mtp(mtp_weights *weights, ds4_error *error) {
    hyperparameters h;
    gguf_file *file = patched_file_read(&mtp, NULL);
    ds4_status status = hyperparameters_read(file, NULL, &h, error);
    if (status == DS4_OK) status = mtp_weights_read(file, &h, NULL, weights, error);
    gguf_close(file);
    return status;
}

static void a_prediction_block_has_every_tensor(void **state) {
    (void)state;
    mtp_weights weights;
    ds4_error error;
    assert_ok(read_mtp(&weights, &error), &error);
    assert_int_equal(weights.layer.ratio, 0);
    assert_int_equal(weights.layer.index, 8);
    assert_true(weights.layer.swiglu_limit == 10.0f);
    assert_non_null(weights.layer.router_bias);
    assert_null(weights.layer.expert_ids);
    for (size_t t = 0; t < mtp.directory->n_tensors; t++) {
        char name[64], expected[96];
        snprintf(name, sizeof name, "%.*s", GGUF_STRING_ARGS(mtp.directory->tensors[t].name));
        snprintf(expected, sizeof expected, "patched: %s: missing", name);
        patch_tensor_name(&mtp, name);
        assert_int_equal(read_mtp(&weights, &error), DS4_ERROR_FORMAT);
        assert_contains(error.message, expected);
        patch_tensor_name(&mtp, name);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, save_files, restore_files)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_tiny_models_are_the_known_ones),
        TEST(every_tiny_model_opens),
        TEST(a_model_opened_for_text_has_a_tokenizer_only),
        TEST(a_vocabulary_opens_for_text_and_not_in_full),
        TEST(a_model_in_memory_is_the_same_as_in_a_file),
        TEST(memory_that_is_cut_off_or_not_aligned_is_refused),
        TEST(hyperparameters_are_those_of_the_file),
        TEST(layers_have_the_tensors_of_their_kind),
        TEST(a_missing_key_is_named),
        TEST(optional_keys_may_be_missing),
        TEST(all_missing_keys_are_listed_together),
        TEST(a_wrong_number_is_named_with_what_was_expected),
        TEST(a_number_that_is_not_finite_or_not_positive_is_named),
        TEST(numbers_may_have_any_type_that_can_hold_them),
        TEST(wrong_strings_and_flags_are_named),
        TEST(another_architecture_is_named_and_nothing_else),
        TEST(wrong_ratios_and_limits_are_named_with_their_layer),
        TEST(a_missing_tensor_is_named),
        TEST(a_wrong_shape_is_named_with_both_shapes),
        TEST(sizes_of_one_behind_the_last_do_not_matter),
        TEST(a_wrong_type_is_named_with_those_that_work),
        TEST(a_matrix_may_have_any_format_that_can_be_decoded),
        TEST(an_expert_id_outside_the_experts_is_named),
        TEST(all_wrong_tensors_are_listed_together),
        TEST(a_wrong_key_does_not_hide_wrong_tensors_nor_invent_them),
        TEST(a_prediction_block_has_every_tensor),
    };
    return cmocka_run_group_tests(tests, open_files, close_files);
}
