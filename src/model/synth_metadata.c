/* Metadata of a synthetic model: the keys of the published files, and a vocabulary of their size. */
#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "model/model_output.h"
#include "model/synth_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- hyperparameters ---- */

static void put_attention(model_output *to, const hyperparameters *h) {
    put_u32(to, KEY("attention.head_count"), (uint32_t)h->n_heads);
    put_u32(to, KEY("attention.head_count_kv"), 1);
    put_u32(to, KEY("attention.key_length"), (uint32_t)h->head_dim);
    put_u32(to, KEY("attention.value_length"), (uint32_t)h->head_dim);
    put_u32(to, KEY("attention.q_lora_rank"), (uint32_t)h->q_rank);
    put_u32(to, KEY("attention.output_lora_rank"), (uint32_t)h->group_rank);
    put_u32(to, KEY("attention.output_group_count"), (uint32_t)h->n_groups);
    put_u32(to, KEY("attention.sliding_window"), (uint32_t)h->window);
    put_f32(to, KEY("attention.layer_norm_rms_epsilon"), h->rms_epsilon);
    put_u32(to, KEY("attention.indexer.head_count"), (uint32_t)h->n_index_heads);
    put_u32(to, KEY("attention.indexer.key_length"), (uint32_t)h->index_dim);
    put_u32(to, KEY("attention.indexer.top_k"), (uint32_t)h->index_top_k);
    put_f32(to, KEY("attention.compress_rope_freq_base"), h->compressed_rope_base);
    put_u32(to, KEY("rope.dimension_count"), (uint32_t)h->rotary_dim);
    put_f32(to, KEY("rope.freq_base"), h->rope_base);
    put_string(to, KEY("rope.scaling.type"), "yarn");
    put_f32(to, KEY("rope.scaling.factor"), h->yarn_factor);
    put_u32(to, KEY("rope.scaling.original_context_length"), (uint32_t)h->yarn_original_context);
    put_f32(to, KEY("rope.scaling.yarn_beta_fast"), h->yarn_beta_fast);
    put_f32(to, KEY("rope.scaling.yarn_beta_slow"), h->yarn_beta_slow);
}

static void put_feed_forward(model_output *to, const hyperparameters *h) {
    put_u32(to, KEY("hyper_connection.count"), MODEL_STREAMS);
    put_u32(to, KEY("hyper_connection.sinkhorn_iterations"), (uint32_t)h->sinkhorn_iterations);
    put_f32(to, KEY("hyper_connection.epsilon"), h->hyper_epsilon);
    put_u32(to, KEY("expert_count"), (uint32_t)h->n_experts);
    put_u32(to, KEY("expert_used_count"), (uint32_t)h->n_experts_used);
    put_u32(to, KEY("expert_shared_count"), 1);
    put_u32(to, KEY("expert_group_count"), 0);
    put_u32(to, KEY("expert_group_used_count"), 0);
    put_u32(to, KEY("expert_feed_forward_length"), (uint32_t)h->expert_width);
    put_f32(to, KEY("expert_weights_scale"), h->expert_scale);
    put_bool(to, KEY("expert_weights_norm"), true);
    put_u32(to, KEY("expert_gating_func"), 4); /* square root of softplus; other programs insist on the key */
    put_u32(to, KEY("hash_layer_count"), (uint32_t)h->n_hash_layers);
}

static void put_layers(model_output *to, const hyperparameters *h) {
    size_t n_layers = (size_t)h->n_layers;
    int32_t *ratio = array_new(n_layers + 1, sizeof *ratio); /* one behind the last: the prediction block's 0 */
    float *limit = array_new(n_layers, sizeof *limit);
    if (!ratio || !limit) {
        to->status = error_memory(to->error, "metadata", n_layers * sizeof *ratio);
    } else {
        for (size_t l = 0; l < n_layers; l++) {
            ratio[l] = h->ratio[l];
            limit[l] = h->swiglu_limit[l];
        }
        put_array(to, KEY("attention.compress_ratios"), GGUF_I32, ratio, n_layers + 1);
        put_array(to, KEY("swiglu_clamp_exp"), GGUF_F32, limit, n_layers);
    }
    free(ratio);
    free(limit);
}

/* ---- vocabulary ----
 *
 * Three control tokens, a token for every byte, the tokens that merges make (two lower-case letters, a space and a
 * letter: ordinary text becomes somewhat fewer tokens than bytes), fillers, and the other control tokens at their
 * published places, counted from the end.
 */

enum { TOKEN_BYTES = 48, N_BYTES = 256, N_LETTERS = 26, N_MERGES = (N_LETTERS + 1) * N_LETTERS, N_FIRST = 3 };
enum { PUBLISHED_TOKENS = 129280, NORMAL = 1, CONTROL = 3 };

typedef struct control_place {
    const char *name;
    size_t id; /* in the published vocabulary */
} control_place;

static const control_place control_places[] = {
    {"<｜begin▁of▁sentence｜>", 0}, {"<｜end▁of▁sentence｜>", 1}, {"<｜▁pad▁｜>", 2},
    {"<｜User｜>", 128803},         {"<｜Assistant｜>", 128804},  {"<think>", 128821},
    {"</think>", 128822},           {"｜DSML｜", 128825},         {"<｜latest_reminder｜>", 128828},
    {"<｜action｜>", 128829},       {"<｜query｜>", 128830},      {"<｜authority｜>", 128831},
    {"<｜domain｜>", 128832},       {"<｜title｜>", 128836},      {"<｜read_url｜>", 128845},
};
enum { N_CONTROL = sizeof control_places / sizeof *control_places };

