/*
 * The numbers that shape a model, from the metadata of its file.
 *
 * Maxima are far above any published model. They exist so that no product of sizes in the rest of the
 * program can overflow: width * streams, heads * head dimension, and so on.
 */
#include "base/error.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

#define ARCHITECTURE "deepseek4"
#define PREFIX ARCHITECTURE "."

typedef struct key_reader {
    const gguf_file *file;
    problem_list *problems;
    ds4_error *error;
    ds4_status status; /* after a failure the rest does nothing */
} key_reader;

#define PROBLEM(reader, format, ...) \
    ((reader)->status =              \
         problem_add((reader)->problems, (reader)->error, "%s: " format, (reader)->file->name, __VA_ARGS__))

typedef enum key_need { REQUIRED, OPTIONAL } key_need;

/* NULL if the key is absent, which is a problem if it is needed, or after a failure. */
static const gguf_value *find(key_reader *reader, const char *key, key_need need) {
    if (reader->status != DS4_OK) return NULL;
    const gguf_value *value = gguf_find(reader->file, key);
    if (!value && need == REQUIRED) PROBLEM(reader, "%s: missing", key);
    return value;
}

static bool is_signed(gguf_type type) {
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

static bool is_unsigned(gguf_type type) {
    return type == GGUF_U8 || type == GGUF_U16 || type == GGUF_U32 || type == GGUF_U64;
}

/* Result in *out, which keeps its value if there is a problem or the key is absent. */
static void read_integer(key_reader *reader, const char *key, key_need need, int64_t minimum, int64_t maximum,
                         int64_t *out) {
    const gguf_value *value = find(reader, key, need);
    if (!value) return;
    if (!is_signed(value->type) && !is_unsigned(value->type)) {
        PROBLEM(reader, "%s: type %s, expected an integer", key, gguf_type_name(value->type));
        return;
    }
    bool huge = is_unsigned(value->type) && value->u > INT64_MAX;
    int64_t number = huge ? INT64_MAX : is_signed(value->type) ? value->i : (int64_t)value->u;
    if (huge || number < minimum || number > maximum) {
        if (minimum == maximum)
            PROBLEM(reader, "%s: %lld, expected %lld", key, (long long)number, (long long)minimum);
        else
            PROBLEM(reader, "%s: %lld, expected %lld to %lld", key, (long long)number, (long long)minimum,
                    (long long)maximum);
        return;
    }
    *out = number;
}

/* A key that has only one value we can run. */
static void expect_integer(key_reader *reader, const char *key, key_need need, int64_t expected) {
    int64_t ignored = 0;
    read_integer(reader, key, need, expected, expected, &ignored);
}

/* The number must be above the limit; *out keeps its value if it is not. */
static void read_float(key_reader *reader, const char *key, double above, float *out) {
    const gguf_value *value = find(reader, key, REQUIRED);
    if (!value) return;
    double number;
    if (value->type == GGUF_F32 || value->type == GGUF_F64)
        number = value->f;
    else if (is_signed(value->type))
        number = (double)value->i;
    else if (is_unsigned(value->type))
        number = (double)value->u;
    else {
        PROBLEM(reader, "%s: type %s, expected a number", key, gguf_type_name(value->type));
        return;
    }
    float narrow = (float)number;
    if (!isfinite(narrow) || !((double)narrow > above))
        PROBLEM(reader, "%s: %g, expected a finite number above %g", key, number, above);
    else
        *out = narrow;
}

static void expect_true(key_reader *reader, const char *key) {
    const gguf_value *value = find(reader, key, REQUIRED);
    if (value && !(value->type == GGUF_BOOL && value->u)) PROBLEM(reader, "%s: expected true", key);
}

static bool string_equals(gguf_string string, const char *expected) {
    return string.n_bytes == strlen(expected) && memcmp(string.data, expected, string.n_bytes) == 0;
}

/* False if the key is there with another value. */
static bool expect_string(key_reader *reader, const char *key, key_need need, const char *expected) {
    const gguf_value *value = find(reader, key, need);
    if (!value) return true;
    if (value->type == GGUF_STRING && string_equals(value->string, expected)) return true;
    if (value->type != GGUF_STRING)
        PROBLEM(reader, "%s: type %s, expected string \"%s\"", key, gguf_type_name(value->type), expected);
    else
        PROBLEM(reader, "%s: \"%.*s\", expected \"%s\"", key, GGUF_STRING_ARGS(value->string), expected);
    return false;
}

/* An array with at least n_layers numbers; NULL if it is not that. */
static const gguf_array *find_layer_array(key_reader *reader, const char *key, int n_layers, bool integers) {
    const gguf_value *value = find(reader, key, REQUIRED);
    if (!value) return NULL;
    if (value->type != GGUF_ARRAY) {
        PROBLEM(reader, "%s: type %s, expected an array", key, gguf_type_name(value->type));
        return NULL;
    }
    const gguf_array *array = &value->array;
    bool is_integer = is_signed(array->type) || is_unsigned(array->type);
    if (!is_integer && (integers || (array->type != GGUF_F32 && array->type != GGUF_F64))) {
        PROBLEM(reader, "%s: array of %s, expected one of %s", key, gguf_type_name(array->type),
                integers ? "integers" : "numbers");
        return NULL;
    }
    if (array->n < (size_t)n_layers) {
        PROBLEM(reader, "%s: %zu entries, expected at least %d, one for each layer", key, array->n, n_layers);
        return NULL;
    }
    return array;
}

static void read_ratios(key_reader *reader, hyperparameters *h) {
    const char *key = PREFIX "attention.compress_ratios";
    for (int l = 0; l < h->n_layers; l++) h->ratio[l] = -1;
    const gguf_array *array = find_layer_array(reader, key, h->n_layers, true);
    for (int l = 0; array && l < h->n_layers && reader->status == DS4_OK; l++) {
        double ratio = -1;
        gguf_array_number(array, (size_t)l, &ratio);
        if (ratio == 0 || ratio == 4 || ratio == 128)
            h->ratio[l] = (int)ratio;
        else
            PROBLEM(reader, "%s: %g for layer %d, expected 0, 4 or 128", key, ratio, l);
    }
}

static void read_swiglu_limits(key_reader *reader, hyperparameters *h) {
    const char *key = PREFIX "swiglu_clamp_exp";
    const gguf_array *array = find_layer_array(reader, key, h->n_layers, false);
    for (int l = 0; array && l < h->n_layers && reader->status == DS4_OK; l++) {
        double limit = 0;
        gguf_array_number(array, (size_t)l, &limit);
        float narrow = (float)limit;
        if (isfinite(narrow) && narrow > 0)
            h->swiglu_limit[l] = narrow;
        else
            PROBLEM(reader, "%s: %g for layer %d, expected a finite number above 0", key, limit, l);
    }
}

/* The vocabulary's size is a key of its own in most files; the token list says it too. */
static void read_vocabulary_size(key_reader *reader, hyperparameters *h) {
    enum { MAX_VOCAB = 1 << 22 };
    const char *key = PREFIX "vocab_size";
    if (reader->status != DS4_OK) return;
    const gguf_value *tokens = gguf_find(reader->file, "tokenizer.ggml.tokens");
    bool has_tokens = tokens && tokens->type == GGUF_ARRAY && tokens->array.n > 0 && tokens->array.n <= MAX_VOCAB;
    int64_t n_tokens = has_tokens ? (int64_t)tokens->array.n : 0;
    int64_t n_vocab = n_tokens;
    read_integer(reader, key, has_tokens ? OPTIONAL : REQUIRED, 1, MAX_VOCAB, &n_vocab);
    if (reader->status == DS4_OK && has_tokens && n_vocab != n_tokens)
        PROBLEM(reader, "%s: %lld, expected %lld, the number of tokens in tokenizer.ggml.tokens", key,
                (long long)n_vocab, (long long)n_tokens);
    h->n_vocab = (int)n_vocab;
}

typedef struct integer_key {
    const char *key;
    size_t offset; /* of an int in hyperparameters */
    int minimum, maximum;
} integer_key;

static const integer_key integer_keys[] = {
    {PREFIX "block_count", offsetof(hyperparameters, n_layers), 1, MODEL_MAX_LAYERS},
    {PREFIX "embedding_length", offsetof(hyperparameters, width), 1, 1 << 16},
    {PREFIX "attention.head_count", offsetof(hyperparameters, n_heads), 1, 4096},
    {PREFIX "attention.key_length", offsetof(hyperparameters, head_dim), 1, 4096},
    {PREFIX "rope.dimension_count", offsetof(hyperparameters, rotary_dim), 2, 4096},
    {PREFIX "attention.q_lora_rank", offsetof(hyperparameters, q_rank), 1, 1 << 16},
    {PREFIX "attention.output_group_count", offsetof(hyperparameters, n_groups), 1, 4096},
    {PREFIX "attention.output_lora_rank", offsetof(hyperparameters, group_rank), 1, 1 << 16},
    {PREFIX "attention.sliding_window", offsetof(hyperparameters, window), 1, 1 << 16},
    {PREFIX "attention.indexer.head_count", offsetof(hyperparameters, n_index_heads), 1, 4096},
    {PREFIX "attention.indexer.key_length", offsetof(hyperparameters, index_dim), 1, 4096},
    {PREFIX "attention.indexer.top_k", offsetof(hyperparameters, index_top_k), 1, 1 << 20},
    {PREFIX "expert_count", offsetof(hyperparameters, n_experts), 1, 1 << 13},
    {PREFIX "expert_used_count", offsetof(hyperparameters, n_experts_used), 1, 1 << 8},
    {PREFIX "expert_feed_forward_length", offsetof(hyperparameters, expert_width), 1, 1 << 16},
    {PREFIX "hash_layer_count", offsetof(hyperparameters, n_hash_layers), 0, MODEL_MAX_LAYERS},
    {PREFIX "hyper_connection.sinkhorn_iterations", offsetof(hyperparameters, sinkhorn_iterations), 1, 1000},
};

typedef struct float_key {
    const char *key;
    size_t offset; /* of a float in hyperparameters */
    double above;
} float_key;

static const float_key float_keys[] = {
    {PREFIX "attention.layer_norm_rms_epsilon", offsetof(hyperparameters, rms_epsilon), 0},
    {PREFIX "hyper_connection.epsilon", offsetof(hyperparameters, hyper_epsilon), 0},
    {PREFIX "expert_weights_scale", offsetof(hyperparameters, expert_scale), 0},
    /* The logarithm of a base is a divisor. */
    {PREFIX "rope.freq_base", offsetof(hyperparameters, rope_base), 1},
    {PREFIX "attention.compress_rope_freq_base", offsetof(hyperparameters, compressed_rope_base), 1},
    {PREFIX "rope.scaling.factor", offsetof(hyperparameters, yarn_factor), 0},
    {PREFIX "rope.scaling.yarn_beta_fast", offsetof(hyperparameters, yarn_beta_fast), 0},
    {PREFIX "rope.scaling.yarn_beta_slow", offsetof(hyperparameters, yarn_beta_slow), 0},
};

static void read_numbers(key_reader *reader, hyperparameters *h) {
    for (size_t k = 0; k < sizeof integer_keys / sizeof *integer_keys; k++) {
        const integer_key *entry = &integer_keys[k];
        int64_t number = entry->minimum ? 0 : -1; /* a value that the key cannot have */
        read_integer(reader, entry->key, REQUIRED, entry->minimum, entry->maximum, &number);
        *(int *)(void *)((char *)h + entry->offset) = (int)number;
    }
    for (size_t k = 0; k < sizeof float_keys / sizeof *float_keys; k++)
        read_float(reader, float_keys[k].key, float_keys[k].above, (float *)(void *)((char *)h + float_keys[k].offset));
    int64_t max_context = 1 << 20;
    read_integer(reader, PREFIX "context_length", OPTIONAL, 1, 1 << 30, &max_context);
    h->max_context = (int)max_context;
    read_integer(reader, PREFIX "rope.scaling.original_context_length", REQUIRED, 1, 1 << 30,
                 &h->yarn_original_context);
}

/* What other members of the family could vary and this program has no code for. */
static void check_fixed(key_reader *reader, const hyperparameters *h) {
    expect_integer(reader, PREFIX "attention.head_count_kv", REQUIRED, 1);
    if (h->head_dim) expect_integer(reader, PREFIX "attention.value_length", REQUIRED, h->head_dim);
    expect_integer(reader, PREFIX "hyper_connection.count", REQUIRED, MODEL_STREAMS);
    expect_integer(reader, PREFIX "expert_shared_count", REQUIRED, 1);
    expect_integer(reader, PREFIX "expert_group_count", OPTIONAL, 0);
    expect_integer(reader, PREFIX "expert_group_used_count", OPTIONAL, 0);
    expect_integer(reader, PREFIX "expert_gating_func", OPTIONAL, 4); /* square root of softplus */
    expect_true(reader, PREFIX "expert_weights_norm");
    expect_string(reader, PREFIX "rope.scaling.type", OPTIONAL, "yarn");
}

/* Relations between numbers; those with a number that could not be read are left out. */
static void check_relations(key_reader *reader, const hyperparameters *h) {
#define CHECK(condition, format, ...) \
    if (reader->status == DS4_OK && !(condition)) PROBLEM(reader, PREFIX format, __VA_ARGS__)

    if (h->rotary_dim) {
        CHECK(h->rotary_dim % 2 == 0, "rope.dimension_count: %d, expected an even number", h->rotary_dim);
        if (h->head_dim) {
            CHECK(h->rotary_dim < h->head_dim, "rope.dimension_count: %d, expected less than attention.key_length %d",
                  h->rotary_dim, h->head_dim);
            CHECK((h->head_dim - h->rotary_dim) % FP8_BLOCK == 0,
                  "attention.key_length: %d, expected rope.dimension_count %d plus a multiple of %d", h->head_dim,
                  h->rotary_dim, FP8_BLOCK);
        }
        if (h->index_dim)
            CHECK(h->index_dim >= h->rotary_dim,
                  "attention.indexer.key_length: %d, expected at least rope.dimension_count %d", h->index_dim,
                  h->rotary_dim);
    }
    if (h->index_dim) /* a Hadamard transform needs a power of two */
        CHECK((h->index_dim & (h->index_dim - 1)) == 0 && h->index_dim % FP4_BLOCK == 0,
              "attention.indexer.key_length: %d, expected a power of two of at least %d", h->index_dim, FP4_BLOCK);
    if (h->n_heads && h->n_groups)
        CHECK(h->n_heads % h->n_groups == 0,
              "attention.output_group_count: %d, expected a divisor of attention.head_count %d", h->n_groups,
              h->n_heads);
    if (h->n_experts && h->n_experts_used)
        CHECK(h->n_experts_used <= h->n_experts, "expert_used_count: %d, expected at most expert_count %d",
              h->n_experts_used, h->n_experts);
    if (h->n_layers)
        CHECK(h->n_hash_layers <= h->n_layers, "hash_layer_count: %d, expected at most block_count %d",
              h->n_hash_layers, h->n_layers);
    if (h->yarn_beta_fast > 0 && h->yarn_beta_slow > 0)
        CHECK(h->yarn_beta_fast >= h->yarn_beta_slow,
              "rope.scaling.yarn_beta_fast: %g, expected at least rope.scaling.yarn_beta_slow %g",
              (double)h->yarn_beta_fast, (double)h->yarn_beta_slow);
#undef CHECK
}

ds4_status hyperparameters_read(const gguf_file *file, problem_list *problems, hyperparameters *hparams,
                                ds4_error *error) {
    *hparams = (hyperparameters){.n_hash_layers = -1};
    key_reader reader = {.file = file, .problems = problems, .error = error};
    /* The keys of another architecture have other names: nothing would be found. */
    if (!expect_string(&reader, "general.architecture", REQUIRED, ARCHITECTURE)) return reader.status;
    read_numbers(&reader, hparams);
    read_vocabulary_size(&reader, hparams);
    check_fixed(&reader, hparams);
    check_relations(&reader, hparams);
    if (hparams->n_layers > 0) {
        read_ratios(&reader, hparams);
        read_swiglu_limits(&reader, hparams);
    }
    return reader.status;
}

hyperparameters hyperparameters_flash(void) {
    hyperparameters h = {
        .n_layers = 43,
        .width = 4096,
        .n_vocab = 129280,
        .max_context = 1 << 20,
        .n_heads = 64,
        .head_dim = 512,
        .rotary_dim = 64,
        .q_rank = 1024,
        .n_groups = 8,
        .group_rank = 1024,
        .window = 128,
        .n_index_heads = 64,
        .index_dim = 128,
        .index_top_k = 512,
        .n_experts = 256,
        .n_experts_used = 6,
        .expert_width = 2048,
        .n_hash_layers = 3,
        .sinkhorn_iterations = 20,
        .rms_epsilon = 1e-6f,
        .hyper_epsilon = 1e-6f,
        .expert_scale = 1.5f,
        .rope_base = 10000.0f,
        .compressed_rope_base = 160000.0f,
        .yarn_factor = 16.0f,
        .yarn_beta_fast = 32.0f,
        .yarn_beta_slow = 1.0f,
        .yarn_original_context = 65536,
    };
    for (int l = 0; l < h.n_layers; l++) {
        h.ratio[l] = l < 2 ? 0 : l % 2 == 0 ? 4 : 128;
        h.swiglu_limit[l] = 10.0f;
    }
    return h;
}
