/* The parts of api_responses: its reader and its emitter. */
#ifndef SERVER_RESPONSES_H
#define SERVER_RESPONSES_H

#include "server/api.h"

/* In front of the base64 of a reasoning, for clients that keep it without looking at it. */
#define RESPONSES_ENCRYPTED "ds4:"

bool responses_read(json_t *body, const server_facts *facts, request *asked, problem *why);

#endif
