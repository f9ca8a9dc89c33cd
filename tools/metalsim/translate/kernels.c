/*
 * Kernels: their parameters, attributes and instantiations. C++ knows none of this, so the attributes are taken
 * out of the text and become a table; the rules that Apple's compiler has for them are checked here.
 */
#include "translation.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* How a built-in value may be declared. */
enum shape {
    SHAPE_INDEXED, /* [[name(n)]]: a resource */
    SHAPE_VECTOR,  /* scalar or vector; all such parameters of a kernel have one width */
    SHAPE_SCALAR,
};

static const struct attribute {
    const char *name;
    const char *kind; /* enum sim_parameter_kind */
    enum shape shape;
} ATTRIBUTE[] = {
    {"buffer", "SIM_BUFFER", SHAPE_INDEXED},
    {"threadgroup", "SIM_THREADGROUP_MEMORY", SHAPE_INDEXED},
    {"thread_position_in_grid", "SIM_THREAD_IN_GRID", SHAPE_VECTOR},
    {"threads_per_grid", "SIM_THREADS_PER_GRID", SHAPE_VECTOR},
    {"thread_position_in_threadgroup", "SIM_THREAD_IN_GROUP", SHAPE_VECTOR},
    {"threads_per_threadgroup", "SIM_THREADS_PER_GROUP", SHAPE_VECTOR},
    {"dispatch_threads_per_threadgroup", "SIM_THREADS_PER_GROUP", SHAPE_VECTOR},
    {"threadgroup_position_in_grid", "SIM_GROUP_IN_GRID", SHAPE_VECTOR},
    {"threadgroups_per_grid", "SIM_GROUPS_PER_GRID", SHAPE_VECTOR},
    {"thread_index_in_threadgroup", "SIM_THREAD_INDEX", SHAPE_SCALAR},
    {"simdgroup_index_in_threadgroup", "SIM_SIMDGROUP_INDEX", SHAPE_SCALAR},
    {"thread_index_in_simdgroup", "SIM_LANE", SHAPE_SCALAR},
    {"simdgroups_per_threadgroup", "SIM_SIMDGROUPS_PER_GROUP", SHAPE_SCALAR},
    {"threads_per_simdgroup", "SIM_SIMD_WIDTH", SHAPE_SCALAR},
    {"thread_execution_width", "SIM_SIMD_WIDTH", SHAPE_SCALAR},
};

/* One parameter as it stands in the text: tokens [begin, end). */
struct parameter {
    int begin, end;
    int attribute_begin, attribute_end; /* the [[...]]; begin is -1 without one */
    bool is_pointer;                    /* or a reference */
    const char *address_space;          /* "" for none */
};

/* What the parameters of one kernel have used so far. */
struct signature {
    unsigned buffers, threadgroups; /* bit sets of indices */
    int width;                      /* of its position and size parameters; 0: none yet */
    int width_token;
};

static const struct attribute *find_attribute(const struct translation *t, int index) {
    for (size_t i = 0; i < sizeof ATTRIBUTE / sizeof *ATTRIBUTE; i++)
        if (token_is(&t->tokens, index, ATTRIBUTE[i].name)) return &ATTRIBUTE[i];
    return NULL;
}

bool kernel_is_parameter_attribute(const struct translation *t, int index) {
    return find_attribute(t, index) != NULL;
}

static struct parameter read_parameter(const struct translation *t, int begin, int limit) {
    static const char *const SPACES[] = {"device", "constant", "threadgroup", "thread"};
    const struct token_list *tokens = &t->tokens;
    struct parameter p = {.begin = begin, .attribute_begin = -1, .address_space = ""};
    int angles = 0, i = begin;
    while (i < limit && (!token_is(tokens, i, ",") || angles)) {
        if (token_is(tokens, i, "[[")) {
            if (p.attribute_begin < 0) p.attribute_begin = i;
            i = p.attribute_end = tokens_skip_group(tokens, i);
            continue;
        }
        if (token_is(tokens, i, "(")) {
            i = tokens_skip_group(tokens, i);
            continue;
        }
        if (token_is(tokens, i, "<")) angles++;
        if (token_is(tokens, i, ">")) angles--;
        if (token_is(tokens, i, "*") || token_is(tokens, i, "&")) p.is_pointer = true;
        for (size_t s = 0; s < sizeof SPACES / sizeof *SPACES; s++)
            if (token_is(tokens, i, SPACES[s])) p.address_space = SPACES[s];
        i++;
    }
    p.end = i;
    return p;
}

