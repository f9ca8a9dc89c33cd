/*
 * Queues and command buffers. Commands are kept until the program waits, and are then run in the order of commits:
 * the least that Metal promises, and the latest that it allows.
 */
#include "metal_internal.h"

#include "metalsim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct command_buffer *all_command_buffers, *in_flight;
static int n_in_flight;

/* ---- what a command buffer holds ---- */

static bool refers_to(const struct command *command, const void *object) {
    if (command->pipeline == object) return true;
    for (int i = 0; i < SIM_BUFFERS; i++)
        if (command->buffer[i] == object) return true;
    return false;
}

/* With retained references an object cannot be freed while it is in use: it is not asked about then. */
bool is_in_use(id object) {
    for (const struct command_buffer *buffer = all_command_buffers; buffer; buffer = buffer->next) {
        if (buffer->status >= STATUS_COMPLETED) continue;
        for (size_t i = 0; i < buffer->n_commands; i++)
            if (refers_to(&buffer->command[i], object)) return true;
    }
    return false;
}

void command_buffer_add(struct command_buffer *buffer, const struct command *command) {
    buffer->command = realloc(buffer->command, (buffer->n_commands + 1) * sizeof *buffer->command);
    if (!buffer->command) abort();
    buffer->command[buffer->n_commands++] = *command;
    if (buffer->is_unretained) return;
    if (command->pipeline) object_retain(&command->pipeline->object);
    for (int i = 0; i < SIM_BUFFERS; i++)
        if (command->buffer[i]) object_retain(&command->buffer[i]->object);
}

static void drop_commands(struct command_buffer *buffer) {
    size_t n = buffer->n_commands;
    struct command *commands = buffer->command;
    buffer->n_commands = 0;
    buffer->command = NULL;
    for (size_t i = 0; i < n && !buffer->is_unretained; i++) {
        if (commands[i].pipeline) object_release(&commands[i].pipeline->object);
        for (int k = 0; k < SIM_BUFFERS; k++)
            if (commands[i].buffer[k]) object_release(&commands[i].buffer[k]->object);
    }
    free(commands);
    for (size_t i = 0; i < buffer->n_copied; i++) sim_memory_free(buffer->copied[i], buffer->copied_bytes[i]);
    free(buffer->copied);
    free(buffer->copied_bytes);
    buffer->copied = NULL;
    buffer->copied_bytes = NULL;
    buffer->n_copied = 0;
}

/* Calls visit for every buffer of every command: as often as it is bound. */
static void for_each_buffer(const struct command_buffer *buffer, void (*visit)(struct buffer *)) {
    for (size_t i = 0; i < buffer->n_commands; i++)
        for (int k = 0; k < SIM_BUFFERS; k++)
            if (buffer->command[i].buffer[k]) visit(buffer->command[i].buffer[k]);
}

static uint32_t last_pass_of(const struct command_buffer *buffer, size_t command) {
    return command > 0 ? buffer->command[command - 1].pass : 0;
}

static void for_each_pass(const struct command_buffer *buffer, void (*visit)(uint32_t)) {
    for (size_t i = 0; i < buffer->n_commands; i++)
        if (buffer->command[i].pass != last_pass_of(buffer, i)) visit(buffer->command[i].pass);
}

/* ---- running ---- */

static void see_access(void *context, int index, size_t offset, size_t bytes, enum sim_access access) {
    const struct command *command = context;
    struct buffer *buffer = command->buffer[index];
    if (!buffer) return; /* setBytes: */
    hazard_access(buffer, offset, bytes, access);
    watch_gpu_access(buffer, offset, bytes, access != SIM_READ);
}

static int run_dispatch(struct command *command) {
    hazard_begin(command, command->dispatch.kernel->name);
    command->dispatch.on_access = see_access;
    command->dispatch.access_context = command;
    return sim_run(&command->dispatch);
}

static void run_blit(struct command *command) {
    bool copies = command->kind == COMMAND_COPY;
    hazard_begin(command, copies ? "copyFromBuffer" : "fillBuffer");
    char *target = command->buffer[0]->memory + command->offset[0];
    if (copies) {
        see_access(command, 1, command->offset[1], command->bytes, SIM_READ);
        memcpy(target, command->buffer[1]->memory + command->offset[1], command->bytes);
    } else {
        memset(target, command->value, command->bytes);
    }
    see_access(command, 0, command->offset[0], command->bytes, SIM_WRITE);
}

