/* A socket of the loop for a descriptor. For worker/watch.c and transport/raw.c. */
#ifndef WEIR_WORKER_LOOP_SOCKET_H
#define WEIR_WORKER_LOOP_SOCKET_H

#include "dataplane/worker/worker.h"

struct st_h2o_socket_t;
/* The loop never reads from it. Unlike the library's own, it may outlive the thread that made it: what is left of a worker is taken
 * down by the control thread. */
struct st_h2o_socket_t *weir_loop_socket_create(struct weir_worker *w, int fd);

#endif
