#include "text/control_set.h"

#include <stdlib.h>
#include <string.h>

static int compare_bytes(const char *a, size_t n_a, const char *b, size_t n_b) {
    int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int compare_strings(const void *a, const void *b) {
    const control_string *left = a, *right = b;
    int order = compare_bytes(left->bytes, left->n_bytes, right->bytes, right->n_bytes);
    return order ? order : (left->id > right->id) - (left->id < right->id);
}

void control_set_sort(control_set *set) {
    if (set->n) qsort(set->item, set->n, sizeof *set->item, compare_strings);
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        const control_string *last = n ? &set->item[n - 1] : NULL;
        if (last && !compare_bytes(last->bytes, last->n_bytes, set->item[i].bytes, set->item[i].n_bytes)) continue;
        set->item[n++] = set->item[i];
    }
    set->n = n;
    size_t at = 0;
    for (size_t byte = 0; byte < 256; byte++) {
        set->first[byte] = at;
        while (at < n && (unsigned char)set->item[at].bytes[0] == byte) at++;
    }
    set->first[256] = n;
}

int32_t control_set_id(const control_set *set, const char *bytes, size_t n_bytes) {
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const control_string *item = &set->item[middle];
        int order = compare_bytes(item->bytes, item->n_bytes, bytes, n_bytes);
        if (!order) return item->id;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The first of item[low..high), which agree before depth and are longer, whose byte at depth is >= byte. */
static size_t lower_bound(const control_set *set, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->item[middle].bytes[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Id of the longest control string at the start of the text (which is not empty), -1 if there is none. */
static int32_t match_at_start(const control_set *set, const char *text, size_t n_bytes, size_t *matched_bytes) {
    int32_t id = -1;
    unsigned byte = (unsigned char)text[0];
    size_t low = set->first[byte], high = set->first[byte + 1];
    for (size_t depth = 1; low < high; depth++) {
        /* A string sorts before those that it is the start of. */
        if (set->item[low].n_bytes == depth) {
            id = set->item[low++].id;
            *matched_bytes = depth;
        }
        if (depth == n_bytes) break;
        byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return id;
}

int32_t control_set_find(const control_set *set, const char *text, size_t n_bytes, size_t *offset_bytes,
                         size_t *matched_bytes) {
    for (size_t at = 0; at < n_bytes; at++) {
        unsigned byte = (unsigned char)text[at];
        if (set->first[byte] == set->first[byte + 1]) continue;
        int32_t id = match_at_start(set, text + at, n_bytes - at, matched_bytes);
        if (id < 0) continue;
        *offset_bytes = at;
        return id;
    }
    return -1;
}
