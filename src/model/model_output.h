/* Writing a model's metadata: after the first failure the rest does nothing. */
#ifndef MODEL_MODEL_OUTPUT_H
#define MODEL_MODEL_OUTPUT_H

#include "gguf/gguf.h"

typedef struct model_output {
    gguf_writer *writer;
    ds4_status status;
    ds4_error *error;
} model_output;

static inline void put_u32(model_output *to, const char *key, uint32_t value) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_u32(to->writer, key, value, to->error);
}

static inline void put_f32(model_output *to, const char *key, float value) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_f32(to->writer, key, value, to->error);
}

static inline void put_bool(model_output *to, const char *key, bool value) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_bool(to->writer, key, value, to->error);
}

static inline void put_string(model_output *to, const char *key, const char *value) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_string(to->writer, key, value, to->error);
}

static inline void put_array(model_output *to, const char *key, gguf_type type, const void *values, size_t n) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_array(to->writer, key, type, values, n, to->error);
}

static inline void put_strings(model_output *to, const char *key, const char *const *values, size_t n) {
    if (to->status == DS4_OK) to->status = gguf_writer_add_strings(to->writer, key, values, n, to->error);
}

#define KEY(name) "deepseek4." name

#endif
