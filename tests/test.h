/* What every test program includes. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ds4.h"

/* The status is DS4_OK; else the test fails with the error's message. */
#define assert_ok(call, error)                                             \
    do {                                                                   \
        if ((call) != DS4_OK) fail_msg("%s: %s", #call, (error)->message); \
    } while (0)

#endif
