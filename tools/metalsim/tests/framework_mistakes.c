/* Programs with one mistake each, which the framework must report. */
#include "framework_scene.h"

static void dependent_dispatches_without_a_barrier(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->x, s->y);
    run(e, s->add, s->y, s->x);
    finish(c, e);
}

static void two_writes_without_a_barrier(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->lower_half, s->x, s->y);
    run(e, s->lower_half, s->x, s->y);
    finish(c, e);
}

static void overwriting_what_is_read_without_a_barrier(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->x, s->y);
    run(e, s->lower_half, s->x, s->x);
    finish(c, e);
}

static void a_barrier_in_the_wrong_place(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    mtl_barrier(e, MTL_SCOPE_BUFFERS);
    run(e, s->add, s->x, s->y);
    run(e, s->add, s->y, s->x);
    mtl_barrier(e, MTL_SCOPE_BUFFERS);
    finish(c, e);
}

static void a_barrier_of_textures_only(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->x, s->y);
    mtl_barrier(e, 2);
    run(e, s->add, s->y, s->x);
    finish(c, e);
}

static void atomics_and_reads_without_a_barrier(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->count, s->x, s->y);
    run(e, s->add, s->x, s->y);
    finish(c, e);
}

static void untracked_buffers_without_a_fence(struct scene *s) {
    id u = new_untracked(s), c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, u);
    mtl_end(e);
    e = mtl_encoder(c);
    run(e, s->add, u, s->y);
    finish(c, e);
    ns_release(u);
}

static void an_untracked_buffer_filled_by_a_blit(struct scene *s) {
    id u = new_untracked(s), c = mtl_command_buffer(s->queue), e = mtl_blit_encoder(c);
    mtl_fill(e, u, (ns_range){0, BYTES}, 0);
    mtl_end(e);
    e = mtl_encoder(c);
    run(e, s->add, u, s->y);
    finish(c, e);
    ns_release(u);
}

static void waiting_for_a_fence_that_nobody_updates(struct scene *s) {
    id fence = mtl_new_fence(s->device), c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_wait_for_fence(e, fence);
    finish(c, e);
    ns_release(fence);
}

static void reading_a_result_before_the_wait(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    require(value(s->y, 5) == 0, "y[5]");
    mtl_wait(c);
}

static void overwriting_an_input_before_the_wait(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    ((float *)mtl_contents(s->x))[5] = 0;
    mtl_wait(c);
}

static void never_waiting(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
}

static void waiting_before_the_commit(struct scene *s) {
    mtl_wait(mtl_command_buffer(s->queue));
}

static void committing_twice(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    finish(c, e);
    mtl_commit(c);
}

static void committing_with_an_open_encoder(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_commit(c);
    mtl_end(e);
    mtl_wait(c);
}

static void two_open_encoders(struct scene *s) {
    id c = mtl_command_buffer(s->queue), first = mtl_encoder(c), second = mtl_encoder(c);
    mtl_end(first);
    mtl_end(second);
}

static void encoding_after_the_end(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_end(e);
    mtl_set_buffer(e, s->x, 0, 0);
}

static void an_encoder_without_an_end(struct scene *s) {
    mtl_encoder(mtl_command_buffer(s->queue));
}

static void a_handler_after_the_commit(struct scene *s) {
    static struct mtl_block block;
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    finish(c, e);
    mtl_add_completed_handler(c, &block);
}

static void an_encoder_after_the_commit(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    finish(c, e);
    mtl_end(mtl_encoder(c));
}

static void freeing_an_unretained_buffer_in_flight(struct scene *s) {
    id extra = mtl_new_buffer(s->device, BYTES, MTL_SHARED);
    id c = mtl_unretained_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, extra);
    mtl_end(e);
    mtl_commit(c);
    ns_release(extra);
    _exit(1); /* what would run next is undefined */
}

