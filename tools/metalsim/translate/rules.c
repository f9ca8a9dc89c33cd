/*
 * What can be refused by looking at words. The rest is refused by clang, whose OpenCL C++ front-end shares much of
 * its ancestry with Apple's compiler, or by check_ast, which reads clang's syntax tree.
 */
#include "translation.h"

#include <stdlib.h>
#include <string.h>

static const struct word {
    const char *text, *why;
} WORD[] = {
    {"double", "'double' is not supported in Metal"},
    {"goto", "'goto' is not supported in Metal"},
    {"new", "'new' is not supported in Metal"},
    {"virtual", "'virtual' is not supported in Metal"},
    {"dynamic_cast", "'dynamic_cast' is not supported in Metal"},
    {"typeid", "'typeid' is not supported in Metal"},
    {"thread_local", "'thread_local' is not supported in Metal"},
    {"asm", "'asm' is not supported in Metal"},
    {"try", "'try' is not supported in Metal"},
    {"throw", "'throw' is not supported in Metal"},
    {"noexcept", "'noexcept' is not supported in Metal"},
    {"register", "'register' is not supported in Metal"},
    {"restrict", "'restrict' is not a word of Metal: leave it out"},
    {"union", "unions: sources disagree whether Metal has them; use as_type"},
    {"bfloat", "'bfloat' needs language 3.1 and is not modelled: convert with shifts"},
    {"vertex", "'vertex' is a word of Metal"},
    {"fragment", "'fragment' is a word of Metal"},
    {"stitchable", "'stitchable' is a word of Metal"},
    {"sampler", "samplers and textures are not modelled"},
    {"texture2d", "samplers and textures are not modelled"},
    {"__global", "OpenCL's name of an address space"},
    {"__local", "OpenCL's name of an address space"},
    {"__constant", "OpenCL's name of an address space"},
    {"__private", "OpenCL's name of an address space"},
    {"__generic", "OpenCL's name of an address space"},
    {"__kernel", "OpenCL's name of a kernel"},
};

static void check_word(struct translation *t, int index) {
    for (size_t i = 0; i < sizeof WORD / sizeof *WORD; i++)
        if (token_is(&t->tokens, index, WORD[i].text)) translation_error(t, index, "%s", WORD[i].why);
    if (token_is(&t->tokens, index, "delete") && !token_is(&t->tokens, index - 1, "="))
        translation_error(t, index, "'delete' is not supported in Metal");
    if (token_is(&t->tokens, index, "long") && token_is(&t->tokens, index + 1, "long"))
        translation_error(t, index, "'long long' is not supported in Metal: long has 64 bits");
}

/* float8, half16: OpenCL has them. */
static bool is_wide_vector(const struct translation *t, int index) {
    static const char *const ELEMENT[] = {"float",  "half", "int",   "uint", "short",
                                          "ushort", "char", "uchar", "long", "ulong"};
    const struct token *token = &t->tokens.token[index];
    for (size_t i = 0; i < sizeof ELEMENT / sizeof *ELEMENT; i++) {
        size_t length = strlen(ELEMENT[i]);
        if ((size_t)token->length <= length || memcmp(token->text, ELEMENT[i], length) != 0) continue;
        size_t rest = (size_t)token->length - length;
        if ((rest == 1 && token->text[length] == '8') || (rest == 2 && memcmp(token->text + length, "16", 2) == 0))
            return true;
    }
    return false;
}

/* (float4)(a, b, c, d): a vector literal in OpenCL, the comma operator in C++. */
static void check_vector_literal(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    if (!token_is(tokens, index, "(") || !is_vector_type(t, index + 1) || !token_is(tokens, index + 2, ")") ||
        !token_is(tokens, index + 3, "("))
        return;
    int end = tokens_skip_group(tokens, index + 3) - 1;
    for (int i = index + 4; i < end; i++) {
        if (token_is(tokens, i, "(") || token_is(tokens, i, "[")) i = tokens_skip_group(tokens, i) - 1;
        if (token_is(tokens, i, ",")) {
            translation_error(t, index, "a vector literal of OpenCL: write float4(a, b, c, d)");
            return;
        }
    }
}

/* struct A : B */
static void check_base_class(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    if ((token_is(tokens, index, "struct") || token_is(tokens, index, "class")) &&
        token_is_identifier(tokens, index + 1) && token_is(tokens, index + 2, ":"))
        translation_error(t, index, "derived classes are not supported in Metal");
}

static void check_main(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    if (token_is(tokens, index, "main") && token_is(tokens, index + 1, "("))
        translation_error(t, index, "a function cannot be called 'main'");
}

void rules_check(struct translation *t) {
    for (int i = 0; i < t->tokens.n; i++) {
        if (token_is_identifier(&t->tokens, i)) {
            check_word(t, i);
            check_base_class(t, i);
            check_main(t, i);
            if (is_wide_vector(t, i)) translation_error(t, i, "vectors have at most 4 elements in Metal");
        }
        check_vector_literal(t, i);
    }
}
