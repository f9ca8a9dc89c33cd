/* The ground floor: error values, numbers, text, memory and threads. Files: test_file.c. */
#include "test.h"

#include "base/error.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/utf8.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

static const char *message_of(const char *text) {
    static ds4_error error;
    memset(&error, 'x', sizeof error);
    assert_int_equal(error_set(&error, DS4_ERROR_FORMAT, "%s", text), DS4_ERROR_FORMAT);
    return error.message;
}

static void messages_are_one_line_without_control_characters(void **state) {
    (void)state;
    char text[2] = {0};
    for (int c = 1; c < 128; c++) {
        text[0] = (char)c;
        assert_string_equal(message_of(text), c < 0x20 || c == 0x7f ? "?" : text);
    }
    assert_string_equal(message_of("a\nb\r\x1b[31mred"), "a?b??[31mred");
    assert_string_equal(message_of("caf\xc3\xa9 \xf0\x9f\x98\x80"), "caf\xc3\xa9 \xf0\x9f\x98\x80");
    /* C1 controls, line separator, right-to-left override: as many marks as bytes */
    assert_string_equal(message_of("a\xc2\x9b\x62"), "a??b");
    assert_string_equal(message_of("a\xe2\x80\xa8\x62\xe2\x80\xae\x63"), "a???b???c");
}

static void broken_utf8_in_messages_is_replaced(void **state) {
    (void)state;
    assert_string_equal(message_of("\xff\xfe name"), "?? name");
    assert_string_equal(message_of("a\xc3"), "a?");
    assert_string_equal(message_of("\xc0\xaf"), "??");               /* overlong */
    assert_string_equal(message_of("\xed\xa0\x80"), "???");          /* surrogate */
    assert_string_equal(message_of("\xf4\x90\x80\x80 b"), "???? b"); /* beyond U+10FFFF */
}

/* A long message of characters of n bytes, behind an offset that moves where the cut falls. */
static void check_cut(const char *character, size_t offset) {
    enum { ROOM = sizeof(ds4_error) - 1 };
    char text[2 * sizeof(ds4_error)];
    size_t n_bytes = strlen(character), whole = (ROOM - offset) / n_bytes;
    memset(text, '-', offset);
    for (size_t at = offset; at + n_bytes < sizeof text; at += n_bytes) memcpy(text + at, character, n_bytes + 1);
    const char *message = message_of(text);
    assert_int_equal(strlen(message), offset + whole * n_bytes);
    assert_memory_equal(message, text, offset + whole * n_bytes);
}

static void long_messages_are_cut_at_a_character(void **state) {
    (void)state;
    for (size_t offset = 0; offset < 8; offset++) {
        check_cut("a", offset);
        check_cut("\xc3\xa9", offset);
        check_cut("\xe2\x82\xac", offset);
        check_cut("\xf0\x9f\x98\x80", offset);
    }
    char text[2 * sizeof(ds4_error)];
    memset(text, 0x80, sizeof text); /* nothing but broken bytes */
    text[sizeof text - 1] = '\0';
    const char *message = message_of(text);
    assert_int_equal(strlen(message), sizeof(ds4_error) - 1);
    assert_int_equal(strspn(message, "?"), sizeof(ds4_error) - 1);
}

static void errors_may_be_ignored(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, DS4_ERROR_IO, "%d", 1), DS4_ERROR_IO);
    assert_int_equal(error_memory(NULL, "rows", 1), DS4_ERROR_MEMORY);
    ds4_error error;
    assert_int_equal(error_memory(&error, "rows", 12), DS4_ERROR_MEMORY);
    assert_string_equal(error.message, "rows: no memory for 12 bytes");
}

static void problems_are_collected_or_become_the_error(void **state) {
    (void)state;
    ds4_error error;
    assert_int_equal(problem_add(NULL, &error, "key %d\n", 1), DS4_ERROR_FORMAT);
    assert_string_equal(error.message, "key 1?");
    problem_list problems = {0};
    for (int i = 0; i < PROBLEM_LIST_MAX + 5; i++) assert_ok(problem_add(&problems, &error, "key\t%d", i), &error);
    assert_int_equal(problems.n, PROBLEM_LIST_MAX);
    assert_int_equal(problems.n_dropped, 5);
    assert_string_equal(problems.text[0], "key?0");
    assert_string_equal(problems.text[PROBLEM_LIST_MAX - 1], "key?999");
    problem_list_deinit(&problems);
    assert_int_equal(problems.n, 0);
}

