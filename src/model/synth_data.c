/*
 * The values of a synthetic model's tensors.
 *
 * Speed matters, a file has 10 GB. Every tensor begins as the words of a counter-based generator. Blocks of quantized
 * types stay random bits but for their scales, halves become numbers from a table; both take the random bits that stand
 * in their place as the index. Tables are made with few operations that are exactly rounded, in an order that no
 * compiler may change, so that files are the same everywhere.
 */
#include "base/error.h"
#include "base/half.h"
#include "model/synth_parts.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers go to the file as they are in memory");

/* ---- random numbers: splitmix64 of a counter, keyed by FNV-1a of the name and by the seed ---- */

#define GOLDEN 0x9e3779b97f4a7c15u

static uint64_t mix_bits(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t word_at(uint64_t key, uint64_t index) {
    return mix_bits(key + (index + 1) * GOLDEN);
}

static uint64_t key_of(uint64_t seed, gguf_string name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.n_bytes; i++) hash = (hash ^ (uint8_t)name.data[i]) * 0x100000001b3u;
    return mix_bits(hash ^ mix_bits(seed));
}

/* a + b * x with both operations rounded; a compiler would fuse them where the processor can. */
static double scaled(double a, double b, double x) {
    volatile double product = b * x;
    return a + product;
}

/* 0 to 1 */
static double uniform_of(uint64_t word) {
    return (double)(word >> 11) * 0x1p-53;
}

/* Nearly normal with variance 1: the sum of four uniform numbers. */
static double normal_of(uint64_t word) {
    double sum = (double)((word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48));
    return (sum - 131070.0) / 37837.22680688906;
}

/* ---- what goes where ---- */

typedef struct fill_rule {
    const char *suffix; /* of the tensor's name; the first that fits counts */
    synth_spread spread;
    double a, b;
} fill_rule;

/* With these numbers a sublayer adds a fraction of what the embedding puts into the streams, so that 43 layers let the
 * streams grow slowly and tokens stay different. The router's bias is small: it would prefer the same experts always.
 */
static const fill_rule rules[] = {
    {"token_embd.weight", SPREAD_NORMAL, 0, 2.5},
    {"output.weight", SPREAD_NORMALIZED, 0, 2.5},

    {"_fn.weight", SPREAD_NORMALIZED, 0, 1.2},
    {"_scale.weight", SPREAD_UNIFORM, 0.5, 1.5},
    {"_base.weight", SPREAD_HYPER_BASE, 0, 0},

    {"attn_kv_a_norm.weight", SPREAD_UNIFORM, 1.0, 2.4},
    {"attn_compressor_norm.weight", SPREAD_UNIFORM, 1.0, 2.4},
    {"norm.weight", SPREAD_UNIFORM, 0.6, 1.5},

    {"attn_q_a.weight", SPREAD_NORMALIZED, 0, 1.0},
    {"attn_q_b.weight", SPREAD_NORMALIZED, 0, 1.0},
    {"attn_kv.weight", SPREAD_NORMALIZED, 0, 1.0},
    {"attn_sinks.weight", SPREAD_NORMAL, 1.0, 1.0},
    {"attn_output_a.weight", SPREAD_NORMALIZED, 0, 1.5},
    {"attn_output_b.weight", SPREAD_NORMALIZED, 0, 0.2},
    {"_ape.weight", SPREAD_NORMAL, 0, 0.7},
    {"_compressor_kv.weight", SPREAD_NORMALIZED, 0, 1.0},
    {"_compressor_gate.weight", SPREAD_NORMALIZED, 0, 1.5},
    {"indexer.proj.weight", SPREAD_NORMALIZED, 0, 1.5},

    {"ffn_gate_inp.weight", SPREAD_NORMALIZED, 0, 2.0},
    {"exp_probs_b.bias", SPREAD_NORMAL, 0, 0.02},
    {"ffn_gate_tid2eid.weight", SPREAD_EXPERT_IDS, 0, 0},
    {"ffn_gate_exps.weight", SPREAD_NORMALIZED, 0, 4.0},
    {"ffn_up_exps.weight", SPREAD_NORMALIZED, 0, 4.0},
    {"ffn_down_exps.weight", SPREAD_NORMALIZED, 0, 0.018},
    {"ffn_gate_shexp.weight", SPREAD_NORMALIZED, 0, 4.0},
    {"ffn_up_shexp.weight", SPREAD_NORMALIZED, 0, 4.0},
    {"ffn_down_shexp.weight", SPREAD_NORMALIZED, 0, 0.012},
};

