/* The published files, described without having them: what is said of them must be true and must fit what reads them.
 */
#include "test.h"

#include "model/layout.h"
#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

enum { N_TENSORS = 1328 };

static gguf_file *open_layout(const char *name) {
    const layout_recipe *recipe = layout_recipe_find(name);
    gguf_file *file = NULL;
    ds4_error error;
    assert_non_null(recipe);
    assert_ok(layout_open(recipe, &file, &error), &error);
    return file;
}

/* Tensors of a type; their bytes are added to *n_bytes. */
static size_t count(const gguf_file *file, const char *type, uint64_t *n_bytes) {
    size_t n = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        if (type && strcmp(file->tensors[i].format->name, type) != 0) continue;
        *n_bytes += file->tensors[i].n_bytes;
        n++;
    }
    return n;
}

struct expected_type {
    const char *type;
    size_t n;
    uint64_t n_bytes; /* 0: not known exactly */
};

static void check_types(const char *name, uint64_t n_bytes, const struct expected_type *types) {
    gguf_file *file = open_layout(name);
    uint64_t total = 0;
    assert_int_equal(count(file, NULL, &total), N_TENSORS);
    assert_int_equal(total, n_bytes);
    for (; types->type; types++) {
        uint64_t of_type = 0;
        assert_int_equal(count(file, types->type, &of_type), types->n);
        if (types->n_bytes) assert_int_equal(of_type, types->n_bytes);
    }
    gguf_close(file);
}

static const uint64_t IQ2_XXS_BYTES = 553648128, Q2_K_BYTES = 704643072, Q4_K_BYTES = 1207959552; /* of one tensor */

static void q2_has_the_published_tensors_and_bytes(void **state) {
    (void)state;
    const struct expected_type types[] = {{"F16", 359, 0},
                                          {"F32", 492, 0},
                                          {"Q8_0", 345, 0},
                                          {"I32", 3, 3 * 6 * 129280 * 4},
                                          {"IQ2_XXS", 86, 86 * IQ2_XXS_BYTES},
                                          {"Q2_K", 43, 43 * Q2_K_BYTES},
                                          {NULL, 0, 0}};
    check_types("q2", 86714775900, types);
    check_types("q2-imatrix", 86714775900, types);
}

static void q4_has_the_published_tensors_and_bytes(void **state) {
    (void)state;
    const struct expected_type types[] = {
        {"F16", 359, 0}, {"F32", 492, 0}, {"Q8_0", 345, 0}, {"I32", 3, 0}, {"Q4_K", 129, 129 * Q4_K_BYTES},
        {NULL, 0, 0}};
    check_types("q4", 164628167004, types);
    check_types("q4-imatrix", 164628167004, types);
}

static void a_mixed_file_has_the_experts_of_six_layers_from_q4(void **state) {
    (void)state;
    const struct expected_type types[] = {{"F16", 359, 0}, {"Q8_0", 345, 0}, {"IQ2_XXS", 74, 0},
                                          {"Q2_K", 37, 0}, {"Q4_K", 18, 0},  {NULL, 0, 0}};
    check_types("q2-q4", 86714775900 + 6 * (3 * Q4_K_BYTES - 2 * IQ2_XXS_BYTES - Q2_K_BYTES), types);
    gguf_file *file = open_layout("q2-q4");
    for (int l = 0; l < 43; l++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.ffn_down_exps.weight", l);
        assert_int_equal(gguf_find_tensor(file, name)->type, l >= 37 ? BLOCK_Q4_K : BLOCK_Q2_K);
    }
    gguf_close(file);
}

static void the_model_is_read_from_a_layout_without_a_problem(void **state) {
    (void)state;
    for (const layout_recipe *recipe = layout_recipes; recipe->name; recipe++) {
        ds4_error error;
        gguf_file *file = open_layout(recipe->name);
        hyperparameters hparams = hyperparameters_flash();
        model_weights weights;
        bool used[N_TENSORS] = {false};
        problem_list problems = {0};
        weight_reader reader = {
            .file = file, .hparams = &hparams, .problems = &problems, .error = &error, .used = used};
        assert_int_equal(file->n_tensors, N_TENSORS);
        assert_ok(weight_reader_model(&reader, &weights), &error);
        if (problems.n) fail_msg("%s", problems.text[0]);
        for (size_t i = 0; i < N_TENSORS; i++)
            if (!used[i]) fail_msg("%.*s is not used", GGUF_STRING_ARGS(file->tensors[i].name));
        assert_ptr_equal(weights.layer[42].down_shared, gguf_find_tensor(file, "blk.42.ffn_down_shexp.weight"));
        model_weights_deinit(&weights);
        problem_list_deinit(&problems);
        gguf_close(file);
    }
}

static void tensors_lie_apart_in_the_file_and_read_as_zeros(void **state) {
    (void)state;
    gguf_file *file = open_layout("q4");
    const uint8_t *end = file->bytes + file->data_offset;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const gguf_tensor *tensor = &file->tensors[i];
        assert_true(tensor->data >= end);
        assert_int_equal((uintptr_t)tensor->data % file->alignment, 0);
        assert_ptr_equal(tensor->data, file->bytes + file->data_offset + tensor->offset);
        end = tensor->data + tensor->n_bytes;
        assert_true(end <= file->bytes + file->n_bytes);
        assert_int_equal(tensor->data[0], 0);
        assert_int_equal(end[-1], 0);
    }
    assert_null(gguf_find(file, "general.architecture"));
    assert_null(gguf_find_tensor(file, "blk.43.attn_norm.weight"));
    gguf_close(file);
}

static void other_names_are_not_known(void **state) {
    (void)state;
    assert_null(layout_recipe_find("q3"));
    assert_null(layout_recipe_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q2_has_the_published_tensors_and_bytes),
        cmocka_unit_test(q4_has_the_published_tensors_and_bytes),
        cmocka_unit_test(a_mixed_file_has_the_experts_of_six_layers_from_q4),
        cmocka_unit_test(the_model_is_read_from_a_layout_without_a_problem),
        cmocka_unit_test(tensors_lie_apart_in_the_file_and_read_as_zeros),
        cmocka_unit_test(other_names_are_not_known),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
