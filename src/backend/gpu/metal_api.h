/*
 * The part of Metal's interface that metal.c uses, as typed C functions: each method with its selector and its exact
 * type, as Apple's headers for macOS 26 declare them. No Objective-C compiler is needed; link Metal, Foundation and
 * CoreGraphics (without the last the system hands out no device to a command-line program).
 *
 * What is named new... belongs to the caller (ns_release); every other object lives until the autorelease pool around
 * the call ends, or as long as its owner. Messages to NULL return 0.
 */
#ifndef BACKEND_GPU_METAL_API_H
#define BACKEND_GPU_METAL_API_H

#include <objc/message.h>
#include <objc/runtime.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned long ns_uinteger;
typedef long ns_integer;
typedef struct {
    ns_uinteger width, height, depth;
} mtl_size;
typedef struct {
    ns_integer major, minor, patch;
} ns_version;

enum { MTL_STORAGE_SHARED = 0, MTL_UNTRACKED = 0x100 };         /* MTLResourceOptions */
enum { MTL_FAMILY_APPLE7 = 1007, MTL_FAMILY_METAL3 = 5001 };    /* MTLGPUFamily */
enum { MTL_LANGUAGE_3_1 = (3 << 16) + 1 };                      /* MTLLanguageVersion; macOS 14 */
enum { MTL_MATH_SAFE = 0, MTL_FUNCTIONS_PRECISE = 1 };          /* MTLMathMode, MTLMathFloatingPointFunctions */
enum { MTL_TYPE_UINT = 33 };                                    /* MTLDataType */
enum { MTL_STATUS_COMPLETED = 4, MTL_ERROR_OUT_OF_MEMORY = 8 }; /* MTLCommandBufferStatus, MTLCommandBufferError */

/* ---- calls ---- */

/* Exported by libobjc since macOS 10.7, in none of its public headers. */
void *objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void *pool);

/* A method is called through its exact type. By way of void *, because gcc refuses the direct way. */
static inline void *message_entry(void) {
    void (*send)(void) = objc_msgSend;
    void *entry;
    memcpy(&entry, &send, sizeof entry);
    return entry;
}

/* The lookup of a selector takes a lock, so each is looked up once. */
static inline SEL selector_of(_Atomic(SEL) *known, const char *name) {
    SEL selector = atomic_load_explicit(known, memory_order_relaxed);
    if (!selector) {
        selector = sel_registerName(name);
        atomic_store_explicit(known, selector, memory_order_relaxed);
    }
    return selector;
}

#define METHOD_0(result, name, selector)                                                     \
    static inline result name(id object) {                                                   \
        static _Atomic(SEL) known;                                                           \
        return ((result(*)(id, SEL))message_entry())(object, selector_of(&known, selector)); \
    }
#define METHOD_1(result, name, selector, A)                                                        \
    static inline result name(id object, A a) {                                                    \
        static _Atomic(SEL) known;                                                                 \
        return ((result(*)(id, SEL, A))message_entry())(object, selector_of(&known, selector), a); \
    }
#define METHOD_2(result, name, selector, A, B)                                                           \
    static inline result name(id object, A a, B b) {                                                     \
        static _Atomic(SEL) known;                                                                       \
        return ((result(*)(id, SEL, A, B))message_entry())(object, selector_of(&known, selector), a, b); \
    }
#define METHOD_3(result, name, selector, A, B, C)                                                              \
    static inline result name(id object, A a, B b, C c) {                                                      \
        static _Atomic(SEL) known;                                                                             \
        return ((result(*)(id, SEL, A, B, C))message_entry())(object, selector_of(&known, selector), a, b, c); \
    }
#define METHOD_4(result, name, selector, A, B, C, D)                                                                 \
    static inline result name(id object, A a, B b, C c, D d) {                                                       \
        static _Atomic(SEL) known;                                                                                   \
        return ((result(*)(id, SEL, A, B, C, D))message_entry())(object, selector_of(&known, selector), a, b, c, d); \
    }

/* ---- Foundation ---- */

METHOD_0(id, ns_retain, "retain")
METHOD_0(void, ns_release, "release")
METHOD_0(id, ns_class_new, "new")
METHOD_1(BOOL, ns_responds, "respondsToSelector:", SEL)
METHOD_1(id, ns_class_string, "stringWithUTF8String:", const char *)
METHOD_0(const char *, ns_text, "UTF8String")
METHOD_1(id, ns_class_file_url, "fileURLWithPath:", id)
METHOD_0(id, ns_error_text, "localizedDescription")
METHOD_0(ns_integer, ns_error_code, "code")
METHOD_0(ns_uinteger, ns_count, "count")
METHOD_1(id, ns_at, "objectAtIndex:", ns_uinteger)
METHOD_0(id, ns_class_process, "processInfo")
METHOD_1(BOOL, ns_is_system_at_least, "isOperatingSystemAtLeastVersion:", ns_version)

