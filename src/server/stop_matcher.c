#include "server/stop_matcher.h"
#include "base/memory.h"

#include <string.h>

typedef enum stop_verdict { STOP_NONE, STOP_OPEN, STOP_MATCHED } stop_verdict;

/* What starts at the first byte held back. at_end: nothing follows it. */
static stop_verdict look(const stop_matcher *self, const char *held, size_t n_held, bool at_end, const char **matched) {
    const char *longest = NULL;
    size_t longest_bytes = 0;
    for (size_t i = 0; i < self->n_stops; i++) {
        const char *stop = self->stop[i];
        size_t n = strlen(stop), n_common = n < n_held ? n : n_held;
        if (memcmp(stop, held, n_common) != 0) continue;
        if (n > n_held && !at_end) return STOP_OPEN;
        if (n <= n_held && n > longest_bytes) {
            longest = stop;
            longest_bytes = n;
        }
    }
    *matched = longest;
    return longest ? STOP_MATCHED : STOP_NONE;
}

static bool settle(stop_matcher *self, bool at_end, ds4_buffer *text) {
    size_t at = 0;
    bool ok = true;
    for (; at < self->n_held && ok; at++) {
        stop_verdict verdict = look(self, self->held + at, self->n_held - at, at_end, &self->matched);
        if (verdict == STOP_OPEN) break;
        if (verdict == STOP_MATCHED) {
            self->n_held = 0;
            return true;
        }
        ok = buffer_append(text, self->held + at, 1);
    }
    self->n_held -= at;
    memmove(self->held, self->held + at, self->n_held);
    return ok;
}

bool stop_matcher_add(stop_matcher *self, const char *bytes, size_t n_bytes, ds4_buffer *text) {
    if (!self->n_stops) return buffer_append(text, bytes, n_bytes);
    for (size_t i = 0; i < n_bytes && !self->matched; i++) {
        self->held[self->n_held++] = bytes[i];
        if (!settle(self, false, text)) return false;
    }
    return true;
}

bool stop_matcher_flush(stop_matcher *self, ds4_buffer *text) {
    return settle(self, true, text);
}
