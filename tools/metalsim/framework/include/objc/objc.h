/* As much of Apple's header as C code sees, with the types of arm64 macOS. */
#ifndef _OBJC_OBJC_H_
#define _OBJC_OBJC_H_

#include <stdbool.h>

typedef bool BOOL;
typedef struct objc_class *Class;
typedef struct objc_object *id;
typedef struct objc_selector *SEL;

SEL sel_registerName(const char *name);
const char *sel_getName(SEL selector);

#endif