/* ---- half precision ---- */

static void every_half_has_the_value_of_its_bits(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x8000; half++) {
        int exponent = (int)(half >> 10), fraction = half & 0x3ff;
        float positive = half_to_float((uint16_t)half), negative = half_to_float((uint16_t)(half | 0x8000));
        if (exponent == 31 && fraction) {
            assert_true(isnan(positive) && isnan(negative));
            continue;
        }
        double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31) value = INFINITY;
        assert_true((double)positive == value && (double)negative == -value);
        assert_true(!signbit(positive) && signbit(negative));
    }
}

static void every_half_survives_the_way_through_float(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        bool nan = (half & 0x7fff) > 0x7c00;
        assert_int_equal(half_from_float(half_to_float((uint16_t)half)), nan ? (half & 0x8000) | 0x7e00 : half);
    }
}

static void floats_round_to_the_nearest_half_and_ties_to_even(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float low = half_to_float((uint16_t)half);
        /* above the largest half, what would be the next one counts */
        float high = half == 0x7bff ? 65536.0f : half_to_float((uint16_t)(half + 1)), middle = (low + high) / 2;
        assert_int_equal(half_from_float(nextafterf(middle, 0)), half);
        assert_int_equal(half_from_float(middle), half + (half & 1));
        assert_int_equal(half_from_float(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(half_from_float(-middle), 0x8000 | (half + (half & 1)));
    }
    assert_int_equal(half_from_float(0x1p-149f), 0);
    assert_int_equal(half_from_float(3e38f), 0x7c00);
    assert_int_equal(half_from_float(-INFINITY), 0xfc00);
}

/* ---- UTF-8 ---- */

static void every_code_point_survives_encoding(void **state) {
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        if (code_point >= 0xd800 && code_point <= 0xdfff) continue;
        char bytes[5] = {0, 0, 0, 0, (char)0x80};
        uint32_t decoded = UINT32_MAX;
        size_t n_bytes = utf8_encode(code_point, bytes);
        size_t expected = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
        assert_true(n_bytes == expected);
        assert_true(utf8_decode(bytes, n_bytes, &decoded) == n_bytes && decoded == code_point);
        assert_true(utf8_decode(bytes, 5, &decoded) == n_bytes && decoded == code_point);
        for (size_t cut = 0; cut < n_bytes; cut++) assert_true(utf8_decode(bytes, cut, &decoded) == 0);
    }
}

/* Every accepted code point encodes back to the bytes it came from, and there are as many as there should be. */
static void nothing_else_is_accepted_as_utf8(void **state) {
    (void)state;
    size_t count[5] = {0};
    for (uint32_t bits = 0; bits < 1 << 24; bits++) {
        char bytes[4] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits, (char)0x80}, back[4];
        uint32_t code_point = 0;
        size_t n_bytes = utf8_decode(bytes, 4, &code_point);
        count[n_bytes]++;
        if (n_bytes && (utf8_encode(code_point, back) != n_bytes || memcmp(bytes, back, n_bytes) != 0))
            fail_msg("%06x: U+%04X", bits, code_point);
    }
    assert_int_equal(count[1], 0x80 << 16);
    assert_int_equal(count[2], 0x780 << 8);
    assert_int_equal(count[3], 0x10000 - 0x800 - 0x800);
    assert_int_equal(count[4], 0x100000 >> 6);
}

/* ---- memory ---- */

static void arrays_grow_and_keep_their_content(void **state) {
    (void)state;
    int *data = NULL;
    size_t capacity = 0;
    for (size_t n = 0; n < 1000; n++) {
        assert_true(array_reserve((void **)&data, &capacity, n + 1, sizeof *data));
        assert_true(capacity >= n + 1);
        data[n] = (int)n;
    }
    for (size_t n = 0; n < 1000; n++) assert_int_equal(data[n], n);
    assert_true(capacity < 3000);
    free(data);
}

