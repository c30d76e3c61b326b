/* See dump_parts.h. Called for one cluster or listener at a time. */
#include "dataplane/config/dump_parts.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/host.h"
#include "xds/wire_check.h"

static void line(struct weir_out *out, uint32_t level)
{
    weir_out_add(out, WEIR_STR("\n"));
    for (uint32_t i = 0; i < level; i++) weir_out_add(out, WEIR_STR(" "));
}

static void field(struct weir_out *out, uint32_t level, const char *name, bool *first)
{
    if (!*first) weir_out_add(out, WEIR_STR(","));
    *first = false;
    line(out, level);
    weir_out_printf(out, "\"%s\": ", name);
}

static void text_field(struct weir_out *out, uint32_t level, const char *name, struct weir_str value, bool *first)
{
    if (value.n == 0) return;
    field(out, level, name, first);
    weir_out_string(out, value);
}

static void close_object(struct weir_out *out, uint32_t level, bool empty)
{
    if (!empty) line(out, level);
    weir_out_add(out, WEIR_STR("}"));
}

static void address_write(const struct weir_host *h, uint32_t level, struct weir_out *out)
{
    char ip[WEIR_ADDRESS_TEXT_MAX];
    bool first = true, inner = true;
    weir_out_add(out, WEIR_STR("{"));
    field(out, level + 1, weir_address_is_ip(&h->address) ? "socket_address" : "pipe", &first);
    weir_out_add(out, WEIR_STR("{"));
    if (weir_address_is_ip(&h->address)) {
        weir_address_print_ip(&h->address, ip);
        text_field(out, level + 2, "address", weir_str_of(ip), &inner);
        field(out, level + 2, "port_value", &inner);
        weir_out_printf(out, "%u", weir_address_port(&h->address));
    } else {
        text_field(out, level + 2, "path", h->address_text, &inner);
    }
    close_object(out, level + 1, false);
    close_object(out, level, false);
}

static void host_write(const struct weir_host_member *m, uint32_t level, struct weir_out *out)
{
    static const char *const health[] = {"HEALTHY", "DEGRADED", "UNHEALTHY"};
    bool first = true, inner = true;
    weir_out_add(out, WEIR_STR("{"));
    field(out, level + 1, "endpoint", &first);
    weir_out_add(out, WEIR_STR("{"));
    field(out, level + 2, "address", &inner);
    address_write(m->host, level + 2, out);
    field(out, level + 2, "health_check_config", &inner);
    weir_out_add(out, WEIR_STR("{}"));
    text_field(out, level + 2, "hostname", m->host->hostname, &inner);
    close_object(out, level + 1, false);
    field(out, level + 1, "health_status", &first);
    weir_out_printf(out, "\"%s\"", health[m->health]);
    field(out, level + 1, "load_balancing_weight", &first);
    weir_out_printf(out, "%u", m->weight);
    close_object(out, level, false);
}

/* The members of one locality stand together: `from` is the first of them. Returns the next one's. */
static uint32_t locality_write(const struct weir_host_set *set, uint32_t from, uint32_t level, struct weir_out *out)
{
    const struct weir_host_member *m = &set->at[from];
    const struct weir_locality *l = m->locality < set->locality_count ? &set->localities[m->locality] : NULL;
    bool first = true, inner = true;
    uint32_t i = from;
    weir_out_add(out, WEIR_STR("{"));
    field(out, level + 1, "locality", &first);
    weir_out_add(out, WEIR_STR("{"));
    if (l != NULL) {
        text_field(out, level + 2, "region", l->region, &inner);
        text_field(out, level + 2, "zone", l->zone, &inner);
        text_field(out, level + 2, "sub_zone", l->sub_zone, &inner);
    }
    close_object(out, level + 1, inner);
    field(out, level + 1, "lb_endpoints", &first);
    weir_out_add(out, WEIR_STR("["));
    for (; i < set->count && set->at[i].locality == m->locality && set->at[i].priority == m->priority; i++) {
        if (i > from) weir_out_add(out, WEIR_STR(","));
        line(out, level + 2);
        host_write(&set->at[i], level + 2, out);
    }
    line(out, level + 1);
    weir_out_add(out, WEIR_STR("]"));
    /* 0 stands for none, which no configuration may say: what is printed here can be fed back. */
    if (l != NULL && l->weight > 0) {
        field(out, level + 1, "load_balancing_weight", &first);
        weir_out_printf(out, "%u", l->weight);
    }
    if (m->priority > 0) {
        field(out, level + 1, "priority", &first);
        weir_out_printf(out, "%u", m->priority);
    }
    close_object(out, level, false);
    return i;
}

