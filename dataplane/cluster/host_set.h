/* The hosts of a cluster at one time: made by the control thread from endpoints, immutable, counted atomically, handed to
 * each worker by mail. Health found by weir itself is not in it but in the hosts' flags. */
#ifndef WEIR_CLUSTER_HOST_SET_H
#define WEIR_CLUSTER_HOST_SET_H

#include "dataplane/cluster/endpoints.h"

struct weir_host_member {
    struct weir_host *host; /* a reference is held */
    uint32_t weight, locality, priority;
    enum weir_host_health health;
    bool canary;
    const void *metadata; /* lives in the set's source */
};
struct weir_host_set {
    _Atomic uint32_t refs;
    uint32_t count, locality_count, priority_count, slot_count; /* every host's slot is below slot_count */
    struct weir_host_member *at;
    const struct weir_locality *localities; /* in `source` */
    struct weir_resource *source;           /* what members' metadata and localities lie in; a reference is held; NULL: an empty set */
    uint32_t overprovisioning_percent, drop_numerator, drop_denominator;
};
/* Room for `capacity` members; refs = 1. `endpoints` may be NULL. `source`: the resource that they lie in, NULL: they are one. */
struct weir_host_set *weir_host_set_create(struct weir_endpoints *endpoints, uint32_t capacity, struct weir_resource *source);
struct weir_host_set *weir_host_set_acquire(struct weir_host_set *s); /* any thread */
void weir_host_set_release(struct weir_host_set *s);                  /* any thread */

#endif
