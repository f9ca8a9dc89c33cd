/* The one model that is served, as the clients of both OpenAI's and Anthropic's API read it. No state; any thread. */
#ifndef SERVER_MODELS_H
#define SERVER_MODELS_H

#include "server/request.h"

/* NULL without memory. */
json_t *models_list(const server_facts *facts);
/* Under whatever name it is asked for. */
json_t *models_one(const server_facts *facts, const char *id);

#endif
