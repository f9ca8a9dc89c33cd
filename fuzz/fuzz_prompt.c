/* Requests to prompts: any bytes give a prompt or an error, and control spans are control strings in order. */
#include "ds4.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool condition) {
    if (!condition) abort();
}

static void check_span(const ds4_prompt *prompt, ds4_control_span span) {
    static const char *const control_string[] = {"<｜begin▁of▁sentence｜>",
                                                 "<｜end▁of▁sentence｜>",
                                                 "<｜User｜>",
                                                 "<｜Assistant｜>",
                                                 "<｜latest_reminder｜>",
                                                 "<think>",
                                                 "</think>",
                                                 "｜DSML｜",
                                                 "<｜action｜>",
                                                 "<｜query｜>",
                                                 "<｜authority｜>",
                                                 "<｜domain｜>",
                                                 "<｜title｜>",
                                                 "<｜read_url｜>"};
    const char *text = prompt->text.data + span.offset_bytes;
    for (size_t i = 0; i < sizeof control_string / sizeof *control_string; i++)
        if (strlen(control_string[i]) == span.n_bytes && memcmp(control_string[i], text, span.n_bytes) == 0) return;
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    ds4_prompt prompt = {0};
    ds4_error error = {{0}};
    ds4_status status = ds4_prompt_render((const char *)data, n_bytes, &prompt, &error);
    if (status) {
        require(error.message[0] && !strchr(error.message, '\n') && !prompt.text.data);
        return 0;
    }
    /* The longest constant texts are those of tools and effort; everything else is in proportion. */
    require(prompt.text.n_bytes <= 4096 + 3000 * n_bytes);
    require(prompt.n_control > 0);
    size_t end = 0;
    for (size_t i = 0; i < prompt.n_control; i++) {
        ds4_control_span span = prompt.control[i];
        require(span.offset_bytes >= end && span.offset_bytes <= prompt.text.n_bytes);
        require(span.n_bytes <= prompt.text.n_bytes - span.offset_bytes);
        check_span(&prompt, span);
        end = span.offset_bytes + span.n_bytes;
    }
    ds4_prompt_deinit(&prompt);
    return 0;
}
