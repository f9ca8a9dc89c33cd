/* Private to synth_*.c: what a synthetic model consists of. */
#ifndef MODEL_SYNTH_PARTS_H
#define MODEL_SYNTH_PARTS_H

#include "model/model.h"

/* ---- metadata ---- */

/* Everything but the tensors. */
ds4_status synth_add_metadata(gguf_writer *writer, const hyperparameters *hparams, ds4_error *error);

/* ---- data ---- */

/* How the values of a kind of tensor are distributed. */
typedef enum synth_spread {
    SPREAD_NORMAL,     /* about normal: mean a, deviation b */
    SPREAD_NORMALIZED, /* mean 0, deviation b / sqrt(row length): products keep the size of what goes in */
    SPREAD_UNIFORM,    /* between a and b */
    SPREAD_HYPER_BASE, /* base of a hyper-connection */
    SPREAD_EXPERT_IDS, /* different experts for each token */
} synth_spread;

enum { SYNTH_N_HALVES = 1 << 16, SYNTH_N_SCALES = 256 };

/* The data of one tensor: a function of the place in it. */
typedef struct synth_filler {
    uint64_t key; /* of the random numbers: seed and name */
    const block_format *format;
    synth_spread spread;
    double a, b;
    size_t n_values, row_values;
    int n_experts;
    /* What blocks and halves are made of. */
    uint16_t half[SYNTH_N_HALVES];
    uint16_t scale[SYNTH_N_SCALES], minimum[SYNTH_N_SCALES];
} synth_filler;

/* Fails if it is not known what to put into a tensor of that name or type. */
ds4_status synth_filler_set(synth_filler *filler, const gguf_tensor *tensor, uint64_t seed, int n_experts,
                            ds4_error *error);

/* Pieces of a tensor begin at a multiple of so many blocks, so that random words (8 bytes) and the rows of expert ids
 * are not cut. */
size_t synth_piece_blocks(const synth_filler *filler);

/* Writes n_blocks blocks from first_block on, a multiple of synth_piece_blocks. out is aligned as memory from malloc
 * is. */
void synth_fill(const synth_filler *filler, size_t first_block, size_t n_blocks, uint8_t *out);

#endif
