/* The decision for one request: virtual host, route, cluster. Called by http/conn_manager. */
#include "dataplane/base/str.h"
#include "dataplane/route/index.h"
#include "dataplane/route/route.h"
#include "dataplane/route/vhost.h"
#include "dataplane/route/weighted.h"

struct weir_str weir_route_table_name(const struct weir_route_table *t)
{
    return t->name;
}

static bool needs_tls(const struct weir_virtual_host *v, const struct weir_request *r)
{
    if (v->require_tls == WEIR_TLS_NONE || (v->require_tls == WEIR_TLS_EXTERNAL_ONLY && r->internal))
        return false;
    return !weir_str_eq(weir_headers_get(r->headers, WEIR_H_X_FORWARDED_PROTO), WEIR_STR("https"));
}

static void use_header(struct weir_route_result *out, const struct weir_request *r, struct weir_str name)
{
    const struct weir_header *h = weir_headers_find_name(r->headers, name);
    if (h != NULL)
        out->cluster_name = h->value;
}

static void choose_cluster(const struct weir_route *route, const struct weir_request *r, const struct weir_runtime *runtime,
                           struct weir_route_result *out)
{
    if (route->weighted_count > 0) {
        const struct weir_weighted_cluster *w = weir_weighted_choose(route, r, runtime);
        out->weighted = w;
        out->cluster_slot = w->cluster_slot;
        out->cluster_name = w->cluster_name;
        if (w->cluster_header.n > 0)
            use_header(out, r, w->cluster_header);
    } else if (route->cluster_header.n > 0) {
        use_header(out, r, route->cluster_header);
    } else {
        out->cluster_slot = route->cluster_slot;
        out->cluster_name = route->cluster_name;
    }
}

void weir_route_find(const struct weir_route_table *t, const struct weir_request *r, const struct weir_runtime *runtime,
                     struct weir_route_result *out)
{
    *out = (struct weir_route_result){.cluster_slot = WEIR_CLUSTER_SLOT_NONE};
    out->vhost = weir_vhost_index_find(t->vhosts, weir_headers_get(r->headers, WEIR_H_AUTHORITY), t->ignore_port);
    if (out->vhost == NULL)
        return;
    if (needs_tls(out->vhost, r)) {
        out->tls_redirect = true;
        return;
    }
    struct weir_route_input in;
    weir_route_input_init(&in, r, runtime, t->ignore_path_parameters);
    out->route = weir_route_index_find(out->vhost->index, &in);
    if (out->route != NULL && out->route->action == WEIR_ROUTE_CLUSTER)
        choose_cluster(out->route, r, runtime, out);
}
