/* Weighted clusters; called when a route that has them was found. */
#include "dataplane/route/weighted.h"

#include <assert.h>

#include "dataplane/base/str.h"

static uint64_t weight_of(const struct weir_weighted_cluster *w, const struct weir_runtime *runtime)
{
    return w->runtime_key.n > 0 ? weir_runtime_u64(runtime, w->runtime_key, w->weight) : w->weight;
}

static uint64_t draw_of(const struct weir_route *route, const struct weir_request *r)
{
    uint64_t value;
    const struct weir_header *h =
        route->weighted_random_header.n > 0 ? weir_headers_find_name(r->headers, route->weighted_random_header) : NULL;
    return h != NULL && weir_str_u64(h->value, &value) ? value : r->random;
}

const struct weir_weighted_cluster *weir_weighted_choose(const struct weir_route *route, const struct weir_request *r,
                                                         const struct weir_runtime *runtime)
{
    assert(route->weighted_count > 0);
    uint64_t total = route->weighted_total;
    if (runtime != NULL && route->weighted[0].runtime_key.n > 0) {
        total = 0;
        for (uint32_t i = 0; i < route->weighted_count; i++)
            total += weight_of(&route->weighted[i], runtime) & UINT32_MAX;
    }
    if (total == 0) /* a runtime layer has set every weight to nothing */
        return &route->weighted[0];
    uint64_t draw = draw_of(route, r) % total;
    for (uint32_t i = 0; i < route->weighted_count; i++) {
        uint64_t weight = weight_of(&route->weighted[i], runtime) & UINT32_MAX;
        if (draw < weight)
            return &route->weighted[i];
        draw -= weight;
    }
    return &route->weighted[route->weighted_count - 1];
}