static void freeing_an_unretained_pipeline_in_flight(struct scene *s) {
    id pipeline = new_pipeline(s, "add"), c = mtl_unretained_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, pipeline, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    ns_release(pipeline);
    _exit(1);
}

static void an_unbound_buffer(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, NULL);
    finish(c, e);
}

static void an_offset_beyond_the_end(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_set_buffer(e, s->x, BYTES, 0);
    finish(c, e);
}

static void an_offset_without_a_buffer(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_set_offset(e, 0, 7);
    finish(c, e);
}

static void a_misaligned_offset(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, s->add, s->x, s->y);
    mtl_set_offset(e, 2, 0);
    mtl_dispatch_groups(e, ONE, THREADS);
    finish(c, e);
}

static void buffer_index_31(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_set_buffer(e, s->x, 0, 31);
    finish(c, e);
}

static void too_many_set_bytes(struct scene *s) {
    static const char bytes[4096];
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_set_bytes(e, bytes, sizeof bytes, 0);
    finish(c, e);
}

static void odd_threadgroup_memory(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_set_threadgroup_memory(e, 40, 0);
    finish(c, e);
}

static void no_threadgroup_memory(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->reverse, s->x, s->y);
    finish(c, e);
}

static void too_much_threadgroup_memory(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, s->reverse, s->x, s->y);
    mtl_set_threadgroup_memory(e, 40000, 0);
    mtl_dispatch_groups(e, ONE, THREADS);
    finish(c, e);
}

static void too_many_threads(struct scene *s) {
    metalsim_device.max_threads_per_threadgroup = 512;
    id pipeline = new_pipeline(s, "add"), c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, pipeline, s->x, s->y);
    mtl_dispatch_groups(e, ONE, (mtl_size){1024, 1, 1});
    finish(c, e);
    ns_release(pipeline);
}

static void a_broken_promise_of_whole_simdgroups(struct scene *s) {
    id descriptor = ns_new("MTLComputePipelineDescriptor"), error = NULL;
    id function = mtl_new_function(s->library, ns_string("add"));
    mtl_set_function(descriptor, function);
    mtl_set_multiple_of_width(descriptor, true);
    id pipeline = mtl_new_pipeline_from_descriptor(s->device, descriptor, 0, NULL, &error);
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, pipeline, s->x, s->y);
    mtl_dispatch_groups(e, ONE, (mtl_size){40, 1, 1});
    finish(c, e);
    ns_release(pipeline);
    ns_release(function);
    ns_release(descriptor);
}

static void an_empty_grid(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, s->add, s->x, s->y);
    mtl_dispatch_groups(e, (mtl_size){0, 1, 1}, THREADS);
    finish(c, e);
}

static void an_empty_threadgroup(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    use(e, s->add, s->x, s->y);
    mtl_dispatch_groups(e, ONE, (mtl_size){0, 1, 1});
    finish(c, e);
}

static void no_pipeline(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_dispatch_groups(e, ONE, THREADS);
    finish(c, e);
}

static void a_kernel_out_of_bounds(struct scene *s) {
    id half = mtl_new_buffer(s->device, BYTES / 2, MTL_SHARED);
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, half);
    finish(c, e);
    require(mtl_status(c) == MTL_ERROR && mtl_error(c), "status");
    ns_release(half);
}

static void an_unset_function_constant(struct scene *s) {
    id pipeline = new_pipeline(s, "add_step"), c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, pipeline, s->x, s->y);
    finish(c, e);
    ns_release(pipeline);
}

static void a_nil_function(struct scene *s) {
    id error = NULL;
    mtl_new_pipeline(s->device, NULL, &error);
}

static void a_no_copy_address_within_a_page(struct scene *s) {
    char *memory = aligned_alloc(APPLE_PAGE, 2 * APPLE_PAGE);
    mtl_new_buffer_no_copy(s->device, memory + 4096, APPLE_PAGE, MTL_SHARED, NULL);
    free(memory);
}

