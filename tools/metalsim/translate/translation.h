/* One run of mslgen: what has been read, what has been found, what has been written. */
#ifndef METALSIM_TRANSLATION_H
#define METALSIM_TRANSLATION_H

#include "tokens.h"

enum { MAX_BUFFER_INDEX = 30, MAX_TEMPLATE_PARAMETERS = 64 };

/* A kernel function or a template of kernels. */
struct kernel {
    char *name;
    char *parameters; /* initialisers of struct sim_parameter */
    int n_parameters;
    char *max_threads;
    char *threadgroup_bytes; /* a constant expression, or NULL where it depends on a template */
    bool is_template;
};

/* What a host can ask for by name. */
struct instance {
    char *host_name; /* quoted */
    char *function;  /* name, with template arguments */
    int kernel;
};

struct translation {
    struct token_list tokens;
    bool strict; /* for the strict parser; else for code */
    int n_errors;

    char *out;
    size_t out_length, out_capacity;

    struct kernel *kernel;
    int n_kernels;
    struct instance *instance;
    int n_instances;

    /* where the rewriting pass is */
    int depth;                                   /* open braces */
    int kernel_body;                             /* the kernel whose body this is, or -1 */
    int body_begin;                              /* its first token */
    bool in_template;                            /* a template head has been seen */
    bool instantiating;                          /* "template" without a head has been seen */
    char *host_name;                             /* of [[host_name]], waiting for its kernel */
    char *max_threads;                           /* of [[max_total_threads_per_threadgroup]], likewise */
    int type_parameter[MAX_TEMPLATE_PARAMETERS]; /* tokens that name the type parameters of this template */
    int n_type_parameters;
};

#define PRINTF_LIKE(position, first) __attribute__((__format__(__printf__, position, first)))

/* Prints FILE:LINE: error: ... and counts it. */
void translation_error(struct translation *t, int token, const char *format, ...) PRINTF_LIKE(3, 4);

void out_bytes(struct translation *t, const char *bytes, size_t n);
void out_format(struct translation *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* Tokens [begin, end) with the white space between them. */
void out_tokens(struct translation *t, int begin, int end);
/* Tells the compiler which line token came from: the text before it has changed length. */
void out_line_marker(struct translation *t, int token);

/* A new string; formats are as for printf. */
char *string_format(const char *format, ...) PRINTF_LIKE(1, 2);
char *token_string(const struct translation *t, int token);

/* kernels.c: at "kernel". Both write the declaration without its attributes and return the next token. */
int kernel_declaration(struct translation *t, int index);
int kernel_instantiation(struct translation *t, int index);
/* True if the token names an attribute of a kernel's parameter. */
bool kernel_is_parameter_attribute(const struct translation *t, int index);
/* The table the executor binds from, after the last line. */
void kernel_table(struct translation *t);

/* rewrite.c: the pass over the text. */
void rewrite_all(struct translation *t);
bool is_type_parameter(const struct translation *t, int index);
bool is_vector_type(const struct translation *t, int index);

/* rules.c: what MSL refuses and no later step would notice. */
void rules_check(struct translation *t);

#endif
