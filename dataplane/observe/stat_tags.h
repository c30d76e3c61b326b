/* Stat names to metric names with labels, by Envoy's default tags: cluster.users.upstream_rq_200 is
 * envoy_cluster_upstream_rq with envoy_response_code="200", envoy_cluster_name="users". */
#ifndef WEIR_OBSERVE_STAT_TAGS_H
#define WEIR_OBSERVE_STAT_TAGS_H

#include "dataplane/base/out.h"

/* Appends the metric's name, and its labels as `a="1",b="2"` (nothing where there are none). */
void weir_stat_tags(struct weir_str name, struct weir_out *metric, struct weir_out *labels);
/* A label's value: backslash, quote and newline escaped. */
void weir_stat_label_value(struct weir_out *out, struct weir_str value);

#endif
