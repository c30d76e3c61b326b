/* Connections that weir itself has opened, by local port: so that one which a redirection of the kernel brings back to a listener
 * is known. One table for the process, shared by all workers; owned by main, outlives them. */
#ifndef WEIR_TRANSPORT_OWN_H
#define WEIR_TRANSPORT_OWN_H

#include <stdatomic.h>

#include "dataplane/base/address.h"

struct weir_own_connections {
    _Atomic uint32_t by_port[UINT16_MAX + 1]; /* hash of both addresses; 0: none. Ports are shared by few: the latest counts */
};
struct weir_own_connections *weir_own_connections_create(void);
void weir_own_connections_destroy(struct weir_own_connections *o);
/* `fd` connects to `remote`. Returns the port to give to weir_own_remove(), 0: not noted. Any worker, at once after connect(): the
 * other end may be accepted before the connection is known to be there. Another worker may still be quicker: a chain of connections
 * to oneself then ends one link later. */
uint16_t weir_own_add(struct weir_own_connections *o, int fd, const struct weir_address *remote);
void weir_own_remove(struct weir_own_connections *o, uint16_t port);
/* Whether a connection accepted from `from`, which was going to `to`, is one of them. */
bool weir_own_has(const struct weir_own_connections *o, const struct weir_address *from, const struct weir_address *to);

#endif
