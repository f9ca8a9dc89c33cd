/* Encoders: what may be set, when, and what a dispatch needs. */
#include "metal_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SET_BYTES = 4095 }; /* "less than 4 KB" */

static bool is_open(const struct encoder *encoder, const char *what) {
    if (encoder->has_ended) framework_error("%s after endEncoding", what);
    return !encoder->has_ended;
}

static bool check_index(const char *what, NSUInteger index) {
    if (index >= SIM_BUFFERS) framework_error("%s: index %lu, the limit is %d", what, index, SIM_BUFFERS - 1);
    return index < SIM_BUFFERS;
}

/* ---- state ---- */

static void encoder_set_pipeline(id self, SEL selector, id pipeline) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (!is_open(encoder, "setComputePipelineState:")) return;
    if (!pipeline) framework_error("setComputePipelineState: nil");
    encoder->pipeline = (struct pipeline *)pipeline;
}

static void bind_buffer(struct encoder *encoder, struct buffer *buffer, NSUInteger offset, NSUInteger index) {
    if (buffer && offset >= buffer->bytes)
        framework_error("setBuffer: offset %lu in a buffer of %zu bytes", offset, buffer->bytes);
    encoder->state.buffer[index] = buffer;
    encoder->state.dispatch.buffer[index] =
        buffer ? (struct sim_binding){buffer->memory, buffer->bytes, offset} : (struct sim_binding){0};
}

static void encoder_set_buffer(id self, SEL selector, id buffer, NSUInteger offset, NSUInteger index) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (is_open(encoder, "setBuffer:") && check_index("setBuffer:", index))
        bind_buffer(encoder, (struct buffer *)buffer, offset, index);
}

static void encoder_set_offset(id self, SEL selector, NSUInteger offset, NSUInteger index) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (!is_open(encoder, "setBufferOffset:") || !check_index("setBufferOffset:", index)) return;
    if (!encoder->state.buffer[index])
        framework_error("setBufferOffset: no buffer at index %lu", index);
    else
        bind_buffer(encoder, encoder->state.buffer[index], offset, index);
}

static void encoder_set_bytes(id self, SEL selector, const void *bytes, NSUInteger length, NSUInteger index) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    struct command_buffer *owner = encoder->command_buffer;
    if (!is_open(encoder, "setBytes:") || !check_index("setBytes:", index)) return;
    if (length == 0 || length > MAX_SET_BYTES) {
        framework_error("setBytes: %lu bytes, the limit is %d", length, MAX_SET_BYTES);
        return;
    }
    char *copy = sim_memory_new(length);
    memcpy(copy, bytes, length);
    owner->copied = realloc(owner->copied, (owner->n_copied + 1) * sizeof *owner->copied);
    owner->copied_bytes = realloc(owner->copied_bytes, (owner->n_copied + 1) * sizeof *owner->copied_bytes);
    if (!owner->copied || !owner->copied_bytes) abort();
    owner->copied[owner->n_copied] = copy;
    owner->copied_bytes[owner->n_copied++] = length;
    encoder->state.buffer[index] = NULL;
    encoder->state.dispatch.buffer[index] = (struct sim_binding){copy, length, 0};
}

static void encoder_set_threadgroup_memory(id self, SEL selector, NSUInteger length, NSUInteger index) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (!is_open(encoder, "setThreadgroupMemoryLength:") || !check_index("setThreadgroupMemoryLength:", index)) return;
    if (length % 16 != 0) framework_error("setThreadgroupMemoryLength: %lu is not a multiple of 16", length);
    encoder->state.dispatch.threadgroup_bytes[index] = length;
}

/* ---- order ---- */

static void encoder_barrier(id self, SEL selector, NSUInteger scope) {
    enum { SCOPE_BUFFERS = 1 };
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (is_open(encoder, "memoryBarrierWithScope:") && (scope & SCOPE_BUFFERS)) encoder->state.n_barriers++;
}

static void encoder_update_fence(id self, SEL selector, id fence) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    if (is_open(encoder, "updateFence:")) ((struct fence *)fence)->updated_by = encoder->state.pass;
}

static void encoder_wait_for_fence(id self, SEL selector, id fence) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    uint32_t earlier = ((struct fence *)fence)->updated_by;
    if (!is_open(encoder, "waitForFence:")) return;
    if (earlier == 0)
        framework_error("waitForFence: nobody has updated the fence");
    else if (earlier == encoder->state.pass)
        framework_error("waitForFence: after updateFence: in the same encoder");
    else
        hazard_order_passes(earlier, encoder->state.pass);
}

