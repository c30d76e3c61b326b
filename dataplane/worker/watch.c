/* Watches over the loop's sockets. The loop's interest in writing is for one event; a watch takes it up again as long as
 * it is wanted. */
#include "dataplane/worker/watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <h2o.h>

#include "dataplane/worker/loop_socket.h"

struct weir_watch {
    struct weir_worker *worker;
    h2o_socket_t *socket;
    weir_watch_fn *fn;
    void *ctx;
    bool want_readable, want_writable;
};

static void on_readable(h2o_socket_t *s, const char *err)
{
    struct weir_watch *v = s->data;
    (void)err;
    weir_worker_tick(v->worker);
    v->fn(v->ctx, true, false);
}

static void on_writable(h2o_socket_t *s, const char *err)
{
    struct weir_watch *v = s->data;
    (void)err;
    weir_worker_tick(v->worker);
    if (!v->want_writable) return; /* the loop cannot take a wish back: this was the last one */
    h2o_socket_notify_write(v->socket, on_writable);
    v->fn(v->ctx, false, true);
}

struct weir_watch *weir_watch_create(struct weir_worker *w, int fd, bool own_fd, weir_watch_fn *fn, void *ctx)
{
    struct weir_watch *v = calloc(1, sizeof(*v));
    if (v == NULL) return NULL;
    if (!own_fd) {
        /* Closing a socket of the loop closes its descriptor. */
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
            free(v);
            return NULL;
        }
    }
    v->worker = w;
    v->fn = fn;
    v->ctx = ctx;
    v->socket = weir_loop_socket_create(w, fd);
    v->socket->data = v;
    return v;
}

void weir_watch_want(struct weir_watch *v, bool readable, bool writable)
{
    if (readable != v->want_readable) {
        v->want_readable = readable;
        if (readable)
            h2o_socket_read_start(v->socket, on_readable);
        else
            h2o_socket_read_stop(v->socket);
    }
    v->want_writable = writable;
    if (writable && !h2o_socket_is_writing(v->socket)) h2o_socket_notify_write(v->socket, on_writable);
}

void weir_watch_destroy(struct weir_watch *v)
{
    h2o_socket_close(v->socket);
    free(v);
}
