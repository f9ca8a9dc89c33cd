/* SHA-256 (FIPS 180-4), to recognise test files. */
#ifndef SUPPORT_SHA256_H
#define SUPPORT_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define SHA256_HEX_BYTES 65 /* 64 digits and a NUL */

void sha256_hex(const void *bytes, size_t n_bytes, char hex[SHA256_HEX_BYTES]);
/* False if the file cannot be read. */
bool sha256_file_hex(const char *path, char hex[SHA256_HEX_BYTES]);

#endif