static const fill_rule *rule_of(gguf_string name) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t n = strlen(rules[i].suffix);
        if (name.n_bytes >= n && memcmp(name.data + name.n_bytes - n, rules[i].suffix, n) == 0) return &rules[i];
    }
    return NULL;
}

/* ---- tables ---- */

/* Of blocks of random bits: the deviation for a scale of 1; where the scale stands; the minimum's place, and how large
 * it must be for a mean of 0 (ratio 0: there is none). */
typedef struct block_scales {
    uint32_t type;
    double deviation;
    size_t scale_at, minimum_at;
    double ratio;
} block_scales;

static const block_scales block_kinds[] = {
    {BLOCK_Q8_0, 73.3, 0, 0, 0},
    {BLOCK_Q2_K, 13.9, 80, 82, 1.5},
    {BLOCK_Q4_K, 258.0, 0, 2, 7.5},
    {BLOCK_IQ2_XXS, 47.0, 0, 0, 0},
};

static const block_scales *block_kind(uint32_t type) {
    for (size_t i = 0; i < sizeof block_kinds / sizeof *block_kinds; i++)
        if (block_kinds[i].type == type) return &block_kinds[i];
    return NULL;
}

enum { TABLE_KEY = 1 }; /* tables take other numbers than the tensor */

static void make_halves(synth_filler *filler) {
    uint64_t key = mix_bits(filler->key ^ TABLE_KEY);
    for (size_t i = 0; i < SYNTH_N_HALVES; i++)
        filler->half[i] = half_from_float((float)scaled(filler->a, filler->b, normal_of(word_at(key, i))));
}

static void make_scales(synth_filler *filler, const block_scales *kind) {
    uint64_t key = mix_bits(filler->key ^ TABLE_KEY);
    for (size_t i = 0; i < SYNTH_N_SCALES; i++) {
        double scale = scaled(0.75, 0.5, uniform_of(word_at(key, 2 * i))) * filler->b / kind->deviation;
        double minimum = kind->ratio * scale * scaled(0.85, 0.3, uniform_of(word_at(key, 2 * i + 1)));
        filler->scale[i] = half_from_float((float)scale);
        filler->minimum[i] = half_from_float((float)minimum);
    }
}

ds4_status synth_filler_set(synth_filler *filler, const gguf_tensor *tensor, uint64_t seed, int n_experts,
                            ds4_error *error) {
    const fill_rule *rule = rule_of(tensor->name);
    const block_scales *kind = block_kind(tensor->type);
    bool random = rule && (rule->spread == SPREAD_NORMAL || rule->spread == SPREAD_NORMALIZED);
    bool known = tensor->type == BLOCK_F32   ? rule && rule->spread != SPREAD_EXPERT_IDS
                 : tensor->type == BLOCK_I32 ? rule && rule->spread == SPREAD_EXPERT_IDS
                                             : random && (kind || tensor->type == BLOCK_F16);
    if (!known)
        return error_set(error, DS4_ERROR_ARGUMENT, "%.*s: nothing is known to put into a tensor of that name and type",
                         GGUF_STRING_ARGS(tensor->name));
    filler->key = key_of(seed, tensor->name);
    filler->format = tensor->format;
    filler->spread = rule->spread;
    filler->a = rule->a;
    filler->b = rule->spread == SPREAD_NORMALIZED ? rule->b / sqrt((double)tensor->ne[0]) : rule->b;
    filler->n_values = tensor->n_bytes / tensor->format->n_bytes * tensor->format->n_elements;
    filler->row_values = (size_t)tensor->ne[0];
    filler->n_experts = n_experts;
    if (tensor->type == BLOCK_F16) make_halves(filler);
    if (kind) make_scales(filler, kind);
    return DS4_OK;
}

