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

static void set_expected_timeout(struct weir_router *r)
{
    uint64_t ms = weir_router_times_expected(r);
    if (ms > 0 && !r->config->suppress_envoy_headers) weir_headers_set_int(r->headers, WEIR_H_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, ms);
}

static void set_attempt_count(struct weir_router *r)
{
    r->request->attempts++;
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
    bool had_path = weir_headers_find(h, WEIR_H_X_ENVOY_ORIGINAL_PATH) != NULL;
    bool had_host = weir_headers_find(h, WEIR_H_X_ENVOY_ORIGINAL_HOST) != NULL;
    weir_route_apply_request(&r->decision, r->request, h);
    if (r->config->suppress_envoy_headers) {
        if (!had_path) weir_headers_remove(h, WEIR_H_X_ENVOY_ORIGINAL_PATH);
        if (!had_host) weir_headers_remove(h, WEIR_H_X_ENVOY_ORIGINAL_HOST);
    }
    r->authority = weir_headers_get(h, WEIR_H_AUTHORITY);
    weir_router_retry_init(r);
}

void weir_router_refresh_request(struct weir_router *r)
{
    set_expected_timeout(r);
    set_attempt_count(r);
}

void weir_router_rewrite_host(struct weir_router *r, struct weir_str hostname)
{
    struct weir_headers *h = r->headers;
    struct weir_str before = r->authority;
    weir_headers_set(h, WEIR_H_AUTHORITY, weir_arena_str(r->arena, hostname));
    if (r->host_rewritten || before.n == 0) return;
    r->host_rewritten = true;
    if (!r->config->suppress_envoy_headers) weir_headers_set(h, WEIR_H_X_ENVOY_ORIGINAL_HOST, before);
    if (!r->decision.route->append_x_forwarded_host) return;
    struct weir_str list = weir_headers_get_joined(h, weir_header_name(WEIR_H_X_FORWARDED_HOST), r->arena);
    if (list.n > 0) before = weir_arena_printf(r->arena, "%.*s,%.*s", WEIR_STR_ARG(list), WEIR_STR_ARG(before));
    weir_headers_set(h, WEIR_H_X_FORWARDED_HOST, before);
}
