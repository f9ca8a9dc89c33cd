/* The program itself on the simulated GPU: the built-in model answers as on the CPU. */
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_BYTES = 1024 };

static void ask(const char *backend, const char *options, char answer[ANSWER_BYTES]) {
    char command[512];
    snprintf(command, sizeof command, "env DS4_MODEL=nano '%s' --backend %s --temp 0 %s", DS4_BINARY, backend, options);
    FILE *stream = popen(command, "r");
    assert_non_null(stream);
    size_t n = fread(answer, 1, ANSWER_BYTES - 1, stream);
    answer[n] = 0;
    assert_int_equal(pclose(stream), 0);
    assert_true(n > 1);
}

static void answers_are_those_of_the_cpu(void **state) {
    const char *options = *state;
    char expected[ANSWER_BYTES], actual[ANSWER_BYTES];
    ask("cpu", options, expected);
    ask("sim", options, actual);
    assert_string_equal(actual, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"a_sum", answers_are_those_of_the_cpu, NULL, NULL, (void *)"--think off -p 'What is 47 + 38?'"},
        {"a_question_about_ds4", answers_are_those_of_the_cpu, NULL, NULL, (void *)"--think off -p 'What is ds4?'"},
        {"with_reasoning", answers_are_those_of_the_cpu, NULL, NULL, (void *)"-p 'Reverse the word planet.'"},
    };
    return cmocka_run_group_tests_name("gpu answers", tests, NULL, NULL);
}
