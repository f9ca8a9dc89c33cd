#include "engine/plan.h"
#include "backend/gpu/gpu.h"
#include "base/memory.h"
#include "engine/count.h"
#include "engine/engine.h"

#include <stdlib.h>

/* ---- the model ---- */

static bool is_prediction_block(const gguf_file *file) {
    return gguf_find_tensor(file, "mtp.0.attn_norm.weight") && !gguf_find_tensor(file, "token_embd.weight");
}

static ds4_status read_model(plan *p, const hyperparameters *hparams, ds4_error *error) {
    ds4_model *model = &p->model;
    p->is_mtp = is_prediction_block(model->file);
    bool has_none = !gguf_find(model->file, "deepseek4.block_count");
    ds4_status status = DS4_OK;
    if (hparams)
        model->hparams = *hparams;
    else if (p->is_mtp && has_none)
        model->hparams = hyperparameters_flash();
    else
        status = hyperparameters_read(model->file, NULL, &model->hparams, error);
    if (status != DS4_OK) return status;
    if (p->is_mtp) {
        mtp_weights block;
        return mtp_weights_read(model->file, &model->hparams, NULL, &block, error);
    }
    status = model_weights_read(model->file, &model->hparams, NULL, &model->weights, error);
    model->has_weights = status == DS4_OK;
    return status;
}

/* The first position from which a token must choose among its rows. */
static size_t first_choice(const hyperparameters *h) {
    return 4 * ((size_t)h->index_top_k + 1) - 1;
}

/* The CPU may run a model that the GPU kernels do not take. */
static void count_dispatches(plan *p) {
    counter *c;
    if (counter_new_on(&p->model, 1, &c, &p->gpu_error) != DS4_OK) return;
    const hyperparameters *h = &p->model.hparams;
    for (int choosing = 0; choosing < 2; choosing++) {
        size_t position = choosing ? first_choice(h) : 0;
        if (position >= (size_t)h->max_context) break;
        p->runs_on_gpu = counter_run(c, position, 1, &p->gpu_error) == DS4_OK;
        if (!p->runs_on_gpu) break;
        p->dispatches[choosing] = counting_device_totals(counter_device(c)).dispatches;
    }
    counter_free(c);
}

/* A description has no metadata, and nothing of a file in front of its weights. */
static uint64_t measure_directory(const plan *p) {
    const gguf_file *file = p->model.file;
    return (file->n_metadata ? file->data_offset : 0) + file->n_metadata * sizeof *file->metadata +
           file->n_tensors * sizeof *file->tensors + (size_t)p->model.hparams.n_layers * sizeof(layer_weights) +
           sizeof(ds4_model);
}

ds4_status plan_new(gguf_file *file, const hyperparameters *hparams, plan **out, ds4_error *error) {
    plan *p = array_new(1, sizeof *p);
    if (!p) {
        ds4_status status = error_memory(error, file->name, sizeof *p);
        gguf_close(file);
        return status;
    }
    p->model.file = file;
    ds4_status status = read_model(p, hparams, error);
    if (status == DS4_OK) status = tensor_bytes_shared(file, &p->weight_bytes, error);
    if (status != DS4_OK) {
        plan_free(p);
        return status;
    }
    p->tensor_bytes = tensor_bytes(file);
    p->directory_bytes = measure_directory(p);
    tensor_groups_read(file, p->group);
    if (!p->is_mtp) count_dispatches(p);
    *out = p;
    return DS4_OK;
}

void plan_free(plan *p) {
    if (!p) return;
    model_weights_deinit(&p->model.weights);
    gguf_close(p->model.file);
    free(p);
}

/* ---- memory ---- */

static row_formats formats_of(const plan *p) {
    return engine_row_formats(&p->model.hparams, &(ds4_engine_options){.backend = NULL});
}

/* The position up to `last` where most is pending: all windows lack a token, and there are 127 raw rows. */
static size_t fullest_position(size_t last) {
    return last < 127 ? last : (last + 1) / 128 * 128 - 1;
}

/* What an engine saves before it evaluates a piece of more than DS4_FREE_REWIND_TOKENS tokens. Of one session: several
 * in a batch have shorter ones, or one prompt after the other. */
static size_t saved_bytes(const hyperparameters *h, const row_formats *format, size_t n_context) {
    size_t piece = DS4_FREE_REWIND_TOKENS + 1;
    return n_context <= piece ? 0 : timeline_measure(h, format, fullest_position(n_context - piece)).frontier_bytes;
}

static ds4_status measure_scratch(const plan *p, const plan_settings *s, size_t n_context, uint64_t *n_bytes,
                                  ds4_error *error) {
    const hyperparameters *h = &p->model.hparams;
    row_formats format = formats_of(p);
    size_t of_backend = 0;
    ds4_status status = DS4_OK;
    if (s->backend == PLAN_GPU)
        status = gpu_backend_n_bytes(h, &format, s->chunk_tokens, n_context, &of_backend, error);
    else
        of_backend = cpu_backend_n_bytes(h, &format, s->n_threads, s->chunk_tokens);
    *n_bytes =
        p->directory_bytes + engine_n_bytes(h, s->chunk_tokens) + of_backend + saved_bytes(h, &format, n_context);
    return status;
}

