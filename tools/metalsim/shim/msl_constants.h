// Limits and constants of <metal_limits> and <metal_math>, for all modes.
#pragma once

#define INFINITY __builtin_inff()
#define HUGE_VALF __builtin_huge_valf()
#define NAN __builtin_nanf("")
#define FLT_MAX 3.402823466e+38f
#define FLT_MIN 1.175494351e-38f
#define FLT_EPSILON 1.192092896e-07f
#define MAXFLOAT FLT_MAX
#define HALF_MAX ((half)65504.0f)
#define MAXHALF HALF_MAX
#define CHAR_MAX 127
#define SHRT_MAX 32767
#define USHRT_MAX 65535
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 0xffffffffu
#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LN2_F 0.693147180559945309417f
#define M_SQRT2_F 1.41421356237309504880f

// clang-format off
// The functions of one and of two floating-point arguments, as lists of X(name).
#define MSL_FUNCTIONS_1(X) \
    X(exp) X(exp2) X(exp10) X(log) X(log2) X(log10) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) \
    X(tanh) X(sqrt) X(rsqrt) X(floor) X(ceil) X(round) X(rint) X(trunc) X(fract) X(fabs) X(sign) X(saturate)
#define MSL_FUNCTIONS_2(X) X(pow) X(powr) X(fmin) X(fmax) X(fmod) X(atan2) X(copysign) X(step)
// clang-format on
