#include "support/served.h"

#include "test.h"

#include <string.h>

#ifndef NANO_FILE
#define NANO_FILE "models/ds4-nano.gguf"
#endif

static const uint64_t served_seed = 1;

served_options served_options_default(void) {
    served_options options = {.server = SERVER_OPTIONS_DEFAULT, .engine = {.n_threads = 2}};
    options.server.port = "0";
    options.server.model_id = "ds4-nano";
    options.server.id_seed = &served_seed;
    options.server.schedule.context_tokens = 8192;
    return options;
}

served served_start(const served_options *options) {
    served s = {0};
    ds4_error error;
    server_options chosen = options->server;
    assert_ok(ds4_model_open(NANO_FILE, DS4_MODEL_FULL, &s.model, &error), &error);
    ds4_engine_options engine = options->engine;
    engine.any_context |= options->script_text != NULL;
    if (!options->without_engine) assert_ok(ds4_engine_new(s.model, &engine, &s.engine, &error), &error);
    if (options->script_text)
        assert_ok(script_new(options->script_text, strlen(options->script_text), "script", ds4_model_tokenizer(s.model),
                             &s.script, &error),
                  &error);
    chosen.schedule.script = s.script;
    assert_ok(server_start(s.model, s.engine, &chosen, &s.server, &error), &error);
    s.url = server_url(s.server);
    return s;
}

void served_stop(served *s) {
    server_free(s->server);
    script_free(s->script);
    ds4_engine_free(s->engine);
    ds4_model_free(s->model);
    *s = (served){0};
}
