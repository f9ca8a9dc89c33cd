/*
 * Finds the weights of a model by name and checks their shapes and types.
 *
 * Names are those of the published files, types are wider: a matrix may have any format that can be decoded,
 * so that quantizations nobody has made yet will work. Vectors are F32, as everybody stores them.
 *
 * An expected size of 0 is one that is unknown because its metadata is wrong; it is not compared.
 */
#include "model/weights.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64, LIST_BYTES = 192 };

static bool type_allowed(weight_class class, const block_format *format) {
    switch (class) {
    case WEIGHT_MATRIX: return format->decode != NULL;
    case WEIGHT_POSITIONS: return format->type == BLOCK_F32 || format->type == BLOCK_F16 || format->type == BLOCK_BF16;
    case WEIGHT_VECTOR: return format->type == BLOCK_F32;
    case WEIGHT_IDS: return format->type == BLOCK_I32;
    }
    return false;
}

/* "one of F32, F16" or "F32" */
static void list_allowed_types(weight_class class, char text[LIST_BYTES]) {
    enum { N_TYPES = 64 };
    const char *name[N_TYPES];
    size_t n = 0;
    for (uint32_t type = 0; type < N_TYPES; type++) {
        const block_format *format = block_format_find(type);
        if (format && type_allowed(class, format)) name[n++] = format->name;
    }
    size_t at = (size_t)snprintf(text, LIST_BYTES, "%s", n > 1 ? "one of " : "");
    for (size_t k = 0; k < n && at < LIST_BYTES; k++)
        at += (size_t)snprintf(text + at, LIST_BYTES - at, "%s%s", k ? ", " : "", name[k]);
}

static void format_shape(const uint64_t *ne, uint32_t n_dims, char text[LIST_BYTES]) {
    size_t at = (size_t)snprintf(text, LIST_BYTES, "[");
    for (uint32_t d = 0; d < n_dims; d++) {
        char number[24] = "?";
        if (ne[d]) snprintf(number, sizeof number, "%llu", (unsigned long long)ne[d]);
        at += (size_t)snprintf(text + at, LIST_BYTES - at, "%s%s", d ? ", " : "", number);
    }
    snprintf(text + at, LIST_BYTES - at, "]");
}

static void check_type(weight_reader *reader, const char *name, const gguf_tensor *tensor, weight_class class) {
    if (type_allowed(class, tensor->format)) return;
    char allowed[LIST_BYTES];
    list_allowed_types(class, allowed);
    reader->status = problem_add(reader->problems, reader->error, "%s: %s: type %s, expected %s", reader->file->name,
                                 name, tensor->format->name, allowed);
}

/* Opening the file has already put unknown types and data that is not there on the list, if there is one. */
static bool known_to_be_broken(weight_reader *reader, const char *name, const gguf_tensor *tensor) {
    if (tensor->format && tensor->data) return false;
    if (!reader->problems)
        reader->status = problem_add(NULL, reader->error, "%s: %s: %s", reader->file->name, name,
                                     tensor->format ? "its data is not in the file" : "its type is unknown");
    return true;
}

/* Sizes behind the expected rank must be 1: [E] and [E, 1] are the same. */
static bool shape_matches(const gguf_tensor *tensor, const uint64_t *ne, uint32_t n_dims) {
    for (uint32_t d = 0; d < 4; d++) {
        uint64_t expected = d < n_dims ? ne[d] : 1;
        if (expected && tensor->ne[d] != expected) return false;
    }
    return true;
}

static void check_shape(weight_reader *reader, const char *name, const gguf_tensor *tensor, const uint64_t *ne,
                        uint32_t n_dims) {
    if (reader->status != DS4_OK || shape_matches(tensor, ne, n_dims)) return;
    char found[LIST_BYTES], expected[LIST_BYTES];
    format_shape(tensor->ne, tensor->n_dims, found);
    format_shape(ne, n_dims, expected);
    reader->status = problem_add(reader->problems, reader->error, "%s: %s: shape %s, expected %s", reader->file->name,
                                 name, found, expected);
}

