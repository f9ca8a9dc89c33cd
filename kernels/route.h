/* How a SIMD-group chooses the experts of one token: route_token of src/backend/cpu/experts.c. */
#ifndef KERNELS_ROUTE_H
#define KERNELS_ROUTE_H

#include "shared.h"

enum { ROUTE_SLOTS = MAX_EXPERTS / 32 };

/* log(1 + e), 0 <= e <= 1. MSL lacks log1p, and log(1 + e) loses small e. With z = e / (2 + e) it is 2 atanh(z), whose
 * series in z^2 <= 1/9 is exact to float rounding after eight terms. */
static inline float route_log1p(float e) {
    float z = e / (2.0f + e), square = z * z;
    float series = 1.0f / 15.0f;
    series = fma(series, square, 1.0f / 13.0f);
    series = fma(series, square, 1.0f / 11.0f);
    series = fma(series, square, 1.0f / 9.0f);
    series = fma(series, square, 1.0f / 7.0f);
    series = fma(series, square, 1.0f / 5.0f);
    series = fma(series, square, 1.0f / 3.0f);
    series = fma(series, square, 1.0f);
    return 2.0f * z * series;
}

/* sqrt(softplus(logit)) */
static inline float route_probability(float logit) {
    return precise::sqrt(max(logit, 0.0f) + route_log1p(precise::exp(-abs(logit))));
}

/* Unsigned integers in the order of floats. 0 is left for experts that are taken already, so that NaNs, too, are chosen
 * at most once. */
static inline uint route_key(float score) {
    uint bits = as_type<uint>(score);
    return max((bits >> 31) ? ~bits : bits | 0x80000000u, 1u);
}

/* Lane k < n_used gets the token's k-th expert, best first, and its weight; the other lanes get expert 0, weight 0.
 * logits, bias: [n_experts]; fixed: [n_used], the token's row of the table if there is one. */
static inline uint route_token(constant expert_params &p, device const float *logits, device const float *bias,
                               device const int *fixed, uint lane, thread float &weight) {
    uint mine = 0;
    if (p.fixed) {
        if (lane < p.n_used) mine = uint(fixed[lane]);
    } else {
        uint key[ROUTE_SLOTS]; /* of expert 32 * slot + lane */
        for (uint slot = 0; slot < ROUTE_SLOTS; slot++) {
            uint e = 32 * slot + lane;
            key[slot] = 0;
            if (e < p.n_experts) key[slot] = route_key(route_probability(logits[e]) + (p.biased ? bias[e] : 0.0f));
        }
        uint chosen = MAX_EXPERTS;
        for (uint k = 0; k < p.n_used; k++) {
            uint best = 0, at = 0;
            for (uint slot = 0; slot < ROUTE_SLOTS; slot++) {
                uint e = 32 * slot + lane;
                if (e == chosen) key[slot] = 0;
                at = key[slot] > best ? e : at;
                best = max(best, key[slot]);
            }
            chosen = simd_min(best == simd_max(best) ? at : uint(MAX_EXPERTS));
            if (lane == k) mine = chosen;
        }
    }
    float probability = lane < p.n_used ? route_probability(logits[mine]) : 0.0f;
    float sum = 0.0f;
    for (uint k = 0; k < p.n_used; k++) sum += simd_shuffle(probability, ushort(k));
    weight = p.scale * probability / max(sum, 6.103515625e-5f /* 2^-14 */);
    return mine;
}

#endif
