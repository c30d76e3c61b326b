/* Sockets as transports. Reading: our own recv with a budget, into a block that all sockets of the worker share, or into a
 * large one of its own while a peer fills what it is given. Writing: a queue that leaves with one call at the turn's end.
 *
 * The loop's interest in a socket changes as rarely as can be: reading is switched off lazily (bytes that come while it is
 * off are held, at most one block; only then the loop is told), writing is watched only after the kernel took less than
 * it was given. Invariant: a closed transport is freed at the end of the turn; every callback may close it, so `closed` is
 * looked at after each. */
#include "dataplane/transport/raw.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>

#include "dataplane/limits.h"
#include "dataplane/transport/hangup.h"
#include "dataplane/transport/ops.h"
#include "dataplane/transport/own.h"
#include "dataplane/transport/room.h"
#include "dataplane/worker/loop_socket.h"

#define ROOM_BYTES_MIN 4096u  /* less than that left: a fresh block */
#define WRITE_SLICES_MAX 64   /* one call */
#define FAILURE_TEXT_MAX 128u

struct weir_raw {
    struct weir_transport t;
    h2o_socket_t *socket; /* NULL: none could be made, on_closed is on its way */
    struct weir_buffer out;
    struct weir_slice held; /* came while reading was off */
    struct weir_deferred flush, deliver;
    struct weir_timer timer; /* connect, then linger */
    struct weir_hangup hangup;
    struct weir_dead dead;
    struct weir_list lingering;
    char *failure_text;
    uint32_t read_bytes; /* what the next read asks for */
    uint32_t linger_ms;
    uint32_t unread; /* of `held`, not counted as received until the next owner gets it */
    int connect_error;
    uint16_t own_port; /* in the worker's table of own connections; 0: not in it */
    bool connecting, reading, polled, write_polled, eof, eof_told, fin_wanted, fin_sent, write_dead, flushed_wanted;
    bool detached;  /* finish() was called */
    bool unflushed; /* and the worker counts it as long as not all is written */
    bool closed;
};

static const struct weir_transport_ops raw_ops;

static struct weir_raw *raw_of(struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct weir_raw, t);
}
static const struct weir_raw *raw_of_const(const struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct weir_raw, t);
}

static void destroy(struct weir_dead *d)
{
    struct weir_raw *r = WEIR_CONTAINER_OF(d, struct weir_raw, dead);
    weir_address_kept_deinit(&r->t.local);
    weir_address_kept_deinit(&r->t.remote);
    free(r->failure_text);
    free(r);
}

static void flushed(struct weir_raw *r)
{
    if (!r->unflushed) return;
    r->unflushed = false;
    r->t.worker->unflushed--;
}

static void close_now(struct weir_raw *r)
{
    struct weir_worker *w = r->t.worker;
    if (r->closed) return;
    r->closed = true;
    weir_list_remove(&r->lingering);
    flushed(r);
    weir_timer_stop(&w->timers, &r->timer);
    weir_worker_undefer(&r->flush);
    weir_worker_undefer(&r->deliver);
    if (r->held.block != NULL) weir_block_release(r->held.block);
    weir_buffer_deinit(&r->out);
    if (r->socket != NULL) {
        weir_hangup_disarm(w, &r->hangup, h2o_socket_get_fd(r->socket));
        h2o_socket_close(r->socket);
    }
    if (r->own_port != 0) weir_own_remove(w->own, r->own_port);
    r->dead.destroy = destroy;
    weir_worker_bury(w, &r->dead);
}

static void end(struct weir_raw *r, enum weir_close_reason reason)
{
    if (r->closed) return;
    bool told = !r->detached;
    close_now(r);
    if (told) r->t.events->on_closed(r->t.owner, reason);
}

static void on_socket_readable(h2o_socket_t *s, const char *err);
static void on_socket_writable(h2o_socket_t *s, const char *err);

static void poll_reading(struct weir_raw *r, bool on)
{
    if (on == r->polled || r->socket == NULL) return;
    r->polled = on;
    if (on)
        h2o_socket_read_start(r->socket, on_socket_readable);
    else
        h2o_socket_read_stop(r->socket);
}

/* Both directions are over. Where somebody owns it, who may still hold what has come, it is the owner's to close. */
static void end_if_done(struct weir_raw *r)
{
    if (r->detached && r->eof && r->fin_sent) end(r, WEIR_CLOSE_REMOTE);
}