static const gguf_tensor *look_up(weight_reader *reader, const char *name) {
    const gguf_tensor *tensor = gguf_find_tensor(reader->file, name);
    if (tensor && reader->used) reader->used[tensor - reader->file->tensors] = true;
    return tensor;
}

/* NULL if the tensor is absent, which is a problem if it is required, or after a failure. */
static const gguf_tensor *find(weight_reader *reader, const char *suffix, bool required, weight_class class,
                               const uint64_t *ne, uint32_t n_dims) {
    if (reader->status != DS4_OK) return NULL;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", reader->prefix, suffix);
    if (reader->list) {
        reader->status = reader->list(reader->list_context, name, class, ne, n_dims, reader->error);
        return NULL;
    }
    const gguf_tensor *tensor = look_up(reader, name);
    if (!tensor) {
        if (required)
            reader->status = problem_add(reader->problems, reader->error, "%s: %s: missing", reader->file->name, name);
        return NULL;
    }
    if (known_to_be_broken(reader, name, tensor)) return tensor;
    check_type(reader, name, tensor, class);
    check_shape(reader, name, tensor, ne, n_dims);
    return tensor;
}

static const gguf_tensor *matrix(weight_reader *reader, const char *suffix, uint64_t columns, uint64_t rows) {
    return find(reader, suffix, true, WEIGHT_MATRIX, (uint64_t[]){columns, rows}, 2);
}

static const gguf_tensor *experts(weight_reader *reader, const char *suffix, uint64_t columns, uint64_t rows) {
    return find(reader, suffix, true, WEIGHT_MATRIX, (uint64_t[]){columns, rows, (uint64_t)reader->hparams->n_experts},
                3);
}

static const gguf_tensor *vector(weight_reader *reader, const char *suffix, uint64_t n) {
    return find(reader, suffix, true, WEIGHT_VECTOR, (uint64_t[]){n}, 1);
}

/* which: "hc_attn", ... */
static hyper_weights hyper(weight_reader *reader, const char *which, uint64_t n_outputs, uint64_t n_scales) {
    char fn[NAME_BYTES], base[NAME_BYTES], scale[NAME_BYTES];
    snprintf(fn, sizeof fn, "%s_fn.weight", which);
    snprintf(base, sizeof base, "%s_base.weight", which);
    snprintf(scale, sizeof scale, "%s_scale.weight", which);
    return (hyper_weights){
        .fn = matrix(reader, fn, (uint64_t)MODEL_STREAMS * (uint64_t)reader->hparams->width, n_outputs),
        .base = vector(reader, base, n_outputs),
        .scale = vector(reader, scale, n_scales)};
}

/* which: "attn_compressor", "indexer_compressor". Ratio 4 pools two series, the previous and the current window. */
static compressor_weights compressor(weight_reader *reader, const char *which, uint64_t dim, uint64_t ratio) {
    char ape[NAME_BYTES], kv[NAME_BYTES], gate[NAME_BYTES], norm[NAME_BYTES];
    snprintf(ape, sizeof ape, "%s_ape.weight", which);
    snprintf(kv, sizeof kv, "%s_kv.weight", which);
    snprintf(gate, sizeof gate, "%s_gate.weight", which);
    snprintf(norm, sizeof norm, "%s_norm.weight", which);
    uint64_t width = ratio == 4 ? 2 * dim : dim, columns = (uint64_t)reader->hparams->width;
    return (compressor_weights){.ape = find(reader, ape, true, WEIGHT_POSITIONS, (uint64_t[]){width, ratio}, 2),
                                .kv = matrix(reader, kv, columns, width),
                                .gate = matrix(reader, gate, columns, width),
                                .norm = vector(reader, norm, dim)};
}

