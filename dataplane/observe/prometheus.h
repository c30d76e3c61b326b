/* /stats/prometheus: text exposition format 0.0.4 under Envoy's metric names and labels. */
#ifndef WEIR_OBSERVE_PROMETHEUS_H
#define WEIR_OBSERVE_PROMETHEUS_H

#include "dataplane/observe/stats_query.h"

void weir_prometheus_print(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out);

#endif
