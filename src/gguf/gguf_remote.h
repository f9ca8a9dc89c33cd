/* Opening a GGUF file that is elsewhere by reading its first bytes only. */
#ifndef GGUF_GGUF_REMOTE_H
#define GGUF_GGUF_REMOTE_H

#include "gguf/gguf.h"

/* Appends up to n_bytes bytes of the file from offset on, fewer only at its end, and says how long it is. */
typedef ds4_status range_reader(void *context, uint64_t offset, size_t n_bytes, ds4_buffer *bytes,
                                uint64_t *total_bytes, ds4_error *error);

/* As gguf_open_start, reading as many bytes as the directory has, at most 64 MiB. */
ds4_status gguf_open_remote(const char *name, range_reader *read, void *context, gguf_file **file, ds4_error *error);

#endif
