/*
 * Compact rows: how remembered vectors are stored.
 *
 * The model rounds its K/V rows to FP8 and its indexer rows to FP4 (spec: model math, section 8), so storing
 * the codes loses nothing:
 *
 *   compressed row  [D - rotary] E4M3 codes, [(D - rotary) / 64] scale bytes, [rotary] binary16     D = head_dim
 *   raw row         the same with [rotary] float32
 *   indexer row     [d / 2] bytes of two E2M1 codes (even channel in the low half), [d / 32] scale bytes
 *
 * The rotary channels are all that is lost in: the model does not round them. The window's raw rows, 128 a
 * layer however long the context, weigh most in attention and keep them whole; docs/design.md has figures.
 *
 * A scale byte is a power of two, 2^(byte - 127). Test formats keep float32 instead: the rounded values
 * (DS4 option float_rows) or, without the model's rounding, the values as they came (no_qat).
 */
#ifndef BACKEND_ROWS_H
#define BACKEND_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct row_format {
    int n_channels;
    int n_rotary;     /* attention rows: the last channels, not rounded; indexer rows: 0 */
    int rotary_bytes; /* of one rotary channel in a compact row: 2 or 4 */
    bool is_index;
    bool round;   /* to FP8 or FP4 */
    bool compact; /* codes; else float32 */
    size_t n_bytes;
} row_format;

row_format row_format_raw(int head_dim, int rotary_dim, bool round, bool compact);
row_format row_format_compressed(int head_dim, int rotary_dim, bool round, bool compact);
row_format row_format_index(int index_dim, bool round, bool compact);

/* x: [n_channels], rotated (indexer rows: rotated and Hadamard-transformed). */
void row_encode(const row_format *format, const float *x, uint8_t *row);
void row_decode(const row_format *format, const uint8_t *row, float *x);

/* Rounds x[n] (a multiple of 32) to FP4 values in place: what indexer queries get. */
void fp4_round(float *x, int n);
/* The scale byte of 32 values, from the bits of the largest magnitude. Values that are rounded already are exact codes
 * with it, if not always those of the first rounding. */
uint8_t fp4_scale_byte(uint32_t largest);
/* x <- H x / sqrt(n), H the Sylvester-ordered Hadamard matrix; n a power of two. */
void hadamard_transform(float *x, int n);

#endif
