/* The twelve operations as dispatches; buffer numbers are those of the kernels' parameters. */
#include "backend/gpu/gpu.h"

/* In prefill the device starts on some layers while later ones are recorded. As many as this many tokens make, so that
 * no submission takes seconds: systems end those, and a wish to stop waits for what is submitted. */
enum { LAYER_TOKENS_PER_SUBMIT = 2048 };

/* Few tokens: matrix-vector kernels and one pass over the weights. */
static bool decodes(const batch *b) {
    return b->n_tokens <= MAX_MATVEC_TOKENS;
}

static int layers_per_submit(const batch *b) {
    return b->n_tokens < LAYER_TOKENS_PER_SUBMIT ? LAYER_TOKENS_PER_SUBMIT / b->n_tokens : 1;
}

static device_binding in_memory(const gpu_backend *gpu, const void *pointer) {
    return gpu_memory_binding(&gpu->memory, pointer);
}

static device_binding in_tables(const gpu_backend *gpu, size_t offset) {
    return (device_binding){gpu->tables.buffer, offset};
}

static device_binding in_weights(const gpu_backend *gpu, const gguf_tensor *tensor) {
    return tensor ? gpu_weights_binding(&gpu->weights, tensor) : (device_binding){0};
}

/* A kernel's optional inputs are bound to something in every case. */
static device_binding or_any(device_binding binding, device_binding any) {
    return binding.buffer ? binding : any;
}

static void dispatch(gpu_backend *gpu, gpu_kernel kernel, uint32_t weight_types, const device_dispatch *prepared,
                     const void *parameters, size_t n_parameter_bytes, size_t groups_x, size_t groups_y) {
    if (!groups_x || !groups_y || gpu->status != DS4_OK) return;
    const device_kernel *pipeline = gpu_pipeline_of(gpu, kernel, weight_types);
    if (!pipeline) return;
    device_dispatch d = *prepared;
    d.kernel = pipeline;
    d.parameters = parameters;
    d.n_parameter_bytes = n_parameter_bytes;
    d.groups[0] = (uint32_t)groups_x;
    d.groups[1] = (uint32_t)groups_y;
    d.groups[2] = 1;
    gpu->device->op->dispatch(gpu->device, &d);
}

static void bind_arenas(const gpu_backend *gpu, device_dispatch *d, int first) {
    for (int i = 0; i < N_ARENAS; i++)
        d->binding[first + i] = (device_binding){gpu->memory.arena[i < gpu->memory.n_arenas ? i : 0].buffer, 0};
}

static size_t divide_up(size_t a, size_t b) {
    return (a + b - 1) / b;
}

static size_t layer_offset(const gpu_backend *gpu, const batch *b, int layer) {
    return gpu->tables.layer + (size_t)layer * (size_t)b->n_spans * sizeof(struct layer_info);
}

void gpu_embed(const batch *b, const gguf_tensor *table, float *streams) {
    gpu_backend *gpu = gpu_of(b);
    struct embed_params p = {(uint32_t)table->ne[0], (uint32_t)table->row_bytes, table->type};
    device_dispatch d = {
        .binding = {
            [1] = in_weights(gpu, table), [2] = in_tables(gpu, gpu->tables.token), [3] = in_memory(gpu, streams)}};
    dispatch(gpu, KERNEL_EMBED, 0, &d, &p, sizeof p, (size_t)b->n_tokens, 1);
}

/* ---- hyper-connections ---- */

