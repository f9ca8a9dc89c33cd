/*
 * Text -> tokens: control strings (if asked for) are cut out, the pre-tokenizer cuts the rest into pieces,
 * BPE turns each piece into tokens. Tokens -> text: every token's bytes are made once, at load.
 */
#include "text/tokenizer.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/control_set.h"
#include "text/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

#define KEY "tokenizer.ggml."

struct ds4_tokenizer {
    bpe_tables bpe;
    pretokenizer *pretokenizer;
    control_set control; /* its strings lie in bytes */
    bool *is_control;    /* [n_tokens] */
    size_t n_tokens;
    char *bytes;    /* all tokens, each followed by a NUL */
    size_t *offset; /* [n_tokens + 1]: where each starts in bytes */
    int32_t bos, eos;
};

/* ---- loading ------------------------------------------------------------------------------------- */

/* What is needed while a tokenizer is made. */
typedef struct tokenizer_source {
    const gguf_file *file;
    const gguf_array *tokens, *merges;
    bool *control; /* [tokens->n] */
} tokenizer_source;

static ds4_status check_string(const gguf_file *file, const char *key, const char *const *accepted,
                               const char *expected, ds4_error *error) {
    const gguf_value *value = gguf_find(file, key);
    if (!value) return error_set(error, DS4_ERROR_FORMAT, "%s: %s is missing, expected %s", file->name, key, expected);
    if (value->type != GGUF_STRING)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s: type %s, expected a string", file->name, key,
                         gguf_type_name(value->type));
    for (; *accepted; accepted++)
        if (value->string.n_bytes == strlen(*accepted) && !memcmp(value->string.data, *accepted, value->string.n_bytes))
            return DS4_OK;
    return error_set(error, DS4_ERROR_FORMAT, "%s: %s is \"%.*s\", expected %s", file->name, key,
                     GGUF_STRING_ARGS(value->string), expected);
}

static ds4_status find_strings(const gguf_file *file, const char *key, size_t max, const gguf_array **array,
                               ds4_error *error) {
    const gguf_value *value = gguf_find(file, key);
    if (!value)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s is missing, expected an array of strings", file->name, key);
    if (value->type != GGUF_ARRAY || value->array.type != GGUF_STRING)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s: type %s, expected an array of strings", file->name, key,
                         gguf_type_name(value->type == GGUF_ARRAY ? value->array.type : value->type));
    if (value->array.n > max)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s has %zu entries, expected at most %zu", file->name, key,
                         value->array.n, max);
    *array = &value->array;
    return DS4_OK;
}

static bool string_starts(gguf_string string, const char *start) {
    size_t n = strlen(start);
    return string.n_bytes >= n && !memcmp(string.data, start, n);
}

static bool string_ends(gguf_string string, const char *end) {
    size_t n = strlen(end);
    return string.n_bytes >= n && !memcmp(string.data + string.n_bytes - n, end, n);
}

static bool string_equals(gguf_string string, const char *other) {
    return string.n_bytes == strlen(other) && string_starts(string, other);
}

/* For files that do not tell the types of tokens. */
static bool looks_like_control(gguf_string string) {
    return (string_starts(string, "<｜") && string_ends(string, "｜>")) || string_equals(string, "｜DSML｜") ||
           string_equals(string, "<think>") || string_equals(string, "</think>");
}

static ds4_status find_control(tokenizer_source *source, ds4_error *error) {
    static const char key[] = KEY "token_type";
    enum { CONTROL = 3, USER_DEFINED = 4 };
    const gguf_file *file = source->file;
    size_t n = source->tokens->n, offset = 0;
    source->control = array_new(n, sizeof *source->control);
    if (!source->control) return error_memory(error, key, n);
    const gguf_value *value = gguf_find(file, key);
    if (!value) {
        gguf_string string;
        for (size_t id = 0; gguf_array_next_string(source->tokens, &offset, &string); id++)
            source->control[id] = looks_like_control(string);
        return DS4_OK;
    }
    if (value->type != GGUF_ARRAY || value->array.n != n)
        return error_set(error, DS4_ERROR_FORMAT,
                         "%s: %s: %zu entries, expected an array of %zu numbers, one per token", file->name, key,
                         value->type == GGUF_ARRAY ? value->array.n : (size_t)1, n);
    for (size_t id = 0; id < n; id++) {
        double type;
        if (!gguf_array_number(&value->array, id, &type))
            return error_set(error, DS4_ERROR_FORMAT, "%s: %s: an array of %s, expected numbers", file->name, key,
                             gguf_type_name(value->array.type));
        source->control[id] = type == (double)CONTROL || type == (double)USER_DEFINED;
    }
    return DS4_OK;
}

/* Writes the bytes that a token stands for, never more than its string has. A string with a code point that
 * stands for no byte is meant literally. */
static size_t token_to_bytes(gguf_string string, const int16_t byte_of[512], char *out) {
    size_t n = 0;
    for (size_t at = 0; at < string.n_bytes;) {
        uint32_t code_point;
        size_t length = utf8_decode(string.data + at, string.n_bytes - at, &code_point);
        if (!length || code_point >= 512 || byte_of[code_point] < 0) {
            memcpy(out, string.data, string.n_bytes);
            return string.n_bytes;
        }
        out[n++] = (char)byte_of[code_point];
        at += length;
    }
    return n;
}

