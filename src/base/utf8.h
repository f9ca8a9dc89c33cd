/* UTF-8, one code point at a time. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the valid code point at the start of text (no overlong forms, no surrogates, at most
 * U+10FFFF), 0 if there is none or it is cut off. */
size_t utf8_decode(const char *text, size_t n_bytes, uint32_t *code_point);
/* Writes 1 to 4 bytes for a valid code point and returns their number. */
size_t utf8_encode(uint32_t code_point, char out[4]);

#endif
