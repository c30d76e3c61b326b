/* The admin page /server_info; of server_admin.c's table. */
#ifndef WEIR_CONFIG_SERVER_INFO_H
#define WEIR_CONFIG_SERVER_INFO_H

#include "dataplane/config/server_internal.h"
#include "dataplane/observe/admin.h"

void weir_server_info(struct weir_server *s, struct weir_admin_reply *reply);

#endif
