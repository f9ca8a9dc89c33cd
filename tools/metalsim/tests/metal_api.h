/*
 * The part of Metal's interface that test_framework.c uses, as typed C functions. Nothing here depends on the
 * simulation: on macOS the same text speaks to the real framework (link Metal, Foundation and CoreGraphics).
 */
#ifndef METALSIM_TESTS_METAL_API_H
#define METALSIM_TESTS_METAL_API_H

#include <objc/message.h>
#include <objc/runtime.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long ns_uinteger;
typedef long ns_integer;
typedef struct {
    ns_uinteger width, height, depth;
} mtl_size;
typedef struct {
    ns_uinteger location, length;
} ns_range;

enum { MTL_SHARED = 0, MTL_UNTRACKED = 0x100 };
enum { MTL_SERIAL = 0, MTL_CONCURRENT = 1 };
enum { MTL_SCOPE_BUFFERS = 1 };
enum { MTL_COMPLETED = 4, MTL_ERROR = 5 };
enum { MTL_TYPE_INT = 29 };

id MTLCreateSystemDefaultDevice(void);
void *objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void *pool);

/* A method is called through its exact type. By way of void *, because gcc refuses the direct way. */
static inline void *message_entry(void) {
    void (*send)(void) = objc_msgSend;
    void *entry;
    __builtin_memcpy(&entry, &send, sizeof entry);
    return entry;
}
#define SEND(result, ...) ((result(*)(id, SEL, ##__VA_ARGS__))message_entry())

#define METHOD_0(result, name, selector)                         \
    static inline result name(id object) {                       \
        return SEND(result)(object, sel_registerName(selector)); \
    }
#define METHOD_1(result, name, selector, A)                            \
    static inline result name(id object, A a) {                        \
        return SEND(result, A)(object, sel_registerName(selector), a); \
    }
#define METHOD_2(result, name, selector, A, B)                               \
    static inline result name(id object, A a, B b) {                         \
        return SEND(result, A, B)(object, sel_registerName(selector), a, b); \
    }
#define METHOD_3(result, name, selector, A, B, C)                                  \
    static inline result name(id object, A a, B b, C c) {                          \
        return SEND(result, A, B, C)(object, sel_registerName(selector), a, b, c); \
    }
#define METHOD_4(result, name, selector, A, B, C, D)                                     \
    static inline result name(id object, A a, B b, C c, D d) {                           \
        return SEND(result, A, B, C, D)(object, sel_registerName(selector), a, b, c, d); \
    }
#define METHOD_5(result, name, selector, A, B, C, D, E)                                        \
    static inline result name(id object, A a, B b, C c, D d, E e) {                            \
        return SEND(result, A, B, C, D, E)(object, sel_registerName(selector), a, b, c, d, e); \
    }

/* Foundation */
METHOD_0(id, ns_retain, "retain")
METHOD_0(void, ns_release, "release")
METHOD_0(id, ns_new_of_class, "new")
METHOD_1(id, ns_string_of_class, "stringWithUTF8String:", const char *)
METHOD_0(const char *, ns_text, "UTF8String")
METHOD_1(id, ns_url_of_class, "fileURLWithPath:", id)
METHOD_0(id, ns_error_text, "localizedDescription")
METHOD_0(ns_uinteger, ns_count, "count")
METHOD_1(id, ns_at, "objectAtIndex:", ns_uinteger)
static inline id ns_new(const char *class_name) {
    return ns_new_of_class((id)(void *)objc_getClass(class_name));
}
static inline id ns_string(const char *text) {
    return ns_string_of_class((id)(void *)objc_getClass("NSString"), text);
}
static inline id ns_file(const char *path) {
    return ns_url_of_class((id)(void *)objc_getClass("NSURL"), ns_string(path));
}

/* MTLDevice */
METHOD_0(id, mtl_name, "name")
METHOD_0(ns_uinteger, mtl_max_buffer_length, "maxBufferLength")
METHOD_1(BOOL, mtl_supports_family, "supportsFamily:", ns_integer)
METHOD_0(id, mtl_new_queue, "newCommandQueue")
METHOD_0(id, mtl_new_fence, "newFence")
METHOD_2(id, mtl_new_buffer, "newBufferWithLength:options:", ns_uinteger, ns_uinteger)
METHOD_4(id, mtl_new_buffer_no_copy, "newBufferWithBytesNoCopy:length:options:deallocator:", void *, ns_uinteger,
         ns_uinteger, const void *)
METHOD_3(id, mtl_new_library_from_source, "newLibraryWithSource:options:error:", id, id, id *)
METHOD_2(id, mtl_new_library_from_url, "newLibraryWithURL:error:", id, id *)
METHOD_2(id, mtl_new_pipeline, "newComputePipelineStateWithFunction:error:", id, id *)
METHOD_4(id, mtl_new_pipeline_from_descriptor, "newComputePipelineStateWithDescriptor:options:reflection:error:", id,
         ns_uinteger, id *, id *)
METHOD_2(id, mtl_new_residency_set, "newResidencySetWithDescriptor:error:", id, id *)

