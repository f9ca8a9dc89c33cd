#include "support/tiny_model.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "model/model_output.h"
#include "support/tiny_weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TINY_A                                                                                                    \
    .width = 256, .n_vocab = 512, .n_heads = 4, .head_dim = 256, .q_rank = 256, .n_groups = 2, .group_rank = 128, \
    .n_experts = 16, .n_experts_used = 4, .expert_width = 256, .n_hash_layers = 3, .n_index_heads = 16,           \
    .index_top_k = 16, .expert_scale = 1.5f, .n_layers = 8, .ratio = {0, 0, 4, 128, 4, 128, 4, 128}

static const tiny_config configs[] = {
    {.name = "tiny-a-f",
     .sha256 = "3a3a20ca89655f894d215a5a15d8add95105cb93de85be836ac5a14298a21b67",
     .mtp_sha256 = "3a2e782123dcce031fb515f7d69efcbc7960053385fd7e63950f70275fa697f2",
     .seed = 101,
     .flavour = TINY_FLOAT,
     TINY_A},
    {.name = "tiny-a-q2",
     .sha256 = "88a77f894c2d998946af3467feb677e2c032c9cfda6783fcbfb249e93d340286",
     .mtp_sha256 = "793664c4785d7dd8b1f1681fd0104a110bfc97aeef2653d974c235111ada433a",
     .seed = 102,
     .flavour = TINY_Q2,
     TINY_A},
    {.name = "tiny-a-q4",
     .sha256 = "7c95eb7739f1816e7d3a8a20a5a57be49e90304f8371a844067f3bd145cae32e",
     .mtp_sha256 = "e77018512503fb7b93254186c0577032706437725755558108aea4f57edf2222",
     .seed = 103,
     .flavour = TINY_Q4,
     TINY_A},
    {.name = "tiny-b-q2",
     .sha256 = "99e96849bff3ad2b2406192f2757c1f9825ac4503e547a9aaa229425a4cf3ed3",
     .mtp_sha256 = "c01c6b7d35f1234834ee89674eca9d54ca1bdc9fc59a507f8a439e70f9c23c70",
     .seed = 104,
     .flavour = TINY_Q2,
     .width = 512,
     .n_vocab = 384,
     .n_heads = 8,
     .head_dim = 256,
     .q_rank = 256,
     .n_groups = 4,
     .group_rank = 128,
     .n_experts = 8,
     .n_experts_used = 2,
     .expert_width = 256,
     .n_hash_layers = 2,
     .n_index_heads = 16,
     .index_top_k = 8,
     .expert_scale = 2.5f,
     .n_layers = 6,
     .ratio = {0, 0, 4, 128, 4, 128}},
    {.name = "tiny-c-f",
     .sha256 = "23631ebbd507771cc407cf70077ed0bed024f94b92d9b921e2f06aab2c17f1b5",
     .seed = 105,
     .flavour = TINY_FLOAT,
     .width = 288,
     .n_vocab = 301,
     .n_heads = 9,
     .head_dim = 512,
     .q_rank = 90,
     .n_groups = 3,
     .group_rank = 37,
     .n_experts = 40,
     .n_experts_used = 6,
     .expert_width = 75,
     .n_hash_layers = 0,
     .n_index_heads = 44,
     .index_top_k = 160,
     .expert_scale = 1.5f,
     .n_layers = 3,
     .ratio = {4, 128, 4}},
};

enum { N_CONFIGS = sizeof configs / sizeof configs[0] };

static const tiny_config *find_config(const char *name) {
    for (size_t c = 0; c < N_CONFIGS; c++)
        if (strcmp(configs[c].name, name) == 0) return &configs[c];
    return NULL;
}

/* ---- metadata ---- */

