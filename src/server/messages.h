/* The parts of api_messages: its reader and its emitter. */
#ifndef SERVER_MESSAGES_H
#define SERVER_MESSAGES_H

#include "server/api.h"

bool messages_read(json_t *body, const server_facts *facts, request *asked, problem *why);

#endif
