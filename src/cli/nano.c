#include "cli/nano.h"
#include "base/error.h"
#include "model/published.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The assembler copies the file: no C compiler could take an array of this size in reasonable time. The section
 * is read-only and the start aligned to the largest page of the supported systems. NANO_FILE is the path. */
#ifdef __APPLE__
#define READ_ONLY_SECTION "__TEXT,__const"
#else
#define READ_ONLY_SECTION ".rodata.ds4_nano,\"a\""
#endif
__asm__(".pushsection " READ_ONLY_SECTION "\n"
        ".balign 16384\n"
        ".globl ds4_nano_file\n"
        "ds4_nano_file:\n"
        ".incbin \"" NANO_FILE "\"\n"
        "1:\n"
        ".balign 8\n"
        ".globl ds4_nano_file_bytes\n"
        "ds4_nano_file_bytes:\n"
        ".quad 1b - ds4_nano_file\n"
        ".popsection\n");

/* Named here, because Mach-O would put an underscore in front. */
#define DEFINED_ABOVE(name) __asm__(name) __attribute__((visibility("hidden")))
extern const uint8_t file[] DEFINED_ABOVE("ds4_nano_file");
extern const uint64_t file_bytes DEFINED_ABOVE("ds4_nano_file_bytes");

const void *nano_data(size_t *n_bytes) {
    *n_bytes = (size_t)file_bytes;
    return file;
}

bool nano_is_meant(const char *name) {
    struct stat status;
    return !name || (strcmp(name, "nano") == 0 && (stat(name, &status) != 0 || S_ISDIR(status.st_mode)));
}

static ds4_status open_file(const char *name, ds4_model_parts parts, ds4_model **model, ds4_error *error) {
    const published_file *published = published_find(name);
    char *path = NULL;
    ds4_status status = published_resolve(name, &path, error);
    if (status != DS4_OK) return status;
    if (published && !published->is_model && strcmp(path, name) != 0)
        status = error_set(error, DS4_ERROR_ARGUMENT, "%s: belongs to a model and is none itself", name);
    else
        status = ds4_model_open(path, parts, model, error);
    free(path);
    return status;
}

ds4_status nano_or_file_open(const char *name, ds4_model_parts parts, ds4_model **model, ds4_error *error) {
    if (!nano_is_meant(name)) return open_file(name, parts, model, error);
    size_t n_bytes;
    const void *data = nano_data(&n_bytes);
    return ds4_model_open_memory(data, n_bytes, NANO_NAME, parts, model, error);
}
