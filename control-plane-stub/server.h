/* The gRPC server of weir-control-plane: AggregatedDiscoveryService on one port, any number of clients. main.c gives it
 * the resources; all its state stands under one mutex, one thread polls the completion queue. */
#ifndef WEIR_CONTROL_PLANE_SERVER_H
#define WEIR_CONTROL_PLANE_SERVER_H

#include <stdio.h>

#include "control-plane-stub/resources.h"

struct weir_plane_server;
/* listen: "ADDRESS:PORT", port 0 for any free one; *port is the one that it has. Takes `resources`. report: ACK and NACK
 * lines. */
enum weir_err weir_plane_server_create(const char *listen, struct weir_plane_resources *resources, FILE *report,
                                       struct weir_plane_server **out, int *port, struct weir_error *e) WEIR_MUST_USE;
/* Takes `resources` in place of what was served before and tells every client what changed for it. */
void weir_plane_server_update(struct weir_plane_server *s, struct weir_plane_resources *resources);
/* Ends all streams. */
void weir_plane_server_destroy(struct weir_plane_server *s);

#endif
