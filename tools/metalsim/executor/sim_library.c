/*
 * Compiled libraries. A library is a shared object with a table of kernels; a .metallib is the same in a container,
 * which stands for Apple's format and has nothing else in common with it:
 *
 *     0   8 bytes  "DS4MTLIB"
 *     8   4 bytes  version, little endian: 1
 *     12  4 bytes  flags: 1 = built with access checks
 *     16  the shared object
 *
 * The dynamic loader gives one copy of an object a process. A copy with function constants of its own is therefore the
 * same bytes loaded from another (anonymous) file.
 */
#define _GNU_SOURCE
#include "sim_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONTAINER_HEADER_BYTES = 16, MAX_CONSTANT_BYTES = 16 };
static const char CONTAINER_MAGIC[] = "DS4MTLIB", CONTAINER_VERSION[] = "\1\0\0";

struct sim_library {
    int file;
    void *handle;
    char *image; /* the shared object's bytes */
    size_t image_bytes;
    const struct sim_kernel *kernels;
    struct sim_function_constant *constants; /* that its kernels declare */
    struct {
        bool is_set;
        size_t bytes;
        char value[MAX_CONSTANT_BYTES];
    } constant[MAX_CONSTANTS]; /* that the host has set */
};

/* The library whose constructors are running. */
static sim_library *loading;

void sim_register_function_constant(struct sim_function_constant *constant) {
    constant->next = loading->constants;
    loading->constants = constant;
}

static char *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *content = size > 0 ? malloc((size_t)size) : NULL;
    if (content && fread(content, 1, (size_t)size, file) != (size_t)size) {
        free(content);
        content = NULL;
    }
    fclose(file);
    *bytes = size > 0 ? (size_t)size : 0;
    return content;
}

/* Takes the container off, if there is one. False if its header is wrong. */
static bool unwrap(char *content, size_t *bytes) {
    if (*bytes < CONTAINER_HEADER_BYTES || memcmp(content, CONTAINER_MAGIC, 8) != 0) return true;
    if (memcmp(content + 8, CONTAINER_VERSION, 4) != 0) return false;
    *bytes -= CONTAINER_HEADER_BYTES;
    memmove(content, content + CONTAINER_HEADER_BYTES, *bytes);
    return true;
}

/* The file stays open while the library is: the loader knows libraries by path, and the number is in the path. */
static void load_image(sim_library *library) {
    char path[64];
    library->file = memfd_create("metalsim", 0);
    if (library->file < 0) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", library->file);
    if (write(library->file, library->image, library->image_bytes) != (ssize_t)library->image_bytes) return;
    loading = library;
    library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    loading = NULL;
}

static sim_library *library_new(char *image, size_t bytes, const char **why) {
    sim_library *library = calloc(1, sizeof *library);
    if (!library) abort();
    library->image = image;
    library->image_bytes = bytes;
    load_image(library);
    if (library->handle) library->kernels = dlsym(library->handle, "SIM_TABLE");
    if (library->kernels) return library;
    if (why) *why = library->handle ? "it has no table of kernels" : dlerror();
    sim_library_close(library);
    return NULL;
}

sim_library *sim_library_open(const char *path, const char **why) {
    size_t bytes;
    char *image = read_file(path, &bytes);
    const char *problem = !image                   ? "cannot read the file"
                          : !unwrap(image, &bytes) ? "container of another version"
                                                   : NULL;
    if (problem) {
        if (why) *why = problem;
        free(image);
        return NULL;
    }
    if (bytes < 4 || memcmp(image, "\177ELF", 4) != 0) {
        if (why) *why = "it was not made by msl-build";
        free(image);
        return NULL;
    }
    return library_new(image, bytes, why);
}

sim_library *sim_library_copy(const sim_library *library) {
    char *image = malloc(library->image_bytes);
    if (!image) abort();
    memcpy(image, library->image, library->image_bytes);
    return library_new(image, library->image_bytes, NULL);
}

void sim_library_close(sim_library *library) {
    if (!library) return;
    if (library->handle) dlclose(library->handle);
    if (library->file >= 0) close(library->file);
    free(library->image);
    free(library);
}

bool sim_library_is_checked(const sim_library *library) {
    return dlsym(library->handle, "SIM_HAS_CHECKS") != NULL;
}

const struct sim_kernel *sim_library_kernels(const sim_library *library) {
    return library->kernels;
}

const struct sim_kernel *sim_library_kernel(const sim_library *library, const char *name) {
    for (const struct sim_kernel *kernel = library->kernels; kernel->name; kernel++)
        if (strcmp(kernel->name, name) == 0) return kernel;
    return NULL;
}

void sim_library_set_constant(sim_library *library, int index, const void *value, size_t bytes) {
    if (index < 0 || index >= MAX_CONSTANTS || bytes > MAX_CONSTANT_BYTES) {
        sim_error("function constant %d of %zu bytes", index, bytes);
        return;
    }
    library->constant[index].is_set = true;
    library->constant[index].bytes = bytes;
    memcpy(library->constant[index].value, value, bytes);
}

void library_apply_constants(sim_library *library) {
    for (struct sim_function_constant *c = library->constants; c; c = c->next) {
        c->is_set = 0;
        if (c->index < 0 || c->index >= MAX_CONSTANTS || !library->constant[c->index].is_set) continue;
        if (library->constant[c->index].bytes != c->bytes) {
            sim_error("function constant %s(%d): the host set %zu bytes, the kernel has %zu", c->name, c->index,
                      library->constant[c->index].bytes, c->bytes);
            continue;
        }
        memcpy(c->value, library->constant[c->index].value, c->bytes);
        c->is_set = 1;
    }
}
