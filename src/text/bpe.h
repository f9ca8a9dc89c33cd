/*
 * Byte pair encoding. A piece of text starts as one symbol per byte; the adjacent pair whose merge comes
 * first in the list of merges is joined, the leftmost of equal ones, until no pair can be.
 *
 * Files write the bytes of tokens and merges as code points (GPT-2): the printable bytes of Latin-1 stand for
 * themselves, the other 68 are U+0100, U+0101, ... in order. While the tables are made every string becomes
 * a symbol number; encoding works with numbers only.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "gguf/gguf.h"

/* More than any vocabulary has; symbols, at most 256 + tokens + 3 * merges, stay below 2^32. */
enum { BPE_MAX_TOKENS = 1 << 24, BPE_MAX_MERGES = 1 << 24 };
/* Positions in a piece are 32 bits. */
#define BPE_MAX_PIECE_BYTES ((size_t)INT32_MAX)

/* The code point that stands for each byte. */
void byte_code_points(uint16_t code_point[256]);

typedef struct bpe_merge {
    uint32_t left, right; /* symbols */
    uint32_t rank;        /* UINT32_MAX in an empty slot */
} bpe_merge;

/* Read-only after bpe_init: threads may share it. Symbols 0..255 are the bytes. */
typedef struct bpe_tables {
    bpe_merge *merge; /* hash table by (left, right), open addressing */
    size_t merge_mask;
    uint32_t *joined; /* [rank]: the symbol a merge makes */
    int32_t *token;   /* [symbol]: token id, -1 if the vocabulary has none */
    size_t n_symbols;
} bpe_tables;

/* control[token]: text never becomes this token. Errors name the key. */
ds4_status bpe_init(const gguf_array *tokens, const bool *control, const gguf_array *merges, bpe_tables *bpe,
                    ds4_error *error);
void bpe_deinit(bpe_tables *bpe);

/* Memory of one encoding, reused from piece to piece; grows to 32 bytes per byte of the longest piece.
 * Zero-initialise. */
typedef struct bpe_scratch {
    struct bpe_node *node;
    size_t node_capacity;
    uint64_t *heap;
    size_t heap_capacity;
} bpe_scratch;

void bpe_scratch_deinit(bpe_scratch *scratch);

/* Appends the tokens of one piece, in time n log n. */
ds4_status bpe_encode(const bpe_tables *bpe, bpe_scratch *scratch, const char *piece, size_t n_bytes,
                      ds4_tokens *tokens, ds4_error *error);

#endif
