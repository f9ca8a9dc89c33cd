#include "base/sha256.h"
#include "base/error.h"
#include "base/file.h"

#include <openssl/evp.h>

/* The type that callers know is OpenSSL's own; it is never looked into. */
static EVP_MD_CTX *context_of(sha256_context *sum) {
    return (EVP_MD_CTX *)(void *)sum;
}

ds4_status sha256_new(sha256_context **sum, ds4_error *error) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return error_set(error, DS4_ERROR_MEMORY, "SHA-256: libcrypto cannot begin");
    }
    *sum = (sha256_context *)(void *)context;
    return DS4_OK;
}

void sha256_free(sha256_context *sum) {
    EVP_MD_CTX_free(context_of(sum));
}

bool sha256_add(sha256_context *sum, const void *bytes, size_t n_bytes) {
    return EVP_DigestUpdate(context_of(sum), bytes, n_bytes) == 1;
}

static void print_hex(const unsigned char *digest, size_t n_bytes, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        *hex++ = digits[digest[i] >> 4];
        *hex++ = digits[digest[i] & 15];
    }
    *hex = '\0';
}

bool sha256_finish(sha256_context *sum, char hex[SHA256_HEX_BYTES]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n_bytes = 0;
    if (EVP_DigestFinal_ex(context_of(sum), digest, &n_bytes) != 1 || n_bytes != SHA256_HEX_BYTES / 2) return false;
    print_hex(digest, n_bytes, hex);
    return true;
}

bool sha256_hex(const void *bytes, size_t n_bytes, char hex[SHA256_HEX_BYTES]) {
    sha256_context *sum = NULL;
    if (sha256_new(&sum, NULL) != DS4_OK) return false;
    bool ok = (!n_bytes || sha256_add(sum, bytes, n_bytes)) && sha256_finish(sum, hex);
    sha256_free(sum);
    return ok;
}

bool sha256_file_hex(const char *path, char hex[SHA256_HEX_BYTES]) {
    file_map map;
    if (file_map_open(path, &map, NULL) != DS4_OK) return false;
    bool ok = sha256_hex(map.data, map.n_bytes, hex);
    file_map_close(&map);
    return ok;
}
