#include "model/layout.h"
#include "base/memory.h"
#include "gguf/gguf_index.h"
#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64, MAX_TENSORS = 2048, ALIGNMENT = 32, ALL_LAYERS = MODEL_MAX_LAYERS };

/* Names stand where a file has its directory. */
enum { DIRECTORY_BYTES = MAX_TENSORS * NAME_BYTES };

const layout_recipe layout_recipes[] = {
    {"q2", 0, 0},      {"q2-imatrix", 0, 0}, {"q4", 0, ALL_LAYERS}, {"q4-imatrix", 0, ALL_LAYERS},
    {"q2-q4", 37, 43}, {NULL, 0, 0},
};

const layout_recipe *layout_recipe_find(const char *name) {
    for (const layout_recipe *recipe = layout_recipes; recipe->name; recipe++)
        if (strcmp(recipe->name, name) == 0) return recipe;
    return NULL;
}

/* ---- types ---- */

static bool ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), n_suffix = strlen(suffix);
    return n >= n_suffix && strcmp(name + n - n_suffix, suffix) == 0;
}

static bool has_4_bits(const layout_recipe *recipe, const char *name) {
    int layer;
    return sscanf(name, "blk.%d.", &layer) == 1 && layer >= recipe->first_q4 && layer < recipe->end_q4;
}

/* The prediction block's file has no F16 tensors (its name says Q4K, Q8_0, F32). */
static const layout_recipe MTP = {"mtp", 0, 0};

static uint32_t matrix_type(const layout_recipe *recipe, const char *name) {
    static const char *const half[] = {
        "token_embd.weight",       "_fn.weight",          "_compressor_kv.weight", "_compressor_gate.weight",
        "indexer.attn_q_b.weight", "indexer.proj.weight", "ffn_gate_inp.weight"};
    for (size_t i = 0; i < sizeof half / sizeof *half; i++)
        if (ends_with(name, half[i])) return recipe == &MTP ? BLOCK_F32 : BLOCK_F16;
    if (!ends_with(name, "_exps.weight")) return BLOCK_Q8_0;
    if (recipe == &MTP || has_4_bits(recipe, name)) return BLOCK_Q4_K;
    return ends_with(name, "ffn_down_exps.weight") ? BLOCK_Q2_K : BLOCK_IQ2_XXS;
}

static uint32_t type_of(const layout_recipe *recipe, const char *name, weight_class class) {
    switch (class) {
    case WEIGHT_MATRIX: return matrix_type(recipe, name);
    case WEIGHT_POSITIONS: return BLOCK_F16;
    case WEIGHT_VECTOR: return BLOCK_F32;
    case WEIGHT_IDS: return BLOCK_I32;
    }
    return BLOCK_F32;
}

/* ---- the directory ---- */

typedef struct directory {
    const layout_recipe *recipe;
    const hyperparameters *hparams;
    gguf_file *file;
    char (*name)[NAME_BYTES]; /* [MAX_TENSORS] */
    size_t n_bytes;           /* of the tensors so far, each aligned */
} directory;

static ds4_status add_tensor(void *context, const char *name, weight_class class, const uint64_t *ne, uint32_t n_dims,
                             ds4_error *error) {
    directory *to = context;
    gguf_file *file = to->file;
    if (file->n_tensors == MAX_TENSORS)
        return error_set(error, DS4_ERROR_FORMAT, "%s: more than %d tensors", file->name, MAX_TENSORS);
    uint32_t type = type_of(to->recipe, name, class);
    gguf_tensor *tensor = &file->tensors[file->n_tensors];
    *tensor = (gguf_tensor){.format = block_format_find(type), .type = type, .n_dims = n_dims, .ne = {1, 1, 1, 1}};
    for (uint32_t d = 0; d < n_dims; d++) tensor->ne[d] = ne[d];
    tensor->row_bytes = (size_t)(ne[0] / tensor->format->n_elements) * tensor->format->n_bytes;
    tensor->n_bytes = tensor->row_bytes * (size_t)(tensor->ne[1] * tensor->ne[2]);
    tensor->offset = to->n_bytes;
    to->n_bytes += (tensor->n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    snprintf(to->name[file->n_tensors++], NAME_BYTES, "%s", name);
    return DS4_OK;
}

static ds4_status list_tensors(directory *to, ds4_error *error) {
    model_weights none;
    mtp_weights no_block;
    weight_reader reader = {
        .file = to->file, .hparams = to->hparams, .error = error, .list = add_tensor, .list_context = to};
    if (to->recipe == &MTP) return weight_reader_mtp(&reader, &no_block);
    ds4_status status = weight_reader_model(&reader, &none);
    model_weights_deinit(&none);
    return status;
}

/* Address space for the whole file. Only the directory is ever written. */
static ds4_status reserve(gguf_file *file, size_t n_bytes, const void *names, ds4_error *error) {
    ds4_status status = file_map_zeros(file->name, names, DIRECTORY_BYTES, n_bytes, &file->map, error);
    if (status != DS4_OK) return status;
    file->bytes = file->map.data;
    file->n_bytes = n_bytes;
    file->data_offset = DIRECTORY_BYTES;
    return DS4_OK;
}

static ds4_status index_tensors(gguf_file *file, ds4_error *error) {
    file->key_index = gguf_index_new(0);
    file->tensor_index = gguf_index_new(file->n_tensors);
    if (!file->key_index || !file->tensor_index) return error_memory(error, file->name, sizeof *file);
    for (size_t i = 0; i < file->n_tensors; i++) {
        gguf_tensor *tensor = &file->tensors[i];
        const char *name = (const char *)file->bytes + i * NAME_BYTES;
        tensor->name = (gguf_string){.data = name, .n_bytes = strlen(name)};
        tensor->data = file->bytes + file->data_offset + tensor->offset;
        if (!gguf_index_add(file->tensor_index, tensor->name, i))
            return error_set(error, DS4_ERROR_FORMAT, "%s: two tensors are called %s", file->name, name);
    }
    return DS4_OK;
}

ds4_status layout_open(const layout_recipe *recipe, gguf_file **file, ds4_error *error) {
    hyperparameters hparams = hyperparameters_flash();
    return layout_open_shape(recipe, &hparams, file, error);
}

ds4_status layout_open_mtp(gguf_file **file, ds4_error *error) {
    return layout_open(&MTP, file, error);
}

ds4_status layout_open_shape(const layout_recipe *recipe, const hyperparameters *hparams, gguf_file **out,
                             ds4_error *error) {
    directory to = {.recipe = recipe, .hparams = hparams, .file = array_new(1, sizeof *to.file)};
    ds4_status status = DS4_OK;
    to.name = array_new(MAX_TENSORS, NAME_BYTES);
    if (to.file) {
        to.file->alignment = ALIGNMENT;
        to.file->name = strdup(recipe->name);
        to.file->tensors = array_new(MAX_TENSORS, sizeof *to.file->tensors);
    }
    if (!to.name || !to.file || !to.file->name || !to.file->tensors)
        status = error_memory(error, recipe->name, MAX_TENSORS * sizeof *to.file->tensors);
    if (status == DS4_OK) status = list_tensors(&to, error);
    if (status == DS4_OK) status = reserve(to.file, DIRECTORY_BYTES + to.n_bytes, to.name, error);
    if (status == DS4_OK) status = index_tensors(to.file, error);
    free(to.name);
    if (status == DS4_OK)
        *out = to.file;
    else
        gguf_close(to.file);
    return status;
}
