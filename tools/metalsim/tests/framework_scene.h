/* What the tests of the framework start with, and how they say things shortly. */
#ifndef METALSIM_TESTS_FRAMEWORK_SCENE_H
#define METALSIM_TESTS_FRAMEWORK_SCENE_H

#include "../executor/sim.h"
#include "metal_api.h"
#include "metalsim.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_FLOATS = 64, BYTES = N_FLOATS * sizeof(float), APPLE_PAGE = 16384 };

struct scene {
    void *pool;
    id device, queue, library;
    const char *source_path;                        /* the text of the library */
    id x, y;                                        /* 64 floats each: x[i] = i */
    id add, lower_half, upper_half, count, reverse; /* pipelines */
};

struct framework_test {
    const char *name;
    void (*function)(struct scene *);
    const char *message; /* part of what must be reported; "": nothing may be */
};
/* Both end with a NULL name. */
extern const struct framework_test framework_programs[], framework_mistakes[];

static const mtl_size ONE = {1, 1, 1}, THREADS = {N_FLOATS, 1, 1};

static inline void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "wrong: %s\n", what);
    exit(1);
}

static inline id new_pipeline(const struct scene *s, const char *name) {
    id error = NULL;
    id function = mtl_new_function(s->library, ns_string(name));
    id pipeline = mtl_new_pipeline(s->device, function, &error);
    ns_release(function);
    require(pipeline != NULL, name);
    return pipeline;
}

static inline void use(id encoder, id pipeline, id x, id y) {
    static const uint32_t N = N_FLOATS;
    mtl_set_pipeline(encoder, pipeline);
    mtl_set_buffer(encoder, x, 0, 0);
    mtl_set_buffer(encoder, y, 0, 1);
    mtl_set_bytes(encoder, &N, sizeof N, 2);
}

static inline void run(id encoder, id pipeline, id x, id y) {
    use(encoder, pipeline, x, y);
    mtl_dispatch_groups(encoder, ONE, THREADS);
}

static inline void finish(id command_buffer, id encoder) {
    mtl_end(encoder);
    mtl_commit(command_buffer);
    mtl_wait(command_buffer);
}

static inline float value(id buffer, int index) {
    return ((const float *)mtl_contents(buffer))[index];
}

static inline id new_untracked(const struct scene *s) {
    return mtl_new_buffer(s->device, BYTES, MTL_SHARED | MTL_UNTRACKED);
}

#endif
