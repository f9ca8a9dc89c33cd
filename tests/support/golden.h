/* Logits of the tiny models against an independent implementation (tests/data/golden): every stored position and the
 * greedy continuation. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include <stddef.h>

typedef struct golden_case {
    const char *backend; /* NULL: cpu */
    const char *model;
    const char *mode; /* "pure": float arithmetic throughout; "qat": with the model's rounding of rows */
    int chunk;        /* tokens evaluated at a time; 0: the whole prompt */
} golden_case;

/* Fails the test unless the logits of all prompts match. */
void golden_check(const golden_case *c, const char *const *prompts, size_t n_prompts);

#endif
