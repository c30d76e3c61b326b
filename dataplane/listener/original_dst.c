/* Original destinations of accepted sockets. Called by opening.c for listeners with the filter. */
#include "dataplane/listener/original_dst.h"

#include <string.h>

/* linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h define these beside much that clashes with netinet/in.h. */
#define SO_ORIGINAL_DST 80
#define IP6T_SO_ORIGINAL_DST 80

/* The address as its own family has it: connection tracking keeps mapped IPv4 as IPv4. */
static void unmap(struct weir_address *a)
{
    if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) return;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port};
    memcpy(&v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
    (void)weir_address_from((const struct sockaddr *)&v4, sizeof(v4), a);
}

static bool ask(int fd, bool v6, struct weir_address *out)
{
    struct sockaddr_storage found;
    socklen_t n = sizeof(found);
    int result = v6 ? getsockopt(fd, IPPROTO_IPV6, IP6T_SO_ORIGINAL_DST, &found, &n) : getsockopt(fd, IPPROTO_IP, SO_ORIGINAL_DST, &found, &n);
    if (result != 0) return false;
    /* Kernels differ in what they say of the length. */
    return weir_address_from((const struct sockaddr *)&found, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in), out);
}

bool weir_original_dst(int fd, const struct weir_address *local, const struct weir_address *bound, bool transparent, struct weir_address *out)
{
    struct weir_address at = *local, found;
    if (!weir_address_is_ip(local)) return false;
    unmap(&at);
    if (!ask(fd, at.any.sa_family == AF_INET6, &found)) {
        if (!transparent) return false;
        found = at;
    }
    if (weir_address_port(&found) == weir_address_port(bound) && weir_address_equal(&found, &at, true)) return false;
    *out = found;
    return true;
}