/* Mixes what hyper_out left, and projects the streams with fn. */
static struct hyper_params step(gpu_backend *gpu, const batch *b, const hyper_weights *w, const float *streams) {
    const hyperparameters *h = b->backend->hparams;
    struct hyper_params p = {.width = (uint32_t)h->width,
                             .n_tokens = (uint32_t)b->n_tokens,
                             .n_sums = (uint32_t)w->fn->ne[1],
                             .n_groups = (uint32_t)divide_up((size_t)h->width, HYPER_COLUMNS),
                             .row_bytes = (uint32_t)w->fn->row_bytes,
                             .type = w->fn->type,
                             .has_y = gpu->pending_y != NULL,
                             .iterations = (uint32_t)h->sinkhorn_iterations,
                             .rms_epsilon = h->rms_epsilon,
                             .hyper_epsilon = h->hyper_epsilon};
    device_binding in = in_memory(gpu, streams);
    device_dispatch d = {.binding = {[1] = or_any(in_memory(gpu, gpu->pending_y), in),
                                     [2] = or_any(in_memory(gpu, gpu->pending_mix), in),
                                     [3] = in,
                                     [4] = in_weights(gpu, w->fn),
                                     [5] = in_memory(gpu, gpu->partial)}};
    dispatch(gpu, KERNEL_HYPER_STEP, 0, &d, &p, sizeof p, p.n_groups, (size_t)b->n_tokens);
    gpu->pending_y = gpu->pending_mix = NULL;
    return p;
}

void gpu_hyper_in(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                  float *mix) {
    gpu_backend *gpu = gpu_of(b);
    struct hyper_params p = step(gpu, b, w, streams);
    device_dispatch d = {.binding = {[1] = in_memory(gpu, gpu->partial),
                                     [2] = in_memory(gpu, streams),
                                     [3] = in_weights(gpu, w->scale),
                                     [4] = in_weights(gpu, w->base),
                                     [5] = in_weights(gpu, norm),
                                     [6] = in_memory(gpu, x),
                                     [7] = in_memory(gpu, mix)}};
    dispatch(gpu, KERNEL_HYPER_IN, 0, &d, &p, sizeof p, (size_t)b->n_tokens, 1);
}

void gpu_hyper_out(const batch *b, const float *y, const float *mix, float *streams) {
    (void)streams;
    gpu_of(b)->pending_y = y;
    gpu_of(b)->pending_mix = mix;
}

/* ---- matrices ---- */

typedef struct matrix {
    const gguf_tensor *w;
    float *y;
} matrix;

/* All products with one input: p has what they share. */
static void multiply(gpu_backend *gpu, struct matrix_params p, const float *x, const gguf_tensor *gain,
                     const matrix *jobs, int n_jobs) {
    bool tiles = p.n_tokens > MAX_MATVEC_TOKENS;
    size_t rows = tiles ? MATMUL_ROWS : MATVEC_ROWS, n_groups = 0;
    uint32_t types = 0;
    device_binding in = in_memory(gpu, x);
    device_dispatch d = {.binding = {[1] = in, [2] = or_any(in_weights(gpu, gain), in)}};
    p.n_columns = (uint32_t)jobs[0].w->ne[0];
    p.n_jobs = (uint32_t)n_jobs;
    p.has_gain = gain != NULL;
    p.epsilon = gpu->base.hparams->rms_epsilon;
    for (int i = 0; i < MAX_JOBS; i++) {
        const matrix *job = &jobs[i < n_jobs ? i : 0];
        const gguf_tensor *w = job->w;
        d.binding[3 + i] = in_weights(gpu, w);
        d.binding[3 + MAX_JOBS + i] = in_memory(gpu, job->y);
        if (i >= n_jobs) continue;
        p.job[i] = (struct matrix_job){w->type, (uint32_t)w->row_bytes, (uint32_t)w->ne[1], (uint32_t)n_groups};
        types |= gpu_type_bit(w->type);
        if (tiles && p.group_rows)
            n_groups += w->ne[1] / p.group_rows * divide_up(p.group_rows, rows);
        else
            n_groups += divide_up(w->ne[1], rows);
    }
    gpu_kernel kernel = tiles            ? KERNEL_MATMUL
                        : p.n_tokens > 4 ? KERNEL_MATVEC_16
                        : p.n_tokens > 1 ? KERNEL_MATVEC_4
                                         : KERNEL_MATVEC_1;
    dispatch(gpu, kernel, tiles ? 0 : types, &d, &p, sizeof p, n_groups,
             tiles ? divide_up(p.n_tokens, TILE_TOKENS) : 1);
}

static struct matrix_params plain(size_t n_tokens, size_t x_stride) {
    return (struct matrix_params){.n_tokens = (uint32_t)n_tokens, .x_stride = (uint32_t)x_stride};
}

