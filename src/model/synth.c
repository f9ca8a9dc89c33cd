#include "model/synth.h"
#include "base/error.h"
#include "base/memory.h"
#include "model/synth_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { PIECE_BYTES = 256 << 10 }; /* stays in a processor's own cache between making and writing */

typedef struct synth_job {
    const synth_options *options;
    const char *path;
    hyperparameters hparams;
    gguf_file *layout;        /* the tensors, without data */
    const gguf_tensor **like; /* [layout->n_tensors]: whose bytes a tensor shares; NULL: it has its own */
    gguf_writer *writer;
    synth_filler *filler;
    uint8_t *piece;
    size_t done_bytes, total_bytes;
    ds4_progress *progress;
    void *context;
} synth_job;

/* ---- what is in the file ---- */

static ds4_status set_shape(synth_job *job, const hyperparameters *hparams, ds4_error *error) {
    int n = job->options->n_own_experts ? job->options->n_own_experts : hparams->n_experts;
    if (n < hparams->n_experts_used || n > hparams->n_experts)
        return error_set(error, DS4_ERROR_ARGUMENT, "experts: %d, expected %d to %d", n, hparams->n_experts_used,
                         hparams->n_experts);
    job->hparams = *hparams;
    job->hparams.n_experts = n;
    return DS4_OK;
}

/* What follows "blk.N." */
static gguf_string name_in_layer(gguf_string name) {
    for (int n_dots = 0; name.n_bytes && n_dots < 2; name.data++, name.n_bytes--) n_dots += *name.data == '.';
    return name;
}

static bool holds_experts(const gguf_tensor *tensor) {
    static const char suffix[] = "_exps.weight";
    size_t n = sizeof suffix - 1;
    return tensor->name.n_bytes > n && memcmp(tensor->name.data + tensor->name.n_bytes - n, suffix, n) == 0;
}

/* The first tensor that has the same role in its layer and the same type; NULL if it is the tensor itself. */
static const gguf_tensor *first_like(const gguf_file *layout, const gguf_tensor *tensor) {
    gguf_string role = name_in_layer(tensor->name);
    for (const gguf_tensor *other = layout->tensors; other < tensor; other++) {
        gguf_string found = name_in_layer(other->name);
        if (other->type == tensor->type && found.n_bytes == role.n_bytes &&
            memcmp(found.data, role.data, role.n_bytes) == 0)
            return other;
    }
    return NULL;
}

static ds4_status share_experts(synth_job *job, ds4_error *error) {
    const gguf_file *layout = job->layout;
    job->like = array_new(layout->n_tensors, sizeof *job->like);
    if (!job->like) return error_memory(error, job->path, layout->n_tensors * sizeof *job->like);
    for (size_t t = 0; t < layout->n_tensors; t++) {
        const gguf_tensor *tensor = &layout->tensors[t];
        if (job->options->n_own_experts == 0 && holds_experts(tensor)) job->like[t] = first_like(layout, tensor);
        if (!job->like[t]) job->total_bytes += tensor->n_bytes;
    }
    return DS4_OK;
}

/* ---- the disk ---- */

/* Of the file system of the folder in which path is. */
static bool free_bytes(const char *path, uint64_t *n_bytes) {
    struct statvfs info;
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool known = folder && statvfs(folder, &info) == 0;
    if (known) *n_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    free(folder);
    return known;
}

/* A device or a pipe has no size to compare with, a folder that is not there is reported by who opens the file. */
static ds4_status check_space(const synth_job *job, ds4_error *error) {
    struct stat info;
    uint64_t available;
    if ((stat(job->path, &info) == 0 && !S_ISREG(info.st_mode)) || !free_bytes(job->path, &available)) return DS4_OK;
    if (available > job->total_bytes) return DS4_OK;
    return error_set(error, DS4_ERROR_IO, "%s: needs %.1f GB of disk space, %.1f GB are free", job->path,
                     (double)job->total_bytes * 1e-9, (double)available * 1e-9);
}

