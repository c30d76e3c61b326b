/* A compiled resource (listener, route table, cluster, endpoint set, secret): immutable after compile, one arena, counted.
 * The atomic count is taken once for each worker; streams and connections of a worker count on its pin with plain
 * numbers, so that a request touches no shared cache line. */
#ifndef WEIR_BASE_RESOURCE_H
#define WEIR_BASE_RESOURCE_H

#include <stdatomic.h>

#include "dataplane/base/arena.h"

struct weir_stats;
struct weir_resource_need {
    struct weir_str name;
    uint64_t initial_fetch_timeout_ms; /* 0: for ever */
    struct weir_stats *stats;          /* of the subscription (config/source_stats.h), held by who needs; NULL: none */
};
struct weir_resource {
    _Atomic uint32_t refs;
    struct weir_arena arena; /* the resource lies in it too */
    struct weir_str name, version;
    uint64_t hash; /* of the bytes it was compiled from */
    struct weir_str packed;   /* those bytes, kept for /config_dump; in the arena */
    uint64_t updated_wall_ns; /* when they came, Unix time */
    /* Route tables that it names (a listener, by RDS): it warms until they are there. A name may stand here under several `stats`. */
    uint32_t need_count;
    const struct weir_resource_need *needs;
};
/* Allocates `size` zeroed bytes (whose first member is the struct weir_resource) in a fresh arena; refs = 1. */
void *weir_resource_create(size_t size, struct weir_str name);
void weir_resource_acquire(struct weir_resource *r); /* any thread */
void weir_resource_release(struct weir_resource *r); /* any thread; the last one frees the arena */

/* One worker's hold on a resource. */
struct weir_pin {
    struct weir_resource *resource; /* one atomic reference is held while not NULL */
    uint32_t refs;
};
struct weir_pin *weir_pin_create(struct weir_resource *r); /* takes a reference of its own; refs = 1 */
static inline struct weir_pin *weir_pin_acquire(struct weir_pin *p)
{
    p->refs++;
    return p;
}
void weir_pin_release(struct weir_pin *p);

#endif
