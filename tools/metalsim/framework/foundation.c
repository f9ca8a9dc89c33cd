/* The few classes of Foundation that Metal's interface cannot do without. */
#include "runtime.h"

#include "metalsim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- NSString ---- */
struct string {
    struct objc_object object;
    char *text;
};

id string_new(const char *text) {
    id string = object_new(&class_NSString);
    ((struct string *)string)->text = strdup(text);
    return string;
}
const char *string_text(id string) {
    return string ? ((struct string *)string)->text : NULL;
}
static id string_with_utf8(Class class, SEL selector, const char *text) {
    (void)class, (void)selector;
    return object_autorelease(string_new(text));
}
static id string_init_utf8(id self, SEL selector, const char *text) {
    (void)selector;
    ((struct string *)self)->text = strdup(text);
    return self;
}
static const char *string_utf8(id self) {
    return string_text(self);
}
static NSUInteger string_length(id self) {
    return strlen(string_text(self));
}
static void string_deinit(id self) {
    free(((struct string *)self)->text);
}
static const struct method_entry STRING_METHODS[] = {
    METHOD("UTF8String", string_utf8),
    METHOD("length", string_length),
    METHOD("initWithUTF8String:", string_init_utf8),
    METHODS_END,
};
static const struct method_entry STRING_CLASS_METHODS[] = {METHOD("stringWithUTF8String:", string_with_utf8),
                                                           METHODS_END};
struct objc_class class_NSString = {
    NULL, "NSString", sizeof(struct string), STRING_METHODS, STRING_CLASS_METHODS, string_deinit, 0};

/* ---- NSError ---- */
struct error {
    struct objc_object object;
    id domain, description;
    NSInteger code;
};

id set_error(id *error, const char *domain, NSInteger code, const char *format, ...) {
    if (!error) return NULL;
    char text[4000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct error *e = (struct error *)object_new(&class_NSError);
    e->domain = string_new(domain);
    e->description = string_new(text);
    e->code = code;
    *error = object_autorelease(&e->object);
    return NULL;
}
static id error_description(id self) {
    return ((struct error *)self)->description;
}
static id error_domain(id self) {
    return ((struct error *)self)->domain;
}
static NSInteger error_code(id self) {
    return ((struct error *)self)->code;
}
static void error_deinit(id self) {
    object_release(((struct error *)self)->domain);
    object_release(((struct error *)self)->description);
}
static const struct method_entry ERROR_METHODS[] = {
    METHOD("localizedDescription", error_description),
    METHOD("domain", error_domain),
    METHOD("code", error_code),
    METHODS_END,
};
struct objc_class class_NSError = {NULL, "NSError", sizeof(struct error), ERROR_METHODS, NULL, error_deinit, 0};

/* ---- NSURL ---- */
struct url {
    struct objc_object object;
    char *path;
};

const char *url_path(id url) {
    return url ? ((struct url *)url)->path : NULL;
}
static id url_with_path(Class class, SEL selector, id path) {
    (void)class, (void)selector;
    struct url *url = (struct url *)object_new(&class_NSURL);
    url->path = strdup(string_text(path));
    return object_autorelease(&url->object);
}
static void url_deinit(id self) {
    free(((struct url *)self)->path);
}
static const struct method_entry URL_METHODS[] = {METHODS_END};
static const struct method_entry URL_CLASS_METHODS[] = {METHOD("fileURLWithPath:", url_with_path), METHODS_END};
struct objc_class class_NSURL = {NULL, "NSURL", sizeof(struct url), URL_METHODS, URL_CLASS_METHODS, url_deinit, 0};

/* ---- NSArray ---- */
struct array {
    struct objc_object object;
    id *element;
    size_t n;
};

id array_of(const id *objects, size_t n) {
    struct array *array = (struct array *)object_new(&class_NSArray);
    array->element = calloc(n + 1, sizeof *array->element);
    if (!array->element) abort();
    for (size_t i = 0; i < n; i++) array->element[i] = object_retain(objects[i]);
    array->n = n;
    return object_autorelease(&array->object);
}
static NSUInteger array_count(id self) {
    return ((struct array *)self)->n;
}
static id array_at(id self, SEL selector, NSUInteger index) {
    (void)selector;
    struct array *array = (struct array *)self;
    if (index < array->n) return array->element[index];
    framework_error("objectAtIndex: %lu of %zu", index, array->n);
    abort();
}
static void array_deinit(id self) {
    struct array *array = (struct array *)self;
    for (size_t i = 0; i < array->n; i++) object_release(array->element[i]);
    free(array->element);
}
static const struct method_entry ARRAY_METHODS[] = {
    METHOD("count", array_count),
    METHOD("objectAtIndex:", array_at),
    METHODS_END,
};
struct objc_class class_NSArray = {NULL, "NSArray", sizeof(struct array), ARRAY_METHODS, NULL, array_deinit, 0};

/* ---- NSProcessInfo ---- */
struct operating_system_version {
    NSInteger major, minor, patch;
};

static id process_info(Class class) {
    return object_autorelease(object_new(class));
}
static BOOL process_is_at_least(id self, SEL selector, struct operating_system_version version) {
    (void)self, (void)selector;
    return version.major < metalsim_device.macos || (version.major == metalsim_device.macos && version.minor == 0);
}
static NSUInteger process_processors(id self) {
    (void)self;
    return (NSUInteger)sysconf(_SC_NPROCESSORS_ONLN);
}
static uint64_t process_memory(id self) {
    (void)self;
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}
static const struct method_entry PROCESS_METHODS[] = {
    METHOD("isOperatingSystemAtLeastVersion:", process_is_at_least),
    METHOD("processorCount", process_processors),
    METHOD("activeProcessorCount", process_processors),
    METHOD("physicalMemory", process_memory),
    METHOD("thermalState", answer_zero),
    METHOD("isLowPowerModeEnabled", answer_zero),
    METHODS_END,
};
static const struct method_entry PROCESS_CLASS_METHODS[] = {METHOD("processInfo", process_info), METHODS_END};
struct objc_class class_NSProcessInfo = {
    NULL, "NSProcessInfo", sizeof(struct objc_object), PROCESS_METHODS, PROCESS_CLASS_METHODS, NULL, 0};
