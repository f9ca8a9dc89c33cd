#include "backend/rope.h"

#include <math.h>

/* The position of the pair that turns `rotations` times over the original context. */
static double correction_pair(const hyperparameters *hparams, double rotations) {
    const double two_pi = 6.283185307179586;
    return hparams->rotary_dim * log((double)hparams->yarn_original_context / (rotations * two_pi)) /
           (2 * log((double)hparams->compressed_rope_base));
}

static float power_frequency(float base, int pair, int rotary_dim) {
    return 1.0f / (float)pow((double)base, 2.0 * pair / rotary_dim);
}

void rope_frequencies_init(const hyperparameters *hparams, rope_frequencies *frequencies) {
    int n_pairs = hparams->rotary_dim / 2;
    frequencies->n_pairs = n_pairs;
    double low = fmax(floor(correction_pair(hparams, hparams->yarn_beta_fast)), 0);
    double high = fmin(ceil(correction_pair(hparams, hparams->yarn_beta_slow)), hparams->rotary_dim - 1);
    if (low == high) high += 0.001;
    for (int i = 0; i < n_pairs; i++) {
        frequencies->plain[i] = power_frequency(hparams->rope_base, i, hparams->rotary_dim);
        /* Pairs that turn often keep their frequency, slow ones are stretched by the factor. */
        float f = power_frequency(hparams->compressed_rope_base, i, hparams->rotary_dim);
        float ramp = fminf(fmaxf(((float)i - (float)low) / (float)(high - low), 0), 1);
        float keep = 1.0f - ramp;
        /* volatile: each product is rounded to float32 before the sum, as in the official code */
        volatile float stretched = f / hparams->yarn_factor * (1.0f - keep);
        volatile float kept = f * keep;
        frequencies->compressed[i] = stretched + kept;
    }
}

void rope_angles(const float *frequency, int n_pairs, int64_t position, float *out) {
    for (int i = 0; i < n_pairs; i++) {
        double angle = (float)position * frequency[i];
        out[2 * i] = (float)cos(angle);
        out[2 * i + 1] = (float)sin(angle);
    }
}

void rope_rotate(float *x, const float *angles, int n_pairs, bool inverse) {
    float direction = inverse ? -1.0f : 1.0f;
    for (int i = 0; i < n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], cosine = angles[2 * i], sine = direction * angles[2 * i + 1];
        x[2 * i] = a * cosine - b * sine;
        x[2 * i + 1] = a * sine + b * cosine;
    }
}
