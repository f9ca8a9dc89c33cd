/* Base64, by OpenSSL's libcrypto. */
#ifndef SERVER_BASE64_H
#define SERVER_BASE64_H

#include "ds4.h"

/* Append; false without memory. */
bool base64_encode(const char *bytes, size_t n_bytes, ds4_buffer *out);
/* False, too, if the text is not base64. */
bool base64_decode(const char *text, size_t n_bytes, ds4_buffer *out);

#endif
