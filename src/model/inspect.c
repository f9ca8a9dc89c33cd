/* The report of what is in a model file and what is wrong with it. */
#include "base/error.h"
#include "base/memory.h"
#include "model/sizes.h"
#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

typedef struct inspection {
    const gguf_file *file;
    ds4_buffer *report;
    problem_list problems;
    bool *used; /* [n_tensors]: tensors of the model */
    bool out_of_memory;
} inspection;

/* One line. Names and strings come from the file; formatting as an error makes them fit for a terminal. */
PRINTF_LIKE(2, 3) static void put_line(inspection *to, const char *format, ...) {
    ds4_error line;
    va_list arguments;
    va_start(arguments, format);
    error_set_va(&line, DS4_OK, format, arguments);
    va_end(arguments);
    if (!buffer_append_string(to->report, line.message) || !buffer_append_string(to->report, "\n"))
        to->out_of_memory = true;
}

static gguf_string string_of(const gguf_file *file, const char *key) {
    const gguf_value *value = gguf_find(file, key);
    return value && value->type == GGUF_STRING ? value->string : (gguf_string){.data = "-", .n_bytes = 1};
}

static bool starts_with(gguf_string string, const char *prefix) {
    size_t n_bytes = strlen(prefix);
    return string.n_bytes >= n_bytes && memcmp(string.data, prefix, n_bytes) == 0;
}

/* ---- what kind of file it is ---- */

typedef enum file_kind { FILE_MODEL, FILE_MTP, FILE_VOCABULARY } file_kind;

static file_kind kind_of(const gguf_file *file) {
    if (file->n_tensors == 0) return FILE_VOCABULARY;
    bool mtp = false;
    for (size_t t = 0; t < file->n_tensors; t++) mtp = mtp || starts_with(file->tensors[t].name, "mtp.0.");
    return mtp && !gguf_find_tensor(file, "token_embd.weight") ? FILE_MTP : FILE_MODEL;
}

static void put_summary(inspection *to, file_kind kind) {
    static const char *const what[] = {[FILE_MODEL] = "model",
                                       [FILE_MTP] = "multi-token prediction block",
                                       [FILE_VOCABULARY] = "vocabulary only, no weights"};
    const gguf_file *file = to->file;
    char size[32];
    size_format(file->n_bytes, size);
    gguf_string name = string_of(file, "general.name"), architecture = string_of(file, "general.architecture");
    put_line(to, "file          %s", file->name);
    put_line(to, "size          %s (%zu bytes)", size, file->n_bytes);
    put_line(to, "format        GGUF version 3, alignment %u, tensor data at %zu", (unsigned)file->alignment,
             file->data_offset);
    put_line(to, "name          %.*s", GGUF_STRING_ARGS(name));
    put_line(to, "architecture  %.*s", GGUF_STRING_ARGS(architecture));
    put_line(to, "content       %s", what[kind]);
}

/* ---- hyperparameters ---- */

/* Sizes that could not be read are 0 or less. */
static void put_number(inspection *to, const char *name, int64_t number, int64_t minimum) {
    if (number < minimum)
        put_line(to, "  %-28s ?", name);
    else
        put_line(to, "  %-28s %lld", name, (long long)number);
}

static void put_float(inspection *to, const char *name, float number) {
    if (number > 0)
        put_line(to, "  %-28s %g", name, (double)number);
    else
        put_line(to, "  %-28s ?", name);
}

static void put_ratios(inspection *to, const hyperparameters *h) {
    int n[3] = {0}, n_unknown = 0;
    for (int l = 0; l < h->n_layers; l++) {
        if (h->ratio[l] < 0)
            n_unknown++;
        else
            n[h->ratio[l] == 0 ? 0 : h->ratio[l] == 4 ? 1 : 2]++;
    }
    char unknown[32] = "";
    if (n_unknown) snprintf(unknown, sizeof unknown, ", ? for %d", n_unknown);
    put_line(to, "  %-28s 0 for %d layers, 4 for %d, 128 for %d%s", "compression ratio", n[0], n[1], n[2], unknown);
}

static void put_swiglu_limits(inspection *to, const hyperparameters *h) {
    float low = h->swiglu_limit[0], high = low;
    for (int l = 1; l < h->n_layers; l++) {
        low = h->swiglu_limit[l] < low ? h->swiglu_limit[l] : low;
        high = h->swiglu_limit[l] > high ? h->swiglu_limit[l] : high;
    }
    if (low < high)
        put_line(to, "  %-28s %g to %g", "SwiGLU limit", (double)low, (double)high);
    else
        put_float(to, "SwiGLU limit", low);
}

