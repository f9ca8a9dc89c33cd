/* Programs without a mistake: the framework must do what they ask, and report nothing. */
#include "framework_scene.h"

static void serial_dispatches_run_in_order(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    run(e, s->add, s->y, s->x);
    finish(c, e);
    require(value(s->x, 5) == 7 && mtl_status(c) == MTL_COMPLETED && mtl_gpu_end_time(c) > 0, "x[5]");
}

static void concurrent_dispatches_with_a_barrier(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->x, s->y);
    mtl_barrier(e, MTL_SCOPE_BUFFERS);
    run(e, s->add, s->y, s->x);
    finish(c, e);
    require(value(s->x, 5) == 7, "x[5]");
}

static void concurrent_dispatches_on_parts_of_a_buffer(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->lower_half, s->x, s->y);
    run(e, s->upper_half, s->x, s->y);
    finish(c, e);
    require(value(s->y, 31) == 1 && value(s->y, 32) == 2, "halves");
}

static void concurrent_atomics(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    memset(mtl_contents(s->x), 0, BYTES);
    run(e, s->count, s->x, s->y);
    run(e, s->count, s->x, s->y);
    finish(c, e);
    require(*(uint32_t *)mtl_contents(s->x) == 2 * N_FLOATS, "count");
}

static void encoders_are_ordered_for_tracked_buffers(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    e = mtl_encoder_of_type(c, MTL_CONCURRENT);
    run(e, s->add, s->y, s->x);
    finish(c, e);
    require(value(s->x, 5) == 7, "x[5]");
}

static void untracked_buffers_with_a_fence(struct scene *s) {
    id u = new_untracked(s), fence = mtl_new_fence(s->device);
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, u);
    mtl_update_fence(e, fence);
    mtl_end(e);
    e = mtl_encoder(c);
    mtl_wait_for_fence(e, fence);
    run(e, s->add, u, s->y);
    finish(c, e);
    require(value(s->y, 5) == 7, "y[5]");
    ns_release(fence);
    ns_release(u);
}

static void untracked_buffers_after_a_wait(struct scene *s) {
    id u = new_untracked(s), c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, u);
    finish(c, e);
    c = mtl_command_buffer(s->queue);
    e = mtl_encoder(c);
    run(e, s->add, u, s->y);
    finish(c, e);
    require(value(s->y, 5) == 7, "y[5]");
    ns_release(u);
}

static void nothing_has_run_before_the_wait(struct scene *s) {
    metalsim_device.watch_buffers = false;
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    require(value(s->y, 5) == 0, "y[5] before");
    mtl_wait(c);
    require(value(s->y, 5) == 6, "y[5] after");
}

static void another_part_of_a_buffer_in_flight(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->lower_half, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    require(value(s->y, 40) == 0, "y[40]");
    mtl_wait(c);
    require(value(s->y, 5) == 1, "y[5]");
}

static void on_completion(void *context, id command_buffer) {
    *(int *)context = (int)mtl_status(command_buffer);
}

static void handlers_run_with_the_wait(struct scene *s) {
    int status = 0;
    struct mtl_block block;
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    mtl_block_init(&block, on_completion, &status);
    run(e, s->add, s->x, s->y);
    mtl_add_completed_handler(c, &block);
    finish(c, e);
    require(status == MTL_COMPLETED, "handler");
}

static void a_loop_that_polls_the_status_ends(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_end(e);
    mtl_commit(c);
    while (mtl_status(c) < MTL_COMPLETED) continue;
    require(value(s->y, 5) == 6, "y[5]");
}

static void no_copy_buffers(struct scene *s) {
    float *memory = aligned_alloc(APPLE_PAGE, APPLE_PAGE);
    for (int i = 0; i < N_FLOATS; i++) memory[i] = (float)i;
    id view = mtl_new_buffer_no_copy(s->device, memory, APPLE_PAGE, MTL_SHARED, NULL);
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, view, s->y);
    finish(c, e);
    require(mtl_contents(view) == memory && value(s->y, 5) == 6, "y[5]");
    ns_release(view);
    free(memory);
}

