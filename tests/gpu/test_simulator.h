/* Included by the kernels and by the program that runs them. */
#ifndef TESTS_GPU_TEST_SIMULATOR_H
#define TESTS_GPU_TEST_SIMULATOR_H

#ifdef __METAL__
#include <metal_stdlib>
using namespace metal;
#else
#include <stdint.h>
#endif

struct add_params {
    uint32_t n;
    float value;
};

#endif
