#include "support/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_ANSWERS = 32, MAX_REQUESTS = 64, HEAD_BYTES = 8192 };

struct http_server {
    const char *content;
    size_t n_content;
    int listener, stop[2]; /* stop: a pipe that says so by being closed */
    char url[64];
    pthread_t thread;

    pthread_mutex_t lock; /* of what follows */
    http_answer answer[MAX_ANSWERS];
    size_t n_answers, n_requests;
    http_request request[MAX_REQUESTS];
};

static void must(bool ok, const char *what) {
    if (ok) return;
    perror(what);
    abort();
}

/* Programs that a test starts shall not hold connections open. */
static void keep_from_children(int fd) {
    must(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0, "http_server: descriptor");
}

/* Sleeps; false if the server is to stop, or the client has gone or said something. */
static bool pause_for(const http_server *server, int client, int milliseconds) {
    struct pollfd watched[2] = {{.fd = server->stop[0], .events = POLLIN}, {.fd = client, .events = POLLIN}};
    return poll(watched, 2, milliseconds) == 0;
}

static bool send_all(int client, const void *bytes, size_t n_bytes) {
    const char *data = bytes;
    while (n_bytes) {
        ssize_t n = send(client, data, n_bytes, 0);
        if (n <= 0) return false;
        data += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

/* ---- requests ------------------------------------------------------------------------------------ */

static bool read_head(const http_server *server, int client, char head[HEAD_BYTES]) {
    size_t n = 0;
    while (n + 1 < HEAD_BYTES) {
        struct pollfd watched[2] = {{.fd = server->stop[0], .events = POLLIN}, {.fd = client, .events = POLLIN}};
        if (poll(watched, 2, -1) < 1 || watched[0].revents) return false;
        ssize_t got = recv(client, head + n, HEAD_BYTES - 1 - n, 0);
        if (got <= 0) return false;
        n += (size_t)got;
        head[n] = '\0';
        if (strstr(head, "\r\n\r\n")) return true;
    }
    return false;
}

static void take_header(const char *head, const char *name, char *value, size_t capacity) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, strlen(name)) != 0) continue;
        const char *start = line + 2 + strlen(name);
        start += strspn(start, " ");
        snprintf(value, capacity, "%.*s", (int)strcspn(start, "\r\n"), start);
        return;
    }
}

static http_request parse_head(const char *head) {
    http_request request = {0};
    must(sscanf(head, "%7s %511s", request.method, request.target) == 2, "http_server: request");
    take_header(head, "host:", request.host, sizeof request.host);
    take_header(head, "range:", request.range, sizeof request.range);
    take_header(head, "authorization:", request.authorization, sizeof request.authorization);
    take_header(head, "proxy-authorization:", request.proxy_authorization, sizeof request.proxy_authorization);
    return request;
}

/* ---- answers ------------------------------------------------------------------------------------- */

typedef struct text {
    char bytes[4096];
    size_t n;
} text;

static void add(text *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(to->bytes + to->n, sizeof to->bytes - to->n, format, arguments);
    va_end(arguments);
    must(n >= 0 && to->n + (size_t)n < sizeof to->bytes, "http_server: headers");
    to->n += (size_t)n;
}

/* With a pause after each piece. */
static bool send_body(const http_server *server, int client, const http_answer *how, const char *bytes,
                      size_t n_bytes) {
    size_t piece = how->piece_bytes ? how->piece_bytes : how->is_chunked ? 10000 : n_bytes;
    for (size_t at = 0; at < n_bytes; at += piece) {
        size_t n = n_bytes - at < piece ? n_bytes - at : piece;
        char size[32];
        int n_size = snprintf(size, sizeof size, "%zx\r\n", n);
        if (how->is_chunked && !send_all(client, size, (size_t)n_size)) return false;
        if (!send_all(client, bytes + at, n) || (how->is_chunked && !send_all(client, "\r\n", 2))) return false;
        if (how->piece_bytes && !pause_for(server, client, how->pause_ms)) return false;
    }
    return true;
}

static void send_surplus(int client, size_t n_bytes) {
    static const char zeros[1000];
    for (size_t n; n_bytes; n_bytes -= n) {
        char size[32];
        n = n_bytes < sizeof zeros ? n_bytes : sizeof zeros;
        int n_size = snprintf(size, sizeof size, "%zx\r\n", n);
        if (!send_all(client, size, (size_t)n_size) || !send_all(client, zeros, n) || !send_all(client, "\r\n", 2))
            return;
    }
}

