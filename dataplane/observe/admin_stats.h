/* The admin pages of stats: /stats, /stats/prometheus, /reset_counters. The server's table of pages calls them. */
#ifndef WEIR_OBSERVE_ADMIN_STATS_H
#define WEIR_OBSERVE_ADMIN_STATS_H

#include "dataplane/observe/admin.h"
#include "dataplane/observe/stats.h"

/* ?usedonly ?filter=REGEX ?type=Counters|Gauges|Histograms|TextReadouts|All ?format=json|prometheus|text
 * ?histogram_buckets=cumulative|disjoint|detailed|summary ?text_readouts, as Envoy; its HTML forms are answered as text. */
void weir_admin_stats(struct weir_stats_registry *stats, const struct weir_admin_request *r, struct weir_admin_reply *reply);
void weir_admin_stats_prometheus(struct weir_stats_registry *stats, const struct weir_admin_request *r,
                                 struct weir_admin_reply *reply);
void weir_admin_reset_counters(struct weir_stats_registry *stats, struct weir_admin_reply *reply);

#endif
