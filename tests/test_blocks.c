#include "base/half.h"
#include "gguf/blocks.h"
#include "gguf/iq2_grid.h"
#include "support/d4g.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Decodes one block, after a check of the format's sizes. */
static void decode_one(uint32_t type, uint32_t n_elements, uint32_t n_bytes, const uint8_t *block, float *out) {
    const block_format *format = block_format_find(type);
    assert_non_null(format);
    assert_int_equal(format->type, type);
    assert_int_equal(format->n_elements, n_elements);
    assert_int_equal(format->n_bytes, n_bytes);
    format->decode(block, out, 1);
}

static void put_u16(uint8_t *bytes, uint16_t value) {
    memcpy(bytes, &value, sizeof value);
}
static void put_u32(uint8_t *bytes, uint32_t value) {
    memcpy(bytes, &value, sizeof value);
}

#define assert_float(actual, expected)                                                                                \
    do {                                                                                                              \
        float actual_ = (actual), expected_ = (expected);                                                             \
        if (actual_ != expected_) fail_msg("%s is %.9g, expected %.9g", #actual, (double)actual_, (double)expected_); \
    } while (0)

static void unknown_types_are_not_found(void **state) {
    (void)state;
    static const uint32_t types[] = {3, 4, 5, 9, 11, 15, 17, 27, 31, 40, 0xffffffff};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) assert_null(block_format_find(types[i]));
    assert_null(block_format_find(BLOCK_I32)->decode);
    assert_int_equal(block_format_find(BLOCK_I32)->n_bytes, 4);
    assert_string_equal(block_format_find(BLOCK_IQ2_XXS)->name, "IQ2_XXS");
}

static void f32_is_copied(void **state) {
    (void)state;
    float value = -1.25f, out[1];
    uint8_t block[4];
    memcpy(block, &value, sizeof value);
    decode_one(BLOCK_F32, 1, 4, block, out);
    assert_float(out[0], -1.25f);
}

static void f16_is_exact_at_the_ends_of_its_range(void **state) {
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } cases[] = {
        {0x3c00, 1},           {0x8000, 0},      {0x0001, 0x1p-24f}, {0x03ff, 0x1.ff8p-15f}, {0x0400, 0x1p-14f},
        {0x3555, 0x1.554p-2f}, {0xfbff, -65504}, {0x7c00, INFINITY}, {0xfc00, -INFINITY},
    };
    float out[1];
    uint8_t block[2];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_u16(block, cases[i].bits);
        decode_one(BLOCK_F16, 1, 2, block, out);
        assert_float(out[0], cases[i].value);
    }
    put_u16(block, 0x7e00);
    decode_one(BLOCK_F16, 1, 2, block, out);
    assert_true(isnan(out[0]));
}

static void bf16_is_the_upper_half_of_a_float(void **state) {
    (void)state;
    float out[1];
    uint8_t block[2];
    put_u16(block, 0x3fc0);
    decode_one(BLOCK_BF16, 1, 2, block, out);
    assert_float(out[0], 1.5f);
    put_u16(block, 0xff80);
    decode_one(BLOCK_BF16, 1, 2, block, out);
    assert_float(out[0], -INFINITY);
}

static void q4_0_has_low_nibbles_first_and_is_centred_at_8(void **state) {
    (void)state;
    uint8_t block[18] = {0}, *q = block + 2;
    float out[32];
    put_u16(block, 0xc000); /* d = -2 */
    q[0] = 0x0f;
    q[15] = 0x80;
    decode_one(BLOCK_Q4_0, 32, 18, block, out);
    assert_float(out[0], -2 * (15 - 8));
    assert_float(out[15], -2 * (0 - 8));
    assert_float(out[16], -2 * (0 - 8));
    assert_float(out[31], -2 * (8 - 8));
}

static void q8_0_is_signed_bytes_times_a_scale(void **state) {
    (void)state;
    uint8_t block[34] = {0}, *q = block + 2;
    float out[32];
    put_u16(block, 0x3800); /* d = 0.5 */
    q[0] = 0x80;
    q[1] = 0xff;
    q[30] = 1;
    q[31] = 127;
    decode_one(BLOCK_Q8_0, 32, 34, block, out);
    assert_float(out[0], -64);
    assert_float(out[1], -0.5f);
    assert_float(out[2], 0);
    assert_float(out[30], 0.5f);
    assert_float(out[31], 63.5f);
}

