/* SHA-256, by OpenSSL's libcrypto. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include "ds4.h"

#define SHA256_HEX_BYTES 65 /* 64 lower-case digits and a NUL */

/* Of bytes that come in pieces. */
typedef struct sha256_context sha256_context;

ds4_status sha256_new(sha256_context **sum, ds4_error *error);
void sha256_free(sha256_context *sum);
/* Both are false if the library fails, which it does not say why. After sha256_finish only sha256_free. */
bool sha256_add(sha256_context *sum, const void *bytes, size_t n_bytes);
bool sha256_finish(sha256_context *sum, char hex[SHA256_HEX_BYTES]);

/* Of all bytes at once; false as above. */
bool sha256_hex(const void *bytes, size_t n_bytes, char hex[SHA256_HEX_BYTES]);
/* False if the file cannot be read, too. */
bool sha256_file_hex(const char *path, char hex[SHA256_HEX_BYTES]);

#endif
