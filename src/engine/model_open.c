/* Opening a model for use: unlike inspecting, the first fault ends it. */
#include "base/error.h"
#include "base/memory.h"
#include "model/model.h"
#include "text/tokenizer.h"

#include <stdlib.h>

ds4_status ds4_model_open(const char *path, ds4_model_parts parts, ds4_model **out, ds4_error *error) {
    if (parts != DS4_MODEL_TEXT && parts != DS4_MODEL_FULL)
        return error_set(error, DS4_ERROR_ARGUMENT, "model parts %d, expected text or full", (int)parts);
    ds4_model *model = array_new(1, sizeof *model);
    if (!model) return error_memory(error, path, sizeof *model);
    ds4_status status = gguf_open(path, NULL, &model->file, error);
    if (status == DS4_OK && gguf_find_tensor(model->file, "mtp.0.attn_norm.weight"))
        status = error_set(error, DS4_ERROR_FORMAT, "%s: a multi-token prediction block, not a whole model", path);
    if (status == DS4_OK) status = tokenizer_new(model->file, &model->tokenizer, error);
    if (status == DS4_OK && parts == DS4_MODEL_FULL) {
        status = hyperparameters_read(model->file, NULL, &model->hparams, error);
        if (status == DS4_OK) status = model_weights_read(model->file, &model->hparams, NULL, &model->weights, error);
        model->has_weights = status == DS4_OK;
    }
    if (status == DS4_OK)
        *out = model;
    else
        ds4_model_free(model);
    return status;
}

void ds4_model_free(ds4_model *model) {
    if (!model) return;
    model_weights_deinit(&model->weights);
    tokenizer_free(model->tokenizer);
    gguf_close(model->file);
    free(model);
}

const ds4_tokenizer *ds4_model_tokenizer(const ds4_model *model) {
    return model->tokenizer;
}

size_t ds4_model_n_vocab(const ds4_model *model) {
    return model->has_weights ? (size_t)model->hparams.n_vocab : 0;
}

size_t ds4_model_max_context(const ds4_model *model) {
    return model->has_weights ? (size_t)model->hparams.max_context : 0;
}
