/* Drawing one of a route's weighted clusters. */
#ifndef WEIR_ROUTE_WEIGHTED_H
#define WEIR_ROUTE_WEIGHTED_H

#include "dataplane/route/route.h"

/* By r->random, or by the number in the header that the route names for it; weights may come from runtime keys. Never NULL:
 * the route has weighted clusters. The same request gives the same cluster. */
const struct weir_weighted_cluster *weir_weighted_choose(const struct weir_route *route, const struct weir_request *r,
                                                         const struct weir_runtime *runtime);

#endif
