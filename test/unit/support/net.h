/* Helpers of tests that use real sockets on loopback: a worker, plain blocking or non-blocking peers, and a recorder of a
 * transport's events. Nothing sleeps: a test turns the worker until what it waits for is there, at most 20 s. */
#ifndef WEIR_TEST_SUPPORT_NET_H
#define WEIR_TEST_SUPPORT_NET_H

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/address.h"
#include "dataplane/transport/transport.h"
#include "dataplane/worker/worker.h"

/* Turns the worker until the condition holds. */
#define TURN_UNTIL(worker, condition)                                                                                   \
    do {                                                                                                                \
        uint64_t start_ = net_now_ms();                                                                                 \
        while (!(condition)) {                                                                                          \
            weir_worker_turn((worker), 10);                                                                             \
            if (net_now_ms() - start_ > 20000) {                                                                        \
                fprintf(stderr, "%s:%d: waited in vain for %s\n", __FILE__, __LINE__, #condition);                      \
                abort();                                                                                                \
            }                                                                                                           \
        }                                                                                                               \
    } while (0)

uint64_t net_now_ms(void);
/* A listening TCP socket on 127.0.0.1, its address in *at. */
int net_listen(struct weir_address *at, int backlog);
/* A blocking socket connected to it; net_nonblocking() changes that. */
int net_connect(const struct weir_address *at);
void net_nonblocking(int fd);
/* Accepts from a listening socket, waiting. */
int net_accept(int listener);
/* A connected pair over loopback TCP: [0] non-blocking for a transport, [1] for the test, non-blocking too. */
void net_tcp_pair(int fd[2]);
/* Closes so that the other side sees RST. */
void net_reset(int fd);

/* A transport's owner that writes down what it hears. */
struct net_recorder {
    struct weir_transport *t; /* NULL once closed */
    unsigned connected, eof, drained, flushed, closed;
    enum weir_close_reason reason;
    char failure[512];
    size_t bytes, reads, read_bytes_max;
    char *data; /* everything that was read, NUL-terminated */
    bool echo, pause_after_read;
};
extern const struct weir_transport_events net_recorder_events;
void net_recorder_attach(struct net_recorder *r, struct weir_transport *t);
void net_recorder_deinit(struct net_recorder *r);
void net_write(struct weir_transport *t, const void *p, size_t n);

/* Reads what is there without waiting; returns the number of bytes, 0 for none yet, -1 at the end, -2 on a reset. */
ssize_t net_take(int fd, void *p, size_t n);

#endif