/* ---- dispatches ---- */

static void check_arguments(const struct encoder *encoder) {
    const struct sim_kernel *kernel = encoder->pipeline->function->kernel;
    const struct sim_dispatch *dispatch = &encoder->state.dispatch;
    size_t threadgroup_bytes = kernel->threadgroup_bytes;
    for (int i = 0; i < kernel->n_parameters; i++) {
        int index = kernel->parameter[i].index;
        if (kernel->parameter[i].kind == SIM_BUFFER && !dispatch->buffer[index].base)
            framework_error("dispatch of %s: buffer %d is not bound", kernel->name, index);
        if (kernel->parameter[i].kind != SIM_THREADGROUP_MEMORY) continue;
        threadgroup_bytes += dispatch->threadgroup_bytes[index];
        if (dispatch->threadgroup_bytes[index] == 0)
            framework_error("dispatch of %s: threadgroup memory %d has no length", kernel->name, index);
    }
    if (threadgroup_bytes > sim_options.max_threadgroup_bytes)
        framework_error("dispatch of %s: %zu bytes of threadgroup memory, the limit is %zu", kernel->name,
                        threadgroup_bytes, sim_options.max_threadgroup_bytes);
}

/* False if it cannot be run. */
static bool check_sizes(const struct encoder *encoder, metal_size grid, metal_size threads) {
    const struct pipeline *pipeline = encoder->pipeline;
    const char *name = pipeline->function->kernel->name;
    NSUInteger n = threads.width * threads.height * threads.depth;
    bool is_empty = grid.width == 0 || grid.height == 0 || grid.depth == 0;
    if (is_empty) framework_error("dispatch of %s: an empty grid", name);
    if (n == 0) framework_error("dispatch of %s: an empty threadgroup", name);
    if (n > pipeline->max_threads)
        framework_error("dispatch of %s: %lu threads in a threadgroup, maxTotalThreadsPerThreadgroup is %zu", name, n,
                        pipeline->max_threads);
    if (pipeline->multiple_of_width && n % SIM_LANES != 0)
        framework_error("dispatch of %s: %lu threads, the pipeline was promised multiples of %d", name, n, SIM_LANES);
    return !is_empty && n > 0 && n <= pipeline->max_threads;
}

static void to_uint32(uint32_t out[3], metal_size size) {
    out[0] = (uint32_t)size.width;
    out[1] = (uint32_t)size.height;
    out[2] = (uint32_t)size.depth;
}

static void dispatch(struct encoder *encoder, metal_size grid, metal_size threads, bool grid_is_threads) {
    if (!is_open(encoder, "dispatch")) return;
    if (!encoder->pipeline) {
        framework_error("dispatch without a pipeline");
        return;
    }
    check_arguments(encoder);
    if (!check_sizes(encoder, grid, threads)) return;
    struct command command = encoder->state;
    command.kind = COMMAND_DISPATCH;
    command.pipeline = encoder->pipeline;
    command.dispatch.library = encoder->pipeline->function->code;
    command.dispatch.kernel = encoder->pipeline->function->kernel;
    to_uint32(command.dispatch.threads_per_group, threads);
    to_uint32(grid_is_threads ? command.dispatch.grid : command.dispatch.groups, grid);
    command_buffer_add(encoder->command_buffer, &command);
}

static void encoder_dispatch_groups(id self, SEL selector, metal_size groups, metal_size threads) {
    (void)selector;
    dispatch((struct encoder *)self, groups, threads, false);
}
static void encoder_dispatch_threads(id self, SEL selector, metal_size grid, metal_size threads) {
    (void)selector;
    dispatch((struct encoder *)self, grid, threads, true);
}

/* ---- the end ---- */

static void encoder_end(id self) {
    struct encoder *encoder = (struct encoder *)self;
    if (!is_open(encoder, "endEncoding")) return;
    encoder->has_ended = true;
    if (encoder->command_buffer->open == encoder) encoder->command_buffer->open = NULL;
    object_release(&encoder->command_buffer->object);
}

static void encoder_deinit(id self) {
    if (!((struct encoder *)self)->has_ended) framework_error("an encoder is released without endEncoding");
}

