#include "server/base64.h"
#include "base/memory.h"

#include <openssl/evp.h>
#include <stdlib.h>

bool base64_encode(const char *bytes, size_t n_bytes, ds4_buffer *out) {
    if (n_bytes > INT32_MAX / 2) return false;
    unsigned char *text = malloc(n_bytes / 3 * 4 + 5);
    if (!text) return false;
    int n = EVP_EncodeBlock(text, (const unsigned char *)bytes, (int)n_bytes);
    bool ok = n >= 0 && buffer_append(out, text, (size_t)n);
    free(text);
    return ok;
}

bool base64_decode(const char *text, size_t n_bytes, ds4_buffer *out) {
    if (n_bytes % 4 || n_bytes > INT32_MAX) return false;
    unsigned char *bytes = malloc(n_bytes / 4 * 3 + 1);
    if (!bytes) return false;
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)n_bytes);
    /* It counts the padding as bytes. */
    for (size_t i = n_bytes; n > 0 && i > 0 && i + 2 > n_bytes && text[i - 1] == '='; i--) n--;
    bool ok = n >= 0 && buffer_append(out, bytes, (size_t)n);
    free(bytes);
    return ok;
}
