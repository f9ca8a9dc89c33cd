#include "support/flash_model.h"

#include "base/half.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "support/model_output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_LAYERS = 8, REPEATED = 4, N_NORMAL = 1 << 16 };

/* ---- random numbers: splitmix64 ---- */

static uint64_t next_word(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t seed_of(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

static double next_uniform(uint64_t *state, double low, double high) {
    return low + (high - low) * (double)(next_word(state) >> 11) * 0x1p-53;
}

/* Nearly normal with variance 1: the sum of four uniform numbers. */
static double next_normal(uint64_t *state) {
    uint64_t u = next_word(state);
    double sum = (double)(u & 0xffff) + (double)(u >> 16 & 0xffff) + (double)(u >> 32 & 0xffff) + (double)(u >> 48);
    return (sum - 131070.0) / 37837.22680688906;
}

/* ---- filling, fast: numbers are taken from tables of random ones ---- */

static void fill_f16(uint64_t *state, const tiny_tensor *tensor, uint16_t *out, size_t n) {
    static uint16_t table[N_NORMAL];
    for (size_t i = 0; i < N_NORMAL; i++)
        table[i] = half_from_float((float)(tensor->a + tensor->b * next_normal(state)));
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) {
        word = i % 4 ? word >> 16 : next_word(state);
        out[i] = table[word & (N_NORMAL - 1)];
    }
}

static void fill_f32(uint64_t *state, const tiny_tensor *tensor, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) switch (tensor->fill) {
        case TINY_UNIFORM: out[i] = (float)next_uniform(state, tensor->a, tensor->b); break;
        case TINY_HYPER_BASE: {
            double z = 0.5 * next_normal(state);
            size_t entry = i - 2 * TINY_STREAMS;
            if (n > TINY_STREAMS && i >= 2 * TINY_STREAMS)
                z = 2 * z + (entry / TINY_STREAMS == entry % TINY_STREAMS ? 1.0 : 0.0);
            out[i] = (float)z;
            break;
        }
        default: out[i] = (float)(tensor->a + tensor->b * next_normal(state));
        }
}

/* Distinct ones, as the number of experts is a power of two and the stride odd. */
static void fill_expert_ids(uint64_t *state, const tiny_tensor *tensor, uint32_t n_experts, int32_t *out) {
    for (size_t token = 0; token < tensor->ne[1]; token++) {
        uint64_t word = next_word(state), stride = word >> 32 | 1;
        for (size_t k = 0; k < tensor->ne[0]; k++)
            out[token * tensor->ne[0] + k] = (int32_t)((word + k * stride) % n_experts);
    }
}

/* Random bits with scales that give about the wanted deviation: see tiny_weights.c. */
static void fill_blocks(uint64_t *state, const tiny_tensor *tensor, const block_format *format, uint8_t *out,
                        size_t n_bytes) {
    enum { N_SCALES = 256 };
    uint16_t scale[N_SCALES], minimum[N_SCALES];
    size_t scale_at = 0, minimum_at = 0;
    double divisor = 47.0, ratio = 0;
    if (tensor->type == BLOCK_Q8_0) divisor = 73.3;
    if (tensor->type == BLOCK_Q2_K) divisor = 13.9, ratio = 1.5, scale_at = 80, minimum_at = 82;
    if (tensor->type == BLOCK_Q4_K) divisor = 258.0, ratio = 7.5, minimum_at = 2;
    for (int i = 0; i < N_SCALES; i++) {
        double d = next_uniform(state, 0.75, 1.25) * tensor->b / divisor;
        scale[i] = half_from_float((float)d);
        minimum[i] = half_from_float((float)(ratio * d * next_uniform(state, 0.85, 1.15)));
    }
    for (size_t at = 0; at + 8 <= n_bytes; at += 8) {
        uint64_t word = next_word(state);
        memcpy(out + at, &word, 8);
    }
    for (size_t at = n_bytes / 8 * 8; at < n_bytes; at++) out[at] = (uint8_t)next_word(state);
    for (size_t at = 0; at < n_bytes; at += format->n_bytes) {
        size_t i = next_word(state) % N_SCALES;
        memcpy(out + at + scale_at, &scale[i], 2);
        if (ratio != 0) memcpy(out + at + minimum_at, &minimum[i], 2);
    }
}