static void measure_sessions(const plan *p, const plan_settings *s, size_t n_context, plan_memory *memory) {
    row_formats format = formats_of(p);
    timeline_size size = timeline_measure(&p->model.hparams, &format, n_context);
    uint64_t pieces = gpu_memory_piece_bytes(size.ring_bytes);
    memory->rings = size.ring_bytes;
    memory->lists = size.list_bytes;
    for (int kind = 0; kind < 2; kind++) {
        memory->rows += (uint64_t)size.n_pages[kind] * size.page_bytes[kind];
        pieces += (uint64_t)size.n_pages[kind] * gpu_memory_piece_bytes(size.page_bytes[kind]);
    }
    uint64_t n = s->n_sessions, in_backend = n * (memory->rings + memory->rows);
    if (s->backend == PLAN_GPU) in_backend = gpu_memory_arena_bytes(s->max_buffer_bytes, n * pieces);
    memory->sessions = in_backend + n * memory->lists;
}

ds4_status plan_measure(const plan *p, const plan_settings *s, size_t n_context, plan_memory *out, ds4_error *error) {
    plan_memory memory = {.weights = p->weight_bytes};
    if (!p->is_mtp) {
        ds4_status status = measure_scratch(p, s, n_context, &memory.scratch, error);
        if (status != DS4_OK) return status;
        measure_sessions(p, s, n_context, &memory);
    }
    memory.total = memory.weights + memory.scratch + memory.sessions;
    *out = memory;
    return DS4_OK;
}

ds4_status plan_largest_context(const plan *p, const plan_settings *s, uint64_t limit_bytes, size_t *n_context,
                                ds4_error *error) {
    size_t fits = 0, too_large = (size_t)p->model.hparams.max_context + 1;
    while (too_large - fits > 1) {
        size_t middle = fits + (too_large - fits) / 2;
        plan_memory memory;
        ds4_status status = plan_measure(p, s, middle, &memory, error);
        if (status != DS4_OK) return status;
        if (memory.total <= limit_bytes)
            fits = middle;
        else
            too_large = middle;
    }
    *n_context = fits;
    return DS4_OK;
}

void plan_checkpoint_bytes(const plan *p, uint64_t *least, uint64_t *most) {
    row_formats format = formats_of(p);
    size_t max = (size_t)p->model.hparams.max_context;
    *least = timeline_measure(&p->model.hparams, &format, max < 128 ? 0 : 128).frontier_bytes;
    *most = timeline_measure(&p->model.hparams, &format, fullest_position(max)).frontier_bytes;
}

/* ---- speed ---- */

static void predict_decode(const plan *p, const plan_settings *s, size_t position, const machine *m,
                           plan_speed *speed) {
    const hyperparameters *h = &p->model.hparams;
    row_formats format = formats_of(p);
    speed->weight_bytes = tensor_bytes_needed(p->model.file, h, position, 1);
    speed->row_bytes =
        row_bytes_needed(h, position, format.raw.n_bytes, format.compressed.n_bytes, format.index.n_bytes);
    if (s->backend == PLAN_GPU) speed->dispatches = p->dispatches[position >= first_choice(h)];
    double seconds =
        machine_read_seconds(m, (double)(speed->weight_bytes + speed->row_bytes), (double)speed->dispatches);
    speed->decode = seconds > 0 ? 1 / seconds : 0;
}

static void predict_prefill(const plan *p, const plan_settings *s, size_t n_context, const machine *m,
                            plan_speed *speed) {
    size_t chunk = n_context < (size_t)s->chunk_tokens ? n_context : (size_t)s->chunk_tokens;
    speed->operations = token_operations(p->model.file, &p->model.hparams, n_context - chunk / 2 - 1);
    uint64_t n_bytes = tensor_bytes_needed(p->model.file, &p->model.hparams, n_context - chunk, (int)chunk);
    double reading = machine_read_seconds(m, (double)n_bytes, 0);
    double computing = s->backend == PLAN_GPU ? machine_compute_seconds(m, speed->operations * (double)chunk) : 0;
    double seconds = computing > reading ? computing : reading;
    speed->prefill = seconds > 0 ? (double)chunk / seconds : 0;
    speed->prefill_bound = computing > reading ? BOUND_COMPUTE : computing > 0 ? BOUND_BANDWIDTH : BOUND_UNKNOWN;
}

plan_speed plan_predict(const plan *p, const plan_settings *s, size_t n_context, const machine *m) {
    plan_speed speed = {0};
    if (p->is_mtp) return speed;
    predict_decode(p, s, n_context - 1, m, &speed);
    predict_prefill(p, s, n_context, m, &speed);
    return speed;
}

/* ---- what fits ---- */

plan_room plan_room_of(const machine *m, plan_backend on, int memory_gib) {
    uint64_t n_bytes = (uint64_t)memory_gib << 30;
    bool of_gpu = on == PLAN_GPU;
    return (plan_room){.memory_bytes = n_bytes,
                       .working_bytes = of_gpu ? machine_default_working_bytes(m, n_bytes) : n_bytes,
                       .can_be_raised = of_gpu && m->kind == MACHINE_APPLE};
}

uint64_t plan_usable_bytes(const plan_room *room) {
    return room->memory_bytes - room->memory_bytes / 16;
}

plan_fit plan_fits(const plan_room *room, uint64_t total_bytes) {
    if (total_bytes > plan_usable_bytes(room)) return PLAN_DOES_NOT_FIT;
    if (total_bytes <= room->working_bytes) return PLAN_FITS;
    return room->can_be_raised ? PLAN_FITS_IF_RAISED : PLAN_DOES_NOT_FIT;
}

uint64_t plan_raised_mib(uint64_t total_bytes) {
    uint64_t gib = (uint64_t)1 << 30;
    return (total_bytes + gib - 1) / gib * 1024;
}