/* Elements of a uint or ushort type, or 0 if the parameter has another type. */
static int builtin_width(const struct translation *t, const struct parameter *p) {
    static const char *const NAME[] = {"uint", "ushort", "uint32_t", "uint16_t"};
    for (int i = p->begin; i < p->end; i++)
        for (size_t k = 0; k < sizeof NAME / sizeof *NAME; k++) {
            if (token_is(&t->tokens, i, NAME[k])) return 1;
            const struct token *token = &t->tokens.token[i];
            size_t length = strlen(NAME[k]);
            if (k < 2 && token->length == (int)length + 1 && memcmp(token->text, NAME[k], length) == 0 &&
                token->text[length] >= '2' && token->text[length] <= '4')
                return token->text[length] - '0';
        }
    return 0;
}

static void check_builtin(struct translation *t, const char *kernel, const struct parameter *p,
                          const struct attribute *attribute, struct signature *signature) {
    if (p->is_pointer) {
        translation_error(t, p->begin, "kernel %s: [[%s]] must be a value", kernel, attribute->name);
        return;
    }
    int width = builtin_width(t, p);
    if (width == 0) {
        translation_error(t, p->begin, "kernel %s: [[%s]] must be uint or ushort, or a vector of them", kernel,
                          attribute->name);
    } else if (attribute->shape == SHAPE_SCALAR) {
        if (width != 1) translation_error(t, p->begin, "kernel %s: [[%s]] is a scalar", kernel, attribute->name);
    } else if (signature->width == 0) {
        signature->width = width;
    } else if (signature->width != width) {
        translation_error(t, p->begin, "kernel %s: positions and sizes must be all scalars or all vectors of one width",
                          kernel);
    }
}

static void check_index(struct translation *t, const char *kernel, const struct parameter *p, const char *what,
                        const char *index, unsigned *used) {
    if (!isdigit((unsigned char)index[0])) return; /* a template argument: the compiler knows, not we */
    int n = atoi(index);
    if (n > MAX_BUFFER_INDEX) {
        translation_error(t, p->begin, "kernel %s: %s index %d, the limit is %d", kernel, what, n, MAX_BUFFER_INDEX);
    } else if (*used >> n & 1) {
        translation_error(t, p->begin, "kernel %s: %s index %d used twice", kernel, what, n);
    } else {
        *used |= 1u << n;
    }
}

static bool in_space(const struct parameter *p, const char *space) {
    return strcmp(p->address_space, space) == 0;
}

static void check_resource(struct translation *t, const char *kernel, const struct parameter *p,
                           const struct attribute *attribute, const char *index, struct signature *signature) {
    if (strcmp(attribute->name, "buffer") == 0) {
        if (!p->is_pointer || !(in_space(p, "device") || in_space(p, "constant")))
            translation_error(t, p->begin, "kernel %s: [[buffer]] must be a device or constant pointer or reference",
                              kernel);
        check_index(t, kernel, p, "buffer", index, &signature->buffers);
    } else {
        if (!p->is_pointer || !in_space(p, "threadgroup"))
            translation_error(t, p->begin, "kernel %s: [[threadgroup]] must be a threadgroup pointer", kernel);
        check_index(t, kernel, p, "threadgroup", index, &signature->threadgroups);
    }
}

/* Says why a parameter without an attribute is refused. */
static void report_missing_attribute(struct translation *t, const char *kernel, const struct parameter *p) {
    char *text = tokens_join(&t->tokens, p->begin, p->end);
    if (p->is_pointer && in_space(p, "threadgroup"))
        translation_error(t, p->begin, "kernel %s: %s must have the attribute threadgroup", kernel, text);
    else if (p->is_pointer)
        translation_error(t, p->begin, "kernel %s: %s must have the attribute buffer", kernel, text);
    else
        translation_error(t, p->begin, "kernel %s: invalid type for an input: %s", kernel, text);
    free(text);
}

