/* Byte-level BPE from the arrays of a GGUF file. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "gguf/gguf.h"

/* Reads tokenizer.ggml.{model,pre,tokens,merges,token_type,bos_token_id,eos_token_id}. The file may be
 * closed afterwards. Errors name the key. */
ds4_status tokenizer_new(const gguf_file *file, ds4_tokenizer **tokenizer, ds4_error *error);
void tokenizer_free(ds4_tokenizer *tokenizer);

#endif
