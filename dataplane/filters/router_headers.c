/* The request's headers as the upstream gets them: what weir adds, what the route rewrites, and the server name to ask for. */
#include "dataplane/base/str.h"
#include "dataplane/filters/router.h"

/* auto_sni and auto_san_validation: the name that the client asked for (or the one in sni_header), without its port. An
 * address is no server name (RFC 6066 3). */
static void find_names(struct weir_router *r)
{
    const struct weir_cluster_config *config = r->cluster->config;
    if (!config->auto_sni && !config->auto_san_validation) return;
    struct weir_str name = weir_headers_get(r->headers, WEIR_H_AUTHORITY);
    if (config->sni_header.n > 0) {
        const struct weir_header *h = weir_headers_find_name(r->headers, config->sni_header);
        if (h != NULL && h->value.n > 0) name = h->value;
    }
    struct weir_address address;
    bool bracketed = name.n > 0 && name.p[0] == '[';
    if (bracketed) {
        size_t close = weir_str_find(name, ']');
        name = (struct weir_str){name.p + 1, close - 1};
    } else {
        name.n = weir_str_find(name, ':');
    }
    bool is_address = bracketed || weir_address_parse(name, 0, &address);
    if (config->auto_sni && !is_address) r->sni = name;
    if (config->auto_san_validation) r->san = name;
}

/* At most eight digits: seconds where milliseconds are too many. */
static void set_grpc_timeout(struct weir_router *r, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        char unit;
    } units[] = {{1, 'm'}, {1000, 'S'}, {60000, 'M'}, {3600000, 'H'}};
    size_t i = 0;
    while (i < 3 && ms / units[i].ms > 99999999) i++;
    uint64_t n = ms / units[i].ms;
    if (n > 99999999) n = 99999999;
    weir_headers_set(r->headers, WEIR_H_GRPC_TIMEOUT, weir_arena_printf(r->arena, "%llu%c", (unsigned long long)n, units[i].unit));
}

static void set_expected_timeout(struct weir_router *r)
{
    uint64_t ms = weir_router_times_expected(r);
    if (ms == 0) return;
    if (!r->config->suppress_envoy_headers) weir_headers_set_int(r->headers, WEIR_H_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, ms);
    if (weir_router_times_for_grpc(r)) set_grpc_timeout(r, ms);
}

static void set_attempt_count(struct weir_router *r)
{
    if (r->decision.vhost != NULL && r->decision.vhost->include_request_attempt_count)
        weir_headers_set_int(r->headers, WEIR_H_X_ENVOY_ATTEMPT_COUNT, r->request->attempts);
}

void weir_router_prepare_request(struct weir_router *r)
{
    struct weir_headers *h = r->headers;
    find_names(r);
    weir_router_times_init(r);
    set_expected_timeout(r);
    set_attempt_count(r);
    weir_headers_remove(h, WEIR_H_X_ENVOY_UPSTREAM_ALT_STAT_NAME);
    weir_route_apply_request(&r->decision, r->request, h, !r->config->suppress_envoy_headers);
    weir_router_retry_init(r);
}

void weir_router_refresh_request(struct weir_router *r)
{
    set_expected_timeout(r);
    set_attempt_count(r);
}

void weir_router_rewrite_host(struct weir_router *r, struct weir_str hostname)
{
    hostname = weir_arena_str(r->arena, hostname);
    if (r->host_rewritten) {
        /* What the client asked for stands in the headers already. */
        weir_headers_set(r->headers, WEIR_H_AUTHORITY, hostname);
        return;
    }
    r->host_rewritten = true;
    weir_route_set_host(r->decision.route, r->headers, hostname, !r->config->suppress_envoy_headers);
}