/* Checks one parameter, writes it without its attribute, returns its line of the table. */
static char *rewrite_parameter(struct translation *t, const char *kernel, const struct parameter *p,
                               struct signature *signature) {
    const struct attribute *attribute = NULL;
    char *index = string_format("0");
    if (p->attribute_begin < 0) {
        report_missing_attribute(t, kernel, p);
    } else {
        int name = p->attribute_begin + 1;
        attribute = find_attribute(t, name);
        if (!attribute) {
            char *text = token_string(t, name);
            translation_error(t, name, "kernel %s: unknown attribute [[%s]]", kernel, text);
            free(text);
        } else if (attribute->shape != SHAPE_INDEXED) {
            check_builtin(t, kernel, p, attribute, signature);
        } else if (!token_is(&t->tokens, name + 1, "(")) {
            translation_error(t, name, "kernel %s: [[%s]] needs an index", kernel, attribute->name);
        } else {
            free(index);
            index = tokens_join(&t->tokens, name + 2, tokens_skip_group(&t->tokens, name + 1) - 1);
            check_resource(t, kernel, p, attribute, index, signature);
        }
    }
    out_tokens(t, p->begin, p->attribute_begin < 0 ? p->end : p->attribute_begin);
    if (p->attribute_begin >= 0) out_tokens(t, p->attribute_end, p->end);
    char *line = string_format("{%s, %s}, ", attribute ? attribute->kind : "SIM_BUFFER", index);
    free(index);
    return line;
}

/* The parameter list whose ( is at index; returns the token after its ). */
static int rewrite_parameters(struct translation *t, int index, struct kernel *kernel) {
    int end = tokens_skip_group(&t->tokens, index);
    struct signature signature = {0};
    char *table = string_format("%s", "");
    out_bytes(t, "(", 1);
    for (int i = index + 1; i < end - 1;) {
        struct parameter p = read_parameter(t, i, end - 1);
        char *line = rewrite_parameter(t, kernel->name, &p, &signature);
        char *longer = string_format("%s%s", table, line);
        free(line);
        free(table);
        table = longer;
        kernel->n_parameters++;
        if (p.end < end - 1) out_bytes(t, ",", 1);
        i = p.end + 1;
    }
    out_bytes(t, ")", 1);
    kernel->parameters = table;
    return end;
}

static int find_kernel(const struct translation *t, const char *name) {
    for (int i = 0; i < t->n_kernels; i++)
        if (strcmp(t->kernel[i].name, name) == 0) return i;
    return -1;
}

static void add_instance(struct translation *t, char *host_name, char *function, int kernel) {
    t->instance = realloc(t->instance, ((size_t)t->n_instances + 1) * sizeof *t->instance);
    if (!t->instance) abort();
    t->instance[t->n_instances++] = (struct instance){host_name, function, kernel};
}

static void forget_attributes(struct translation *t) {
    free(t->host_name);
    free(t->max_threads);
    t->host_name = t->max_threads = NULL;
}

