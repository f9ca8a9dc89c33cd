/*
 * The codebook of IQ2_XXS: 256 vectors of eight magnitudes, each 8, 25 or 43, chosen by the format's
 * authors. Element j of entry i is byte j (least significant first) of iq2_xxs_grid[i].
 */
#ifndef GGUF_IQ2_GRID_H
#define GGUF_IQ2_GRID_H

#include <stdint.h>

extern const uint64_t iq2_xxs_grid[256];

#endif
