/* The pass over the text. What is not recognised is copied with its white space, so that lines and columns stay. */
#include "translation.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Replaced text keeps its number of lines. */
static void out_newlines(struct translation *t, int begin, int end) {
    for (int i = begin + 1; i <= end && i < t->tokens.n; i++)
        for (int line = t->tokens.token[i - 1].line; line < t->tokens.token[i].line; line++) out_bytes(t, "\n", 1);
}

bool is_vector_type(const struct translation *t, int index) {
    static const char *const ELEMENT[] = {"float",  "half", "int",   "uint", "short",
                                          "ushort", "char", "uchar", "long", "ulong"};
    if (!token_is_identifier(&t->tokens, index)) return false;
    const struct token *token = &t->tokens.token[index];
    for (size_t i = 0; i < sizeof ELEMENT / sizeof *ELEMENT; i++) {
        size_t length = strlen(ELEMENT[i]);
        if (token->length == (int)length + 1 && memcmp(token->text, ELEMENT[i], length) == 0 &&
            token->text[length] >= '2' && token->text[length] <= '4')
            return true;
    }
    return false;
}

bool is_type_parameter(const struct translation *t, int index) {
    for (int i = 0; i < t->n_type_parameters; i++)
        if (token_same(&t->tokens, index, t->type_parameter[i])) return true;
    return false;
}

/* Notes what a template head declares; the head itself is copied. */
static void read_template_head(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    t->n_type_parameters = 0;
    t->in_template = token_is(tokens, index + 1, "<");
    t->instantiating = !t->in_template;
    if (!t->in_template) return;
    int end = tokens_skip_angles(tokens, index + 1);
    for (int i = index + 1; i < end; i++)
        if ((token_is(tokens, i, "typename") || token_is(tokens, i, "class")) &&
            t->n_type_parameters < MAX_TEMPLATE_PARAMETERS)
            t->type_parameter[t->n_type_parameters++] = i + 1;
}

/* [[...]] outside of a kernel's parameters: remembered for the kernel that follows, else dropped. */
static int rewrite_attribute(struct translation *t, int index) {
    static const char *const HARMLESS[] = {"clang", "unroll", "likely", "unlikely", "maybe_unused"};
    const struct token_list *tokens = &t->tokens;
    int name = index + 1, end = tokens_skip_group(tokens, index);
    bool known = kernel_is_parameter_attribute(t, name);
    for (size_t i = 0; i < sizeof HARMLESS / sizeof *HARMLESS; i++) known |= token_is(tokens, name, HARMLESS[i]);
    if (token_is(tokens, name, "host_name")) {
        free(t->host_name);
        t->host_name = token_string(t, name + 2);
    } else if (token_is(tokens, name, "max_total_threads_per_threadgroup")) {
        free(t->max_threads);
        t->max_threads = tokens_join(tokens, name + 2, tokens_skip_group(tokens, name + 1) - 1);
    } else if (!known) {
        char *text = token_string(t, name);
        translation_error(t, index, "unknown attribute [[%s]]", text);
        free(text);
    }
    out_newlines(t, index, end - 1);
    return end;
}

/* constant T NAME [[function_constant(n)]]; */
static int rewrite_function_constant(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    int i = index;
    while (i < tokens->n && !token_is(tokens, i, ";") && !token_is(tokens, i, "=") && !token_is(tokens, i, "{") &&
           !token_is(tokens, i, "[["))
        i++;
    if (!token_is(tokens, i, "[[") || !token_is(tokens, i + 1, "function_constant")) return index;
    char *type = tokens_join(tokens, index + 1, i - 1), *name = token_string(t, i - 1);
    char *number = tokens_join(tokens, i + 3, tokens_skip_group(tokens, i + 2) - 1);
    if (t->strict)
        out_format(t, "extern constant %s %s;", type, name);
    else
        out_format(t, "SIM_FUNCTION_CONSTANT(%s, %s, %s);", number, name, type);
    free(type);
    free(name);
    free(number);
    int semicolon = tokens_find(tokens, i, ";");
    out_newlines(t, index, semicolon);
    return semicolon + 1;
}

