/*
 * From logits to a token. Candidates are cut by top_k, then walked in order of probability until top_p is
 * reached or one falls below min_p times the best; the draw is among what is left. Sorting a whole vocabulary takes
 * longer than anything else here, so no more is sorted than the walk sees: what min_p drops is left out first,
 * and the rest is sorted in growing heads. Without top_k and top_p no order is needed.
 */
#include "base/error.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    float logit;
    int32_t id;
};

struct ds4_sampler {
    ds4_sampling sampling;
    size_t n_vocab;
    uint64_t state;              /* xorshift64* */
    struct candidate *candidate; /* [n_vocab] */
    uint16_t *count;             /* [n_vocab]: how often the answer has the token; NULL without penalties */
    ds4_logit_bias *bias;        /* [n_bias] */
    size_t n_bias;
    float *adjusted; /* [n_vocab]: logits with bias and penalties; NULL without these */
};

static ds4_status allocate(ds4_sampler *sampler, ds4_error *error) {
    size_t n = sampler->n_vocab;
    bool has_penalty = sampler->sampling.presence_penalty != 0 || sampler->sampling.frequency_penalty != 0;
    sampler->candidate = array_new(n, sizeof *sampler->candidate);
    if (has_penalty) sampler->count = array_new(n, sizeof *sampler->count);
    if (has_penalty) sampler->adjusted = array_new(n, sizeof *sampler->adjusted);
    if (sampler->candidate && (!has_penalty || (sampler->count && sampler->adjusted))) return DS4_OK;
    return error_memory(error, "sampler", n * sizeof *sampler->candidate);
}

ds4_status ds4_sampler_new(const ds4_sampling *sampling, size_t n_vocab, uint64_t seed, ds4_sampler **out,
                           ds4_error *error) {
    if (!isfinite(sampling->temperature) || !isfinite(sampling->top_p) || !isfinite(sampling->min_p))
        return error_set(error, DS4_ERROR_ARGUMENT, "temperature, top_p and min_p must be finite numbers");
    if (!isfinite(sampling->presence_penalty) || !isfinite(sampling->frequency_penalty))
        return error_set(error, DS4_ERROR_ARGUMENT, "the penalties must be finite numbers");
    ds4_sampler *sampler = array_new(1, sizeof *sampler);
    if (!sampler) return error_memory(error, "sampler", sizeof *sampler);
    *sampler = (ds4_sampler){.sampling = *sampling, .n_vocab = n_vocab};
    sampler->state = seed ? seed : 0x9e3779b97f4a7c15u;
    ds4_sampling *s = &sampler->sampling;
    if (s->top_k < 0) s->top_k = 0;
    if (s->top_p <= 0 || s->top_p > 1) s->top_p = 1;
    if (s->min_p < 0) s->min_p = 0;
    ds4_status status = allocate(sampler, error);
    if (status != DS4_OK) {
        ds4_sampler_free(sampler);
        return status;
    }
    *out = sampler;
    return DS4_OK;
}

void ds4_sampler_free(ds4_sampler *sampler) {
    if (!sampler) return;
    free(sampler->candidate);
    free(sampler->count);
    free(sampler->bias);
    free(sampler->adjusted);
    free(sampler);
}

/* ---- bias and penalties -------------------------------------------------------------------------- */

ds4_status ds4_sampler_set_bias(ds4_sampler *sampler, const ds4_logit_bias *bias, size_t n, ds4_error *error) {
    for (size_t i = 0; i < n; i++) {
        if (bias[i].id < 0 || (size_t)bias[i].id >= sampler->n_vocab)
            return error_set(error, DS4_ERROR_ARGUMENT, "logit bias: token %ld, expected 0 to %zu", (long)bias[i].id,
                             sampler->n_vocab - 1);
        if (!isfinite(bias[i].bias))
            return error_set(error, DS4_ERROR_ARGUMENT, "logit bias of token %ld: expected a finite number",
                             (long)bias[i].id);
    }
    ds4_logit_bias *copy = NULL;
    if (n) {
        copy = array_new(n, sizeof *copy);
        if (!sampler->adjusted) sampler->adjusted = array_new(sampler->n_vocab, sizeof *sampler->adjusted);
        if (!copy || !sampler->adjusted) {
            free(copy);
            return error_memory(error, "logit bias", n * sizeof *copy);
        }
        memcpy(copy, bias, n * sizeof *copy);
    }
    free(sampler->bias);
    sampler->bias = copy;
    sampler->n_bias = n;
    return DS4_OK;
}