void gpu_project(const batch *b, const layer_weights *w, const float *x, const projections *low) {
    matrix jobs[MAX_JOBS];
    int n = 0;
    jobs[n++] = (matrix){w->attn_q_a, low->q_a};
    jobs[n++] = (matrix){w->attn_kv, low->kv};
    if (w->ratio) {
        jobs[n++] = (matrix){w->compressor.kv, low->compressor_kv};
        jobs[n++] = (matrix){w->compressor.gate, low->compressor_gate};
    }
    if (w->ratio == 4) {
        jobs[n++] = (matrix){w->index_compressor.kv, low->index_kv};
        jobs[n++] = (matrix){w->index_compressor.gate, low->index_gate};
        jobs[n++] = (matrix){w->index_proj, low->index_weight};
    }
    multiply(gpu_of(b), plain((size_t)b->n_tokens, w->attn_q_a->ne[0]), x, NULL, jobs, n);
}

static bool needs_index(const gpu_backend *gpu, const layer_weights *w) {
    return w->ratio == 4 && gpu->tables.n_list;
}

/* The heads are normed and rotated by `remember`, in one dispatch with what it has to do itself. */
void gpu_queries(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q) {
    gpu_backend *gpu = gpu_of(b);
    matrix jobs[] = {{w->attn_q_b, q}, {w->index_q_b, index_q}};
    gpu->q = q;
    gpu->index_q = index_q;
    multiply(gpu, plain((size_t)b->n_tokens, w->attn_q_b->ne[0]), low->q_a, w->attn_q_a_norm, jobs,
             needs_index(gpu, w) ? 2 : 1);
}

/* ---- attention ---- */

static uint32_t row_kind(const row_format *format) {
    return format->compact ? ROWS_COMPACT : format->round ? ROWS_ROUNDED : ROWS_PLAIN;
}

void gpu_remember(const batch *b, const layer_weights *w, const projections *low) {
    gpu_backend *gpu = gpu_of(b);
    const hyperparameters *h = b->backend->hparams;
    const row_formats *format = &b->backend->format;
    const layer_memory *memory = &b->span[0].memory[w->index];
    const compressor_weights *own = &w->compressor, *index = &w->index_compressor;
    int kind = w->ratio == 128;
    size_t n_tokens = (size_t)b->n_tokens, n_windows = w->ratio ? gpu->tables.n_windows[kind] : 0;
    struct remember_params p = {
        .n_tokens = (uint32_t)n_tokens,
        .head_dim = (uint32_t)h->head_dim,
        .index_dim = (uint32_t)h->index_dim,
        .n_heads = (uint32_t)h->n_heads,
        .n_index_heads = (uint32_t)h->n_index_heads,
        .n_pairs = (uint32_t)b->backend->rope.n_pairs,
        .ratio = (uint32_t)w->ratio,
        .n_windows = (uint32_t)n_windows,
        .row_kind = row_kind(&format->raw),
        .raw_bytes = (uint32_t)format->raw.n_bytes,
        .rows_bytes = (uint32_t)format->compressed.n_bytes,
        .index_bytes = (uint32_t)format->index.n_bytes,
        .raw_slots = (uint32_t)memory->raw_slots,
        .pending_slots = (uint32_t)memory->pending.n_slots,
        .index_pending_slots = (uint32_t)memory->index_pending.n_slots,
        .queries_needed = needs_index(gpu, w),
        .epsilon = h->rms_epsilon,
    };
    device_binding any = in_memory(gpu, low->kv);
    device_dispatch d = {.binding = {
                             [1] = in_tables(gpu, gpu->tables.token),
                             [2] = in_tables(gpu, gpu->tables.span),
                             [3] = in_tables(gpu, layer_offset(gpu, b, w->index)),
                             [4] = in_tables(gpu, gpu->tables.refs),
                             [5] = in_tables(gpu, gpu->tables.windows[kind]),
                             [6] = in_tables(gpu, gpu->tables.angles[w->ratio != 0]),
                             [7] = in_tables(gpu, gpu->tables.window_angles[kind]),
                             [8] = in_memory(gpu, low->kv),
                             [9] = in_weights(gpu, w->attn_kv_norm),
                             [10] = in_memory(gpu, low->compressor_kv),
                             [11] = in_memory(gpu, low->compressor_gate),
                             [12] = or_any(in_weights(gpu, own->ape), any),
                             [13] = or_any(in_weights(gpu, own->norm), any),
                             [14] = in_memory(gpu, low->index_kv),
                             [15] = in_memory(gpu, low->index_gate),
                             [16] = or_any(in_weights(gpu, index->ape), any),
                             [17] = or_any(in_weights(gpu, index->norm), any),
                             [18] = in_memory(gpu, gpu->q),
                             [19] = in_memory(gpu, gpu->index_q),
                             [20] = in_memory(gpu, gpu->fresh),
                         }};
    bind_arenas(gpu, &d, 21);
    if (w->ratio) {
        p.ape_type = own->ape->type;
        p.ape_row_bytes = (uint32_t)own->ape->row_bytes;
    }
    if (w->ratio == 4) {
        p.index_ape_type = index->ape->type;
        p.index_ape_row_bytes = (uint32_t)index->ape->row_bytes;
    }
    size_t groups = n_tokens * (1 + divide_up(p.n_heads, 8)) + n_windows * (w->ratio == 4 ? 2 : 1);
    if (w->ratio) groups += n_tokens; /* pending values */
    if (p.queries_needed) groups += n_tokens * divide_up(p.n_index_heads, 8);
    dispatch(gpu, KERNEL_REMEMBER, 0, &d, &p, sizeof p, groups, 1);
    gpu->keep = d;
    gpu->keep_params = p;
}

