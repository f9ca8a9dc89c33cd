/*
 * Two engines on the same model, the exact CPU backend and the GPU backend in the simulator, that go through the same
 * batches. Before every step the GPU gets the CPU's values as inputs, so that differences do not add up and a wrong
 * operation is named. A step is one operation, or two where the GPU does part of one in the dispatches of the next.
 *
 * What goes wrong ends the test. With DS4_SIMULATOR_CHECK=1 every access of the kernels is looked at.
 */
#ifndef SUPPORT_TWINS_H
#define SUPPORT_TWINS_H

#include "ds4.h"

enum { TWINS_MAX_TIMELINES = 4 };

/* How rows are kept. */
typedef enum twins_rows { TWINS_CODES, TWINS_ROUNDED_FLOATS, TWINS_FLOATS } twins_rows;

struct twins;

/* Zero means the default where there is one. */
typedef struct twins_setup {
    const char *path;    /* of the model */
    const char *backend; /* to compare with the CPU; "sim" */
    twins_rows rows;
    int n_timelines;
    size_t context; /* tokens of a timeline; 1024 */
    int n_layers;   /* that the engines have; all */
    int n_threads;  /* of the CPU; 1, in the calling thread, so that a process may open twins and fork */
    bool by_value;  /* a value may be off by the limit times itself too: among millions some are far above the rms */
} twins_setup;

struct twins *twins_open_with(const twins_setup *setup);
/* In the simulator. */
struct twins *twins_open(const char *tiny_model, twins_rows rows, int n_timelines);
/* The timelines of one side, to fill. */
ds4_timeline *twins_timeline(const struct twins *twins, bool of_gpu, int index);
void twins_close(struct twins *twins);

/* Batches go through layers first .. end - 1 only, until the next call; the steps do not depend on the others. */
void twins_use_layers(struct twins *twins, int first, int end);

/* The next lengths[i] tokens of each timeline, on the CPU; the GPU's memory becomes a copy of what it remembers. */
void twins_skip(struct twins *twins, const int *lengths);
/* The next lengths[i] tokens as one batch, compared. Logits of all of them, or of each timeline's last. */
void twins_check_batch(struct twins *twins, const int *lengths, bool all_wanted);

#endif
