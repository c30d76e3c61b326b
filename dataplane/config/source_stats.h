/* What is counted of one subscription, under Envoy's names: cluster.NAME.* of an EDS cluster, http.PREFIX.rds.TABLE.* of a route
 * table. Control thread. */
#ifndef WEIR_CONFIG_SOURCE_STATS_H
#define WEIR_CONFIG_SOURCE_STATS_H

#include "dataplane/cluster/config.h"

enum weir_rds_stat {
    WEIR_RDS_ATTEMPT, WEIR_RDS_SUCCESS, WEIR_RDS_EMPTY, WEIR_RDS_REJECTED, WEIR_RDS_FAILURE, WEIR_RDS_FETCH_TIMEOUT, WEIR_RDS_RELOAD, WEIR_RDS_TIME,
    WEIR_RDS_VERSION, WEIR_RDS_RELOAD_TIME, WEIR_RDS_DURATION, WEIR_RDS_COUNT
};
extern const struct weir_stat_desc weir_rds_stat_descs[WEIR_RDS_COUNT];

/* One subscription's counters; borrows what it is made of. */
struct weir_source_cells;
struct weir_source_stats {
    const struct weir_source_cells *at;
    struct weir_stats_shard *of[2];
};
/* `config` is an EDS cluster's; `worker` the control thread's index. False: it counts nothing (tests). */
bool weir_source_of_cluster(const struct weir_cluster_config *config, uint32_t worker, struct weir_source_stats *out);
struct weir_source_stats weir_source_of_routes(struct weir_stats *rds, uint32_t worker);

bool weir_source_begun(const struct weir_source_stats *s);
void weir_source_begin(const struct weir_source_stats *s); /* asked for */
struct weir_source_update {
    uint64_t version; /* hash of its text */
    uint64_t wall_ms; /* Unix time */
    uint64_t duration_ms;
};
void weir_source_accepted(const struct weir_source_stats *s, const struct weir_source_update *u);
void weir_source_rejected(const struct weir_source_stats *s);
void weir_source_timed_out(const struct weir_source_stats *s);            /* initial_fetch_timeout */
void weir_source_failed(const struct weir_source_stats *s, int64_t times); /* the stream ended, or could not be made */
void weir_source_reloaded(const struct weir_source_stats *s, uint64_t wall_ms); /* it made a difference; route tables */

#endif