void ds4_sampler_note(ds4_sampler *sampler, int32_t id) {
    if (!sampler->count || id < 0 || (size_t)id >= sampler->n_vocab) return;
    if (sampler->count[id] < UINT16_MAX) sampler->count[id]++;
}

/* The logits with bias and penalties: the same array if there are none. */
static const float *adjust(ds4_sampler *sampler, const float *logits) {
    if (!sampler->n_bias && !sampler->count) return logits;
    const ds4_sampling *s = &sampler->sampling;
    float *adjusted = sampler->adjusted;
    memcpy(adjusted, logits, sampler->n_vocab * sizeof *adjusted);
    for (size_t i = 0; i < sampler->n_bias; i++) adjusted[sampler->bias[i].id] += sampler->bias[i].bias;
    for (size_t i = 0; sampler->count && i < sampler->n_vocab; i++)
        if (sampler->count[i]) adjusted[i] -= s->presence_penalty + s->frequency_penalty * (float)sampler->count[i];
    return adjusted;
}

/* ---- drawing ------------------------------------------------------------------------------------- */

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

/* Restores a heap that has its worst candidate at the root. */
static void sink(struct candidate *heap, size_t k, size_t at) {
    struct candidate moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < k; at = child) {
        if (child + 1 < k && by_logit(&heap[child], &heap[child + 1]) < 0) child++;
        if (by_logit(&moved, &heap[child]) >= 0) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Moves the best k of n candidates to the front, in no order. */
static void select_best(struct candidate *candidate, size_t n, size_t k) {
    if (!k || k >= n) return;
    for (size_t i = k / 2; i-- > 0;) sink(candidate, k, i);
    for (size_t i = k; i < n; i++) {
        if (by_logit(&candidate[i], &candidate[0]) >= 0) continue;
        struct candidate better = candidate[i];
        candidate[i] = candidate[0];
        candidate[0] = better;
        sink(candidate, k, 0);
    }
}

static double relative_probability(const ds4_sampler *sampler, float logit, float best) {
    return exp(((double)logit - (double)best) / (double)sampler->sampling.temperature);
}

static double mass_of(const ds4_sampler *sampler, size_t n, float best) {
    double mass = 0;
    for (size_t i = 0; i < n; i++) mass += relative_probability(sampler, sampler->candidate[i].logit, best);
    return mass;
}

/* Draws among the first n candidates by their probability. */
static int32_t draw_among(ds4_sampler *sampler, size_t n, float best) {
    double target = draw_uniform(sampler) * mass_of(sampler, n, best), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += relative_probability(sampler, sampler->candidate[i].logit, best);
        if (sum > target) return sampler->candidate[i].id;
    }
    return sampler->candidate[n - 1].id;
}

/* Logits below this are certainly below min_p; those that are not are looked at one by one. */
static double least_logit(const ds4_sampler *sampler, float best) {
    const ds4_sampling *s = &sampler->sampling;
    if (s->min_p <= 0) return -INFINITY;
    double least = (double)best + (double)s->temperature * log((double)s->min_p);
    return fmin(least, (double)best) - 1e-9 * (fabs(least) + fabs((double)best));
}

static size_t drop_below(struct candidate *candidate, size_t n, double least) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)candidate[i].logit >= least) candidate[kept++] = candidate[i];
    return kept;
}

