/*
 * check_ast: reads clang's dump of the syntax tree and refuses what MSL refuses and OpenCL C++ accepts.
 *
 *     clang -x clcpp ... -Xclang -ast-dump | check_ast
 *
 * One line of the dump is one node; its depth is where its kind starts. A location names the file only if that differs
 * from the last location's, and likewise the line, so all locations are followed. Code of the shim itself is trusted.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 512, MAX_REPORTS = 256 };

/* What is remembered of a node while its children are read. */
struct node {
    char kind[40];
    char callee[64];         /* of a call, once its first child has been read */
    int function;            /* the function whose body this is part of, or -1 */
    bool implicit;           /* made by the compiler, or part of such a node */
    bool in_user_code;       /* the enclosing function, or the declaration, is not the shim's */
    bool assigns;            /* a call of operator= */
    bool is_method;          /* a reference to a member function */
    bool converts_to_method; /* an object on its way to a member function, in any address space */
};

struct function {
    char address[20], name[64];
    int canonical; /* the first declaration of the same function */
    bool is_users;
    int line;
    int *callee;
    int n_callees;
    int state; /* of the search for cycles: 0 new, 1 on the path, 2 done */
};

struct checker {
    char file[400], user_file[400];
    int line, user_line; /* of the last location; of the last one in the user's text */
    struct node node[MAX_DEPTH];
    struct function *function;
    int n_functions;
    struct {
        int caller;
        char callee[20];
    } *call;
    int n_calls;
    char *report[MAX_REPORTS];
    int n_reports;
};

static bool is_shim(const char *file) {
    return strstr(file, "shim/msl_") != NULL || file[0] == '<' || file[0] == '\0';
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Prints each message once: templates are seen once for every instantiation. */
static void report(struct checker *c, int line, const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));
static void report(struct checker *c, int line, const char *format, ...) {
    char message[800];
    int length = snprintf(message, sizeof message, "%s:%d: error: ", c->user_file, line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + length, sizeof message - (size_t)length, format, arguments);
    va_end(arguments);
    for (int i = 0; i < c->n_reports; i++)
        if (strcmp(c->report[i], message) == 0) return;
    if (c->n_reports == MAX_REPORTS) return;
    c->report[c->n_reports++] = strdup(message);
    fprintf(stderr, "%s\n", message);
}

/* ---- locations ---- */

/* [begin, end) is FILE:LINE:COLUMN, line:LINE:COLUMN, col:COLUMN or something in <>. */
static void follow_location(struct checker *c, const char *begin, const char *end) {
    const char *last = end, *middle;
    while (last > begin && last[-1] != ':') last--;
    if (last == begin || !isdigit((unsigned char)*last)) return;
    middle = last - 1;
    while (middle > begin && middle[-1] != ':') middle--;
    if (middle > begin) {
        size_t length = (size_t)(middle - 1 - begin);
        if (length != 4 || memcmp(begin, "line", 4) != 0) {
            if (length >= sizeof c->file) length = sizeof c->file - 1;
            memcpy(c->file, begin, length);
            c->file[length] = '\0';
        }
        c->line = atoi(middle);
    }
    if (is_shim(c->file)) return;
    memcpy(c->user_file, c->file, sizeof c->file);
    c->user_line = c->line;
}

/* <LOCATION, LOCATION>; returns what follows. */
static const char *follow_range(struct checker *c, const char *text) {
    const char *begin = text + 1;
    int depth = 1;
    for (text++; *text && depth; text++) {
        if (*text == '<') depth++;
        if (*text == '>') depth--;
        if ((*text == ',' && depth == 1) || depth == 0) {
            follow_location(c, begin, text);
            begin = text + 2;
        }
    }
    return text;
}

/* A declaration's name has a location of its own after the range. */
static const char *follow_name_location(struct checker *c, const char *text) {
    while (*text == ' ') text++;
    const char *end = text + strcspn(text, " ");
    bool is_location = end > text && isdigit((unsigned char)end[-1]) && memchr(text, ':', (size_t)(end - text));
    if (!is_location || *text == '\'') return text;
    follow_location(c, text, end);
    while (*end == ' ') end++;
    return end;
}

/* ---- parts of a line ---- */

