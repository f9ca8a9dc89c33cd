/* Private to this folder: reading weights and knowing which tensors they were. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/model.h"

typedef enum weight_class { WEIGHT_MATRIX, WEIGHT_POSITIONS, WEIGHT_VECTOR, WEIGHT_IDS } weight_class;

/* Told of every tensor that a model has or may have, in the order in which they are read. */
typedef ds4_status weight_list(void *context, const char *name, weight_class class, const uint64_t *ne, uint32_t n_dims,
                               ds4_error *error);

typedef struct weight_reader {
    const gguf_file *file;
    const hyperparameters *hparams;
    problem_list *problems;
    ds4_error *error;
    bool *used;         /* [file->n_tensors], set for tensors of the model; may be NULL */
    const char *prefix; /* of the names that are looked up */
    weight_list *list;  /* if not NULL, nothing is looked up and all weights stay NULL */
    void *list_context;
    ds4_status status; /* after a failure the rest does nothing */
} weight_reader;

/* Like model_weights_read and mtp_weights_read. The caller sets what stands before prefix, and list. */
ds4_status weight_reader_model(weight_reader *reader, model_weights *weights);
ds4_status weight_reader_mtp(weight_reader *reader, mtp_weights *weights);

#endif
