/*
 * What running a model takes and how fast it would be, without running it: from the list of its tensors and the sizes
 * that engines, backends and timelines have for it.
 *
 * Bytes are those that are allocated, and those of the file that is mapped; tests/test_plan.c compares. Not counted
 * are the tables of the vocabulary (some MB) and what checkpoints copy. Speeds are predictions from bytes and
 * operations.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "model/machines.h"
#include "model/model.h"
#include "model/sizes.h"

typedef enum plan_backend { PLAN_CPU, PLAN_GPU } plan_backend;

typedef struct plan_settings {
    plan_backend backend;
    int n_threads; /* of the CPU backend */
    int chunk_tokens;
    size_t n_sessions;
    uint64_t max_buffer_bytes; /* of one buffer of the GPU; UINT64_MAX: no limit */
} plan_settings;

/* A model of which a plan is made. */
typedef struct plan {
    ds4_model model; /* without tokenizer; without weights if it is a prediction block */
    bool is_mtp;     /* a multi-token prediction block: only its weights are planned */
    tensor_group group[N_TENSOR_GROUPS];
    uint64_t tensor_bytes;    /* each tensor counted whole */
    uint64_t weight_bytes;    /* what several share counted once: what they take in memory */
    uint64_t directory_bytes; /* the file's, if it is there, and lists that are made of it */
    uint64_t dispatches[2];   /* of one decoded token on a GPU: without and with choosing rows */
    bool runs_on_gpu;
    ds4_error gpu_error; /* why not */
} plan;

/* Takes over the file, also on failure. hparams NULL: those of the file. A prediction block without hyperparameters is
 * one of the published model. */
ds4_status plan_new(gguf_file *file, const hyperparameters *hparams, plan **out, ds4_error *error);
void plan_free(plan *p);

/* Memory with n_sessions sessions that hold n_context tokens each. */
typedef struct plan_memory {
    uint64_t weights;
    uint64_t scratch;  /* the directory, activations, the backend's, a batch's, a frontier to go back to */
    uint64_t rings;    /* of one session: the window's rows and the compressors' open windows */
    uint64_t rows;     /* of one session: pages of compressed and indexer rows */
    uint64_t lists;    /* of one session: tokens, lists of pages */
    uint64_t sessions; /* of all; a GPU's memory for them is taken in large pieces */
    uint64_t total;
} plan_memory;

/* n_context: 1 to the model's. */
ds4_status plan_measure(const plan *p, const plan_settings *settings, size_t n_context, plan_memory *memory,
                        ds4_error *error);
/* The largest context with which the total is at most limit_bytes; 0: none. */
ds4_status plan_largest_context(const plan *p, const plan_settings *settings, uint64_t limit_bytes, size_t *n_context,
                                ds4_error *error);
/* Bytes that a checkpoint copies, where they are fewest and where they are most. */
void plan_checkpoint_bytes(const plan *p, uint64_t *least, uint64_t *most);

typedef enum plan_bound { BOUND_UNKNOWN, BOUND_BANDWIDTH, BOUND_COMPUTE } plan_bound;

/* Of one session: the last token of a full context, and the last chunk of a prompt that fills it. */
typedef struct plan_speed {
    uint64_t weight_bytes, row_bytes; /* that the token reads */
    uint64_t dispatches;              /* 0 on a CPU */
    double operations;                /* of a token of the chunk */
    double decode;                    /* tokens a second */
    double prefill;                   /* tokens a second; with BOUND_UNKNOWN at most: what bandwidth allows */
    plan_bound prefill_bound;
} plan_speed;

plan_speed plan_predict(const plan *p, const plan_settings *settings, size_t n_context, const machine *m);

/* ---- what fits ---- */

/* A computer's memory. */
typedef struct plan_room {
    uint64_t memory_bytes;
    uint64_t working_bytes; /* what the GPU keeps at hand as it is set up; on a CPU all */
    bool can_be_raised;     /* working_bytes, by a setting of the system */
} plan_room;

typedef enum plan_fit { PLAN_FITS, PLAN_FITS_IF_RAISED, PLAN_DOES_NOT_FIT } plan_fit;

/* As the machine's maker sells it: what its GPU keeps at hand is an estimate. */
plan_room plan_room_of(const machine *m, plan_backend on, int memory_gib);
/* A sixteenth of the memory is left to the system and to other programs. */
uint64_t plan_usable_bytes(const plan_room *room);
plan_fit plan_fits(const plan_room *room, uint64_t total_bytes);
/* The limit in MiB, in whole GiB, to which working_bytes must be raised. */
uint64_t plan_raised_mib(uint64_t total_bytes);

#endif
