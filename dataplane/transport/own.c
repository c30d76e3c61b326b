/* A hash of both ends at the place of the local port: two live connections never have the same ends, so what matches is the
 * connection itself. */
#include "dataplane/transport/own.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/map.h"

struct weir_own_connections *weir_own_connections_create(void)
{
    struct weir_own_connections *o = calloc(1, sizeof(*o));
    if (o == NULL) abort();
    return o;
}

void weir_own_connections_destroy(struct weir_own_connections *o)
{
    free(o);
}

static uint32_t key_of(const struct weir_address *local, const struct weir_address *remote)
{
    struct {
        uint8_t local[16], remote[16];
        uint16_t port;
    } ends;
    memset(&ends, 0, sizeof(ends));
    weir_address_ip_bytes(local, ends.local);
    weir_address_ip_bytes(remote, ends.remote);
    ends.port = weir_address_port(remote);
    return (uint32_t)weir_hash((struct weir_str){(const char *)&ends, sizeof(ends)}) | 1;
}

uint16_t weir_own_add(struct weir_own_connections *o, int fd, const struct weir_address *remote)
{
    struct weir_address local = {.length = sizeof(local.un)};
    if (!weir_address_is_ip(remote) || getsockname(fd, &local.any, &local.length) != 0 || !weir_address_is_ip(&local)) return 0;
    uint16_t port = weir_address_port(&local);
    atomic_store_explicit(&o->by_port[port], key_of(&local, remote), memory_order_release);
    return port;
}

void weir_own_remove(struct weir_own_connections *o, uint16_t port)
{
    if (port != 0) atomic_store_explicit(&o->by_port[port], 0, memory_order_relaxed);
}

bool weir_own_has(const struct weir_own_connections *o, const struct weir_address *from, const struct weir_address *to)
{
    if (!weir_address_is_ip(from) || !weir_address_is_ip(to)) return false;
    uint32_t found = atomic_load_explicit(&o->by_port[weir_address_port(from)], memory_order_acquire);
    return found != 0 && found == key_of(from, to);
}