static void read_attention(weight_reader *reader, layer_weights *layer) {
    const hyperparameters *h = reader->hparams;
    uint64_t width = (uint64_t)h->width, head_dim = (uint64_t)h->head_dim, q_rank = (uint64_t)h->q_rank;
    uint64_t n_heads = (uint64_t)h->n_heads, n_groups = (uint64_t)h->n_groups;
    uint64_t group_columns = n_groups ? n_heads / n_groups * head_dim : 0;
    uint64_t low = n_groups * (uint64_t)h->group_rank;

    layer->hyper_attn = hyper(reader, "hc_attn", MODEL_MIX, 3);
    layer->attn_norm = vector(reader, "attn_norm.weight", width);
    layer->attn_q_a = matrix(reader, "attn_q_a.weight", width, q_rank);
    layer->attn_q_a_norm = vector(reader, "attn_q_a_norm.weight", q_rank);
    layer->attn_q_b = matrix(reader, "attn_q_b.weight", q_rank, n_heads * head_dim);
    layer->attn_kv = matrix(reader, "attn_kv.weight", width, head_dim);
    layer->attn_kv_norm = vector(reader, "attn_kv_a_norm.weight", head_dim);
    layer->attn_sinks = vector(reader, "attn_sinks.weight", n_heads);
    layer->attn_output_a = matrix(reader, "attn_output_a.weight", group_columns, low);
    layer->attn_output_b = matrix(reader, "attn_output_b.weight", low, width);
    if (layer->ratio > 0) layer->compressor = compressor(reader, "attn_compressor", head_dim, (uint64_t)layer->ratio);
    if (layer->ratio != 4) return;
    uint64_t n_index_heads = (uint64_t)h->n_index_heads, index_dim = (uint64_t)h->index_dim;
    layer->index_q_b = matrix(reader, "indexer.attn_q_b.weight", q_rank, n_index_heads * index_dim);
    layer->index_proj = matrix(reader, "indexer.proj.weight", width, n_index_heads);
    layer->index_compressor = compressor(reader, "indexer_compressor", index_dim, 4);
}

/* The ids are used as indices without a further look, so all of them are checked here. */
static void check_expert_ids(weight_reader *reader, const char *suffix, const gguf_tensor *ids) {
    uint64_t n_used = (uint64_t)reader->hparams->n_experts_used, n_vocab = (uint64_t)reader->hparams->n_vocab;
    int n_experts = reader->hparams->n_experts;
    if (reader->status != DS4_OK || !ids || !ids->data || ids->type != BLOCK_I32 || !n_experts || !n_used || !n_vocab ||
        !shape_matches(ids, (uint64_t[]){n_used, n_vocab}, 2))
        return;
    for (uint64_t k = 0; k < n_used * n_vocab; k++) {
        int32_t id;
        memcpy(&id, ids->data + 4 * k, 4);
        if (id >= 0 && id < n_experts) continue;
        reader->status = problem_add(reader->problems, reader->error,
                                     "%s: %s%s: expert %d for token %llu, expected 0 to %d", reader->file->name,
                                     reader->prefix, suffix, (int)id, (unsigned long long)(k / n_used), n_experts - 1);
        return;
    }
}

typedef enum layer_routing { ROUTE_UNKNOWN, ROUTE_BY_SCORE, ROUTE_BY_TOKEN } layer_routing;

static void read_routing(weight_reader *reader, layer_weights *layer, layer_routing routing, bool bias_required) {
    static const char bias[] = "exp_probs_b.bias", ids[] = "ffn_gate_tid2eid.weight";
    const hyperparameters *h = reader->hparams;
    uint64_t n_experts = (uint64_t)h->n_experts;
    layer->router = matrix(reader, "ffn_gate_inp.weight", (uint64_t)h->width, n_experts);
    if (routing == ROUTE_BY_SCORE) {
        layer->router_bias = find(reader, bias, bias_required, WEIGHT_VECTOR, (uint64_t[]){n_experts}, 1);
    } else if (routing == ROUTE_BY_TOKEN) {
        layer->expert_ids =
            find(reader, ids, true, WEIGHT_IDS, (uint64_t[]){(uint64_t)h->n_experts_used, (uint64_t)h->n_vocab}, 2);
        check_expert_ids(reader, ids, layer->expert_ids);
    }
}