static void a_no_copy_length_that_is_no_page(struct scene *s) {
    char *memory = aligned_alloc(APPLE_PAGE, APPLE_PAGE);
    mtl_new_buffer_no_copy(s->device, memory, 4096, MTL_SHARED, NULL);
    free(memory);
}

static void a_buffer_beyond_the_limit(struct scene *s) {
    metalsim_device.max_buffer_bytes = 1 << 20;
    mtl_new_buffer(s->device, (1 << 20) + 1, MTL_SHARED);
}

static void a_no_copy_view_beyond_the_limit(struct scene *s) {
    metalsim_device.max_buffer_bytes = APPLE_PAGE;
    char *memory = aligned_alloc(APPLE_PAGE, 2 * APPLE_PAGE);
    mtl_new_buffer_no_copy(s->device, memory, 2 * APPLE_PAGE, MTL_SHARED, NULL);
    free(memory);
}

static void an_empty_buffer(struct scene *s) {
    mtl_new_buffer(s->device, 0, MTL_SHARED);
}

static void a_blit_of_odd_length(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_blit_encoder(c);
    mtl_fill(e, s->x, (ns_range){0, 3}, 0);
    finish(c, e);
}

static void a_blit_beyond_the_end(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_blit_encoder(c);
    mtl_copy(e, s->x, 0, s->y, 4, BYTES);
    finish(c, e);
}

static void a_blit_that_overlaps(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_blit_encoder(c);
    mtl_copy(e, s->x, 0, s->x, 4, 8);
    finish(c, e);
}

static void releasing_too_often(struct scene *s) {
    id extra = mtl_new_buffer(s->device, BYTES, MTL_SHARED);
    ns_release(extra);
    ns_release(extra);
}

static void using_a_freed_object(struct scene *s) {
    id extra = mtl_new_buffer(s->device, BYTES, MTL_SHARED);
    ns_release(extra);
    mtl_contents(extra);
}

static void forgetting_to_release(struct scene *s) {
    mtl_new_buffer(s->device, BYTES, MTL_SHARED);
}

static void an_unknown_selector(struct scene *s) {
    mtl_contents(s->queue);
}

static void a_selector_of_a_later_macos(struct scene *s) {
    metalsim_device.macos = 14;
    mtl_add_residency_set(s->queue, NULL);
}

static void residency_without_a_commit(struct scene *s) {
    id descriptor = ns_new("MTLResidencySetDescriptor"), error = NULL;
    id set = mtl_new_residency_set(s->device, descriptor, &error);
    mtl_add_allocation(set, s->x);
    mtl_request_residency(set);
    ns_release(set);
    ns_release(descriptor);
}

static void no_autorelease_pool(struct scene *s) {
    objc_autoreleasePoolPop(s->pool);
    ns_string("lost");
    s->pool = objc_autoreleasePoolPush();
}