/* The type of a node: what stands in the first quotes, or after ':' if clang shows what a name stands for. */
static void copy_type(char *type, size_t size, const char *text) {
    const char *begin = strchr(text, '\'');
    type[0] = '\0';
    if (!begin) return;
    const char *end = strchr(++begin, '\'');
    if (!end) return;
    if (starts_with(end, "':'")) {
        begin = end + 3;
        end = strchr(begin, '\'');
        if (!end) return;
    }
    size_t length = (size_t)(end - begin);
    if (length >= size) length = size - 1;
    memcpy(type, begin, length);
    type[length] = '\0';
}

/* The word before the first quote: a declaration's name. */
static void copy_name(char *name, size_t size, const char *text) {
    const char *end = strchr(text, '\'');
    name[0] = '\0';
    if (!end || end == text) return;
    end--;
    const char *begin = end;
    while (begin > text && begin[-1] != ' ') begin--;
    size_t length = (size_t)(end - begin);
    if (length >= size) length = size - 1;
    memcpy(name, begin, length);
    name[length] = '\0';
}

/* The type itself, not what it points to, lies in the space. */
static bool lies_in(const char *type, const char *space) {
    if (strchr(type, '*') || strchr(type, '&')) return false;
    return strstr(type, space) != NULL;
}

static bool is_vector(const char *type) {
    return strstr(type, "ext_vector_type") != NULL;
}

/* R (SPACE *SPACE)(A...) */
static bool is_function_pointer(const char *type) {
    for (const char *close = strstr(type, ")("); close; close = strstr(close + 1, ")("))
        for (const char *p = close; p > type && *p != '('; p--)
            if (*p == '*' || *p == '&') return true;
    return false;
}

/* ---- functions and their calls ---- */

static int find_function(const struct checker *c, const char *address) {
    for (int i = c->n_functions - 1; i >= 0; i--)
        if (strcmp(c->function[i].address, address) == 0) return i;
    return -1;
}

static int add_function(struct checker *c, const char *address, const char *previous, const char *name, bool is_users) {
    int known = find_function(c, address);
    if (known >= 0) return known;
    c->function = realloc(c->function, ((size_t)c->n_functions + 1) * sizeof *c->function);
    if (!c->function) abort();
    int number = c->n_functions++, before = previous[0] ? find_function(c, previous) : -1;
    struct function *function = &c->function[number];
    *function = (struct function){.is_users = is_users, .line = c->user_line};
    snprintf(function->address, sizeof function->address, "%s", address);
    snprintf(function->name, sizeof function->name, "%s", name);
    function->canonical = before >= 0 ? c->function[before].canonical : number;
    return number;
}

/* The dump shows an instantiation of a template before what it calls: addresses are looked up at the end. */
static void add_call(struct checker *c, int caller, const char *address) {
    if (caller < 0) return;
    c->call = realloc(c->call, ((size_t)c->n_calls + 1) * sizeof *c->call);
    if (!c->call) abort();
    c->call[c->n_calls].caller = caller;
    snprintf(c->call[c->n_calls++].callee, sizeof c->call->callee, "%s", address);
}

static void connect_calls(struct checker *c) {
    for (int i = 0; i < c->n_calls; i++) {
        int callee = find_function(c, c->call[i].callee);
        if (callee < 0 || !c->function[callee].is_users) continue;
        struct function *from = &c->function[c->function[c->call[i].caller].canonical];
        from->callee = realloc(from->callee, ((size_t)from->n_callees + 1) * sizeof *from->callee);
        if (!from->callee) abort();
        from->callee[from->n_callees++] = c->function[callee].canonical;
    }
}

/* Depth first; a call to a function on the path closes a cycle. */
static void find_recursion(struct checker *c, int number) {
    struct function *function = &c->function[number];
    function->state = 1;
    for (int i = 0; i < function->n_callees; i++) {
        struct function *callee = &c->function[function->callee[i]];
        if (callee == function)
            report(c, function->line, "%s calls itself: recursion is not supported in Metal", function->name);
        else if (callee->state == 1)
            report(c, function->line, "%s and %s call each other: recursion is not supported in Metal", callee->name,
                   function->name);
        else if (callee->state == 0)
            find_recursion(c, function->callee[i]);
    }
    function->state = 2;
}

/* ---- rules ---- */