static void q2_k_has_four_rows_of_two_bits_in_each_half(void **state) {
    (void)state;
    uint8_t block[84] = {0}, *scales = block, *q = block + 16;
    float out[256];
    put_u16(block + 80, 0x4000); /* d = 2 */
    put_u16(block + 82, 0x3800); /* dmin = 0.5 */
    scales[0] = 0x21;            /* elements 0..15: 2 * 1 * q - 0.5 * 2 */
    scales[1] = 0x03;            /* 16..31: 2 * 3 * q */
    scales[2] = 0xf2;            /* 32..47: 2 * 2 * q - 0.5 * 15 */
    scales[9] = 0x0f;            /* 144..159: 2 * 15 * q */
    q[0] = 0xe4;                 /* elements 0, 32, 64, 96 are 0, 1, 2, 3 */
    q[1] = 0x01;                 /* element 1 is 1 */
    q[16] = 0x1b;                /* elements 16, 48, 80, 112 are 3, 2, 1, 0 */
    q[32 + 21] = 0x02;           /* element 128 + 21 is 2 */
    decode_one(BLOCK_Q2_K, 256, 84, block, out);
    assert_float(out[0], -1);
    assert_float(out[1], 1);
    assert_float(out[2], -1);
    assert_float(out[16], 18);
    assert_float(out[32], 4 - 7.5f);
    assert_float(out[33], -7.5f);
    assert_float(out[48], 0);
    assert_float(out[149], 60);
    assert_float(out[150], 0);
}

/* What Q4_K and Q5_K have in common: d = 1, dmin = 0.25 and the scales of sub-blocks 0, 3, 4 and 7. */
static void put_k_scales(uint8_t *block) {
    uint8_t *scales = block + 4;
    put_u16(block, 0x3c00);
    put_u16(block + 2, 0x3400);
    scales[0] = 0x85;  /* scale 0 is 5; high bits of scale 4: 2 */
    scales[4] = 0x43;  /* min 0 is 3; high bits of min 4: 1 */
    scales[8] = 0x7a;  /* scale 4 is 10 + 16 * 2 = 42, min 4 is 7 + 16 * 1 = 23 */
    scales[3] = 0xff;  /* scale 3 is 63; high bits of scale 7: 3 */
    scales[7] = 0x3f;  /* min 3 is 63; high bits of min 7: 0 */
    scales[11] = 0x21; /* scale 7 is 1 + 16 * 3 = 49, min 7 is 2 */
}

static void q4_k_has_six_bit_scales_and_minima(void **state) {
    (void)state;
    uint8_t block[144] = {0}, *q = block + 16;
    float out[256];
    put_k_scales(block);
    q[0] = 0x9c;  /* element 0 is 12, element 32 is 9 (scale and min 1 are 0) */
    q[63] = 0x40; /* element 95 is 0, element 127 is 4 */
    q[64] = 0x0f; /* element 128 is 15 */
    q[97] = 0xe0; /* element 225 is 14 */
    decode_one(BLOCK_Q4_K, 256, 144, block, out);
    assert_float(out[0], 5 * 12 - 0.25f * 3);
    assert_float(out[1], -0.25f * 3);
    assert_float(out[32], 0);
    assert_float(out[127], 63 * 4 - 0.25f * 63);
    assert_float(out[128], 42 * 15 - 0.25f * 23);
    assert_float(out[129], -0.25f * 23);
    assert_float(out[225], 49 * 14 - 0.25f * 2);
}

static void q5_k_adds_a_fifth_bit_to_q4_k(void **state) {
    (void)state;
    uint8_t block[176] = {0}, *high = block + 16, *q = block + 48;
    float out[256];
    put_k_scales(block);
    q[0] = 0x9c;
    q[64] = 0x0f;
    q[97] = 0xe0;
    high[0] = 0x11; /* elements 0 and 128 get 16 */
    high[1] = 0x80; /* element 225 gets 16 */
    decode_one(BLOCK_Q5_K, 256, 176, block, out);
    assert_float(out[0], 5 * 28 - 0.25f * 3);
    assert_float(out[32], 0);
    assert_float(out[128], 42 * 31 - 0.25f * 23);
    assert_float(out[129], -0.25f * 23);
    assert_float(out[225], 49 * 30 - 0.25f * 2);
}

static void q6_k_joins_four_low_and_two_high_bits(void **state) {
    (void)state;
    uint8_t block[210] = {0}, *low = block, *high = block + 128, *scales = block + 192;
    float out[256];
    put_u16(block + 208, 0x3800); /* d = 0.5 */
    scales[0] = 1;
    scales[1] = 0xfe; /* -2 */
    scales[2] = 3;
    scales[4] = 5;
    scales[6] = 0x80; /* -128 */
    scales[15] = 127;
    low[0] = 0x5a;
    low[32] = 0xc3;
    high[0] = 0xe4; /* high bits of elements 0, 32, 64, 96: 0, 1, 2, 3 */
    low[127] = 0xf0;
    high[63] = 0xc0;
    decode_one(BLOCK_Q6_K, 256, 210, block, out);
    assert_float(out[0], 0.5f * 1 * (10 - 32));
    assert_float(out[16], 0.5f * -2 * (0 - 32));
    assert_float(out[32], 0.5f * 3 * (3 + 16 - 32));
    assert_float(out[64], 0.5f * 5 * (5 + 32 - 32));
    assert_float(out[96], 0.5f * -128 * (12 + 48 - 32));
    assert_float(out[255], 0.5f * 127 * (15 + 48 - 32));
}