static void put_hyperparameters(inspection *to, const hyperparameters *h, const char *source) {
    put_line(to, "%s", "");
    put_line(to, "Hyperparameters%s", source);
    put_number(to, "layers", h->n_layers, 1);
    put_ratios(to, h);
    put_number(to, "layers with hashed experts", h->n_hash_layers, 0);
    put_number(to, "width", h->width, 1);
    put_number(to, "vocabulary", h->n_vocab, 1);
    put_number(to, "largest context", h->max_context, 1);
    put_number(to, "heads", h->n_heads, 1);
    put_number(to, "head dimension", h->head_dim, 1);
    put_number(to, "rotary dimension", h->rotary_dim, 1);
    put_number(to, "query rank", h->q_rank, 1);
    put_number(to, "output groups", h->n_groups, 1);
    put_number(to, "output rank of a group", h->group_rank, 1);
    put_number(to, "window", h->window, 1);
    put_number(to, "indexer heads", h->n_index_heads, 1);
    put_number(to, "indexer dimension", h->index_dim, 1);
    put_number(to, "indexer rows selected", h->index_top_k, 1);
    put_number(to, "experts", h->n_experts, 1);
    put_number(to, "experts used", h->n_experts_used, 1);
    put_number(to, "expert width", h->expert_width, 1);
    put_float(to, "expert weight scale", h->expert_scale);
    put_swiglu_limits(to, h);
    put_number(to, "hyper-connection streams", MODEL_STREAMS, 1);
    put_number(to, "Sinkhorn iterations", h->sinkhorn_iterations, 1);
    put_float(to, "hyper-connection epsilon", h->hyper_epsilon);
    put_float(to, "RMS epsilon", h->rms_epsilon);
    put_float(to, "rope base", h->rope_base);
    put_float(to, "rope base, compressed layers", h->compressed_rope_base);
    put_float(to, "YaRN factor", h->yarn_factor);
    put_number(to, "YaRN original context", h->yarn_original_context, 1);
    put_float(to, "YaRN beta fast", h->yarn_beta_fast);
    put_float(to, "YaRN beta slow", h->yarn_beta_slow);
}

/* ---- tokenizer ---- */

static void put_array_size(inspection *to, const char *name, const char *key) {
    const gguf_value *value = gguf_find(to->file, key);
    if (value && value->type == GGUF_ARRAY)
        put_line(to, "  %-28s %zu", name, value->array.n);
    else
        put_line(to, "  %-28s -", name);
}

static void put_token_id(inspection *to, const char *name, const char *key) {
    const gguf_value *value = gguf_find(to->file, key);
    bool is_unsigned = value && (value->type == GGUF_U32 || value->type == GGUF_U64);
    bool is_signed = value && (value->type == GGUF_I32 || value->type == GGUF_I64);
    if (is_unsigned)
        put_line(to, "  %-28s %llu", name, (unsigned long long)value->u);
    else if (is_signed)
        put_line(to, "  %-28s %lld", name, (long long)value->i);
    else
        put_line(to, "  %-28s -", name);
}

static void put_tokenizer(inspection *to) {
    gguf_string model = string_of(to->file, "tokenizer.ggml.model"), pre = string_of(to->file, "tokenizer.ggml.pre");
    put_line(to, "%s", "");
    put_line(to, "Tokenizer");
    put_line(to, "  %-28s %.*s", "model", GGUF_STRING_ARGS(model));
    put_line(to, "  %-28s %.*s", "pre-tokenizer", GGUF_STRING_ARGS(pre));
    put_array_size(to, "tokens", "tokenizer.ggml.tokens");
    put_array_size(to, "merges", "tokenizer.ggml.merges");
    put_token_id(to, "beginning of sequence", "tokenizer.ggml.bos_token_id");
    put_token_id(to, "end of sequence", "tokenizer.ggml.eos_token_id");
}

static void check_strings(inspection *to, const char *key) {
    const gguf_value *value = gguf_find(to->file, key);
    if (!value)
        problem_add(&to->problems, NULL, "%s: %s: missing", to->file->name, key);
    else if (value->type != GGUF_ARRAY || value->array.type != GGUF_STRING)
        problem_add(&to->problems, NULL, "%s: %s: expected an array of strings", to->file->name, key);
}

/* ---- metadata ---- */

enum { SHOWN_ELEMENTS = 6, VALUE_BYTES = 320 };

static void format_array(const gguf_array *array, char text[VALUE_BYTES]) {
    size_t at = (size_t)snprintf(text, VALUE_BYTES, "%s[%zu]", gguf_type_name(array->type), array->n), offset = 0;
    for (size_t k = 0; k < SHOWN_ELEMENTS && k < array->n && at < VALUE_BYTES; k++) {
        gguf_string string;
        double number;
        const char *comma = k ? ", " : " ";
        if (gguf_array_next_string(array, &offset, &string)) /* a short piece, for the line is not endless */
            at += (size_t)snprintf(text + at, VALUE_BYTES - at, "%s%.*s", comma,
                                   string.n_bytes > 32 ? 32 : (int)string.n_bytes, string.data);
        else if (gguf_array_number(array, k, &number))
            at += (size_t)snprintf(text + at, VALUE_BYTES - at, "%s%g", comma, number);
    }
    if (array->n > SHOWN_ELEMENTS && at < VALUE_BYTES) snprintf(text + at, VALUE_BYTES - at, ", ...");
}

