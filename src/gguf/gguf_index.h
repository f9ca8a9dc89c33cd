/* Finding the entries of a GGUF directory by name. For those who make a gguf_file: the reader and model/layout.c. */
#ifndef GGUF_GGUF_INDEX_H
#define GGUF_GGUF_INDEX_H

#include "gguf/gguf.h"

typedef struct gguf_index gguf_index;

/* An index for at most n entries; NULL if there is no memory. */
gguf_index *gguf_index_new(size_t n);
void gguf_index_free(gguf_index *index);
/* Adds an entry and returns true; false if there is one of that name already. The name must stay where it is. */
bool gguf_index_add(gguf_index *index, gguf_string name, size_t entry);
bool gguf_index_find(const gguf_index *index, gguf_string name, size_t *entry);

#endif
