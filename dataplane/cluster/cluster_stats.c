/* Tables of the names of cluster.NAME.*. */
#include "dataplane/cluster/cluster_stats.h"

#include <stdio.h>

const struct weir_stat_desc weir_cluster_stat_descs[WEIR_CS_COUNT] = {
#define X(name) [WEIR_CS_##name] = {#name, WEIR_COUNTER},
    WEIR_CLUSTER_COUNTERS(X)
#undef X
#define X(name) [WEIR_CS_##name] = {#name, WEIR_GAUGE},
        WEIR_CLUSTER_GAUGES(X)
#undef X
#define X(name) [WEIR_CS_##name] = {#name, WEIR_HISTOGRAM},
            WEIR_CLUSTER_HISTOGRAMS(X)
#undef X
#define X(name) [WEIR_CS_default_##name] = {"circuit_breakers.default." #name, WEIR_GAUGE},
                WEIR_CLUSTER_BREAKER_GAUGES(X)
#undef X
#define X(name) [WEIR_CS_high_##name] = {"circuit_breakers.high." #name, WEIR_GAUGE},
                    WEIR_CLUSTER_BREAKER_GAUGES(X)
#undef X
#define X(code) [WEIR_CS_upstream_rq_##code] = {"upstream_rq_" #code, WEIR_COUNTER | WEIR_LATE},
                        WEIR_CLUSTER_STATUS_CODES(X) WEIR_CLUSTER_STATUS_CLASSES(X)
#undef X
#define X(code) [WEIR_CS_external_upstream_rq_##code] = {"external.upstream_rq_" #code, WEIR_COUNTER | WEIR_LATE},
                            WEIR_CLUSTER_STATUS_CODES(X) WEIR_CLUSTER_STATUS_CLASSES(X)
#undef X
                                [WEIR_CS_external_upstream_rq_completed] = {"external.upstream_rq_completed", WEIR_COUNTER | WEIR_LATE},
    [WEIR_CS_upstream_rq_time] = {"upstream_rq_time", WEIR_HISTOGRAM | WEIR_LATE},
    [WEIR_CS_external_upstream_rq_time] = {"external.upstream_rq_time", WEIR_HISTOGRAM | WEIR_LATE},
    [WEIR_CS_internal_upstream_rq_time] = {"internal.upstream_rq_time", WEIR_HISTOGRAM | WEIR_LATE},
    [WEIR_CS_canary_upstream_rq_time] = {"canary.upstream_rq_time", WEIR_HISTOGRAM | WEIR_LATE},
};

const struct weir_stat_desc weir_breaker_remaining_descs[WEIR_BREAKER_REMAINING_COUNT] = {
    {"remaining_cx", WEIR_GAUGE},      {"remaining_cx_pools", WEIR_GAUGE}, {"remaining_rq", WEIR_GAUGE},
    {"remaining_pending", WEIR_GAUGE}, {"remaining_retries", WEIR_GAUGE},
};

const struct weir_stat_desc weir_cluster_control_stat_descs[WEIR_CC_COUNT] = {
#define X(name) [WEIR_CC_##name] = {#name, WEIR_COUNTER},
    WEIR_CLUSTER_CONTROL_COUNTERS(X)
#undef X
#define X(name) [WEIR_CC_##name] = {#name, WEIR_GAUGE},
        WEIR_CLUSTER_CONTROL_GAUGES(X)
#undef X
            [WEIR_CC_default_total_match_count] = {"default.total_match_count", WEIR_COUNTER},
    [WEIR_CC_version] = {"version", WEIR_GAUGE | WEIR_WIDE},
};

const struct weir_stat_desc weir_cluster_eds_stat_descs[WEIR_CE_COUNT] = {
    [WEIR_CE_init_fetch_timeout] = {"init_fetch_timeout", WEIR_COUNTER},
    [WEIR_CE_update_rejected] = {"update_rejected", WEIR_COUNTER},
    [WEIR_CE_update_time] = {"update_time", WEIR_GAUGE},
    [WEIR_CE_update_duration] = {"update_duration", WEIR_HISTOGRAM},
};

const struct weir_stat_desc weir_outlier_stat_descs[WEIR_OS_COUNT] = {
#define X(name) [WEIR_OS_##name] = {#name, WEIR_COUNTER},
    WEIR_OUTLIER_COUNTERS(X)
#undef X
        [WEIR_OS_ejections_active] = {"ejections_active", WEIR_GAUGE},
};

/* The status's own counter, or WEIR_CS_COUNT where it has none in the table. */
static uint32_t code_stat(uint32_t status)
{
    switch (status) {
#define X(code)                                                                                                         \
    case code: return WEIR_CS_upstream_rq_##code;
        WEIR_CLUSTER_STATUS_CODES(X)
#undef X
    default: return WEIR_CS_COUNT;
    }
}

static void count_named(struct weir_stats_shard *s, const char *prefix, const char *leaf)
{
    char name[64];
    int n = snprintf(name, sizeof(name), "%supstream_rq_%s", prefix, leaf);
    weir_stat_inc_named(s, (struct weir_str){name, (size_t)n});
}

static void count_code_named(struct weir_stats_shard *s, const char *prefix, uint32_t status)
{
    char leaf[16];
    (void)snprintf(leaf, sizeof(leaf), "%u", status);
    count_named(s, prefix, leaf);
}

void weir_cluster_count_status_under(struct weir_stats_shard *s, const char *prefix, uint32_t status)
{
    count_named(s, prefix, "completed");
    if (status < 100 || status > 599) {
        count_named(s, prefix, "unknown");
        return;
    }
    char leaf[4] = {(char)('0' + status / 100), 'x', 'x', '\0'};
    count_named(s, prefix, leaf);
    count_code_named(s, prefix, status);
}

void weir_cluster_count_status(struct weir_stats_shard *s, uint32_t status, bool internal, bool canary)
{
    weir_stat_inc(s, WEIR_CS_upstream_rq_completed);
    if (internal) weir_cluster_count_status_under(s, "internal.", status);
    if (canary) weir_cluster_count_status_under(s, "canary.", status);
    const uint32_t external = WEIR_CS_external_upstream_rq_100 - WEIR_CS_upstream_rq_100;
    if (!internal) weir_stat_inc(s, WEIR_CS_external_upstream_rq_completed);
    if (status < 100 || status > 599) {
        count_named(s, "", "unknown");
        if (!internal) count_named(s, "external.", "unknown");
        return;
    }
    uint32_t class_stat = WEIR_CS_upstream_rq_1xx + status / 100 - 1, code = code_stat(status);
    weir_stat_inc(s, class_stat);
    if (!internal) weir_stat_inc(s, class_stat + external);
    if (code != WEIR_CS_COUNT) {
        weir_stat_inc(s, code);
        if (!internal) weir_stat_inc(s, code + external);
        return;
    }
    count_code_named(s, "", status);
    if (!internal) count_code_named(s, "external.", status);
}

void weir_cluster_record_time(struct weir_stats_shard *s, uint64_t ms, bool internal, bool canary)
{
    weir_stat_record(s, WEIR_CS_upstream_rq_time, ms);
    weir_stat_record(s, internal ? WEIR_CS_internal_upstream_rq_time : WEIR_CS_external_upstream_rq_time, ms);
    if (canary) weir_stat_record(s, WEIR_CS_canary_upstream_rq_time, ms);
}
