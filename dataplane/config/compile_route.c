/* RouteConfiguration messages into route tables: the table, its virtual hosts and the order of levels. Called by the compile
 * thread for RDS and by compile_http.c for an inline route_config. */
#include "dataplane/config/compile_route.h"

#include "dataplane/base/str.h"
#include "dataplane/route/index.h"
#include "dataplane/route/rate_limit.h"
#include "dataplane/route/vhost.h"

#define DIRECT_BODY_BYTES_MAX 4096

enum weir_err weir_route_compile_cluster(struct weir_route_compile *x, const char *field, const char *kind, const char *name,
                                         struct weir_str *copy, uint32_t *slot)
{
    const struct weir_compile_names *names = x->c->names;
    struct weir_str key = weir_str_of(name);
    const struct weir_str *known = weir_map_get(&x->cluster_names, key);
    *slot = WEIR_CLUSTER_SLOT_NONE;
    if (known == NULL) {
        if (x->validate_clusters && names != NULL && names->cluster_known != NULL && !names->cluster_known(names->ctx, key))
            return weir_reject(x->c, field, "route: unknown %scluster '%s'", kind, name);
        struct weir_str *own = weir_new(x->c, struct weir_str, 1);
        *own = weir_compile_str(x->c, name);
        (void)weir_map_set(&x->cluster_names, *own, own);
        known = own;
    }
    *copy = *known;
    if (names != NULL)
        *slot = names->cluster_slot(names->ctx, *known);
    return WEIR_OK;
}

struct weir_filter_entry *weir_filter_entries(struct weir_compile *c, size_t count, const void *const *entries)
{
    /* The entries of each message's map are a type of their own, all of one shape. */
    struct weir_filter_entry *out = WEIR_NEW(c->scratch, struct weir_filter_entry, count + 1);
    for (size_t i = 0; i < count; i++) {
        const Envoy__Config__Route__V3__RouteConfiguration__TypedPerFilterConfigEntry *e = entries[i];
        out[i] = (struct weir_filter_entry){weir_str_of(e->key), e->value};
    }
    return out;
}

static enum weir_err compile_filter(struct weir_route_compile *x, const struct weir_filter_entry *e,
                                    struct weir_filter_route_config *out)
{
    struct weir_compile *c = x->c;
    struct weir_str field = weir_arena_printf(c->scratch, "typed_per_filter_config[\"%.*s\"]", WEIR_STR_ARG(e->name));
    size_t mark = weir_path_push(c, field.p, -1);
    enum weir_err err;
    *out = (struct weir_filter_route_config){.filter_name = weir_arena_str(c->arena, e->name)};
    if (e->any == NULL || x->filters == NULL)
        err = weir_reject(c, NULL, "has no configuration");
    else
        err = x->filters->compile_route(c, out->filter_name, e->any, out);
    weir_path_pop(c, mark);
    return err;
}

enum weir_err weir_route_compile_filters(struct weir_route_compile *x, const struct weir_filter_entry *entries, size_t count,
                                         const struct weir_filter_route_configs *outer, const struct weir_filter_route_configs **out)
{
    *out = outer;
    if (count == 0)
        return WEIR_OK;
    size_t outer_count = outer != NULL ? outer->count : 0;
    struct weir_filter_route_configs *own = weir_new(x->c, struct weir_filter_route_configs, 1);
    struct weir_filter_route_config *at = weir_new(x->c, struct weir_filter_route_config, count + outer_count);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        enum weir_err err = compile_filter(x, &entries[i], &at[kept]);
        if (err != WEIR_OK)
            return err;
        kept += at[kept].filter != NULL || at[kept].config != NULL || at[kept].disabled;
    }
    if (outer_count > 0)
        memcpy(at + kept, outer->at, outer_count * sizeof *at);
    *own = (struct weir_filter_route_configs){(uint32_t)(kept + outer_count), at};
    *out = own;
    return WEIR_OK;
}

static enum weir_err compile_rules(struct weir_compile *c, size_t add_count, void *const *add, size_t remove_count, char *const *remove,
                                   bool request, struct weir_header_rules *out)
{
    return weir_header_rules_compile(c, request ? "request_headers_to_add" : "response_headers_to_add", add_count, add,
                                     request ? "request_headers_to_remove" : "response_headers_to_remove", remove_count, remove, out);
}
/* Both directions of any message with the four lists. */
#define COMPILE_RULES(c, m, out)                                                                                        \
    (compile_rules((c), (m)->n_request_headers_to_add, (void *const *)(m)->request_headers_to_add,                              \
                   (m)->n_request_headers_to_remove, (m)->request_headers_to_remove, true, &(out)->request_rules) != WEIR_OK    \
         ? WEIR_ERR_INVALID                                                                                             \
         : compile_rules((c), (m)->n_response_headers_to_add, (void *const *)(m)->response_headers_to_add,                      \
                         (m)->n_response_headers_to_remove, (m)->response_headers_to_remove, false, &(out)->response_rules))

