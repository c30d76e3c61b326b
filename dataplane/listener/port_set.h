/* A set of destination ports: for which connections a listener filter is disabled (ListenerFilterChainMatchPredicate, whose only
 * criterion is the port). */
#ifndef WEIR_LISTENER_PORT_SET_H
#define WEIR_LISTENER_PORT_SET_H

#include "dataplane/base/address.h"

struct weir_port_span {
    uint32_t first, end; /* `end` is not in it */
};
/* Zeroed is empty. */
struct weir_port_set {
    uint32_t count;
    const struct weir_port_span *at; /* sorted, apart from each other */
    bool no_port;                    /* what has no port, a Unix socket, is in it */
};
static inline bool weir_port_set_has(const struct weir_port_set *s, const struct weir_address *a)
{
    if (!weir_address_is_ip(a)) return s->no_port;
    uint32_t port = weir_address_port(a), low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (port < s->at[middle].first) high = middle;
        else if (port >= s->at[middle].end) low = middle + 1;
        else return true;
    }
    return false;
}

#endif