static ds4_status make_bytes(ds4_tokenizer *tokenizer, const tokenizer_source *source, ds4_error *error) {
    const gguf_array *tokens = source->tokens;
    size_t capacity = tokens->n_bytes + tokens->n, offset = 0, at = 0;
    tokenizer->n_tokens = tokens->n;
    tokenizer->bytes = malloc(capacity + 1);
    tokenizer->offset = array_new(tokens->n + 1, sizeof *tokenizer->offset);
    if (!tokenizer->bytes || !tokenizer->offset) return error_memory(error, KEY "tokens", capacity);

    uint16_t code_point[256];
    int16_t byte_of[512];
    byte_code_points(code_point);
    for (int i = 0; i < 512; i++) byte_of[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++) byte_of[code_point[byte]] = byte;

    gguf_string string;
    for (size_t id = 0; gguf_array_next_string(tokens, &offset, &string); id++) {
        tokenizer->offset[id] = at;
        if (!source->control[id]) {
            at += token_to_bytes(string, byte_of, tokenizer->bytes + at);
        } else if (string.n_bytes) {
            memcpy(tokenizer->bytes + at, string.data, string.n_bytes);
            at += string.n_bytes;
        }
        tokenizer->bytes[at++] = '\0';
        tokenizer->offset[id + 1] = at;
    }
    return DS4_OK;
}

static ds4_status make_control(ds4_tokenizer *tokenizer, const tokenizer_source *source, ds4_error *error) {
    size_t n = 0;
    for (size_t id = 0; id < tokenizer->n_tokens; id++) n += source->control[id];
    control_set *set = &tokenizer->control;
    set->item = array_new(n, sizeof *set->item);
    if (!set->item) return error_memory(error, KEY "tokens", n * sizeof *set->item);
    for (size_t id = 0; id < tokenizer->n_tokens; id++) {
        if (!source->control[id]) continue;
        control_string item = {.id = (int32_t)id};
        item.bytes = ds4_tokenizer_token_bytes(tokenizer, item.id, &item.n_bytes);
        if (!item.n_bytes || item.n_bytes > CONTROL_STRING_MAX_BYTES)
            return error_set(error, DS4_ERROR_FORMAT,
                             "%s: " KEY "tokens: control token %zu has %zu bytes, expected 1 to %d", source->file->name,
                             id, item.n_bytes, CONTROL_STRING_MAX_BYTES);
        set->item[set->n++] = item;
    }
    control_set_sort(set);
    return DS4_OK;
}

/* The id under key, or that of the control token called name if the file does not say. */
static ds4_status find_id(const ds4_tokenizer *tokenizer, const gguf_file *file, const char *key, const char *name,
                          int32_t *id, ds4_error *error) {
    const gguf_value *value = gguf_find(file, key);
    if (!value) {
        *id = ds4_tokenizer_control_id(tokenizer, name);
        if (*id >= 0) return DS4_OK;
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s is missing and there is no control token %s", file->name, key,
                         name);
    }
    uint64_t number;
    switch (value->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: number = value->u; break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: number = value->i < 0 ? UINT64_MAX : (uint64_t)value->i; break;
    default:
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s: type %s, expected an integer", file->name, key,
                         gguf_type_name(value->type));
    }
    if (number >= tokenizer->n_tokens)
        return error_set(error, DS4_ERROR_FORMAT, "%s: %s is %lld, expected one of the %zu tokens", file->name, key,
                         (long long)number, tokenizer->n_tokens);
    *id = (int32_t)number;
    return DS4_OK;
}

static ds4_status read_source(tokenizer_source *source, ds4_error *error) {
    static const char *const models[] = {"gpt2", NULL};
    static const char *const pre_tokenizers[] = {"joyai-llm", "deepseek-v3", NULL};
    const gguf_file *file = source->file;
    ds4_status status = check_string(file, KEY "model", models, "\"gpt2\"", error);
    if (status == DS4_OK)
        status = check_string(file, KEY "pre", pre_tokenizers, "\"joyai-llm\" or \"deepseek-v3\"", error);
    if (status == DS4_OK) status = find_strings(file, KEY "tokens", BPE_MAX_TOKENS, &source->tokens, error);
    if (status == DS4_OK) status = find_strings(file, KEY "merges", BPE_MAX_MERGES, &source->merges, error);
    if (status == DS4_OK) status = find_control(source, error);
    return status;
}

