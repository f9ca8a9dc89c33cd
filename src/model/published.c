#include "model/published.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define Q2 "DeepSeek-V4-Flash-IQ2XXS-w2Q2K-AProjQ8-SExpQ8-OutQ8-chat-v2"
#define Q4 "DeepSeek-V4-Flash-Q4KExperts-F16HC-F16Compressor-F16Indexer-Q8Attn-Q8Shared-Q8Out-chat-v2"

const published_file published_files[] = {
    {"q2-imatrix", Q2 "-imatrix.gguf", true},
    {"q2", Q2 ".gguf", true},
    {"q4-imatrix", Q4 "-imatrix.gguf", true},
    {"q4", Q4 ".gguf", true},
    {"mtp", "DeepSeek-V4-Flash-MTP-Q4K-Q8_0-F32.gguf", false},
    {NULL, NULL, false},
};

const published_file *published_find(const char *name) {
    for (const published_file *file = published_files; file->name; file++)
        if (strcmp(file->name, name) == 0) return file;
    return NULL;
}

static ds4_status join(char **joined, ds4_error *error, const char *a, const char *between, const char *b) {
    size_t n_bytes = strlen(a) + strlen(between) + strlen(b) + 1;
    char *text = malloc(n_bytes);
    if (!text) return error_memory(error, b, n_bytes);
    snprintf(text, n_bytes, "%s%s%s", a, between, b);
    *joined = text;
    return DS4_OK;
}

ds4_status published_url(const published_file *file, const char *base_url, char **url, ds4_error *error) {
    if (!base_url) base_url = PUBLISHED_BASE_URL;
    size_t n = strlen(base_url);
    return join(url, error, base_url, n && base_url[n - 1] == '/' ? "" : "/", file->file_name);
}

ds4_status published_folder(char **folder, ds4_error *error) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    /* the XDG base directory specification: what is not absolute does not count */
    if (data && data[0] == '/') return join(folder, error, data, "/", "ds4");
    if (home && *home) return join(folder, error, home, "/", ".local/share/ds4");
    *folder = NULL;
    return DS4_OK;
}

static bool is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static ds4_status find_file(const published_file *file, char **path, ds4_error *error) {
    char *folder = NULL, *found = NULL;
    ds4_status status = published_folder(&folder, error);
    if (status == DS4_OK && folder) status = join(&found, error, folder, "/", file->file_name);
    free(folder);
    if (found && !is_file(found)) {
        free(found);
        found = NULL;
    }
    if (status == DS4_OK) *path = found;
    return status;
}

ds4_status published_find_local(const char *name, char **path, ds4_error *error) {
    const published_file *file = published_find(name);
    if (file) return find_file(file, path, error);
    *path = NULL;
    return DS4_OK;
}

ds4_status published_choose(const published_file **file, char **path, ds4_error *error) {
    char *found = NULL;
    const published_file *at = published_files;
    for (; at->name; at++) {
        if (!at->is_model) continue;
        ds4_status status = find_file(at, &found, error);
        if (status != DS4_OK) return status;
        if (found) break;
    }
    *file = found ? at : NULL;
    *path = found;
    return DS4_OK;
}

ds4_status published_resolve(const char *name, char **path, ds4_error *error) {
    struct stat info;
    const published_file *file = published_find(name);
    char *found = NULL;
    if (file && (stat(name, &info) != 0 || S_ISDIR(info.st_mode))) {
        ds4_status status = find_file(file, &found, error);
        if (status != DS4_OK) return status;
        if (!found) return error_set(error, DS4_ERROR_IO, "%s: not downloaded (ds4 pull %s would)", name, name);
    } else {
        found = strdup(name);
        if (!found) return error_memory(error, name, strlen(name));
    }
    *path = found;
    return DS4_OK;
}