static const struct method_entry COMPUTE_METHODS[] = {
    METHOD("setComputePipelineState:", encoder_set_pipeline),
    METHOD("setBuffer:offset:atIndex:", encoder_set_buffer),
    METHOD("setBufferOffset:atIndex:", encoder_set_offset),
    METHOD("setBytes:length:atIndex:", encoder_set_bytes),
    METHOD("setThreadgroupMemoryLength:atIndex:", encoder_set_threadgroup_memory),
    METHOD("dispatchThreadgroups:threadsPerThreadgroup:", encoder_dispatch_groups),
    METHOD("dispatchThreads:threadsPerThreadgroup:", encoder_dispatch_threads),
    METHOD("memoryBarrierWithScope:", encoder_barrier),
    METHOD("updateFence:", encoder_update_fence),
    METHOD("waitForFence:", encoder_wait_for_fence),
    METHOD("useResource:usage:", ignore_message),
    METHOD("pushDebugGroup:", ignore_message),
    METHOD("popDebugGroup", ignore_message),
    METHOD("setLabel:", ignore_message),
    METHOD("endEncoding", encoder_end),
    METHODS_END,
};
static struct objc_class class_MTLComputeCommandEncoder = {
    NULL, "MTLComputeCommandEncoder", sizeof(struct encoder), COMPUTE_METHODS, NULL, encoder_deinit, 0};

/* ---- MTLBlitCommandEncoder ---- */

static bool check_range(const char *what, const struct buffer *buffer, NSUInteger offset, NSUInteger length) {
    if (!buffer) {
        framework_error("%s: nil", what);
        return false;
    }
    if (length == 0 || offset % 4 != 0 || length % 4 != 0)
        framework_error("%s: offset %lu, length %lu: multiples of 4, and not empty", what, offset, length);
    bool fits = offset <= buffer->bytes && length <= buffer->bytes - offset;
    if (!fits) framework_error("%s: bytes %lu to %lu of %zu", what, offset, offset + length, buffer->bytes);
    return fits;
}

static void blit_fill(id self, SEL selector, id buffer, ns_range range, uint8_t value) {
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    struct buffer *target = (struct buffer *)buffer;
    if (!is_open(encoder, "fillBuffer:") || !check_range("fillBuffer:", target, range.location, range.length)) return;
    struct command command = encoder->state;
    command.kind = COMMAND_FILL;
    command.buffer[0] = target;
    command.offset[0] = range.location;
    command.bytes = range.length;
    command.value = value;
    command_buffer_add(encoder->command_buffer, &command);
}

static void blit_copy(id self, SEL selector, id from, NSUInteger from_offset, id to, NSUInteger to_offset,
                      NSUInteger length) {
    static const char WHAT[] = "copyFromBuffer:";
    (void)selector;
    struct encoder *encoder = (struct encoder *)self;
    struct buffer *source = (struct buffer *)from, *target = (struct buffer *)to;
    if (!is_open(encoder, WHAT) || !check_range(WHAT, source, from_offset, length) ||
        !check_range(WHAT, target, to_offset, length))
        return;
    if (source == target && from_offset < to_offset + length && to_offset < from_offset + length) {
        framework_error("%s the ranges overlap", WHAT);
        return;
    }
    struct command command = encoder->state;
    command.kind = COMMAND_COPY;
    command.buffer[0] = target;
    command.buffer[1] = source;
    command.offset[0] = to_offset;
    command.offset[1] = from_offset;
    command.bytes = length;
    command_buffer_add(encoder->command_buffer, &command);
}

static const struct method_entry BLIT_METHODS[] = {
    METHOD("fillBuffer:range:value:", blit_fill),
    METHOD("copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", blit_copy),
    METHOD("updateFence:", encoder_update_fence),
    METHOD("waitForFence:", encoder_wait_for_fence),
    METHOD("setLabel:", ignore_message),
    METHOD("endEncoding", encoder_end),
    METHODS_END,
};
static struct objc_class class_MTLBlitCommandEncoder = {
    NULL, "MTLBlitCommandEncoder", sizeof(struct encoder), BLIT_METHODS, NULL, encoder_deinit, 0};

id encoder_new(struct command_buffer *command_buffer, bool is_concurrent, bool is_blit) {
    struct encoder *encoder =
        (struct encoder *)object_new(is_blit ? &class_MTLBlitCommandEncoder : &class_MTLComputeCommandEncoder);
    encoder->command_buffer = (struct command_buffer *)object_retain(&command_buffer->object);
    encoder->state.pass = hazard_new_pass(is_concurrent);
    command_buffer->open = encoder;
    return object_autorelease(&encoder->object);
}
