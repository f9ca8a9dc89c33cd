#ifndef _OBJC_MESSAGE_H_
#define _OBJC_MESSAGE_H_

#include <objc/objc.h>

/* To be called through the exact type of the method. Structs of more than 16 bytes may be arguments, not results. */
void objc_msgSend(void);

#endif
