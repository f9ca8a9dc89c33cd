/* The exact CPU path against the golden logits, for every way of cutting the prompt. */
#include "test.h"

#include "support/golden.h"

#include <stdio.h>

static const char *const MODELS[] = {"tiny-a-f", "tiny-a-q2", "tiny-a-q4", "tiny-b-q2"};
static const char *const PROMPTS[] = {"p0001", "p0005", "p0127", "p0128", "p0129", "p0130", "p0200", "p0700", "p1500"};
static const int CHUNKS[] = {0, 1, 3, 4, 127, 128, 129, 512}; /* 0: whole */
enum { N_MODELS = 4, N_PROMPTS = 9, N_CHUNKS = 8 };

static void logits_match_the_reference(void **state) {
    golden_check(*state, PROMPTS, N_PROMPTS);
}

int main(void) {
    static golden_case cases[N_MODELS * 2 * N_CHUNKS];
    static char name[N_MODELS * 2 * N_CHUNKS][96];
    static struct CMUnitTest tests[N_MODELS * 2 * N_CHUNKS];
    int n = 0;
    for (int m = 0; m < N_MODELS; m++)
        for (int qat = 0; qat < 2; qat++)
            for (int k = 0; k < N_CHUNKS; k++, n++) {
                cases[n] = (golden_case){NULL, MODELS[m], qat ? "qat" : "pure", CHUNKS[k]};
                char cut[32] = "whole";
                if (CHUNKS[k]) snprintf(cut, sizeof cut, "in_chunks_of_%d", CHUNKS[k]);
                snprintf(name[n], sizeof name[n], "%s_%s_prompts_%s_match_the_reference", MODELS[m], cases[n].mode,
                         cut);
                tests[n] = (struct CMUnitTest){
                    .name = name[n], .test_func = logits_match_the_reference, .initial_state = &cases[n]};
            }
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