static enum weir_err compile_route(struct weir_route_compile *x, const pb_route *pb, const pb_virtual_host *pb_vhost,
                                   const struct weir_virtual_host *vhost, struct weir_route_match *match, struct weir_route *out)
{
    struct weir_compile *c = x->c;
    out->name = weir_compile_str(c, pb->name);
    out->vhost = vhost;
    out->match = match;
    out->metadata = weir_metadata_compile(c->arena, pb->metadata);
    if (pb->match == NULL)
        return weir_reject(c, "match", "is required");
    size_t mark = weir_path_push(c, "match", -1);
    enum weir_err err = weir_route_compile_match(c, pb->match, match);
    weir_path_pop(c, mark);
    if (err == WEIR_OK)
        err = COMPILE_RULES(c, pb, out);
    if (err == WEIR_OK)
        err = weir_route_compile_filters(x, WEIR_FILTER_ENTRIES(c, pb), pb->n_typed_per_filter_config, vhost->filter_configs,
                                         &out->filter_configs);
    return err != WEIR_OK ? err : weir_route_compile_action(x, pb, pb_vhost, out);
}

static enum weir_err compile_routes(struct weir_route_compile *x, const pb_virtual_host *pb, struct weir_virtual_host *out)
{
    struct weir_compile *c = x->c;
    const struct weir_retry_policy *retry = NULL;
    size_t mark = weir_path_push(c, "retry_policy", -1);
    enum weir_err err = weir_route_compile_retry(c, pb->retry_policy, &retry);
    weir_path_pop(c, mark);
    struct weir_route *routes = weir_new(c, struct weir_route, pb->n_routes + 1);
    struct weir_route_match *matches = weir_new(c, struct weir_route_match, pb->n_routes + 1);
    out->routes = routes;
    out->route_count = (uint32_t)pb->n_routes;
    for (size_t i = 0; i < pb->n_routes && err == WEIR_OK; i++) {
        mark = weir_path_push(c, "routes", (int)i);
        routes[i].order = (uint32_t)i;
        err = compile_route(x, pb->routes[i], pb, out, &matches[i], &routes[i]);
        if (routes[i].retry == NULL)
            routes[i].retry = retry;
        weir_path_pop(c, mark);
    }
    if (err == WEIR_OK)
        out->index = weir_route_index_build(c->arena, routes, out->route_count);
    return err;
}

static enum weir_err compile_vhost(struct weir_route_compile *x, const pb_virtual_host *pb,
                                   const struct weir_filter_route_configs *outer, struct weir_virtual_host *out)
{
    struct weir_compile *c = x->c;
    out->name = weir_compile_str(c, pb->name);
    out->table = x->table;
    out->include_request_attempt_count = pb->include_request_attempt_count;
    out->include_attempt_count_in_response = pb->include_attempt_count_in_response;
    out->metadata = weir_metadata_compile(c->arena, pb->metadata);
    out->rate_limit_count = (uint32_t)pb->n_rate_limits;
    switch (pb->require_tls) {
    case ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL: out->require_tls = WEIR_TLS_ALL; break;
    case ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__EXTERNAL_ONLY: out->require_tls = WEIR_TLS_EXTERNAL_ONLY; break;
    default: out->require_tls = WEIR_TLS_NONE; break;
    }
    enum weir_err err = COMPILE_RULES(c, pb, out);
    if (err == WEIR_OK)
        err = weir_rate_limits_compile(c, "rate_limits", pb->n_rate_limits, (void *const *)pb->rate_limits, &out->rate_limits);
    if (err == WEIR_OK)
        err = weir_route_compile_filters(x, WEIR_FILTER_ENTRIES(c, pb), pb->n_typed_per_filter_config, outer, &out->filter_configs);
    return err != WEIR_OK ? err : compile_routes(x, pb, out);
}

