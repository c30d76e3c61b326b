/* Listeners of a worker by address, for connections that are handed to the listener of their original destination
 * (use_original_dst): also those without a socket of their own. Stopped listeners are not in it. */
#include "dataplane/listener/internal.h"

void weir_listener_reachable(struct weir_listener *l)
{
    const struct weir_address *a = weir_listener_sockets_address(l->sockets);
    if (!weir_address_is_ip(a)) return;
    (void)weir_map_set(&l->worker->snapshot.listeners_by_address, weir_address_key(a, l->key), l);
}

void weir_listener_unreachable(struct weir_listener *l)
{
    struct weir_map *m = &l->worker->snapshot.listeners_by_address;
    struct weir_str key = {l->key, sizeof(l->key)};
    if (l->key[0] != 0 && weir_map_get(m, key) == l) (void)weir_map_remove(m, key);
    if (m->count == 0) weir_map_deinit(m);
}

static struct weir_listener *wildcard(const struct weir_map *m, const char *ip, uint16_t port)
{
    struct weir_address a;
    char key[WEIR_ADDRESS_KEY_BYTES];
    return weir_address_parse(weir_str_of(ip), port, &a) ? weir_map_get(m, weir_address_key(&a, key)) : NULL;
}

struct weir_listener *weir_listener_at(struct weir_worker *w, const struct weir_address *a)
{
    const struct weir_map *m = &w->snapshot.listeners_by_address;
    char key[WEIR_ADDRESS_KEY_BYTES];
    if (!weir_address_is_ip(a)) return NULL;
    struct weir_listener *l = weir_map_get(m, weir_address_key(a, key));
    bool v6 = a->any.sa_family == AF_INET6;
    if (l == NULL) l = wildcard(m, v6 ? "::" : "0.0.0.0", weir_address_port(a));
    if (l != NULL || v6) return l;
    l = wildcard(m, "::", weir_address_port(a));
    return l != NULL && l->config->socket.ipv4_compat ? l : NULL;
}
