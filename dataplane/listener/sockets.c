/* Listening sockets, made by the control thread before anything is published. TCP: one for each worker, so that the kernel
 * spreads connections and no worker wakes for another's. They outlive versions of their listener: closing one loses what
 * waits in its queue. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/listener/internal.h"
#include "dataplane/transport/raw.h"

struct weir_listener_sockets {
    _Atomic uint32_t refs;
    struct weir_listener_socket_options options; /* as asked for; `extra` is a copy */
    struct weir_address bound;
    dev_t device; /* of a Unix socket's path, so that a successor's is not removed */
    ino_t inode;
    bool listening;
    uint32_t count;
    int fds[];
};

static bool is_path(const struct weir_address *a)
{
    return a->any.sa_family == AF_UNIX && a->un.sun_path[0] != 0;
}

/* One option after the other until one is refused. */
struct setter {
    int fd;
    const char *refused; /* the option's name; NULL: none */
    int error;
};

static void set(struct setter *s, int level, int name, const void *value, size_t n, const char *what)
{
    if (s->refused != NULL || setsockopt(s->fd, level, name, value, (socklen_t)n) == 0) return;
    s->refused = what;
    s->error = errno;
}

static void set_int(struct setter *s, int level, int name, int value, const char *what)
{
    set(s, level, name, &value, sizeof(value), what);
}

static void set_extra(struct setter *s, const struct weir_listener_socket_options *o, enum weir_socket_moment moment)
{
    for (uint32_t i = 0; i < o->extra_count; i++) {
        const struct weir_socket_option *x = &o->extra[i];
        if (x->moment == moment) set(s, x->level, x->name, x->value.p, x->value.n, "socket_options");
    }
}

static void set_prebind(struct setter *s, const struct weir_listener_socket_options *o)
{
    set_int(s, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (weir_address_is_ip(&o->address)) {
        bool v6 = o->address.any.sa_family == AF_INET6;
        int ip = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
        if (o->reuse_port) set_int(s, SOL_SOCKET, SO_REUSEPORT, 1, "enable_reuse_port");
        if (v6) set_int(s, IPPROTO_IPV6, IPV6_V6ONLY, !o->ipv4_compat, "ipv4_compat");
        if (o->freebind) set_int(s, ip, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1, "freebind");
        if (o->transparent) set_int(s, ip, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1, "transparent");
        /* What follows is inherited by accepted sockets. */
        set_int(s, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
        if (o->keepalive) weir_socket_keepalive(s->fd, o->keepalive_probes, o->keepalive_time_s, o->keepalive_interval_s);
        if (o->fast_open_queue >= 0) set_int(s, IPPROTO_TCP, TCP_FASTOPEN, o->fast_open_queue, "tcp_fast_open_queue_length");
    }
    set_extra(s, o, WEIR_SOCKET_PREBIND);
}

static int backlog_of(const struct weir_listener_socket_options *o)
{
    if (o->backlog != 0) return o->backlog > INT32_MAX ? INT32_MAX : (int)o->backlog;
    int n = SOMAXCONN;
    FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
    if (f != NULL) {
        if (fscanf(f, "%d", &n) != 1) n = SOMAXCONN;
        (void)fclose(f);
    }
    return n;
}

static enum weir_err refused(const struct setter *s, struct weir_error *e)
{
    return weir_error_set(e, WEIR_ERR_IO, "ListenSocket: Setting socket options failed: %s: %s", s->refused, strerrordesc_np(s->error));
}

static enum weir_err open_one(const struct weir_listener_socket_options *o, const struct weir_address *at, int *out, struct weir_error *e)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    struct setter s = {.fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    *out = s.fd;
    if (s.fd >= 0) set_prebind(&s, o);
    if (s.refused != NULL) return refused(&s, e);
    /* A path that an earlier process left behind would refuse us for ever. */
    if (s.fd >= 0 && is_path(at)) (void)unlink(at->un.sun_path);
    if (s.fd < 0 || bind(s.fd, &at->any, at->length) != 0 || (is_path(at) && o->unix_mode != 0 && chmod(at->un.sun_path, o->unix_mode) != 0)) {
        int error = errno;
        (void)weir_address_print(&o->address, text);
        return weir_error_set(e, WEIR_ERR_IO, "cannot bind '%s': %s", text, strerrordesc_np(error));
    }
    set_extra(&s, o, WEIR_SOCKET_BOUND);
    return s.refused != NULL ? refused(&s, e) : WEIR_OK;
}

/* The configuration may go before its sockets. */
static const struct weir_socket_option *extra_copy(const struct weir_listener_socket_options *o)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < o->extra_count; i++) bytes += o->extra[i].value.n;
    struct weir_socket_option *copy = malloc(o->extra_count * sizeof(*copy) + bytes + 1);
    if (copy == NULL) abort();
    char *at = (char *)(copy + o->extra_count);
    for (uint32_t i = 0; i < o->extra_count; i++) {
        copy[i] = o->extra[i];
        copy[i].value.p = at;
        if (copy[i].value.n > 0) memcpy(at, o->extra[i].value.p, copy[i].value.n);
        at += copy[i].value.n;
    }
    return copy;
}

