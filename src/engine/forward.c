/* The model: DeepSeek V4, written once. Prefill, decode and several conversations differ only in the batch. */
#include "engine/engine.h"

static void forward_layer(const backend_ops *op, const batch *b, const layer_weights *w, const activations *a) {
    op->hyper_in(b, &w->hyper_attn, w->attn_norm, a->streams, a->x, a->mix);
    op->project(b, w, a->x, &a->low); /* q_a, kv, compressors, indexer: all that read x */
    op->queries(b, w, &a->low, a->q, a->index_q);
    op->remember(b, w, &a->low); /* raw row, windows, finished rows */
    op->select(b, w, &a->low, a->index_q, a->selected, a->n_selected);
    op->attend(b, w, a->q, a->selected, a->n_selected, a->heads);
    op->attend_out(b, w, a->heads, a->y);
    op->hyper_out(b, a->y, a->mix, a->streams);

    op->hyper_in(b, &w->hyper_ffn, w->ffn_norm, a->streams, a->x, a->mix);
    op->route(b, w, a->x, a->expert, a->expert_weight);
    op->experts(b, w, a->x, a->expert, a->expert_weight, a->y);
    op->hyper_out(b, a->y, a->mix, a->streams);
}

ds4_status forward(ds4_engine *engine, const batch *b, ds4_progress *progress, void *progress_context, size_t done,
                   size_t total, ds4_error *error) {
    const backend_ops *op = engine->backend->op;
    const model_weights *w = &engine->model->weights;
    size_t n_layers = (size_t)engine->model->hparams.n_layers;

    ds4_status status = op->begin(b, error);
    if (status != DS4_OK) return status;
    op->embed(b, w->token_embedding, engine->act.streams);
    for (size_t l = 0; l < n_layers; l++) {
        if (progress && progress(progress_context, done + (size_t)b->n_tokens * l / n_layers, total)) {
            op->cancel(b);
            return error_set(error, DS4_CANCELLED, "cancelled");
        }
        forward_layer(op, b, &w->layer[l], &engine->act);
    }
    op->logits(b, w, engine->act.streams);
    return op->finish(b, error);
}