/* How long the peer of a finished transport may do nothing. */
static void wait_start(struct weir_raw *r, uint32_t at_least_ms)
{
    uint32_t wait_ms = r->linger_ms > at_least_ms ? r->linger_ms : at_least_ms;
    weir_timer_start(&r->t.worker->timers, &r->timer, wait_ms > WEIR_UNWRITTEN_STALL_MS ? wait_ms : WEIR_UNWRITTEN_STALL_MS);
}

static void tell_eof(struct weir_raw *r)
{
    if (r->closed || r->eof_told || r->held.n != 0) return;
    r->eof_told = true;
    if (!r->detached && r->t.events->on_eof != NULL) r->t.events->on_eof(r->t.owner);
    end_if_done(r);
}

/* One read. `slice` owns a reference when n > 0. *full: the kernel may have more. Returns what recv did. */
static ssize_t read_once(struct weir_raw *r, uint32_t want, struct weir_slice *slice, bool *full)
{
    struct weir_worker *w = r->t.worker;
    uint8_t *at;
    uint32_t room;
    struct weir_block *block = weir_room_take(w, want, ROOM_BYTES_MIN, &at, &room);
    ssize_t n;
    do {
        n = recv(h2o_socket_get_fd(r->socket), at, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        int error = errno;
        weir_block_release(block);
        errno = error;
        return n;
    }
    weir_room_use(w, block, (size_t)n);
    *full = (uint32_t)n == room;
    *slice = (struct weir_slice){at, (size_t)n, block};
    r->t.rx_bytes += (uint64_t)n;
    return n;
}

static void adapt(struct weir_raw *r, size_t n, bool full)
{
    if (full && r->read_bytes < WEIR_BLOCK_BYTES_MAX)
        r->read_bytes *= 4;
    else if (n < r->read_bytes / 4)
        r->read_bytes = WEIR_BLOCK_BYTES;
    if (r->read_bytes > WEIR_BLOCK_BYTES_MAX) r->read_bytes = WEIR_BLOCK_BYTES_MAX;
}

static void read_ended(struct weir_raw *r, ssize_t n)
{
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0 || r->write_dead) {
        /* What was held is lost with the connection: the peer has given it up. */
        end(r, WEIR_CLOSE_RESET);
        return;
    }
    r->eof = true;
    poll_reading(r, false);
    tell_eof(r);
}

static void read_and_drop(struct weir_raw *r)
{
    size_t budget = WEIR_READ_BUDGET_BYTES;
    bool full = true;
    while (full && budget != 0) {
        struct weir_slice s;
        ssize_t n = read_once(r, WEIR_BLOCK_BYTES, &s, &full);
        if (n <= 0) {
            read_ended(r, n);
            return;
        }
        weir_block_release(s.block);
        budget -= budget < s.n ? budget : s.n;
    }
}

/* Reading is off: one block at most is taken, then the socket is left alone. */
static void read_and_hold(struct weir_raw *r)
{
    bool full;
    if (r->held.n != 0) {
        poll_reading(r, false);
        weir_hangup_arm(r->t.worker, &r->hangup, h2o_socket_get_fd(r->socket));
        return;
    }
    ssize_t n = read_once(r, WEIR_BLOCK_BYTES, &r->held, &full);
    if (n <= 0) read_ended(r, n);
}

static void on_socket_readable(h2o_socket_t *s, const char *err)
{
    struct weir_raw *r = s->data;
    (void)err;
    weir_worker_tick(r->t.worker);
    if (r->detached) {
        read_and_drop(r);
        return;
    }
    if (!r->reading || r->held.n != 0) {
        read_and_hold(r);
        return;
    }
    size_t budget = WEIR_READ_BUDGET_BYTES;
    bool full = true;
    while (full && budget != 0 && !r->closed && r->reading && !r->detached && r->held.n == 0) {
        struct weir_slice bytes;
        ssize_t n = read_once(r, r->read_bytes, &bytes, &full);
        if (n <= 0) {
            read_ended(r, n);
            return;
        }
        adapt(r, (size_t)n, full);
        budget -= budget < bytes.n ? budget : bytes.n;
        r->t.events->on_read(r->t.owner, bytes);
    }
}

