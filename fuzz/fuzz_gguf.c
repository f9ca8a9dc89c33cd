/* Any bytes as a GGUF file: opens them with and without a list of problems and touches all that was found. */
#include "base/error.h"
#include "gguf/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(bool condition) {
    if (!condition) abort();
}

static uint64_t touch(gguf_string string) {
    uint64_t sum = 0;
    for (size_t i = 0; i < string.n_bytes; i++) sum += (uint8_t)string.data[i];
    return sum;
}

static uint64_t walk_array(const gguf_array *array) {
    uint64_t sum = 0;
    gguf_string string;
    size_t offset = 0, n = 0;
    for (; gguf_array_next_string(array, &offset, &string); n++) sum += touch(string);
    double number;
    for (size_t i = 0; gguf_array_number(array, i, &number); i++, n++) sum += number > 0;
    require(n == array->n);
    return sum;
}

static uint64_t walk_metadata(const gguf_file *file) {
    uint64_t sum = 0;
    for (size_t i = 0; i < file->n_metadata; i++) {
        const gguf_pair *pair = &file->metadata[i];
        sum += touch(pair->key);
        require(pair->value.type <= GGUF_F64);
        if (pair->value.type == GGUF_STRING) sum += touch(pair->value.string);
        if (pair->value.type == GGUF_ARRAY) sum += walk_array(&pair->value.array);
    }
    return sum;
}

static uint64_t walk_tensors(const gguf_file *file) {
    uint64_t sum = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const gguf_tensor *tensor = &file->tensors[i];
        sum += touch(tensor->name);
        require(tensor->n_dims >= 1 && tensor->n_dims <= 4);
        if (!tensor->data) continue;
        require(tensor->format && tensor->n_bytes >= tensor->format->n_bytes);
        require(tensor->offset % file->alignment == 0);
        sum += tensor->data[0] + tensor->data[tensor->n_bytes - 1];
        float out[256];
        if (!tensor->format->decode) continue;
        tensor->format->decode(tensor->data, out, 1);
        tensor->format->decode(tensor->data + tensor->n_bytes - tensor->format->n_bytes, out, 1);
        sum += out[0] > 0;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    static volatile uint64_t used; /* so that no read is optimised away */
    gguf_file *strict = NULL, *lenient = NULL;
    gguf_file *start = NULL;
    bool too_short;
    problem_list problems = {0};
    ds4_status strict_status = gguf_open_memory("fuzz.gguf", bytes, n_bytes, NULL, &strict, NULL);
    ds4_status lenient_status = gguf_open_memory("fuzz.gguf", bytes, n_bytes, &problems, &lenient, NULL);
    /* Without problems both agree; with any only the lenient one opens. */
    require((strict_status == DS4_OK) == (lenient_status == DS4_OK && problems.n == 0));
    if (lenient) used = walk_metadata(lenient) + walk_tensors(lenient);
    if (lenient && gguf_find(lenient, "general.alignment")) used++;
    if (lenient && gguf_find_tensor(lenient, "output.weight")) used++;
    /* as the beginning of a larger file: more bytes may help, and what is behind these reads as zeros */
    if (gguf_open_start("fuzz.gguf", bytes, n_bytes, n_bytes + (1 << 20), &start, &too_short, NULL) == DS4_OK)
        used = walk_metadata(start) + walk_tensors(start);
    problem_list_deinit(&problems);
    gguf_close(start);
    gguf_close(strict);
    gguf_close(lenient);
    return 0;
}
