#include "text/characters.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* Whether some bytes could complete the beginning of a character. The least and the greatest continuation
 * stand for all. */
static bool begins_character(const char *bytes, size_t n_bytes) {
    uint32_t code_point;
    for (size_t length = n_bytes + 1; length <= 4; length++) {
        char low[4] = {'\x80', '\x80', '\x80', '\x80'}, high[4] = {'\xbf', '\xbf', '\xbf', '\xbf'};
        memcpy(low, bytes, n_bytes);
        memcpy(high, bytes, n_bytes);
        if (utf8_decode(low, length, &code_point) == length || utf8_decode(high, length, &code_point) == length)
            return true;
    }
    return false;
}

void characters_add(open_character *open, char byte, character_sink *whole, void *context) {
    uint32_t code_point;
    open->bytes[open->n_bytes++] = byte;
    if (utf8_decode(open->bytes, open->n_bytes, &code_point) == open->n_bytes) {
        whole(context, open->bytes, open->n_bytes);
        open->n_bytes = 0;
    } else if (!begins_character(open->bytes, open->n_bytes)) {
        bool alone = open->n_bytes == 1;
        whole(context, REPLACEMENT_CHARACTER, strlen(REPLACEMENT_CHARACTER));
        open->n_bytes = 0;
        if (!alone) characters_add(open, byte, whole, context);
    }
}

void characters_end(open_character *open, character_sink *whole, void *context) {
    if (open->n_bytes) whole(context, REPLACEMENT_CHARACTER, strlen(REPLACEMENT_CHARACTER));
    open->n_bytes = 0;
}
