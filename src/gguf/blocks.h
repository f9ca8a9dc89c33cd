/* Block formats: how weights are stored in a file, and their reference decode. */
#ifndef GGUF_BLOCKS_H
#define GGUF_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are those of the GGUF tensor directory. */
enum block_type {
    BLOCK_F32 = 0,
    BLOCK_F16 = 1,
    BLOCK_Q4_0 = 2,
    BLOCK_Q8_0 = 8,
    BLOCK_Q2_K = 10,
    BLOCK_Q4_K = 12,
    BLOCK_Q5_K = 13,
    BLOCK_Q6_K = 14,
    BLOCK_IQ2_XXS = 16,
    BLOCK_I32 = 26,
    BLOCK_BF16 = 30,
    BLOCK_MXFP4 = 39,
};

typedef struct block_format {
    uint32_t type; /* enum block_type */
    const char *name;
    uint32_t n_elements; /* per block */
    uint32_t n_bytes;    /* per block, packed */
    /* Decodes n_blocks blocks at any address to n_blocks * n_elements floats. NULL for I32. */
    void (*decode)(const uint8_t *blocks, float *out, size_t n_blocks);
} block_format;

/* NULL for a type that is not in the table. */
const block_format *block_format_find(uint32_t type);

#endif
