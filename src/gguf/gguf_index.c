#include "gguf/gguf_index.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Open addressing with linear probing, at most half full. */
struct slot {
    gguf_string name;
    uint64_t hash;
    size_t entry_plus_1; /* 0: free */
};

struct gguf_index {
    size_t mask; /* number of slots - 1, a power of two minus 1 */
    uint64_t seed;
    struct slot *slots;
};

gguf_index *gguf_index_new(size_t n) {
    size_t n_slots = 2;
    while (n_slots / 2 < n) {
        if (n_slots > SIZE_MAX / 2) return NULL;
        n_slots *= 2;
    }
    gguf_index *index = array_new(1, sizeof *index);
    if (!index) return NULL;
    index->mask = n_slots - 1;
    /* An address is hard to guess from outside, so a file cannot have names that were made to collide. */
    index->seed = (uint64_t)(uintptr_t)index;
    index->slots = array_new(n_slots, sizeof *index->slots);
    if (!index->slots) {
        free(index);
        return NULL;
    }
    return index;
}

void gguf_index_free(gguf_index *index) {
    if (!index) return;
    free(index->slots);
    free(index);
}

/* The slot with that name, or the free one where it belongs. */
static struct slot *find_slot(const gguf_index *index, gguf_string name, uint64_t hash) {
    for (size_t i = (size_t)hash & index->mask;; i = (i + 1) & index->mask) {
        struct slot *slot = &index->slots[i];
        if (!slot->entry_plus_1) return slot;
        if (slot->hash == hash && slot->name.n_bytes == name.n_bytes &&
            memcmp(slot->name.data, name.data, name.n_bytes) == 0)
            return slot;
    }
}

static uint64_t hash_name(const gguf_index *index, gguf_string name) {
    return XXH3_64bits_withSeed(name.data, name.n_bytes, index->seed);
}

bool gguf_index_add(gguf_index *index, gguf_string name, size_t entry) {
    uint64_t hash = hash_name(index, name);
    struct slot *slot = find_slot(index, name, hash);
    if (slot->entry_plus_1) return false;
    slot->name = name;
    slot->hash = hash;
    slot->entry_plus_1 = entry + 1;
    return true;
}

bool gguf_index_find(const gguf_index *index, gguf_string name, size_t *entry) {
    struct slot *slot = find_slot(index, name, hash_name(index, name));
    if (!slot->entry_plus_1) return false;
    *entry = slot->entry_plus_1 - 1;
    return true;
}
