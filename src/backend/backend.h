/*
 * The twelve operations of which the forward pass is made, and what they work on.
 *
 * T tokens of a batch belong to spans of different timelines. D = width, S = 4 streams, H = n_heads.
 * Pointers to floats are backend memory. A backend computes a token's results from that token, its
 * timeline's memory and the span's earlier tokens only: the same whatever else is in the batch. On the CPU that
 * holds to the last bit; a GPU may add up in another order when a batch is large (docs/gpu.md).
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "backend/rope.h"
#include "backend/rows.h"
#include "model/model.h"

enum { ROWS_PER_PAGE = 128 };

/* A page of compressed rows; shared by the timelines and checkpoints that count in references. */
typedef struct row_page {
    int references;
    uint8_t *rows; /* [ROWS_PER_PAGE][format.n_bytes] */
} row_page;

typedef struct row_pages {
    row_page **page;
    size_t n;
    size_t capacity;
} row_pages;

/* Projections of the latest tokens that a compressor still needs: a ring of n_slots, the token at
 * position p in slot p % n_slots. */
typedef struct pending_ring {
    float *values; /* [n_slots][2][width]: kv, then gate + ape */
    int n_slots;
    int width;
} pending_ring;

/* What one layer of one timeline remembers up to (not including) the span's first position. */
typedef struct layer_memory {
    uint8_t *raw; /* ring of the latest raw rows, [raw_slots][raw_row.n_bytes], slot = position % raw_slots */
    int raw_slots;
    pending_ring pending;       /* ratio != 0 */
    pending_ring index_pending; /* ratio 4 */
    row_pages rows;             /* compressed rows; floor(position / ratio) of them exist */
    row_pages index_rows;       /* ratio 4 */
} layer_memory;

static inline uint8_t *row_pages_at(const row_pages *pages, size_t row, size_t row_bytes) {
    return pages->page[row / ROWS_PER_PAGE]->rows + row % ROWS_PER_PAGE * row_bytes;
}

typedef struct batch_span {
    layer_memory *memory; /* [n_layers]; pages for the rows that the span completes are there */
    int64_t position;     /* of the span's first token */
    int first, n_tokens;  /* tokens first .. first + n_tokens - 1 of the batch */
    int n_wanted;         /* the last n_wanted tokens get logits */
    float *logits;        /* [n_wanted][n_vocab] in the caller's memory */
} batch_span;

struct backend;

typedef struct batch {
    struct backend *backend;
    int n_tokens;
    const int32_t *token;    /* [T] */
    const int64_t *position; /* [T] */
    const int32_t *span_of;  /* [T] */
    batch_span *span;
    int n_spans;
} batch;

/* Outputs of `project`, one row a token. Parts that a layer lacks are not written. */
typedef struct projections {
    float *q_a;                             /* [T][q_rank]; normed by `queries` */
    float *kv;                              /* [T][head_dim]; normed and rotated by `remember` */
    float *compressor_kv, *compressor_gate; /* [T][w] */
    float *index_kv, *index_gate;           /* [T][2 * index_dim] */
    float *index_weight;                    /* [T][n_index_heads] */
} projections;

/* Everything the forward pass keeps between operations, for chunk_tokens tokens. */
typedef struct activations {
    float *streams; /* [T][S][D] */
    float *x;       /* [T][D] */
    float *mix;     /* [T][24]: pre, post, combination [source][destination] */
    projections low;
    float *q;            /* [T][H][head_dim] */
    float *index_q;      /* [T][n_index_heads][index_dim] */
    int32_t *selected;   /* [T][top_k] compressed rows, ascending */
    int32_t *n_selected; /* [T]; -1: all visible rows */
    float *heads;        /* [T][H][head_dim] */
    float *y;            /* [T][D] */
    int32_t *expert;     /* [T][n_experts_used] */
    float *expert_weight;
} activations;

typedef enum memory_use {
    MEMORY_ACTIVATIONS, /* what operations take and give */
    MEMORY_TIMELINE,    /* what a layer_memory points to */
} memory_use;

typedef struct backend_ops {
    const char *name;
    void (*free)(struct backend *backend);
    /* Memory the operations can reach, zeroed. NULL if there is none. */
    void *(*allocate)(struct backend *backend, memory_use use, size_t n_bytes);
    void (*release)(struct backend *backend, void *memory);
    /* Before and after the operations of one batch; after finish the logits are in the callers' memory. */
    ds4_status (*begin)(const batch *b, ds4_error *error);
    ds4_status (*finish)(const batch *b, ds4_error *error);
    /* Instead of finish, when a batch is given up between two operations: nothing of it goes on behind this. */
    void (*cancel)(const batch *b);

    /* token ids -> streams, S copies of the embedding */
    void (*embed)(const batch *b, const gguf_tensor *table, float *streams);
    /* streams -> x (collapsed, RMS-normed with norm) and mix */
    void (*hyper_in)(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                     float *mix);
    /* x -> every matrix of the layer that takes it */
    void (*project)(const batch *b, const layer_weights *w, const float *x, const projections *low);
    /* low->q_a is normed; q and, where rows must be chosen, index_q: normed, rotated, rounded */
    void (*queries)(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q);
    /* new raw rows, compressor windows advanced, finished rows appended */
    void (*remember)(const batch *b, const layer_weights *w, const projections *low);
    /* the top_k best visible rows of tokens that see more */
    void (*select)(const batch *b, const layer_weights *w, const projections *low, const float *index_q,
                   int32_t *selected, int32_t *n_selected);
    /* softmax over window, compressed rows and sink; heads rotated back. Then the raw rows enter the ring. */
    void (*attend)(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                   const int32_t *n_selected, float *heads);
    /* grouped low-rank output projection */
    void (*attend_out)(const batch *b, const layer_weights *w, const float *heads, float *y);
    /* y and mix into the streams */
    void (*hyper_out)(const batch *b, const float *y, const float *mix, float *streams);
    /* x -> expert ids and weights (scale included) */
    void (*route)(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight);
    /* routed sum + shared expert -> y */
    void (*experts)(const batch *b, const layer_weights *w, const float *x, const int32_t *expert, const float *weight,
                    float *y);
    /* streams of the wanted tokens -> collapsed, normed, output matrix -> span logits */
    void (*logits)(const batch *b, const model_weights *w, const float *streams);
} backend_ops;

typedef struct row_formats {
    row_format raw, compressed, index;
} row_formats;

typedef struct backend {
    const backend_ops *op;
    const hyperparameters *hparams;
    rope_frequencies rope;
    row_formats format;
    int max_tokens;          /* of one batch */
    const char *detail;      /* what it computes with, for reports: "avx2"; may be NULL */
    bool no_compressed_rows; /* test only: `attend` sees none; set by the engine */
} backend;

typedef struct cpu_options {
    int n_threads;       /* positive */
    bool exact;          /* float32 activations for all weights */
    const char *kernels; /* name of an instruction set; NULL: the best there is */
} cpu_options;

/* max_tokens is positive. */
ds4_status cpu_backend_new(const hyperparameters *hparams, const row_formats *format, const cpu_options *options,
                           int max_tokens, backend **out, ds4_error *error);
/* Bytes that such a backend allocates, when it is not exact. */
size_t cpu_backend_n_bytes(const hyperparameters *hparams, const row_formats *format, int n_threads, int max_tokens);

#endif
