#include "base/memory.h"
#include "backend/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

/* A reference counts in units. Each arena is twice as large as the one before: 32 GB in all, and at most half of what
 * there is lies idle. */
enum { UNIT = 64, FIRST_ARENA_BYTES = 128 << 20, OFFSET_BITS = 29 };

/* In front of every piece of an arena. */
typedef struct piece_header {
    size_t n_bytes; /* without this header */
} piece_header;

struct free_block {
    struct free_block *next;
};

static piece_header *header_of(void *piece) {
    return (piece_header *)(void *)((uint8_t *)piece - UNIT);
}

static bool is_in(const gpu_block *block, const void *pointer) {
    const uint8_t *byte = pointer;
    return byte >= block->base && byte < block->base + block->n_bytes;
}

static bool block_new(device *d, size_t n_bytes, gpu_block *block) {
    *block = (gpu_block){.n_bytes = n_bytes};
    if (d->op->buffer_new(d, n_bytes, &block->buffer, NULL) != DS4_OK) return false;
    block->base = d->op->buffer_contents(block->buffer);
    return true;
}

/* ---- activations ---- */

static void *activation_new(gpu_memory *memory, size_t n_bytes) {
    if (n_bytes > memory->device->limits.max_buffer_bytes ||
        !array_reserve((void **)&memory->activation, &memory->activation_capacity, memory->n_activations + 1,
                       sizeof *memory->activation))
        return NULL;
    gpu_block *block = &memory->activation[memory->n_activations];
    if (!block_new(memory->device, n_bytes, block)) return NULL;
    memory->n_activations++;
    return block->base;
}

static bool activation_release(gpu_memory *memory, const void *pointer) {
    for (size_t i = 0; i < memory->n_activations; i++) {
        if (memory->activation[i].base != pointer) continue;
        memory->device->op->buffer_free(memory->device, memory->activation[i].buffer);
        memory->activation[i] = memory->activation[--memory->n_activations];
        return true;
    }
    return false;
}

/* ---- arenas ---- */

/* The list of freed pieces of that size; NULL if there is no memory for a new list. There are as many sizes as kinds
 * of rows and rings. */
static size_class *class_of(gpu_memory *memory, size_t n_bytes) {
    for (size_t i = 0; i < memory->n_classes; i++)
        if (memory->class[i].n_bytes == n_bytes) return &memory->class[i];
    if (!array_reserve((void **)&memory->class, &memory->class_capacity, memory->n_classes + 1, sizeof *memory->class))
        return NULL;
    memory->class[memory->n_classes] = (size_class){.n_bytes = n_bytes};
    return &memory->class[memory->n_classes++];
}

/* The largest that an arena can be. */
static size_t arena_limit(uint64_t max_buffer_bytes) {
    size_t addressable = (size_t)UNIT << OFFSET_BITS;
    return max_buffer_bytes < addressable ? (size_t)max_buffer_bytes : addressable;
}

size_t gpu_memory_piece_bytes(size_t n_bytes) {
    return UNIT + (n_bytes + UNIT - 1) / UNIT * UNIT;
}

uint64_t gpu_memory_arena_bytes(uint64_t max_buffer_bytes, uint64_t n_piece_bytes) {
    size_t limit = arena_limit(max_buffer_bytes);
    uint64_t sum = 0;
    for (int i = 0; sum < n_piece_bytes && i < N_ARENAS; i++) {
        size_t size = (size_t)FIRST_ARENA_BYTES << i;
        sum += size < limit ? size : limit;
    }
    return sum < n_piece_bytes ? n_piece_bytes : sum; /* more than the arenas hold: too much in any case */
}

/* The number of an arena that has room; -1: there is none. */
static int arena_with_room(gpu_memory *memory, size_t n_bytes) {
    for (int i = 0; i < memory->n_arenas; i++)
        if (memory->arena[i].n_bytes - memory->arena_used[i] >= n_bytes) return i;
    size_t limit = arena_limit(memory->device->limits.max_buffer_bytes);
    if (memory->n_arenas == N_ARENAS || n_bytes > limit) return -1;
    int number = memory->n_arenas;
    size_t size = (size_t)FIRST_ARENA_BYTES << number;
    if (size > limit) size = limit;
    if (size < n_bytes) size = n_bytes;
    bool ok = block_new(memory->device, size, &memory->arena[number]);
    if (!ok && size > n_bytes) ok = block_new(memory->device, n_bytes, &memory->arena[number]);
    if (!ok) return -1;
    memory->arena_used[number] = 0;
    return memory->n_arenas++;
}

static void *piece_new(gpu_memory *memory, size_t n_bytes) {
    n_bytes = (n_bytes + UNIT - 1) / UNIT * UNIT;
    size_class *class = class_of(memory, n_bytes);
    if (!class) return NULL;
    if (class->first) {
        struct free_block *piece = class->first;
        class->first = piece->next;
        memset(piece, 0, n_bytes);
        return piece;
    }
    int arena = arena_with_room(memory, UNIT + n_bytes);
    if (arena < 0) return NULL;
    void *piece = memory->arena[arena].base + memory->arena_used[arena] + UNIT;
    memory->arena_used[arena] += UNIT + n_bytes;
    header_of(piece)->n_bytes = n_bytes;
    return piece;
}

/* ---- both ---- */

void *gpu_memory_allocate(gpu_memory *memory, memory_use use, size_t n_bytes) {
    if (n_bytes > SIZE_MAX / 2) return NULL;
    if (!n_bytes) n_bytes = 1;
    return use == MEMORY_TIMELINE ? piece_new(memory, n_bytes) : activation_new(memory, n_bytes);
}

void gpu_memory_release(gpu_memory *memory, void *block) {
    if (!block || activation_release(memory, block)) return;
    size_class *class = class_of(memory, header_of(block)->n_bytes); /* exists since the piece was allocated */
    struct free_block *freed = block;
    freed->next = class->first;
    class->first = freed;
}

void gpu_memory_deinit(gpu_memory *memory) {
    for (size_t i = 0; i < memory->n_activations; i++)
        memory->device->op->buffer_free(memory->device, memory->activation[i].buffer);
    for (int i = 0; i < memory->n_arenas; i++) memory->device->op->buffer_free(memory->device, memory->arena[i].buffer);
    free(memory->activation);
    free(memory->class);
    *memory = (gpu_memory){0};
}

device_binding gpu_memory_binding(const gpu_memory *memory, const void *pointer) {
    for (size_t i = 0; pointer && i < memory->n_activations; i++) {
        const gpu_block *block = &memory->activation[i];
        if (is_in(block, pointer))
            return (device_binding){block->buffer, (size_t)((const uint8_t *)pointer - block->base)};
    }
    return (device_binding){0};
}

uint32_t gpu_memory_reference(const gpu_memory *memory, const void *pointer) {
    for (int i = 0; i < memory->n_arenas; i++) {
        const gpu_block *arena = &memory->arena[i];
        if (is_in(arena, pointer))
            return (uint32_t)i << OFFSET_BITS | (uint32_t)((size_t)((const uint8_t *)pointer - arena->base) / UNIT);
    }
    return 0;
}
