/* The forward pass by hand: the operations of the engine's backend in their order, with a look at the
 * activations after each. */
#ifndef SUPPORT_TRACED_FORWARD_H
#define SUPPORT_TRACED_FORWARD_H

#include "engine/engine.h"

/* What has just been computed; in the order of a layer. */
typedef enum trace_stage {
    TRACE_ATTN_IN,    /* x */
    TRACE_QUERIES,    /* q */
    TRACE_REMEMBERED, /* the backend's fresh rows, compressed rows */
    TRACE_SELECTED,   /* selected, n_selected */
    TRACE_HEADS,      /* heads */
    TRACE_ATTN_OUT,   /* y */
    TRACE_ATTN_ADDED, /* streams */
    TRACE_FFN_IN,     /* x */
    TRACE_ROUTED,     /* expert, expert_weight */
    TRACE_FFN_OUT,    /* y */
    TRACE_LAYER_DONE, /* streams */
} trace_stage;

typedef void trace_observer(void *context, trace_stage stage, int layer);

/* Runs n tokens through the layers, on an empty timeline (which does not get longer). */
void traced_forward(ds4_timeline *timeline, const int32_t *tokens, int n, trace_observer *observe, void *context);

#endif