typedef struct vocabulary {
    char (*text)[TOKEN_BYTES]; /* [n_tokens] */
    const char **token;        /* [n_tokens], into text */
    int32_t *type;             /* [n_tokens] */
    size_t n_tokens, n_named;
    char merge_text[N_MERGES][8];
    const char *merge[N_MERGES];
} vocabulary;

/* Byte-level vocabularies write printable bytes as themselves, others as characters from U+0100 on. */
static uint32_t symbol_of_byte(uint32_t byte) {
    uint32_t n_unprintable = 0;
    for (uint32_t b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b < 127) || (b >= 161 && b < 173) || b >= 174;
        if (b == byte) return printable ? b : N_BYTES + n_unprintable;
        if (!printable) n_unprintable++;
    }
    return 0;
}

static void add_merge(vocabulary *v, size_t rank, uint32_t left, uint32_t right) {
    char first[5] = "", second[5] = "";
    utf8_encode(symbol_of_byte(left), first);
    utf8_encode(symbol_of_byte(right), second);
    snprintf(v->merge_text[rank], sizeof *v->merge_text, "%s %s", first, second);
    v->merge[rank] = v->merge_text[rank];
    snprintf(v->text[v->n_named++], TOKEN_BYTES, "%s%s", first, second);
}

static void name_tokens(vocabulary *v) {
    v->n_named = N_FIRST;
    for (uint32_t byte = 0; byte < N_BYTES; byte++) utf8_encode(symbol_of_byte(byte), v->text[v->n_named++]);
    size_t rank = 0;
    for (uint32_t left = 0; left <= N_LETTERS; left++)
        for (uint32_t right = 0; right < N_LETTERS; right++)
            add_merge(v, rank++, left < N_LETTERS ? 'a' + left : ' ', 'a' + right);
    for (size_t id = v->n_named; id < v->n_tokens; id++) snprintf(v->text[id], TOKEN_BYTES, "<filler_%zu>", id);
    for (size_t id = 0; id < v->n_tokens; id++) {
        v->token[id] = v->text[id];
        v->type[id] = NORMAL;
    }
    for (size_t c = 0; c < N_CONTROL; c++) {
        size_t id = control_places[c].id;
        if (id >= N_FIRST) id = v->n_tokens - (PUBLISHED_TOKENS - id);
        snprintf(v->text[id], TOKEN_BYTES, "%s", control_places[c].name);
        v->type[id] = CONTROL;
    }
}

static ds4_status check_vocabulary_size(size_t n_tokens, ds4_error *error) {
    size_t least = N_FIRST + N_BYTES + N_MERGES + PUBLISHED_TOKENS - control_places[N_FIRST].id;
    if (n_tokens >= least) return DS4_OK;
    return error_set(error, DS4_ERROR_ARGUMENT, "vocabulary: %zu tokens, expected at least %zu", n_tokens, least);
}

static void put_vocabulary(model_output *to, size_t n_tokens) {
    vocabulary *v = array_new(1, sizeof *v);
    if (v) {
        v->n_tokens = n_tokens;
        v->text = array_new(n_tokens, TOKEN_BYTES);
        v->token = array_new(n_tokens, sizeof *v->token);
        v->type = array_new(n_tokens, sizeof *v->type);
    }
    if (!v || !v->text || !v->token || !v->type) {
        to->status = error_memory(to->error, "vocabulary", n_tokens * TOKEN_BYTES);
    } else {
        name_tokens(v);
        put_string(to, "tokenizer.ggml.model", "gpt2");
        put_string(to, "tokenizer.ggml.pre", "joyai-llm");
        put_strings(to, "tokenizer.ggml.tokens", v->token, n_tokens);
        put_array(to, "tokenizer.ggml.token_type", GGUF_I32, v->type, n_tokens);
        put_strings(to, "tokenizer.ggml.merges", v->merge, N_MERGES);
        put_u32(to, "tokenizer.ggml.bos_token_id", 0);
        put_u32(to, "tokenizer.ggml.eos_token_id", 1);
        put_u32(to, "tokenizer.ggml.padding_token_id", 2);
    }
    if (v) {
        free(v->text);
        free(v->token);
        free(v->type);
    }
    free(v);
}

ds4_status synth_add_metadata(gguf_writer *writer, const hyperparameters *h, ds4_error *error) {
    model_output to = {.writer = writer, .error = error};
    to.status = check_vocabulary_size((size_t)h->n_vocab, error);
    put_string(&to, "general.architecture", "deepseek4");
    put_string(&to, "general.name", "DeepSeek V4 Flash, synthetic");
    put_string(&to, "general.description", "pseudo-random weights of the published shape, to measure and to test");
    put_u32(&to, "general.alignment", 32);
    put_u32(&to, "general.quantization_version", 2);
    put_u32(&to, KEY("block_count"), (uint32_t)h->n_layers);
    put_u32(&to, KEY("context_length"), (uint32_t)h->max_context);
    put_u32(&to, KEY("embedding_length"), (uint32_t)h->width);
    put_u32(&to, KEY("vocab_size"), (uint32_t)h->n_vocab);
    put_attention(&to, h);
    put_feed_forward(&to, h);
    if (to.status == DS4_OK) put_layers(&to, h);
    if (to.status == DS4_OK) put_vocabulary(&to, (size_t)h->n_vocab);
    return to.status;
}
