#include "support/tiny_weights.h"

#include "base/half.h"
#include "base/memory.h"
#include "gguf/blocks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- random numbers: splitmix64 of a counter, keyed by FNV-1a of the name and by the seed ---- */

#define GOLDEN 0x9e3779b97f4a7c15u

typedef struct random_stream {
    uint64_t key;
    uint64_t counter;
} random_stream;

static uint64_t mix_bits(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static random_stream stream_of(uint64_t seed, const char *name, const char *suffix) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    for (; *suffix; suffix++) hash = (hash ^ (uint8_t)*suffix) * 0x100000001b3u;
    return (random_stream){.key = mix_bits(hash ^ seed * GOLDEN)};
}

static uint64_t next_word(random_stream *stream) {
    return mix_bits(stream->key + ++stream->counter * GOLDEN);
}

/* The files are defined with the product rounded; on machines with fused multiply-add the compiler would
 * otherwise contract the sum around it. */
static double rounded_product(double a, double b) {
    volatile double product = a * b;
    return product;
}

/* Nearly normal with variance 1: the sum of four uniform numbers. */
static double next_normal(random_stream *stream) {
    uint64_t u = next_word(stream);
    double sum = (double)(u & 0xffff) + (double)(u >> 16 & 0xffff) + (double)(u >> 32 & 0xffff) + (double)(u >> 48);
    return (sum - 131070.0) / 37837.22680688906;
}

static double next_uniform(random_stream *stream, double low, double high) {
    return low + rounded_product(high - low, (double)(next_word(stream) >> 11) * 0x1p-53);
}

/* ---- encoding ---- */

/* Rounds once. A detour over a float rounded to nearest would round twice; rounded to odd (towards zero, the
 * last bit set if anything was lost) it keeps what the second rounding must know. */
static uint16_t half_from_double(double value) {
    float nearest = (float)value;
    uint32_t bits = float_to_bits(nearest);
    if ((double)nearest != value) {
        if (fabs((double)nearest) > fabs(value)) bits--;
        bits |= 1;
    }
    return half_from_float(float_from_bits(bits));
}

static void put_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value) {
    put_u16(at, (uint16_t)value);
    put_u16(at + 2, (uint16_t)(value >> 16));
}

static void put_number(uint8_t *data, uint32_t type, size_t index, double value) {
    if (type == BLOCK_F16)
        put_u16(data + 2 * index, half_from_double(value));
    else
        put_u32(data + 4 * index, float_to_bits((float)value));
}

static size_t n_values(const tiny_tensor *tensor) {
    size_t n = 1;
    for (uint32_t d = 0; d < tensor->n_dims; d++) n *= tensor->ne[d];
    return n;
}

/* ---- filling ---- */

/* Scales that give a block of random bits about the wanted deviation. v and w vary them a little. */
static void put_scales(uint8_t *block, uint32_t type, double deviation, double v, double w) {
    double d;
    switch (type) {
    case BLOCK_Q8_0:
        put_u16(block, half_from_double(v * deviation / 73.3));
        for (int k = 2; k < 34; k++)
            if (block[k] == 0x80) block[k] = 0x7f; /* quantizers never write -128 */
        break;
    case BLOCK_Q2_K:
        d = v * deviation / 13.9;
        put_u16(block + 80, half_from_double(d));
        put_u16(block + 82, half_from_double(1.5 * d * w));
        break;
    case BLOCK_Q4_K:
        d = v * deviation / 258.0;
        put_u16(block, half_from_double(d));
        put_u16(block + 2, half_from_double(7.5 * d * w));
        break;
    default: /* IQ2_XXS */ put_u16(block, half_from_double(v * deviation / 47.0));
    }
}

static void fill_blocks(uint64_t seed, const tiny_tensor *tensor, const block_format *format, uint8_t *data,
                        size_t n_bytes) {
    random_stream bits = stream_of(seed, tensor->name, "");
    uint64_t word = 0;
    for (size_t at = 0; at < n_bytes; at++) {
        word = at % 8 ? word >> 8 : next_word(&bits);
        data[at] = (uint8_t)word;
    }
    random_stream scales = stream_of(seed, tensor->name, "#d"), minima = stream_of(seed, tensor->name, "#m");
    for (size_t at = 0; at < n_bytes; at += format->n_bytes) {
        double v = next_uniform(&scales, 0.75, 1.25), w = next_uniform(&minima, 0.85, 1.15);
        put_scales(data + at, tensor->type, tensor->b, v, w);
    }
}

