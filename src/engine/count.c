#include "engine/count.h"
#include "backend/gpu/gpu.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "model/sizes.h"

#include <stdlib.h>

struct counter {
    const ds4_model *model;
    ds4_model own; /* of counter_new */
    ds4_engine *engine;
    int32_t *token, *span_of; /* [max_tokens] */
    int64_t *position;
    float *logits; /* [n_vocab] */
};

static ds4_status new_device(device **out, ds4_error *error) {
    return counting_device_new(false, out, error);
}

static ds4_status allocate(counter *c, int max_tokens, ds4_error *error) {
    size_t n = (size_t)max_tokens, n_vocab = (size_t)c->model->hparams.n_vocab;
    c->token = array_new(n, sizeof *c->token);
    c->span_of = array_new(n, sizeof *c->span_of);
    c->position = array_new(n, sizeof *c->position);
    c->logits = array_new(n_vocab, sizeof *c->logits);
    if (c->token && c->span_of && c->position && c->logits) return DS4_OK;
    return error_memory(error, "counting", n * sizeof *c->position + n_vocab * sizeof *c->logits);
}

static ds4_status start(counter *c, int max_tokens, ds4_error *error) {
    ds4_engine_options options = {.chunk_tokens = max_tokens};
    ds4_status status = engine_new_on(c->model, &options, new_device, &c->engine, error);
    return status == DS4_OK ? allocate(c, max_tokens, error) : status;
}

ds4_status counter_new(const layout_recipe *recipe, int max_tokens, counter **out, ds4_error *error) {
    counter *c = array_new(1, sizeof *c);
    if (!c) return error_memory(error, "counting", sizeof *c);
    ds4_model *model = &c->own;
    c->model = model;
    model->hparams = hyperparameters_flash();
    model->has_weights = true;
    ds4_status status = layout_open(recipe, &model->file, error);
    if (status == DS4_OK) status = model_weights_read(model->file, &model->hparams, NULL, &model->weights, error);
    if (status == DS4_OK) status = start(c, max_tokens, error);
    if (status == DS4_OK)
        *out = c;
    else
        counter_free(c);
    return status;
}

ds4_status counter_new_on(const ds4_model *model, int max_tokens, counter **out, ds4_error *error) {
    counter *c = array_new(1, sizeof *c);
    if (!c) return error_memory(error, "counting", sizeof *c);
    c->model = model;
    ds4_status status = start(c, max_tokens, error);
    if (status == DS4_OK)
        *out = c;
    else
        counter_free(c);
    return status;
}

void counter_free(counter *c) {
    if (!c) return;
    ds4_engine_free(c->engine);
    model_weights_deinit(&c->own.weights);
    gguf_close(c->own.file);
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
        c->token[i] = i % c->model->hparams.n_vocab;
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

uint64_t counter_minimum(const counter *c, size_t position, int n_tokens) {
    return tensor_bytes_needed(c->model->file, &c->model->hparams, position, n_tokens);
}

uint64_t counter_tensor_bytes(const counter *c) {
    return tensor_bytes(c->model->file);
}

size_t counter_max_context(const counter *c) {
    return (size_t)c->model->hparams.max_context;
}
