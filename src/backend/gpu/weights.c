#include "backend/gpu/gpu.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_address(const void *a, const void *b) {
    const gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

static const uint8_t *round_down(const uint8_t *at, size_t alignment) {
    return (const uint8_t *)((uintptr_t)at / alignment * alignment);
}

/* A mapped file consists of whole pages. A copy is made where the device's pages are larger than the machine's (only
 * in simulations), or the file's bytes are somebody's memory. */
static bool can_wrap(const gpu_weights *weights, const gguf_file *file) {
    return file->map.data && weights->device->limits.wrap_alignment <= (size_t)sysconf(_SC_PAGESIZE);
}

static ds4_status add_view(gpu_weights *weights, const gguf_file *file, const uint8_t *start, const uint8_t *end,
                           ds4_error *error) {
    device *d = weights->device;
    if (!array_reserve((void **)&weights->view, &weights->capacity, weights->n_views + 1, sizeof *weights->view))
        return error_memory(error, "views of the weights", sizeof *weights->view);
    gpu_view view = {.start = start, .end = end};
    ds4_status status;
    if (can_wrap(weights, file)) {
        /* The last page of a mapping is there as a whole, behind the file's end with zeros. */
        size_t alignment = d->limits.wrap_alignment, n_bytes = (size_t)(end - start);
        n_bytes = (n_bytes + alignment - 1) / alignment * alignment;
        status = d->op->buffer_wrap(d, start, n_bytes, &view.buffer, error);
    } else {
        status = d->op->buffer_new(d, (size_t)(end - start), &view.buffer, error);
        if (status == DS4_OK) memcpy(d->op->buffer_contents(view.buffer), start, (size_t)(end - start));
    }
    if (status == DS4_OK) weights->view[weights->n_views++] = view;
    return status;
}

/* From the first tensor on as many as fit, and so on. */
static ds4_status add_views(gpu_weights *weights, const gguf_file *file, const gguf_tensor **tensor, size_t n,
                            ds4_error *error) {
    size_t alignment = weights->device->limits.wrap_alignment, limit = weights->device->limits.max_buffer_bytes;
    limit = limit / alignment * alignment;
    for (size_t i = 0; i < n;) {
        const uint8_t *start = round_down(tensor[i]->data, alignment), *end = start;
        if (!can_wrap(weights, file)) start = end = tensor[i]->data;
        size_t first = i;
        for (; i < n; i++) {
            const uint8_t *tensor_end = tensor[i]->data + tensor[i]->n_bytes;
            if ((size_t)(tensor_end - start) > limit) break;
            if (tensor_end > end) end = tensor_end;
        }
        if (i == first)
            return error_set(error, DS4_ERROR_MEMORY, "%s: %.*s: %zu bytes; %s has buffers of at most %zu", file->name,
                             GGUF_STRING_ARGS(tensor[i]->name), tensor[i]->n_bytes, weights->device->limits.name,
                             limit);
        ds4_status status = add_view(weights, file, start, end, error);
        if (status != DS4_OK) return status;
    }
    return DS4_OK;
}

ds4_status gpu_weights_init(gpu_weights *weights, device *d, const gguf_file *file, ds4_error *error) {
    *weights = (gpu_weights){.device = d};
    const gguf_tensor **tensor = array_new(file->n_tensors, sizeof *tensor);
    if (!tensor) return error_memory(error, "list of tensors", file->n_tensors * sizeof *tensor);
    size_t n = 0;
    for (size_t i = 0; i < file->n_tensors; i++)
        if (file->tensors[i].data && file->tensors[i].n_bytes) tensor[n++] = &file->tensors[i];
    qsort(tensor, n, sizeof *tensor, by_address);
    ds4_status status = add_views(weights, file, tensor, n, error);
    free(tensor);
    return status;
}

void gpu_weights_deinit(gpu_weights *weights) {
    for (size_t i = 0; i < weights->n_views; i++)
        weights->device->op->buffer_free(weights->device, weights->view[i].buffer);
    free(weights->view);
    *weights = (gpu_weights){0};
}

device_binding gpu_weights_binding(const gpu_weights *weights, const gguf_tensor *tensor) {
    for (size_t i = 0; i < weights->n_views; i++) {
        const gpu_view *view = &weights->view[i];
        if (tensor->data >= view->start && tensor->data + tensor->n_bytes <= view->end)
            return (device_binding){view->buffer, (size_t)(tensor->data - view->start)};
    }
    return (device_binding){0};
}
