/* /clusters: every active cluster with its breakers, and its hosts with load, health and locality. */
#ifndef WEIR_CONFIG_CLUSTERS_PAGE_H
#define WEIR_CONFIG_CLUSTERS_PAGE_H

#include "dataplane/observe/admin.h"

struct weir_server;
void weir_clusters_page(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply);

#endif