static void put_attention_keys(model_output *to, const tiny_config *c) {
    put_u32(to, KEY("attention.head_count"), c->n_heads);
    put_u32(to, KEY("attention.head_count_kv"), 1);
    put_u32(to, KEY("attention.key_length"), c->head_dim);
    put_u32(to, KEY("attention.value_length"), c->head_dim);
    put_u32(to, KEY("attention.q_lora_rank"), c->q_rank);
    put_u32(to, KEY("attention.output_lora_rank"), c->group_rank);
    put_u32(to, KEY("attention.output_group_count"), c->n_groups);
    put_u32(to, KEY("attention.sliding_window"), 128);
    put_f32(to, KEY("attention.layer_norm_rms_epsilon"), 1e-6f);
    put_u32(to, KEY("attention.indexer.head_count"), c->n_index_heads);
    put_u32(to, KEY("attention.indexer.key_length"), TINY_INDEX_DIM);
    put_u32(to, KEY("attention.indexer.top_k"), c->index_top_k);
    put_array(to, KEY("attention.compress_ratios"), GGUF_I32, c->ratio, c->n_layers + 1);
    put_f32(to, KEY("attention.compress_rope_freq_base"), 160000.0f);
    put_u32(to, KEY("rope.dimension_count"), TINY_ROTARY);
    put_f32(to, KEY("rope.freq_base"), 10000.0f);
    put_string(to, KEY("rope.scaling.type"), "yarn");
    put_f32(to, KEY("rope.scaling.factor"), 16.0f);
    put_u32(to, KEY("rope.scaling.original_context_length"), 65536);
    put_f32(to, KEY("rope.scaling.yarn_beta_fast"), 32.0f);
    put_f32(to, KEY("rope.scaling.yarn_beta_slow"), 1.0f);
}

static void put_expert_keys(model_output *to, const tiny_config *c) {
    float limit[TINY_MAX_LAYERS];
    for (uint32_t l = 0; l < c->n_layers; l++) limit[l] = 10.0f;
    put_u32(to, KEY("hyper_connection.count"), TINY_STREAMS);
    put_u32(to, KEY("hyper_connection.sinkhorn_iterations"), 20);
    put_f32(to, KEY("hyper_connection.epsilon"), 1e-6f);
    put_u32(to, KEY("expert_count"), c->n_experts);
    put_u32(to, KEY("expert_used_count"), c->n_experts_used);
    put_u32(to, KEY("expert_shared_count"), 1);
    put_u32(to, KEY("expert_feed_forward_length"), c->expert_width);
    put_f32(to, KEY("expert_weights_scale"), c->expert_scale);
    put_bool(to, KEY("expert_weights_norm"), true);
    put_u32(to, KEY("expert_gating_func"), 4);
    put_u32(to, KEY("hash_layer_count"), c->n_hash_layers);
    put_array(to, KEY("swiglu_clamp_exp"), GGUF_F32, limit, c->n_layers);
}

/* ---- vocabulary: the control tokens, a token for every byte, fillers ---- */

static const char *const control_tokens[] = {"<｜begin▁of▁sentence｜>",
                                             "<｜end▁of▁sentence｜>",
                                             "<｜▁pad▁｜>",
                                             "<｜User｜>",
                                             "<｜Assistant｜>",
                                             "<think>",
                                             "</think>",
                                             "｜DSML｜"};

enum { N_CONTROL = sizeof control_tokens / sizeof control_tokens[0], MAX_VOCAB = 512, TOKEN_BYTES = 48 };

/* Byte-level vocabularies write printable bytes as themselves, others as characters from U+0100 on. */
static uint32_t symbol_of_byte(uint32_t byte) {
    uint32_t n_unprintable = 0;
    for (uint32_t b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b < 127) || (b >= 161 && b < 173) || b >= 174;
        if (b == byte) return printable ? b : 256 + n_unprintable;
        if (!printable) n_unprintable++;
    }
    return 0;
}

static void put_vocabulary(model_output *to, const tiny_config *c) {
    static char text[MAX_VOCAB][TOKEN_BYTES];
    const char *token[MAX_VOCAB];
    int32_t type[MAX_VOCAB];
    for (uint32_t id = 0; id < c->n_vocab; id++) {
        if (id < N_CONTROL)
            snprintf(text[id], TOKEN_BYTES, "%s", control_tokens[id]);
        else if (id < N_CONTROL + 256)
            text[id][utf8_encode(symbol_of_byte(id - N_CONTROL), text[id])] = '\0';
        else
            snprintf(text[id], TOKEN_BYTES, "<filler_%u>", (unsigned)(id - N_CONTROL - 256));
        token[id] = text[id];
        type[id] = id < N_CONTROL ? 3 : 1;
    }
    put_string(to, "tokenizer.ggml.model", "gpt2");
    put_string(to, "tokenizer.ggml.pre", "joyai-llm");
    put_strings(to, "tokenizer.ggml.tokens", token, c->n_vocab);
    put_array(to, "tokenizer.ggml.token_type", GGUF_I32, type, c->n_vocab);
    put_strings(to, "tokenizer.ggml.merges", NULL, 0);
    put_u32(to, "tokenizer.ggml.bos_token_id", 0);
    put_u32(to, "tokenizer.ggml.eos_token_id", 1);
}

