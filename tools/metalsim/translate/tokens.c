#include "tokens.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts_identifier(char c) {
    return isalpha((unsigned char)c) || c == '_';
}

static bool continues_identifier(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static const char *end_of_number(const char *text) {
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *end = text;
    for (;; end++) {
        bool sign_of_exponent =
            (*end == '+' || *end == '-') && end > text && (end[-1] == 'e' || end[-1] == 'E') && !hexadecimal;
        if (!continues_identifier(*end) && *end != '.' && !sign_of_exponent) return end;
    }
}

static const char *end_of_quoted(const char *text) {
    const char *end = text + 1;
    while (*end && *end != *text) end += *end == '\\' && end[1] ? 2 : 1;
    return *end ? end + 1 : end;
}

static const char *end_of_token(const char *text, bool at_line_start) {
    if (*text == '#' && at_line_start) return text + strcspn(text, "\n");
    if (starts_identifier(*text)) {
        while (continues_identifier(*text)) text++;
        return text;
    }
    if (isdigit((unsigned char)*text) || (*text == '.' && isdigit((unsigned char)text[1]))) return end_of_number(text);
    if (*text == '"' || *text == '\'') return end_of_quoted(text);
    if (strncmp(text, "[[", 2) == 0 || strncmp(text, "::", 2) == 0) return text + 2;
    return text + 1;
}

/* Line markers look like  # 12 "file.metal" 2 . The name lives as long as the program: tokens share it. */
static void read_line_marker(const char *text, int *line, const char **file) {
    int marked_line;
    char name[400];
    if (sscanf(text, "# %d \"%399[^\"]\"", &marked_line, name) != 2) return;
    *line = marked_line - 1;
    if (strcmp(name, *file) != 0) *file = strdup(name);
}

static void append(struct token_list *tokens, struct token token) {
    if (tokens->n == tokens->capacity) {
        tokens->capacity = tokens->capacity ? tokens->capacity * 2 : 1 << 14;
        tokens->token = realloc(tokens->token, (size_t)tokens->capacity * sizeof *tokens->token);
        if (!tokens->token) abort();
    }
    tokens->token[tokens->n++] = token;
}

void tokens_read(struct token_list *tokens, const char *text) {
    const char *file = "?";
    int line = 1;
    bool at_line_start = true;
    *tokens = (struct token_list){0};
    while (*text) {
        if (*text == '\n') {
            line++;
            at_line_start = true;
            text++;
        } else if (isspace((unsigned char)*text)) {
            text++;
        } else {
            const char *end = end_of_token(text, at_line_start);
            int token_line = line;
            if (*text == '#' && at_line_start) read_line_marker(text, &line, &file);
            append(tokens, (struct token){text, (int)(end - text), token_line, file});
            at_line_start = false;
            text = end;
        }
    }
}

void tokens_free(struct token_list *tokens) {
    free(tokens->token);
    *tokens = (struct token_list){0};
}

static bool in_range(const struct token_list *tokens, int index) {
    return index >= 0 && index < tokens->n;
}

bool token_is(const struct token_list *tokens, int index, const char *text) {
    if (!in_range(tokens, index)) return false;
    const struct token *token = &tokens->token[index];
    return (int)strlen(text) == token->length && memcmp(token->text, text, strlen(text)) == 0;
}

bool token_is_identifier(const struct token_list *tokens, int index) {
    return in_range(tokens, index) && starts_identifier(tokens->token[index].text[0]);
}

bool token_is_directive(const struct token_list *tokens, int index) {
    return in_range(tokens, index) && tokens->token[index].text[0] == '#';
}

bool token_same(const struct token_list *tokens, int a, int b) {
    if (!in_range(tokens, a) || !in_range(tokens, b)) return false;
    const struct token *left = &tokens->token[a], *right = &tokens->token[b];
    return left->length == right->length && memcmp(left->text, right->text, (size_t)left->length) == 0;
}

int tokens_skip_group(const struct token_list *tokens, int index) {
    int depth = 0;
    for (int i = index; i < tokens->n; i++) {
        if (token_is(tokens, i, "[[")) depth += 2;
        if (token_is(tokens, i, "(") || token_is(tokens, i, "[") || token_is(tokens, i, "{")) depth++;
        if (token_is(tokens, i, ")") || token_is(tokens, i, "]") || token_is(tokens, i, "}")) depth--;
        if (depth <= 0) return i + 1;
    }
    return tokens->n;
}

int tokens_skip_angles(const struct token_list *tokens, int index) {
    int depth = 0;
    for (int i = index; i < tokens->n; i++) {
        if (token_is(tokens, i, "(")) i = tokens_skip_group(tokens, i) - 1;
        if (token_is(tokens, i, "<")) depth++;
        if (token_is(tokens, i, ">") && --depth == 0) return i + 1;
    }
    return tokens->n;
}

int tokens_find(const struct token_list *tokens, int index, const char *text) {
    while (index < tokens->n && !token_is(tokens, index, text)) index++;
    return index;
}

int tokens_previous(const struct token_list *tokens, int index) {
    do index--;
    while (token_is_directive(tokens, index));
    return index;
}

char *tokens_join(const struct token_list *tokens, int begin, int end) {
    size_t length = 0;
    for (int i = begin; i < end; i++) length += (size_t)tokens->token[i].length + 1;
    char *line = malloc(length + 1);
    if (!line) abort();
    char *out = line;
    for (int i = begin; i < end; i++) {
        if (token_is_directive(tokens, i)) continue;
        memcpy(out, tokens->token[i].text, (size_t)tokens->token[i].length);
        out += tokens->token[i].length;
        *out++ = ' ';
    }
    while (out > line && out[-1] == ' ') out--;
    *out = '\0';
    return line;
}
