/* Which stats a reader asks for, alike for all forms of /stats; and the walk over them. */
#ifndef WEIR_OBSERVE_STATS_QUERY_H
#define WEIR_OBSERVE_STATS_QUERY_H

#include "dataplane/base/out.h"
#include "dataplane/observe/stats.h"

struct weir_regex;
enum weir_stats_types { WEIR_STATS_COUNTERS = 1, WEIR_STATS_GAUGES = 2, WEIR_STATS_HISTOGRAMS = 4, WEIR_STATS_TEXTS = 8 };
enum weir_stats_buckets { WEIR_BUCKETS_QUANTILES, WEIR_BUCKETS_CUMULATIVE, WEIR_BUCKETS_DISJOINT, WEIR_BUCKETS_DETAILED };

/* Zeroed apart from `types` asks for everything. */
struct weir_stats_query {
    const struct weir_regex *filter; /* anywhere in the name; NULL: all */
    bool invert_filter;              /* those that it does not match */
    bool used_only;
    unsigned types;                   /* enum weir_stats_types bits */
    enum weir_stats_buckets buckets;
    bool summary, text_readouts;      /* prometheus: quantiles instead of buckets; texts as gauges */
    bool native;                      /* asked for what has no form here */
};
/* Bounds of one step: what is looked at, and what is printed. */
#define WEIR_STATS_STEP_VALUES 1024u
#define WEIR_STATS_STEP_SETS 256u

/* All that a query asks for, in the order of Envoy's pages: texts, then counters and gauges, then histograms, each by name; a bounded
 * number of values at a time. `name` is the whole name, borrowed for the call. */
struct weir_stats_walk_events {
    void (*text)(void *ctx, struct weir_str name, struct weir_str text);
    void (*number)(void *ctx, struct weir_str name, const struct weir_stat_value *v);
    void (*histogram)(void *ctx, struct weir_str name, const struct weir_stat_value *v);
};
struct weir_stats_walk;
/* The query's filter must outlive the walk. */
struct weir_stats_walk *weir_stats_walk_create(struct weir_stats_registry *r, const struct weir_stats_query *q,
                                               const struct weir_stats_walk_events *events, void *ctx);
bool weir_stats_walk_step(struct weir_stats_walk *w, const struct weir_out *out); /* at most until `out` has a piece; false: the end */
void weir_stats_walk_destroy(struct weir_stats_walk *w);

/* Whether the query wants this name, whatever its value; this value, whose whole name is given. */
bool weir_stats_query_wants_name(const struct weir_stats_query *q, struct weir_str name);
bool weir_stats_query_wants(const struct weir_stats_query *q, struct weir_str name, const struct weir_stat_value *v);

/* A counter's or gauge's number, not NUL-terminated. Returns the length. */
#define WEIR_STAT_VALUE_TEXT_MAX 21
size_t weir_stat_value_print(const struct weir_stat_value *v, char out[WEIR_STAT_VALUE_TEXT_MAX]);

#endif
