/* config.endpoint.v3.ClusterLoadAssignment as compiled: an immutable resource that names addresses, not hosts. The control
 * thread turns it into a host set (cluster/host_set.h), where it meets the hosts that are there already. */
#ifndef WEIR_CLUSTER_ENDPOINTS_H
#define WEIR_CLUSTER_ENDPOINTS_H

#include "dataplane/base/address.h"
#include "dataplane/base/resource.h"
#include "dataplane/cluster/host.h"

struct weir_endpoint {
    struct weir_address address; /* length 0: `dns_name` is to be resolved */
    struct weir_str dns_name;
    uint16_t port;               /* of dns_name */
    struct weir_str hostname;    /* Endpoint.hostname; STRICT_DNS: dns_name unless given */
    uint32_t weight;             /* at least 1 */
    uint32_t locality;           /* index into localities */
    enum weir_host_health health;
    bool canary;          /* metadata envoy.lb: canary */
    const void *metadata; /* core.v3.Metadata as compiled; NULL: none */
};
struct weir_locality {
    struct weir_str region, zone, sub_zone;
    uint32_t priority;
    uint32_t weight; /* load_balancing_weight; 0: none given, gets no load under locality weighted balancing */
};
struct weir_endpoints {
    struct weir_resource resource; /* name: cluster_name of the assignment */
    uint32_t count, locality_count;
    const struct weir_endpoint *at;
    const struct weir_locality *localities;
    uint32_t priority_count;           /* highest priority named + 1; at least 1 */
    uint32_t overprovisioning_percent; /* 140 */
    /* drop_overloads: at most one category, as Envoy takes it; denominator 0: none. */
    struct weir_str drop_category;
    uint32_t drop_numerator, drop_denominator;
};
#define WEIR_PRIORITIES_MAX 129 /* LocalityLbEndpoints.priority is at most 128 */

#endif
