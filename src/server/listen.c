#include "server/listen.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, PORT_ATTEMPTS = 8 };

static int socket_new(int family) {
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static void sockets_close(listener *self) {
    for (size_t i = 0; i < self->n; i++)
        if (self->socket[i] >= 0) close(self->socket[i]);
    self->n = 0;
}

void listen_close(listener *self) {
    sockets_close(self);
    if (self->unix_path) unlink(self->unix_path);
    free(self->unix_path);
    self->unix_path = NULL;
}

/* ---- unix sockets -------------------------------------------------------------------------------- */

/* A socket's file that no server listens on any more. */
static bool is_stale(const struct sockaddr_un *address) {
    struct stat about;
    if (lstat(address->sun_path, &about) != 0 || !S_ISSOCK(about.st_mode)) return false;
    int fd = socket_new(AF_UNIX);
    if (fd < 0) return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static ds4_status open_unix(const char *path, listener *self, ds4_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return error_set(error, DS4_ERROR_ARGUMENT, "--unix: '%s', expected a path of 1 to %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    char *kept = strdup(path);
    int fd = kept ? socket_new(AF_UNIX) : -1;
    const struct sockaddr *generic = (const struct sockaddr *)&address;
    bool bound = fd >= 0 && bind(fd, generic, sizeof address) == 0;
    if (fd >= 0 && !bound && errno == EADDRINUSE) {
        if (is_stale(&address) && unlink(path) == 0)
            bound = bind(fd, generic, sizeof address) == 0;
        else
            errno = EADDRINUSE;
    }
    /* nobody can connect before listen, so nobody comes in before the mode is set */
    if (bound && chmod(path, S_IRUSR | S_IWUSR) == 0 && listen(fd, BACKLOG) == 0) {
        self->socket[self->n++] = fd;
        self->unix_path = kept;
        self->is_local = true;
        snprintf(self->url, sizeof self->url, "unix:%s", path);
        return DS4_OK;
    }
    ds4_status status = error_set(error, DS4_ERROR_IO, "%s: cannot listen: %s", path, strerror(errno));
    if (bound) unlink(path);
    if (fd >= 0) close(fd);
    free(kept);
    return status;
}

/* ---- addresses ----------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof v6);
    const uint8_t *bytes = v6.sin6_addr.s6_addr;
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && bytes[12] == 127);
}

static bool is_wildcard_v6(const struct sockaddr *address) {
    struct sockaddr_in6 v6;
    if (address->sa_family != AF_INET6) return false;
    memcpy(&v6, address, sizeof v6);
    return IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
}

static in_port_t port_of(const struct sockaddr *address) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) return memcpy(&v4, address, sizeof v4), v4.sin_port;
    return memcpy(&v6, address, sizeof v6), v6.sin6_port;
}

static void set_port(struct sockaddr_storage *address, in_port_t port) {
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = port;
    else
        ((struct sockaddr_in6 *)address)->sin6_port = port;
}

/* *port in network order: 0 is replaced by what the system chose. Returns the socket or -1 with errno. */
static int open_address(const struct addrinfo *at, in_port_t *port) {
    struct sockaddr_storage address = {0};
    int fd = socket_new(at->ai_family), on = 1, v6_only = !is_wildcard_v6(at->ai_addr);
    if (fd < 0) return -1;
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    set_port(&address, *port);
    socklen_t length = sizeof address;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (at->ai_family == AF_INET6) ok = ok && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0;
    ok = ok && bind(fd, (struct sockaddr *)&address, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0 &&
         getsockname(fd, (struct sockaddr *)&address, &length) == 0;
    if (ok) {
        *port = port_of((struct sockaddr *)&address);
        return fd;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* Every address of the list on one port. An address that this machine does not have, such as IPv6 where it is off, is
 * left out as long as there is another. Returns 0 or errno. */
static int open_addresses(const struct addrinfo *list, in_port_t *port, listener *self) {
    int reason = EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at && self->n < LISTEN_MAX; at = at->ai_next) {
        int fd = open_address(at, port);
        if (fd >= 0) {
            self->socket[self->n++] = fd;
        } else {
            reason = errno;
            if (reason != EADDRNOTAVAIL && reason != EAFNOSUPPORT) {
                sockets_close(self);
                return reason;
            }
        }
    }
    return self->n ? 0 : reason;
}

static bool parse_port(const char *text, in_port_t *port) {
    size_t n = strspn(text, "0123456789");
    unsigned long value = n && n < 6 && !text[n] ? strtoul(text, NULL, 10) : 65536;
    *port = htons((uint16_t)value);
    return value <= 65535;
}

static ds4_status open_host(const char *host, const char *port, bool local_only, listener *self, ds4_error *error) {
    in_port_t wanted, chosen;
    if (!parse_port(port, &wanted))
        return error_set(error, DS4_ERROR_ARGUMENT, "--port: '%s', expected a whole number from 0 to 65535", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    int problem = getaddrinfo(host, NULL, &hints, &list);
    if (problem) return error_set(error, DS4_ERROR_IO, "--host %s: %s", host, gai_strerror(problem));
    self->is_local = true;
    for (const struct addrinfo *at = list; at; at = at->ai_next) self->is_local &= is_loopback(at->ai_addr);
    if (local_only && !self->is_local) {
        freeaddrinfo(list);
        return error_set(error, DS4_ERROR_ARGUMENT,
                         "--host %s: others could use this server: give --api-key-file, or say --insecure", host);
    }
    int reason = 0;
    /* a port that is free at one address may be taken at the next */
    for (int attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
        chosen = wanted;
        reason = open_addresses(list, &chosen, self);
        if (reason != EADDRINUSE || wanted) break;
    }
    freeaddrinfo(list);
    if (reason) return error_set(error, DS4_ERROR_IO, "cannot listen on %s port %s: %s", host, port, strerror(reason));
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(self->url, sizeof self->url, "http://%s%.100s%s:%d", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
             (int)ntohs(chosen));
    return DS4_OK;
}

ds4_status listen_open(const char *host, const char *port, const char *unix_path, bool local_only, listener *out,
                       ds4_error *error) {
    listener opened = {0};
    ds4_status status =
        unix_path ? open_unix(unix_path, &opened, error) : open_host(host, port, local_only, &opened, error);
    if (status == DS4_OK) *out = opened;
    return status;
}