static void deliver(struct weir_deferred *d)
{
    struct weir_raw *r = WEIR_CONTAINER_OF(d, struct weir_raw, deliver);
    if (r->socket == NULL || r->connect_error != 0) {
        end(r, WEIR_CLOSE_CONNECT_REFUSED);
        return;
    }
    if (!r->reading) return;
    if (r->held.n != 0) {
        struct weir_slice bytes = r->held;
        r->held = (struct weir_slice){0};
        r->t.rx_bytes += r->unread;
        r->unread = 0;
        r->t.events->on_read(r->t.owner, bytes);
        if (r->closed || r->detached) return;
    }
    if (r->eof)
        tell_eof(r);
    else if (r->reading)
        poll_reading(r, true);
}

static void raw_read(struct weir_transport *t, bool on)
{
    struct weir_raw *r = raw_of(t);
    if (r->closed || r->detached) return;
    r->reading = on;
    if (!on || r->connecting) return;
    if (r->hangup.armed) weir_hangup_disarm(t->worker, &r->hangup, h2o_socket_get_fd(r->socket));
    if (r->held.n != 0 || (r->eof && !r->eof_told))
        weir_worker_defer(t->worker, &r->deliver);
    else if (!r->eof)
        poll_reading(r, true);
}

static void on_reset(struct weir_hangup *h)
{
    end(WEIR_CONTAINER_OF(h, struct weir_raw, hangup), WEIR_CLOSE_RESET);
}

/* The peer takes nothing any more. What it said before may still be in the kernel, as an answer that came before the end
 * of a request: who reads gets it first, and then on_closed from the reading side. */
static void write_failed(struct weir_raw *r)
{
    r->write_dead = true;
    weir_buffer_deinit(&r->out);
    if (r->detached || !r->reading || r->eof) end(r, WEIR_CLOSE_RESET);
}

/* Hands the kernel what it takes. False: the transport is gone, or its writing side. */
static bool write_out(struct weir_raw *r)
{
    int fd = h2o_socket_get_fd(r->socket);
    while (r->out.bytes != 0) {
        struct iovec iov[WRITE_SLICES_MAX];
        size_t given = 0;
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)weir_buffer_iov(&r->out, iov, WRITE_SLICES_MAX)};
        for (size_t i = 0; i < m.msg_iovlen; i++)
            given += iov[i].iov_len;
        ssize_t n = m.msg_iovlen == 1 ? send(fd, iov[0].iov_base, given, MSG_NOSIGNAL) : sendmsg(fd, &m, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                write_failed(r);
                return false;
            }
            n = 0;
        }
        weir_buffer_consume(&r->out, (size_t)n);
        r->t.tx_bytes += (uint64_t)n;
        if (n > 0 && r->detached) wait_start(r, r->t.stall_ms);
        if ((size_t)n < given) {
            r->write_polled = true;
            h2o_socket_notify_write(r->socket, on_socket_writable);
            break;
        }
    }
    return true;
}

/* Everything has been handed over: what waited for that. */
static void after_flush(struct weir_raw *r)
{
    if (r->fin_wanted && !r->fin_sent) {
        r->fin_sent = true;
        (void)shutdown(h2o_socket_get_fd(r->socket), SHUT_WR);
        if (r->detached) {
            flushed(r);
            if (r->linger_ms == 0) {
                end(r, WEIR_CLOSE_REMOTE);
                return;
            }
            weir_timer_start(&r->t.worker->timers, &r->timer, r->linger_ms);
        }
    }
    if (r->flushed_wanted && !r->detached) {
        r->flushed_wanted = false;
        if (r->t.events->on_flushed != NULL) r->t.events->on_flushed(r->t.owner);
    }
    end_if_done(r);
}

static void flush(struct weir_deferred *d)
{
    struct weir_raw *r = WEIR_CONTAINER_OF(d, struct weir_raw, flush);
    if (r->closed || r->connecting || r->write_polled || r->write_dead || r->socket == NULL) return;
    if (!write_out(r)) return;
    if (r->t.above_high && r->out.bytes < r->t.low_water) {
        r->t.above_high = false;
        if (!r->detached && r->t.events->on_drained != NULL) r->t.events->on_drained(r->t.owner);
        if (r->closed) return;
    }
    if (r->out.bytes == 0) after_flush(r);
}

static void flush_later(struct weir_raw *r)
{
    if (!r->connecting && !r->write_polled && !r->write_dead) weir_worker_flush_later(r->t.worker, &r->flush);
}

