/* The object model: classes with tables of methods, counted references, pools. */
#ifndef METALSIM_RUNTIME_H
#define METALSIM_RUNTIME_H

#include <objc/message.h>
#include <objc/runtime.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long NSUInteger;
typedef long NSInteger;
typedef void (*method)(void);

struct method_entry {
    const char *selector;
    method function; /* (object, selector, arguments...) */
    int since;       /* macOS; 0: always there */
};

struct objc_class {
    Class isa; /* NULL: this tells a class from its instances */
    const char *name;
    size_t instance_bytes;
    const struct method_entry *methods;       /* ends with a NULL selector */
    const struct method_entry *class_methods; /* or NULL */
    void (*deinit)(id object);                /* or NULL */
    int since;
};

struct objc_object {
    Class isa;
    int references; /* 0: freed; the storage stays, so that later use is noticed */
};

#define METHOD(selector, function) {selector, (method)(function), 0}
#define METHOD_SINCE(macos, selector, function) {selector, (method)(function), macos}
#define METHODS_END {NULL, NULL, 0}

id object_new(Class class); /* one reference, zeroed */
id object_retain(id object);
void object_release(id object); /* NULL is allowed */
id object_autorelease(id object);

/* For setters of labels and other properties that have no effect here. */
void ignore_message(void);
uintptr_t answer_zero(void);

/* Counts a mistake and prints it. */
void framework_error(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* foundation.c */
id string_new(const char *text);
const char *string_text(id string);
const char *url_path(id url);
/* An array of n objects, each retained; autoreleased. */
id array_of(const id *objects, size_t n);
/* Fills *error, if it is asked for, with an autoreleased NSError; returns NULL. */
id set_error(id *error, const char *domain, NSInteger code, const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

extern struct objc_class class_NSString, class_NSError, class_NSURL, class_NSArray, class_NSProcessInfo;

#endif
