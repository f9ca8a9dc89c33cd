/* A GGUF file in memory of which a test changes some bytes. What fails in here fails the test. */
#ifndef SUPPORT_PATCHED_FILE_H
#define SUPPORT_PATCHED_FILE_H

#include "gguf/gguf.h"

typedef struct patched_file {
    ds4_buffer content;
    gguf_file *directory; /* of the file as it was: tells where things are */
} patched_file;

void patched_file_open(const char *path, patched_file *patched);
void patched_file_close(patched_file *patched);

/* Changes the first character of a name, so that nothing of that name is there. Twice: as it was. */
void patch_key_name(patched_file *patched, const char *key);
void patch_tensor_name(patched_file *patched, const char *name);
/* The value of a key: its type, or the 4 bytes behind the type. */
void patch_type(patched_file *patched, const char *key, gguf_type type);
void patch_u32(patched_file *patched, const char *key, uint32_t value);
void patch_f32(patched_file *patched, const char *key, float value);
void patch_flag(patched_file *patched, const char *key, bool value);
/* Bytes of a string value or of an array's elements, beginning with the first. */
void patch_content(patched_file *patched, const char *key, const void *bytes, size_t n_bytes);
void patch_tensor_type(patched_file *patched, const char *name, uint32_t block_type);
void patch_tensor_size(patched_file *patched, const char *name, uint32_t dimension, uint64_t size);
void patch_tensor_data(patched_file *patched, const char *name, size_t offset_bytes, const void *bytes, size_t n_bytes);

/* The file as it is now; belongs to the caller and needs the patched_file. problems may be NULL. */
gguf_file *patched_file_read(const patched_file *patched, problem_list *problems);
/* The same on disk. */
void patched_file_write(const patched_file *patched, const char *path);

#endif