static void format_value(const gguf_value *value, char text[VALUE_BYTES]) {
    switch (value->type) {
    case GGUF_STRING: snprintf(text, VALUE_BYTES, "%.*s", GGUF_STRING_ARGS(value->string)); break;
    case GGUF_ARRAY: format_array(&value->array, text); break;
    case GGUF_F32:
    case GGUF_F64: snprintf(text, VALUE_BYTES, "%g", value->f); break;
    case GGUF_BOOL: snprintf(text, VALUE_BYTES, "%s", value->u ? "true" : "false"); break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: snprintf(text, VALUE_BYTES, "%lld", (long long)value->i); break;
    default: snprintf(text, VALUE_BYTES, "%llu", (unsigned long long)value->u); break;
    }
}

static void put_metadata(inspection *to) {
    put_line(to, "%s", "");
    put_line(to, "Metadata: %zu entries", to->file->n_metadata);
    for (size_t k = 0; k < to->file->n_metadata; k++) {
        const gguf_pair *pair = &to->file->metadata[k];
        char value[VALUE_BYTES];
        format_value(&pair->value, value);
        put_line(to, "  %-48.*s %-6s %s", GGUF_STRING_ARGS(pair->key), gguf_type_name(pair->value.type), value);
    }
}

/* ---- tensors ---- */

static void put_tensors(inspection *to) {
    put_line(to, "%s", "");
    put_line(to, "Tensors: %zu", to->file->n_tensors);
    for (size_t t = 0; t < to->file->n_tensors; t++) {
        const gguf_tensor *tensor = &to->file->tensors[t];
        char shape[96], type[16];
        size_t at = (size_t)snprintf(shape, sizeof shape, "[%llu", (unsigned long long)tensor->ne[0]);
        for (uint32_t d = 1; d < tensor->n_dims && at < sizeof shape; d++)
            at += (size_t)snprintf(shape + at, sizeof shape - at, ", %llu", (unsigned long long)tensor->ne[d]);
        if (tensor->format)
            snprintf(type, sizeof type, "%s", tensor->format->name);
        else
            snprintf(type, sizeof type, "%u?", (unsigned)tensor->type);
        put_line(to, "  %-40.*s %-8s %-22s %zu bytes", GGUF_STRING_ARGS(tensor->name), type, strcat(shape, "]"),
                 tensor->n_bytes);
    }
}

typedef struct size_line {
    const char *name;
    size_t n_tensors;
    uint64_t n_bytes;
} size_line;

static void put_size(inspection *to, const size_line *line) {
    char size[32];
    size_format(line->n_bytes, size);
    if (line->n_tensors) put_line(to, "  %-20s %5zu tensors  %12s", line->name, line->n_tensors, size);
}

static void put_sizes_by_group(inspection *to) {
    tensor_group group[N_TENSOR_GROUPS];
    tensor_groups_read(to->file, group);
    put_line(to, "%s", "");
    put_line(to, "Size by group");
    for (size_t g = 0; g < N_TENSOR_GROUPS; g++)
        put_size(to, &(size_line){group[g].name, group[g].n_tensors, group[g].n_bytes});
}

static void put_sizes_by_type(inspection *to) {
    enum { N_TYPES = 64 }; /* the last one is for unknown types */
    size_line line[N_TYPES] = {0};
    uint64_t n_bytes = 0;
    for (size_t t = 0; t < to->file->n_tensors; t++) {
        const gguf_tensor *tensor = &to->file->tensors[t];
        bool known = tensor->format && tensor->type < N_TYPES - 1;
        size_line *type = &line[known ? tensor->type : N_TYPES - 1];
        type->name = known ? tensor->format->name : "unknown";
        type->n_tensors++;
        type->n_bytes += tensor->n_bytes;
        n_bytes += tensor->n_bytes;
    }
    put_line(to, "%s", "");
    put_line(to, "Size by type");
    for (size_t k = 0; k < N_TYPES; k++) put_size(to, &line[k]);
    put_size(to, &(size_line){.name = "all", .n_tensors = to->file->n_tensors, .n_bytes = n_bytes});
}

