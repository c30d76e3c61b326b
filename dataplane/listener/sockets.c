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
    struct weir_listener_socket_options options; /* as asked for */
    struct weir_address bound;
    dev_t device; /* of a Unix socket's path, so that a successor's is not removed */
    ino_t inode;
    uint32_t count;
    int fds[];
};

static bool is_path(const struct weir_address *a)
{
    return a->any.sa_family == AF_UNIX && a->un.sun_path[0] != 0;
}

static void set_options(int fd, const struct weir_listener_socket_options *o)
{
    static const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!weir_address_is_ip(&o->address)) return;
    bool v6 = o->address.any.sa_family == AF_INET6;
    if (o->reuse_port) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (v6) {
        int only = !o->ipv4_compat;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    }
    if (o->freebind) (void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on));
    if (o->transparent) (void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on));
    /* What follows is inherited by accepted sockets. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (o->keepalive) weir_socket_keepalive(fd, o->keepalive_probes, o->keepalive_time_s, o->keepalive_interval_s);
    if (o->fast_open_queue >= 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &o->fast_open_queue, sizeof(int));
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

/* -1 with errno. */
static int open_one(const struct weir_listener_socket_options *o, const struct weir_address *at, int backlog)
{
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    set_options(fd, o);
    /* A path that an earlier process left behind would refuse us for ever. */
    if (is_path(at)) (void)unlink(at->un.sun_path);
    if (bind(fd, &at->any, at->length) == 0 && (!is_path(at) || o->unix_mode == 0 || chmod(at->un.sun_path, o->unix_mode) == 0) &&
        listen(fd, backlog) == 0)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
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
    s->bound = o->address;
    int backlog = backlog_of(o);
    for (; s->count < count; s->count++) {
        int fd = open_one(o, &s->bound, backlog);
        if (fd < 0) {
            char text[WEIR_ADDRESS_TEXT_MAX];
            int error = errno;
            (void)weir_address_print(&o->address, text);
            weir_listener_sockets_release(s);
            return weir_error_set(e, WEIR_ERR_IO, "cannot bind '%s': %s", text, strerrordesc_np(error));
        }
        s->fds[s->count] = fd;
        /* The port that the system chose is the others' too. */
        if (s->count == 0 && weir_address_is_ip(&s->bound) && weir_address_port(&s->bound) == 0)
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
    free(s);
}

bool weir_listener_sockets_fit(const struct weir_listener_sockets *s, const struct weir_listener_config *c)
{
    const struct weir_listener_socket_options *a = &s->options, *b = &c->socket;
    return weir_address_equal(&a->address, &b->address, true) && a->unix_mode == b->unix_mode && a->backlog == b->backlog &&
           a->bind_to_port == b->bind_to_port && a->reuse_port == b->reuse_port && a->freebind == b->freebind &&
           a->transparent == b->transparent && a->ipv4_compat == b->ipv4_compat && a->keepalive == b->keepalive &&
           a->keepalive_probes == b->keepalive_probes && a->keepalive_time_s == b->keepalive_time_s &&
           a->keepalive_interval_s == b->keepalive_interval_s && a->fast_open_queue == b->fast_open_queue;
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
