/*
 * An Objective-C runtime for x86-64 Linux, as small as a program in C needs it: selectors are unique strings, a method
 * is found by name in its class's table, and objc_msgSend jumps to it with all argument registers as they were.
 */
#include "runtime.h"

#include "metal_internal.h"
#include "metalsim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SELECTORS = 1024, MAX_AUTORELEASED = 1 << 16 };

/* ---- mistakes ---- */

static int n_errors, n_printed;
static char first_error[400];

void framework_error(const char *format, ...) {
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (n_errors++ == 0) snprintf(first_error, sizeof first_error, "%s", message);
    if (n_printed++ < metalsim_device.max_printed) fprintf(stderr, "metal: %s\n", message);
}

int metalsim_errors(void) {
    return n_errors;
}

const char *metalsim_first_error(void) {
    return first_error;
}

void metalsim_reset(void) {
    n_errors = n_printed = 0;
    first_error[0] = '\0';
}

/* ---- selectors and classes ---- */

SEL sel_registerName(const char *name) {
    static char *known[MAX_SELECTORS];
    int i = 0;
    while (i < MAX_SELECTORS && known[i] && strcmp(known[i], name) != 0) i++;
    if (i == MAX_SELECTORS) abort();
    if (!known[i]) known[i] = strdup(name);
    return (SEL)(void *)known[i];
}

const char *sel_getName(SEL selector) {
    return (const char *)(const void *)selector;
}

static Class const CLASSES[] = {
    &class_NSString,
    &class_NSError,
    &class_NSURL,
    &class_NSArray,
    &class_NSProcessInfo,
    &class_MTLCompileOptions,
    &class_MTLComputePipelineDescriptor,
    &class_MTLFunctionConstantValues,
    &class_MTLResidencySetDescriptor,
};

Class objc_getClass(const char *name) {
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
        if (strcmp(CLASSES[i]->name, name) == 0 && CLASSES[i]->since <= metalsim_device.macos) return CLASSES[i];
    return NULL;
}

Class object_getClass(id object) {
    return object ? object->isa : NULL;
}

void ignore_message(void) {}

uintptr_t answer_zero(void) {
    return 0;
}

static id message_retain(id self) {
    return object_retain(self);
}
static void message_release(id self) {
    object_release(self);
}
static id message_autorelease(id self) {
    return object_autorelease(self);
}
static BOOL message_responds(id self, SEL selector, SEL asked) {
    (void)selector;
    return class_respondsToSelector(self->isa, asked);
}
static id message_new(Class class) {
    return object_new(class);
}
static NSUInteger message_retain_count(id self) {
    return (NSUInteger)self->references;
}
static const struct method_entry OBJECT_METHODS[] = {
    METHOD("retain", message_retain),
    METHOD("release", message_release),
    METHOD("autorelease", message_autorelease),
    METHOD("retainCount", message_retain_count),
    METHOD("respondsToSelector:", message_responds),
    METHODS_END,
};
static const struct method_entry CLASS_METHODS[] = {METHOD("new", message_new), METHOD("alloc", message_new),
                                                    METHODS_END};

static method find_in(const struct method_entry *methods, const char *name) {
    for (; methods && methods->selector; methods++)
        if (strcmp(methods->selector, name) == 0 && methods->since <= metalsim_device.macos) return methods->function;
    return NULL;
}

BOOL class_respondsToSelector(Class class, SEL selector) {
    const char *name = sel_getName(selector);
    return class && (find_in(class->methods, name) || find_in(OBJECT_METHODS, name));
}

/* The function that objc_msgSend jumps to. An unknown selector ends the program, as it does on macOS. */
method runtime_find_method(id object, SEL selector);
method runtime_find_method(id object, SEL selector) {
    const char *name = sel_getName(selector);
    method found;
    if (!object) return (method)answer_zero; /* messages to nil do nothing and return 0 */
    if (!object->isa) {
        Class class = (Class)(void *)object;
        found = find_in(class->class_methods, name);
        if (!found) found = find_in(CLASS_METHODS, name);
        if (found) return found;
        framework_error("+[%s %s]: unrecognized selector", class->name, name);
        abort();
    }
    if (object->references <= 0) {
        framework_error("%s sent to a freed %s", name, object->isa->name);
        return (method)answer_zero;
    }
    found = find_in(object->isa->methods, name);
    if (!found) found = find_in(OBJECT_METHODS, name);
    if (found) return found;
    framework_error("-[%s %s]: unrecognized selector", object->isa->name, name);
    abort();
}

