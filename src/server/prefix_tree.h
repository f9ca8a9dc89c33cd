/*
 * Checkpoints by the beginnings that prompts have in common: a compressed trie. An edge holds tokens and their marked
 * text: token bytes, with 0xFF before each control token, so that typed text that spells a control token differs from
 * one (0xFF is in no UTF-8). A node may hold one checkpoint. Belongs to the scheduler's thread, which must free it
 * before the engine.
 */
#ifndef SERVER_PREFIX_TREE_H
#define SERVER_PREFIX_TREE_H

#include "server/request.h"

typedef struct prefix_tree prefix_tree;

typedef struct prefix_match {
    const ds4_checkpoint *checkpoint; /* NULL: none; valid until the next add or evict */
    size_t n_tokens;                  /* of the checkpoint */
    size_t n_bytes;                   /* of the prompt's text (request.prompt.text) that it covers */
    bool by_text; /* its tokens are not the prompt's: take the checkpoint's, then encode the rest of the text */
} prefix_match;

/* The tokenizer must outlive the tree. */
ds4_status prefix_tree_new(const ds4_tokenizer *tokenizer, prefix_tree **out, ds4_error *error);
void prefix_tree_free(prefix_tree *self);

/* The longest usable one that leaves at least one token of the request's prompt; marks it, and the end of its system
 * part, as used now (also if the caller only wants to know: whoever asks will come for it). By text only where it is
 * longer than by tokens, and only at a clean cut: the checkpoint ends with a control token, or one follows in the
 * prompt. */
prefix_match prefix_tree_find(prefix_tree *self, const request *asked, double now);

typedef struct prefix_kind {
    bool has_tools;   /* of an agent: its value is that of one used an hour later */
    bool ends_system; /* renewed by every find below it */
} prefix_kind;

/* Takes the checkpoint of these tokens (frees it if there is one at that place already). Failing only loses the reuse.
 */
void prefix_tree_add(prefix_tree *self, const int32_t *tokens, size_t n, ds4_checkpoint *checkpoint, prefix_kind kind,
                     double now);
bool prefix_tree_has(const prefix_tree *self, const int32_t *tokens, size_t n);

/* Drops the least valuable checkpoint, and nodes that hold nothing; the one used last goes last. False: there is none.
 */
bool prefix_tree_evict(prefix_tree *self);
size_t prefix_tree_n(const prefix_tree *self);
/* Of the tokens and texts by which checkpoints are found; 0 if there is none. */
size_t prefix_tree_bytes(const prefix_tree *self);

#endif