static void call_handlers(struct command_buffer *buffer) {
    for (int i = 0; i < buffer->n_handlers; i++) {
        void (*invoke)(struct block *, id) = (void (*)(struct block *, id))buffer->handler[i]->invoke;
        invoke(buffer->handler[i], &buffer->object);
        block_release(buffer->handler[i]);
    }
    buffer->n_handlers = 0;
}

/* Runs the oldest command buffer in flight. */
static void finish_oldest(void) {
    struct command_buffer *buffer = in_flight;
    const char *failed = NULL;
    for_each_buffer(buffer, watch_pause);
    for (size_t i = 0; i < buffer->n_commands; i++) {
        struct command *command = &buffer->command[i];
        if (command->kind != COMMAND_DISPATCH)
            run_blit(command);
        else if (run_dispatch(command) > 0 && !failed)
            failed = command->dispatch.kernel->name;
    }
    if (failed) {
        framework_error("kernel %s: %s", failed, sim_first_error());
        void *pool = objc_autoreleasePoolPush();
        set_error(&buffer->error, "MTLCommandBufferErrorDomain", 3, "Caused GPU Address Fault Error: %s", failed);
        object_retain(buffer->error);
        objc_autoreleasePoolPop(pool);
    }
    buffer->status = failed ? STATUS_ERROR : STATUS_COMPLETED;
    in_flight = buffer->later;
    n_in_flight--;
    for_each_pass(buffer, hazard_pass_completed);
    for_each_buffer(buffer, watch_end);
    for_each_buffer(buffer, watch_resume);
    drop_commands(buffer);
    call_handlers(buffer);
    object_release(&buffer->object);
}

/* ---- MTLCommandBuffer ---- */

static id open_encoder(id self, bool is_concurrent, bool is_blit) {
    struct command_buffer *buffer = (struct command_buffer *)self;
    if (buffer->open) framework_error("a second encoder while one is open");
    if (buffer->status != STATUS_NEW) framework_error("an encoder of a committed command buffer");
    return encoder_new(buffer, is_concurrent, is_blit);
}
static id command_buffer_encoder(id self) {
    return open_encoder(self, false, false);
}
static id command_buffer_encoder_of_type(id self, SEL selector, NSUInteger type) {
    (void)selector;
    return open_encoder(self, type == 1, false);
}
static id command_buffer_blit_encoder(id self) {
    return open_encoder(self, false, true);
}

static void command_buffer_commit(id self) {
    struct command_buffer *buffer = (struct command_buffer *)self, **last = &in_flight;
    if (buffer->status != STATUS_NEW) {
        framework_error("a command buffer is committed twice");
        return;
    }
    if (buffer->open) framework_error("commit with an open encoder");
    if (n_in_flight == MAX_IN_FLIGHT) finish_oldest(); /* where Metal would block */
    buffer->status = STATUS_COMMITTED;
    object_retain(self);
    while (*last) last = &(*last)->later;
    *last = buffer;
    n_in_flight++;
    for_each_pass(buffer, hazard_pass_committed);
    for_each_buffer(buffer, watch_begin);
}

static void command_buffer_wait(id self) {
    struct command_buffer *buffer = (struct command_buffer *)self;
    if (buffer->status == STATUS_NEW) {
        framework_error("waitUntilCompleted before commit: this waits for ever");
        return;
    }
    while (buffer->status == STATUS_COMMITTED) finish_oldest();
}

/* A program may also poll; give it something to do. */
static NSUInteger command_buffer_status(id self) {
    enum { POLLS = 16 };
    struct command_buffer *buffer = (struct command_buffer *)self;
    if (buffer->status == STATUS_COMMITTED && ++buffer->n_polls == POLLS) command_buffer_wait(self);
    return (NSUInteger)buffer->status;
}

static id command_buffer_error(id self) {
    return ((struct command_buffer *)self)->error;
}

