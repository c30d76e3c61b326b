/* A blind TCP relay: the least work that any proxy in user space does for each byte. ./bench compares with it.
 * usage: relay LISTEN_PORT BACKEND_PORT, both on 127.0.0.1. One thread, epoll, one read and one write an event.
 * Memory of a pair is given back once both its sockets are closed; nothing is buffered but what a write left over. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 64 * 1024, EVENTS_MAX = 256 };

struct side {
    int fd;
    struct side *other;
    char *left; /* bytes read from the other side that did not fit here */
    size_t left_size;
    int ended; /* end of stream was read from this side */
    int closed;
};

static char buffer[BUFFER_SIZE];
static struct side *closing;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int poll, int operation, struct side *side, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = side};
    if (epoll_ctl(poll, operation, side->fd, &event) != 0)
        fail("epoll_ctl");
}

static void pair_close(struct side *side)
{
    if (side->closed)
        return;
    side->closed = side->other->closed = 1;
    close(side->fd);
    close(side->other->fd);
    /* Both may still stand in the batch of events at hand: freed after it. */
    side->left_size = 0;
    free(side->left);
    side->left = (char *)closing;
    closing = side;
}

static void closed_free(void)
{
    while (closing != NULL) {
        struct side *side = closing;
        closing = (struct side *)side->left;
        free(side->other->left);
        free(side->other);
        free(side);
    }
}

static void forward(int poll, struct side *side)
{
    struct side *to = side->other;
    if (to->left_size != 0)
        return;
    ssize_t size = read(side->fd, buffer, sizeof buffer);
    if (size < 0) {
        if (errno != EAGAIN)
            pair_close(side);
        return;
    }
    if (size == 0) {
        side->ended = 1;
        if (to->ended) {
            pair_close(side);
            return;
        }
        shutdown(to->fd, SHUT_WR);
        watch(poll, EPOLL_CTL_MOD, side, 0);
        return;
    }
    ssize_t written = write(to->fd, buffer, (size_t)size);
    if (written < 0 && errno != EAGAIN) {
        pair_close(side);
        return;
    }
    if (written < 0)
        written = 0;
    if (written == size)
        return;
    to->left_size = (size_t)(size - written);
    to->left = malloc(to->left_size);
    if (to->left == NULL)
        fail("malloc");
    memcpy(to->left, buffer + written, to->left_size);
    watch(poll, EPOLL_CTL_MOD, to, (to->ended ? 0u : (unsigned)EPOLLIN) | EPOLLOUT);
    watch(poll, EPOLL_CTL_MOD, side, 0);
}

static void flush_left(int poll, struct side *side)
{
    ssize_t written = write(side->fd, side->left, side->left_size);
    if (written < 0) {
        if (errno != EAGAIN)
            pair_close(side);
        return;
    }
    side->left_size -= (size_t)written;
    memmove(side->left, side->left + written, side->left_size);
    if (side->left_size != 0)
        return;
    free(side->left);
    side->left = NULL;
    watch(poll, EPOLL_CTL_MOD, side, side->ended ? 0 : EPOLLIN);
    watch(poll, EPOLL_CTL_MOD, side->other, EPOLLIN);
}

static void accept_pair(int poll, int listener, int backend_port)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct side *client = calloc(1, sizeof *client);
    struct side *server = calloc(1, sizeof *server);
    if (client == NULL || server == NULL)
        fail("calloc");
    *client = (struct side){.fd = fd, .other = server};
    *server = (struct side){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .other = client};
    struct sockaddr_in address = loopback(backend_port);
    /* Blocking: on loopback it is done at once, and the relay stays simple. */
    if (server->fd < 0 || connect(server->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    fcntl(server->fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(poll, EPOLL_CTL_ADD, client, EPOLLIN);
    watch(poll, EPOLL_CTL_ADD, server, EPOLLIN);
}

int main(int argc, char **argv)
{
    int on = 1;
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT BACKEND_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback((int)strtol(argv[1], NULL, 10));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0)
        fail("listen");
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct side accepting = {.fd = listener};
    watch(poll, EPOLL_CTL_ADD, &accepting, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct side *side = events[i].data.ptr;
            if (side == &accepting) {
                accept_pair(poll, listener, (int)strtol(argv[2], NULL, 10));
                continue;
            }
            if (!side->closed && (events[i].events & EPOLLOUT) != 0)
                flush_left(poll, side);
            if (!side->closed && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                forward(poll, side);
        }
        closed_free();
    }
}