enum weir_err weir_listener_sockets_open(const struct weir_listener_config *c, uint32_t worker_count, struct weir_error *e,
                                         struct weir_listener_sockets **out)
{
    const struct weir_listener_socket_options *o = &c->socket;
    bool each = o->reuse_port && weir_address_is_ip(&o->address);
    uint32_t count = !o->bind_to_port ? 0 : each ? worker_count : 1;
    struct weir_listener_sockets *s = calloc(1, sizeof(*s) + count * sizeof(s->fds[0]));
    if (s == NULL) abort();
    atomic_init(&s->refs, 1);
    s->options = *o;
    s->options.extra = extra_copy(o);
    s->bound = o->address;
    while (s->count < count) {
        int fd;
        enum weir_err err = open_one(o, &s->bound, &fd, e);
        if (fd >= 0) s->fds[s->count++] = fd;
        if (err != WEIR_OK) {
            weir_listener_sockets_release(s);
            return err;
        }
        /* The port that the system chose is the others' too. */
        if (s->count == 1 && weir_address_is_ip(&s->bound) && weir_address_port(&s->bound) == 0)
            (void)getsockname(fd, &s->bound.any, &s->bound.length);
    }
    struct stat st;
    if (count != 0 && is_path(&s->bound) && stat(s->bound.un.sun_path, &st) == 0) {
        s->device = st.st_dev;
        s->inode = st.st_ino;
    }
    *out = s;
    return WEIR_OK;
}

enum weir_err weir_listener_sockets_listen(struct weir_listener_sockets *s, struct weir_error *e)
{
    int backlog = backlog_of(&s->options);
    for (uint32_t i = 0; !s->listening && i < s->count; i++) {
        struct setter set = {.fd = s->fds[i]};
        if (listen(set.fd, backlog) != 0) {
            char text[WEIR_ADDRESS_TEXT_MAX];
            int error = errno;
            (void)weir_address_print(&s->bound, text);
            return weir_error_set(e, WEIR_ERR_IO, "cannot listen() on '%s': %s", text, strerrordesc_np(error));
        }
        set_extra(&set, &s->options, WEIR_SOCKET_LISTENING);
        if (set.refused != NULL) return refused(&set, e);
    }
    s->listening = true;
    return WEIR_OK;
}

struct weir_listener_sockets *weir_listener_sockets_acquire(struct weir_listener_sockets *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void weir_listener_sockets_release(struct weir_listener_sockets *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    struct stat st;
    if (s->inode != 0 && stat(s->bound.un.sun_path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        (void)unlink(s->bound.un.sun_path);
    for (uint32_t i = 0; i < s->count; i++)
        (void)close(s->fds[i]);
    free((void *)(uintptr_t)s->options.extra);
    free(s);
}

static bool extra_equal(const struct weir_listener_socket_options *a, const struct weir_listener_socket_options *b)
{
    if (a->extra_count != b->extra_count) return false;
    for (uint32_t i = 0; i < a->extra_count; i++) {
        const struct weir_socket_option *x = &a->extra[i], *y = &b->extra[i];
        if (x->level != y->level || x->name != y->name || x->moment != y->moment || !weir_str_eq(x->value, y->value)) return false;
    }
    return true;
}

bool weir_listener_sockets_fit(const struct weir_listener_sockets *s, const struct weir_listener_config *c)
{
    const struct weir_listener_socket_options *a = &s->options, *b = &c->socket;
    return weir_address_equal(&a->address, &b->address, true) && a->unix_mode == b->unix_mode && a->backlog == b->backlog &&
           a->bind_to_port == b->bind_to_port && a->reuse_port == b->reuse_port && a->freebind == b->freebind &&
           a->transparent == b->transparent && a->ipv4_compat == b->ipv4_compat && a->keepalive == b->keepalive &&
           a->keepalive_probes == b->keepalive_probes && a->keepalive_time_s == b->keepalive_time_s &&
           a->keepalive_interval_s == b->keepalive_interval_s && a->fast_open_queue == b->fast_open_queue &&
           extra_equal(a, b);
}

const struct weir_address *weir_listener_sockets_address(const struct weir_listener_sockets *s)
{
    return &s->bound;
}

int weir_listener_sockets_fd(const struct weir_listener_sockets *s, uint32_t worker)
{
    if (s->count == 0) return -1;
    return s->fds[s->count > 1 ? worker : 0];
}