#define MISTAKE(function, message) {#function, function, message}
const struct framework_test framework_mistakes[] = {
    MISTAKE(dependent_dispatches_without_a_barrier, "without a memoryBarrierWithScope: between them: written and read"),
    MISTAKE(two_writes_without_a_barrier, "without a memoryBarrierWithScope: between them: written twice"),
    MISTAKE(overwriting_what_is_read_without_a_barrier, "between them: read and overwritten"),
    MISTAKE(a_barrier_in_the_wrong_place, "without a memoryBarrierWithScope:"),
    MISTAKE(a_barrier_of_textures_only, "without a memoryBarrierWithScope:"),
    MISTAKE(atomics_and_reads_without_a_barrier, "between them: written and read"),
    MISTAKE(untracked_buffers_without_a_fence, "without a fence"),
    MISTAKE(an_untracked_buffer_filled_by_a_blit, "fillBuffer, then add in another encoder without a fence"),
    MISTAKE(waiting_for_a_fence_that_nobody_updates, "nobody has updated the fence"),
    MISTAKE(reading_a_result_before_the_wait, "the CPU read byte 20 of a buffer of 256 before"),
    MISTAKE(overwriting_an_input_before_the_wait, "the CPU wrote byte 20 of a buffer of 256 before"),
    MISTAKE(never_waiting, "never waited for"),
    MISTAKE(waiting_before_the_commit, "waitUntilCompleted before commit"),
    MISTAKE(committing_twice, "committed twice"),
    MISTAKE(committing_with_an_open_encoder, "commit with an open encoder"),
    MISTAKE(two_open_encoders, "a second encoder while one is open"),
    MISTAKE(encoding_after_the_end, "setBuffer: after endEncoding"),
    MISTAKE(an_encoder_without_an_end, "without endEncoding"),
    MISTAKE(a_handler_after_the_commit, "addCompletedHandler: after commit"),
    MISTAKE(an_encoder_after_the_commit, "an encoder of a committed command buffer"),
    MISTAKE(freeing_an_unretained_buffer_in_flight, "a buffer is freed while a command buffer uses it"),
    MISTAKE(freeing_an_unretained_pipeline_in_flight, "a pipeline is freed while a command buffer uses it"),
    MISTAKE(an_unbound_buffer, "buffer 1 is not bound"),
    MISTAKE(an_offset_beyond_the_end, "offset 256 in a buffer of 256 bytes"),
    MISTAKE(an_offset_without_a_buffer, "no buffer at index 7"),
    MISTAKE(a_misaligned_offset, "breaks the argument's alignment 4"),
    MISTAKE(buffer_index_31, "index 31, the limit is 30"),
    MISTAKE(too_many_set_bytes, "setBytes: 4096 bytes"),
    MISTAKE(odd_threadgroup_memory, "40 is not a multiple of 16"),
    MISTAKE(no_threadgroup_memory, "threadgroup memory 0 has no length"),
    MISTAKE(too_much_threadgroup_memory, "40000 bytes of threadgroup memory"),
    MISTAKE(too_many_threads, "1024 threads in a threadgroup, maxTotalThreadsPerThreadgroup is 512"),
    MISTAKE(a_broken_promise_of_whole_simdgroups, "promised multiples of 32"),
    MISTAKE(an_empty_grid, "an empty grid"),
    MISTAKE(an_empty_threadgroup, "an empty threadgroup"),
    MISTAKE(no_pipeline, "dispatch without a pipeline"),
    MISTAKE(a_kernel_out_of_bounds, "out of bounds: 4-byte write at byte 128"),
    MISTAKE(an_unset_function_constant, "function constant STEP(0) is not set"),
    MISTAKE(a_nil_function, "a pipeline from a nil function"),
    MISTAKE(a_no_copy_address_within_a_page, "multiples of the page"),
    MISTAKE(a_no_copy_length_that_is_no_page, "multiples of the page"),
    MISTAKE(a_buffer_beyond_the_limit, "maxBufferLength is 1048576"),
    MISTAKE(a_no_copy_view_beyond_the_limit, "maxBufferLength is 16384"),
    MISTAKE(an_empty_buffer, "a length of 0"),
    MISTAKE(a_blit_of_odd_length, "multiples of 4"),
    MISTAKE(a_blit_beyond_the_end, "bytes 4 to 260 of 256"),
    MISTAKE(a_blit_that_overlaps, "the ranges overlap"),
    MISTAKE(releasing_too_often, "release sent to a freed MTLBuffer"),
    MISTAKE(using_a_freed_object, "contents sent to a freed MTLBuffer"),
    MISTAKE(forgetting_to_release, "1 object(s) never released"),
    MISTAKE(an_unknown_selector, "-[MTLCommandQueue contents]: unrecognized selector"),
    MISTAKE(a_selector_of_a_later_macos, "addResidencySet:]: unrecognized selector"),
    MISTAKE(residency_without_a_commit, "changes of the set are not committed"),
    MISTAKE(no_autorelease_pool, "with no pool in place"),
    {NULL, NULL, NULL},
};