static void iq2_xxs_takes_magnitudes_from_the_grid_and_makes_signs_even(void **state) {
    (void)state;
    uint8_t block[66] = {0}, *group = block + 2;
    float out[256];
    put_u16(block, 0x4400); /* d = 4 */
    group[1] = 1;           /* 43, 8, 8, 8, 8, 8, 8, 8 */
    group[3] = 255;         /* 8, 25, 8, 8, 25, 43, 43, 43; the other indices mean 8 eight times */
    /* Signs: element 0 (and, to be even, 7); elements 0 and 1; none; all. Scale 4 * (0.5 + 2) / 4 = 2.5. */
    put_u32(group + 4, 1u | 3u << 7 | 0u << 14 | 127u << 21 | 2u << 28);
    decode_one(BLOCK_IQ2_XXS, 256, 66, block, out);
    static const float expected[32] = {
        -8,  8,   8,  8,  8,   8,   8,   -8,  /* index 0 */
        -43, -8,  8,  8,  8,   8,   8,   8,   /* index 1 */
        8,   8,   8,  8,  8,   8,   8,   8,   /* index 0 */
        -8,  -25, -8, -8, -25, -43, -43, -43, /* index 255 */
    };
    for (int i = 0; i < 32; i++) assert_float(out[i], 2.5f * expected[i]);
    for (int i = 32; i < 256; i++) assert_float(out[i], 0.5f * 8); /* a = 0: 4 * 0.5 / 4 */
}

/* The codebook in another notation: digit j in base 3 of entry i chooses 8, 25 or 43. */
static void every_entry_of_the_iq2_grid_is_right(void **state) {
    (void)state;
    static const uint16_t codes[256] = {
        0,    2,    4,    6,    8,    10,   12,   18,   20,   24,   26,   28,   30,   36,   42,   46,   48,   54,
        56,   62,   74,   82,   84,   90,   94,   108,  138,  150,  162,  164,  182,  218,  244,  246,  252,  262,
        264,  270,  272,  276,  288,  298,  300,  306,  318,  324,  326,  330,  342,  356,  376,  378,  388,  412,
        414,  432,  462,  480,  486,  490,  492,  498,  510,  514,  516,  522,  524,  546,  570,  594,  650,  660,
        730,  732,  738,  748,  756,  774,  786,  792,  796,  810,  816,  828,  846,  854,  864,  912,  922,  972,
        978,  990,  994,  1006, 1026, 1068, 1100, 1134, 1148, 1216, 1218, 1224, 1242, 1270, 1296, 1300, 1368, 1414,
        1458, 1460, 1466, 1488, 1504, 1512, 1514, 1564, 1572, 1620, 1622, 1702, 1704, 1710, 1728, 1742, 1782, 1810,
        1830, 1926, 1950, 1962, 2010, 2136, 2188, 2190, 2196, 2202, 2206, 2208, 2214, 2220, 2228, 2232, 2242, 2244,
        2250, 2268, 2286, 2314, 2322, 2326, 2350, 2358, 2382, 2390, 2400, 2430, 2436, 2448, 2484, 2500, 2522, 2532,
        2592, 2674, 2676, 2682, 2700, 2704, 2754, 2796, 2800, 2810, 2866, 2898, 2916, 2922, 2926, 2932, 2934, 2970,
        2976, 3000, 3026, 3072, 3142, 3222, 3224, 3248, 3322, 3360, 3402, 3412, 3418, 3450, 3510, 3570, 3648, 3654,
        3672, 3696, 3726, 3766, 3822, 3852, 3888, 3892, 3978, 3980, 4026, 4160, 4374, 4376, 4382, 4402, 4430, 4458,
        4470, 4482, 4546, 4618, 4620, 4626, 4630, 4644, 4662, 4698, 4730, 4764, 4786, 4806, 4824, 4862, 4944, 5032,
        5106, 5112, 5124, 5130, 5176, 5198, 5238, 5296, 5346, 5366, 5376, 5464, 5644, 5688, 5834, 5868, 5890, 5920,
        5994, 6090, 6354, 6402};
    static const uint8_t magnitudes[3] = {8, 25, 43};
    for (int i = 0; i < 256; i++) {
        uint64_t entry = 0;
        for (unsigned j = 0, code = codes[i]; j < 8; j++, code /= 3) entry |= (uint64_t)magnitudes[code % 3] << 8 * j;
        assert_int_equal(iq2_xxs_grid[i], entry);
    }
}