/* Half-size normal numbers; the combination's 4 x 4 logits are doubled and lean to the identity. */
static void fill_hyper_base(uint64_t seed, const tiny_tensor *tensor, uint8_t *data) {
    random_stream stream = stream_of(seed, tensor->name, "");
    for (size_t k = 0; k < tensor->ne[0]; k++) {
        double z = 0.5 * next_normal(&stream);
        if (tensor->ne[0] > TINY_STREAMS && k >= 2 * TINY_STREAMS) {
            size_t entry = k - 2 * TINY_STREAMS;
            z = 2.0 * z + (entry / TINY_STREAMS == entry % TINY_STREAMS ? 1.0 : 0.0);
        }
        put_number(data, BLOCK_F32, k, z);
    }
}

/* Each token's experts are those with the smallest of n_experts random words. */
static void fill_expert_ids(const tiny_config *config, const tiny_tensor *tensor, uint8_t *data) {
    enum { MAX_EXPERTS = 256 };
    random_stream stream = stream_of(config->seed, tensor->name, "");
    for (size_t token = 0; token < tensor->ne[1]; token++) {
        uint64_t word[MAX_EXPERTS];
        bool taken[MAX_EXPERTS] = {false};
        for (uint32_t e = 0; e < config->n_experts; e++) word[e] = next_word(&stream);
        for (size_t k = 0; k < tensor->ne[0]; k++) {
            uint32_t best = MAX_EXPERTS;
            for (uint32_t e = 0; e < config->n_experts; e++)
                if (!taken[e] && (best == MAX_EXPERTS || word[e] < word[best])) best = e;
            taken[best] = true;
            put_u32(data + 4 * (token * tensor->ne[0] + k), best);
        }
    }
}

static void fill_numbers(uint64_t seed, const tiny_tensor *tensor, uint8_t *data) {
    random_stream stream = stream_of(seed, tensor->name, "");
    size_t n = n_values(tensor);
    for (size_t k = 0; k < n; k++) {
        double value = tensor->fill == TINY_UNIFORM ? next_uniform(&stream, tensor->a, tensor->b)
                                                    : tensor->a + rounded_product(tensor->b, next_normal(&stream));
        put_number(data, tensor->type, k, value);
    }
}

bool tiny_tensor_data(const tiny_config *config, const tiny_tensor *tensor, ds4_buffer *data) {
    const block_format *format = block_format_find(tensor->type);
    size_t n_bytes = n_values(tensor) / format->n_elements * format->n_bytes;
    if (!array_reserve((void **)&data->data, &data->capacity_bytes, n_bytes, 1)) return false;
    data->n_bytes = n_bytes;
    uint8_t *out = (uint8_t *)data->data;
    if (format->n_elements > 1)
        fill_blocks(config->seed, tensor, format, out, n_bytes);
    else if (tensor->fill == TINY_EXPERT_IDS)
        fill_expert_ids(config, tensor, out);
    else if (tensor->fill == TINY_HYPER_BASE)
        fill_hyper_base(config->seed, tensor, out);
    else
        fill_numbers(config->seed, tensor, out);
    return true;
}

/* ---- the tensors of a file ---- */

/* Formats by the part of the model. */
typedef struct part_types {
    uint32_t embedding, output, attention, compressor, gate_up, down, shared, hyper, router;
} part_types;

static part_types types_of(tiny_flavour flavour) {
    if (flavour == TINY_FLOAT)
        return (part_types){BLOCK_F16, BLOCK_F16, BLOCK_F16, BLOCK_F16, BLOCK_F16,
                            BLOCK_F16, BLOCK_F16, BLOCK_F32, BLOCK_F32};
    part_types types = {BLOCK_F16,  BLOCK_Q8_0, BLOCK_Q8_0, BLOCK_F16, BLOCK_Q4_K,
                        BLOCK_Q4_K, BLOCK_Q8_0, BLOCK_F16,  BLOCK_F16};
    if (flavour == TINY_Q2) {
        types.gate_up = BLOCK_IQ2_XXS;
        types.down = BLOCK_Q2_K;
    }
    return types;
}

typedef struct tensor_lister {
    const tiny_config *config;
    part_types types;
    tiny_tensors *list;
    const char *prefix; /* of the names that are added */
    bool failed;
} tensor_lister;