void gpu_select(const batch *b, const layer_weights *w, const projections *low, const float *index_q, int32_t *selected,
                int32_t *n_selected) {
    gpu_backend *gpu = gpu_of(b);
    if (!needs_index(gpu, w)) return;
    const hyperparameters *h = b->backend->hparams;
    const gpu_tables *t = &gpu->tables;
    struct select_params p = {.index_dim = (uint32_t)h->index_dim,
                              .n_index_heads = (uint32_t)h->n_index_heads,
                              .top_k = (uint32_t)h->index_top_k,
                              .row_kind = row_kind(&b->backend->format.index),
                              .index_bytes = (uint32_t)b->backend->format.index.n_bytes,
                              .score_stride = t->most_rows};
    size_t group = gpu->score_floats / t->most_rows;
    for (size_t first = 0; first < t->n_list; first += group) {
        p.n_tokens = (uint32_t)(t->n_list - first < group ? t->n_list - first : group);
        size_t list = t->list + first * sizeof(int32_t);
        device_dispatch d = {.binding = {[1] = in_tables(gpu, list),
                                         [2] = in_tables(gpu, t->token),
                                         [3] = in_tables(gpu, layer_offset(gpu, b, w->index)),
                                         [4] = in_tables(gpu, t->refs),
                                         [5] = in_memory(gpu, index_q),
                                         [6] = in_memory(gpu, low->index_weight),
                                         [7] = in_memory(gpu, gpu->score)}};
        bind_arenas(gpu, &d, 8);
        dispatch(gpu, KERNEL_SCORE, 0, &d, &p, sizeof p, divide_up(t->most_rows, SCORE_ROWS), p.n_tokens);
        if (decodes(b)) return; /* attend chooses itself */
        device_dispatch best = {.binding = {[1] = in_tables(gpu, list),
                                            [2] = in_tables(gpu, t->token),
                                            [3] = in_memory(gpu, gpu->score),
                                            [4] = in_memory(gpu, selected),
                                            [5] = in_memory(gpu, n_selected)}};
        dispatch(gpu, KERNEL_BEST_ROWS, 0, &best, &p, sizeof p, p.n_tokens, 1);
        if (first + group < t->n_list) gpu_submit(gpu);
    }
}