/* (half4)x and (T)x: a cast that converts in MSL, and reinterprets or fails in clang. */
static bool is_vector_cast(const struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    if (!token_is(tokens, index, "(") || !token_is(tokens, index + 2, ")")) return false;
    if (!is_vector_type(t, index + 1) && !is_type_parameter(t, index + 1)) return false;
    if (token_is(tokens, index - 1, "sizeof")) return false;
    int operand = index + 3;
    return token_is_identifier(tokens, operand) || token_is(tokens, operand, "(") || token_is(tokens, operand, "*") ||
           (operand < tokens->n && isdigit((unsigned char)tokens->token[operand].text[0]));
}

/* T(x) with a type parameter T, which may be a vector. */
static bool is_generic_construction(const struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    return is_type_parameter(t, index) && token_is(tokens, index + 1, "(") && !token_is(tokens, index + 2, "*") &&
           !token_is(tokens, index + 2, "&") && !token_is(tokens, index - 1, "typename") &&
           !token_is(tokens, index - 1, "::");
}

static bool starts_statement(const struct translation *t, int index) {
    static const char *const BEFORE[] = {"{", "}", ";", ")", ":"};
    int previous = tokens_previous(&t->tokens, index);
    for (size_t i = 0; i < sizeof BEFORE / sizeof *BEFORE; i++)
        if (token_is(&t->tokens, previous, BEFORE[i])) return true;
    return false;
}

/* A name that the kernel itself declares is unknown where the table is written. */
static bool declared_in_body(const struct translation *t, int name, int limit) {
    for (int i = t->body_begin; i < limit; i++) {
        bool declares = token_is(&t->tokens, i + 1, "=") || token_is(&t->tokens, i + 1, ";") ||
                        token_is(&t->tokens, i - 1, "struct");
        if (declares && token_same(&t->tokens, i, name)) return true;
    }
    return false;
}

static void count_threadgroup_bytes(struct translation *t, int begin, int end, const char *type, const char *size) {
    struct kernel *kernel = &t->kernel[t->kernel_body];
    if (!kernel->threadgroup_bytes) return;
    bool known = true;
    for (int i = begin; i < end; i++)
        if (token_is_identifier(&t->tokens, i) && declared_in_body(t, i, begin)) known = false;
    char *sum = known ? string_format("%s + SIM_PADDED(sizeof(%s%s))", kernel->threadgroup_bytes, type, size) : NULL;
    free(kernel->threadgroup_bytes);
    kernel->threadgroup_bytes = sum;
}

/* MSL's compilers of older systems fail on these, so ours does too. */
static bool is_bad_threadgroup_type(const char *type) {
    size_t length = strlen(type);
    bool matrix = length > 3 && type[length - 2] == 'x' && isdigit((unsigned char)type[length - 1]) &&
                  isdigit((unsigned char)type[length - 3]);
    return strcmp(type, "bool") == 0 || (matrix && strncmp(type, "simdgroup_", 10) != 0);
}