/* ---- writing ---- */

static ds4_status add_tensors(synth_job *job, ds4_error *error) {
    enum { NAME_BYTES = 64 };
    char name[NAME_BYTES], like[NAME_BYTES];
    ds4_status status = DS4_OK;
    for (size_t t = 0; t < job->layout->n_tensors && status == DS4_OK; t++) {
        const gguf_tensor *tensor = &job->layout->tensors[t], *other = job->like[t];
        snprintf(name, sizeof name, "%.*s", GGUF_STRING_ARGS(tensor->name));
        if (other) snprintf(like, sizeof like, "%.*s", GGUF_STRING_ARGS(other->name));
        status = other ? gguf_writer_add_shared_tensor(job->writer, name, tensor->type, tensor->n_dims, tensor->ne,
                                                       like, error)
                       : gguf_writer_add_tensor(job->writer, name, tensor->type, tensor->n_dims, tensor->ne, error);
    }
    return status;
}

static bool is_cancelled(const synth_job *job) {
    return job->progress && job->progress(job->context, job->done_bytes, job->total_bytes);
}

static ds4_status write_tensor(synth_job *job, const gguf_tensor *tensor, ds4_error *error) {
    ds4_status status = synth_filler_set(job->filler, tensor, job->options->seed, job->hparams.n_experts, error);
    if (status != DS4_OK) return status;
    size_t block_bytes = tensor->format->n_bytes, unit = synth_piece_blocks(job->filler);
    size_t n_blocks = tensor->n_bytes / block_bytes, piece = PIECE_BYTES / (block_bytes * unit) * unit;
    for (size_t first = 0; first < n_blocks; first += piece) {
        size_t n = n_blocks - first < piece ? n_blocks - first : piece;
        if (is_cancelled(job)) return error_set(error, DS4_CANCELLED, "%s: writing was cancelled", job->path);
        synth_fill(job->filler, first, n, job->piece);
        status = gguf_writer_data(job->writer, job->piece, n * block_bytes, error);
        if (status != DS4_OK) return status;
        job->done_bytes += n * block_bytes;
    }
    return DS4_OK;
}

static ds4_status write_file(synth_job *job, ds4_error *error) {
    ds4_status status = gguf_writer_new(job->path, &job->writer, error);
    if (status == DS4_OK) status = synth_add_metadata(job->writer, &job->hparams, error);
    if (status == DS4_OK) status = add_tensors(job, error);
    for (size_t t = 0; t < job->layout->n_tensors && status == DS4_OK; t++)
        if (!job->like[t]) status = write_tensor(job, &job->layout->tensors[t], error);
    if (status == DS4_OK) status = gguf_writer_finish(job->writer, error);
    gguf_writer_free(job->writer);
    return status;
}

ds4_status synth_write_shape(const synth_options *options, const hyperparameters *hparams, const char *path,
                             ds4_progress *progress, void *context, ds4_error *error) {
    synth_job job = {.options = options, .path = path, .progress = progress, .context = context};
    ds4_status status = set_shape(&job, hparams, error);
    if (status != DS4_OK) return status;
    status = layout_open_shape(options->recipe, &job.hparams, &job.layout, error);
    if (status != DS4_OK) return status;
    job.filler = array_new(1, sizeof *job.filler);
    job.piece = malloc(PIECE_BYTES);
    if (!job.filler || !job.piece) status = error_memory(error, path, PIECE_BYTES + sizeof *job.filler);
    if (status == DS4_OK) status = share_experts(&job, error);
    if (status == DS4_OK) status = check_space(&job, error);
    if (status == DS4_OK) status = write_file(&job, error);
    gguf_close(job.layout);
    free(job.like);
    free(job.filler);
    free(job.piece);
    return status;
}

ds4_status synth_write(const synth_options *options, const char *path, ds4_progress *progress, void *context,
                       ds4_error *error) {
    hyperparameters hparams = hyperparameters_flash();
    return synth_write_shape(options, &hparams, path, progress, context, error);
}