void gpu_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                const int32_t *n_selected, float *heads) {
    (void)n_selected; /* follows from the position */
    gpu_backend *gpu = gpu_of(b);
    const hyperparameters *h = b->backend->hparams;
    const row_formats *format = &b->backend->format;
    struct attend_params p = {.n_tokens = (uint32_t)b->n_tokens,
                              .n_heads = (uint32_t)h->n_heads,
                              .head_dim = (uint32_t)h->head_dim,
                              .n_pairs = (uint32_t)b->backend->rope.n_pairs,
                              .window = (uint32_t)h->window,
                              .ratio = b->backend->no_compressed_rows ? 0 : (uint32_t)w->ratio,
                              .raw_slots = (uint32_t)b->span[0].memory[w->index].raw_slots,
                              .raw_bytes = (uint32_t)format->raw.n_bytes,
                              .rows_bytes = (uint32_t)format->compressed.n_bytes,
                              .row_kind = row_kind(&format->raw),
                              .top_k = (uint32_t)h->index_top_k,
                              .score_stride = gpu->tables.most_rows};
    device_binding any = in_memory(gpu, q);
    device_dispatch d = {.binding = {[1] = in_tables(gpu, gpu->tables.token),
                                     [2] = in_tables(gpu, gpu->tables.span),
                                     [3] = in_tables(gpu, layer_offset(gpu, b, w->index)),
                                     [4] = in_tables(gpu, gpu->tables.refs),
                                     [5] = in_tables(gpu, gpu->tables.angles[w->ratio != 0]),
                                     [6] = in_memory(gpu, q),
                                     [7] = in_weights(gpu, w->attn_sinks),
                                     [8] = in_memory(gpu, gpu->fresh),
                                     [9] = in_memory(gpu, selected),
                                     [10] = or_any(in_memory(gpu, gpu->score), any),
                                     [11] = in_tables(gpu, gpu->tables.list_of),
                                     [12] = in_memory(gpu, heads)}};
    bind_arenas(gpu, &d, 13);
    bool few = decodes(b);
    gpu_kernel kernel = !few                                  ? KERNEL_ATTEND_8
                        : needs_index(gpu, w) && p.ratio == 4 ? KERNEL_ATTEND_2_CHOOSING
                                                              : KERNEL_ATTEND_2;
    dispatch(gpu, kernel, 0, &d, &p, sizeof p, divide_up(p.n_heads, few ? 2 : 8), (size_t)b->n_tokens);
    if (gpu->tables.any_kept)
        dispatch(gpu, KERNEL_KEEP, 0, &gpu->keep, &gpu->keep_params, sizeof gpu->keep_params, (size_t)b->n_tokens, 1);
}

void gpu_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y) {
    gpu_backend *gpu = gpu_of(b);
    const hyperparameters *h = b->backend->hparams;
    size_t group_width = w->attn_output_a->ne[0];
    struct matrix_params p = plain((size_t)b->n_tokens, (size_t)h->n_groups * group_width);
    p.group_rows = (uint32_t)h->group_rank;
    p.group_columns = (uint32_t)group_width;
    multiply(gpu, p, heads, NULL, &(matrix){w->attn_output_a, gpu->low}, 1);
    multiply(gpu, plain((size_t)b->n_tokens, w->attn_output_b->ne[0]), gpu->low, NULL, &(matrix){w->attn_output_b, y},
             1);
}

/* ---- experts ---- */

static struct expert_params expert_params(const batch *b, const layer_weights *w) {
    const hyperparameters *h = b->backend->hparams;
    return (struct expert_params){.width = (uint32_t)h->width,
                                  .expert_width = (uint32_t)h->expert_width,
                                  .n_tokens = (uint32_t)b->n_tokens,
                                  .n_experts = (uint32_t)h->n_experts,
                                  .n_used = (uint32_t)h->n_experts_used,
                                  .gate_type = w->gate_experts->type,
                                  .gate_row_bytes = (uint32_t)w->gate_experts->row_bytes,
                                  .up_type = w->up_experts->type,
                                  .up_row_bytes = (uint32_t)w->up_experts->row_bytes,
                                  .down_type = w->down_experts->type,
                                  .down_row_bytes = (uint32_t)w->down_experts->row_bytes,
                                  .shared_gate_type = w->gate_shared->type,
                                  .shared_gate_row_bytes = (uint32_t)w->gate_shared->row_bytes,
                                  .shared_up_type = w->up_shared->type,
                                  .shared_up_row_bytes = (uint32_t)w->up_shared->row_bytes,
                                  .shared_down_type = w->down_shared->type,
                                  .shared_down_row_bytes = (uint32_t)w->down_shared->row_bytes,
                                  .fixed = w->expert_ids != NULL,
                                  .biased = w->router_bias != NULL,
                                  .limit = w->swiglu_limit,
                                  .scale = h->expert_scale};
}

