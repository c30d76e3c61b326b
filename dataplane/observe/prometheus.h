/* /stats/prometheus: text exposition format 0.0.4 under Envoy's metric names and labels, piece by piece. */
#ifndef WEIR_OBSERVE_PROMETHEUS_H
#define WEIR_OBSERVE_PROMETHEUS_H

#include "dataplane/observe/source.h"
#include "dataplane/observe/stats_query.h"

/* The query's filter must outlive the source. */
struct weir_admin_source *weir_prometheus_source(struct weir_stats_registry *r, const struct weir_stats_query *q);

#endif