static void check_variable(struct checker *c, const struct node *node, const char *rest) {
    char type[600], name[100];
    copy_type(type, sizeof type, rest);
    copy_name(name, sizeof name, rest);
    bool is_local = node->function >= 0 && strcmp(node->kind, "VarDecl") == 0;
    bool is_global = node->function < 0 && strcmp(node->kind, "VarDecl") == 0;
    if (name[0] == '\0' || node->implicit) return;
    if (is_function_pointer(type))
        report(c, c->user_line, "%s: pointers to functions are not supported in Metal", name);
    else if (strstr(type, "__generic"))
        report(c, c->user_line, "%s: pointer or reference type must have explicit address space qualifier", name);
    if (is_global && lies_in(type, "__global"))
        report(c, c->user_line, "%s: program scope variable must reside in constant address space", name);
    if (is_local && lies_in(type, "__global"))
        report(c, c->user_line, "%s: variables in function scope cannot be declared static", name);
    if (is_local && lies_in(type, "__constant"))
        report(c, c->user_line, "%s: automatic variable qualified with an address space", name);
}

static void check_function(struct checker *c, const char *rest) {
    char type[600], name[100];
    copy_type(type, sizeof type, rest);
    copy_name(name, sizeof name, rest);
    type[strcspn(type, "(")] = '\0';
    if (strstr(type, "__generic") && name[0])
        report(c, c->user_line, "%s: returned pointer must have explicit address space qualifier", name);
}

/* .lo .hi .even .odd .s0 are OpenCL's; MSL has xyzw and rgba. */
static void check_vector_element(struct checker *c, const char *rest) {
    const char *name = strrchr(rest, ' ');
    if (!name) return;
    name++;
    size_t length = strlen(name);
    if (strspn(name, "xyzw") != length && strspn(name, "rgba") != length)
        report(c, c->user_line, "illegal vector component name '%s'", name);
    else if (length > 4)
        report(c, c->user_line, "vector component name '%s' is longer than 4", name);
}

/* The object a member function is called on. Copies and assignments are the compiler's own. */
static void check_object(struct checker *c, struct node *node, const struct node *parent, const char *rest) {
    char type[600];
    copy_type(type, sizeof type, rest);
    bool converts = strcmp(node->kind, "ImplicitCastExpr") == 0 && strstr(rest, "<AddressSpaceConversion>");
    bool called = parent->is_method || (strcmp(parent->kind, "CXXOperatorCallExpr") == 0 && !parent->assigns);
    node->converts_to_method = converts && called && strstr(type, "__generic");
    if (!parent->converts_to_method) return;
    const char *const space[][2] = {{"__global", "device"}, {"__local", "threadgroup"}, {"__constant", "constant"}};
    for (size_t i = 0; i < sizeof space / sizeof *space; i++)
        if (starts_with(type, space[i][0]) || starts_with(type + strcspn(type, "_"), space[i][0]))
            report(c, c->user_line, "member function called on an object in %s memory: copy it or use a function",
                   space[i][1]);
}

static bool is_comparison(const char *rest) {
    static const char *const OPERATOR[] = {"'<'", "'>'", "'<='", "'>='", "'=='", "'!='"};
    const char *last = strrchr(rest, ' ');
    for (size_t i = 0; last && i < sizeof OPERATOR / sizeof *OPERATOR; i++)
        if (strcmp(last + 1, OPERATOR[i]) == 0) return true;
    return false;
}

/* bool4 in MSL (true is 1), integers here (true is -1): only select, any and all take both. */
static void check_comparison(struct checker *c, int depth, const char *rest) {
    char type[600];
    copy_type(type, sizeof type, rest);
    if (!is_vector(type) || !is_comparison(rest)) return;
    int up = depth - 1;
    while (up > 0 && (strcmp(c->node[up].kind, "ParenExpr") == 0 || strcmp(c->node[up].kind, "ImplicitCastExpr") == 0))
        up--;
    const struct node *user = &c->node[up];
    bool combined = strcmp(user->kind, "BinaryOperator") == 0 && !user->assigns;
    bool consumed =
        strcmp(user->callee, "select") == 0 || strcmp(user->callee, "any") == 0 || strcmp(user->callee, "all") == 0;
    if (!combined && !consumed)
        report(c, c->user_line, "a comparison of vectors gives a vector of bool: use it in select, any or all");
}

static void check_expression(struct checker *c, int depth, struct node *node, const char *rest) {
    if (!node->in_user_code) return;
    check_object(c, node, &c->node[depth - 1], rest);
    if (strcmp(node->kind, "ExtVectorElementExpr") == 0) check_vector_element(c, rest);
    if (strcmp(node->kind, "BinaryOperator") == 0) check_comparison(c, depth, rest);
    if (strcmp(node->kind, "LambdaExpr") == 0) report(c, c->user_line, "lambda expressions are not supported in Metal");
    if (strcmp(node->kind, "LabelStmt") == 0) report(c, c->user_line, "labels are not supported in Metal");
}