/* ---- filling ---- */

static void fill_words(uint64_t key, uint64_t first_word, uint8_t *out, size_t n_bytes) {
    size_t n_words = n_bytes / 8;
    for (size_t i = 0; i < n_words; i++) {
        uint64_t word = word_at(key, first_word + i);
        memcpy(out + 8 * i, &word, 8);
    }
    uint64_t word = word_at(key, first_word + n_words);
    memcpy(out + 8 * n_words, &word, n_bytes % 8);
}

static void look_up_halves(const synth_filler *filler, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, out + 2 * i, 2);
        memcpy(out + 2 * i, &filler->half[bits], 2);
    }
}

static void put_scales(const synth_filler *filler, uint8_t *out, size_t n_bytes) {
    const block_scales *kind = block_kind(filler->format->type);
    if (kind->type == BLOCK_Q8_0) /* quantizers never write -128 */
        for (size_t i = 0; i < n_bytes; i++) out[i] = (uint8_t)(out[i] - (out[i] == 0x80));
    for (size_t at = 0; at < n_bytes; at += filler->format->n_bytes) {
        size_t i = out[at + kind->scale_at];
        memcpy(out + at + kind->scale_at, &filler->scale[i], 2);
        if (kind->ratio != 0) memcpy(out + at + kind->minimum_at, &filler->minimum[i], 2);
    }
}

/* Halves of normal numbers; the combination's 4 x 4 logits, behind those of pre and post, are doubled and lean to the
 * identity. The head has only pre. */
static double hyper_base(const synth_filler *filler, size_t index) {
    double z = 0.5 * normal_of(word_at(filler->key, index));
    size_t n_before = 2 * MODEL_STREAMS;
    if (filler->n_values == MODEL_STREAMS || index < n_before) return z;
    size_t from = (index - n_before) / MODEL_STREAMS, to = (index - n_before) % MODEL_STREAMS;
    return scaled(from == to ? 1.0 : 0.0, 2.0, z);
}

static void fill_floats(const synth_filler *filler, size_t first, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        uint64_t word = word_at(filler->key, first + i);
        double value = filler->spread == SPREAD_HYPER_BASE ? hyper_base(filler, first + i)
                       : filler->spread == SPREAD_UNIFORM  ? scaled(filler->a, filler->b - filler->a, uniform_of(word))
                                                           : scaled(filler->a, filler->b, normal_of(word));
        float narrow = (float)value;
        memcpy(out + 4 * i, &narrow, 4);
    }
}

static bool contains(const int32_t *list, size_t n, int32_t value) {
    for (size_t i = 0; i < n; i++)
        if (list[i] == value) return true;
    return false;
}

/* first and n are whole rows. */
static void fill_expert_ids(const synth_filler *filler, size_t first, size_t n, int32_t *out) {
    size_t n_used = filler->row_values;
    for (size_t at = 0; at < n; at += n_used) {
        int32_t *id = out + at;
        uint64_t key = word_at(filler->key, (first + at) / n_used), n_drawn = 0;
        for (size_t k = 0; k < n_used;) {
            id[k] = (int32_t)((word_at(key, n_drawn++) >> 32) * (uint64_t)filler->n_experts >> 32);
            if (!contains(id, k, id[k])) k++;
        }
    }
}

size_t synth_piece_blocks(const synth_filler *filler) {
    /* all blocks have an even number of bytes */
    return filler->format->type == BLOCK_I32 ? filler->row_values : 4;
}

void synth_fill(const synth_filler *filler, size_t first_block, size_t n_blocks, uint8_t *out) {
    size_t n_bytes = n_blocks * filler->format->n_bytes;
    switch (filler->format->type) {
    case BLOCK_F32: fill_floats(filler, first_block, n_blocks, out); break;
    case BLOCK_I32: fill_expert_ids(filler, first_block, n_blocks, (int32_t *)(void *)out); break;
    default:
        fill_words(filler->key, first_block * filler->format->n_bytes / 8, out, n_bytes);
        if (filler->format->type == BLOCK_F16)
            look_up_halves(filler, out, n_blocks);
        else
            put_scales(filler, out, n_bytes);
    }
}
