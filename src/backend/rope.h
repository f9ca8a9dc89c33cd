/* Rotary embedding with YaRN (spec: model math, section 5). */
#ifndef BACKEND_ROPE_H
#define BACKEND_ROPE_H

#include "model/model.h"

enum { ROPE_MAX_PAIRS = 2048 }; /* of the largest head that hyperparameters may have */

/* Angle per position of each of the rotary_dim / 2 channel pairs: one table for layers of ratio 0, one for
 * all others. */
typedef struct rope_frequencies {
    int n_pairs;
    float plain[ROPE_MAX_PAIRS];
    float compressed[ROPE_MAX_PAIRS];
} rope_frequencies;

void rope_frequencies_init(const hyperparameters *hparams, rope_frequencies *frequencies);

/* cosine and sine of every pair's angle at a position: out[n_pairs][2]. The angle is the float32 product,
 * as the model was trained with. */
void rope_angles(const float *frequency, int n_pairs, int64_t position, float *out);
/* Rotates pairs (x[2i], x[2i+1]); inverse turns back. */
void rope_rotate(float *x, const float *angles, int n_pairs, bool inverse);

#endif