/* kernel void NAME(...) ;  or  { ;  a template if a head stood before it. */
int kernel_declaration(struct translation *t, int index) {
    int open = tokens_find(&t->tokens, index, "(");
    t->kernel = realloc(t->kernel, ((size_t)t->n_kernels + 1) * sizeof *t->kernel);
    if (!t->kernel) abort();
    int number = t->n_kernels++;
    struct kernel *kernel = &t->kernel[number];
    *kernel = (struct kernel){
        .name = token_string(t, open - 1),
        .max_threads = string_format("%s", t->max_threads ? t->max_threads : "1024"),
        .threadgroup_bytes = t->in_template ? NULL : string_format("0"),
        .is_template = t->in_template,
    };
    if (!token_is(&t->tokens, index + 1, "void"))
        translation_error(t, index, "kernel %s must return void", kernel->name);
    if (t->strict && !t->in_template) out_bytes(t, "MSL_KERNEL ", strlen("MSL_KERNEL "));
    out_tokens(t, index + 1, open);
    int next = rewrite_parameters(t, open, kernel);
    if (token_is(&t->tokens, next, "[["))
        translation_error(t, next, "kernel %s: attribute after the parameters: it cannot be applied to types",
                          kernel->name);
    out_line_marker(t, next);
    if (token_is(&t->tokens, next, "{")) {
        t->kernel_body = number;
        t->body_begin = next;
        if (!t->in_template)
            add_instance(t, t->host_name ? string_format("%s", t->host_name) : string_format("\"%s\"", kernel->name),
                         string_format("%s", kernel->name), number);
    }
    forget_attributes(t);
    t->in_template = t->instantiating = false;
    return next;
}

/* The token of the kernel's name in  NAME<...>  that ends before end, and the end of its arguments. */
static int instantiated_name(const struct translation *t, int begin, int end) {
    int depth = 0;
    for (int i = end - 1; i > begin; i--) {
        if (token_is(&t->tokens, i, ">")) depth++;
        if (token_is(&t->tokens, i, "<") && --depth == 0) return i - 1;
    }
    return end - 1;
}

/* template [[host_name("x")]] kernel decltype(f<int>) f<int>;  or  ... kernel void f<int>(device int *x [[...]]); */
int kernel_instantiation(struct translation *t, int index) {
    int semicolon = tokens_find(&t->tokens, index, ";"), end = semicolon;
    bool has_parameters = token_is(&t->tokens, semicolon - 1, ")") && token_is(&t->tokens, index + 1, "void");
    if (has_parameters) {
        end = index + 1;
        while (end < semicolon && !token_is(&t->tokens, end, "("))
            end = token_is(&t->tokens, end, "<") ? tokens_skip_angles(&t->tokens, end) : end + 1;
    }
    int name = instantiated_name(t, index, end);
    char *text = token_string(t, name);
    int kernel = find_kernel(t, text);
    if (kernel < 0) translation_error(t, index, "instantiation of an unknown kernel %s", text);
    if (!t->host_name) translation_error(t, index, "kernel template %s is instantiated without [[host_name]]", text);
    if (kernel >= 0 && t->host_name)
        add_instance(t, string_format("%s", t->host_name), tokens_join(&t->tokens, name, end), kernel);
    out_tokens(t, index + 1, end);
    if (has_parameters) {
        struct kernel unused = {.name = text};
        rewrite_parameters(t, end, &unused);
        free(unused.parameters);
    }
    out_bytes(t, ";", 1);
    free(text);
    forget_attributes(t);
    t->instantiating = false;
    out_line_marker(t, semicolon + 1);
    return semicolon + 1;
}

void kernel_table(struct translation *t) {
    out_format(t, "\n#pragma clang diagnostic ignored \"-Wunused\"\n");
    for (int i = 0; i < t->n_kernels; i++)
        out_format(t, "SIM_PARAMETERS(%d) = {%s{0, 0}};\n", i, t->kernel[i].parameters);
    for (int i = 0; i < t->n_instances; i++) {
        const struct instance *instance = &t->instance[i];
        out_format(t, "SIM_RUN(%d, %d, %.*s, %s)\n", i, instance->kernel, (int)strlen(instance->host_name) - 2,
                   instance->host_name + 1, instance->function);
    }
    out_format(t, "SIM_TABLE_BEGIN\n");
    for (int i = 0; i < t->n_instances; i++) {
        const struct instance *instance = &t->instance[i];
        const struct kernel *kernel = &t->kernel[instance->kernel];
        out_format(t, "SIM_ENTRY(%d, %d, %s, %d, %s, %s)\n", i, instance->kernel, instance->host_name,
                   kernel->n_parameters, kernel->max_threads,
                   kernel->threadgroup_bytes ? kernel->threadgroup_bytes : "0");
    }
    out_format(t, "SIM_TABLE_END\n");
}
