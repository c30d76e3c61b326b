/* The registry of HTTP filters as seen from configuration: filters.c has one line for each filter. */
#ifndef WEIR_FILTERS_FILTERS_H
#define WEIR_FILTERS_FILTERS_H

#include "dataplane/http/filter.h"
#include "dataplane/route/route.h"

/* How route tables reach the filters that their typed_per_filter_config names (also wrapped in route.v3.FilterConfig). */
extern const struct weir_compile_filters weir_filters_for_routes;

#endif