static void mxfp4_has_all_sixteen_values_and_powers_of_two(void **state) {
    (void)state;
    static const float values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    uint8_t block[17];
    float out[32];
    block[0] = 128;
    for (int i = 0; i < 16; i++) block[1 + i] = (uint8_t)(i | (15 - i) << 4);
    decode_one(BLOCK_MXFP4, 32, 17, block, out);
    for (int i = 0; i < 16; i++) {
        assert_float(out[i], 2 * values[i]);
        assert_float(out[16 + i], 2 * values[15 - i]);
    }
    static const struct {
        uint8_t exponent;
        float half; /* what the code of 0.5 means */
    } cases[] = {{0, 0x1p-128f}, {1, 0x1p-127f}, {2, 0x1p-126f}, {127, 0.5f}, {254, 0x1p126f}, {255, 0x1p127f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        block[0] = cases[i].exponent;
        decode_one(BLOCK_MXFP4, 32, 17, block, out);
        assert_float(out[1], cases[i].half);
    }
}

/* A run of blocks at an odd address is decoded as the blocks one by one, and nothing behind them is written. */
static void runs_of_blocks_equal_single_blocks(void **state) {
    (void)state;
    enum { BLOCKS = 5, MAX_BYTES = 210, MAX_ELEMENTS = 256 };
    uint8_t bytes[1 + BLOCKS * MAX_BYTES];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24 & 0xbb); /* no exponent is that of NaN */
    }
    for (uint32_t type = 0; type < 64; type++) {
        const block_format *format = block_format_find(type);
        if (!format || !format->decode) continue;
        float run[BLOCKS * MAX_ELEMENTS + 1], single[MAX_ELEMENTS];
        for (size_t n = 0; n <= BLOCKS; n++) {
            size_t n_elements = n * format->n_elements;
            run[n_elements] = 12345;
            format->decode(bytes + 1, run, n);
            assert_float(run[n_elements], 12345);
            for (size_t b = 0; b < n; b++) {
                uint8_t block[MAX_BYTES];
                memcpy(block, bytes + 1 + b * format->n_bytes, format->n_bytes);
                format->decode(block, single, 1);
                for (size_t i = 0; i < format->n_elements; i++)
                    assert_float(run[b * format->n_elements + i], single[i]);
            }
        }
    }
}

static void random_blocks_equal_the_reference_bit_for_bit(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        const char *raw, *out;
    } cases[] = {
        {BLOCK_Q8_0, "quant.Q8_0.raw", "quant.Q8_0.out"},
        {BLOCK_Q2_K, "quant.Q2_K.raw", "quant.Q2_K.out"},
        {BLOCK_Q4_K, "quant.Q4_K.raw", "quant.Q4_K.out"},
        {BLOCK_IQ2_XXS, "quant.IQ2_XXS.raw", "quant.IQ2_XXS.out"},
    };
    d4g_file *units = d4g_open("tests/data/units.d4g");
    assert_non_null(units);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const block_format *format = block_format_find(cases[c].type);
        const d4g_record *raw = d4g_find(units, cases[c].raw), *expected = d4g_find(units, cases[c].out);
        assert_non_null(raw);
        assert_non_null(expected);
        float out[8 * 256];
        size_t n_blocks = expected->n / format->n_elements;
        assert_int_equal(n_blocks, 8);
        assert_int_equal(n_blocks * format->n_bytes, raw->n * sizeof *raw->i);
        format->decode((const uint8_t *)raw->i, out, n_blocks);
        assert_memory_equal(out, expected->f, expected->n * sizeof *out);
    }
    d4g_close(units);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_types_are_not_found),
        cmocka_unit_test(f32_is_copied),
        cmocka_unit_test(f16_is_exact_at_the_ends_of_its_range),
        cmocka_unit_test(bf16_is_the_upper_half_of_a_float),
        cmocka_unit_test(q4_0_has_low_nibbles_first_and_is_centred_at_8),
        cmocka_unit_test(q8_0_is_signed_bytes_times_a_scale),
        cmocka_unit_test(q2_k_has_four_rows_of_two_bits_in_each_half),
        cmocka_unit_test(q4_k_has_six_bit_scales_and_minima),
        cmocka_unit_test(q5_k_adds_a_fifth_bit_to_q4_k),
        cmocka_unit_test(q6_k_joins_four_low_and_two_high_bits),
        cmocka_unit_test(iq2_xxs_takes_magnitudes_from_the_grid_and_makes_signs_even),
        cmocka_unit_test(every_entry_of_the_iq2_grid_is_right),
        cmocka_unit_test(mxfp4_has_all_sixteen_values_and_powers_of_two),
        cmocka_unit_test(runs_of_blocks_equal_single_blocks),
        cmocka_unit_test(random_blocks_equal_the_reference_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
