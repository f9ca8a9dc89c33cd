/* Metal's objects as the framework's files see them. */
#ifndef METALSIM_METAL_INTERNAL_H
#define METALSIM_METAL_INTERNAL_H

#include "../executor/sim.h"
#include "runtime.h"

enum { PAGE_ON_APPLE_SILICON = 16384, MAX_IN_FLIGHT = 64, MAX_HANDLERS = 16 };
enum { OPTION_STORAGE_PRIVATE = 0x20, OPTION_STORAGE_MASK = 0xf0, OPTION_UNTRACKED = 0x100 };
enum { STATUS_NEW = 0, STATUS_COMMITTED = 2, STATUS_COMPLETED = 4, STATUS_ERROR = 5 };

typedef struct {
    NSUInteger width, height, depth;
} metal_size;
typedef struct {
    NSUInteger location, length;
} ns_range;

/* As clang lays blocks out. */
struct block_descriptor {
    unsigned long reserved, bytes;
    const char *signature;
};
struct block {
    void *isa;
    int flags, reserved;
    void (*invoke)(void);
    const struct block_descriptor *descriptor;
};
struct block *block_copy(const void *block);
void block_release(struct block *block);

/* Which dispatches touched a byte last; 0 for none. */
struct mark {
    uint32_t writer, reader;
    bool atomic; /* the write */
};

struct buffer {
    struct objc_object object;
    char *memory;
    size_t bytes;
    bool is_no_copy, is_untracked;
    struct block *deallocator;
    struct mark *marks;  /* one a byte, made when first needed */
    int n_in_flight;     /* committed command buffers that use it */
    struct buffer *next; /* of all buffers */
};

struct library {
    struct objc_object object;
    sim_library *code;
};

struct function {
    struct objc_object object;
    struct library *library;
    sim_library *code; /* the library's, or a copy that has the function's constants */
    const struct sim_kernel *kernel;
};

struct pipeline {
    struct objc_object object;
    struct function *function;
    size_t max_threads;
    bool multiple_of_width; /* the descriptor promised whole SIMD-groups */
};

enum command_kind { COMMAND_DISPATCH, COMMAND_FILL, COMMAND_COPY };

struct command {
    enum command_kind kind;
    uint32_t pass;       /* number of its encoder, from 1 */
    uint32_t n_barriers; /* in the encoder before it */
    struct pipeline *pipeline;
    struct sim_dispatch dispatch;
    struct buffer *buffer[SIM_BUFFERS]; /* of fills and copies: 0 is the target, 1 the source */
    size_t offset[2], bytes;
    uint8_t value;
};

struct command_buffer {
    struct objc_object object;
    int status, n_polls;
    bool is_unretained;
    struct encoder *open;
    struct command *command;
    size_t n_commands;
    void **copied; /* setBytes: */
    size_t *copied_bytes, n_copied;
    struct block *handler[MAX_HANDLERS];
    int n_handlers;
    id error;
    struct command_buffer *next, **link; /* of all */
    struct command_buffer *later;        /* in flight: the one committed next */
};

struct encoder {
    struct objc_object object;
    struct command_buffer *command_buffer;
    struct pipeline *pipeline;
    struct command state; /* the next dispatch */
    bool is_blit, has_ended;
};

struct fence {
    struct objc_object object;
    uint32_t updated_by; /* pass */
};

/* metal_command.c */
void command_buffer_add(struct command_buffer *buffer, const struct command *command);
bool is_in_use(id object);

void *objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void *pool);

/* metal_encoder.c */
id encoder_new(struct command_buffer *command_buffer, bool is_concurrent, bool is_blit);

/* metal_hazard.c: the order of passes, and accesses that nothing orders */
uint32_t hazard_new_pass(bool is_concurrent);
void hazard_order_passes(uint32_t earlier, uint32_t later);
void hazard_pass_committed(uint32_t pass);
void hazard_pass_completed(uint32_t pass);
void hazard_begin(const struct command *command, const char *name);
void hazard_access(struct buffer *buffer, size_t offset, size_t bytes, enum sim_access access);

/* metal_watch.c: accesses of the CPU to buffers in flight */
void watch_begin(struct buffer *buffer);
void watch_end(struct buffer *buffer);
void watch_gpu_access(const struct buffer *buffer, size_t offset, size_t bytes, bool writes);
void watch_forget(const struct buffer *buffer);
void watch_pause(struct buffer *buffer);
void watch_resume(struct buffer *buffer);
extern struct buffer *all_buffers;

extern struct objc_class class_MTLCompileOptions, class_MTLComputePipelineDescriptor, class_MTLFunctionConstantValues,
    class_MTLResidencySetDescriptor;

/* metal_library.c */
id library_from_source(id device, SEL selector, id source, id options, id *error);
id library_from_url(id device, SEL selector, id url, id *error);
id pipeline_from_function(id device, SEL selector, id function, id *error);
id pipeline_from_descriptor(id device, SEL selector, id descriptor, NSUInteger options, id *reflection, id *error);

/* metal_command.c */
id queue_new(id device);
id fence_new(id device);

#endif
