/* Circuit breakers: how much of each resource a cluster holds, over all workers, by routing priority
 * (config.cluster.v3.CircuitBreakers). Counts are atomics; limits are those of the configuration that asks. As in Envoy a
 * limit may be passed by as many as workers ask at the same instant. */
#ifndef WEIR_CLUSTER_BREAKER_H
#define WEIR_CLUSTER_BREAKER_H

#include <stdatomic.h>

#include "dataplane/cluster/config.h"
#include "dataplane/cluster/cluster_stats.h"

enum weir_breaker_resource { /* in the order of WEIR_CLUSTER_BREAKER_GAUGES */
    WEIR_BREAKER_CONNECTIONS,
    WEIR_BREAKER_POOLS,
    WEIR_BREAKER_REQUESTS,
    WEIR_BREAKER_PENDING,
    WEIR_BREAKER_RETRIES,
    WEIR_BREAKER_COUNT
};
/* One priority of one cluster. */
struct weir_breaker {
    _Alignas(64) _Atomic uint64_t held[WEIR_BREAKER_COUNT];
    _Atomic bool open[WEIR_BREAKER_COUNT]; /* as the gauges, summed over the workers, say it */
};
/* Whether one more fits. */
bool weir_breaker_has_room(const struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r);
/* Take and give back one; the gauges circuit_breakers.PRIORITY.*_open move when the limit is reached or left. `stats` may be
 * NULL. `priority`: 0 default, 1 high. */
void weir_breaker_take(struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r,
                       struct weir_stats_shard *stats, uint32_t priority);
void weir_breaker_give(struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r,
                       struct weir_stats_shard *stats, uint32_t priority);
/* The gauges that a first connection and its request would move, were a limit near: they are in use from now on. `stats` may be
 * NULL. */
void weir_breaker_touch(struct weir_stats_shard *stats, uint32_t priority);
/* Control thread, `stats` its shard: what is left under the limits is counted from here on (track_remaining). */
void weir_breaker_track(struct weir_breaker *b, const struct weir_breaker_limits *l, struct weir_stats_shard *stats);
/* Control thread, `stats` its shard: the limits are others now; the gauges follow. */
void weir_breaker_relimit(struct weir_breaker *b, const struct weir_breaker_limits *to, struct weir_stats_shard *stats, uint32_t priority);

#endif
