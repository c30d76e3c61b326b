/* How clusters resolve names: the fields of Cluster, extensions.clusters.dns.v3.DnsCluster, and the c-ares resolver's own
 * configuration. */
#include "dataplane/config/compile_dns.h"

#include "envoy/extensions/clusters/dns/v3/dns_cluster.pb-c.h"
#include "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h"

#define REFRESH_MS_DEFAULT 5000u

static enum weir_dns_family family_of(int family)
{
    switch (family) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY: return WEIR_DNS_V4_ONLY;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V6_ONLY: return WEIR_DNS_V6_ONLY;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__V4_PREFERRED: return WEIR_DNS_V4_PREFERRED;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DNS_LOOKUP_FAMILY__ALL: return WEIR_DNS_ALL;
    default: return WEIR_DNS_AUTO;
    }
}

static enum weir_dns_family extension_family_of(int family)
{
    switch (family) {
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V4_ONLY: return WEIR_DNS_V4_ONLY;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V6_ONLY: return WEIR_DNS_V6_ONLY;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__V4_PREFERRED: return WEIR_DNS_V4_PREFERRED;
    case ENVOY__EXTENSIONS__CLUSTERS__COMMON__DNS__V3__DNS_LOOKUP_FAMILY__ALL: return WEIR_DNS_ALL;
    default: return WEIR_DNS_AUTO;
    }
}

static enum weir_err resolvers_compile(struct weir_compile *c, const char *field, size_t count, pb_address *const *from,
                                       struct weir_dns_config *out)
{
    struct weir_address *at = weir_new(c, struct weir_address, count);
    for (size_t i = 0; i < count; i++) {
        const pb_socket_address *s =
            from[i]->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ? from[i]->socket_address : NULL;
        uint16_t port = s != NULL && s->port_value != 0 ? (uint16_t)s->port_value : 53;
        if (s == NULL || !weir_address_parse(weir_str_of(s->address), port, &at[i]))
            return weir_reject(c, field, "[%zu]: a resolver is an IP address with a port", i);
    }
    out->resolver_count = (uint32_t)count;
    out->resolvers = at;
    return WEIR_OK;
}

static enum weir_err failure_rate_compile(struct weir_compile *c, const void *base, const void *most, struct weir_dns_config *out)
{
    out->failure_base_ms = weir_duration_ms(base, 0);
    out->failure_max_ms = weir_duration_ms(most, 10 * out->failure_base_ms);
    return out->failure_max_ms >= out->failure_base_ms
               ? WEIR_OK
               : weir_reject(c, "dns_failure_refresh_rate.max_interval", "below base_interval");
}

static void options_compile(const Envoy__Config__Core__V3__DnsResolverOptions *o, struct weir_dns_config *out)
{
    if (o == NULL) return;
    out->tcp_only = o->use_tcp_for_dns_lookups;
    out->no_default_search = o->no_default_search_domain;
}

/* typed_dns_resolver_config: c-ares, as weir uses it too. Wins over what the cluster says of resolvers itself. */
static enum weir_err resolver_compile(struct weir_compile *c, const Envoy__Config__Core__V3__TypedExtensionConfig *t,
                                      struct weir_dns_config *out)
{
    if (t == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "typed_dns_resolver_config", -1);
    const ProtobufCMessage *m = NULL;
    enum weir_err err = weir_compile_any(c, "typed_config", t->typed_config, &m);
    if (err != WEIR_OK) return err;
    if (m->descriptor != &envoy__extensions__network__dns_resolver__cares__v3__cares_dns_resolver_config__descriptor)
        return weir_reject(c, "typed_config", "%s is not supported: names are resolved by c-ares", m->descriptor->name);
    const Envoy__Extensions__Network__DnsResolver__Cares__V3__CaresDnsResolverConfig *p =
        (const Envoy__Extensions__Network__DnsResolver__Cares__V3__CaresDnsResolverConfig *)(const void *)m;
    options_compile(p->dns_resolver_options, out);
    err = resolvers_compile(c, "resolvers", p->n_resolvers, p->resolvers, out);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}

enum weir_err weir_cluster_dns_compile(struct weir_compile *c, const pb_cluster *p, struct weir_dns_config *out)
{
    out->refresh_ms = weir_duration_ms(p->dns_refresh_rate, REFRESH_MS_DEFAULT);
    out->jitter_ms = weir_duration_ms(p->dns_jitter, 0);
    out->respect_ttl = p->respect_dns_ttl;
    out->family = family_of((int)p->dns_lookup_family);
    out->tcp_only = p->use_tcp_for_dns_lookups;
    enum weir_err err = WEIR_OK;
    if (p->dns_failure_refresh_rate != NULL)
        err = failure_rate_compile(c, p->dns_failure_refresh_rate->base_interval, p->dns_failure_refresh_rate->max_interval, out);
    if (err == WEIR_OK) err = resolvers_compile(c, "dns_resolvers", p->n_dns_resolvers, p->dns_resolvers, out);
    if (err == WEIR_OK && p->dns_resolution_config != NULL) {
        options_compile(p->dns_resolution_config->dns_resolver_options, out);
        err = resolvers_compile(c, "dns_resolution_config.resolvers", p->dns_resolution_config->n_resolvers,
                                p->dns_resolution_config->resolvers, out);
    }
    return err == WEIR_OK ? resolver_compile(c, p->typed_dns_resolver_config, out) : err;
}

enum weir_err weir_cluster_type_compile(struct weir_compile *c, const Envoy__Config__Cluster__V3__Cluster__CustomClusterType *t,
                                        struct weir_cluster_config *out)
{
    size_t mark = weir_path_push(c, "cluster_type", -1);
    const ProtobufCMessage *m = NULL;
    enum weir_err err = weir_compile_any(c, "typed_config", t->typed_config, &m);
    if (err != WEIR_OK) return err;
    if (m->descriptor != &envoy__extensions__clusters__dns__v3__dns_cluster__descriptor)
        return weir_reject(c, "typed_config", "%s is not supported: only DnsCluster is", m->descriptor->name);
    const Envoy__Extensions__Clusters__Dns__V3__DnsCluster *p =
        (const Envoy__Extensions__Clusters__Dns__V3__DnsCluster *)(const void *)m;
    struct weir_dns_config *dns = &out->dns;
    out->type = p->all_addresses_in_single_endpoint ? WEIR_CLUSTER_LOGICAL_DNS : WEIR_CLUSTER_STRICT_DNS;
    dns->refresh_ms = weir_duration_ms(p->dns_refresh_rate, REFRESH_MS_DEFAULT);
    dns->jitter_ms = weir_duration_ms(p->dns_jitter, 0);
    dns->min_refresh_ms = weir_duration_ms(p->dns_min_refresh_rate, 0);
    dns->respect_ttl = p->respect_dns_ttl;
    dns->family = extension_family_of((int)p->dns_lookup_family);
    dns->failure_base_ms = dns->failure_max_ms = 0;
    size_t inner = weir_path_push(c, "typed_config", -1);
    if (p->dns_failure_refresh_rate != NULL)
        err = failure_rate_compile(c, p->dns_failure_refresh_rate->base_interval, p->dns_failure_refresh_rate->max_interval, dns);
    if (err == WEIR_OK) err = resolver_compile(c, p->typed_dns_resolver_config, dns);
    if (err != WEIR_OK) return err;
    weir_path_pop(c, inner);
    weir_path_pop(c, mark);
    return WEIR_OK;
}
