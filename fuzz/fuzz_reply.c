/* Headers of a response, as they come from a server: what is accepted as the extent of a body fits the file and a file
 * offset, and tag and sum are short strings of printable characters. */
#include "fetch/reply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool condition) {
    if (!condition) abort();
}

static bool is_printable(const char *text, size_t capacity) {
    if (!memchr(text, '\0', capacity)) return false;
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    fetch_reply reply = {0};
    for (size_t at = 0; at < n_bytes;) { /* each line in memory of its own, so that nothing behind it is read unseen */
        const uint8_t *end = memchr(data + at, '\n', n_bytes - at);
        size_t n = end ? (size_t)(end - data) + 1 - at : n_bytes - at;
        char *line = malloc(n);
        if (!line) break;
        memcpy(line, data + at, n);
        fetch_reply_header(&reply, line, n);
        free(line);
        at += n;
    }
    fetch_extent extent;
    if (fetch_reply_extent(&reply, "URL", &extent, NULL) == DS4_OK)
        require(extent.first <= extent.end && extent.end <= extent.total && extent.total <= INT64_MAX);
    require(is_printable(reply.etag, sizeof reply.etag) && is_printable(reply.sha256, sizeof reply.sha256));
    require(!reply.sha256[0] || strlen(reply.sha256) == SHA256_HEX_BYTES - 1);
    return 0;
}