static void buffer_offsets(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    uint32_t n = 8;
    use(e, s->add, s->x, s->y);
    mtl_set_offset(e, 10 * sizeof(float), 0);
    mtl_set_bytes(e, &n, sizeof n, 2);
    mtl_dispatch_threads(e, (mtl_size){8, 1, 1}, (mtl_size){32, 1, 1});
    finish(c, e);
    require(value(s->y, 0) == 11, "y[0]");
}

static void blits(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_blit_encoder(c);
    mtl_fill(e, s->y, (ns_range){0, BYTES}, 0xff);
    mtl_copy(e, s->x, 16, s->y, 4, 8);
    finish(c, e);
    require(value(s->y, 1) == 4 && value(s->y, 2) == 5 && ((uint32_t *)mtl_contents(s->y))[0] == 0xffffffffu, "y");
}

static void function_constants(struct scene *s) {
    int step = 3;
    id values = ns_new("MTLFunctionConstantValues"), error = NULL;
    mtl_set_constant(values, &step, MTL_TYPE_INT, 0);
    id function = mtl_new_function_with_constants(s->library, ns_string("add_step"), values, &error);
    id pipeline = mtl_new_pipeline(s->device, function, &error);
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, pipeline, s->x, s->y);
    finish(c, e);
    require(value(s->y, 5) == 8, "y[5]");
    ns_release(pipeline);
    ns_release(function);
    ns_release(values);
}

static void threadgroup_memory(struct scene *s) {
    id c = mtl_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    mtl_set_pipeline(e, s->reverse);
    mtl_set_threadgroup_memory(e, BYTES, 0);
    mtl_dispatch_groups(e, ONE, THREADS);
    finish(c, e);
    require(value(s->y, 0) == 64, "y[0]");
}

static void residency_sets(struct scene *s) {
    id descriptor = ns_new("MTLResidencySetDescriptor"), error = NULL;
    id set = mtl_new_residency_set(s->device, descriptor, &error);
    mtl_add_allocation(set, s->x);
    mtl_commit(set);
    mtl_request_residency(set);
    mtl_add_residency_set(s->queue, set);
    ns_release(set);
    ns_release(descriptor);
}

static void macos_14_has_no_residency_sets(struct scene *s) {
    metalsim_device.macos = 14;
    require(!objc_getClass("MTLResidencySetDescriptor"), "class");
    require(!class_respondsToSelector(object_getClass(s->queue), sel_registerName("addResidencySet:")), "selector");
    require(class_respondsToSelector(object_getClass(s->queue), sel_registerName("commandBuffer")), "commandBuffer");
    metalsim_device.macos = 15;
}

