#include "text/bpe.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/symbol_table.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

void byte_code_points(uint16_t code_point[256]) {
    uint16_t next = 256;
    for (uint16_t byte = 0; byte < 256; byte++) {
        bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        code_point[byte] = itself ? byte : next++;
    }
}

/* ---- tables -------------------------------------------------------------------------------------- */

typedef struct bpe_builder {
    bpe_tables *bpe;
    symbol_table symbols;
    char byte_string[256][4];
    char *arena; /* joined strings that are neither tokens nor parts of a merge */
} bpe_builder;

static ds4_status add_bytes(bpe_builder *builder, ds4_error *error) {
    uint16_t code_point[256];
    byte_code_points(code_point);
    for (size_t byte = 0; byte < 256; byte++) {
        bool added;
        size_t length = utf8_encode(code_point[byte], builder->byte_string[byte]);
        if (symbol_table_add(&builder->symbols, builder->byte_string[byte], length, &added) == SYMBOL_NONE)
            return error_memory(error, "tokenizer.ggml.tokens", length);
    }
    return DS4_OK;
}

static ds4_status add_tokens(bpe_builder *builder, const gguf_array *tokens, const bool *control, ds4_error *error) {
    bpe_tables *bpe = builder->bpe;
    if (!symbol_table_reserve(&builder->symbols, 256 + tokens->n))
        return error_memory(error, "tokenizer.ggml.tokens", tokens->n);
    size_t offset = 0, n_token = 256 + tokens->n;
    bpe->token = array_new(n_token, sizeof *bpe->token);
    if (!bpe->token) return error_memory(error, "tokenizer.ggml.tokens", n_token * sizeof *bpe->token);
    for (size_t i = 0; i < n_token; i++) bpe->token[i] = -1;

    gguf_string string;
    for (size_t id = 0; gguf_array_next_string(tokens, &offset, &string); id++) {
        bool added;
        uint32_t symbol = symbol_table_add(&builder->symbols, string.data, string.n_bytes, &added);
        if (symbol == SYMBOL_NONE) return error_memory(error, "tokenizer.ggml.tokens", string.n_bytes);
        if (!control[id] && bpe->token[symbol] < 0) bpe->token[symbol] = (int32_t)id;
    }
    for (unsigned byte = 0; byte < 256; byte++)
        if (bpe->token[byte] < 0)
            return error_set(
                error, DS4_ERROR_FORMAT,
                "tokenizer.ggml.tokens: no ordinary token \"%s\" for byte 0x%02x, expected one for each of "
                "the 256 bytes",
                builder->byte_string[byte], byte);
    return DS4_OK;
}

static uint64_t pair_hash(uint32_t left, uint32_t right) {
    uint64_t mixed = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93u;
    return mixed ^ mixed >> 32;
}

/* The slot of the pair, or the empty one where it belongs. */
static bpe_merge *merge_slot(const bpe_tables *bpe, uint32_t left, uint32_t right) {
    size_t at = pair_hash(left, right) & bpe->merge_mask;
    while (bpe->merge[at].rank != NONE && (bpe->merge[at].left != left || bpe->merge[at].right != right))
        at = (at + 1) & bpe->merge_mask;
    return &bpe->merge[at];
}

static ds4_status allocate_merges(bpe_builder *builder, const gguf_array *merges, ds4_error *error) {
    bpe_tables *bpe = builder->bpe;
    size_t n_slots = 2;
    while (n_slots / 2 < merges->n) n_slots *= 2;
    bpe->merge = array_new(n_slots, sizeof *bpe->merge);
    bpe->joined = array_new(merges->n, sizeof *bpe->joined);
    builder->arena = malloc(merges->n_bytes ? merges->n_bytes : 1);
    if (!bpe->merge || !bpe->joined || !builder->arena)
        return error_memory(error, "tokenizer.ggml.merges", n_slots * sizeof *bpe->merge + merges->n_bytes);
    for (size_t i = 0; i < n_slots; i++) bpe->merge[i].rank = NONE;
    bpe->merge_mask = n_slots - 1;
    return DS4_OK;
}

