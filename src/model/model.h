/* Hyperparameters and weights of a DeepSeek V4 model, checked once when the file is opened. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "gguf/gguf.h"

enum {
    MODEL_MAX_LAYERS = 1024,
    MODEL_STREAMS = 4, /* hyper-connection streams: the only number the family uses */
    MODEL_MIX = 24,    /* (2 + MODEL_STREAMS) * MODEL_STREAMS: pre, post, combination */
    FP8_BLOCK = 64,    /* values that share a scale in a row's FP8 part */
    FP4_BLOCK = 32,    /* and in an indexer row */
};

/* Names as in spec/model-math.md section 1; the metadata key is behind each. Prefix "deepseek4.". */
typedef struct hyperparameters {
    int n_layers;                                      /* block_count */
    int width;                                         /* embedding_length, E */
    int n_vocab;                                       /* vocab_size */
    int max_context;                                   /* context_length; 1048576 if absent */
    int n_heads;                                       /* attention.head_count */
    int head_dim;                                      /* attention.key_length; the last rotary_dim channels rotate */
    int rotary_dim;                                    /* rope.dimension_count */
    int q_rank;                                        /* attention.q_lora_rank */
    int n_groups, group_rank;                          /* attention.output_group_count, attention.output_lora_rank */
    int window;                                        /* attention.sliding_window, the token itself included */
    int n_index_heads, index_dim, index_top_k;         /* attention.indexer.{head_count,key_length,top_k} */
    int n_experts, n_experts_used, expert_width;       /* expert_count, expert_used_count, expert_feed_forward_length */
    int n_hash_layers;                                 /* hash_layer_count: the first ones choose experts by token id */
    int sinkhorn_iterations;                           /* hyper_connection.sinkhorn_iterations */
    float rms_epsilon;                                 /* attention.layer_norm_rms_epsilon */
    float hyper_epsilon;                               /* hyper_connection.epsilon */
    float expert_scale;                                /* expert_weights_scale */
    float rope_base;                                   /* rope.freq_base: layers of ratio 0 */
    float compressed_rope_base;                        /* attention.compress_rope_freq_base: all others, with YaRN */
    float yarn_factor, yarn_beta_fast, yarn_beta_slow; /* rope.scaling.{factor,yarn_beta_fast,yarn_beta_slow} */
    int64_t yarn_original_context;                     /* rope.scaling.original_context_length */
    int ratio[MODEL_MAX_LAYERS];                       /* attention.compress_ratios: 0, 4 or 128 */
    float swiglu_limit[MODEL_MAX_LAYERS];              /* swiglu_clamp_exp */
} hyperparameters;

/* Weights of one hyper-connection. S = 4 streams. */
typedef struct hyper_weights {
    const gguf_tensor *fn;    /* [S*E, 24] (the head: [S*E, 4]) */
    const gguf_tensor *base;  /* F32 [24] ([4]) */
    const gguf_tensor *scale; /* F32 [3]: pre, post, combination ([1]) */
} hyper_weights;

/* Weights of one compressor; D = row dimension, w = 2D for ratio 4 (previous, current window), else D. */
typedef struct compressor_weights {
    const gguf_tensor *ape;  /* [w, ratio], F16 or F32 */
    const gguf_tensor *kv;   /* [E, w] */
    const gguf_tensor *gate; /* [E, w] */
    const gguf_tensor *norm; /* F32 [D] */
} compressor_weights;