static void read_feed_forward(weight_reader *reader, layer_weights *layer, layer_routing routing, bool bias_required) {
    uint64_t width = (uint64_t)reader->hparams->width, expert_width = (uint64_t)reader->hparams->expert_width;
    layer->hyper_ffn = hyper(reader, "hc_ffn", MODEL_MIX, 3);
    layer->ffn_norm = vector(reader, "ffn_norm.weight", width);
    read_routing(reader, layer, routing, bias_required);
    layer->gate_experts = experts(reader, "ffn_gate_exps.weight", width, expert_width);
    layer->up_experts = experts(reader, "ffn_up_exps.weight", width, expert_width);
    layer->down_experts = experts(reader, "ffn_down_exps.weight", expert_width, width);
    layer->gate_shared = matrix(reader, "ffn_gate_shexp.weight", width, expert_width);
    layer->up_shared = matrix(reader, "ffn_up_shexp.weight", width, expert_width);
    layer->down_shared = matrix(reader, "ffn_down_shexp.weight", expert_width, width);
}

ds4_status weight_reader_model(weight_reader *reader, model_weights *weights) {
    const hyperparameters *h = reader->hparams;
    uint64_t width = (uint64_t)h->width, n_vocab = (uint64_t)h->n_vocab;
    *weights = (model_weights){0};
    size_t n_layers = (size_t)h->n_layers;
    weights->layer = array_new(n_layers, sizeof *weights->layer);
    if (!weights->layer) return error_memory(reader->error, reader->file->name, n_layers * sizeof *weights->layer);

    reader->prefix = "";
    weights->token_embedding = matrix(reader, "token_embd.weight", width, n_vocab);
    weights->hyper_head = hyper(reader, "output_hc", MODEL_STREAMS, 1);
    weights->output_norm = vector(reader, "output_norm.weight", width);
    weights->output = matrix(reader, "output.weight", width, n_vocab);
    for (int l = 0; l < h->n_layers && reader->status == DS4_OK; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "blk.%d.", l);
        reader->prefix = prefix;
        layer_weights *layer = &weights->layer[l];
        *layer = (layer_weights){.index = l, .ratio = h->ratio[l], .swiglu_limit = h->swiglu_limit[l]};
        read_attention(reader, layer);
        layer_routing routing = l < h->n_hash_layers ? ROUTE_BY_TOKEN : ROUTE_BY_SCORE;
        read_feed_forward(reader, layer, h->n_hash_layers < 0 ? ROUTE_UNKNOWN : routing, false);
        reader->prefix = "";
    }
    return reader->status;
}

ds4_status weight_reader_mtp(weight_reader *reader, mtp_weights *weights) {
    const hyperparameters *h = reader->hparams;
    uint64_t width = (uint64_t)h->width;
    *weights = (mtp_weights){0};
    reader->prefix = "mtp.0.";
    weights->hyper_head = hyper(reader, "hc_head", MODEL_STREAMS, 1);
    weights->e_projection = matrix(reader, "e_proj.weight", width, width);
    weights->h_projection = matrix(reader, "h_proj.weight", width, width);
    weights->e_norm = vector(reader, "enorm.weight", width);
    weights->h_norm = vector(reader, "hnorm.weight", width);
    weights->norm = vector(reader, "norm.weight", width);
    /* The block stands behind the last layer and clamps as that one does. */
    float limit = h->n_layers ? h->swiglu_limit[h->n_layers - 1] : 0;
    weights->layer = (layer_weights){.index = h->n_layers, .ratio = 0, .swiglu_limit = limit};
    read_attention(reader, &weights->layer);
    read_feed_forward(reader, &weights->layer, ROUTE_BY_SCORE, true);
    return reader->status;
}

ds4_status model_weights_read(const gguf_file *file, const hyperparameters *hparams, problem_list *problems,
                              model_weights *weights, ds4_error *error) {
    weight_reader reader = {.file = file, .hparams = hparams, .problems = problems, .error = error};
    return weight_reader_model(&reader, weights);
}

void model_weights_deinit(model_weights *weights) {
    free(weights->layer);
    *weights = (model_weights){0};
}

ds4_status mtp_weights_read(const gguf_file *file, const hyperparameters *hparams, problem_list *problems,
                            mtp_weights *weights, ds4_error *error) {
    weight_reader reader = {.file = file, .hparams = hparams, .problems = problems, .error = error};
    return weight_reader_mtp(&reader, weights);
}
