/* The device and its memory. */
#include "metal_internal.h"

#include "metalsim.h"

#include <stdlib.h>
#include <string.h>

struct metalsim_device metalsim_device = {
    .name = "Simulated GPU",
    .tools = "tools/metalsim",
    .macos = 15,
    .apple_family = 7,
    .max_threads_per_threadgroup = SIM_MAX_THREADS,
    .max_buffer_bytes = (size_t)4 << 30,
    .working_set_bytes = (size_t)8 << 30,
    .watch_buffers = true,
    .max_printed = 20,
};

struct buffer *all_buffers;

/* ---- MTLBuffer ---- */

static void *buffer_contents(id self) {
    return ((struct buffer *)self)->memory;
}
static NSUInteger buffer_length(id self) {
    return ((struct buffer *)self)->bytes;
}
static uint64_t buffer_address(id self) {
    return (uint64_t)(uintptr_t)((struct buffer *)self)->memory;
}
static NSUInteger buffer_keep_purgeable(id self, SEL selector, NSUInteger state) {
    (void)self, (void)selector;
    return state;
}

static void buffer_deinit(id self) {
    struct buffer *buffer = (struct buffer *)self;
    if (is_in_use(self)) framework_error("a buffer is freed while a command buffer uses it");
    watch_forget(buffer);
    struct buffer **link = &all_buffers;
    while (*link != buffer) link = &(*link)->next;
    *link = buffer->next;
    if (buffer->deallocator) {
        void (*invoke)(struct block *, void *, NSUInteger) =
            (void (*)(struct block *, void *, NSUInteger))buffer->deallocator->invoke;
        invoke(buffer->deallocator, buffer->memory, buffer->bytes);
        block_release(buffer->deallocator);
    }
    if (!buffer->is_no_copy) sim_memory_free(buffer->memory, buffer->bytes);
    free(buffer->marks);
}

static const struct method_entry BUFFER_METHODS[] = {
    METHOD("contents", buffer_contents),
    METHOD("length", buffer_length),
    METHOD("allocatedSize", buffer_length),
    METHOD("gpuAddress", buffer_address),
    METHOD("setLabel:", ignore_message),
    METHOD("setPurgeableState:", buffer_keep_purgeable),
    METHODS_END,
};
static struct objc_class class_MTLBuffer = {
    NULL, "MTLBuffer", sizeof(struct buffer), BUFFER_METHODS, NULL, buffer_deinit, 0};

static bool check_length(const char *selector, NSUInteger length) {
    if (length == 0) framework_error("%s: a length of 0", selector);
    if (length > metalsim_device.max_buffer_bytes)
        framework_error("%s: %lu bytes, maxBufferLength is %zu", selector, length, metalsim_device.max_buffer_bytes);
    return length > 0 && length <= metalsim_device.max_buffer_bytes;
}

static struct buffer *buffer_new(NSUInteger length, NSUInteger options) {
    struct buffer *buffer = (struct buffer *)object_new(&class_MTLBuffer);
    buffer->bytes = length;
    buffer->is_untracked = options & OPTION_UNTRACKED;
    buffer->next = all_buffers;
    all_buffers = buffer;
    return buffer;
}

static id buffer_with_length(id device, SEL selector, NSUInteger length, NSUInteger options) {
    (void)device;
    if (!check_length(sel_getName(selector), length)) return NULL;
    struct buffer *buffer = buffer_new(length, options);
    buffer->memory = sim_memory_new(length);
    return &buffer->object;
}

static id buffer_with_bytes(id device, SEL selector, const void *bytes, NSUInteger length, NSUInteger options) {
    id buffer = buffer_with_length(device, selector, length, options);
    if (buffer) memcpy(((struct buffer *)buffer)->memory, bytes, length);
    return buffer;
}

static id buffer_no_copy(id device, SEL selector, void *memory, NSUInteger length, NSUInteger options,
                         const void *deallocator) {
    (void)device;
    if (((uintptr_t)memory | length) % PAGE_ON_APPLE_SILICON != 0) {
        framework_error("newBufferWithBytesNoCopy: address and length must be multiples of the page, %d bytes",
                        PAGE_ON_APPLE_SILICON);
        return NULL;
    }
    if (!memory || (options & OPTION_STORAGE_MASK) == OPTION_STORAGE_PRIVATE) {
        framework_error("newBufferWithBytesNoCopy: needs memory that the CPU can see");
        return NULL;
    }
    if (!check_length(sel_getName(selector), length)) return NULL;
    struct buffer *buffer = buffer_new(length, options);
    buffer->memory = memory;
    buffer->is_no_copy = true;
    buffer->deallocator = block_copy(deallocator);
    return &buffer->object;
}

/* ---- residency sets (macOS 15): changes count from the set's commit ---- */

struct residency_set {
    struct objc_object object;
    int n_staged;
};

