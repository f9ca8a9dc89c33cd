/* Bytes that come in pieces become whole UTF-8 characters; what is none becomes U+FFFD. */
#ifndef TEXT_CHARACTERS_H
#define TEXT_CHARACTERS_H

#include <stddef.h>

#define REPLACEMENT_CHARACTER "\xef\xbf\xbd"

typedef void character_sink(void *context, const char *character, size_t n_bytes);

/* The beginning of a character that is not complete yet. Zero-initialise. */
typedef struct open_character {
    char bytes[4];
    size_t n_bytes;
} open_character;

void characters_add(open_character *open, char byte, character_sink *whole, void *context);
/* The bytes end here: an open character is none. */
void characters_end(open_character *open, character_sink *whole, void *context);

#endif