static char *read_source(const struct scene *s) {
    static char text[8000];
    FILE *file = fopen(s->source_path, "r");
    require(file != NULL, s->source_path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void a_library_from_source(struct scene *s) {
    id options = ns_new("MTLCompileOptions"), error = NULL;
    id library = mtl_new_library_from_source(s->device, ns_string(read_source(s)), options, &error);
    require(library != NULL, library ? "" : ns_text(ns_error_text(error)));
    require(ns_count(mtl_function_names(library)) == ns_count(mtl_function_names(s->library)), "names");
    ns_release(library);
    ns_release(options);
}

static void bad_source_gives_an_error(struct scene *s) {
    id error = NULL;
    const char *source = "#include <metal_stdlib>\nusing namespace metal;\nvoid f(float *p) { *p = 1.0f; }\n";
    require(!mtl_new_library_from_source(s->device, ns_string(source), NULL, &error), "a library");
    require(strstr(ns_text(ns_error_text(error)), "explicit address space") != NULL, ns_text(ns_error_text(error)));
}

static void a_file_that_is_no_library_gives_an_error(struct scene *s) {
    id error = NULL;
    require(!mtl_new_library_from_url(s->device, ns_file(s->source_path), &error), "a library");
    require(strstr(ns_text(ns_error_text(error)), "not made by msl-build") != NULL, "message");
    require(!mtl_new_library_from_url(s->device, ns_file("/nowhere.metallib"), &error), "a library");
    require(strstr(ns_text(ns_error_text(error)), "cannot read") != NULL, "message");
}

static void an_unknown_function_is_nil(struct scene *s) {
    id error = NULL;
    require(!mtl_new_function(s->library, ns_string("nothing")), "a function");
    require(!mtl_new_function_with_constants(s->library, ns_string("nothing"), NULL, &error) && error, "an error");
}

static void too_much_static_memory_fails_at_the_pipeline(struct scene *s) {
    id error = NULL, function = mtl_new_function(s->library, ns_string("too_much_memory"));
    require(!mtl_new_pipeline(s->device, function, &error), "a pipeline");
    require(strstr(ns_text(ns_error_text(error)), "Threadgroup memory size (36000)") != NULL, "message");
    ns_release(function);
}

static void register_pressure_lowers_the_limit(struct scene *s) {
    require(mtl_max_threads(s->add) == 1024 && mtl_execution_width(s->add) == 32, "1024");
    metalsim_device.max_threads_per_threadgroup = 448;
    id pipeline = new_pipeline(s, "add"), small = new_pipeline(s, "small");
    require(mtl_max_threads(pipeline) == 448 && mtl_max_threads(small) == 64, "448 and 64");
    ns_release(pipeline);
    ns_release(small);
}

static void messages_to_nil_do_nothing(struct scene *s) {
    (void)s;
    require(mtl_length(NULL) == 0 && mtl_contents(NULL) == NULL, "0");
}

static void the_device_answers(struct scene *s) {
    require(mtl_supports_family(s->device, 1007) && !mtl_supports_family(s->device, 1008), "family");
    metalsim_device.apple_family = 9;
    require(mtl_supports_family(s->device, 1009), "family");
    require(mtl_max_buffer_length(s->device) == metalsim_device.max_buffer_bytes, "maxBufferLength");
    require(strcmp(ns_text(mtl_name(s->device)), metalsim_device.name) == 0, "name");
}

static void unretained_references_that_are_kept(struct scene *s) {
    id c = mtl_unretained_command_buffer(s->queue), e = mtl_encoder(c);
    run(e, s->add, s->x, s->y);
    finish(c, e);
    require(value(s->y, 5) == 6, "y[5]");
}

#define PROGRAM(function) {#function, function, ""}
const struct framework_test framework_programs[] = {
    PROGRAM(serial_dispatches_run_in_order),
    PROGRAM(concurrent_dispatches_with_a_barrier),
    PROGRAM(concurrent_dispatches_on_parts_of_a_buffer),
    PROGRAM(concurrent_atomics),
    PROGRAM(encoders_are_ordered_for_tracked_buffers),
    PROGRAM(untracked_buffers_with_a_fence),
    PROGRAM(untracked_buffers_after_a_wait),
    PROGRAM(nothing_has_run_before_the_wait),
    PROGRAM(another_part_of_a_buffer_in_flight),
    PROGRAM(handlers_run_with_the_wait),
    PROGRAM(a_loop_that_polls_the_status_ends),
    PROGRAM(no_copy_buffers),
    PROGRAM(buffer_offsets),
    PROGRAM(blits),
    PROGRAM(function_constants),
    PROGRAM(threadgroup_memory),
    PROGRAM(residency_sets),
    PROGRAM(macos_14_has_no_residency_sets),
    PROGRAM(a_library_from_source),
    PROGRAM(bad_source_gives_an_error),
    PROGRAM(a_file_that_is_no_library_gives_an_error),
    PROGRAM(an_unknown_function_is_nil),
    PROGRAM(too_much_static_memory_fails_at_the_pipeline),
    PROGRAM(register_pressure_lowers_the_limit),
    PROGRAM(messages_to_nil_do_nothing),
    PROGRAM(the_device_answers),
    PROGRAM(unretained_references_that_are_kept),
    {NULL, NULL, NULL},
};