/* For a single token the kernel that needs the choice makes it. */
void gpu_route(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight) {
    gpu_backend *gpu = gpu_of(b);
    multiply(gpu, plain((size_t)b->n_tokens, w->router->ne[0]), x, NULL, &(matrix){w->router, gpu->router}, 1);
    if (b->n_tokens == 1) return;
    struct expert_params p = expert_params(b, w);
    device_binding any = in_memory(gpu, gpu->router);
    device_dispatch d = {.binding = {[1] = any,
                                     [2] = or_any(in_weights(gpu, w->router_bias), any),
                                     [3] = or_any(in_weights(gpu, w->expert_ids), any),
                                     [4] = in_tables(gpu, gpu->tables.token),
                                     [5] = in_memory(gpu, expert),
                                     [6] = in_memory(gpu, weight)}};
    dispatch(gpu, KERNEL_CHOOSE_EXPERTS, 0, &d, &p, sizeof p, (size_t)b->n_tokens, 1);
}

static void sum_experts(gpu_backend *gpu, const struct expert_params *p, float *y) {
    device_dispatch d = {.binding = {[1] = in_memory(gpu, gpu->down), [2] = in_memory(gpu, y)}};
    dispatch(gpu, KERNEL_EXPERTS_SUM, 0, &d, p, sizeof *p, divide_up(p->width, 256), p->n_tokens);
}

static void decode_experts(gpu_backend *gpu, const struct expert_params *p, const layer_weights *w, const float *x,
                           int32_t *expert, float *weight, float *y, uint32_t in_types, uint32_t out_types) {
    device_binding any = in_memory(gpu, gpu->router);
    device_dispatch in = {.binding = {[1] = in_memory(gpu, x),
                                      [2] = any,
                                      [3] = or_any(in_weights(gpu, w->router_bias), any),
                                      [4] = or_any(in_weights(gpu, w->expert_ids), any),
                                      [5] = in_tables(gpu, gpu->tables.token),
                                      [6] = in_weights(gpu, w->gate_experts),
                                      [7] = in_weights(gpu, w->up_experts),
                                      [8] = in_weights(gpu, w->gate_shared),
                                      [9] = in_weights(gpu, w->up_shared),
                                      [10] = in_memory(gpu, gpu->hidden),
                                      [11] = in_memory(gpu, expert),
                                      [12] = in_memory(gpu, weight)}};
    bool one = p->n_tokens == 1;
    size_t slots = (size_t)p->n_tokens * p->n_used + 1;
    dispatch(gpu, one ? KERNEL_EXPERTS_GATE_UP_ONE : KERNEL_EXPERTS_GATE_UP, in_types, &in, p, sizeof *p,
             divide_up(p->expert_width, MATVEC_ROWS), slots);
    device_dispatch out = {.binding = {[1] = in_memory(gpu, gpu->hidden),
                                       [2] = in_memory(gpu, expert),
                                       [3] = in_weights(gpu, w->down_experts),
                                       [4] = in_weights(gpu, w->down_shared),
                                       [5] = in_memory(gpu, one ? y : gpu->down)}};
    dispatch(gpu, one ? KERNEL_EXPERTS_DOWN_ONE : KERNEL_EXPERTS_DOWN, out_types, &out, p, sizeof *p,
             divide_up(p->width, MATVEC_ROWS), one ? 1 : slots);
    if (!one) sum_experts(gpu, p, y);
}