/* ---- metadata ---- */

static void put_shape(model_output *to, const hyperparameters *h) {
    int32_t ratio[64];
    float limit[64];
    for (int l = 0; l < h->n_layers; l++) {
        ratio[l] = h->ratio[l];
        limit[l] = h->swiglu_limit[l];
    }
    ratio[h->n_layers] = 0; /* the prediction block's */
    put_string(to, "general.architecture", "deepseek4");
    put_string(to, "general.name", "random weights");
    put_u32(to, "general.alignment", 32);
    put_u32(to, KEY("block_count"), (uint32_t)h->n_layers);
    put_u32(to, KEY("context_length"), (uint32_t)h->max_context);
    put_u32(to, KEY("embedding_length"), (uint32_t)h->width);
    put_u32(to, KEY("vocab_size"), (uint32_t)h->n_vocab);
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
    put_array(to, KEY("attention.compress_ratios"), GGUF_I32, ratio, (size_t)h->n_layers + 1);
    put_f32(to, KEY("attention.compress_rope_freq_base"), h->compressed_rope_base);
    put_u32(to, KEY("rope.dimension_count"), (uint32_t)h->rotary_dim);
    put_f32(to, KEY("rope.freq_base"), h->rope_base);
    put_string(to, KEY("rope.scaling.type"), "yarn");
    put_f32(to, KEY("rope.scaling.factor"), h->yarn_factor);
    put_u32(to, KEY("rope.scaling.original_context_length"), (uint32_t)h->yarn_original_context);
    put_f32(to, KEY("rope.scaling.yarn_beta_fast"), h->yarn_beta_fast);
    put_f32(to, KEY("rope.scaling.yarn_beta_slow"), h->yarn_beta_slow);
    put_u32(to, KEY("hyper_connection.count"), MODEL_STREAMS);
    put_u32(to, KEY("hyper_connection.sinkhorn_iterations"), (uint32_t)h->sinkhorn_iterations);
    put_f32(to, KEY("hyper_connection.epsilon"), h->hyper_epsilon);
    put_u32(to, KEY("expert_count"), (uint32_t)h->n_experts);
    put_u32(to, KEY("expert_used_count"), (uint32_t)h->n_experts_used);
    put_u32(to, KEY("expert_shared_count"), 1);
    put_u32(to, KEY("expert_feed_forward_length"), (uint32_t)h->expert_width);
    put_f32(to, KEY("expert_weights_scale"), h->expert_scale);
    if (to->status == DS4_OK)
        to->status = gguf_writer_add_bool(to->writer, KEY("expert_weights_norm"), true, to->error);
    put_u32(to, KEY("expert_gating_func"), 4);
    put_u32(to, KEY("hash_layer_count"), (uint32_t)h->n_hash_layers);
    put_array(to, KEY("swiglu_clamp_exp"), GGUF_F32, limit, (size_t)h->n_layers);
}

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

/* Control tokens, a token for every byte, fillers. */
static void put_vocabulary(model_output *to, size_t n_vocab) {
    enum { TEXT_BYTES = 32 };
    static const char *const control[] = {"<｜begin▁of▁sentence｜>",
                                          "<｜end▁of▁sentence｜>",
                                          "<｜▁pad▁｜>",
                                          "<｜User｜>",
                                          "<｜Assistant｜>",
                                          "<think>",
                                          "</think>",
                                          "｜DSML｜"};
    enum { N_CONTROL = sizeof control / sizeof *control };
    char(*text)[TEXT_BYTES] = array_new(n_vocab, TEXT_BYTES);
    const char **token = array_new(n_vocab, sizeof *token);
    int32_t *type = array_new(n_vocab, sizeof *type);
    if (!text || !token || !type) {
        to->status = error_memory(to->error, "vocabulary", n_vocab * TEXT_BYTES);
    } else {
        for (size_t id = 0; id < n_vocab; id++) {
            snprintf(text[id], TEXT_BYTES, "<filler_%zu>", id);
            if (id >= N_CONTROL && id < N_CONTROL + 256)
                text[id][utf8_encode(symbol_of_byte((uint32_t)(id - N_CONTROL)), text[id])] = '\0';
            token[id] = id < N_CONTROL ? control[id] : text[id];
            type[id] = id < N_CONTROL ? 3 : 1;
        }
        put_string(to, "tokenizer.ggml.model", "gpt2");
        put_string(to, "tokenizer.ggml.pre", "joyai-llm");
        if (to->status == DS4_OK)
            to->status = gguf_writer_add_strings(to->writer, "tokenizer.ggml.tokens", token, n_vocab, to->error);
        put_array(to, "tokenizer.ggml.token_type", GGUF_I32, type, n_vocab);
        if (to->status == DS4_OK)
            to->status = gguf_writer_add_strings(to->writer, "tokenizer.ggml.merges", NULL, 0, to->error);
        put_u32(to, "tokenizer.ggml.bos_token_id", 0);
        put_u32(to, "tokenizer.ggml.eos_token_id", 1);
    }
    free(text);
    free(token);
    free(type);
}

