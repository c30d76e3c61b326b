/* How connections are asked to end while something drains (a listener, a filter chain, the whole process): at once, or
 * spread over the drain time so that clients do not all come back together (--drain-strategy). */
#ifndef WEIR_WORKER_DRAIN_H
#define WEIR_WORKER_DRAIN_H

#include "dataplane/base/random.h"

struct weir_drain {
    uint64_t start_ns, duration_ns; /* duration 0 with `active`: immediate */
    bool active;
};
/* Whether to end a connection now. Gradual: the share of yes grows evenly from none to all over the duration. */
static inline bool weir_drain_close(const struct weir_drain *d, uint64_t now_ns, struct weir_random *r)
{
    if (!d->active) return false;
    uint64_t gone = now_ns - d->start_ns;
    return gone >= d->duration_ns || weir_random_below(r, d->duration_ns) < gone;
}

#endif