static void prefill_experts(gpu_backend *gpu, const struct expert_params *p, const layer_weights *w, const float *x,
                            const int32_t *expert, const float *weight, float *y) {
    device_binding order = in_memory(gpu, gpu->order), tile = in_memory(gpu, gpu->tile),
                   n_tiles = in_memory(gpu, gpu->n_tiles);
    device_dispatch sort = {.binding = {[1] = in_memory(gpu, expert), [2] = order, [3] = tile, [4] = n_tiles}};
    dispatch(gpu, KERNEL_SORT_PAIRS, 0, &sort, p, sizeof *p, 1, 1);
    /* a tile for every full set of pairs, and a rest for every expert and the shared one */
    size_t most_tiles = (size_t)p->n_tokens * (p->n_used + 1) / TILE_TOKENS + p->n_experts + 1;
    device_dispatch in = {.binding = {[1] = in_memory(gpu, x),
                                      [2] = order,
                                      [3] = tile,
                                      [4] = n_tiles,
                                      [5] = in_weights(gpu, w->gate_experts),
                                      [6] = in_weights(gpu, w->up_experts),
                                      [7] = in_weights(gpu, w->gate_shared),
                                      [8] = in_weights(gpu, w->up_shared),
                                      [9] = in_memory(gpu, weight),
                                      [10] = in_memory(gpu, gpu->hidden)}};
    dispatch(gpu, KERNEL_EXPERTS_MATMUL_IN, 0, &in, p, sizeof *p, divide_up(p->expert_width, MATMUL_ROWS / 2),
             most_tiles);
    device_dispatch out = {.binding = {[1] = in_memory(gpu, gpu->hidden),
                                       [2] = order,
                                       [3] = tile,
                                       [4] = n_tiles,
                                       [5] = in_weights(gpu, w->down_experts),
                                       [6] = in_weights(gpu, w->down_shared),
                                       [7] = in_memory(gpu, gpu->down)}};
    dispatch(gpu, KERNEL_EXPERTS_MATMUL_OUT, 0, &out, p, sizeof *p, divide_up(p->width, MATMUL_ROWS), most_tiles);
    sum_experts(gpu, p, y);
}

void gpu_experts(const batch *b, const layer_weights *w, const float *x, const int32_t *expert, const float *weight,
                 float *y) {
    gpu_backend *gpu = gpu_of(b);
    struct expert_params p = expert_params(b, w);
    if (!decodes(b)) {
        prefill_experts(gpu, &p, w, x, expert, weight, y);
        if ((w->index + 1) % layers_per_submit(b) == 0) gpu_submit(gpu);
        return;
    }
    uint32_t in_types = gpu_type_bit(p.gate_type) | gpu_type_bit(p.up_type) | gpu_type_bit(p.shared_gate_type) |
                        gpu_type_bit(p.shared_up_type);
    uint32_t out_types = gpu_type_bit(p.down_type) | gpu_type_bit(p.shared_down_type);
    /* One token's choice is made there: the interface's inputs are outputs then. */
    decode_experts(gpu, &p, w, x, (int32_t *)(uintptr_t)expert, (float *)(uintptr_t)weight, y, in_types, out_types);
}

/* ---- logits ---- */

void gpu_logits(const batch *b, const model_weights *w, const float *streams) {
    gpu_backend *gpu = gpu_of(b);
    const hyperparameters *h = b->backend->hparams;
    if (!gpu->tables.n_wanted) return;
    struct hyper_params s = step(gpu, b, &w->hyper_head, streams);
    struct logits_params p = {.width = s.width,
                              .n_wanted = gpu->tables.n_wanted,
                              .n_groups = s.n_groups,
                              .rms_epsilon = h->rms_epsilon,
                              .hyper_epsilon = h->hyper_epsilon};
    device_dispatch d = {.binding = {[1] = in_memory(gpu, gpu->partial),
                                     [2] = in_memory(gpu, streams),
                                     [3] = in_weights(gpu, w->hyper_head.scale),
                                     [4] = in_weights(gpu, w->hyper_head.base),
                                     [5] = in_weights(gpu, w->output_norm),
                                     [6] = in_tables(gpu, gpu->tables.wanted),
                                     [7] = in_memory(gpu, gpu->head)}};
    dispatch(gpu, KERNEL_HEAD_IN, 0, &d, &p, sizeof p, p.n_wanted, 1);
    multiply(gpu, plain(p.n_wanted, p.width), gpu->head, NULL, &(matrix){w->output, gpu->logits}, 1);
}
