/*
 * From logits to a token. Candidates are cut by top_k, then walked in order of probability until top_p is
 * reached or one falls below min_p times the best; the draw is among what is left. Without top_k and top_p
 * no order is needed and one pass over the vocabulary does.
 */
#include "base/error.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
    float logit;
    int32_t id;
};

struct ds4_sampler {
    ds4_sampling sampling;
    size_t n_vocab;
    uint64_t state;              /* xorshift64* */
    struct candidate *candidate; /* [n_vocab] */
};

ds4_status ds4_sampler_new(const ds4_sampling *sampling, size_t n_vocab, uint64_t seed, ds4_sampler **out,
                           ds4_error *error) {
    if (!isfinite(sampling->temperature) || !isfinite(sampling->top_p) || !isfinite(sampling->min_p))
        return error_set(error, DS4_ERROR_ARGUMENT, "temperature, top_p and min_p must be finite numbers");
    ds4_sampler *sampler = array_new(1, sizeof *sampler);
    if (!sampler) return error_memory(error, "sampler", sizeof *sampler);
    *sampler = (ds4_sampler){.sampling = *sampling, .n_vocab = n_vocab};
    sampler->state = seed ? seed : 0x9e3779b97f4a7c15u;
    ds4_sampling *s = &sampler->sampling;
    if (s->top_k < 0) s->top_k = 0;
    if (s->top_p <= 0 || s->top_p > 1) s->top_p = 1;
    if (s->min_p < 0) s->min_p = 0;
    sampler->candidate = array_new(n_vocab, sizeof *sampler->candidate);
    if (!sampler->candidate) {
        free(sampler);
        return error_memory(error, "sampler", n_vocab * sizeof *sampler->candidate);
    }
    *out = sampler;
    return DS4_OK;
}

void ds4_sampler_free(ds4_sampler *sampler) {
    if (!sampler) return;
    free(sampler->candidate);
    free(sampler);
}

/* Uniform in [0, 1) with 24 bits. */
static double draw_uniform(ds4_sampler *sampler) {
    uint64_t x = sampler->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sampler->state = x;
    return (double)(x * 0x2545f4914f6cdd1du >> 40) * 0x1p-24;
}

static int32_t most_likely(const float *logits, size_t n) {
    int32_t best = -1;
    for (size_t i = 0; i < n; i++)
        if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best])) best = (int32_t)i;
    return best;
}

/* Best first; the lower id first among equals. */
static int by_logit(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static double relative_probability(const ds4_sampler *sampler, float logit, float best) {
    return exp(((double)logit - (double)best) / (double)sampler->sampling.temperature);
}

/* Draws among the first n candidates by their probability. */
static int32_t draw_among(ds4_sampler *sampler, size_t n, float best) {
    double mass = 0;
    for (size_t i = 0; i < n; i++) mass += relative_probability(sampler, sampler->candidate[i].logit, best);
    double target = draw_uniform(sampler) * mass, sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += relative_probability(sampler, sampler->candidate[i].logit, best);
        if (sum > target) return sampler->candidate[i].id;
    }
    return sampler->candidate[n - 1].id;
}

/* How many of the n sorted candidates stay. */
static size_t cut(const ds4_sampler *sampler, size_t n, float best) {
    const ds4_sampling *s = &sampler->sampling;
    double mass = 0, sum = 0;
    for (size_t i = 0; i < n; i++) mass += relative_probability(sampler, sampler->candidate[i].logit, best);
    for (size_t i = 0; i < n; i++) {
        double p = relative_probability(sampler, sampler->candidate[i].logit, best);
        if (i && p < (double)s->min_p) return i;
        sum += p;
        if (sum >= (double)s->top_p * mass) return i + 1;
    }
    return n;
}

int32_t ds4_sampler_draw(ds4_sampler *sampler, const float *logits) {
    const ds4_sampling *s = &sampler->sampling;
    int32_t top = most_likely(logits, sampler->n_vocab);
    if (top < 0 || s->temperature <= 0) return top;
    bool ordered = s->top_k > 0 || s->top_p < 1;
    size_t n = 0;
    for (size_t i = 0; i < sampler->n_vocab; i++) {
        if (!isfinite(logits[i])) continue;
        if (!ordered && relative_probability(sampler, logits[i], logits[top]) < (double)s->min_p && (int32_t)i != top)
            continue;
        sampler->candidate[n++] = (struct candidate){logits[i], (int32_t)i};
    }
    if (ordered) {
        qsort(sampler->candidate, n, sizeof *sampler->candidate, by_logit);
        if (s->top_k > 0 && n > (size_t)s->top_k) n = (size_t)s->top_k;
        n = cut(sampler, n, logits[top]);
    }
    return draw_among(sampler, n, logits[top]);
}