static void residency_change(id self) {
    ((struct residency_set *)self)->n_staged++;
}
static void residency_commit(id self) {
    ((struct residency_set *)self)->n_staged = 0;
}
static void residency_request(id self) {
    if (((struct residency_set *)self)->n_staged > 0)
        framework_error("requestResidency: %d changes of the set are not committed",
                        ((struct residency_set *)self)->n_staged);
}
static const struct method_entry RESIDENCY_METHODS[] = {
    METHOD("addAllocation:", residency_change),
    METHOD("addAllocations:count:", residency_change),
    METHOD("removeAllocation:", residency_change),
    METHOD("removeAllAllocations", residency_change),
    METHOD("commit", residency_commit),
    METHOD("requestResidency", residency_request),
    METHOD("endResidency", ignore_message),
    METHODS_END,
};
static struct objc_class class_MTLResidencySet = {
    NULL, "MTLResidencySet", sizeof(struct residency_set), RESIDENCY_METHODS, NULL, NULL, 15};

static const struct method_entry RESIDENCY_DESCRIPTOR_METHODS[] = {
    METHOD("setLabel:", ignore_message),
    METHOD("setInitialCapacity:", ignore_message),
    METHODS_END,
};
struct objc_class class_MTLResidencySetDescriptor = {
    NULL, "MTLResidencySetDescriptor", sizeof(struct objc_object), RESIDENCY_DESCRIPTOR_METHODS, NULL, NULL, 15};

static id residency_set_new(id device, SEL selector, id descriptor, id *error) {
    (void)device, (void)selector, (void)error;
    if (!descriptor) framework_error("newResidencySetWithDescriptor: nil");
    return object_new(&class_MTLResidencySet);
}

/* ---- MTLDevice ---- */

static id device_name(id self) {
    (void)self;
    return object_autorelease(string_new(metalsim_device.name));
}
static NSUInteger device_max_buffer(id self) {
    (void)self;
    return metalsim_device.max_buffer_bytes;
}
static uint64_t device_working_set(id self) {
    (void)self;
    return metalsim_device.working_set_bytes;
}
static NSUInteger device_threadgroup_memory(id self) {
    (void)self;
    return sim_options.max_threadgroup_bytes;
}
static NSUInteger device_allocated(id self) {
    (void)self;
    NSUInteger sum = 0;
    for (const struct buffer *buffer = all_buffers; buffer; buffer = buffer->next) sum += buffer->bytes;
    return sum;
}
static BOOL device_unified(id self) {
    (void)self;
    return true;
}
static BOOL device_supports_family(id self, SEL selector, NSInteger family) {
    enum { APPLE_1 = 1001, MAC_2 = 2002, COMMON_3 = 3003, METAL_3 = 5001 };
    (void)self, (void)selector;
    return (family >= APPLE_1 && family < APPLE_1 + metalsim_device.apple_family) || family == MAC_2 ||
           (family > 3000 && family <= COMMON_3) || family == METAL_3;
}

static const struct method_entry DEVICE_METHODS[] = {
    METHOD("name", device_name),
    METHOD("hasUnifiedMemory", device_unified),
    METHOD("maxBufferLength", device_max_buffer),
    METHOD("maxThreadgroupMemoryLength", device_threadgroup_memory),
    METHOD("recommendedMaxWorkingSetSize", device_working_set),
    METHOD("currentAllocatedSize", device_allocated),
    METHOD("supportsFamily:", device_supports_family),
    METHOD("newCommandQueue", queue_new),
    METHOD("newCommandQueueWithMaxCommandBufferCount:", queue_new),
    METHOD("newFence", fence_new),
    METHOD("newBufferWithLength:options:", buffer_with_length),
    METHOD("newBufferWithBytes:length:options:", buffer_with_bytes),
    METHOD("newBufferWithBytesNoCopy:length:options:deallocator:", buffer_no_copy),
    METHOD("newLibraryWithSource:options:error:", library_from_source),
    METHOD("newLibraryWithURL:error:", library_from_url),
    METHOD("newComputePipelineStateWithFunction:error:", pipeline_from_function),
    METHOD("newComputePipelineStateWithDescriptor:options:reflection:error:", pipeline_from_descriptor),
    METHOD_SINCE(15, "newResidencySetWithDescriptor:error:", residency_set_new),
    METHODS_END,
};
static struct objc_class class_MTLDevice = {NULL, "MTLDevice", sizeof(struct objc_object), DEVICE_METHODS, NULL, NULL,
                                            0};

id MTLCreateSystemDefaultDevice(void);
id MTLCopyAllDevices(void);

id MTLCreateSystemDefaultDevice(void) {
    return object_new(&class_MTLDevice);
}

id MTLCopyAllDevices(void) {
    id device = object_new(&class_MTLDevice);
    void *pool = objc_autoreleasePoolPush();
    id array = object_retain(array_of(&device, 1));
    objc_autoreleasePoolPop(pool);
    object_release(device);
    return array;
}
