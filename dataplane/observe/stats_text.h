/* /stats as text and JSON, in Envoy's forms, piece by piece. */
#ifndef WEIR_OBSERVE_STATS_TEXT_H
#define WEIR_OBSERVE_STATS_TEXT_H

#include "dataplane/observe/source.h"
#include "dataplane/observe/stats_query.h"

/* The query's filter must outlive the source. */
struct weir_admin_source *weir_stats_text_source(struct weir_stats_registry *r, const struct weir_stats_query *q);
struct weir_admin_source *weir_stats_json_source(struct weir_stats_registry *r, const struct weir_stats_query *q);

#endif