/* Sorts as many of the n candidates as the walk sees and returns how many stay. mass is that of all before min_p. */
static size_t cut(const ds4_sampler *sampler, size_t n, double mass, float best) {
    static const size_t head[] = {256, 4096, SIZE_MAX};
    const ds4_sampling *s = &sampler->sampling;
    struct candidate *candidate = sampler->candidate;
    double sum = 0;
    for (size_t h = 0, i = 0; i < n; h++) {
        size_t end = head[h] < n ? head[h] : n;
        select_best(candidate + i, n - i, end - i);
        qsort(candidate + i, end - i, sizeof *candidate, by_logit);
        for (; i < end; i++) {
            double p = relative_probability(sampler, candidate[i].logit, best);
            if (i && p < (double)s->min_p) return i;
            sum += p;
            if (s->top_p < 1 && sum >= (double)s->top_p * mass) return i + 1;
        }
    }
    return n;
}

/* The finite logits of at least least become candidates. */
static size_t list_candidates(ds4_sampler *sampler, const float *logits, double least) {
    size_t n = 0;
    for (size_t i = 0; i < sampler->n_vocab; i++)
        if (isfinite(logits[i]) && (double)logits[i] >= least)
            sampler->candidate[n++] = (struct candidate){logits[i], (int32_t)i};
    return n;
}

static size_t list_above_min_p(ds4_sampler *sampler, const float *logits, int32_t top, double least) {
    size_t n = list_candidates(sampler, logits, least), kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct candidate c = sampler->candidate[i];
        bool stays = relative_probability(sampler, c.logit, logits[top]) >= (double)sampler->sampling.min_p;
        if (stays || c.id == top) sampler->candidate[kept++] = c;
    }
    return kept;
}

int32_t ds4_sampler_draw(ds4_sampler *sampler, const float *logits) {
    const ds4_sampling *s = &sampler->sampling;
    logits = adjust(sampler, logits);
    int32_t top = most_likely(logits, sampler->n_vocab);
    if (top < 0 || s->temperature <= 0) return top;
    float best = logits[top];
    double least = least_logit(sampler, best);
    size_t n;
    if (s->top_k > 0 || s->top_p < 1) {
        bool needs_mass = s->top_p < 1; /* of what top_k leaves, also of what min_p drops */
        n = list_candidates(sampler, logits, needs_mass ? -INFINITY : least);
        if (s->top_k > 0 && n > (size_t)s->top_k) {
            select_best(sampler->candidate, n, (size_t)s->top_k);
            n = (size_t)s->top_k;
        }
        double mass = needs_mass ? mass_of(sampler, n, best) : 0;
        n = cut(sampler, drop_below(sampler->candidate, n, least), mass, best);
    } else {
        n = list_above_min_p(sampler, logits, top, least);
    }
    return draw_among(sampler, n, best);
}

int32_t ds4_sampler_most_likely(ds4_sampler *sampler, const float *logits) {
    return most_likely(adjust(sampler, logits), sampler->n_vocab);
}

/* ---- probabilities ------------------------------------------------------------------------------- */

size_t ds4_logprobs(const float *logits, size_t n_vocab, int32_t id, float *logprob, ds4_logprob *top, size_t n_top) {
    int32_t best = most_likely(logits, n_vocab);
    size_t n = 0;
    double mass = 0;
    for (size_t i = 0; best >= 0 && i < n_vocab; i++) {
        if (!isfinite(logits[i])) continue;
        mass += exp((double)logits[i] - (double)logits[best]);
        /* top holds logits, the best first; equal ones keep the order of their ids */
        if (n == n_top && (!n || logits[i] <= top[n - 1].logprob)) continue;
        size_t at = n < n_top ? n++ : n - 1;
        for (; at && top[at - 1].logprob < logits[i]; at--) top[at] = top[at - 1];
        top[at] = (ds4_logprob){(int32_t)i, logits[i]};
    }
    double log_mass = best < 0 ? 0 : (double)logits[best] + log(mass);
    for (size_t i = 0; i < n; i++) top[i].logprob = (float)((double)top[i].logprob - log_mass);
    bool possible = id >= 0 && (size_t)id < n_vocab && isfinite(logits[id]);
    *logprob = possible ? (float)((double)logits[id] - log_mass) : -INFINITY;
    return n;
}
