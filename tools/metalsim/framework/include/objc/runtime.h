#ifndef _OBJC_RUNTIME_H_
#define _OBJC_RUNTIME_H_

#include <objc/objc.h>

Class objc_getClass(const char *name); /* NULL if there is none */
Class object_getClass(id object);
BOOL class_respondsToSelector(Class class, SEL selector);

#endif
