/* Where each number of a subscription stands: Envoy lists some of an EDS cluster's for all clusters. */
#include "dataplane/config/source_stats.h"

#include "dataplane/cluster/cluster_stats.h"

const struct weir_stat_desc weir_rds_stat_descs[WEIR_RDS_COUNT] = {
    [WEIR_RDS_ATTEMPT] = {"update_attempt", WEIR_COUNTER},      [WEIR_RDS_SUCCESS] = {"update_success", WEIR_COUNTER},
    [WEIR_RDS_EMPTY] = {"update_empty", WEIR_COUNTER},          [WEIR_RDS_REJECTED] = {"update_rejected", WEIR_COUNTER},
    [WEIR_RDS_FAILURE] = {"update_failure", WEIR_COUNTER},      [WEIR_RDS_FETCH_TIMEOUT] = {"init_fetch_timeout", WEIR_COUNTER},
    [WEIR_RDS_RELOAD] = {"config_reload", WEIR_COUNTER},        [WEIR_RDS_TIME] = {"update_time", WEIR_GAUGE},
    [WEIR_RDS_VERSION] = {"version", WEIR_GAUGE | WEIR_WIDE},   [WEIR_RDS_RELOAD_TIME] = {"config_reload_time_ms", WEIR_GAUGE},
    [WEIR_RDS_DURATION] = {"update_duration", WEIR_HISTOGRAM},
};

struct cell {
    uint8_t set; /* index into weir_source_stats.of */
    uint16_t index;
};
struct weir_source_cells {
    struct cell attempt, success, rejected, failure, timeout, time, version, duration, reload, reload_time;
};
static const struct weir_source_cells eds = {
    .attempt = {0, WEIR_CC_update_attempt}, .success = {0, WEIR_CC_update_success}, .failure = {0, WEIR_CC_update_failure},
    .version = {0, WEIR_CC_version}, .rejected = {1, WEIR_CE_update_rejected}, .timeout = {1, WEIR_CE_init_fetch_timeout},
    .time = {1, WEIR_CE_update_time}, .duration = {1, WEIR_CE_update_duration},
};
static const struct weir_source_cells rds = {
    .attempt = {0, WEIR_RDS_ATTEMPT}, .success = {0, WEIR_RDS_SUCCESS}, .failure = {0, WEIR_RDS_FAILURE}, .version = {0, WEIR_RDS_VERSION},
    .rejected = {0, WEIR_RDS_REJECTED}, .timeout = {0, WEIR_RDS_FETCH_TIMEOUT}, .time = {0, WEIR_RDS_TIME}, .duration = {0, WEIR_RDS_DURATION},
    .reload = {0, WEIR_RDS_RELOAD}, .reload_time = {0, WEIR_RDS_RELOAD_TIME},
};

bool weir_source_of_cluster(const struct weir_cluster_config *config, uint32_t worker, struct weir_source_stats *out)
{
    if (config->control_stats == NULL || config->eds_stats == NULL) return false;
    *out = (struct weir_source_stats){&eds, {weir_stats_shard(config->control_stats, worker), weir_stats_shard(config->eds_stats, worker)}};
    return true;
}

struct weir_source_stats weir_source_of_routes(struct weir_stats *set, uint32_t worker)
{
    struct weir_stats_shard *shard = weir_stats_shard(set, worker);
    return (struct weir_source_stats){&rds, {shard, shard}};
}

static void add(const struct weir_source_stats *s, struct cell c, int64_t n)
{
    weir_stat_add(s->of[c.set], c.index, n);
}

static void set(const struct weir_source_stats *s, struct cell c, uint64_t v)
{
    weir_stat_set(s->of[c.set], c.index, (int64_t)v);
}

bool weir_source_begun(const struct weir_source_stats *s)
{
    return atomic_load_explicit(&s->of[s->at->attempt.set]->at[s->at->attempt.index], memory_order_relaxed) != 0;
}

void weir_source_begin(const struct weir_source_stats *s)
{
    add(s, s->at->attempt, 1);
}

void weir_source_accepted(const struct weir_source_stats *s, const struct weir_source_update *u)
{
    add(s, s->at->attempt, 1);
    add(s, s->at->success, 1);
    set(s, s->at->time, u->wall_ms);
    set(s, s->at->version, u->version);
    weir_stat_record(s->of[s->at->duration.set], s->at->duration.index, u->duration_ms);
}

void weir_source_rejected(const struct weir_source_stats *s)
{
    add(s, s->at->attempt, 1);
    add(s, s->at->rejected, 1);
}

void weir_source_timed_out(const struct weir_source_stats *s)
{
    add(s, s->at->attempt, 1);
    add(s, s->at->timeout, 1);
}

void weir_source_failed(const struct weir_source_stats *s, int64_t times)
{
    add(s, s->at->attempt, times);
    add(s, s->at->failure, times);
}

void weir_source_reloaded(const struct weir_source_stats *s, uint64_t wall_ms)
{
    add(s, s->at->reload, 1);
    set(s, s->at->reload_time, wall_ms);
}
