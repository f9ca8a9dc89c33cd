#include "server/prefix_tree.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* In front of a control token's text. A byte of its value in the text of another token is doubled, which no prompt has:
 * prompts are UTF-8. */
#define MARK '\xff'

/* A path that agrees with a prompt's text has one node for each mark of a long conversation; more is somebody's game.
 */
enum { MAX_TEXT_VISITS = 8192, MAX_TEXT_BRANCHES = 64 };

#define TOOLS_BONUS_SECONDS 3600.0

typedef struct node {
    struct node *parent; /* NULL: the root, whose edge is empty */
    ds4_tokens edge;     /* from the parent to here */
    ds4_buffer text;     /* the edge's, marked */
    size_t n_tokens;     /* from the root to here */
    struct node **child;
    size_t n_children, child_capacity;

    ds4_checkpoint *checkpoint; /* NULL: none */
    prefix_kind kind;
    double last_used;
} node;

struct prefix_tree {
    const ds4_tokenizer *tokenizer;
    node *root;
    node **held; /* nodes with a checkpoint */
    size_t n_held, held_capacity;
    size_t edge_bytes; /* of all edges, whose sum splitting and joining leave as it is */
};

/* ---- nodes --------------------------------------------------------------------------------------- */

static size_t edge_bytes(const node *n) {
    return n->edge.n * sizeof *n->edge.id + n->text.n_bytes;
}

static void node_free(node *n) {
    if (!n) return;
    ds4_checkpoint_free(n->checkpoint);
    ds4_tokens_deinit(&n->edge);
    ds4_buffer_deinit(&n->text);
    free(n->child);
    free(n);
}

static bool mark_token(const ds4_tokenizer *tokenizer, int32_t id, ds4_buffer *text) {
    size_t n_bytes;
    const char *bytes = ds4_tokenizer_token_bytes(tokenizer, id, &n_bytes);
    if (!bytes) return false;
    if (ds4_tokenizer_is_control(tokenizer, id)) {
        char mark = MARK;
        return buffer_append(text, &mark, 1) && buffer_append(text, bytes, n_bytes);
    }
    for (size_t i = 0; i < n_bytes; i++)
        if (!buffer_append(text, bytes + i, 1) || (bytes[i] == MARK && !buffer_append(text, bytes + i, 1)))
            return false;
    return true;
}

static bool set_edge(const prefix_tree *self, node *n, const int32_t *tokens, size_t n_tokens) {
    if (ds4_tokens_append(&n->edge, tokens, n_tokens, NULL) != DS4_OK) return false;
    for (size_t i = 0; i < n_tokens; i++)
        if (!mark_token(self->tokenizer, tokens[i], &n->text)) return false;
    return true;
}

/* Not yet among the parent's children. NULL without memory, or if one of the tokens is none. */
static node *node_new(const prefix_tree *self, node *parent, const int32_t *tokens, size_t n_tokens) {
    node *n = array_new(1, sizeof *n);
    if (!n) return NULL;
    n->parent = parent;
    n->n_tokens = parent->n_tokens + n_tokens;
    if (set_edge(self, n, tokens, n_tokens)) return n;
    node_free(n);
    return NULL;
}

static bool reserve_child(node *n) {
    return array_reserve((void **)&n->child, &n->child_capacity, n->n_children + 1, sizeof *n->child);
}

static size_t child_index(const node *parent, const node *child) {
    size_t i = 0;
    while (parent->child[i] != child) i++;
    return i;
}

/* The child whose edge begins with the token. */
static node *child_of(const node *n, int32_t token) {
    for (size_t i = 0; i < n->n_children; i++)
        if (n->child[i]->edge.id[0] == token) return n->child[i];
    return NULL;
}