static void add(tensor_lister *to, const char *name, tiny_tensor tensor) {
    tiny_tensors *list = to->list;
    to->failed = to->failed || !array_reserve((void **)&list->tensor, &list->capacity, list->n + 1, sizeof tensor);
    if (to->failed) return;
    snprintf(tensor.name, sizeof tensor.name, "%s%s", to->prefix, name);
    tensor.n_dims = tensor.ne[2] ? 3 : tensor.ne[1] ? 2 : 1;
    list->tensor[list->n++] = tensor;
}

static void add_matrix(tensor_lister *to, const char *name, uint64_t columns, uint64_t rows, uint32_t type,
                       double deviation) {
    add(to, name, (tiny_tensor){.ne = {columns, rows}, .type = type, .fill = TINY_NORMAL, .b = deviation});
}

static void add_experts(tensor_lister *to, const char *name, uint64_t columns, uint64_t rows, uint32_t type,
                        double deviation) {
    uint64_t n_experts = to->config->n_experts;
    add(to, name, (tiny_tensor){.ne = {columns, rows, n_experts}, .type = type, .fill = TINY_NORMAL, .b = deviation});
}

static void add_vector(tensor_lister *to, const char *name, uint64_t n, tiny_fill fill, double a, double b) {
    add(to, name, (tiny_tensor){.ne = {n}, .type = BLOCK_F32, .fill = fill, .a = a, .b = b});
}

static void add_norm(tensor_lister *to, const char *name, uint64_t n) {
    add_vector(to, name, n, TINY_UNIFORM, 0.6, 1.5);
}

/* which: "hc_attn", "hc_ffn" with 24 outputs, 3 scales; the heads have 4 and 1. */
static void add_hyper(tensor_lister *to, const char *which, uint64_t n_outputs, uint64_t n_scales) {
    char name[TINY_NAME_BYTES];
    uint64_t flat = (uint64_t)TINY_STREAMS * to->config->width;
    snprintf(name, sizeof name, "%s_fn.weight", which);
    add_matrix(to, name, flat, n_outputs, to->types.hyper, 1.2 / sqrt((double)flat));
    snprintf(name, sizeof name, "%s_scale.weight", which);
    add_vector(to, name, n_scales, TINY_UNIFORM, 0.5, 1.5);
    snprintf(name, sizeof name, "%s_base.weight", which);
    add_vector(to, name, n_outputs, TINY_HYPER_BASE, 0, 0);
}

static void add_layer_hyper(tensor_lister *to, const char *which) {
    add_hyper(to, which, (2 + TINY_STREAMS) * TINY_STREAMS, 3);
}

static void add_attention(tensor_lister *to) {
    const tiny_config *c = to->config;
    uint32_t type = to->types.attention;
    double by_width = 1.0 / sqrt(c->width);
    uint64_t group = (uint64_t)c->n_heads / c->n_groups * c->head_dim, low = (uint64_t)c->n_groups * c->group_rank;
    add_norm(to, "attn_norm.weight", c->width);
    add_matrix(to, "attn_q_a.weight", c->width, c->q_rank, type, by_width);
    add_norm(to, "attn_q_a_norm.weight", c->q_rank);
    add_matrix(to, "attn_q_b.weight", c->q_rank, (uint64_t)c->n_heads * c->head_dim, type, 1.0 / sqrt(c->q_rank));
    add_matrix(to, "attn_kv.weight", c->width, c->head_dim, type, by_width);
    add_vector(to, "attn_kv_a_norm.weight", c->head_dim, TINY_UNIFORM, 1.0, 2.4);
    add_vector(to, "attn_sinks.weight", c->n_heads, TINY_NORMAL, 1.0, 1.0);
    add_matrix(to, "attn_output_a.weight", group, low, type, 1.5 / sqrt((double)group));
    add_matrix(to, "attn_output_b.weight", low, c->width, type, 0.3 / sqrt((double)low));
}

/* which: "attn_compressor" or "indexer_compressor". */
static void add_compressor(tensor_lister *to, const char *which, uint64_t dim, uint64_t ratio, double norm_low,
                           double norm_high) {
    char name[TINY_NAME_BYTES];
    uint64_t width = ratio == 4 ? 2 * dim : dim;
    uint32_t type = to->types.compressor;
    snprintf(name, sizeof name, "%s_ape.weight", which);
    add_matrix(to, name, width, ratio, type, 0.7);
    snprintf(name, sizeof name, "%s_kv.weight", which);
    add_matrix(to, name, to->config->width, width, type, 1.0 / sqrt(to->config->width));
    snprintf(name, sizeof name, "%s_gate.weight", which);
    add_matrix(to, name, to->config->width, width, type, 1.5 / sqrt(to->config->width));
    snprintf(name, sizeof name, "%s_norm.weight", which);
    add_vector(to, name, dim, TINY_UNIFORM, norm_low, norm_high);
}