/* One layer. Shapes as in the file: [row length, rows, slices]. Absent tensors are NULL. */
typedef struct layer_weights {
    int index;
    int ratio; /* 0, 4, 128 */
    float swiglu_limit;

    hyper_weights hyper_attn;
    const gguf_tensor *attn_norm;        /* F32 [E] */
    const gguf_tensor *attn_q_a;         /* [E, q_rank] */
    const gguf_tensor *attn_q_a_norm;    /* F32 [q_rank] */
    const gguf_tensor *attn_q_b;         /* [q_rank, n_heads*head_dim] */
    const gguf_tensor *attn_kv;          /* [E, head_dim] */
    const gguf_tensor *attn_kv_norm;     /* F32 [head_dim] */
    const gguf_tensor *attn_sinks;       /* F32 [n_heads] */
    const gguf_tensor *attn_output_a;    /* [n_heads/n_groups*head_dim, n_groups*group_rank] */
    const gguf_tensor *attn_output_b;    /* [n_groups*group_rank, E] */
    compressor_weights compressor;       /* ratio != 0 */
    const gguf_tensor *index_q_b;        /* ratio 4: [q_rank, n_index_heads*index_dim] */
    const gguf_tensor *index_proj;       /* ratio 4: [E, n_index_heads] */
    compressor_weights index_compressor; /* ratio 4 */

    hyper_weights hyper_ffn;
    const gguf_tensor *ffn_norm;    /* F32 [E] */
    const gguf_tensor *router;      /* [E, n_experts] */
    const gguf_tensor *router_bias; /* F32 [n_experts]; NULL in hash layers */
    const gguf_tensor *expert_ids;  /* hash layers: I32 [n_experts_used, n_vocab], all in 0..n_experts-1 */
    const gguf_tensor *gate_experts, *up_experts; /* [E, expert_width, n_experts] */
    const gguf_tensor *down_experts;              /* [expert_width, E, n_experts] */
    const gguf_tensor *gate_shared, *up_shared;   /* [E, expert_width] */
    const gguf_tensor *down_shared;               /* [expert_width, E] */
} layer_weights;

typedef struct model_weights {
    const gguf_tensor *token_embedding; /* [E, n_vocab] */
    hyper_weights hyper_head;
    const gguf_tensor *output_norm; /* F32 [E] */
    const gguf_tensor *output;      /* [E, n_vocab] */
    layer_weights *layer;           /* [n_layers] */
} model_weights;

/* The multi-token prediction block of its own file (names "mtp.0.*"). */
typedef struct mtp_weights {
    hyper_weights hyper_head;                       /* hc_head_* */
    const gguf_tensor *e_projection, *h_projection; /* [E, E] */
    const gguf_tensor *e_norm, *h_norm, *norm;      /* F32 [E] */
    layer_weights layer;                            /* ratio 0, not hashed */
} mtp_weights;

struct ds4_model {
    gguf_file *file;
    struct ds4_tokenizer *tokenizer;
    bool has_weights;
    hyperparameters hparams;
    model_weights weights;
};

/* Reads and checks hyperparameters. With problems, every missing or wrong key is added to it; a number that
 * could not be read is then 0 (n_hash_layers and ratios: -1), and reading weights leaves out the checks that
 * need it. */
ds4_status hyperparameters_read(const gguf_file *file, problem_list *problems, hyperparameters *hparams,
                                ds4_error *error);
/* The published V4 Flash model. */
hyperparameters hyperparameters_flash(void);

/* Finds every tensor and checks name, shape and type. weights->layer is allocated; free with
 * model_weights_deinit (also after failure). */
ds4_status model_weights_read(const gguf_file *file, const hyperparameters *hparams, problem_list *problems,
                              model_weights *weights, ds4_error *error);
void model_weights_deinit(model_weights *weights);

ds4_status mtp_weights_read(const gguf_file *file, const hyperparameters *hparams, problem_list *problems,
                            mtp_weights *weights, ds4_error *error);

/* The report of `ds4 inspect`: metadata, tensors, sizes by group, then every problem. Appends text to
 * report; *n_problems says how many were found. Fails only if the file cannot be read at all. */
ds4_status model_inspect(const char *path, ds4_buffer *report, size_t *n_problems, ds4_error *error);
/* The same for a model file in memory; name stands for the path. */
ds4_status model_inspect_memory(const void *data, size_t n_bytes, const char *name, ds4_buffer *report,
                                size_t *n_problems, ds4_error *error);

#endif