static void put_metadata(model_output *to, const tiny_config *c, bool mtp) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", c->name, mtp ? "-mtp" : "");
    put_string(to, "general.architecture", "deepseek4");
    put_string(to, "general.name", name);
    put_u32(to, "general.alignment", 32);
    put_u32(to, KEY("block_count"), c->n_layers);
    put_u32(to, KEY("context_length"), 1048576);
    put_u32(to, KEY("embedding_length"), c->width);
    put_u32(to, KEY("vocab_size"), c->n_vocab);
    put_attention_keys(to, c);
    put_expert_keys(to, c);
    if (!mtp) put_vocabulary(to, c);
}

/* ---- the file ---- */

static void put_tensors(model_output *to, const tiny_config *c, const tiny_tensors *list) {
    for (size_t t = 0; t < list->n && to->status == DS4_OK; t++) {
        const tiny_tensor *tensor = &list->tensor[t];
        to->status =
            gguf_writer_add_tensor(to->writer, tensor->name, tensor->type, tensor->n_dims, tensor->ne, to->error);
    }
    ds4_buffer data = {0};
    for (size_t t = 0; t < list->n && to->status == DS4_OK; t++)
        if (tiny_tensor_data(c, &list->tensor[t], &data))
            to->status = gguf_writer_data(to->writer, data.data, data.n_bytes, to->error);
        else
            to->status = error_memory(to->error, list->tensor[t].name, data.n_bytes);
    ds4_buffer_deinit(&data);
}

ds4_status tiny_model_write(const char *name, bool mtp, const char *path, ds4_error *error) {
    const tiny_config *config = find_config(name);
    if (!config) return error_set(error, DS4_ERROR_ARGUMENT, "%s: no such tiny model", name);
    tiny_tensors list = {0};
    model_output to = {.error = error};
    to.status = gguf_writer_new(path, &to.writer, error);
    if (to.status == DS4_OK && !tiny_tensors_list(config, mtp, &list))
        to.status = error_memory(error, path, sizeof(tiny_tensor));
    put_metadata(&to, config, mtp);
    put_tensors(&to, config, &list);
    if (to.status == DS4_OK) to.status = gguf_writer_finish(to.writer, error);
    gguf_writer_free(to.writer);
    free(list.tensor);
    return to.status;
}

static _Noreturn void give_up(const char *path, const char *why) {
    fprintf(stderr, "tiny model %s: %s\n", path, why);
    exit(1);
}

/* Several test programs may make the same file at the same time: each writes its own and renames it. */
static void make_file(const tiny_config *config, bool mtp, const char *path, const char *expected) {
    char sha[SHA256_HEX_BYTES];
    if (sha256_file_hex(path, sha) && strcmp(sha, expected) == 0) return;
    if ((mkdir("build", 0777) != 0 && errno != EEXIST) || (mkdir("build/tiny", 0777) != 0 && errno != EEXIST))
        give_up(path, strerror(errno));
    ds4_error error;
    if (tiny_model_write(config->name, mtp, path, &error) != DS4_OK) give_up(path, error.message);
    if (!sha256_file_hex(path, sha)) give_up(path, "cannot be read");
    if (strcmp(sha, expected) != 0) {
        fprintf(stderr, "tiny model %s: SHA-256 %s, expected %s\n", path, sha, expected);
        exit(1);
    }
}

static const char *path_of(const char *name, bool mtp) {
    static char path[N_CONFIGS][2][64]; /* "" until the file was looked at */
    const tiny_config *config = find_config(name);
    if (!config) give_up(name, "no such model");
    char *known = path[config - configs][mtp];
    if (!known[0]) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "build/tiny/%s%s.gguf", name, mtp ? "-mtp" : "");
        make_file(config, mtp, wanted, mtp ? config->mtp_sha256 : config->sha256);
        strcpy(known, wanted);
    }
    return known;
}

const char *tiny_model_path(const char *name) {
    return path_of(name, false);
}

const char *tiny_model_mtp_path(const char *name) {
    return path_of(name, true);
}
