/* config.endpoint.v3.ClusterLoadAssignment to struct weir_endpoints: of EDS as a resource of its own, of a cluster's
 * load_assignment into the cluster's arena. */
#include "dataplane/base/metadata.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_cluster.h"

#define OVERPROVISIONING_PERCENT 140

static enum weir_host_health health_of(int status)
{
    switch (status) {
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__UNHEALTHY:
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DRAINING:
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__TIMEOUT: return WEIR_HOST_UNHEALTHY;
    case ENVOY__CONFIG__CORE__V3__HEALTH_STATUS__DEGRADED: return WEIR_HOST_DEGRADED;
    default: return WEIR_HOST_HEALTHY;
    }
}

static enum weir_err socket_address_compile(struct weir_compile *c, const pb_socket_address *s, bool dns, struct weir_endpoint *out)
{
    if (s->protocol == ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__UDP)
        return weir_reject(c, "protocol", "UDP endpoints are not supported");
    if (s->port_specifier_case != ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE)
        return weir_reject(c, "port_value", "an endpoint needs a port");
    struct weir_str host = weir_str_of(s->address);
    if (weir_address_parse(host, (uint16_t)s->port_value, &out->address)) return WEIR_OK;
    if (!dns)
        return weir_reject(c, "address", "malformed IP address: %s. Consider setting the cluster's type to STRICT_DNS or LOGICAL_DNS",
                           s->address);
    if (host.n == 0 || host.n > 253) return weir_reject(c, "address", "not a host name");
    out->dns_name = weir_compile_str(c, s->address);
    out->port = (uint16_t)s->port_value;
    return WEIR_OK;
}

static enum weir_err address_compile(struct weir_compile *c, const pb_address *a, bool dns, struct weir_endpoint *out)
{
    if (a == NULL) return weir_reject(c, "address", "an endpoint needs an address");
    size_t mark = weir_path_push(c, "address", -1);
    enum weir_err err;
    switch (a->address_case) {
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS:
        (void)weir_path_push(c, "socket_address", -1);
        err = socket_address_compile(c, a->socket_address, dns, out);
        break;
    case ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE:
        err = weir_address_unix(weir_str_of(a->pipe->path), &out->address)
                  ? WEIR_OK
                  : weir_reject(c, "pipe.path", "longer than a socket's path may be");
        break;
    default: err = weir_reject(c, NULL, "neither socket_address nor pipe"); break;
    }
    weir_path_pop(c, mark);
    return err;
}

static bool canary_of(const struct weir_metadata *m)
{
    const struct weir_value *v = weir_value_field(weir_metadata_get(m, WEIR_STR("envoy.lb")), WEIR_STR("canary"));
    return v != NULL && v->kind == WEIR_VALUE_BOOL && v->boolean;
}

static enum weir_err endpoint_compile(struct weir_compile *c, const pb_lb_endpoint *e, bool dns, struct weir_endpoint *out)
{
    if (e->host_identifier_case != ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT)
        return weir_reject(c, "endpoint", "missing");
    size_t mark = weir_path_push(c, "endpoint", -1);
    enum weir_err err = address_compile(c, e->endpoint->address, dns, out);
    weir_path_pop(c, mark);
    if (err != WEIR_OK) return err;
    out->hostname = weir_compile_str(c, e->endpoint->hostname);
    if (out->hostname.n == 0) out->hostname = out->dns_name;
    out->weight = e->load_balancing_weight != NULL ? e->load_balancing_weight->value : 1;
    out->health = health_of((int)e->health_status);
    const struct weir_metadata *m = weir_metadata_compile(c->arena, e->metadata);
    out->metadata = m;
    out->canary = canary_of(m);
    return WEIR_OK;
}

