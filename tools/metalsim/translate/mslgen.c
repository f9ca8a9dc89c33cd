/*
 * mslgen: turns preprocessed MSL into C++ that clang can compile.
 *
 *     clang -E -DMSL_PREPROCESS -I shim x.metal | mslgen [--strict] >x.cpp
 *
 * It does what macros cannot:
 *   - finds the kernels, plain or as instantiations of templates with [[host_name]], takes the [[attributes]] off
 *     their parameters, and writes the table from which the executor binds (kernels.c);
 *   - turns  threadgroup T x[N];  into a reference into the threadgroup's memory, function constants into objects,
 *     and casts that MSL treats as conversions into calls (rewrite.c);
 *   - refuses what Apple's compiler refuses and clang accepts (rules.c; only with --strict).
 * With --strict there is no table: the output is for `clang -x clcpp -fsyntax-only`.
 */
#include "translation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(FILE *file) {
    size_t capacity = 1 << 20, length = 0, n;
    char *text = malloc(capacity + 1);
    if (!text) abort();
    while ((n = fread(text + length, 1, capacity - length, file)) > 0) {
        length += n;
        if (length < capacity) continue;
        capacity *= 2;
        text = realloc(text, capacity + 1);
        if (!text) abort();
    }
    text[length] = '\0';
    return text;
}

int main(int argc, char **argv) {
    bool strict = argc == 2 && strcmp(argv[1], "--strict") == 0;
    if (argc > 1 && !strict) {
        fprintf(stderr, "usage: mslgen [--strict] <preprocessed.metal >out.cpp\n");
        return 2;
    }
    struct translation t = {.strict = strict, .kernel_body = -1};
    char *text = read_all(stdin);
    tokens_read(&t.tokens, text);
    if (strict) rules_check(&t);
    rewrite_all(&t);
    if (!strict) kernel_table(&t);
    fwrite(t.out, 1, t.out_length, stdout);
    return t.n_errors != 0;
}
