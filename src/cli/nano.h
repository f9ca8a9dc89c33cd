/* The model that is part of the program: models/ds4-nano.gguf, byte for byte. */
#ifndef CLI_NANO_H
#define CLI_NANO_H

#include "ds4.h"

#define NANO_NAME "ds4-nano" /* in messages */

/* The bytes of the file. They begin at a page, in memory that cannot be written. */
const void *nano_data(size_t *n_bytes);

/* Whether a model called name, as -m has it, is the built-in one: NULL is (nothing was chosen), "nano" is unless
 * there is a file of that name. */
bool nano_is_meant(const char *name);

/* Opens the model called name: the built-in one if it is meant, otherwise the file, or the downloaded one of that name
 * (see published_resolve). */
ds4_status nano_or_file_open(const char *name, ds4_model_parts parts, ds4_model **model, ds4_error *error);

#endif
