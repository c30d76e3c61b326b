/* Runtime keys that stand over a cluster's configuration: circuit_breakers.NAME.PRIORITY.* and outlier_detection.*. Looked up when
 * a cluster comes or the runtime changes, never by a request: workers and the control thread each keep what comes of it. */
#ifndef WEIR_CLUSTER_OVERRIDES_H
#define WEIR_CLUSTER_OVERRIDES_H

#include "dataplane/cluster/config.h"

struct weir_cluster_overrides {
    struct weir_breaker_limits limits[2];
    struct weir_outlier_config outlier;
};
/* The configuration's numbers with those of the runtime over them; the caller's, by free(). NULL: the runtime (may be NULL) has no
 * such key. */
struct weir_cluster_overrides *weir_cluster_overrides_create(const struct weir_cluster_config *config, const struct weir_runtime *runtime);

#endif
