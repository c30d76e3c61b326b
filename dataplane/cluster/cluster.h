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
#include "dataplane/base/list.h"
#include "dataplane/base/request.h"
#include "dataplane/base/resource.h"
#include "dataplane/observe/stats.h"
#include "dataplane/worker/worker.h"

struct weir_cluster_config; /* cluster/config.h: starts with struct weir_resource */
struct weir_endpoints;      /* cluster/endpoints.h: starts with struct weir_resource */
struct weir_cluster_shared; /* cluster/shared.h */
struct weir_breaker_limits;    /* cluster/config.h */
struct weir_outlier_config;
struct weir_cluster_overrides; /* cluster/overrides.h */
struct weir_host_set;       /* cluster/host_set.h */
struct weir_host;           /* cluster/host.h: shared by all workers, counted atomically, atomics for health and load */
struct weir_lb;             /* cluster/lb.h */

/* One worker's view of a host: where its pools are. Plain counts: a pick touches nothing shared but the host's load. */
struct weir_cluster_host {
    struct weir_cluster *cluster; /* every reference of `refs` is one of the cluster too */
    struct weir_host *host;       /* a reference is held */
    uint32_t refs;                /* attempts, pools, tunnels */
    uint32_t weight;
    bool removed; /* not in the set any more: pools finish what they have; freed with the last reference */
    bool canary;
    const void *metadata; /* core.v3.Metadata as compiled, NULL: none. Valid while cluster->endpoints, as it is now, is pinned */
    const void *seen;     /* cluster.c's */
    /* upstream/pool.h's: pools of this host, and what is called once when the host leaves the set or the cluster's view ends. */
    struct weir_list pools; /* zeroed until the first pool */
    void (*on_removed)(struct weir_cluster_host *h, bool close_now);
};

/* A view costs next to nothing until it is first used: weir_cluster_use(). */
struct weir_cluster {
    struct weir_worker *worker;
    uint32_t slot;
    struct weir_pin *pin;                     /* of config */
    const struct weir_cluster_config *config; /* pin's resource */
    struct weir_host_set *hosts;              /* a reference is held; never NULL */
    struct weir_cluster_shared *shared;       /* a reference is held */
    uint32_t refs; /* streams, hosts, tunnels; the snapshot counts as one */
    bool removed;  /* no longer in the snapshot: no new requests, ends with its last reference */
    /* Made at first use. */
    const struct weir_breaker_limits *limits;  /* [2], by routing priority: the configuration's, or what the runtime makes of them */
    const struct weir_outlier_config *outlier; /* the same */
    struct weir_cluster_overrides *overrides;  /* NULL: the runtime has nothing to say */
    struct weir_stats_shard *stats;     /* cluster.NAME.*, enum in cluster/cluster_stats.h */
    struct weir_pin *endpoints;         /* of the host set; NULL: none */
    struct weir_cluster_host **by_slot; /* host_capacity; by weir_host.slot; NULL: none */
    uint32_t host_capacity;
    struct weir_lb *lb; /* cluster/lb.h; NULL: to be built */
    uint32_t lb_epoch;  /* shared->health_epoch that lb was built for */
    struct weir_original_dst *original_dst; /* cluster/original_dst.h; NULL: of another type, or not used yet */
};
void weir_cluster_inflate(struct weir_cluster *c);
/* The worker's runtime is another one now: limits and outlier detection of its clusters follow. */
void weir_clusters_runtime_changed(struct weir_worker *w);
/* Before anything else is asked of a cluster that was found in the snapshot. */
static inline struct weir_cluster *weir_cluster_use(struct weir_cluster *c)
{
    if (c->stats == NULL) weir_cluster_inflate(c);
    return c;
}

/* What a pick may depend on. */
struct weir_lb_context {
    const struct weir_request *request; /* NULL for TCP */
    uint64_t hash;
    bool has_hash;
    /* Hosts already tried (retry_host_predicate: previous_hosts) and how often to draw again for another one. */
    struct weir_host *const *avoid;
    uint32_t avoid_count, avoid_attempts;
    const struct weir_address *original_dst; /* of the downstream connection; NULL: it was not redirected */
};
/* A host with a reference taken for the caller, or NULL: no healthy upstream (counted). Applies priorities, health, panic. */
struct weir_cluster_host *weir_cluster_pick(struct weir_cluster *c, const struct weir_lb_context *x);
/* For those who keep hosts of a view themselves (cluster/original_dst.h): with no reference but the keeper's; and out of the view
 * again, its last user frees it. */
struct weir_cluster_host *weir_cluster_host_make(struct weir_cluster *c, struct weir_host *host);
void weir_cluster_host_drop(struct weir_cluster_host *h, bool close_now);
struct weir_cluster_host *weir_cluster_host_acquire(struct weir_cluster_host *h);
void weir_cluster_host_release(struct weir_cluster_host *h);
struct weir_cluster *weir_cluster_acquire(struct weir_cluster *c);
void weir_cluster_release(struct weir_cluster *c);

/* DropOverload of the endpoints' policy: 0 none, 1 dropped by chance, 2 dropped unconditionally (100 %). */
int weir_cluster_drop_overload(struct weir_cluster *c);

/* What came of an attempt, for outlier detection (cluster/outlier.h). Any time, any worker. */
enum weir_outlier_result {
    WEIR_OUTLIER_RESPONSE,               /* with `status`; gRPC's status already mapped to HTTP */
    WEIR_OUTLIER_CONNECT_SUCCESS,        /* a connection is there */
    WEIR_OUTLIER_CONNECT_FAILED,         /* no connection, or reset before the response */
    WEIR_OUTLIER_TIMEOUT,                /* with the status that the client gets */
};
void weir_cluster_report(struct weir_cluster *c, struct weir_host *host, enum weir_outlier_result result, uint32_t status);

#endif