void weir_dump_assignment(const struct weir_cluster_shared *c, struct weir_str name, uint32_t level, struct weir_out *out)
{
    const struct weir_host_set *set = weir_cluster_shared_hosts(c);
    bool first = true, eds = c->config->type == WEIR_CLUSTER_EDS;
    weir_out_add(out, WEIR_STR("{"));
    text_field(out, level + 1, "@type", WEIR_STR("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"), &first);
    text_field(out, level + 1, "cluster_name", eds && c->config->eds_service_name.n > 0 ? c->config->eds_service_name : name, &first);
    if (set->count > 0) {
        field(out, level + 1, "endpoints", &first);
        weir_out_add(out, WEIR_STR("["));
        for (uint32_t i = 0; i < set->count;) {
            if (i > 0) weir_out_add(out, WEIR_STR(","));
            line(out, level + 2);
            i = locality_write(set, i, level + 2, out);
        }
        line(out, level + 1);
        weir_out_add(out, WEIR_STR("]"));
    }
    field(out, level + 1, "policy", &first);
    weir_out_add(out, WEIR_STR("{"));
    bool inner = true;
    field(out, level + 2, "overprovisioning_factor", &inner);
    weir_out_printf(out, "%u", set->overprovisioning_percent != 0 ? set->overprovisioning_percent : 140);
    close_object(out, level + 1, false);
    close_object(out, level, false);
}

struct routes {
    struct weir_arena scratch;
    void (*fn)(void *ctx, const ProtobufCMessage *route_config);
    void *ctx;
};

static void chain_routes(struct routes *r, const pb_filter_chain *chain)
{
    for (size_t i = 0; chain != NULL && i < chain->n_filters; i++) {
        const pb_network_filter *f = chain->filters[i];
        struct weir_error e = {0};
        ProtobufCMessage *m = NULL;
        if (f->typed_config == NULL) continue;
        const char *name = strrchr(f->typed_config->type_url, '/');
        if (name == NULL || strcmp(name + 1, pb_hcm_type.name) != 0) continue;
        struct weir_str bytes = {(const char *)f->typed_config->value.data, f->typed_config->value.len};
        if (weir_pb_decode(&r->scratch, &pb_hcm_type, bytes, &m, &e) != WEIR_OK) continue;
        const pb_hcm *hcm = (const pb_hcm *)(const void *)m;
        if (hcm->route_config != NULL) r->fn(r->ctx, &hcm->route_config->base);
    }
}

void weir_dump_inline_routes(struct weir_str listener, void (*fn)(void *ctx, const ProtobufCMessage *route_config), void *ctx)
{
    struct routes r = {.fn = fn, .ctx = ctx};
    struct weir_error e = {0};
    ProtobufCMessage *m = NULL;
    if (weir_pb_decode(&r.scratch, &pb_listener_type, listener, &m, &e) == WEIR_OK) {
        const pb_listener *l = (const pb_listener *)(const void *)m;
        for (size_t i = 0; i < l->n_filter_chains; i++) chain_routes(&r, l->filter_chains[i]);
        chain_routes(&r, l->default_filter_chain);
    }
    weir_arena_deinit(&r.scratch);
}