ds4_status tokenizer_new(const gguf_file *file, ds4_tokenizer **result, ds4_error *error) {
    ds4_tokenizer *made = array_new(1, sizeof *made);
    if (!made) return error_memory(error, "tokenizer", sizeof *made);
    tokenizer_source source = {.file = file};
    ds4_status status = read_source(&source, error);
    if (status == DS4_OK) status = bpe_init(source.tokens, source.control, source.merges, &made->bpe, error);
    if (status == DS4_OK) status = make_bytes(made, &source, error);
    if (status == DS4_OK) status = make_control(made, &source, error);
    if (status == DS4_OK)
        status = find_id(made, file, KEY "bos_token_id", "<｜begin▁of▁sentence｜>", &made->bos, error);
    if (status == DS4_OK) status = find_id(made, file, KEY "eos_token_id", "<｜end▁of▁sentence｜>", &made->eos, error);
    if (status == DS4_OK) status = pretokenizer_new(&made->pretokenizer, error);
    made->is_control = source.control;
    if (status == DS4_OK)
        *result = made;
    else
        tokenizer_free(made);
    return status;
}

void tokenizer_free(ds4_tokenizer *tokenizer) {
    if (!tokenizer) return;
    bpe_deinit(&tokenizer->bpe);
    pretokenizer_free(tokenizer->pretokenizer);
    free(tokenizer->control.item);
    free(tokenizer->is_control);
    free(tokenizer->bytes);
    free(tokenizer->offset);
    free(tokenizer);
}

/* ---- text to tokens ------------------------------------------------------------------------------ */

typedef struct encoding {
    const ds4_tokenizer *tokenizer;
    pretokenizer_run *run;
    bpe_scratch scratch;
    ds4_tokens *tokens;
} encoding;

static ds4_status encode_piece(void *context, const char *piece, size_t n_bytes, ds4_error *error) {
    encoding *job = context;
    return bpe_encode(&job->tokenizer->bpe, &job->scratch, piece, n_bytes, job->tokens, error);
}

static ds4_status encode_plain(encoding *job, const char *text, size_t n_bytes, ds4_error *error) {
    return pretokenizer_split(job->run, text, n_bytes, encode_piece, job, error);
}

static ds4_status encode_special(encoding *job, const char *text, size_t n_bytes, ds4_error *error) {
    for (size_t done = 0; done < n_bytes;) {
        size_t offset = n_bytes - done, matched = 0;
        int32_t id = control_set_find(&job->tokenizer->control, text + done, n_bytes - done, &offset, &matched);
        ds4_status status = encode_plain(job, text + done, offset, error);
        if (status == DS4_OK && id >= 0) status = ds4_tokens_append(job->tokens, &id, 1, error);
        if (status != DS4_OK) return status;
        done += offset + matched;
    }
    return DS4_OK;
}

ds4_status ds4_tokenizer_encode(const ds4_tokenizer *tokenizer, const char *text, size_t n_bytes, bool special,
                                ds4_tokens *tokens, ds4_error *error) {
    if (!n_bytes) return DS4_OK;
    size_t n_before = tokens->n;
    encoding job = {.tokenizer = tokenizer, .tokens = tokens};
    ds4_status status = pretokenizer_run_new(tokenizer->pretokenizer, &job.run, error);
    if (status == DS4_OK)
        status = special ? encode_special(&job, text, n_bytes, error) : encode_plain(&job, text, n_bytes, error);
    if (status != DS4_OK) tokens->n = n_before;
    pretokenizer_run_free(job.run);
    bpe_scratch_deinit(&job.scratch);
    return status;
}

/* ---- tokens to text ------------------------------------------------------------------------------ */

const char *ds4_tokenizer_token_bytes(const ds4_tokenizer *tokenizer, int32_t id, size_t *n_bytes) {
    if (id < 0 || (size_t)id >= tokenizer->n_tokens) return NULL;
    *n_bytes = tokenizer->offset[id + 1] - tokenizer->offset[id] - 1;
    return tokenizer->bytes + tokenizer->offset[id];
}

ds4_status ds4_tokenizer_decode(const ds4_tokenizer *tokenizer, const int32_t *id, size_t n, ds4_buffer *text,
                                ds4_error *error) {
    size_t n_before = text->n_bytes;
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        const char *bytes = ds4_tokenizer_token_bytes(tokenizer, id[i], &n_bytes);
        ds4_status status = DS4_OK;
        if (!bytes)
            status = error_set(error, DS4_ERROR_ARGUMENT, "token %zu is %ld, expected 0 to %zu", i, (long)id[i],
                               tokenizer->n_tokens - 1);
        else if (!buffer_append(text, bytes, n_bytes))
            status = error_memory(error, "tokens to text", n_bytes);
        if (status == DS4_OK) continue;
        text->n_bytes = n_before;
        if (text->data) text->data[n_before] = '\0';
        return status;
    }
    return DS4_OK;
}

size_t ds4_tokenizer_n_tokens(const ds4_tokenizer *tokenizer) {
    return tokenizer->n_tokens;
}

int32_t ds4_tokenizer_control_id(const ds4_tokenizer *tokenizer, const char *string) {
    return control_set_id(&tokenizer->control, string, strlen(string));
}

bool ds4_tokenizer_is_control(const ds4_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->n_tokens && tokenizer->is_control[id];
}

int32_t ds4_tokenizer_bos(const ds4_tokenizer *tokenizer) {
    return tokenizer->bos;
}

int32_t ds4_tokenizer_eos(const ds4_tokenizer *tokenizer) {
    return tokenizer->eos;
}
