/*
 * Synthetic models: files of the published shape, types and metadata with pseudo-random weights, to measure and to test
 * what depends on the shape without the published files.
 *
 * Weights are scaled so that a model behaves: streams neither vanish nor explode, logits are finite and differ, tokens
 * use all experts about evenly. Everything in a file follows from its recipe, its number of experts and the seed; it is
 * the same on every machine.
 */
#ifndef MODEL_SYNTH_H
#define MODEL_SYNTH_H

#include "model/layout.h"

typedef struct synth_options {
    const layout_recipe *recipe;
    /* 0: all experts of the shape; layers have the bytes of their routed experts in common (where the types are the
     * same), so that the file has the size of a few layers' experts, not of all.
     * Otherwise that many experts, at least as many as a token uses, each layer's its own. */
    int n_own_experts;
    uint64_t seed;
} synth_options;

/* Writes a model of the shape of hyperparameters_flash. The file appears when it is complete. A folder without enough
 * free space is an error before anything is written.
 *
 * progress (may be NULL) is called with bytes, done and total, the first time before anything is written; when it
 * returns true the result is DS4_CANCELLED. */
ds4_status synth_write(const synth_options *options, const char *path, ds4_progress *progress, void *context,
                       ds4_error *error);

/* The same for another shape. Rows must be whole blocks of the recipe's types; the vocabulary needs room for the tokens
 * that are always there (DS4_ERROR_ARGUMENT). */
ds4_status synth_write_shape(const synth_options *options, const hyperparameters *hparams, const char *path,
                             ds4_progress *progress, void *context, ds4_error *error);

#endif
