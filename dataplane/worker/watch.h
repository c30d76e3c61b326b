/* A file descriptor on a worker's loop, for what is no byte stream to a peer: wake-ups, listening sockets, signals, DNS,
 * files. Level-triggered. Not thread-safe: the worker's own thread. */
#ifndef WEIR_WORKER_WATCH_H
#define WEIR_WORKER_WATCH_H

#include "dataplane/worker/worker.h"

struct weir_watch;
/* Called from the loop. The watch may be destroyed inside. */
typedef void weir_watch_fn(void *ctx, bool readable, bool writable);

/* `own_fd`: the descriptor is closed with the watch; otherwise it stays the caller's and the watch works on a duplicate.
 * The descriptor becomes non-blocking. Nothing is watched until weir_watch_want(). NULL when the system refuses (errno). */
struct weir_watch *weir_watch_create(struct weir_worker *w, int fd, bool own_fd, weir_watch_fn *fn, void *ctx);
void weir_watch_want(struct weir_watch *v, bool readable, bool writable);
void weir_watch_destroy(struct weir_watch *v);

#endif
