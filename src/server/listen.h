/*
 * Listening sockets: every address of a name, or a unix socket. Called by the server at its start; the sockets are the
 * caller's to close.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "ds4.h"

enum { LISTEN_MAX = 8 };

typedef struct listener {
    int socket[LISTEN_MAX];
    size_t n;
    char url[160];   /* http://127.0.0.1:8080, http://[::1]:8080, unix:/run/ds4.sock */
    char *unix_path; /* to remove at the end; NULL: none */
    bool is_local;   /* only programs of this machine can connect */
} listener;

/* Binds and listens. unix_path, if not NULL, is used instead of host and port. port "0" lets the system choose one, the
 * same for all addresses. With local_only an address that other machines can reach is DS4_ERROR_ARGUMENT, before
 * anything is bound. DS4_ERROR_IO names host and port. */
ds4_status listen_open(const char *host, const char *port, const char *unix_path, bool local_only, listener *out,
                       ds4_error *error);
/* Closes the sockets that are still there (-1: given away) and removes the unix socket's file. */
void listen_close(listener *self);

#endif
