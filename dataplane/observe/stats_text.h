/* /stats as text and JSON, in Envoy's forms. */
#ifndef WEIR_OBSERVE_STATS_TEXT_H
#define WEIR_OBSERVE_STATS_TEXT_H

#include "dataplane/observe/stats_query.h"

void weir_stats_print_text(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out);
void weir_stats_print_json(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out);

#endif
