/* Tables of the names of cluster.NAME.*. */
#include "dataplane/cluster/cluster_stats.h"

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
};

const struct weir_stat_desc weir_cluster_control_stat_descs[WEIR_CC_COUNT] = {
#define X(name) [WEIR_CC_##name] = {#name, WEIR_COUNTER},
    WEIR_CLUSTER_CONTROL_COUNTERS(X)
#undef X
#define X(name) [WEIR_CC_##name] = {#name, WEIR_GAUGE},
        WEIR_CLUSTER_CONTROL_GAUGES(X)
#undef X
            [WEIR_CC_default_total_match_count] = {"default.total_match_count", WEIR_COUNTER},
};

const struct weir_stat_desc weir_outlier_stat_descs[WEIR_OS_COUNT] = {
#define X(name) [WEIR_OS_##name] = {#name, WEIR_COUNTER},
    WEIR_OUTLIER_COUNTERS(X)
#undef X
        [WEIR_OS_ejections_active] = {"ejections_active", WEIR_GAUGE},
};