/* ---- the file ---- */

static tiny_config config_of(const hyperparameters *h, tiny_flavour flavour) {
    tiny_config config = {.name = "flash",
                          .flavour = flavour,
                          .width = (uint32_t)h->width,
                          .n_vocab = (uint32_t)h->n_vocab,
                          .n_heads = (uint32_t)h->n_heads,
                          .head_dim = (uint32_t)h->head_dim,
                          .q_rank = (uint32_t)h->q_rank,
                          .n_groups = (uint32_t)h->n_groups,
                          .group_rank = (uint32_t)h->group_rank,
                          .n_experts = (uint32_t)h->n_experts,
                          .n_experts_used = (uint32_t)h->n_experts_used,
                          .expert_width = (uint32_t)h->expert_width,
                          .n_hash_layers = (uint32_t)h->n_hash_layers,
                          .n_index_heads = (uint32_t)h->n_index_heads,
                          .index_top_k = (uint32_t)h->index_top_k,
                          .expert_scale = h->expert_scale,
                          .n_layers = OWN_LAYERS};
    for (int l = 0; l < OWN_LAYERS; l++) config.ratio[l] = h->ratio[l];
    return config;
}

/* like: the tensor whose bytes it shares; NULL: it has its own. */
static void put_tensor(model_output *to, const tiny_tensor *tensor, const char *name, const char *like) {
    if (to->status != DS4_OK) return;
    to->status = like ? gguf_writer_add_shared_tensor(to->writer, name, tensor->type, tensor->n_dims, tensor->ne, like,
                                                      to->error)
                      : gguf_writer_add_tensor(to->writer, name, tensor->type, tensor->n_dims, tensor->ne, to->error);
}

/* The layer of a tensor's name, and what follows behind it; -1: none. */
static int layer_of(const tiny_tensor *tensor, const char **what) {
    int layer = -1, n = 0;
    if (sscanf(tensor->name, "blk.%d.%n", &layer, &n) != 1) return -1;
    *what = tensor->name + n;
    return layer;
}

static bool is_shared(const tiny_tensor *tensor) {
    const char *what = "";
    return layer_of(tensor, &what) > 0 && strstr(what, "_exps.");
}

static void put_tensors(model_output *to, const tiny_tensors *list, int n_layers) {
    const char *what = "";
    char name[TINY_NAME_BYTES], like[TINY_NAME_BYTES];
    for (size_t t = 0; t < list->n; t++) {
        const tiny_tensor *tensor = &list->tensor[t];
        if (is_shared(tensor)) {
            layer_of(tensor, &what);
            snprintf(like, sizeof like, "blk.0.%.30s", what);
            put_tensor(to, tensor, tensor->name, like);
        } else {
            put_tensor(to, tensor, tensor->name, NULL);
        }
    }
    for (int l = OWN_LAYERS; l < n_layers; l++)
        for (size_t t = 0; t < list->n; t++) {
            const tiny_tensor *tensor = &list->tensor[t];
            if (layer_of(tensor, &what) != OWN_LAYERS - REPEATED + l % REPEATED) continue;
            snprintf(name, sizeof name, "blk.%d.%.30s", l, what);
            put_tensor(to, tensor, name, tensor->name);
        }
}