/* A failed connect: text as %UPSTREAM_TRANSPORT_FAILURE_REASON% prints it, without blanks. */
static void set_failure(struct weir_raw *r, const char *what, int error)
{
    char text[96];
    r->connect_error = error;
    free(r->failure_text);
    r->failure_text = malloc(FAILURE_TEXT_MAX);
    if (r->failure_text == NULL) return;
    int n = snprintf(r->failure_text, FAILURE_TEXT_MAX, "%s:_%s", what, strerror_r(error, text, sizeof(text)));
    for (char *p = r->failure_text; *p != 0; p++)
        if (*p == ' ') *p = '_';
    r->t.failure_reason = (struct weir_str){r->failure_text, n < (int)FAILURE_TEXT_MAX ? (size_t)n : FAILURE_TEXT_MAX - 1};
}

static void learn_local(struct weir_raw *r, int fd)
{
    struct weir_address a = {.length = sizeof(a.un)};
    if (getsockname(fd, &a.any, &a.length) != 0) a.length = 0;
    if (a.length > sizeof(a.un)) a.length = sizeof(a.un);
    weir_address_keep(&r->t.local, &a);
}

static void connected(struct weir_raw *r)
{
    int fd = h2o_socket_get_fd(r->socket), error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) {
        set_failure(r, "delayed_connect_error", error);
        end(r, WEIR_CLOSE_CONNECT_REFUSED);
        return;
    }
    r->connecting = false;
    weir_timer_stop(&r->t.worker->timers, &r->timer);
    learn_local(r, fd);
    if (r->detached)
        poll_reading(r, true);
    else if (r->reading)
        raw_read(&r->t, true);
    if (r->out.bytes != 0 || r->fin_wanted || r->flushed_wanted) flush_later(r);
    if (!r->detached && r->t.events->on_connected != NULL) r->t.events->on_connected(r->t.owner);
}

static void on_socket_writable(h2o_socket_t *s, const char *err)
{
    struct weir_raw *r = s->data;
    (void)err;
    weir_worker_tick(r->t.worker);
    if (r->closed) return;
    if (r->connecting) {
        connected(r);
        return;
    }
    r->write_polled = false;
    flush_later(r);
}

static void on_connect_timeout(struct weir_timer *timer)
{
    end(WEIR_CONTAINER_OF(timer, struct weir_raw, timer), WEIR_CLOSE_CONNECT_TIMEOUT);
}

static void on_linger_over(struct weir_timer *timer)
{
    end(WEIR_CONTAINER_OF(timer, struct weir_raw, timer), WEIR_CLOSE_REMOTE);
}

static void raw_write(struct weir_transport *t, struct weir_buffer *b)
{
    struct weir_raw *r = raw_of(t);
    if (r->closed || r->write_dead || r->fin_wanted) {
        weir_buffer_consume(b, b->bytes);
        return;
    }
    weir_buffer_move(&r->out, b);
    flush_later(r);
}

static size_t raw_queued(const struct weir_transport *t)
{
    return raw_of_const(t)->out.bytes;
}

static void raw_notify_flushed(struct weir_transport *t)
{
    struct weir_raw *r = raw_of(t);
    r->flushed_wanted = true;
    flush_later(r);
}

static void raw_shutdown(struct weir_transport *t)
{
    struct weir_raw *r = raw_of(t);
    if (r->closed || r->fin_wanted) return;
    r->fin_wanted = true;
    flush_later(r);
}

