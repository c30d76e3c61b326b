/* Clusters: what is compiled from config.cluster.v3.Cluster and its endpoints, what the workers share of it, and each
 * worker's own view. Three owners:
 * - struct weir_cluster_config, struct weir_endpoints: immutable resources made on the compile thread.
 * - struct weir_cluster_shared: one a cluster name and life, counted atomically: breakers, outlier state, host objects.
 * - struct weir_cluster: worker-local, in the snapshot's array by slot; pools and load-balancer state hang off it.
 * Health changes set flags on hosts and move `health_epoch`: each worker rebuilds its lists at its next pick. */
#ifndef WEIR_CLUSTER_CLUSTER_H
#define WEIR_CLUSTER_CLUSTER_H

#include <stdatomic.h>

#include "dataplane/base/address.h"
#include "dataplane/base/resource.h"
#include "dataplane/base/request.h"
#include "dataplane/observe/stats.h"
#include "dataplane/worker/worker.h"

struct weir_cluster_config; /* cluster/config.h: starts with struct weir_resource */
struct weir_endpoints;      /* cluster/endpoints.h: starts with struct weir_resource */
struct weir_cluster_shared; /* cluster/shared.h */
struct weir_host;           /* cluster/host.h: shared by all workers, counted atomically, atomics for health and load */

struct weir_cluster {
    struct weir_worker *worker;
    uint32_t slot;
    struct weir_pin *config;    /* struct weir_cluster_config */
    struct weir_pin *endpoints; /* struct weir_endpoints; NULL: none yet */
    struct weir_cluster_shared *shared;
    struct weir_stats_shard *stats; /* cluster.NAME.*, enum in cluster/cluster_stats.h */
    struct weir_lb *lb;             /* cluster/lb.h */
    void *pools;                    /* upstream/pool.h's, freed by its callback */
    uint32_t refs;                  /* streams, pools, tunnels; the snapshot counts as one */
    bool removed;                   /* no longer in the snapshot: no new requests, ends with its last reference */
};

/* What a pick may depend on. */
struct weir_lb_context {
    const struct weir_request *request; /* NULL for TCP */
    uint64_t hash;
    bool has_hash;
    struct weir_host *const *avoid; /* hosts already tried, retry_host_predicate */
    uint32_t avoid_count, avoid_attempts;
};
/* A host with a reference taken by the caller's attempt, or NULL: no healthy upstream. Applies priorities, health, panic. */
struct weir_host *weir_cluster_pick(struct weir_cluster *c, const struct weir_lb_context *x);
struct weir_cluster *weir_cluster_acquire(struct weir_cluster *c);
void weir_cluster_release(struct weir_cluster *c);

#endif
