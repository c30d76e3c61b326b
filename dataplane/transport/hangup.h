/* Sockets that nobody reads for a while, because their data may not be taken yet. The loop watches no socket that is
 * neither read nor written, so a peer that resets would go unnoticed: these are watched by an epoll of their own that
 * reports errors only. Used by raw.c, when a socket is really paused (not for every short pause). */
#ifndef WEIR_TRANSPORT_HANGUP_H
#define WEIR_TRANSPORT_HANGUP_H

#include "dataplane/worker/worker.h"

/* Embedded in what is watched. */
struct weir_hangup {
    void (*on_hangup)(struct weir_hangup *h); /* from the loop, once; the watch is over */
    bool armed;
};
void weir_hangup_arm(struct weir_worker *w, struct weir_hangup *h, int fd);
void weir_hangup_disarm(struct weir_worker *w, struct weir_hangup *h, int fd); /* before fd is closed */

#endif