static enum weir_err index_domains(struct weir_route_compile *x, const pb_route_configuration *pb)
{
    struct weir_compile *c = x->c;
    size_t count = 0, at = 0;
    for (size_t i = 0; i < pb->n_virtual_hosts; i++)
        count += pb->virtual_hosts[i]->n_domains;
    struct weir_vhost_domain *domains = WEIR_NEW(c->scratch, struct weir_vhost_domain, count + 1);
    for (size_t i = 0; i < pb->n_virtual_hosts; i++)
        for (size_t k = 0; k < pb->virtual_hosts[i]->n_domains; k++)
            domains[at++] = (struct weir_vhost_domain){weir_str_of(pb->virtual_hosts[i]->domains[k]), &x->table->vhost_at[i]};
    uint32_t again = 0;
    if (weir_vhost_index_build(c->arena, domains, (uint32_t)count, &again, &x->table->vhosts) == WEIR_OK)
        return WEIR_OK;
    struct weir_str twice = domains[again].domain;
    (void)weir_path_push(c, "virtual_hosts", (int)(domains[again].vhost - x->table->vhost_at));
    if (weir_str_eq(twice, WEIR_STR("*")))
        return weir_reject(c, "domains", "only a single wildcard domain is permitted in route %s", pb->name);
    return weir_reject(c, "domains", "only unique values for domains are permitted, duplicate entry of domain %.*s in route %s",
                       WEIR_STR_ARG(twice), pb->name);
}

static void set_internal_only(struct weir_compile *c, const pb_route_configuration *pb, struct weir_route_table *t)
{
    struct weir_str *at = weir_new(c, struct weir_str, pb->n_internal_only_headers + 1);
    for (size_t i = 0; i < pb->n_internal_only_headers; i++) {
        at[i] = weir_compile_str(c, pb->internal_only_headers[i]);
        char *p = (char *)(uintptr_t)at[i].p;
        for (size_t k = 0; k < at[i].n; k++)
            p[k] = weir_lower(p[k]);
    }
    t->internal_only = at;
    t->internal_only_count = (uint32_t)pb->n_internal_only_headers;
}

static enum weir_err compile_table(struct weir_route_compile *x, const pb_route_configuration *pb)
{
    struct weir_compile *c = x->c;
    struct weir_route_table *t = x->table;
    t->name = weir_compile_str(c, pb->name);
    t->most_specific_wins = pb->most_specific_header_mutations_wins;
    t->ignore_port = pb->ignore_port_in_host_matching;
    t->ignore_path_parameters = pb->ignore_path_parameters_in_path_matching;
    if (pb->validate_clusters != NULL)
        x->validate_clusters = pb->validate_clusters->value;
    x->direct_body_bytes_max =
        pb->max_direct_response_body_size_bytes != NULL ? pb->max_direct_response_body_size_bytes->value : DIRECT_BODY_BYTES_MAX;
    set_internal_only(c, pb, t);
    const struct weir_filter_route_configs *filters = NULL;
    enum weir_err err = COMPILE_RULES(c, pb, t);
    if (err == WEIR_OK)
        err = weir_route_compile_filters(x, WEIR_FILTER_ENTRIES(c, pb), pb->n_typed_per_filter_config, NULL, &filters);
    struct weir_virtual_host *vhosts = weir_new(c, struct weir_virtual_host, pb->n_virtual_hosts + 1);
    t->vhost_at = vhosts;
    t->vhost_count = (uint32_t)pb->n_virtual_hosts;
    for (size_t i = 0; i < pb->n_virtual_hosts && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, "virtual_hosts", (int)i);
        err = compile_vhost(x, pb->virtual_hosts[i], filters, &vhosts[i]);
        weir_path_pop(c, mark);
    }
    if (err == WEIR_OK)
        err = index_domains(x, pb);
    return err;
}

enum weir_err weir_route_table_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_compile_filters *filters,
                                       struct weir_route_table **out)
{
    const pb_route_configuration *message = (const pb_route_configuration *)(const void *)pb;
    bool own = c->resource == NULL;
    struct weir_arena *arena = c->arena;
    struct weir_route_table *t;
    if (own) {
        t = weir_resource_create(sizeof *t, weir_str_of(message->name));
        c->resource = &t->resource;
        c->arena = &t->resource.arena;
    } else {
        t = weir_new(c, struct weir_route_table, 1);
    }
    struct weir_route_compile x = {.c = c, .filters = filters, .table = t, .validate_clusters = !own};
    enum weir_err err = compile_table(&x, message);
    weir_map_deinit(&x.cluster_names);
    if (own) {
        c->resource = NULL;
        c->arena = arena;
        if (err != WEIR_OK)
            weir_resource_release(&t->resource);
    }
    if (err == WEIR_OK)
        *out = t;
    return err;
}