/* Notes calls: a function is named by  Function 0x1234 'name' , a method by  .name 0x1234  at the end. */
static void follow_reference(struct checker *c, int depth, struct node *node, const char *rest) {
    char address[20];
    const char *at = strstr(rest, " Function 0x");
    if (!at) at = strstr(rest, " CXXMethod 0x");
    if (strcmp(node->kind, "DeclRefExpr") == 0 && at) {
        sscanf(strstr(at, "0x"), "%19s", address);
        add_call(c, node->function, address);
        struct node *call = depth >= 2 ? &c->node[depth - 2] : NULL; /* between them is the decay to a pointer */
        const char *quote = strchr(at, '\'');
        if (call && call->callee[0] == '\0' && quote) sscanf(quote + 1, "%63[^']", call->callee);
    }
    if (strcmp(node->kind, "MemberExpr") == 0 && strstr(rest, "<bound member function type>")) {
        const char *last = strrchr(rest, ' ');
        node->is_method = true;
        if (last && sscanf(last + 1, "%19s", address) == 1) add_call(c, node->function, address);
    }
}

static bool is_function_kind(const char *kind) {
    return strcmp(kind, "FunctionDecl") == 0 || strcmp(kind, "CXXMethodDecl") == 0 ||
           strcmp(kind, "CXXConstructorDecl") == 0 || strcmp(kind, "CXXConversionDecl") == 0 ||
           strcmp(kind, "CXXDestructorDecl") == 0;
}

/* Skips  parent 0x1  and  prev 0x2 , and keeps the latter. */
static const char *skip_relatives(const char *text, char previous[20]) {
    for (;;) {
        char word[16];
        int length;
        if (sscanf(text, " %15[a-z] 0x%*[0-9a-f] %n", word, &length) != 1) return text;
        if (strcmp(word, "prev") == 0) sscanf(text, " prev %19s", previous);
        text += length;
    }
}

static void read_node(struct checker *c, const char *line) {
    int depth = (int)(strcspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<") / 2);
    if (depth < 1 || depth >= MAX_DEPTH) return;
    struct node *node = &c->node[depth];
    const struct node *parent = &c->node[depth - 1];
    const char *text = line + depth * 2;
    char address[20] = "", previous[20] = "";
    *node =
        (struct node){.function = parent->function, .implicit = parent->implicit, .in_user_code = parent->in_user_code};
    if (sscanf(text, "%39[A-Za-z] %19s", node->kind, address) < 1) return;
    text += strlen(node->kind);
    if (starts_with(address, "0x")) text = skip_relatives(text + 1 + strlen(address), previous);
    while (*text == ' ') text++;
    if (*text == '<') text = follow_range(c, text);
    bool is_declaration = strstr(node->kind, "Decl") && !strstr(node->kind, "Stmt") && !strstr(node->kind, "Ref");
    const char *rest = is_declaration ? follow_name_location(c, text) : text;
    node->assigns = (strcmp(node->kind, "BinaryOperator") == 0 || strcmp(node->kind, "CXXOperatorCallExpr") == 0) &&
                    strlen(rest) > 4 && strcmp(rest + strlen(rest) - 4, " '='") == 0;
    if (is_declaration) {
        node->implicit |= starts_with(rest, "implicit");
        if (node->function < 0) node->in_user_code = !is_shim(c->file);
    }
    if (is_function_kind(node->kind)) {
        char name[64];
        copy_name(name, sizeof name, rest);
        node->in_user_code = !is_shim(c->file);
        node->function = add_function(c, address, previous, name, node->in_user_code);
        if (node->in_user_code && !node->implicit) check_function(c, rest);
    } else if (strcmp(node->kind, "VarDecl") == 0 || strcmp(node->kind, "ParmVarDecl") == 0 ||
               strcmp(node->kind, "FieldDecl") == 0) {
        if (node->in_user_code && !is_shim(c->file)) check_variable(c, node, rest);
    } else if (!is_declaration) {
        check_expression(c, depth, node, rest);
        follow_reference(c, depth, node, rest);
    }
}

int main(void) {
    static struct checker c;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    c.node[0].function = -1;
    while ((length = getline(&line, &capacity, stdin)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        read_node(&c, line);
    }
    connect_calls(&c);
    for (int i = 0; i < c.n_functions; i++)
        if (c.function[i].state == 0 && c.function[i].canonical == i) find_recursion(&c, i);
    free(line);
    return c.n_reports > 0;
}
