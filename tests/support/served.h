/*
 * A server on the built-in model, at a port of its own on 127.0.0.1, with names of answers that are the same every
 * time. What fails in here fails the test.
 */
#ifndef SUPPORT_SERVED_H
#define SUPPORT_SERVED_H

#include "server/server.h"

typedef struct served {
    ds4_model *model;
    ds4_engine *engine; /* NULL without one */
    script *script;
    server *server;
    const char *url;
} served;

typedef struct served_options {
    server_options server;   /* begins as SERVER_OPTIONS_DEFAULT; see served_options_default */
    const char *script_text; /* NULL: the model speaks */
    bool without_engine;     /* for tests that put something else in the scheduler's place */
    ds4_engine_options engine;
} served_options;

/* Two threads, a context of 8,192 tokens, any free port. */
served_options served_options_default(void);
served served_start(const served_options *options);
void served_stop(served *server);

#endif