/* threadgroup T NAME[N]; becomes a reference into the threadgroup's memory. Pointers are left alone. */
static int rewrite_threadgroup_variable(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    int semicolon = tokens_find(tokens, index, ";"), name = -1;
    for (int i = index + 1; i < semicolon; i++) {
        if (token_is(tokens, i, "<")) {
            i = tokens_skip_angles(tokens, i) - 1;
        } else if (name < 0 && (token_is(tokens, i, "*") || token_is(tokens, i, "&") || token_is(tokens, i, "("))) {
            return index;
        } else if (token_is(tokens, i, "=") || token_is(tokens, i, ",")) {
            translation_error(t, i, "a threadgroup variable has a declaration of its own, without initialiser");
            return index;
        }
        if (name < 0 && (token_is(tokens, i + 1, "[") || token_is(tokens, i + 1, ";"))) name = i;
    }
    if (name < 0) return index;
    if (t->kernel_body < 0) {
        translation_error(t, index, "threadgroup variables are declared in kernels; pass a pointer");
        return index;
    }
    char *type = tokens_join(tokens, index + 1, name), *variable = token_string(t, name);
    char *size = tokens_join(tokens, name + 1, semicolon);
    if (is_bad_threadgroup_type(type))
        translation_error(t, index, "threadgroup %s: use ushort, or arrays of float4", type);
    if (t->strict)
        out_format(t, "threadgroup %s (&%s)%s = *(threadgroup %s (*)%s)0;", type, variable, size, type, size);
    else
        out_format(t, "SIM_THREADGROUP_VARIABLE(%d, %s, %s, %s);", index, variable, size, type);
    count_threadgroup_bytes(t, index + 1, semicolon, type, size);
    free(type);
    free(variable);
    free(size);
    out_newlines(t, index, semicolon);
    return semicolon + 1;
}

/* Keeps count of braces and forgets what ends with a declaration. */
static void follow_scope(struct translation *t, int index) {
    if (token_is(&t->tokens, index, "{")) t->depth++;
    bool closes = token_is(&t->tokens, index, "}");
    if (closes) t->depth--;
    if (t->depth > 0 || !(closes || token_is(&t->tokens, index, ";"))) return;
    t->in_template = t->instantiating = false;
    if (closes) {
        t->kernel_body = -1;
        t->n_type_parameters = 0;
    }
}

/* Writes what replaces the token at index and returns the next one; index itself if nothing does. */
static int rewrite_at(struct translation *t, int index) {
    const struct token_list *tokens = &t->tokens;
    if (token_is(tokens, index, "[[")) return rewrite_attribute(t, index);
    if (t->depth == 0) {
        if (token_is(tokens, index, "kernel") && token_is_identifier(tokens, index + 1))
            return t->instantiating ? kernel_instantiation(t, index) : kernel_declaration(t, index);
        if (token_is(tokens, index, "constant")) return rewrite_function_constant(t, index);
        return index;
    }
    if (is_vector_cast(t, index)) {
        out_format(t, "metal::msl_cast_to<%.*s>() ->*", tokens->token[index + 1].length, tokens->token[index + 1].text);
        return index + 3;
    }
    if (is_generic_construction(t, index)) {
        out_format(t, "metal::msl_construct<%.*s>", tokens->token[index].length, tokens->token[index].text);
        return index + 1;
    }
    if (token_is(tokens, index, "threadgroup") && starts_statement(t, index))
        return rewrite_threadgroup_variable(t, index);
    return index;
}

/* `#pragma unroll (N)` with a macro N, which preprocessing does not replace there. */
static bool is_unroll(const struct translation *t, int index) {
    static const char UNROLL[] = "#pragma unroll";
    const struct token *token = &t->tokens.token[index];
    return token->length >= (int)sizeof UNROLL - 1 && memcmp(token->text, UNROLL, sizeof UNROLL - 1) == 0;
}

void rewrite_all(struct translation *t) {
    const struct token_list *tokens = &t->tokens;
    int i = 0;
    while (i < tokens->n) {
        if (i > 0) {
            const char *gap = tokens->token[i - 1].text + tokens->token[i - 1].length;
            out_bytes(t, gap, (size_t)(tokens->token[i].text - gap));
        }
        if (token_is_directive(tokens, i)) {
            if (!is_unroll(t, i)) out_tokens(t, i, i + 1);
            i++;
            continue;
        }
        follow_scope(t, i);
        if (token_is(tokens, i, "template")) read_template_head(t, i);
        int next = rewrite_at(t, i);
        if (next == i) out_tokens(t, i, ++next);
        i = next;
    }
    out_bytes(t, "\n", 1);
}