static void put_data(model_output *to, const tiny_tensors *list, uint32_t n_experts) {
    ds4_buffer data = {0};
    for (size_t t = 0; t < list->n && to->status == DS4_OK; t++) {
        const tiny_tensor *tensor = &list->tensor[t];
        if (is_shared(tensor)) continue;
        const block_format *format = block_format_find(tensor->type);
        size_t n = 1;
        for (uint32_t d = 0; d < tensor->n_dims; d++) n *= tensor->ne[d];
        size_t n_bytes = n / format->n_elements * format->n_bytes;
        if (!array_reserve((void **)&data.data, &data.capacity_bytes, n_bytes, 1)) {
            to->status = error_memory(to->error, tensor->name, n_bytes);
            break;
        }
        void *out = data.data;
        uint64_t state = seed_of(tensor->name);
        if (tensor->type == BLOCK_F16)
            fill_f16(&state, tensor, out, n);
        else if (tensor->fill == TINY_EXPERT_IDS)
            fill_expert_ids(&state, tensor, n_experts, out);
        else if (tensor->type == BLOCK_F32)
            fill_f32(&state, tensor, out, n);
        else
            fill_blocks(&state, tensor, format, out, n_bytes);
        to->status = gguf_writer_data(to->writer, data.data, n_bytes, to->error);
    }
    ds4_buffer_deinit(&data);
}

ds4_status flash_model_write(tiny_flavour flavour, const char *path, ds4_error *error) {
    hyperparameters h = hyperparameters_flash();
    tiny_config config = config_of(&h, flavour);
    tiny_tensors list = {0};
    model_output to = {.error = error};
    to.status = gguf_writer_new(path, &to.writer, error);
    if (to.status != DS4_OK) return to.status;
    if (!tiny_tensors_list(&config, false, &list)) to.status = error_memory(error, path, sizeof(tiny_tensor));
    put_shape(&to, &h);
    if (to.status == DS4_OK) put_vocabulary(&to, (size_t)h.n_vocab);
    put_tensors(&to, &list, h.n_layers);
    put_data(&to, &list, config.n_experts);
    if (to.status == DS4_OK) to.status = gguf_writer_finish(to.writer, error);
    gguf_writer_free(to.writer);
    free(list.tensor);
    return to.status;
}

/* ---- timelines ---- */

static void fill_row(const row_format *format, uint8_t *row, uint64_t *state) {
    float x[1024];
    for (int i = 0; i < format->n_channels; i++) x[i] = (float)next_normal(state);
    row_encode(format, x, row);
}

static void fill_ring(pending_ring *ring, uint64_t *state) {
    size_t n = (size_t)ring->n_slots * 2 * (size_t)ring->width;
    for (size_t i = 0; i < n; i++) ring->values[i] = (float)next_normal(state);
}

static void fill_pages(const row_format *format, const row_pages *pages, size_t n_rows, uint64_t *state) {
    for (size_t r = 0; r < n_rows; r++) fill_row(format, row_pages_at(pages, r, format->n_bytes), state);
}

ds4_status flash_timeline_fill(ds4_timeline *timeline, size_t n_tokens, uint64_t seed, ds4_error *error) {
    const backend *base = timeline->engine->backend;
    const row_formats *format = &base->format;
    ds4_status status = timeline_reserve(timeline, n_tokens, error);
    int32_t token[256];
    for (size_t i = 0; status == DS4_OK && i < n_tokens; i++) {
        token[i % 256] = (int32_t)(next_word(&seed) % (uint64_t)base->hparams->n_vocab);
        if (i % 256 == 255 || i + 1 == n_tokens)
            status = ds4_tokens_append(&timeline->tokens, token, i % 256 + 1, error);
    }
    for (int l = 0; status == DS4_OK && l < base->hparams->n_layers; l++) {
        layer_memory *memory = &timeline->layer[l];
        size_t ratio = (size_t)base->hparams->ratio[l];
        for (int i = 0; i < memory->raw_slots; i++)
            fill_row(&format->raw, memory->raw + (size_t)i * format->raw.n_bytes, &seed);
        if (!ratio) continue;
        fill_ring(&memory->pending, &seed);
        fill_pages(&format->compressed, &memory->rows, n_tokens / ratio, &seed);
        if (ratio != 4) continue;
        fill_ring(&memory->index_pending, &seed);
        fill_pages(&format->index, &memory->index_rows, n_tokens / ratio, &seed);
    }
    return status;
}
