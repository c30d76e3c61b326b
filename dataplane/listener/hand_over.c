/* Listeners of a worker by address, for connections that are handed to the listener of their original destination
 * (use_original_dst): also those without a socket of their own. Stopped listeners are not in it. */
#include <string.h>

#include "dataplane/listener/internal.h"

/* family, port, IP */
static struct weir_str key_of(bool v6, uint16_t port, const void *ip, char out[WEIR_LISTENER_KEY_BYTES])
{
    memset(out, 0, WEIR_LISTENER_KEY_BYTES);
    out[0] = v6 ? 6 : 4;
    out[1] = (char)(port >> 8);
    out[2] = (char)port;
    if (ip != NULL) memcpy(out + 3, ip, v6 ? 16 : 4);
    return (struct weir_str){out, WEIR_LISTENER_KEY_BYTES};
}

static struct weir_str address_key(const struct weir_address *a, char out[WEIR_LISTENER_KEY_BYTES])
{
    bool v6 = a->any.sa_family == AF_INET6;
    return key_of(v6, weir_address_port(a), v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, out);
}

void weir_listener_reachable(struct weir_listener *l)
{
    const struct weir_address *a = weir_listener_sockets_address(l->sockets);
    if (!weir_address_is_ip(a)) return;
    (void)weir_map_set(&l->worker->snapshot.listeners_by_address, address_key(a, l->key), l);
}

void weir_listener_unreachable(struct weir_listener *l)
{
    struct weir_map *m = &l->worker->snapshot.listeners_by_address;
    struct weir_str key = {l->key, sizeof(l->key)};
    if (l->key[0] != 0 && weir_map_get(m, key) == l) (void)weir_map_remove(m, key);
    if (m->count == 0) weir_map_deinit(m);
}

struct weir_listener *weir_listener_at(struct weir_worker *w, const struct weir_address *a)
{
    const struct weir_map *m = &w->snapshot.listeners_by_address;
    char key[WEIR_LISTENER_KEY_BYTES];
    if (!weir_address_is_ip(a)) return NULL;
    bool v6 = a->any.sa_family == AF_INET6;
    struct weir_listener *l = weir_map_get(m, address_key(a, key));
    if (l == NULL) l = weir_map_get(m, key_of(v6, weir_address_port(a), NULL, key));
    if (l != NULL || v6) return l;
    l = weir_map_get(m, key_of(true, weir_address_port(a), NULL, key));
    return l != NULL && l->config->socket.ipv4_compat ? l : NULL;
}