static void answer_request(const http_server *server, int client, const http_request *request, const http_answer *how) {
    const char *content = how->content ? how->content : server->content;
    size_t n_content = how->content ? how->n_content : server->n_content;
    size_t first = 0, last = n_content - 1, n_bytes = n_content;
    int status = how->status ? how->status : 200;
    bool is_part = !how->status && !how->ignores_range && sscanf(request->range, "bytes=%zu-%zu", &first, &last) >= 1;
    text head = {0}, range = {0};
    if (is_part && first < n_content) {
        status = 206;
        if (last >= n_content) last = n_content - 1;
        n_bytes = last - first + 1;
        add(&range, "bytes %zu-%zu/%zu", first, last, n_content);
    } else if (is_part) {
        status = 416;
        add(&range, "bytes */%zu", n_content);
    }
    if (status != 200 && status != 206) n_bytes = 0;

    add(&head, "HTTP/1.1 %d Whatever\r\nConnection: close\r\n%s", status, how->headers ? how->headers : "");
    const char *chosen_range = how->content_range ? how->content_range : range.bytes;
    if (*chosen_range) add(&head, "Content-Range: %s\r\n", chosen_range);
    if (how->is_chunked)
        add(&head, "Transfer-Encoding: chunked\r\n");
    else if (!how->content_length)
        add(&head, "Content-Length: %zu\r\n", n_bytes);
    else if (*how->content_length)
        add(&head, "Content-Length: %s\r\n", how->content_length);
    add(&head, "\r\n");
    if (!send_all(client, head.bytes, head.n)) return;

    if (how->stalls) pause_for(server, client, -1);
    bool drops = how->drop_after && how->drop_after < n_bytes;
    bool ok = send_body(server, client, how, content + first, drops ? how->drop_after : n_bytes);
    if (!ok || drops || !how->is_chunked) return;
    send_surplus(client, how->n_surplus);
    send_all(client, "0\r\n\r\n", 5);
}

static void serve(http_server *server, int client) {
    char head[HEAD_BYTES];
    if (!read_head(server, client, head)) return;
    http_request request = parse_head(head);
    pthread_mutex_lock(&server->lock);
    size_t i = server->n_requests++;
    must(i < MAX_REQUESTS, "http_server: too many requests");
    server->request[i] = request;
    http_answer how = server->answer[i < server->n_answers ? i : server->n_answers - 1];
    pthread_mutex_unlock(&server->lock);
    answer_request(server, client, &request, &how);
    struct linger now = {.l_onoff = 1};
    if (how.resets) setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void *run(void *context) {
    http_server *server = context;
    struct pollfd watched[2] = {{.fd = server->stop[0], .events = POLLIN}, {.fd = server->listener, .events = POLLIN}};
    while (poll(watched, 2, -1) > 0 && !watched[0].revents) {
        int client = accept(server->listener, NULL, NULL);
        if (client < 0) continue;
        keep_from_children(client);
        serve(server, client);
        close(client);
    }
    return NULL;
}

/* ---- from outside -------------------------------------------------------------------------------- */

http_server *http_server_start(const void *content, size_t n_bytes) {
    http_server *server = calloc(1, sizeof *server);
    must(server, "http_server: memory");
    server->content = content;
    server->n_content = n_bytes;
    server->n_answers = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    must(server->listener >= 0, "http_server: socket");
    keep_from_children(server->listener);
    must(bind(server->listener, (struct sockaddr *)&address, length) == 0, "http_server: bind");
    must(listen(server->listener, 16) == 0, "http_server: listen");
    must(getsockname(server->listener, (struct sockaddr *)&address, &length) == 0, "http_server: name");
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", (int)ntohs(address.sin_port));
    must(pipe(server->stop) == 0, "http_server: pipe");
    keep_from_children(server->stop[0]);
    keep_from_children(server->stop[1]);
    pthread_mutex_init(&server->lock, NULL);
    must(pthread_create(&server->thread, NULL, run, server) == 0, "http_server: thread");
    return server;
}

void http_server_stop(http_server *server) {
    close(server->stop[1]);
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *http_server_url(const http_server *server) {
    return server->url;
}

void http_server_script(http_server *server, const http_answer *answers, size_t n_answers) {
    must(n_answers > 0 && n_answers <= MAX_ANSWERS, "http_server: script");
    pthread_mutex_lock(&server->lock);
    memcpy(server->answer, answers, n_answers * sizeof *answers);
    server->n_answers = n_answers;
    server->n_requests = 0;
    pthread_mutex_unlock(&server->lock);
}

size_t http_server_n_requests(http_server *server) {
    pthread_mutex_lock(&server->lock);
    size_t n = server->n_requests;
    pthread_mutex_unlock(&server->lock);
    return n;
}

http_request http_server_request(http_server *server, size_t i) {
    pthread_mutex_lock(&server->lock);
    must(i < server->n_requests, "http_server: no such request");
    http_request request = server->request[i];
    pthread_mutex_unlock(&server->lock);
    return request;
}
