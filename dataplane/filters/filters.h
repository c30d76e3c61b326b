/* The HTTP filters that weir knows: one file each in this folder, one line each in filters.c. Selected by the type of their
 * configuration, never by name. */
#ifndef WEIR_FILTERS_FILTERS_H
#define WEIR_FILTERS_FILTERS_H

#include "dataplane/http/filter.h"

/* For route tables (route/route.h): typed_per_filter_config. */
extern const struct weir_compile_filters weir_filters_for_routes;

extern const struct weir_http_filter weir_filter_router;
extern const struct weir_http_filter weir_filter_header_mutation;
extern const struct weir_http_filter weir_filter_cors;
extern const struct weir_http_filter weir_filter_health_check;
extern const struct weir_http_filter weir_filter_grpc_stats;
extern const struct weir_http_filter weir_filter_grpc_web;
extern const struct weir_http_filter weir_filter_buffer;
extern const struct weir_http_filter weir_filter_local_ratelimit;

#endif
