/* The second epoll of a worker. It is itself a descriptor that the loop watches. Where the system refuses one, resets are
 * seen later, at the next read or write. */
#include "dataplane/transport/hangup.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "dataplane/worker/watch.h"

#define EVENTS_MAX 64 /* at once; what is left comes in the next turn */

struct weir_hangups {
    struct weir_worker_local local;
    struct weir_worker *worker;
    struct weir_watch *watch;
    int fd;
};

static void on_events(void *ctx, bool readable, bool writable)
{
    struct weir_hangups *all = ctx;
    struct epoll_event events[EVENTS_MAX];
    (void)readable, (void)writable;
    int n = epoll_wait(all->fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        struct weir_hangup *h = events[i].data.ptr;
        /* One that was given up by an earlier callback of this batch is dead, not yet freed. */
        if (!h->armed || (events[i].events & EPOLLERR) == 0) continue;
        h->on_hangup(h);
    }
}

static void destroy(struct weir_worker_local *l)
{
    struct weir_hangups *all = WEIR_CONTAINER_OF(l, struct weir_hangups, local);
    if (all->watch != NULL) weir_watch_destroy(all->watch);
    all->worker->hangups = NULL;
    free(all);
}

static struct weir_hangups *hangups_of(struct weir_worker *w)
{
    if (w->hangups != NULL) return w->hangups;
    struct weir_hangups *all = calloc(1, sizeof(*all));
    if (all == NULL) return NULL;
    all->worker = w;
    all->fd = epoll_create1(EPOLL_CLOEXEC);
    all->watch = all->fd >= 0 ? weir_watch_create(w, all->fd, true, on_events, all) : NULL;
    if (all->watch == NULL) {
        if (all->fd >= 0) (void)close(all->fd);
        free(all);
        return NULL;
    }
    weir_watch_want(all->watch, true, false);
    all->local.destroy = destroy;
    weir_worker_add_local(w, &all->local);
    w->hangups = all;
    return all;
}

void weir_hangup_arm(struct weir_worker *w, struct weir_hangup *h, int fd)
{
    struct weir_hangups *all = hangups_of(w);
    if (h->armed || all == NULL) return;
    /* No events of its own: EPOLLERR and EPOLLHUP are always reported. Edge-triggered: reported once. */
    struct epoll_event e = {.events = EPOLLET, .data.ptr = h};
    h->armed = epoll_ctl(all->fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

void weir_hangup_disarm(struct weir_worker *w, struct weir_hangup *h, int fd)
{
    if (!h->armed) return;
    h->armed = false;
    (void)epoll_ctl(w->hangups->fd, EPOLL_CTL_DEL, fd, NULL);
}
