/* /certs, for the table of admin pages. */
#ifndef WEIR_CONFIG_CERTS_PAGE_H
#define WEIR_CONFIG_CERTS_PAGE_H

#include "dataplane/observe/admin.h"

struct weir_server;
void weir_certs_page(struct weir_server *s, struct weir_admin_reply *reply);

#endif