/* MTLLibrary, MTLFunctionConstantValues, MTLComputePipelineDescriptor, MTLComputePipelineState, MTLBuffer */
METHOD_1(id, mtl_new_function, "newFunctionWithName:", id)
METHOD_3(id, mtl_new_function_with_constants, "newFunctionWithName:constantValues:error:", id, id, id *)
METHOD_0(id, mtl_function_names, "functionNames")
METHOD_3(void, mtl_set_constant, "setConstantValue:type:atIndex:", const void *, ns_uinteger, ns_uinteger)
METHOD_1(void, mtl_set_function, "setComputeFunction:", id)
METHOD_1(void, mtl_set_multiple_of_width, "setThreadGroupSizeIsMultipleOfThreadExecutionWidth:", BOOL)
METHOD_0(ns_uinteger, mtl_max_threads, "maxTotalThreadsPerThreadgroup")
METHOD_0(ns_uinteger, mtl_execution_width, "threadExecutionWidth")
METHOD_0(void *, mtl_contents, "contents")
METHOD_0(ns_uinteger, mtl_length, "length")

/* MTLResidencySet (macOS 15), MTLCommandQueue, MTLCommandBuffer */
METHOD_1(void, mtl_add_allocation, "addAllocation:", id)
METHOD_0(void, mtl_request_residency, "requestResidency")
METHOD_1(void, mtl_add_residency_set, "addResidencySet:", id)
METHOD_0(id, mtl_command_buffer, "commandBuffer")
METHOD_0(id, mtl_unretained_command_buffer, "commandBufferWithUnretainedReferences")
METHOD_0(id, mtl_encoder, "computeCommandEncoder")
METHOD_1(id, mtl_encoder_of_type, "computeCommandEncoderWithDispatchType:", ns_uinteger)
METHOD_0(id, mtl_blit_encoder, "blitCommandEncoder")
METHOD_0(void, mtl_commit, "commit")
METHOD_0(void, mtl_wait, "waitUntilCompleted")
METHOD_0(ns_uinteger, mtl_status, "status")
METHOD_0(id, mtl_error, "error")
METHOD_0(double, mtl_gpu_end_time, "GPUEndTime")
METHOD_1(void, mtl_add_completed_handler, "addCompletedHandler:", const void *)

/* encoders */
METHOD_1(void, mtl_set_pipeline, "setComputePipelineState:", id)
METHOD_3(void, mtl_set_buffer, "setBuffer:offset:atIndex:", id, ns_uinteger, ns_uinteger)
METHOD_2(void, mtl_set_offset, "setBufferOffset:atIndex:", ns_uinteger, ns_uinteger)
METHOD_3(void, mtl_set_bytes, "setBytes:length:atIndex:", const void *, ns_uinteger, ns_uinteger)
METHOD_2(void, mtl_set_threadgroup_memory, "setThreadgroupMemoryLength:atIndex:", ns_uinteger, ns_uinteger)
METHOD_2(void, mtl_dispatch_groups, "dispatchThreadgroups:threadsPerThreadgroup:", mtl_size, mtl_size)
METHOD_2(void, mtl_dispatch_threads, "dispatchThreads:threadsPerThreadgroup:", mtl_size, mtl_size)
METHOD_1(void, mtl_barrier, "memoryBarrierWithScope:", ns_uinteger)
METHOD_1(void, mtl_update_fence, "updateFence:", id)
METHOD_1(void, mtl_wait_for_fence, "waitForFence:", id)
METHOD_3(void, mtl_fill, "fillBuffer:range:value:", id, ns_range, uint8_t)
METHOD_5(void, mtl_copy, "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", id, ns_uinteger, id,
         ns_uinteger, ns_uinteger)
METHOD_0(void, mtl_end, "endEncoding")

/* A block of type void (^)(id) without the compiler's help, as clang lays it out: calls function(context, argument).
 * Global blocks are not copied: the storage must live until the call has happened. */
extern void *_NSConcreteGlobalBlock[32];
struct mtl_block {
    void *isa;
    int flags, reserved;
    void (*invoke)(struct mtl_block *block, id argument);
    const void *descriptor;
    void (*function)(void *context, id argument);
    void *context;
};
static inline void mtl_block_invoke(struct mtl_block *block, id argument) {
    block->function(block->context, argument);
}
static inline void mtl_block_init(struct mtl_block *block, void (*function)(void *, id), void *context) {
    enum { BLOCK_IS_GLOBAL = 1 << 28, BLOCK_HAS_SIGNATURE = 1 << 30 };
    static const struct {
        unsigned long reserved, bytes;
        const char *signature;
        const void *layout;
    } DESCRIPTOR = {0, sizeof(struct mtl_block), "v16@?0@8", NULL};
    *block = (struct mtl_block){_NSConcreteGlobalBlock,
                                BLOCK_IS_GLOBAL | BLOCK_HAS_SIGNATURE,
                                0,
                                mtl_block_invoke,
                                &DESCRIPTOR,
                                function,
                                context};
}

#endif
