/* The parts of api_chat: its reader and its emitter. */
#ifndef SERVER_CHAT_H
#define SERVER_CHAT_H

#include "server/api.h"

bool chat_read(json_t *body, const server_facts *facts, request *asked, problem *why);

#endif
