/* Parts of the compilation of route tables, between compile_route*.c only. */
#ifndef WEIR_CONFIG_COMPILE_ROUTE_H
#define WEIR_CONFIG_COMPILE_ROUTE_H

#include "dataplane/base/map.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/route/match.h"
#include "dataplane/route/route.h"

/* One table in the making. */
struct weir_route_compile {
    struct weir_compile *c;
    const struct weir_compile_filters *filters; /* NULL in tests */
    struct weir_route_table *table;
    uint32_t direct_body_bytes_max;
    bool validate_clusters;
    struct weir_map cluster_names; /* name → itself, those of the table so far */
};

/* An entry of a typed_per_filter_config map, whatever the message it stands in. */
struct weir_filter_entry {
    struct weir_str name;
    const void *any;
};

/* The slot of a cluster that a route names in `field`; refuses one that must be known and is not. `kind` stands before "cluster"
 * in the text. */
enum weir_err weir_route_compile_cluster(struct weir_route_compile *x, const char *field, const char *kind, const char *name,
                                         struct weir_str *copy, uint32_t *slot) WEIR_MUST_USE;
/* Own entries of a level before those of the level around it (`outer`, may be NULL). */
enum weir_err weir_route_compile_filters(struct weir_route_compile *x, const struct weir_filter_entry *entries, size_t count,
                                         const struct weir_filter_route_configs *outer,
                                         const struct weir_filter_route_configs **out) WEIR_MUST_USE;
/* compile_route_match.c */
enum weir_err weir_route_compile_match(struct weir_compile *c, const pb_route_match *pb, struct weir_route_match *out) WEIR_MUST_USE;
/* compile_route_action.c: `out` has its match, rules and filter configurations already. `vhost` supplies what routes leave open. */
enum weir_err weir_route_compile_action(struct weir_route_compile *x, const pb_route *pb, const pb_virtual_host *vhost,
                                        struct weir_route *out) WEIR_MUST_USE;
/* compile_route_retry.c. NULL message: NULL. */
enum weir_err weir_route_compile_retry(struct weir_compile *c, const pb_retry_policy *pb, const struct weir_retry_policy **out)
    WEIR_MUST_USE;

/* The entries of message m's typed_per_filter_config, in c's scratch arena. */
#define WEIR_FILTER_ENTRIES(c, m) weir_filter_entries((c), (m)->n_typed_per_filter_config, (const void *const *)(m)->typed_per_filter_config)
struct weir_filter_entry *weir_filter_entries(struct weir_compile *c, size_t count, const void *const *entries);

#endif
