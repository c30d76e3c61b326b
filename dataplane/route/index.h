/* The routes of a virtual host, found by path without looking at each: prefixes and whole paths by hash, in one walk over the
 * path of the request; what cannot be found so (regular expressions, CONNECT) in order. The answer is always the first
 * match in order. Built on the compile thread, immutable. */
#ifndef WEIR_ROUTE_INDEX_H
#define WEIR_ROUTE_INDEX_H

#include "dataplane/route/match.h"
#include "dataplane/route/route.h"

/* `routes` (in order, with their matches) must outlive the index; it lies in `arena`. */
const struct weir_route_index *weir_route_index_build(struct weir_arena *arena, const struct weir_route *routes, uint32_t count);
/* The first route that matches, or NULL. */
const struct weir_route *weir_route_index_find(const struct weir_route_index *x, const struct weir_route_input *in);

#endif
