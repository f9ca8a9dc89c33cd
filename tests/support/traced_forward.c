#include "support/traced_forward.h"

#include "test.h"

#include <stdlib.h>

static void traced_layer(const batch *b, const layer_weights *w, const activations *a, trace_observer *observe,
                         void *context) {
    const backend_ops *op = b->backend->op;
    op->hyper_in(b, &w->hyper_attn, w->attn_norm, a->streams, a->x, a->mix);
    observe(context, TRACE_ATTN_IN, w->index);
    op->project(b, w, a->x, &a->low);
    op->queries(b, w, &a->low, a->q, a->index_q);
    observe(context, TRACE_QUERIES, w->index);
    op->remember(b, w, &a->low);
    observe(context, TRACE_REMEMBERED, w->index);
    op->select(b, w, &a->low, a->index_q, a->selected, a->n_selected);
    observe(context, TRACE_SELECTED, w->index);
    op->attend(b, w, a->q, a->selected, a->n_selected, a->heads);
    observe(context, TRACE_HEADS, w->index);
    op->attend_out(b, w, a->heads, a->y);
    observe(context, TRACE_ATTN_OUT, w->index);
    op->hyper_out(b, a->y, a->mix, a->streams);
    observe(context, TRACE_ATTN_ADDED, w->index);

    op->hyper_in(b, &w->hyper_ffn, w->ffn_norm, a->streams, a->x, a->mix);
    observe(context, TRACE_FFN_IN, w->index);
    op->route(b, w, a->x, a->expert, a->expert_weight);
    observe(context, TRACE_ROUTED, w->index);
    op->experts(b, w, a->x, a->expert, a->expert_weight, a->y);
    observe(context, TRACE_FFN_OUT, w->index);
    op->hyper_out(b, a->y, a->mix, a->streams);
    observe(context, TRACE_LAYER_DONE, w->index);
}

void traced_forward(ds4_timeline *timeline, const int32_t *tokens, int n, trace_observer *observe, void *context) {
    ds4_engine *engine = timeline->engine;
    const model_weights *w = &engine->model->weights;
    ds4_error error;
    assert_true(n <= engine->chunk_tokens);
    assert_ok(timeline_reserve(timeline, (size_t)n, &error), &error);
    int64_t *position = calloc((size_t)n, sizeof *position);
    int32_t *span_of = calloc((size_t)n, sizeof *span_of);
    assert_non_null(position);
    assert_non_null(span_of);
    for (int t = 0; t < n; t++) position[t] = t;
    batch_span span = {.memory = timeline->layer, .n_tokens = n};
    batch b = {.backend = engine->backend,
               .n_tokens = n,
               .token = tokens,
               .position = position,
               .span_of = span_of,
               .span = &span,
               .n_spans = 1};
    assert_ok(b.backend->op->begin(&b, &error), &error);
    b.backend->op->embed(&b, w->token_embedding, engine->act.streams);
    for (int l = 0; l < engine->model->hparams.n_layers; l++)
        traced_layer(&b, &w->layer[l], &engine->act, observe, context);
    assert_ok(b.backend->op->finish(&b, &error), &error);
    free(span_of);
    free(position);
}
