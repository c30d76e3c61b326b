/* Parts of /config_dump that no resource holds as it came: the live hosts of a cluster as an assignment, and the route tables
 * that stand inside listeners. */
#ifndef WEIR_CONFIG_DUMP_PARTS_H
#define WEIR_CONFIG_DUMP_PARTS_H

#include "dataplane/base/out.h"
#include "dataplane/cluster/shared.h"

/* A ClusterLoadAssignment with its @type, `level` being that of the line it stands on. `name`: as in the configuration. */
void weir_dump_assignment(const struct weir_cluster_shared *c, struct weir_str name, uint32_t level, struct weir_out *out);
/* Calls fn with each inline RouteConfiguration of a packed Listener, in the order of its chains. */
void weir_dump_inline_routes(struct weir_str listener, void (*fn)(void *ctx, const ProtobufCMessage *route_config), void *ctx);

#endif