static size_t common_length(const ds4_tokens *edge, const int32_t *tokens, size_t n) {
    size_t i = 0;
    while (i < edge->n && i < n && edge->id[i] == tokens[i]) i++;
    return i;
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status prefix_tree_new(const ds4_tokenizer *tokenizer, prefix_tree **out, ds4_error *error) {
    prefix_tree *self = array_new(1, sizeof *self);
    if (self) self->root = array_new(1, sizeof *self->root);
    if (!self || !self->root) {
        free(self);
        return error_memory(error, "prefix tree", sizeof *self);
    }
    self->tokenizer = tokenizer;
    *out = self;
    return DS4_OK;
}

void prefix_tree_free(prefix_tree *self) {
    if (!self) return;
    for (node *at = self->root; at;) { /* leaves first; a path may be long, so without recursion */
        if (at->n_children) {
            at = at->child[--at->n_children];
            continue;
        }
        node *parent = at->parent;
        node_free(at);
        at = parent;
    }
    free(self->held);
    free(self);
}

/* ---- finding by tokens --------------------------------------------------------------------------- */

/* The deepest node whose whole path is a beginning of the tokens; *rest: the child that goes on with them for a part of
 * its edge, NULL if there is none. */
static node *walk(const prefix_tree *self, const int32_t *tokens, size_t n, node **rest) {
    node *at = self->root;
    while (at->n_tokens < n) {
        node *next = child_of(at, tokens[at->n_tokens]);
        *rest = next;
        if (!next || common_length(&next->edge, tokens + at->n_tokens, n - at->n_tokens) < next->edge.n) return at;
        at = next;
    }
    *rest = NULL;
    return at;
}

bool prefix_tree_has(const prefix_tree *self, const int32_t *tokens, size_t n) {
    node *rest, *at = walk(self, tokens, n, &rest);
    return at->n_tokens == n && at->checkpoint;
}

size_t prefix_tree_n(const prefix_tree *self) {
    return self->n_held;
}

size_t prefix_tree_bytes(const prefix_tree *self) {
    return self->edge_bytes;
}

static node *find_by_tokens(const prefix_tree *self, const ds4_tokens *tokens) {
    node *rest, *at = walk(self, tokens->id, tokens->n ? tokens->n - 1 : 0, &rest);
    while (at && !at->checkpoint) at = at->parent;
    return at;
}

/* ---- finding by text ----------------------------------------------------------------------------- */

static bool mark_prompt(const ds4_prompt *prompt, ds4_buffer *marked) {
    const char mark = MARK, *text = prompt->text.data;
    size_t at = 0;
    for (size_t i = 0; i < prompt->n_control; i++) {
        size_t next = prompt->control[i].offset_bytes;
        if (!buffer_append(marked, text + at, next - at) || !buffer_append(marked, &mark, 1)) return false;
        at = next;
    }
    return buffer_append(marked, text + at, prompt->text.n_bytes - at);
}

typedef struct text_place {
    node *at;
    size_t n_bytes; /* marked ones, from the root to here */
} text_place;

/* Nothing of the cut can change how the rest becomes tokens, for no piece of text is on both sides of it. */
static bool is_clean_cut(const prefix_tree *self, text_place place, const ds4_buffer *prompt) {
    const ds4_tokens *edge = &place.at->edge;
    return prompt->data[place.n_bytes] == MARK ||
           (edge->n && ds4_tokenizer_is_control(self->tokenizer, edge->id[edge->n - 1]));
}

/* Agreeing paths may part and meet again, as one text can have several rows of tokens: all are followed. */
static text_place find_by_text(const prefix_tree *self, const ds4_buffer *prompt) {
    text_place open[MAX_TEXT_BRANCHES] = {{self->root, 0}}, best = {0};
    for (size_t n_open = 1, visits = 0; n_open && visits < MAX_TEXT_VISITS; visits++) {
        text_place place = open[--n_open];
        if (place.at->checkpoint && place.n_bytes > best.n_bytes && is_clean_cut(self, place, prompt)) best = place;
        for (size_t i = 0; i < place.at->n_children && n_open < MAX_TEXT_BRANCHES; i++) {
            node *child = place.at->child[i];
            /* at least one byte is left, and so one token */
            if (child->text.n_bytes >= prompt->n_bytes - place.n_bytes ||
                memcmp(child->text.data, prompt->data + place.n_bytes, child->text.n_bytes) != 0)
                continue;
            open[n_open++] = (text_place){child, place.n_bytes + child->text.n_bytes};
        }
    }
    return best;
}

static size_t without_marks(const char *text, size_t n_bytes) {
    size_t n = n_bytes;
    for (size_t i = 0; i < n_bytes; i++) n -= text[i] == MARK;
    return n;
}

/* ---- finding ------------------------------------------------------------------------------------- */

/* Bytes of the text of all tokens up to here. */
static size_t text_bytes(const prefix_tree *self, const node *at) {
    size_t n_bytes = 0;
    for (; at; at = at->parent)
        for (size_t i = 0; i < at->edge.n; i++) {
            size_t n = 0;
            ds4_tokenizer_token_bytes(self->tokenizer, at->edge.id[i], &n);
            n_bytes += n;
        }
    return n_bytes;
}

static void mark_used(node *at, double now) {
    at->last_used = now;
    for (node *above = at->parent; above; above = above->parent)
        if (above->checkpoint && above->kind.ends_system) above->last_used = now;
}

prefix_match prefix_tree_find(prefix_tree *self, const request *asked, double now) {
    node *found = find_by_tokens(self, &asked->tokens);
    prefix_match match = {.n_bytes = text_bytes(self, found)};
    ds4_buffer marked = {0};
    if (asked->prompt.text.n_bytes && mark_prompt(&asked->prompt, &marked)) {
        text_place place = find_by_text(self, &marked);
        size_t n_bytes = without_marks(marked.data, place.n_bytes);
        if (place.at && n_bytes > match.n_bytes) {
            found = place.at;
            match.n_bytes = n_bytes;
            match.by_text = true;
        }
    }
    ds4_buffer_deinit(&marked);
    if (!found) return (prefix_match){0};
    mark_used(found, now);
    match.checkpoint = found->checkpoint;
    match.n_tokens = found->n_tokens;
    return match;
}

/* ---- adding -------------------------------------------------------------------------------------- */

/* A new node in the middle of a child's edge. NULL without memory; the tree is then as it was. */
static node *split(const prefix_tree *self, node *child, size_t n_first) {
    node *parent = child->parent, below = {0};
    node *middle = node_new(self, parent, child->edge.id, n_first);
    bool ok =
        middle && reserve_child(middle) && set_edge(self, &below, child->edge.id + n_first, child->edge.n - n_first);
    if (!ok) {
        node_free(middle);
        ds4_tokens_deinit(&below.edge);
        ds4_buffer_deinit(&below.text);
        return NULL;
    }
    ds4_tokens_deinit(&child->edge);
    ds4_buffer_deinit(&child->text);
    child->edge = below.edge;
    child->text = below.text;
    child->parent = middle;
    parent->child[child_index(parent, child)] = middle;
    middle->child[middle->n_children++] = child;
    return middle;
}

/* The node of exactly these tokens, made if need be. NULL without memory. */
static node *place_for(prefix_tree *self, const int32_t *tokens, size_t n) {
    node *rest, *at = walk(self, tokens, n, &rest);
    if (rest) {
        at = split(self, rest, common_length(&rest->edge, tokens + at->n_tokens, n - at->n_tokens));
        if (!at) return NULL;
    }
    if (at->n_tokens == n) return at;
    node *leaf = node_new(self, at, tokens + at->n_tokens, n - at->n_tokens);
    if (!leaf || !reserve_child(at)) {
        node_free(leaf);
        return NULL;
    }
    at->child[at->n_children++] = leaf;
    self->edge_bytes += edge_bytes(leaf);
    return leaf;
}

void prefix_tree_add(prefix_tree *self, const int32_t *tokens, size_t n, ds4_checkpoint *checkpoint, prefix_kind kind,
                     double now) {
    bool has_room = array_reserve((void **)&self->held, &self->held_capacity, self->n_held + 1, sizeof *self->held);
    node *at = n && has_room ? place_for(self, tokens, n) : NULL;
    if (!at || at->checkpoint) ds4_checkpoint_free(checkpoint);
    if (!at) return;
    if (!at->checkpoint) {
        at->checkpoint = checkpoint;
        self->held[self->n_held++] = at;
    }
    at->kind.has_tools |= kind.has_tools;
    at->kind.ends_system |= kind.ends_system;
    at->last_used = now;
}

/* ---- evicting ------------------------------------------------------------------------------------ */

static double value_of(const node *n) {
    return n->last_used + (n->kind.has_tools ? TOOLS_BONUS_SECONDS : 0);
}

/* An empty node with one child becomes one edge with it; without memory it stays. */
static void join(node *n) {
    if (!n->parent || n->checkpoint || n->n_children != 1) return;
    node *child = n->child[0];
    size_t n_edge = n->edge.n;
    if (ds4_tokens_append(&n->edge, child->edge.id, child->edge.n, NULL) != DS4_OK) return;
    if (!buffer_append(&n->text, child->text.data, child->text.n_bytes)) {
        n->edge.n = n_edge;
        return;
    }
    ds4_tokens_deinit(&child->edge);
    ds4_buffer_deinit(&child->text);
    child->edge = n->edge;
    child->text = n->text;
    child->parent = n->parent;
    n->parent->child[child_index(n->parent, n)] = child;
    n->edge = (ds4_tokens){0};
    n->text = (ds4_buffer){0};
    node_free(n);
}

/* Takes nodes away that hold nothing, from this one up. */
static void prune(prefix_tree *self, node *n) {
    while (n->parent && !n->checkpoint && !n->n_children) {
        node *parent = n->parent;
        self->edge_bytes -= edge_bytes(n);
        parent->child[child_index(parent, n)] = parent->child[parent->n_children - 1];
        parent->n_children--;
        node_free(n);
        n = parent;
    }
    join(n);
}

/* Of the checkpoints but the one used last: that of a chat among agents would be gone before its next turn. */
static size_t least_valuable(const prefix_tree *self) {
    size_t last = 0, least = SIZE_MAX;
    for (size_t i = 1; i < self->n_held; i++)
        if (self->held[i]->last_used > self->held[last]->last_used) last = i;
    for (size_t i = 0; i < self->n_held; i++)
        if (i != last && (least == SIZE_MAX || value_of(self->held[i]) < value_of(self->held[least]))) least = i;
    return least == SIZE_MAX ? last : least;
}

bool prefix_tree_evict(prefix_tree *self) {
    if (!self->n_held) return false;
    size_t least = least_valuable(self);
    node *n = self->held[least];
    self->held[least] = self->held[--self->n_held];
    ds4_checkpoint_free(n->checkpoint);
    n->checkpoint = NULL;
    n->kind = (prefix_kind){0};
    prune(self, n);
    return true;
}
