/* Private to this folder: reading weights and knowing which tensors they were. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/model.h"

typedef struct weight_reader {
    const gguf_file *file;
    const hyperparameters *hparams;
    problem_list *problems;
    ds4_error *error;
    bool *used;         /* [file->n_tensors], set for tensors of the model; may be NULL */
    const char *prefix; /* of the names that are looked up */
    ds4_status status;  /* after a failure the rest does nothing */
} weight_reader;

/* Like model_weights_read and mtp_weights_read. The caller sets file, hparams, problems, error and used. */
ds4_status weight_reader_model(weight_reader *reader, model_weights *weights);
ds4_status weight_reader_mtp(weight_reader *reader, mtp_weights *weights);

#endif
