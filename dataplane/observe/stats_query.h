/* Which stats a reader asks for, alike for all forms of /stats; and the walk over them. */
#ifndef WEIR_OBSERVE_STATS_QUERY_H
#define WEIR_OBSERVE_STATS_QUERY_H

#include "dataplane/base/out.h"
#include "dataplane/observe/stats.h"

struct weir_regex;
enum weir_stats_types { WEIR_STATS_COUNTERS = 1, WEIR_STATS_GAUGES = 2, WEIR_STATS_HISTOGRAMS = 4, WEIR_STATS_TEXTS = 8 };
enum weir_stats_buckets { WEIR_BUCKETS_QUANTILES, WEIR_BUCKETS_CUMULATIVE, WEIR_BUCKETS_DISJOINT };

/* Zeroed apart from `types` asks for everything. */
struct weir_stats_query {
    const struct weir_regex *filter; /* anywhere in the name; NULL: all */
    bool used_only;
    unsigned types;                   /* enum weir_stats_types bits */
    enum weir_stats_buckets buckets;
    bool summary, text_readouts;      /* prometheus: quantiles instead of buckets; texts as gauges */
};
/* Calls fn for the values of these kinds in the order of their names; `name` is the whole one. */
void weir_stats_walk(struct weir_stats_registry *r, const struct weir_stats_query *q, unsigned types,
                     void (*fn)(void *ctx, struct weir_str name, const struct weir_stat_value *v), void *ctx);
/* Text readouts by name. */
void weir_stats_walk_texts(struct weir_stats_registry *r, const struct weir_stats_query *q,
                           void (*fn)(void *ctx, struct weir_str name, struct weir_str text), void *ctx);

#endif
