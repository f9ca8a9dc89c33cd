#include "model/sizes.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static bool contains(gguf_string name, const char *part) {
    size_t n_bytes = strlen(part);
    for (size_t at = 0; at + n_bytes <= name.n_bytes; at++)
        if (memcmp(name.data + at, part, n_bytes) == 0) return true;
    return false;
}

static bool ends_with(gguf_string name, const char *suffix) {
    size_t n = strlen(suffix);
    return name.n_bytes >= n && memcmp(name.data + name.n_bytes - n, suffix, n) == 0;
}

/* A tensor belongs to the first group of which a part is in its name; the order matters where two would fit. */
static const struct {
    const char *name;
    const char *part[2];
} GROUP[N_TENSOR_GROUPS] = {
    {"routed experts", {"_exps."}}, {"shared experts", {"_shexp."}},       {"hyper-connections", {"hc_"}},
    {"indexer", {"indexer"}},       {"compressors", {"attn_compressor_"}}, {"attention", {".attn_", "_proj"}},
    {"embedding", {"token_embd."}}, {"output", {"output.weight"}},         {"other", {""}},
};

static size_t group_of(gguf_string name) {
    for (size_t g = 0;; g++)
        for (size_t p = 0; p < 2 && GROUP[g].part[p]; p++)
            if (contains(name, GROUP[g].part[p])) return g;
}

/* ---- sizes ---- */

void size_format(uint64_t n_bytes, char text[32]) {
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)n_bytes;
    size_t u = 0;
    for (; size >= 1024 && u + 1 < sizeof unit / sizeof *unit; u++) size /= 1024;
    snprintf(text, 32, u ? "%.2f %s" : "%.0f %s", size, unit[u]);
}

void tensor_groups_read(const gguf_file *file, tensor_group group[N_TENSOR_GROUPS]) {
    for (size_t g = 0; g < N_TENSOR_GROUPS; g++) group[g] = (tensor_group){.name = GROUP[g].name};
    for (size_t i = 0; i < file->n_tensors; i++) {
        tensor_group *of = &group[group_of(file->tensors[i].name)];
        of->n_tensors++;
        of->n_bytes += file->tensors[i].n_bytes;
    }
}

uint64_t tensor_bytes(const gguf_file *file) {
    uint64_t sum = 0;
    for (size_t i = 0; i < file->n_tensors; i++) sum += file->tensors[i].n_bytes;
    return sum;
}

static int by_offset(const void *a, const void *b) {
    const gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

ds4_status tensor_bytes_shared(const gguf_file *file, uint64_t *n_bytes, ds4_error *error) {
    const gguf_tensor **tensor = array_new(file->n_tensors, sizeof *tensor);
    if (!tensor) return error_memory(error, file->name, file->n_tensors * sizeof *tensor);
    size_t n = 0;
    for (size_t i = 0; i < file->n_tensors; i++)
        if (file->tensors[i].data) tensor[n++] = &file->tensors[i];
    qsort(tensor, n, sizeof *tensor, by_offset);
    uint64_t sum = 0, counted = 0; /* everything before `counted` has been */
    for (size_t i = 0; i < n; i++) {
        uint64_t start = tensor[i]->offset, end = start + tensor[i]->n_bytes;
        if (start < counted) start = counted;
        if (end <= start) continue;
        sum += end - start;
        counted = end;
    }
    free(tensor);
    *n_bytes = sum;
    return DS4_OK;
}

/* ---- what a batch needs ---- */

/* Rows that a token behind `position` others sees in a layer of ratio 4, and whether it must choose among them. */
static size_t rows_of_ratio_4(size_t position, int n_tokens) {
    return (position + (size_t)n_tokens) / 4;
}

static bool chooses(const hyperparameters *h, size_t position, int n_tokens) {
    return rows_of_ratio_4(position, n_tokens) > (size_t)h->index_top_k;
}

uint64_t tensor_bytes_needed(const gguf_file *file, const hyperparameters *h, size_t position, int n_tokens) {
    uint64_t n = (uint64_t)n_tokens, n_experts = n * (uint64_t)h->n_experts_used, sum = 0;
    if (n_experts > (uint64_t)h->n_experts) n_experts = (uint64_t)h->n_experts;
    bool choosing = chooses(h, position, n_tokens);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const gguf_tensor *tensor = &file->tensors[i];
        if (ends_with(tensor->name, "_exps.weight"))
            sum += tensor->n_bytes / (uint64_t)h->n_experts * n_experts;
        else if (ends_with(tensor->name, "token_embd.weight") || ends_with(tensor->name, "tid2eid.weight"))
            sum += tensor->row_bytes * n; /* a row for each token */
        else if (ends_with(tensor->name, "_ape.weight"))
            sum += tensor->row_bytes * (n < tensor->ne[1] ? n : tensor->ne[1]);
        else if (choosing || !ends_with(tensor->name, "indexer.attn_q_b.weight"))
            sum += tensor->n_bytes;
    }
    return sum;
}

/* Products with the matrices, of which a token uses some experts. */
static double matrix_operations(const gguf_file *file, const hyperparameters *h, bool choosing) {
    double sum = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const gguf_tensor *tensor = &file->tensors[i];
        double n = 2 * (double)tensor->ne[0] * (double)tensor->ne[1];
        bool is_looked_up = ends_with(tensor->name, "token_embd.weight") || ends_with(tensor->name, "tid2eid.weight") ||
                            ends_with(tensor->name, "_ape.weight");
        if (tensor->n_dims < 2 || is_looked_up || ends_with(tensor->name, "output.weight")) continue;
        if (!choosing && ends_with(tensor->name, "indexer.attn_q_b.weight")) continue;
        sum += ends_with(tensor->name, "_exps.weight") ? n * h->n_experts_used : n;
    }
    return sum;
}

/* Rows of layer l that attention reads beside the window. */
static size_t attended_rows(const hyperparameters *h, int l, size_t position) {
    if (!h->ratio[l]) return 0;
    size_t rows = (position + 1) / (size_t)h->ratio[l];
    return h->ratio[l] == 4 && rows > (size_t)h->index_top_k ? (size_t)h->index_top_k : rows;
}

static size_t window_rows(const hyperparameters *h, size_t position) {
    return position + 1 < (size_t)h->window ? position + 1 : (size_t)h->window;
}

double token_operations(const gguf_file *file, const hyperparameters *h, size_t position) {
    bool choosing = chooses(h, position, 1);
    double per_row = 4.0 * h->n_heads * h->head_dim; /* a score, and its part of the sum */
    double per_score = 2.0 * h->n_index_heads * h->index_dim;
    double sum = matrix_operations(file, h, choosing);
    for (int l = 0; l < h->n_layers; l++) {
        sum += per_row * (double)(window_rows(h, position) + attended_rows(h, l, position));
        if (h->ratio[l] == 4 && choosing) sum += per_score * (double)rows_of_ratio_4(position, 1);
    }
    return sum;
}

uint64_t row_bytes_needed(const hyperparameters *h, size_t position, size_t raw_bytes, size_t compressed_bytes,
                          size_t index_bytes) {
    uint64_t sum = 0;
    for (int l = 0; l < h->n_layers; l++) {
        sum += window_rows(h, position) * raw_bytes + attended_rows(h, l, position) * compressed_bytes;
        if (h->ratio[l] == 4 && chooses(h, position, 1)) sum += rows_of_ratio_4(position, 1) * index_bytes;
    }
    return sum;
}