/* NULL for a class that this system lacks. */
static inline id ns_class(const char *name) {
    return (id)(void *)objc_getClass(name);
}
static inline id ns_new(const char *class_name) {
    return ns_class_new(ns_class(class_name));
}
static inline id ns_string(const char *text) {
    return ns_class_string(ns_class("NSString"), text);
}
static inline id ns_file(const char *path) {
    return ns_class_file_url(ns_class("NSURL"), ns_string(path));
}
/* A selector that the object does not know would end the program. */
static inline BOOL ns_knows(id object, const char *selector) {
    return ns_responds(object, sel_registerName(selector));
}

/* ---- MTLDevice ---- */

/* Both belong to the caller; the first is an NSArray. */
id MTLCopyAllDevices(void);
id MTLCreateSystemDefaultDevice(void);
METHOD_0(id, mtl_name, "name")
METHOD_1(BOOL, mtl_supports_family, "supportsFamily:", ns_integer)
METHOD_0(ns_uinteger, mtl_max_buffer_length, "maxBufferLength")
METHOD_0(uint64_t, mtl_recommended_bytes, "recommendedMaxWorkingSetSize")
METHOD_0(id, mtl_new_queue, "newCommandQueue")
METHOD_2(id, mtl_new_buffer, "newBufferWithLength:options:", ns_uinteger, ns_uinteger)
METHOD_4(id, mtl_new_buffer_no_copy, "newBufferWithBytesNoCopy:length:options:deallocator:", void *, ns_uinteger,
         ns_uinteger, const void *)
METHOD_3(id, mtl_new_library_from_source, "newLibraryWithSource:options:error:", id, id, id *)
METHOD_2(id, mtl_new_library_from_url, "newLibraryWithURL:error:", id, id *)
METHOD_4(id, mtl_new_pipeline, "newComputePipelineStateWithDescriptor:options:reflection:error:", id, ns_uinteger, id *,
         id *)
#define MTL_NEW_RESIDENCY_SET "newResidencySetWithDescriptor:error:" /* macOS 15 */
METHOD_2(id, mtl_new_residency_set, MTL_NEW_RESIDENCY_SET, id, id *)

/* ---- MTLCompileOptions, MTLLibrary, MTLFunctionConstantValues ---- */

METHOD_1(void, mtl_set_language, "setLanguageVersion:", ns_uinteger)
#define MTL_SET_MATH_MODE "setMathMode:" /* macOS 15, as the next one; setFastMathEnabled: before */
METHOD_1(void, mtl_set_math_mode, MTL_SET_MATH_MODE, ns_integer)
METHOD_1(void, mtl_set_math_functions, "setMathFloatingPointFunctions:", ns_integer)
METHOD_1(void, mtl_set_fast_math, "setFastMathEnabled:", BOOL)
METHOD_3(id, mtl_new_function, "newFunctionWithName:constantValues:error:", id, id, id *)
METHOD_3(void, mtl_set_constant, "setConstantValue:type:atIndex:", const void *, ns_uinteger, ns_uinteger)

/* ---- MTLComputePipelineDescriptor, MTLComputePipelineState, MTLBuffer ---- */

METHOD_1(void, mtl_set_label, "setLabel:", id)
METHOD_1(void, mtl_set_function, "setComputeFunction:", id)
METHOD_1(void, mtl_set_multiple_of_width, "setThreadGroupSizeIsMultipleOfThreadExecutionWidth:", BOOL)
METHOD_0(ns_uinteger, mtl_max_threads, "maxTotalThreadsPerThreadgroup")
METHOD_0(ns_uinteger, mtl_execution_width, "threadExecutionWidth")
METHOD_0(void *, mtl_contents, "contents")

/* ---- MTLResidencySet (macOS 15), MTLCommandQueue, MTLCommandBuffer ---- */

METHOD_1(void, mtl_add_allocation, "addAllocation:", id)
METHOD_1(void, mtl_remove_allocation, "removeAllocation:", id)
METHOD_0(void, mtl_request_residency, "requestResidency")
METHOD_0(void, mtl_end_residency, "endResidency")
METHOD_1(void, mtl_add_residency_set, "addResidencySet:", id)
METHOD_0(id, mtl_command_buffer, "commandBufferWithUnretainedReferences")
METHOD_0(id, mtl_encoder, "computeCommandEncoder")
METHOD_0(void, mtl_commit, "commit") /* of a residency set, too */
METHOD_0(void, mtl_wait, "waitUntilCompleted")
METHOD_0(ns_uinteger, mtl_status, "status")
METHOD_0(id, mtl_error, "error")

/* ---- MTLComputeCommandEncoder ---- */

METHOD_1(void, mtl_set_pipeline, "setComputePipelineState:", id)
METHOD_3(void, mtl_set_buffer, "setBuffer:offset:atIndex:", id, ns_uinteger, ns_uinteger)
METHOD_3(void, mtl_set_bytes, "setBytes:length:atIndex:", const void *, ns_uinteger, ns_uinteger)
METHOD_2(void, mtl_dispatch_groups, "dispatchThreadgroups:threadsPerThreadgroup:", mtl_size, mtl_size)
METHOD_0(void, mtl_end_encoding, "endEncoding")

#endif