static void raw_close(struct weir_transport *t, bool reset)
{
    struct weir_raw *r = raw_of(t);
    if (r->closed) return;
    if (reset && r->socket != NULL) {
        struct linger l = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(h2o_socket_get_fd(r->socket), SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    }
    close_now(r);
}

void weir_raw_close_lingering(struct weir_worker *w)
{
    while (!weir_list_empty(&w->lingering)) close_now(WEIR_CONTAINER_OF(w->lingering.next, struct weir_raw, lingering));
}

static void raw_finish(struct weir_transport *t, uint32_t linger_ms)
{
    struct weir_raw *r = raw_of(t);
    if (r->closed) return;
    if (r->connecting || r->socket == NULL || r->write_dead) {
        close_now(r);
        return;
    }
    r->detached = true;
    weir_list_push_back(&t->worker->lingering, &r->lingering);
    r->unflushed = true;
    t->worker->unflushed++;
    r->linger_ms = linger_ms;
    r->timer.on_due = on_linger_over;
    wait_start(r, t->stall_ms);
    weir_worker_undefer(&r->deliver);
    if (r->held.block != NULL) weir_block_release(r->held.block);
    r->held = (struct weir_slice){0};
    weir_hangup_disarm(t->worker, &r->hangup, h2o_socket_get_fd(r->socket));
    if (!r->eof) poll_reading(r, true);
    r->fin_wanted = true;
    flush_later(r);
}

void weir_raw_unread(struct weir_transport *t, struct weir_slice bytes)
{
    struct weir_raw *r = raw_of(t);
    assert(t->ops == &raw_ops && r->held.n == 0 && !r->closed);
    r->held = bytes;
    r->unread = (uint32_t)bytes.n;
    t->rx_bytes -= bytes.n;
    if (r->reading) weir_worker_defer(t->worker, &r->deliver);
}

static void raw_idle(struct weir_transport *t)
{
    struct weir_raw *r = raw_of(t);
    /* Read blocks are not kept anyway. The queue's own memory is, once it held more than two slices. */
    if (r->out.bytes == 0) weir_buffer_deinit(&r->out);
    r->read_bytes = WEIR_BLOCK_BYTES;
}

static bool raw_unread(const struct weir_transport *t)
{
    const struct weir_raw *r = raw_of_const(t);
    char byte;
    if (r->held.n != 0) return true;
    return r->socket != NULL && !r->closed && recv(h2o_socket_get_fd(r->socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static const struct weir_transport_ops raw_ops = {
    .read = raw_read,
    .write = raw_write,
    .queued = raw_queued,
    .notify_flushed = raw_notify_flushed,
    .shutdown = raw_shutdown,
    .close = raw_close,
    .finish = raw_finish,
    .idle = raw_idle,
    .unread = raw_unread,
};

static struct weir_raw *raw_new(struct weir_worker *w, const struct weir_address *remote)
{
    struct weir_raw *r = calloc(1, sizeof(*r));
    if (r == NULL) abort();
    r->t.ops = &raw_ops;
    r->t.worker = w;
    r->t.id = weir_worker_next_connection_id(w);
    weir_address_keep(&r->t.remote, remote);
    r->read_bytes = WEIR_BLOCK_BYTES;
    r->flush.run = flush;
    r->deliver.run = deliver;
    r->hangup.on_hangup = on_reset;
    return r;
}

static void take_socket(struct weir_raw *r, int fd)
{
    r->socket = weir_loop_socket_create(r->t.worker, fd);
    r->socket->data = r;
}

struct weir_transport *weir_raw_accepted(struct weir_worker *w, int fd, const struct weir_address *local,
                                         const struct weir_address *remote)
{
    struct weir_raw *r = raw_new(w, remote);
    take_socket(r, fd);
    if (local->length != 0)
        weir_address_keep(&r->t.local, local);
    else
        learn_local(r, fd);
    return &r->t;
}

void weir_socket_keepalive(int fd, uint32_t probes, uint32_t time_s, uint32_t interval_s)
{
    int on = 1, n;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if ((n = (int)probes) > 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n, sizeof(n));
    if ((n = (int)time_s) > 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &n, sizeof(n));
    if ((n = (int)interval_s) > 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &n, sizeof(n));
}

/* The socket with connect() under way, or -1 with errno. */
static int open_connecting(const struct weir_connect_options *o)
{
    int fd = socket(o->remote->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (weir_address_is_ip(o->remote)) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (o->keepalive) weir_socket_keepalive(fd, o->keepalive_probes, o->keepalive_time_s, o->keepalive_interval_s);
    }
    bool bound = o->local == NULL || o->local->length == 0 || bind(fd, &o->local->any, o->local->length) == 0;
    if (bound && (connect(fd, &o->remote->any, o->remote->length) == 0 || errno == EINPROGRESS)) return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

struct weir_transport *weir_raw_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                        const struct weir_transport_events *events, void *owner)
{
    struct weir_raw *r = raw_new(w, o->remote);
    weir_transport_attach(&r->t, events, owner);
    int fd = open_connecting(o);
    if (fd < 0) {
        set_failure(r, "immediate_connect_error", errno);
        weir_worker_defer(w, &r->deliver);
        return &r->t;
    }
    take_socket(r, fd);
    if (w->own != NULL) r->own_port = weir_own_add(w->own, fd, o->remote);
    r->connecting = true;
    r->timer.on_due = on_connect_timeout;
    if (o->connect_timeout_ms != 0) weir_timer_start(&w->timers, &r->timer, o->connect_timeout_ms);
    h2o_socket_notify_write(r->socket, on_socket_writable);
    return &r->t;
}
