#include "test/unit/support/net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/transport/raw.h"

static void must(bool ok, const char *what)
{
    if (ok) return;
    perror(what);
    abort();
}

uint64_t net_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int net_listen(struct weir_address *at, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    must(weir_address_parse(WEIR_STR("127.0.0.1"), 0, at), "parse");
    must(bind(fd, &at->any, at->length) == 0, "bind");
    must(listen(fd, backlog) == 0, "listen");
    must(getsockname(fd, &at->any, &at->length) == 0, "getsockname");
    return fd;
}

int net_connect(const struct weir_address *at)
{
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    must(connect(fd, &at->any, at->length) == 0, "connect");
    return fd;
}

void net_nonblocking(int fd)
{
    must(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0, "fcntl");
}

int net_accept(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    must(poll(&p, 1, 20000) == 1, "poll");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    must(fd >= 0, "accept");
    return fd;
}

void net_tcp_pair(int fd[2])
{
    struct weir_address at;
    int l = net_listen(&at, 4);
    fd[1] = net_connect(&at);
    fd[0] = net_accept(l);
    net_nonblocking(fd[1]);
    (void)close(l);
}

void net_reset(int fd)
{
    struct linger l = {.l_onoff = 1};
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0, "SO_LINGER");
    (void)close(fd);
}

static void on_connected(void *owner)
{
    ((struct net_recorder *)owner)->connected++;
}
static void on_read(void *owner, struct weir_slice bytes)
{
    struct net_recorder *r = owner;
    r->data = realloc(r->data, r->bytes + bytes.n + 1);
    must(r->data != NULL, "realloc");
    memcpy(r->data + r->bytes, bytes.p, bytes.n);
    r->bytes += bytes.n;
    r->data[r->bytes] = 0;
    r->reads++;
    if (bytes.n > r->read_bytes_max) r->read_bytes_max = bytes.n;
    if (r->pause_after_read) weir_transport_read(r->t, false);
    if (r->echo) {
        struct weir_buffer b;
        weir_buffer_init(&b);
        weir_buffer_push(&b, bytes);
        weir_transport_write(r->t, &b);
        weir_buffer_deinit(&b);
        return;
    }
    if (bytes.block != NULL) weir_block_release(bytes.block);
}
static void on_eof(void *owner)
{
    ((struct net_recorder *)owner)->eof++;
}
static void on_drained(void *owner)
{
    ((struct net_recorder *)owner)->drained++;
}
static void on_flushed(void *owner)
{
    ((struct net_recorder *)owner)->flushed++;
}
static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct net_recorder *r = owner;
    r->closed++;
    r->reason = reason;
    snprintf(r->failure, sizeof(r->failure), "%.*s", WEIR_STR_ARG(r->t->failure_reason));
    r->t = NULL;
}
const struct weir_transport_events net_recorder_events = {on_connected, on_read, on_eof, on_drained, on_flushed, on_closed};

void net_recorder_attach(struct net_recorder *r, struct weir_transport *t)
{
    r->t = t;
    weir_transport_attach(t, &net_recorder_events, r);
}

void net_recorder_deinit(struct net_recorder *r)
{
    if (r->t != NULL) weir_transport_close(r->t, false);
    free(r->data);
    *r = (struct net_recorder){0};
}

void net_write(struct weir_transport *t, const void *p, size_t n)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &t->worker->blocks, p, n);
    weir_transport_write(t, &b);
    weir_buffer_deinit(&b);
}

ssize_t net_take(int fd, void *p, size_t n)
{
    ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
    if (got > 0) return got;
    if (got == 0) return -1;
    return errno == EAGAIN ? 0 : -2;
}
