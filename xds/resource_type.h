/* The resource types that weir takes, their type URLs and the order in which make-before-break applies them. */
#ifndef WEIR_XDS_RESOURCE_TYPE_H
#define WEIR_XDS_RESOURCE_TYPE_H

#include "dataplane/base/arena.h"
#include "dataplane/weir.h"

/* In order of requests on a new stream: clusters and endpoints before listeners and routes. */
enum weir_resource_type { WEIR_CLUSTERS, WEIR_ENDPOINTS, WEIR_LISTENERS, WEIR_ROUTES, WEIR_RESOURCE_TYPES };

struct weir_str weir_resource_type_url(enum weir_resource_type t); /* "type.googleapis.com/envoy.config.cluster.v3.Cluster" */
/* false: not one of the types. */
bool weir_resource_type_of_url(struct weir_str url, enum weir_resource_type *out);
const char *weir_resource_type_name(enum weir_resource_type t); /* "cds", "eds", "lds", "rds": as in stat names */
/* The resource's name out of its packed bytes (field 1 of Cluster, ClusterLoadAssignment, Listener and RouteConfiguration),
 * borrowed from them; p NULL when there is none. */
struct weir_str weir_resource_name_peek(enum weir_resource_type t, struct weir_str packed);

#endif
