/* What a worker reads of the published configuration: arrays of pins, changed only by mail on the worker's own thread.
 * Indexes are those that compile functions got from weir_compile_names: no hashing on the request path. */
#ifndef WEIR_WORKER_SNAPSHOT_H
#define WEIR_WORKER_SNAPSHOT_H

#include "dataplane/base/map.h"
#include "dataplane/base/resource.h"

struct weir_cluster; /* cluster/cluster.h, worker-local */
struct weir_runtime;
struct weir_listener; /* listener/listener.h, worker-local */

struct weir_snapshot {
    struct weir_cluster **clusters; /* by cluster slot; NULL: no such cluster now */
    uint32_t cluster_capacity;
    struct weir_map clusters_by_name; /* the same clusters, for names that a request's header brings */
    struct weir_pin **route_tables; /* by route table slot; resource: struct weir_route_table */
    uint32_t route_table_capacity;
    const struct weir_runtime *runtime; /* may be NULL */
    struct weir_pin *runtime_pin;
    struct weir_listener *listeners; /* linked */
    struct weir_map listeners_by_address; /* listener/hand_over.c's */
};
static inline struct weir_cluster *weir_snapshot_cluster(const struct weir_snapshot *s, uint32_t slot)
{
    return slot < s->cluster_capacity ? s->clusters[slot] : NULL;
}
static inline struct weir_pin *weir_snapshot_route_table(const struct weir_snapshot *s, uint32_t slot)
{
    return slot < s->route_table_capacity ? s->route_tables[slot] : NULL;
}

#endif
