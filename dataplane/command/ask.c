/* See ask.h. The answer is read to the end of the connection, which "Connection: close" asks for. */
#include "dataplane/command/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HOST_MAX 64
#define HEAD_MAX 16384

uint64_t weir_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

int weir_duration_read(const char *text, uint64_t *out_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
    char *end;
    if (text[0] < '0' || text[0] > '9') return 0;
    double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) != 0) continue;
        if (number * units[i].ms > 1e12) return 0;
        *out_ms = (uint64_t)(number * units[i].ms);
        return 1;
    }
    return 0;
}

struct target {
    struct sockaddr_storage address;
    socklen_t length;
    char host[HOST_MAX + 8]; /* with port, as in the URL */
    const char *path;
};

static int target_read(const char *url, struct target *t)
{
    char host[HOST_MAX];
    if (strncmp(url, "http://", 7) != 0) return 0;
    const char *at = url + 7, *slash = strchr(at, '/'), *end = slash != NULL ? slash : at + strlen(at), *colon = end;
    while (colon > at && *colon != ':' && *colon != ']') colon--;
    long port = 80;
    size_t n = (size_t)(end - at);
    if (*colon == ':') {
        char *after;
        port = strtol(colon + 1, &after, 10);
        if (after != end || port <= 0 || port > 65535) return 0;
        n = (size_t)(colon - at);
    }
    if (n == 0 || n >= sizeof(host)) return 0;
    memcpy(host, at, n);
    host[n] = '\0';
    snprintf(t->host, sizeof(t->host), "%.*s", (int)(end - at), at);
    t->path = slash != NULL ? slash : "/";
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&t->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&t->address;
    memset(&t->address, 0, sizeof(t->address));
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        t->length = sizeof(*v6);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    t->length = sizeof(*v4);
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) == 1;
}

/* Waits for the socket; false with errno ETIMEDOUT once `end_ms` has passed. */
static int ready(int fd, short events, uint64_t end_ms)
{
    for (;;) {
        uint64_t now = weir_clock_ms();
        struct pollfd p = {fd, events, 0};
        int n = poll(&p, 1, now < end_ms ? (int)(end_ms - now < 3600000 ? end_ms - now : 3600000) : 0);
        if (n > 0) return 1;
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ETIMEDOUT;
        return 0;
    }
}

static int connected(int fd, const struct target *t, uint64_t end_ms)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (connect(fd, (const struct sockaddr *)&t->address, t->length) == 0) return 1;
    if (errno != EINPROGRESS || !ready(fd, POLLOUT, end_ms)) return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0) return 0;
    errno = error;
    return error == 0;
}

static int sent(int fd, const char *bytes, size_t n, uint64_t end_ms)
{
    while (n > 0) {
        if (!ready(fd, POLLOUT, end_ms)) return 0;
        ssize_t did = send(fd, bytes, n, MSG_NOSIGNAL);
        if (did < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (did > 0) bytes += did, n -= (size_t)did;
    }
    return 1;
}

/* Bytes of a chunked body moved together (RFC 9112 7.1); what is not one stays as it is. */
static void unchunk(char *body)
{
    char *from = body, *to = body, *end = body + strlen(body);
    while (from < end) {
        char *after;
        unsigned long n = strtoul(from, &after, 16);
        char *line = strstr(from, "\r\n");
        if (after == from || line == NULL || n == 0) break;
        from = line + 2;
        if (n > (unsigned long)(end - from)) n = (unsigned long)(end - from);
        memmove(to, from, n);
        to += n;
        from += n;
        if (strncmp(from, "\r\n", 2) == 0) from += 2;
    }
    *to = '\0';
}

static void answer_read(int fd, uint64_t end_ms, struct weir_answer *out)
{
    char bytes[HEAD_MAX + sizeof(out->text)];
    size_t n = 0;
    while (n < sizeof(bytes) - 1) {
        if (!ready(fd, POLLIN, end_ms)) {
            snprintf(out->text, sizeof(out->text), "no answer: %s", strerror(errno));
            return;
        }
        ssize_t got = recv(fd, bytes + n, sizeof(bytes) - 1 - n, 0);
        if (got == 0) break;
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            snprintf(out->text, sizeof(out->text), "no answer: %s", strerror(errno));
            return;
        }
        if (got > 0) n += (size_t)got;
    }
    bytes[n] = '\0';
    char *body = strstr(bytes, "\r\n\r\n");
    int status = 0;
    if (body == NULL || sscanf(bytes, "HTTP/1.%*1[01] %3d", &status) != 1 || status < 100) {
        snprintf(out->text, sizeof(out->text), "the answer is no HTTP");
        return;
    }
    *body = '\0';
    body += 4;
    if (strcasestr(bytes, "\ntransfer-encoding: chunked") != NULL) unchunk(body);
    out->status = status;
    snprintf(out->text, sizeof(out->text), "%.*s", (int)sizeof(out->text) - 1, body);
}

void weir_ask(const char *method, const char *url, uint64_t timeout_ms, struct weir_answer *out)
{
    struct target t;
    char request[4096];
    uint64_t end_ms = weir_clock_ms() + timeout_ms;
    out->status = 0;
    out->text[0] = '\0';
    if (!target_read(url, &t)) {
        snprintf(out->text, sizeof(out->text), "'%s' is no URL such as http://127.0.0.1:15021/ready", url);
        return;
    }
    int n = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nhost: %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", method, t.path, t.host);
    int fd = socket(t.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || n >= (int)sizeof(request) || !connected(fd, &t, end_ms) || !sent(fd, request, (size_t)n, end_ms))
        snprintf(out->text, sizeof(out->text), "%s: %s", t.host, strerror(errno));
    else
        answer_read(fd, end_ms, out);
    if (fd >= 0) (void)close(fd);
}