static enum weir_err policy_compile(struct weir_compile *c, const Envoy__Config__Endpoint__V3__ClusterLoadAssignment__Policy *p,
                                    struct weir_endpoints *out)
{
    if (p == NULL) return WEIR_OK;
    if (p->overprovisioning_factor != NULL) out->overprovisioning_percent = p->overprovisioning_factor->value;
    if (p->n_drop_overloads > 1)
        return weir_reject(c, "policy.drop_overloads", "%zu categories, at most one is supported", p->n_drop_overloads);
    if (p->n_drop_overloads == 0 || p->drop_overloads[0]->drop_percentage == NULL) return WEIR_OK;
    const pb_fractional_percent *percent = p->drop_overloads[0]->drop_percentage;
    out->drop_category = weir_compile_str(c, p->drop_overloads[0]->category);
    out->drop_numerator = percent->numerator;
    switch (percent->denominator) {
    case ENVOY__TYPE__V3__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__TEN_THOUSAND: out->drop_denominator = 10000; break;
    case ENVOY__TYPE__V3__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__MILLION: out->drop_denominator = 1000000; break;
    default: out->drop_denominator = 100; break;
    }
    return WEIR_OK;
}

enum weir_err weir_endpoints_fill(struct weir_compile *c, const ProtobufCMessage *pb, bool dns, struct weir_endpoints *out)
{
    const pb_load_assignment *a = (const pb_load_assignment *)(const void *)pb;
    size_t total = 0;
    for (size_t i = 0; i < a->n_endpoints; i++)
        total += a->endpoints[i]->n_lb_endpoints;
    struct weir_endpoint *at = weir_new(c, struct weir_endpoint, total);
    struct weir_locality *localities = weir_new(c, struct weir_locality, a->n_endpoints);
    out->at = at;
    out->localities = localities;
    out->locality_count = (uint32_t)a->n_endpoints;
    out->priority_count = 1;
    out->overprovisioning_percent = OVERPROVISIONING_PERCENT;
    for (size_t i = 0; i < a->n_endpoints; i++) {
        const pb_locality_lb_endpoints *l = a->endpoints[i];
        struct weir_locality *to = &localities[i];
        if (l->locality != NULL) {
            to->region = weir_compile_str(c, l->locality->region);
            to->zone = weir_compile_str(c, l->locality->zone);
            to->sub_zone = weir_compile_str(c, l->locality->sub_zone);
        }
        to->priority = l->priority;
        to->weight = l->load_balancing_weight != NULL ? l->load_balancing_weight->value : 0;
        if (to->priority >= WEIR_PRIORITIES_MAX) return weir_reject(c, "endpoints.priority", "%u, at most 128", to->priority);
        if (to->priority + 1 > out->priority_count) out->priority_count = to->priority + 1;
        size_t mark = weir_path_push(c, "endpoints", (int)i);
        for (size_t k = 0; k < l->n_lb_endpoints; k++) {
            size_t inner = weir_path_push(c, "lb_endpoints", (int)k);
            struct weir_endpoint *e = &at[out->count++];
            e->locality = (uint32_t)i;
            enum weir_err err = endpoint_compile(c, l->lb_endpoints[k], dns, e);
            if (err != WEIR_OK) return err;
            weir_path_pop(c, inner);
        }
        weir_path_pop(c, mark);
    }
    return policy_compile(c, a->policy, out);
}

enum weir_err weir_endpoints_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_endpoints **out)
{
    const pb_load_assignment *a = (const pb_load_assignment *)(const void *)pb;
    struct weir_endpoints *e = weir_resource_create(sizeof(*e), weir_str_of(a->cluster_name));
    struct weir_arena *arena = c->arena;
    struct weir_resource *resource = c->resource;
    c->arena = &e->resource.arena;
    c->resource = &e->resource;
    enum weir_err err = weir_endpoints_fill(c, pb, false, e);
    c->arena = arena;
    c->resource = resource;
    if (err != WEIR_OK) {
        weir_resource_release(&e->resource);
        e = NULL;
    }
    *out = e;
    return err;
}
