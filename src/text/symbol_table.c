#include "text/symbol_table.h"
#include "base/memory.h"

#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

typedef struct symbol_string {
    const char *bytes;
    size_t n_bytes;
} symbol_string;

/* A part of the hash beside the number spares most comparisons a look at the string, and growing a rehash. */
typedef struct symbol_slot {
    uint32_t hash;
    uint32_t symbol; /* SYMBOL_NONE if empty */
} symbol_slot;

bool symbol_table_reserve(symbol_table *table, size_t n) {
    size_t n_slots = table->n_slots ? table->n_slots : 1024;
    while (n_slots / 2 < n) n_slots *= 2;
    if (n_slots > (size_t)1 << 31) return false; /* the hash in a slot has no more bits */
    if (!array_reserve((void **)&table->string, &table->capacity, n, sizeof *table->string)) return false;
    if (n_slots == table->n_slots) return true;

    symbol_slot *grown = array_new(n_slots, sizeof *grown);
    if (!grown) return false;
    for (size_t i = 0; i < n_slots; i++) grown[i].symbol = SYMBOL_NONE;
    for (size_t i = 0; i < table->n_slots; i++) {
        if (table->slot[i].symbol == SYMBOL_NONE) continue;
        size_t at = table->slot[i].hash & (n_slots - 1);
        while (grown[at].symbol != SYMBOL_NONE) at = (at + 1) & (n_slots - 1);
        grown[at] = table->slot[i];
    }
    free(table->slot);
    table->slot = grown;
    table->n_slots = n_slots;
    return true;
}

uint32_t symbol_table_add(symbol_table *table, const char *bytes, size_t n_bytes, bool *added) {
    if (!symbol_table_reserve(table, table->n + 1)) return SYMBOL_NONE;
    uint32_t hash = (uint32_t)XXH3_64bits(bytes, n_bytes);
    size_t at = hash & (table->n_slots - 1);
    for (; table->slot[at].symbol != SYMBOL_NONE; at = (at + 1) & (table->n_slots - 1)) {
        if (table->slot[at].hash != hash) continue;
        const symbol_string *string = &table->string[table->slot[at].symbol];
        if (string->n_bytes != n_bytes || (n_bytes && memcmp(string->bytes, bytes, n_bytes))) continue;
        *added = false;
        return table->slot[at].symbol;
    }
    uint32_t symbol = (uint32_t)table->n++;
    table->string[symbol] = (symbol_string){bytes, n_bytes};
    table->slot[at] = (symbol_slot){hash, symbol};
    *added = true;
    return symbol;
}

void symbol_table_deinit(symbol_table *table) {
    free(table->string);
    free(table->slot);
    *table = (symbol_table){0};
}
