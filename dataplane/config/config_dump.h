/* /config_dump: every record with version, time, warming and error state, in Envoy's sections. Fed back through --mode
 * validate each resource is what was accepted. */
#ifndef WEIR_CONFIG_CONFIG_DUMP_H
#define WEIR_CONFIG_CONFIG_DUMP_H

#include "dataplane/observe/admin.h"

struct weir_server;
void weir_config_dump(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply);

#endif