static ds4_status add_merges(bpe_builder *builder, const gguf_array *merges, ds4_error *error) {
    ds4_status status = allocate_merges(builder, merges, error);
    if (status != DS4_OK) return status;
    size_t offset = 0;
    char *joined = builder->arena; /* the joined strings are shorter than the merges, so they fit */
    gguf_string string;
    for (uint32_t rank = 0; gguf_array_next_string(merges, &offset, &string); rank++) {
        const char *end = string.data + string.n_bytes;
        const char *space = string.n_bytes ? memchr(string.data, ' ', string.n_bytes) : NULL;
        if (!space || space == string.data || space + 1 == end || memchr(space + 1, ' ', (size_t)(end - space - 1)))
            return error_set(error, DS4_ERROR_FORMAT,
                             "tokenizer.ggml.merges: merge %u is \"%.*s\", expected two parts with one space between",
                             (unsigned)rank, GGUF_STRING_ARGS(string));
        size_t n_left = (size_t)(space - string.data), n_right = (size_t)(end - space - 1);
        memcpy(joined, string.data, n_left);
        memcpy(joined + n_left, space + 1, n_right);
        bool added;
        uint32_t left = symbol_table_add(&builder->symbols, string.data, n_left, &added);
        uint32_t right = symbol_table_add(&builder->symbols, space + 1, n_right, &added);
        uint32_t whole = symbol_table_add(&builder->symbols, joined, n_left + n_right, &added);
        if (left == SYMBOL_NONE || right == SYMBOL_NONE || whole == SYMBOL_NONE)
            return error_memory(error, "tokenizer.ggml.merges", string.n_bytes);
        if (added) joined += n_left + n_right;
        bpe_merge *slot = merge_slot(builder->bpe, left, right);
        if (slot->rank == NONE) *slot = (bpe_merge){left, right, rank}; /* of equal ones the first counts */
        builder->bpe->joined[rank] = whole;
    }
    return DS4_OK;
}

/* Symbols that came with the merges are not tokens. */
static ds4_status extend_tokens(bpe_builder *builder, size_t n_known, ds4_error *error) {
    bpe_tables *bpe = builder->bpe;
    bpe->n_symbols = builder->symbols.n;
    if (bpe->n_symbols <= n_known) return DS4_OK;
    int32_t *token = realloc(bpe->token, bpe->n_symbols * sizeof *token);
    if (!token) return error_memory(error, "tokenizer.ggml.merges", bpe->n_symbols * sizeof *token);
    for (size_t i = n_known; i < bpe->n_symbols; i++) token[i] = -1;
    bpe->token = token;
    return DS4_OK;
}

ds4_status bpe_init(const gguf_array *tokens, const bool *control, const gguf_array *merges, bpe_tables *result,
                    ds4_error *error) {
    bpe_tables made = {0};
    bpe_builder builder = {.bpe = &made};
    ds4_status status = add_bytes(&builder, error);
    if (status == DS4_OK) status = add_tokens(&builder, tokens, control, error);
    if (status == DS4_OK) status = add_merges(&builder, merges, error);
    if (status == DS4_OK) status = extend_tokens(&builder, 256 + tokens->n, error);
    symbol_table_deinit(&builder.symbols);
    free(builder.arena);
    if (status == DS4_OK)
        *result = made;
    else
        bpe_deinit(&made);
    return status;
}

void bpe_deinit(bpe_tables *bpe) {
    free(bpe->merge);
    free(bpe->joined);
    free(bpe->token);
    *bpe = (bpe_tables){0};
}

/* ---- encoding ------------------------------------------------------------------------------------ */

/* A symbol of the piece. Its number is the place of its first byte, so that a byte inside it has a dead
 * node. */
typedef struct bpe_node {
    uint32_t symbol;
    uint32_t previous, next; /* NONE at the ends */
    uint32_t rank;           /* of the merge with the next symbol; NONE if there is none or the node is dead */
} bpe_node;

/* Entries are rank << 32 | place: the least one is the merge to do next. An entry whose rank is no longer
 * that of its node is out of date. */
typedef struct merge_heap {
    uint64_t *entry;
    size_t n;
} merge_heap;

static void heap_sink(merge_heap *heap, size_t at) {
    uint64_t sinking = heap->entry[at];
    for (size_t child; (child = 2 * at + 1) < heap->n; at = child) {
        if (child + 1 < heap->n && heap->entry[child + 1] < heap->entry[child]) child++;
        if (sinking <= heap->entry[child]) break;
        heap->entry[at] = heap->entry[child];
    }
    heap->entry[at] = sinking;
}

static void heap_push(merge_heap *heap, uint64_t entry) {
    size_t at = heap->n++;
    for (; at && heap->entry[(at - 1) / 2] > entry; at = (at - 1) / 2) heap->entry[at] = heap->entry[(at - 1) / 2];
    heap->entry[at] = entry;
}

static uint64_t heap_pop(merge_heap *heap) {
    uint64_t least = heap->entry[0];
    heap->entry[0] = heap->entry[--heap->n];
    if (heap->n) heap_sink(heap, 0);
    return least;
}

