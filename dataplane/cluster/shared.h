/* What all workers share of one cluster: its hosts, breakers and outlier state. Made, updated and closed by the control
 * thread; workers hold references and read only atomics and immutable host sets.
 *
 * Way of a change: config/publish makes or finds the shared part by cluster slot, gives it the new configuration or endpoints,
 * then publishes it: every worker gets mail with the configuration and the host set of that moment. Changes that start here
 * (a DNS answer) publish themselves. Mail from the control thread keeps its order, so what is published after a cluster may
 * rely on it. */
#ifndef WEIR_CLUSTER_SHARED_H
#define WEIR_CLUSTER_SHARED_H

#include "dataplane/base/map.h"
#include "dataplane/cluster/breaker.h"
#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/config.h"
#include "dataplane/cluster/host_set.h"
#include "dataplane/cluster/overrides.h"

/* The process as clusters see it; owned by main, outlives every cluster. */
struct weir_cluster_env {
    struct weir_worker *control;
    struct weir_worker *const *workers;
    uint32_t worker_count;
    struct weir_stats_registry *stats;
    struct weir_dns *dns;              /* cluster/dns.h; NULL: DNS clusters stay empty */
};

struct weir_outlier_detector; /* cluster/outlier.h */
struct weir_dns_resolution;   /* cluster/resolution.h */
struct weir_original_dst_list; /* cluster/original_dst.c */
struct weir_cluster_shared {
    _Atomic uint32_t refs; /* one for the control thread, one for each worker's view */
    uint32_t slot;
    const struct weir_cluster_env *env;
    _Atomic uint32_t health_epoch; /* moves when a host's flags changed */
    struct weir_breaker breakers[2];
    struct weir_stats *_Atomic codec_stats[2]; /* cluster.NAME.http1., .http2.; NULL until weir_cluster_shared_codec_stats() */

    /* Control thread only from here. */
    struct weir_cluster_config *config; /* a reference is held */
    struct weir_cluster_overrides *overrides; /* what the control thread's runtime makes of config; NULL: nothing */
    struct weir_endpoints *endpoints;   /* the last given; a reference is held; NULL: none yet */
    struct weir_host_set *hosts;        /* never NULL */
    struct weir_host **by_slot;         /* slot_capacity; a reference is held; NULL: free */
    uint32_t slot_capacity;
    struct weir_map by_key;             /* the same hosts by address and hostname, once there are more than a few */
    uint32_t slot_hint;
    bool published, ready, closed;
    void (*on_ready)(void *ctx, struct weir_cluster_shared *s);
    void *on_ready_ctx;
    struct weir_outlier_detector *outlier; /* NULL: off */
    struct weir_timer outlier_timer;
    struct weir_dns_resolution *resolution; /* NULL: not a DNS cluster */
    struct weir_stats_shard *stats;         /* enum weir_cluster_control_stat */
    struct weir_original_dst_list *original_dst; /* NULL: no worker has made hosts */
    struct weir_host_set *made;                  /* ORIGINAL_DST: hosts that workers have made, for admin; NULL: none so far */
};

/* Control thread. Takes references of its own. `on_ready` comes once, from the loop or from inside set_endpoints, when the
 * cluster has its first hosts or knows that there are none: a STATIC cluster is ready on return, an EDS cluster with its first
 * endpoints, a DNS cluster when every name has been answered or failed once; without wait_for_warm_on_init any cluster is. weir_cluster_shared_ready() tells at any time. */
struct weir_cluster_shared *weir_cluster_shared_create(const struct weir_cluster_env *env, uint32_t slot,
                                                       struct weir_cluster_config *config,
                                                       void (*on_ready)(void *ctx, struct weir_cluster_shared *s), void *ctx);
static inline bool weir_cluster_shared_ready(const struct weir_cluster_shared *s)
{
    return s->ready;
}
/* What admin shows: `hosts`, or what the workers have made of an ORIGINAL_DST cluster. Control thread. */
static inline const struct weir_host_set *weir_cluster_shared_hosts(const struct weir_cluster_shared *s)
{
    return s->made != NULL ? s->made : s->hosts;
}
/* By routing priority, as they are in force. Control thread. */
static inline const struct weir_breaker_limits *weir_cluster_shared_limits(const struct weir_cluster_shared *s, uint32_t priority)
{
    return s->overrides != NULL ? &s->overrides->limits[priority] : &s->config->limits[priority];
}
/* The control thread's runtime (its snapshot) is another one now. Workers hear of theirs by themselves. */
void weir_cluster_shared_runtime_changed(struct weir_cluster_shared *s);
/* Sets the membership gauges by it. */
void weir_cluster_shared_count_hosts(struct weir_cluster_shared *s);
/* A new configuration of the same cluster name. Hosts that stay keep their state; pools are made anew by workers. */
void weir_cluster_shared_set_config(struct weir_cluster_shared *s, struct weir_cluster_config *config);
/* EDS. NULL: the assignment was removed; the cluster is empty then. Does not publish. */
void weir_cluster_shared_set_endpoints(struct weir_cluster_shared *s, struct weir_endpoints *endpoints);
/* The same endpoints came once more: nothing changes but what is counted of updates. */
void weir_cluster_shared_endpoints_unchanged(struct weir_cluster_shared *s);
/* The hosts of a DNS cluster have changed (cluster/resolution.h): publishes if the cluster was published before. */
void weir_cluster_shared_resolved(struct weir_cluster_shared *s);
/* Counters of HTTP/1 or HTTP/2 towards this cluster, made at first use. Any thread. Lives as long as the shared part. */
struct weir_stats *weir_cluster_shared_codec_stats(struct weir_cluster_shared *s, const struct weir_cluster_config *config, bool h2);
/* Outlier signals from a worker (enum weir_outlier_signal): by mail to the control thread. Any thread. */
void weir_cluster_shared_signal(struct weir_cluster_shared *s, struct weir_host *host, uint32_t signals);
/* To every worker: weir_cluster_install() with what is set now. */
void weir_cluster_shared_publish(struct weir_cluster_shared *s);
/* The cluster is gone: timers and queries stop, workers get weir_cluster_remove() if it was published, the control thread's
 * reference is dropped. */
void weir_cluster_shared_close(struct weir_cluster_shared *s);
/* Any thread. */
struct weir_cluster_shared *weir_cluster_shared_acquire(struct weir_cluster_shared *s);
void weir_cluster_shared_release(struct weir_cluster_shared *s);

/* Worker, for those who send their own mail instead of weir_cluster_shared_publish(). Takes references of its own. A changed
 * configuration replaces the worker's view: streams and pools of the old one finish on it. Changed hosts alone keep it. */
void weir_cluster_install(struct weir_worker *w, uint32_t slot, struct weir_cluster_shared *shared, struct weir_cluster_config *config,
                          struct weir_host_set *hosts);
void weir_cluster_remove(struct weir_worker *w, uint32_t slot);
/* Worker, at its end: drops every cluster of the snapshot. Pools close their connections at once. */
void weir_clusters_deinit(struct weir_worker *w);

#endif