static void sizes_that_overflow_leave_the_array_as_it_was(void **state) {
    (void)state;
    uint64_t *data = NULL;
    size_t capacity = 0;
    assert_true(array_reserve((void **)&data, &capacity, 10, sizeof *data));
    uint64_t *before = data;
    size_t capacity_before = capacity;
    static const size_t too_many[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 8 + 1};
    for (size_t i = 0; i < 3; i++) {
        assert_false(array_reserve((void **)&data, &capacity, too_many[i], sizeof *data));
        assert_ptr_equal(data, before);
        assert_int_equal(capacity, capacity_before);
    }
    free(data);

    ds4_buffer buffer = {0};
    assert_true(buffer_append_string(&buffer, "abc"));
    assert_false(buffer_append(&buffer, "x", SIZE_MAX));
    assert_false(buffer_append(&buffer, "x", SIZE_MAX - 3)); /* the NUL would not fit */
    assert_int_equal(buffer.n_bytes, 3);
    assert_string_equal(buffer.data, "abc");
    ds4_buffer_deinit(&buffer);
}

static void buffers_end_with_a_nul(void **state) {
    (void)state;
    ds4_buffer buffer = {0};
    buffer_clear(&buffer);
    for (size_t n = 1; n < 300; n++) {
        assert_true(buffer_append(&buffer, "\0", 1));
        assert_true(buffer_append(&buffer, NULL, 0));
        assert_int_equal(buffer.n_bytes, n);
        assert_int_equal(buffer.data[n], 0);
    }
    buffer_clear(&buffer);
    assert_string_equal(buffer.data, "");
    ds4_buffer_deinit(&buffer);
    assert_null(buffer.data);
}

/* ---- threads ---- */

enum { MAX_TASKS = 3000, MAX_THREADS = 8 };

struct tally {
    int n_threads;
    atomic_int runs[MAX_TASKS];
    atomic_int in_use[MAX_THREADS];
    atomic_int n_wrong;
};

static void count_task(void *context, size_t task, int thread) {
    struct tally *tally = context;
    if (thread < 0 || thread >= tally->n_threads) {
        atomic_fetch_add(&tally->n_wrong, 1);
        return;
    }
    /* a thread's scratch memory is nobody else's */
    if (atomic_fetch_add(&tally->in_use[thread], 1) != 0) atomic_fetch_add(&tally->n_wrong, 1);
    atomic_fetch_add(&tally->runs[task], 1);
    if (task % 8 == 0) sched_yield(); /* lets the others in while this one is at work */
    atomic_fetch_sub(&tally->in_use[thread], 1);
}

static void every_task_runs_once_on_a_thread_of_its_own(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 64, MAX_TASKS};
    static struct tally tally;
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        thread_pool *pool = NULL;
        ds4_error error;
        assert_ok(thread_pool_new(n_threads, &pool, &error), &error);
        assert_int_equal(thread_pool_n_threads(pool), n_threads);
        for (int repeat = 0; repeat < 20; repeat++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                memset(&tally, 0, sizeof tally);
                tally.n_threads = n_threads;
                thread_pool_run(pool, sizes[s], count_task, &tally);
                for (size_t i = 0; i < MAX_TASKS; i++) assert_true(tally.runs[i] == (i < sizes[s]));
                assert_int_equal(tally.n_wrong, 0);
            }
        thread_pool_free(pool);
    }
    thread_pool_free(NULL);
    assert_true(processor_count() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_one_line_without_control_characters),
        cmocka_unit_test(broken_utf8_in_messages_is_replaced),
        cmocka_unit_test(long_messages_are_cut_at_a_character),
        cmocka_unit_test(errors_may_be_ignored),
        cmocka_unit_test(problems_are_collected_or_become_the_error),
        cmocka_unit_test(every_half_has_the_value_of_its_bits),
        cmocka_unit_test(every_half_survives_the_way_through_float),
        cmocka_unit_test(floats_round_to_the_nearest_half_and_ties_to_even),
        cmocka_unit_test(every_code_point_survives_encoding),
        cmocka_unit_test(nothing_else_is_accepted_as_utf8),
        cmocka_unit_test(arrays_grow_and_keep_their_content),
        cmocka_unit_test(sizes_that_overflow_leave_the_array_as_it_was),
        cmocka_unit_test(buffers_end_with_a_nul),
        cmocka_unit_test(every_task_runs_once_on_a_thread_of_its_own),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