static void put_unused_tensors(inspection *to) {
    bool any = false;
    for (size_t t = 0; t < to->file->n_tensors; t++) {
        if (to->used[t]) continue;
        if (!any) {
            put_line(to, "%s", "");
            put_line(to, "Not part of the model, ignored");
        }
        any = true;
        put_line(to, "  %.*s", GGUF_STRING_ARGS(to->file->tensors[t].name));
    }
}

/* ---- everything ---- */

static void put_problems(inspection *to) {
    put_line(to, "%s", "");
    size_t n = to->problems.n + to->problems.n_dropped;
    if (n == 0) {
        put_line(to, "no problems");
        return;
    }
    put_line(to, n == 1 ? "%zu problem" : "%zu problems", n);
    for (size_t p = 0; p < to->problems.n; p++) put_line(to, "  %s", to->problems.text[p]);
    if (to->problems.n_dropped) put_line(to, "  and %zu more", to->problems.n_dropped);
}

static ds4_status check_weights(inspection *to, file_kind kind, const hyperparameters *h, ds4_error *error) {
    weight_reader reader = {
        .file = to->file, .hparams = h, .problems = &to->problems, .error = error, .used = to->used};
    if (kind == FILE_MTP) {
        mtp_weights mtp;
        return weight_reader_mtp(&reader, &mtp);
    }
    model_weights weights;
    ds4_status status = weight_reader_model(&reader, &weights);
    model_weights_deinit(&weights);
    return status;
}

/* Prediction blocks are published without hyperparameters. */
static bool has_hyperparameters(const gguf_file *file) {
    return gguf_find(file, "deepseek4.embedding_length") || gguf_find(file, "deepseek4.block_count");
}

static bool is_other_architecture(const gguf_file *file) {
    const gguf_value *value = gguf_find(file, "general.architecture");
    return value && !(value->type == GGUF_STRING && value->string.n_bytes == strlen("deepseek4") &&
                      starts_with(value->string, "deepseek4"));
}

static ds4_status inspect_model(inspection *to, file_kind kind, ds4_error *error) {
    hyperparameters h;
    ds4_status status = DS4_OK;
    if (kind == FILE_MTP && !has_hyperparameters(to->file)) {
        h = hyperparameters_flash();
        put_hyperparameters(to, &h, ": not in the file, these are of the published V4 Flash model");
    } else {
        status = hyperparameters_read(to->file, &to->problems, &h, error);
        if (status != DS4_OK || is_other_architecture(to->file)) return status;
        put_hyperparameters(to, &h, "");
    }
    return check_weights(to, kind, &h, error);
}

static ds4_status inspect_file(inspection *to, ds4_error *error) {
    file_kind kind = kind_of(to->file);
    put_summary(to, kind);
    if (kind != FILE_MTP) {
        put_tokenizer(to);
        check_strings(to, "tokenizer.ggml.tokens");
        check_strings(to, "tokenizer.ggml.merges");
    }
    ds4_status status = kind == FILE_VOCABULARY ? DS4_OK : inspect_model(to, kind, error);
    if (status != DS4_OK) return status;
    put_metadata(to);
    if (kind != FILE_VOCABULARY) {
        put_tensors(to);
        put_sizes_by_group(to);
        put_sizes_by_type(to);
        if (!is_other_architecture(to->file)) put_unused_tensors(to);
    }
    put_problems(to);
    return to->out_of_memory ? error_memory(error, to->file->name, to->report->n_bytes) : DS4_OK;
}

/* data NULL: the file at path name. */
static ds4_status inspect(const char *name, const void *data, size_t n_bytes, ds4_buffer *report, size_t *n_problems,
                          ds4_error *error) {
    inspection to = {.report = report};
    gguf_file *file = NULL;
    size_t report_bytes = report->n_bytes;
    ds4_status status = data ? gguf_open_memory(name, data, n_bytes, &to.problems, &file, error)
                             : gguf_open(name, &to.problems, &file, error);
    if (status != DS4_OK) goto out;
    to.file = file;
    to.used = array_new(file->n_tensors, sizeof *to.used);
    status = to.used ? inspect_file(&to, error) : error_memory(error, name, file->n_tensors);
    if (status == DS4_OK) *n_problems = to.problems.n + to.problems.n_dropped;
out:
    if (status != DS4_OK && report->n_bytes > report_bytes) { /* a failure leaves no half report */
        report->n_bytes = report_bytes;
        report->data[report_bytes] = '\0';
    }
    free(to.used);
    problem_list_deinit(&to.problems);
    gguf_close(file);
    return status;
}

ds4_status model_inspect(const char *path, ds4_buffer *report, size_t *n_problems, ds4_error *error) {
    return inspect(path, NULL, 0, report, n_problems, error);
}

ds4_status model_inspect_memory(const void *data, size_t n_bytes, const char *name, ds4_buffer *report,
                                size_t *n_problems, ds4_error *error) {
    return inspect(name, data, n_bytes, report, n_problems, error);
}
