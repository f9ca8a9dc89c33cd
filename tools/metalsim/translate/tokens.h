/* Preprocessed text as a list of tokens that point into it. */
#ifndef METALSIM_TOKENS_H
#define METALSIM_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

struct token {
    const char *text; /* not terminated */
    int length;
    int line; /* of the .metal file, by the preprocessor's line markers */
    const char *file;
};

struct token_list {
    struct token *token;
    int n;
    int capacity;
};

/* text must outlive the list. A line marker or pragma is one token; so is "[[", but "]]" is two. */
void tokens_read(struct token_list *tokens, const char *text);
void tokens_free(struct token_list *tokens);

/* All three are false for an index outside of the list. */
bool token_is(const struct token_list *tokens, int index, const char *text);
bool token_is_identifier(const struct token_list *tokens, int index);
bool token_is_directive(const struct token_list *tokens, int index);
bool token_same(const struct token_list *tokens, int a, int b);

/* The index after the closer of the (, [, [[ or { at index. */
int tokens_skip_group(const struct token_list *tokens, int index);
/* The index after the > of the < at index. */
int tokens_skip_angles(const struct token_list *tokens, int index);
/* The index of the first token equal to text at or after index, or the number of tokens. */
int tokens_find(const struct token_list *tokens, int index, const char *text);
/* The nearest token before index that is no directive, or -1. */
int tokens_previous(const struct token_list *tokens, int index);

/* Tokens [begin, end) as one line, with single spaces; the caller frees it. */
char *tokens_join(const struct token_list *tokens, int begin, int end);

#endif