static uint32_t rank_with_next(const bpe_tables *bpe, const bpe_node *node, uint32_t at) {
    uint32_t next = node[at].next;
    return next == NONE ? NONE : merge_slot(bpe, node[at].symbol, node[next].symbol)->rank;
}

/* The symbol at this place has a new neighbour or is new itself. */
static void update_rank(const bpe_tables *bpe, bpe_node *node, uint32_t at, merge_heap *heap) {
    node[at].rank = rank_with_next(bpe, node, at);
    if (node[at].rank != NONE) heap_push(heap, (uint64_t)node[at].rank << 32 | at);
}

static void merge_with_next(const bpe_tables *bpe, bpe_node *node, uint32_t at, merge_heap *heap) {
    uint32_t gone = node[at].next;
    node[at].symbol = bpe->joined[node[at].rank];
    node[at].next = node[gone].next;
    node[gone].rank = NONE;
    if (node[at].next != NONE) node[node[at].next].previous = at;
    update_rank(bpe, node, at, heap);
    if (node[at].previous != NONE) update_rank(bpe, node, node[at].previous, heap);
}

/* Starts with one node per byte and does all merges. */
static void merge_all(const bpe_tables *bpe, bpe_node *node, const unsigned char *byte, uint32_t n_bytes,
                      uint64_t *entries) {
    for (uint32_t i = 0; i < n_bytes; i++)
        node[i] = (bpe_node){.symbol = byte[i], .previous = i ? i - 1 : NONE, .next = i + 1 < n_bytes ? i + 1 : NONE};
    merge_heap heap = {entries, 0};
    for (uint32_t i = 0; i < n_bytes; i++) {
        node[i].rank = rank_with_next(bpe, node, i);
        if (node[i].rank != NONE) heap.entry[heap.n++] = (uint64_t)node[i].rank << 32 | i;
    }
    for (size_t i = heap.n / 2; i-- > 0;) heap_sink(&heap, i);
    while (heap.n) {
        uint64_t entry = heap_pop(&heap);
        uint32_t at = (uint32_t)entry;
        if (node[at].rank == entry >> 32) merge_with_next(bpe, node, at, &heap);
    }
}

static size_t emit_tokens(const bpe_tables *bpe, const bpe_node *node, const unsigned char *byte, uint32_t n_bytes,
                          int32_t *id) {
    size_t n = 0;
    for (uint32_t at = 0; at != NONE; at = node[at].next) {
        int32_t token = bpe->token[node[at].symbol];
        if (token >= 0) {
            id[n++] = token;
            continue;
        }
        /* Merges may make what is no token, or a control token: its bytes always are tokens. */
        uint32_t end = node[at].next == NONE ? n_bytes : node[at].next;
        for (uint32_t i = at; i < end; i++) id[n++] = bpe->token[byte[i]];
    }
    return n;
}

ds4_status bpe_encode(const bpe_tables *bpe, bpe_scratch *scratch, const char *piece, size_t n_bytes,
                      ds4_tokens *tokens, ds4_error *error) {
    if (!n_bytes) return DS4_OK;
    if (n_bytes > BPE_MAX_PIECE_BYTES)
        return error_set(error, DS4_ERROR_ARGUMENT, "text has a word of %zu bytes, expected at most %zu", n_bytes,
                         BPE_MAX_PIECE_BYTES);
    size_t needed;
    /* A merge takes one entry from the heap, removes a symbol and adds at most two entries. */
    if (!array_reserve((void **)&scratch->node, &scratch->node_capacity, n_bytes, sizeof *scratch->node) ||
        !array_reserve((void **)&scratch->heap, &scratch->heap_capacity, 2 * n_bytes, sizeof *scratch->heap) ||
        !size_add(tokens->n, n_bytes, &needed) ||
        !array_reserve((void **)&tokens->id, &tokens->capacity, needed, sizeof *tokens->id))
        return error_memory(error, "text to tokens", n_bytes * (sizeof(bpe_node) + 2 * sizeof(uint64_t)));
    const unsigned char *byte = (const unsigned char *)piece;
    merge_all(bpe, scratch->node, byte, (uint32_t)n_bytes, scratch->heap);
    tokens->n += emit_tokens(bpe, scratch->node, byte, (uint32_t)n_bytes, tokens->id + tokens->n);
    return DS4_OK;
}

void bpe_scratch_deinit(bpe_scratch *scratch) {
    free(scratch->node);
    free(scratch->heap);
    *scratch = (bpe_scratch){0};
}
