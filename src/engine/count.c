#include "engine/count.h"
#include "backend/gpu/gpu.h"
#include "base/memory.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

struct counter {
    ds4_model model;
    ds4_engine *engine;
    int32_t *token, *span_of; /* [max_tokens] */
    int64_t *position;
    float *logits; /* [n_vocab] */
};

static ds4_status new_device(device **out, ds4_error *error) {
    return counting_device_new(false, out, error);
}

static ds4_status allocate(counter *c, int max_tokens, ds4_error *error) {
    size_t n = (size_t)max_tokens, n_vocab = (size_t)c->model.hparams.n_vocab;
    c->token = array_new(n, sizeof *c->token);
    c->span_of = array_new(n, sizeof *c->span_of);
    c->position = array_new(n, sizeof *c->position);
    c->logits = array_new(n_vocab, sizeof *c->logits);
    if (c->token && c->span_of && c->position && c->logits) return DS4_OK;
    return error_memory(error, "counting", n * sizeof *c->position + n_vocab * sizeof *c->logits);
}

ds4_status counter_new(const layout_recipe *recipe, int max_tokens, counter **out, ds4_error *error) {
    counter *c = array_new(1, sizeof *c);
    if (!c) return error_memory(error, "counting", sizeof *c);
    c->model.hparams = hyperparameters_flash();
    c->model.has_weights = true;
    ds4_engine_options options = {.chunk_tokens = max_tokens};
    ds4_status status = layout_open(recipe, &c->model.file, error);
    if (status == DS4_OK) status = model_weights_read(c->model.file, &c->model.hparams, NULL, &c->model.weights, error);
    if (status == DS4_OK) status = engine_new_on(&c->model, &options, new_device, &c->engine, error);
    if (status == DS4_OK) status = allocate(c, max_tokens, error);
    if (status == DS4_OK)
        *out = c;
    else
        counter_free(c);
    return status;
}

void counter_free(counter *c) {
    if (!c) return;
    ds4_engine_free(c->engine);
    model_weights_deinit(&c->model.weights);
    gguf_close(c->model.file);
    free(c->token);
    free(c->span_of);
    free(c->position);
    free(c->logits);
    free(c);
}

static device *device_of(const counter *c) {
    return ((gpu_backend *)(void *)c->engine->backend)->device;
}

const device *counter_device(const counter *c) {
    return device_of(c);
}

/* The tokens before the batch have their rows but were never evaluated: nothing depends on what is in them. */
static ds4_status evaluate(counter *c, ds4_timeline *timeline, size_t position, int n_tokens, ds4_error *error) {
    ds4_status status = timeline_reserve(timeline, position, error);
    timeline->tokens.n = position;
    if (status == DS4_OK) status = timeline_reserve(timeline, (size_t)n_tokens, error);
    if (status != DS4_OK) return status;
    for (int i = 0; i < n_tokens; i++) {
        c->token[i] = i % c->model.hparams.n_vocab;
        c->position[i] = (int64_t)position + i;
    }
    batch_span span = {.memory = timeline->layer,
                       .position = (int64_t)position,
                       .n_tokens = n_tokens,
                       .n_wanted = 1,
                       .logits = c->logits};
    batch b = {.backend = c->engine->backend,
               .n_tokens = n_tokens,
               .token = c->token,
               .position = c->position,
               .span_of = c->span_of,
               .span = &span,
               .n_spans = 1};
    counting_device_reset(device_of(c));
    return forward(c->engine, &b, NULL, NULL, 0, 0, error);
}

ds4_status counter_run(counter *c, size_t position, int n_tokens, ds4_error *error) {
    ds4_timeline *timeline;
    ds4_status status = ds4_timeline_new(c->engine, position + (size_t)n_tokens, &timeline, error);
    if (status != DS4_OK) return status;
    status = evaluate(c, timeline, position, n_tokens, error);
    ds4_timeline_free(timeline);
    return status;
}

/* ---- what is necessary ---- */

static bool ends_with(gguf_string name, const char *suffix) {
    size_t n = strlen(suffix);
    return name.n_bytes >= n && memcmp(name.data + name.n_bytes - n, suffix, n) == 0;
}

uint64_t counter_minimum(const counter *c, size_t position, int n_tokens) {
    const hyperparameters *h = &c->model.hparams;
    uint64_t n = (uint64_t)n_tokens, n_experts = n * (uint64_t)h->n_experts_used, sum = 0;
    if (n_experts > (uint64_t)h->n_experts) n_experts = (uint64_t)h->n_experts;
    bool chooses = (position + n) / 4 > (size_t)h->index_top_k;
    for (size_t i = 0; i < c->model.file->n_tensors; i++) {
        const gguf_tensor *tensor = &c->model.file->tensors[i];
        if (ends_with(tensor->name, "_exps.weight"))
            sum += tensor->n_bytes / (uint64_t)h->n_experts * n_experts;
        else if (ends_with(tensor->name, "token_embd.weight") || ends_with(tensor->name, "tid2eid.weight"))
            sum += tensor->row_bytes * n; /* a row for each token */
        else if (ends_with(tensor->name, "_ape.weight"))
            sum += tensor->row_bytes * (n < tensor->ne[1] ? n : tensor->ne[1]);
        else if (chooses || !ends_with(tensor->name, "indexer.attn_q_b.weight"))
            sum += tensor->n_bytes;
    }
    return sum;
}

uint64_t counter_tensor_bytes(const counter *c) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->model.file->n_tensors; i++) sum += c->model.file->tensors[i].n_bytes;
    return sum;
}

size_t counter_max_context(const counter *c) {
    return (size_t)c->model.hparams.max_context;
}
