/*
 * The official pre-tokenizer is a sequence of three splits, each by one regular expression. A split cuts
 * every piece of the one before into its matches and what lies between them; a piece is matched as if it
 * were the whole text, so that look-ahead does not see past its end.
 */
#include "text/pretokenizer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>

enum { N_SPLITS = 3 };

static const char *const split_pattern[N_SPLITS] = {
    "\\p{N}{1,3}",
    "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)"
    "|\\s+",
};

/* The compiled code needs little stack; where more is needed than this the interpreter takes over. */
enum { JIT_STACK_START_BYTES = 32 * 1024, JIT_STACK_MAX_BYTES = 1024 * 1024 };

struct pretokenizer {
    pcre2_code *split[N_SPLITS];
};

struct pretokenizer_run {
    const pretokenizer *pretokenizer;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *jit_stack;
    piece_sink *sink;
    void *sink_context;
};

static ds4_status pcre2_failed(int code, const char *what, ds4_error *error) {
    PCRE2_UCHAR text[256] = "";
    pcre2_get_error_message(code, text, sizeof text);
    bool memory = code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT;
    return error_set(error, memory ? DS4_ERROR_MEMORY : DS4_ERROR_FORMAT, "pre-tokenizer: %s: %s (PCRE2 error %d)",
                     what, (const char *)text, code);
}

ds4_status pretokenizer_new(pretokenizer **result, ds4_error *error) {
    pretokenizer *made = array_new(1, sizeof *made);
    if (!made) return error_memory(error, "pre-tokenizer", sizeof *made);
    for (int i = 0; i < N_SPLITS; i++) {
        int code;
        PCRE2_SIZE offset;
        made->split[i] = pcre2_compile((PCRE2_SPTR)split_pattern[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                       &code, &offset, NULL);
        if (!made->split[i]) {
            pretokenizer_free(made);
            return pcre2_failed(code, "a pattern does not compile", error);
        }
        /* Where there is no just-in-time compiler, or it may not run, the interpreter finds the same pieces. */
        (void)pcre2_jit_compile(made->split[i], PCRE2_JIT_COMPLETE);
    }
    *result = made;
    return DS4_OK;
}

void pretokenizer_free(pretokenizer *splitter) {
    if (!splitter) return;
    for (int i = 0; i < N_SPLITS; i++) pcre2_code_free(splitter->split[i]);
    free(splitter);
}

ds4_status pretokenizer_run_new(const pretokenizer *splitter, pretokenizer_run **result, ds4_error *error) {
    pretokenizer_run *run = array_new(1, sizeof *run);
    if (!run) return error_memory(error, "pre-tokenizer", sizeof *run);
    run->pretokenizer = splitter;
    run->match = pcre2_match_data_create(1, NULL);
    run->context = pcre2_match_context_create(NULL);
    if (!run->match || !run->context) {
        pretokenizer_run_free(run);
        return error_memory(error, "pre-tokenizer match data", sizeof *run);
    }
    /* The patterns take time linear in the text; the limit is meant for others, and a long run of spaces
     * would exceed it. */
    pcre2_set_match_limit(run->context, UINT32_MAX);
    /* NULL without a just-in-time compiler: then it is not needed. */
    run->jit_stack = pcre2_jit_stack_create(JIT_STACK_START_BYTES, JIT_STACK_MAX_BYTES, NULL);
    if (run->jit_stack) pcre2_jit_stack_assign(run->context, NULL, run->jit_stack);
    *result = run;
    return DS4_OK;
}

void pretokenizer_run_free(pretokenizer_run *run) {
    if (!run) return;
    pcre2_match_data_free(run->match);
    pcre2_match_context_free(run->context);
    pcre2_jit_stack_free(run->jit_stack);
    free(run);
}

/* Finds the first match at or after from. start == end == n_bytes if there is none. */
static ds4_status find_match(pretokenizer_run *run, int split, const char *text, size_t n_bytes, size_t from,
                             size_t *start, size_t *end, ds4_error *error) {
    const pcre2_code *pattern = run->pretokenizer->split[split];
    uint32_t options = PCRE2_NO_UTF_CHECK; /* checked once, by the caller */
    int code = pcre2_match(pattern, (PCRE2_SPTR)text, n_bytes, from, options, run->match, run->context);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code = pcre2_match(pattern, (PCRE2_SPTR)text, n_bytes, from, options | PCRE2_NO_JIT, run->match, run->context);
    *start = *end = n_bytes;
    if (code == PCRE2_ERROR_NOMATCH) return DS4_OK;
    if (code < 0) return pcre2_failed(code, "matching failed", error);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(run->match);
    *start = range[0];
    *end = range[1];
    return DS4_OK;
}

/* Cuts text by the splits from number split on. Not recursive beyond N_SPLITS levels. */
static ds4_status split_valid(pretokenizer_run *run, int split, const char *text, size_t n_bytes, ds4_error *error) {
    if (split == N_SPLITS) return run->sink(run->sink_context, text, n_bytes, error);
    for (size_t done = 0; done < n_bytes;) {
        size_t start, end;
        ds4_status status = find_match(run, split, text, n_bytes, done, &start, &end, error);
        if (status == DS4_OK && start > done) status = split_valid(run, split + 1, text + done, start - done, error);
        if (status == DS4_OK && end > start) status = split_valid(run, split + 1, text + start, end - start, error);
        if (status != DS4_OK) return status;
        done = end;
    }
    return DS4_OK;
}

/* Bytes at the start of the text that are UTF-8, or that are not, whichever it starts with. */
static size_t stretch_length(const char *text, size_t n_bytes, bool *valid) {
    uint32_t code_point;
    *valid = utf8_decode(text, n_bytes, &code_point) > 0;
    size_t at = 0;
    while (at < n_bytes) {
        size_t length = (unsigned char)text[at] < 0x80 ? 1 : utf8_decode(text + at, n_bytes - at, &code_point);
        if ((length > 0) != *valid) break;
        at += length ? length : 1;
    }
    return at;
}

ds4_status pretokenizer_split(pretokenizer_run *run, const char *text, size_t n_bytes, piece_sink *sink, void *context,
                              ds4_error *error) {
    run->sink = sink;
    run->sink_context = context;
    for (size_t at = 0; at < n_bytes;) {
        bool valid;
        size_t length = stretch_length(text + at, n_bytes - at, &valid);
        ds4_status status =
            valid ? split_valid(run, 0, text + at, length, error) : sink(context, text + at, length, error);
        if (status != DS4_OK) return status;
        at += length;
    }
    return DS4_OK;
}
