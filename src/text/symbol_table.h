/* Numbers for strings: the same string always gets the same number. */
#ifndef TEXT_SYMBOL_TABLE_H
#define TEXT_SYMBOL_TABLE_H

#include "ds4.h"

#define SYMBOL_NONE UINT32_MAX

/* Zero-initialise. The strings are not copied. */
typedef struct symbol_table {
    struct symbol_string *string; /* [n] */
    size_t n, capacity;
    struct symbol_slot *slot; /* hash table, at most half full */
    size_t n_slots;
} symbol_table;

/* Makes room, so that n symbols come without growing. False if there is no memory. */
bool symbol_table_reserve(symbol_table *table, size_t n);
/* The string's number, counted from 0 in the order of first appearance; SYMBOL_NONE if there is no memory.
 * The bytes must stay where they are if *added is set. */
uint32_t symbol_table_add(symbol_table *table, const char *bytes, size_t n_bytes, bool *added);
void symbol_table_deinit(symbol_table *table);

#endif
