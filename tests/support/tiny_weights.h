/* What is inside a tiny model: its shapes, and the tensors that follow from them. */
#ifndef SUPPORT_TINY_WEIGHTS_H
#define SUPPORT_TINY_WEIGHTS_H

#include "ds4.h"

enum { TINY_MAX_LAYERS = 8, TINY_STREAMS = 4, TINY_ROTARY = 64, TINY_INDEX_DIM = 128, TINY_NAME_BYTES = 48 };

typedef enum tiny_flavour { TINY_FLOAT, TINY_Q2, TINY_Q4 } tiny_flavour;

typedef struct tiny_config {
    const char *name;
    const char *sha256, *mtp_sha256; /* of the two files */
    uint64_t seed;
    tiny_flavour flavour;
    uint32_t width, n_vocab, n_heads, head_dim, q_rank, n_groups, group_rank;
    uint32_t n_experts, n_experts_used, expert_width, n_hash_layers, n_index_heads, index_top_k;
    float expert_scale;
    uint32_t n_layers;
    int32_t ratio[TINY_MAX_LAYERS + 1]; /* the one behind the last layer is the prediction block's */
} tiny_config;

typedef enum tiny_fill {
    TINY_NORMAL,     /* mean a, deviation b; block formats: random blocks of about that deviation */
    TINY_UNIFORM,    /* between a and b */
    TINY_HYPER_BASE, /* the base of a hyper-connection */
    TINY_EXPERT_IDS, /* distinct expert ids for every token */
} tiny_fill;

typedef struct tiny_tensor {
    char name[TINY_NAME_BYTES];
    uint32_t type; /* enum block_type */
    uint32_t n_dims;
    uint64_t ne[3];
    tiny_fill fill;
    double a, b;
} tiny_tensor;

typedef struct tiny_tensors {
    tiny_tensor *tensor;
    size_t n, capacity;
} tiny_tensors;

/* The tensors of a file in its order; false if there is no memory. Free tensor->tensor. */
bool tiny_tensors_list(const tiny_config *config, bool mtp, tiny_tensors *list);

/* The tensor's data as it stands in the file; false if there is no memory. */
bool tiny_tensor_data(const tiny_config *config, const tiny_tensor *tensor, ds4_buffer *data);

#endif