static void add_memory(tensor_lister *to, uint64_t ratio) {
    const tiny_config *c = to->config;
    uint32_t type = to->types.compressor;
    if (ratio) add_compressor(to, "attn_compressor", c->head_dim, ratio, 1.0, 2.4);
    if (ratio != 4) return;
    add_matrix(to, "indexer.attn_q_b.weight", c->q_rank, (uint64_t)c->n_index_heads * TINY_INDEX_DIM, type,
               1.0 / sqrt(c->q_rank));
    add_matrix(to, "indexer.proj.weight", c->width, c->n_index_heads, type, 1.5 / sqrt(c->width));
    add_compressor(to, "indexer_compressor", TINY_INDEX_DIM, ratio, 0.6, 1.5);
}

static void add_feed_forward(tensor_lister *to, bool hashed) {
    const tiny_config *c = to->config;
    double by_width = 4.0 / sqrt(c->width), by_expert_width = sqrt(c->expert_width);
    add_norm(to, "ffn_norm.weight", c->width);
    add_matrix(to, "ffn_gate_inp.weight", c->width, c->n_experts, to->types.router, 2.0 / sqrt(c->width));
    if (hashed)
        add(to, "ffn_gate_tid2eid.weight",
            (tiny_tensor){.ne = {c->n_experts_used, c->n_vocab}, .type = BLOCK_I32, .fill = TINY_EXPERT_IDS});
    else
        add_vector(to, "exp_probs_b.bias", c->n_experts, TINY_NORMAL, 0.0, 0.35);
    add_experts(to, "ffn_gate_exps.weight", c->width, c->expert_width, to->types.gate_up, by_width);
    add_experts(to, "ffn_up_exps.weight", c->width, c->expert_width, to->types.gate_up, by_width);
    add_experts(to, "ffn_down_exps.weight", c->expert_width, c->width, to->types.down, 0.018 / by_expert_width);
    add_matrix(to, "ffn_gate_shexp.weight", c->width, c->expert_width, to->types.shared, by_width);
    add_matrix(to, "ffn_up_shexp.weight", c->width, c->expert_width, to->types.shared, by_width);
    add_matrix(to, "ffn_down_shexp.weight", c->expert_width, c->width, to->types.shared, 0.012 / by_expert_width);
}

static void add_layer(tensor_lister *to, const char *prefix, uint64_t ratio, bool hashed) {
    to->prefix = prefix;
    add_layer_hyper(to, "hc_attn");
    add_attention(to);
    add_memory(to, ratio);
    add_layer_hyper(to, "hc_ffn");
    add_feed_forward(to, hashed);
}

static void add_main(tensor_lister *to) {
    const tiny_config *c = to->config;
    to->prefix = "";
    add_matrix(to, "token_embd.weight", c->width, c->n_vocab, to->types.embedding, 2.5);
    add_hyper(to, "output_hc", TINY_STREAMS, 1);
    add_norm(to, "output_norm.weight", c->width);
    add_matrix(to, "output.weight", c->width, c->n_vocab, to->types.output, 2.5 / sqrt(c->width));
    for (uint32_t l = 0; l < c->n_layers; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "blk.%u.", (unsigned)l);
        add_layer(to, prefix, (uint64_t)c->ratio[l], l < c->n_hash_layers);
    }
}

static void add_mtp(tensor_lister *to) {
    const tiny_config *c = to->config;
    to->prefix = "mtp.0.";
    add_hyper(to, "hc_head", TINY_STREAMS, 1);
    add_matrix(to, "e_proj.weight", c->width, c->width, to->types.attention, 1.0 / sqrt(c->width));
    add_matrix(to, "h_proj.weight", c->width, c->width, to->types.attention, 1.0 / sqrt(c->width));
    add_norm(to, "enorm.weight", c->width);
    add_norm(to, "hnorm.weight", c->width);
    add_norm(to, "norm.weight", c->width);
    add_layer(to, "mtp.0.", 0, false);
}

bool tiny_tensors_list(const tiny_config *config, bool mtp, tiny_tensors *list) {
    tensor_lister to = {.config = config, .types = types_of(config->flavour), .list = list};
    if (mtp)
        add_mtp(&to);
    else
        add_main(&to);
    return !to.failed;
}