static void command_buffer_add_handler(id self, SEL selector, const void *block) {
    (void)selector;
    struct command_buffer *buffer = (struct command_buffer *)self;
    if (buffer->status != STATUS_NEW)
        framework_error("addCompletedHandler: after commit");
    else if (buffer->n_handlers < MAX_HANDLERS)
        buffer->handler[buffer->n_handlers++] = block_copy(block);
}

static double command_buffer_time(id self) {
    struct timespec now;
    if (((struct command_buffer *)self)->status < STATUS_COMPLETED) return 0.0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void command_buffer_deinit(id self) {
    struct command_buffer *buffer = (struct command_buffer *)self;
    buffer->status = buffer->status == STATUS_NEW ? STATUS_ERROR : buffer->status;
    drop_commands(buffer);
    for (int i = 0; i < buffer->n_handlers; i++) block_release(buffer->handler[i]);
    object_release(buffer->error);
    *buffer->link = buffer->next;
    if (buffer->next) buffer->next->link = buffer->link;
}

static const struct method_entry COMMAND_BUFFER_METHODS[] = {
    METHOD("computeCommandEncoder", command_buffer_encoder),
    METHOD("computeCommandEncoderWithDispatchType:", command_buffer_encoder_of_type),
    METHOD("blitCommandEncoder", command_buffer_blit_encoder),
    METHOD("commit", command_buffer_commit),
    METHOD("enqueue", ignore_message),
    METHOD("waitUntilCompleted", command_buffer_wait),
    METHOD("waitUntilScheduled", ignore_message),
    METHOD("status", command_buffer_status),
    METHOD("error", command_buffer_error),
    METHOD("addCompletedHandler:", command_buffer_add_handler),
    METHOD("GPUStartTime", command_buffer_time),
    METHOD("GPUEndTime", command_buffer_time),
    METHOD("setLabel:", ignore_message),
    METHODS_END,
};
static struct objc_class class_MTLCommandBuffer = {
    NULL, "MTLCommandBuffer", sizeof(struct command_buffer), COMMAND_BUFFER_METHODS, NULL, command_buffer_deinit, 0};

/* ---- MTLCommandQueue, MTLFence ---- */

static id command_buffer_new(bool is_unretained) {
    struct command_buffer *buffer = (struct command_buffer *)object_new(&class_MTLCommandBuffer);
    buffer->is_unretained = is_unretained;
    buffer->next = all_command_buffers;
    buffer->link = &all_command_buffers;
    if (buffer->next) buffer->next->link = &buffer->next;
    all_command_buffers = buffer;
    return object_autorelease(&buffer->object);
}
static id queue_command_buffer(id self) {
    (void)self;
    return command_buffer_new(false);
}
static id queue_unretained_command_buffer(id self) {
    (void)self;
    return command_buffer_new(true);
}
static const struct method_entry QUEUE_METHODS[] = {
    METHOD("commandBuffer", queue_command_buffer),
    METHOD("commandBufferWithUnretainedReferences", queue_unretained_command_buffer),
    METHOD("setLabel:", ignore_message),
    METHOD_SINCE(15, "addResidencySet:", ignore_message),
    METHOD_SINCE(15, "removeResidencySet:", ignore_message),
    METHODS_END,
};
static struct objc_class class_MTLCommandQueue = {
    NULL, "MTLCommandQueue", sizeof(struct objc_object), QUEUE_METHODS, NULL, NULL, 0};

id queue_new(id device) {
    (void)device;
    return object_new(&class_MTLCommandQueue);
}

static const struct method_entry FENCE_METHODS[] = {METHOD("setLabel:", ignore_message), METHODS_END};
static struct objc_class class_MTLFence = {NULL, "MTLFence", sizeof(struct fence), FENCE_METHODS, NULL, NULL, 0};

id fence_new(id device) {
    (void)device;
    return object_new(&class_MTLFence);
}

int metalsim_finish(void) {
    if (n_in_flight > 0) framework_error("%d command buffer(s) committed and never waited for", n_in_flight);
    while (in_flight) finish_oldest();
    if (metalsim_live_objects() > 0) framework_error("%d object(s) never released", metalsim_live_objects());
    return metalsim_errors();
}
