#include "base/memory.h"
#include "backend/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT = 64, FIRST_ARENA_BYTES = 32 << 20, OFFSET_BITS = 29 };

/* In front of every block. */
typedef struct block_header {
    size_t n_bytes; /* of the block, without this header */
} block_header;

struct free_block {
    struct free_block *next;
};

static block_header *header_of(void *block) {
    return (block_header *)(void *)((uint8_t *)block - UNIT);
}

/* The list of freed blocks of that size; NULL if there is no memory for a new list. */
static size_class *class_of(gpu_memory *memory, size_t n_bytes) {
    for (size_t i = 0; i < memory->n_classes; i++)
        if (memory->class[i].n_bytes == n_bytes) return &memory->class[i];
    if (!array_reserve((void **)&memory->class, &memory->class_capacity, memory->n_classes + 1, sizeof *memory->class))
        return NULL;
    memory->class[memory->n_classes] = (size_class){.n_bytes = n_bytes};
    return &memory->class[memory->n_classes++];
}

/* Each new arena is as large as all before it, so that N_ARENAS are enough. */
static gpu_arena *arena_with_room(gpu_memory *memory, size_t n_bytes) {
    size_t total = 0;
    for (int i = 0; i < memory->n_arenas; i++) {
        if (memory->arena[i].n_bytes - memory->arena[i].used >= n_bytes) return &memory->arena[i];
        total += memory->arena[i].n_bytes;
    }
    size_t limit = memory->device->limits.max_buffer_bytes, addressable = (size_t)UNIT << OFFSET_BITS;
    if (limit > addressable) limit = addressable;
    if (memory->n_arenas == N_ARENAS || n_bytes > limit) return NULL;
    size_t size = total > FIRST_ARENA_BYTES ? total : FIRST_ARENA_BYTES;
    if (size < n_bytes) size = n_bytes;
    if (size > limit) size = limit;
    gpu_arena arena = {.n_bytes = size};
    if (memory->device->op->buffer_new(memory->device, size, &arena.buffer, NULL) != DS4_OK) return NULL;
    arena.base = memory->device->op->buffer_contents(arena.buffer);
    memory->arena[memory->n_arenas] = arena;
    return &memory->arena[memory->n_arenas++];
}

void *gpu_memory_allocate(gpu_memory *memory, size_t n_bytes) {
    if (n_bytes > SIZE_MAX / 2) return NULL;
    n_bytes = (n_bytes + UNIT - 1) / UNIT * UNIT;
    if (!n_bytes) n_bytes = UNIT;
    size_class *class = class_of(memory, n_bytes);
    if (!class) return NULL;
    if (class->first) {
        struct free_block *block = class->first;
        class->first = block->next;
        memset(block, 0, n_bytes);
        return block;
    }
    gpu_arena *arena = arena_with_room(memory, UNIT + n_bytes);
    if (!arena) return NULL;
    void *block = arena->base + arena->used + UNIT;
    arena->used += UNIT + n_bytes;
    header_of(block)->n_bytes = n_bytes;
    return block;
}

void gpu_memory_release(gpu_memory *memory, void *block) {
    if (!block) return;
    size_class *class = class_of(memory, header_of(block)->n_bytes); /* exists since the block was allocated */
    struct free_block *freed = block;
    freed->next = class->first;
    class->first = freed;
}

void gpu_memory_deinit(gpu_memory *memory) {
    for (int i = 0; i < memory->n_arenas; i++) memory->device->op->buffer_free(memory->device, memory->arena[i].buffer);
    free(memory->class);
    *memory = (gpu_memory){0};
}

static int arena_of(const gpu_memory *memory, const void *pointer) {
    const uint8_t *byte = pointer;
    for (int i = 0; i < memory->n_arenas; i++)
        if (byte >= memory->arena[i].base && byte < memory->arena[i].base + memory->arena[i].n_bytes) return i;
    return -1;
}

device_binding gpu_memory_binding(const gpu_memory *memory, const void *pointer) {
    int i = arena_of(memory, pointer);
    if (i < 0) return (device_binding){0};
    return (device_binding){memory->arena[i].buffer, (size_t)((const uint8_t *)pointer - memory->arena[i].base)};
}

uint32_t gpu_memory_reference(const gpu_memory *memory, const void *pointer) {
    int i = arena_of(memory, pointer);
    if (i < 0) return 0;
    size_t offset = (size_t)((const uint8_t *)pointer - memory->arena[i].base);
    return (uint32_t)i << OFFSET_BITS | (uint32_t)(offset / UNIT);
}
