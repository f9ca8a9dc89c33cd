/* The strings of the control tokens, found in a text by leftmost-longest match. */
#ifndef TEXT_CONTROL_SET_H
#define TEXT_CONTROL_SET_H

#include "ds4.h"

/* Looking for a match at one byte costs at most this many steps, so searching is linear in the text. */
enum { CONTROL_STRING_MAX_BYTES = 256 };

typedef struct control_string {
    const char *bytes; /* the owner of the set keeps them */
    size_t n_bytes;    /* 1..CONTROL_STRING_MAX_BYTES */
    int32_t id;
} control_string;

/* Fill item[0..n), then sort. item belongs to the set's owner. */
typedef struct control_set {
    control_string *item; /* ascending by bytes, all different */
    size_t n;
    size_t first[257]; /* item[first[b]..first[b + 1]) start with byte b */
} control_set;

/* Of equal strings the one with the lowest id stays. */
void control_set_sort(control_set *set);
/* Id of the control token with exactly this string, -1 if there is none. */
int32_t control_set_id(const control_set *set, const char *bytes, size_t n_bytes);
/* Id of the first control token in the text and its place, -1 if there is none. Of several that start at
 * the same byte it is the longest. */
int32_t control_set_find(const control_set *set, const char *text, size_t n_bytes, size_t *offset_bytes,
                         size_t *matched_bytes);

#endif
