#include "support/http_client.h"

#include "base/file.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const double longest_wait = 20;

static void must(bool ok, const char *what) {
    if (ok) return;
    perror(what);
    abort();
}

/* ---- connections --------------------------------------------------------------------------------- */

static int connect_unix(const char *path, int receive_bytes) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    must(fd >= 0 && strlen(path) < sizeof address.sun_path, "http_client: socket");
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

int http_connect_narrow(const char *url, int receive_bytes) {
    if (strncmp(url, "unix:", 5) == 0) return connect_unix(url + 5, receive_bytes);
    const char *start = url + strlen("http://"), *port = strrchr(url, ':') + 1;
    const char *end = port - 1;
    if (*start == '[') {
        start++;
        end--;
    }
    char host[128];
    snprintf(host, sizeof host, "%.*s", (int)(end - start), start);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    must(getaddrinfo(host, port, &hints, &list) == 0, "http_client: address");
    int fd = -1;
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM, 0);
        must(fd >= 0, "http_client: socket");
        if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) break;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

int http_connect(const char *url) {
    return http_connect_narrow(url, 0);
}

bool http_send(int socket, const void *bytes, size_t n_bytes) {
    const char *at = bytes;
    while (n_bytes) {
#ifdef MSG_NOSIGNAL
        ssize_t n = send(socket, at, n_bytes, MSG_NOSIGNAL);
#else
        ssize_t n = send(socket, at, n_bytes, 0);
#endif
        if (n <= 0) return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool http_send_text(int socket, const char *text) {
    return http_send(socket, text, strlen(text));
}

bool http_ask(int socket, const char *method, const char *path, const char *headers, const char *body) {
    ds4_buffer bytes = {0};
    char length[64];
    bool ok = buffer_append_string(&bytes, method) && buffer_append_string(&bytes, " ") &&
              buffer_append_string(&bytes, path) && buffer_append_string(&bytes, " HTTP/1.1\r\nHost: test\r\n") &&
              buffer_append_string(&bytes, headers ? headers : "");
    if (body) {
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
        ok = ok && buffer_append_string(&bytes, length);
    }
    ok = ok && buffer_append_string(&bytes, "\r\n") && buffer_append_string(&bytes, body ? body : "");
    must(ok, "http_client: memory");
    ok = http_send(socket, bytes.data, bytes.n_bytes);
    ds4_buffer_deinit(&bytes);
    return ok;
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* 0: the end; -1: nothing for so long. */
static ssize_t receive(int socket, char *bytes, size_t room, double seconds) {
    struct pollfd watched = {.fd = socket, .events = POLLIN};
    int ready = poll(&watched, 1, seconds > 0 ? (int)(seconds * 1000) : 0);
    if (ready <= 0) return -1;
    ssize_t n = recv(socket, bytes, room, 0);
    return n < 0 ? 0 : n;
}

bool http_read_until(int socket, ds4_buffer *bytes, const char *text, double seconds) {
    double until = time_seconds() + seconds;
    while (!bytes->data || !strstr(bytes->data, text)) {
        char some[4096];
        ssize_t n = receive(socket, some, sizeof some, until - time_seconds());
        if (n <= 0) return false;
        must(buffer_append(bytes, some, (size_t)n), "http_client: memory");
    }
    return true;
}

bool http_is_closed_within(int socket, double seconds) {
    double until = time_seconds() + seconds;
    for (;;) {
        char some[4096];
        ssize_t n = receive(socket, some, sizeof some, until - time_seconds());
        if (n <= 0) return n == 0;
    }
}

/* Bytes of a connection that are read as they are needed. */
typedef struct source {
    int socket;
    char some[16384];
    size_t n, at;
    double until;
} source;

static bool take_byte(source *from, char *byte) {
    if (from->at == from->n) {
        ssize_t n = receive(from->socket, from->some, sizeof from->some, from->until - time_seconds());
        if (n <= 0) return false;
        from->n = (size_t)n;
        from->at = 0;
    }
    *byte = from->some[from->at++];
    return true;
}

/* Up to and with "\r\n". */
static bool take_line(source *from, ds4_buffer *line) {
    char byte;
    while (take_byte(from, &byte)) {
        must(buffer_append(line, &byte, 1), "http_client: memory");
        if (byte == '\n') return true;
    }
    return false;
}

static bool take_bytes(source *from, size_t n_bytes, ds4_buffer *to) {
    char byte;
    for (size_t i = 0; i < n_bytes; i++) {
        if (!take_byte(from, &byte)) return false;
        must(buffer_append(to, &byte, 1), "http_client: memory");
    }
    return true;
}

static bool take_chunks(source *from, ds4_buffer *body) {
    for (;;) {
        ds4_buffer line = {0};
        bool ok = take_line(from, &line);
        char *end = NULL;
        unsigned long n = ok ? strtoul(line.data, &end, 16) : 0;
        ok = ok && end != line.data && *end == '\r';
        buffer_clear(&line);
        ok = ok && take_bytes(from, n, body) && take_line(from, &line) && strcmp(line.data, "\r\n") == 0;
        ds4_buffer_deinit(&line);
        if (!ok || n == 0) return ok;
    }
}

const char *http_header(const http_response *response, const char *name, char value[256]) {
    size_t n = strlen(name);
    *value = '\0';
    for (const char *line = response->head.data; line && (line = strstr(line, "\r\n")); line += 2) {
        if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':') continue;
        const char *start = line + 2 + n + 1;
        start += strspn(start, " ");
        snprintf(value, 256, "%.*s", (int)strcspn(start, "\r\n"), start);
        break;
    }
    return value;
}

http_response http_answer_of(int socket, const char *method) {
    http_response response = {0};
    source from = {.socket = socket, .until = time_seconds() + longest_wait};
    do {
        size_t before = response.head.n_bytes;
        if (!take_line(&from, &response.head)) return response;
        if (strcmp(response.head.data + before, "\r\n") != 0) continue;
        /* 100 Continue comes before the response */
        if (strncmp(response.head.data, "HTTP/1.1 100", 12) != 0) break;
        buffer_clear(&response.head);
    } while (true);
    if (sscanf(response.head.data, "HTTP/%*s %d", &response.status) != 1) return response;
    char value[256];
    response.is_chunked = strcmp(http_header(&response, "Transfer-Encoding", value), "chunked") == 0;
    if (strcmp(method, "HEAD") == 0 || response.status == 204) {
        response.is_whole = true;
    } else if (response.is_chunked) {
        response.is_whole = take_chunks(&from, &response.body);
    } else if (*http_header(&response, "Content-Length", value)) {
        response.is_whole = take_bytes(&from, strtoul(value, NULL, 10), &response.body);
    } else {
        take_bytes(&from, SIZE_MAX, &response.body);
        response.is_whole = time_seconds() < from.until;
    }
    return response;
}

http_response http_call(const char *url, const char *method, const char *path, const char *headers, const char *body) {
    int fd = http_connect(url);
    if (fd < 0) return (http_response){0};
    http_ask(fd, method, path, headers, body);
    http_response response = http_answer_of(fd, method);
    close(fd);
    return response;
}

http_response http_raw(const char *url, const char *bytes, size_t n_bytes) {
    int fd = http_connect(url);
    if (fd < 0) return (http_response){0};
    http_send(fd, bytes, n_bytes);
    http_response response = http_answer_of(fd, "GET");
    close(fd);
    return response;
}

void http_response_deinit(http_response *response) {
    ds4_buffer_deinit(&response->head);
    ds4_buffer_deinit(&response->body);
}

/* ---- streams ------------------------------------------------------------------------------------- */

bool sse_read(const char **at, sse_event *event) {
    *event = (sse_event){.data = ""};
    const char *end = *at ? strstr(*at, "\n\n") : NULL;
    if (!end) return false;
    for (const char *line = *at; line < end; line += strcspn(line, "\n") + 1) {
        size_t n = strcspn(line, "\n");
        if (strncmp(line, "event: ", 7) == 0)
            snprintf(event->event, sizeof event->event, "%.*s", (int)(n - 7), line + 7);
        if (strncmp(line, "data: ", 6) == 0) {
            event->data = line + 6;
            event->n_data = n - 6;
        }
    }
    *at = end + 2;
    return true;
}
