/* Any text becomes tokens that give the text back; without `special` none of them is a control token. The
 * first byte chooses. Run from the root of the repository. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static ds4_tokenizer *tokenizer;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    gguf_file *file = NULL;
    if (gguf_open("tests/data/vocab.gguf", NULL, &file, NULL) != DS4_OK) abort();
    if (tokenizer_new(file, &tokenizer, NULL) != DS4_OK) abort();
    gguf_close(file);
    return 0;
}

static void check_plain(const ds4_tokens *tokens) {
    for (size_t i = 0; i < tokens->n; i++) {
        size_t token_bytes;
        const char *bytes = ds4_tokenizer_token_bytes(tokenizer, tokens->id[i], &token_bytes);
        if (!bytes || ds4_tokenizer_control_id(tokenizer, bytes) == tokens->id[i]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    if (!n_bytes) return 0;
    bool special = data[0] & 1;
    const char *text = (const char *)data + 1;
    n_bytes--;

    ds4_tokens tokens = {0};
    ds4_buffer back = {0};
    if (ds4_tokenizer_encode(tokenizer, text, n_bytes, special, &tokens, NULL) != DS4_OK) abort();
    if (!special) check_plain(&tokens);
    if (ds4_tokenizer_decode(tokenizer, tokens.id, tokens.n, &back, NULL) != DS4_OK) abort();
    if (back.n_bytes != n_bytes || (n_bytes && memcmp(back.data, text, n_bytes))) abort();
    ds4_buffer_deinit(&back);
    ds4_tokens_deinit(&tokens);
    return 0;
}
