/* What the tensors of a file add up to: by group, and what a batch reads and computes. */
#ifndef MODEL_SIZES_H
#define MODEL_SIZES_H

#include "model/model.h"

typedef struct tensor_group {
    const char *name; /* "routed experts", ... */
    size_t n_tensors;
    uint64_t n_bytes;
} tensor_group;

enum { N_TENSOR_GROUPS = 9 };

/* "81.20 GiB", "12 bytes" */
void size_format(uint64_t n_bytes, char text[32]);

/* Every tensor belongs to one group, by its name. */
void tensor_groups_read(const gguf_file *file, tensor_group group[N_TENSOR_GROUPS]);

/* Of all tensors, each counted whole. */
uint64_t tensor_bytes(const gguf_file *file);
/* Bytes of the file that belong to tensors: those that several share count once. */
ds4_status tensor_bytes_shared(const gguf_file *file, uint64_t *n_bytes, ds4_error *error);

/* Bytes of weights that a batch cannot do without, each counted once: n_tokens tokens of a conversation that has
 * `position` tokens already. They differ and use the experts as evenly as possible; one of them gets logits. */
uint64_t tensor_bytes_needed(const gguf_file *file, const hyperparameters *hparams, size_t position, int n_tokens);

/* Operations (a product and a sum are two) that one token behind `position` others costs: matrices and attention,
 * without the output matrix, which prefill needs for its last token only. */
double token_operations(const gguf_file *file, const hyperparameters *hparams, size_t position);

/* Bytes of rows that attention and indexer of one token behind `position` others read, of the given sizes. */
uint64_t row_bytes_needed(const hyperparameters *hparams, size_t position, size_t raw_bytes, size_t compressed_bytes,
                          size_t index_bytes);

#endif
