/* Outlier detection (config.cluster.v3.OutlierDetection), a state machine without clock or loop of its own. Workers count
 * what comes of each attempt in the host's atomics and say when a count reaches its threshold; the control thread decides:
 * ejects hosts while max_ejection_percent allows, judges success rates at each interval, takes hosts back when their time
 * is over. An ejected host carries WEIR_HOST_EJECTED. Called by cluster/shared.c. */
#ifndef WEIR_CLUSTER_OUTLIER_H
#define WEIR_CLUSTER_OUTLIER_H

#include "dataplane/base/random.h"
#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/config.h"
#include "dataplane/cluster/host.h"

/* Thresholds that an attempt reached; bits. */
enum weir_outlier_signal {
    WEIR_OUTLIER_CONSECUTIVE_5XX = 1 << 0,
    WEIR_OUTLIER_CONSECUTIVE_GATEWAY_FAILURE = 1 << 1,
    WEIR_OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE = 1 << 2,
};
/* Any thread. Bits to be told to the control thread. */
uint32_t weir_outlier_count(const struct weir_outlier_config *config, struct weir_outlier_counts *counts,
                            enum weir_outlier_result result, uint32_t status);

/* Control thread only from here. Hosts are given as an array by slot, NULL where a slot is free. */
struct weir_outlier_detector {
    struct weir_outlier_config config;
    struct weir_stats *set;         /* a reference is held; NULL: nothing is counted */
    struct weir_stats_shard *stats; /* cluster.NAME.outlier_detection. */
    struct weir_random *random;
    uint32_t active; /* hosts ejected now */
};
void weir_outlier_init(struct weir_outlier_detector *d, const struct weir_outlier_config *config, struct weir_stats *set,
                       struct weir_stats_shard *stats, struct weir_random *random);
void weir_outlier_deinit(struct weir_outlier_detector *d);
/* A worker's signal. True when the host was ejected by it. */
bool weir_outlier_signal(struct weir_outlier_detector *d, struct weir_host *host, uint32_t signals, struct weir_host *const *hosts,
                         uint32_t count, uint64_t now_ms);
/* Once an interval. True when a host's flag changed. */
bool weir_outlier_interval(struct weir_outlier_detector *d, struct weir_host *const *hosts, uint32_t count, uint64_t now_ms);
/* The host has left the cluster. */
void weir_outlier_forget(struct weir_outlier_detector *d, struct weir_host *host);
/* Detection was switched off: every host comes back. True when a flag changed. */
bool weir_outlier_release_all(struct weir_outlier_detector *d, struct weir_host *const *hosts, uint32_t count);

#endif
