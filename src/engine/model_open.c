/* Opening a model for use: unlike inspecting, the first fault ends it. */
#include "base/error.h"
#include "base/memory.h"
#include "model/model.h"
#include "text/tokenizer.h"

#include <stdlib.h>

enum { DATA_ALIGNMENT = 8 }; /* the least that a file may ask for its tensors: with it they are where they must be */

/* Takes over the file. */
static ds4_status open_file(gguf_file *file, ds4_model_parts parts, ds4_model **out, ds4_error *error) {
    ds4_model *model = array_new(1, sizeof *model);
    if (!model) {
        ds4_status status = error_memory(error, file->name, sizeof *model);
        gguf_close(file);
        return status;
    }
    model->file = file;
    ds4_status status = DS4_OK;
    if (gguf_find_tensor(file, "mtp.0.attn_norm.weight"))
        status =
            error_set(error, DS4_ERROR_FORMAT, "%s: a multi-token prediction block, not a whole model", file->name);
    if (status == DS4_OK) status = tokenizer_new(file, &model->tokenizer, error);
    if (status == DS4_OK && parts == DS4_MODEL_FULL) {
        status = hyperparameters_read(file, NULL, &model->hparams, error);
        if (status == DS4_OK) status = model_weights_read(file, &model->hparams, NULL, &model->weights, error);
        model->has_weights = status == DS4_OK;
    }
    if (status == DS4_OK)
        *out = model;
    else
        ds4_model_free(model);
    return status;
}

static ds4_status check_parts(ds4_model_parts parts, ds4_error *error) {
    if (parts == DS4_MODEL_TEXT || parts == DS4_MODEL_FULL) return DS4_OK;
    return error_set(error, DS4_ERROR_ARGUMENT, "model parts %d, expected text or full", (int)parts);
}

ds4_status ds4_model_open(const char *path, ds4_model_parts parts, ds4_model **out, ds4_error *error) {
    gguf_file *file;
    ds4_status status = check_parts(parts, error);
    if (status == DS4_OK) status = gguf_open(path, NULL, &file, error);
    return status == DS4_OK ? open_file(file, parts, out, error) : status;
}

ds4_status ds4_model_open_memory(const void *data, size_t n_bytes, const char *name, ds4_model_parts parts,
                                 ds4_model **out, ds4_error *error) {
    gguf_file *file;
    ds4_status status = check_parts(parts, error);
    if (status == DS4_OK && (uintptr_t)data % DATA_ALIGNMENT)
        status = error_set(error, DS4_ERROR_ARGUMENT, "%s: the data is not aligned to %d bytes", name, DATA_ALIGNMENT);
    if (status == DS4_OK) status = gguf_open_memory(name, data, n_bytes, NULL, &file, error);
    return status == DS4_OK ? open_file(file, parts, out, error) : status;
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