__asm__(".text\n"
        ".globl objc_msgSend\n"
        ".type objc_msgSend, @function\n"
        "objc_msgSend:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    sub $192, %rsp\n"
        "    mov %rdi, 0(%rsp)\n"
        "    mov %rsi, 8(%rsp)\n"
        "    mov %rdx, 16(%rsp)\n"
        "    mov %rcx, 24(%rsp)\n"
        "    mov %r8, 32(%rsp)\n"
        "    mov %r9, 40(%rsp)\n"
        "    movups %xmm0, 64(%rsp)\n"
        "    movups %xmm1, 80(%rsp)\n"
        "    movups %xmm2, 96(%rsp)\n"
        "    movups %xmm3, 112(%rsp)\n"
        "    call runtime_find_method\n"
        "    mov %rax, %r11\n"
        "    mov 0(%rsp), %rdi\n"
        "    mov 8(%rsp), %rsi\n"
        "    mov 16(%rsp), %rdx\n"
        "    mov 24(%rsp), %rcx\n"
        "    mov 32(%rsp), %r8\n"
        "    mov 40(%rsp), %r9\n"
        "    movups 64(%rsp), %xmm0\n"
        "    movups 80(%rsp), %xmm1\n"
        "    movups 96(%rsp), %xmm2\n"
        "    movups 112(%rsp), %xmm3\n"
        "    leave\n"
        "    jmp *%r11\n"
        ".size objc_msgSend, . - objc_msgSend\n");

/* ---- references and pools ---- */

static int n_live;
static id autoreleased[MAX_AUTORELEASED];
static size_t n_autoreleased;
static int pool_depth;

int metalsim_live_objects(void) {
    return n_live;
}

id object_new(Class class) {
    id object = calloc(1, class->instance_bytes);
    if (!object) abort();
    object->isa = class;
    object->references = 1;
    n_live++;
    return object;
}

id object_retain(id object) {
    if (object) object->references++;
    return object;
}

void object_release(id object) {
    if (!object) return;
    if (object->references <= 0) {
        framework_error("%s released too often", object->isa->name);
        return;
    }
    if (--object->references > 0) return;
    if (object->isa->deinit) object->isa->deinit(object);
    n_live--;
}

id object_autorelease(id object) {
    if (pool_depth == 0)
        framework_error("%s autoreleased with no pool in place: it leaks", object->isa->name);
    else if (n_autoreleased == MAX_AUTORELEASED)
        framework_error("%d objects in the autorelease pools: drain them", MAX_AUTORELEASED);
    else
        autoreleased[n_autoreleased++] = object;
    return object;
}

/* A pool is the number of objects below it, plus one: it may not be NULL. */
void *objc_autoreleasePoolPush(void) {
    pool_depth++;
    return (void *)(uintptr_t)(n_autoreleased + 1);
}

void objc_autoreleasePoolPop(void *pool) {
    size_t bottom = (size_t)(uintptr_t)pool - 1;
    pool_depth--;
    while (n_autoreleased > bottom) object_release(autoreleased[--n_autoreleased]);
}

/* ---- blocks ---- */

void *_NSConcreteGlobalBlock[32], *_NSConcreteStackBlock[32];
enum { BLOCK_IS_GLOBAL = 1 << 28 };

struct block *block_copy(const void *block) {
    const struct block *original = block;
    if (!original) return NULL;
    if (original->flags & BLOCK_IS_GLOBAL) return (struct block *)(uintptr_t)block;
    struct block *copy = malloc(original->descriptor->bytes);
    if (!copy) abort();
    memcpy(copy, original, original->descriptor->bytes);
    return copy;
}

void block_release(struct block *block) {
    if (block && !(block->flags & BLOCK_IS_GLOBAL)) free(block);
}
