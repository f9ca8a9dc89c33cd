#include "base/cgroup.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The files that are read here are short. */
enum { MAX_FILE_BYTES = 1 << 20, PATH_BYTES = 4096 };

/* UINT64_MAX if the file is not there or has no number ("max"). */
static uint64_t read_number(const char *path) {
    ds4_buffer text = {0};
    uint64_t number = UINT64_MAX;
    if (file_read_all(path, MAX_FILE_BYTES, &text, NULL) == DS4_OK && text.data && text.data[0] >= '0' &&
        text.data[0] <= '9')
        number = strtoull(text.data, NULL, 10);
    ds4_buffer_deinit(&text);
    return number;
}

/* Of the group and all above it; group begins with '/' and is used up. */
static uint64_t limit_of_groups(const char *folder, char *group, const char *file) {
    uint64_t limit = UINT64_MAX;
    for (char *slash = group + strlen(group); slash; slash = strrchr(group, '/')) {
        *slash = '\0';
        char path[PATH_BYTES];
        int n = snprintf(path, sizeof path, "%s%s/%s", folder, group, file);
        uint64_t number = n > 0 && (size_t)n < sizeof path ? read_number(path) : UINT64_MAX;
        if (number < limit) limit = number;
    }
    return limit;
}

static bool has_memory(const char *controllers) {
    for (const char *at = controllers; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == strlen("memory") && strncmp(at, "memory", strlen("memory")) == 0) return true;
    return false;
}

/* A line is ID:CONTROLLERS:GROUP; version 2 has no controllers. */
static uint64_t limit_of_line(char *line, const char *mount) {
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group || group[1] != '/') return UINT64_MAX;
    controllers++;
    *group++ = '\0';
    if (!*controllers) return limit_of_groups(mount, group, "memory.max");
    if (!has_memory(controllers)) return UINT64_MAX;
    char folder[PATH_BYTES];
    int n = snprintf(folder, sizeof folder, "%s/memory", mount);
    if (n < 0 || (size_t)n >= sizeof folder) return UINT64_MAX;
    return limit_of_groups(folder, group, "memory.limit_in_bytes");
}

uint64_t cgroup_memory_limit(const char *membership, const char *mount) {
    ds4_buffer text = {0};
    uint64_t limit = UINT64_MAX;
    if (file_read_all(membership, MAX_FILE_BYTES, &text, NULL) == DS4_OK && text.data)
        for (char *line = text.data, *end; *line; line = end) {
            end = line + strcspn(line, "\n");
            if (*end) *end++ = '\0';
            uint64_t of_line = limit_of_line(line, mount);
            if (of_line < limit) limit = of_line;
        }
    ds4_buffer_deinit(&text);
    return limit;
}
