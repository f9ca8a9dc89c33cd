#include "support/timelines.h"

#include "test.h"

void make_tokens(unsigned seed, int32_t n_vocab, int32_t *tokens, size_t n) {
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        tokens[i] = (int32_t)(x >> 16) % n_vocab;
    }
}

ds4_timeline *new_timeline(ds4_engine *engine, size_t max_tokens) {
    ds4_timeline *timeline = NULL;
    ds4_error error;
    assert_ok(ds4_timeline_new(engine, max_tokens, &timeline, &error), &error);
    return timeline;
}

void evaluate(ds4_engine *engine, ds4_timeline *timeline, const int32_t *tokens, size_t n, float *last_logits) {
    ds4_error error;
    ds4_span span = {.timeline = timeline,
                     .tokens = tokens,
                     .n_tokens = n,
                     .wanted = last_logits ? DS4_LOGITS_LAST : DS4_LOGITS_NONE,
                     .logits = last_logits};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
}
