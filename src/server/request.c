#include "server/request.h"

#include <stdlib.h>
#include <string.h>

request *request_new(void) {
    request *made = calloc(1, sizeof *made);
    if (made) made->n = 1;
    return made;
}

static void tool_deinit(request_tool *tool) {
    free(tool->name);
    free(tool->api_name);
    free(tool->api_namespace);
    json_decref(tool->schema);
}

void request_free(request *asked) {
    if (!asked) return;
    free(asked->model);
    json_decref(asked->prompt_json);
    ds4_buffer_deinit(&asked->raw_prompt);
    ds4_tokens_deinit(&asked->raw_tokens);
    ds4_prompt_deinit(&asked->prompt);
    ds4_tokens_deinit(&asked->tokens);
    for (size_t i = 0; i < asked->n_tools; i++) tool_deinit(&asked->tool[i]);
    free(asked->tool);
    free(asked->bias);
    for (size_t i = 0; i < asked->n_stop; i++) free(asked->stop[i]);
    free(asked->stop);
    json_decref(asked->format_schema);
    json_decref(asked->echo);
    free(asked);
}

bool request_add_tool(request *asked, request_tool tool) {
    request_tool *grown = realloc(asked->tool, (asked->n_tools + 1) * sizeof *grown);
    if (grown) asked->tool = grown;
    if (!grown || !tool.name || !tool.api_name || !tool.schema) {
        tool_deinit(&tool);
        return false;
    }
    grown[asked->n_tools++] = tool;
    return true;
}

size_t request_find_tool(const request *asked, const char *name, size_t n_bytes) {
    for (size_t i = 0; i < asked->n_tools; i++) {
        const char *tool = asked->tool[i].name;
        if (strlen(tool) == n_bytes && memcmp(tool, name, n_bytes) == 0) return i;
    }
    return asked->n_tools;
}
