/* Route tables: config.route.v3.RouteConfiguration compiled into an immutable resource whose lookup is indexed (exact
 * path hash, prefix trie, ordered residue) and always answers as the first match in order does. Called by
 * http/conn_manager for each stream; pinned by the stream. */
#ifndef WEIR_ROUTE_ROUTE_H
#define WEIR_ROUTE_ROUTE_H

#include "dataplane/base/compile.h"
#include "dataplane/base/request.h"
#include "dataplane/base/runtime.h"
#include "dataplane/base/header_rule.h"

struct weir_metadata;
struct weir_rate_limit; /* route/rate_limit.h */
struct weir_regex;
struct weir_route_index; /* route/index.h */
struct weir_substitution;
struct weir_vhost_index; /* route/vhost.h */

#define WEIR_CLUSTER_SLOT_NONE UINT32_MAX

/* Retry conditions, config.route.v3.RetryPolicy.retry_on and retriable codes. Bits. */
enum weir_retry_on {
    WEIR_RETRY_5XX = 1 << 0,
    WEIR_RETRY_GATEWAY_ERROR = 1 << 1,
    WEIR_RETRY_RESET = 1 << 2,
    WEIR_RETRY_RESET_BEFORE_REQUEST = 1 << 3,
    WEIR_RETRY_CONNECT_FAILURE = 1 << 4,
    WEIR_RETRY_RETRIABLE_4XX = 1 << 5,
    WEIR_RETRY_REFUSED_STREAM = 1 << 6,
    WEIR_RETRY_RETRIABLE_STATUS_CODES = 1 << 7,
    WEIR_RETRY_ENVOY_RATELIMITED = 1 << 8,
    WEIR_RETRY_GRPC_CANCELLED = 1 << 9,
    WEIR_RETRY_GRPC_DEADLINE_EXCEEDED = 1 << 10,
    WEIR_RETRY_GRPC_RESOURCE_EXHAUSTED = 1 << 11,
    WEIR_RETRY_GRPC_UNAVAILABLE = 1 << 12,
    WEIR_RETRY_GRPC_INTERNAL = 1 << 13,
};
/* The words of retry_on and of x-envoy-retry-on, x-envoy-retry-grpc-on; unknown ones count nothing, as Envoy does. */
uint32_t weir_retry_on_parse(struct weir_str words);
struct weir_retry_policy {
    uint32_t on; /* enum weir_retry_on bits; 0: no retries */
    uint32_t num_retries;
    uint64_t per_try_timeout_ms, per_try_idle_timeout_ms; /* 0: none */
    uint64_t back_off_base_ms, back_off_max_ms;           /* jittered, 25 ms and 10 × base by default */
    uint32_t status_code_count;
    const uint32_t *status_codes;
    uint32_t host_selection_max_attempts; /* draws of a host before one that was tried is taken all the same */
    bool previous_hosts; /* retry_host_predicate: previous_hosts */
};
struct weir_weighted_cluster {
    uint32_t weight, cluster_slot;
    struct weir_str cluster_name;
    struct weir_str cluster_header; /* instead of a name; empty: none */
    struct weir_str host_rewrite;   /* empty: none */
    struct weir_str runtime_key;    /* of the weight; empty: none */
    struct weir_header_rules request_rules, response_rules;
    const struct weir_filter_route_configs *filter_configs; /* those of the route's levels too; NULL: none on any level */
};
enum weir_route_action { WEIR_ROUTE_CLUSTER, WEIR_ROUTE_REDIRECT, WEIR_ROUTE_DIRECT_RESPONSE, WEIR_ROUTE_NON_FORWARDING };

struct weir_upgrade_config { /* RouteAction.upgrade_configs and HttpConnectionManager.upgrade_configs */
    struct weir_str type;    /* lower case: "websocket", "connect" */
    bool enabled;
    bool connect_terminated; /* connect_config set: weir answers CONNECT and proxies its payload as TCP */
    bool allow_post;
};

/* How a path or a host becomes another one. */
struct weir_rewrite {
    bool has_prefix; /* prefix_rewrite: what the route matched is replaced */
    struct weir_str prefix;
    const struct weir_regex *regex; /* regex_rewrite over the path without query; NULL: none */
    struct weir_str substitution;
};
struct weir_redirect {
    uint32_t status;
    struct weir_str scheme, host; /* empty: the request's */
    uint32_t port;                /* 0: keep */
    bool strip_query;
    struct weir_str path; /* path_redirect: the whole path, may hold a query; empty: none */
    struct weir_rewrite rewrite;
};

struct weir_virtual_host;
/* Beside what its match needs (route/match.h). */
struct weir_route {
    struct weir_str name;
    const struct weir_virtual_host *vhost;
    const struct weir_route_match *match;
    uint32_t order; /* position in its virtual host: the lower wins */
    enum weir_route_action action;
    /* cluster */
    uint32_t cluster_slot; /* WEIR_CLUSTER_SLOT_NONE: by header or weighted */
    struct weir_str cluster_name;
    struct weir_str cluster_header;
    uint32_t weighted_count, weighted_total;
    const struct weir_weighted_cluster *weighted;
    struct weir_str weighted_random_header; /* header_name that supplies the random value */
    uint32_t cluster_not_found_status;
    uint32_t priority; /* 0 default, 1 high */
    /* rewrites */
    struct weir_rewrite rewrite;
    bool auto_host_rewrite, append_x_forwarded_host; /* the router rewrites the host once it knows the endpoint */
    struct weir_str host_rewrite, host_rewrite_header;
    const struct weir_regex *host_rewrite_regex; /* over the path without query */
    struct weir_str host_rewrite_substitution;
    /* times; UINT64_MAX: not set, 0: disabled */
    uint64_t timeout_ms; /* 15,000 where not set */
    uint64_t idle_timeout_ms, max_stream_duration_ms, grpc_timeout_header_max_ms, grpc_timeout_header_offset_ms;
    bool has_max_stream_duration; /* the message is there, be it empty: then the router times nothing */
    uint64_t max_grpc_timeout_ms, grpc_timeout_offset_ms; /* deprecated: grpc-timeout bounds the route timeout */
    const struct weir_retry_policy *retry; /* the route's, else the virtual host's; NULL: none */
    uint64_t retry_buffer_bytes;           /* request_body_buffer_limit; UINT64_MAX: the connection's */
    bool retry_buffer_at_most_connection;  /* per_request_buffer_limit_bytes: the smaller of the two */
    uint32_t upgrade_count;
    const struct weir_upgrade_config *upgrades;
    uint32_t rate_limit_count;
    const struct weir_rate_limit *rate_limits;
    bool include_vh_rate_limits;
    /* redirect, direct_response */
    const struct weir_redirect *redirect;
    uint32_t direct_status;
    struct weir_str direct_body;
    const struct weir_substitution *direct_body_format; /* NULL: the body as it is */
    struct weir_header_rules request_rules, response_rules;
    const struct weir_metadata *metadata;
    /* typed_per_filter_config of the route, its virtual host and the table; NULL: none on any level. */
    const struct weir_filter_route_configs *filter_configs;
};
struct weir_virtual_host {
    struct weir_str name;
    const struct weir_route_table *table;
    struct weir_header_rules request_rules, response_rules;
    enum { WEIR_TLS_NONE, WEIR_TLS_EXTERNAL_ONLY, WEIR_TLS_ALL } require_tls;
    bool include_request_attempt_count, include_attempt_count_in_response;
    uint32_t rate_limit_count;
    const struct weir_rate_limit *rate_limits;
    const struct weir_filter_route_configs *filter_configs;
    const struct weir_metadata *metadata;
    uint32_t route_count;
    const struct weir_route *routes; /* in order */
    const struct weir_route_index *index;
};
struct weir_route_table {
    struct weir_resource resource; /* in use only where the table is a resource of its own; a name and counts of zero otherwise */
    struct weir_str name;
    const struct weir_vhost_index *vhosts;
    uint32_t vhost_count;
    const struct weir_virtual_host *vhost_at;
    struct weir_header_rules request_rules, response_rules;
    bool most_specific_wins; /* rules of the table first, of the route last, so that the route has the last word */
    bool ignore_port, ignore_path_parameters;
    uint32_t internal_only_count; /* internal_only_headers, in lower case: external clients may not send them */
    const struct weir_str *internal_only;
};
/* Per-route configuration of filters by filter name (the name in http_filters, as the API keys it). A list holds the entries of
 * all its levels, most specific first (weighted cluster, route, virtual host, table): the first of a name is the one in effect;
 * filters that apply every level (header_mutation) walk on. */
struct weir_filter_route_config {
    struct weir_str filter_name;
    const void *filter; /* struct weir_http_filter whose compile_route made it; checked against the chain's filter */
    const void *config; /* NULL when only `disabled` is said */
    bool disabled;
};
struct weir_filter_route_configs {
    uint32_t count;
    const struct weir_filter_route_config *at;
};

/* The answer. `route` NULL: none (404), or a redirect to https. Lives as long as the table is pinned. */
struct weir_route_result {
    const struct weir_virtual_host *vhost;
    const struct weir_route *route;
    const struct weir_weighted_cluster *weighted; /* the drawn one */
    uint32_t cluster_slot;
    struct weir_str cluster_name; /* chosen; may be a header's value */
    bool tls_redirect;            /* require_tls: 301 to weir_route_tls_location() */
};
/* r->headers holds the request, with :path, :authority and x-forwarded-proto as they are after the connection manager;
 * r->random decides fractions and weights. Cluster names from headers are left with cluster_slot NONE and cluster_name set: the
 * caller resolves them (snapshot by name). */
void weir_route_find(const struct weir_route_table *t, const struct weir_request *r, const struct weir_runtime *runtime,
                     struct weir_route_result *out);
struct weir_str weir_route_table_name(const struct weir_route_table *t);
/* Filter configurations of all levels that are in effect, most specific first; NULL: none. */
static inline const struct weir_filter_route_configs *weir_route_filter_configs(const struct weir_route_result *m)
{
    if (m->weighted != NULL)
        return m->weighted->filter_configs;
    return m->route != NULL ? m->route->filter_configs : m->vhost != NULL ? m->vhost->filter_configs : NULL;
}

/* Makes the request what the upstream gets: header rules of every level, then host and path rewrites. `originals`: the old ones
 * go to x-envoy-original-host and x-envoy-original-path (not with suppress_envoy_headers); r->original_path is set in any
 * case. auto_host_rewrite is the caller's: weir_route_set_host() once it knows the endpoint. */
void weir_route_apply_request(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h, bool originals);
void weir_route_set_host(const struct weir_route *route, struct weir_headers *h, struct weir_str host, bool originals);
void weir_route_apply_response(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h);
/* The Location of a redirect route, and of a redirect to https; in r->arena. */
struct weir_str weir_route_location(const struct weir_route *route, const struct weir_request *r);
struct weir_str weir_route_tls_location(const struct weir_request *r);

/* How the table's compile reaches the filters without knowing them (filled by filters/filters.c). */
struct weir_compile_filters {
    /* `any`: the google.protobuf.Any of typed_per_filter_config[name], which may wrap route.v3.FilterConfig. An optional one of an
     * unknown filter leaves out->filter NULL and out->disabled false: it is passed over. */
    enum weir_err (*compile_route)(struct weir_compile *c, struct weir_str filter_name, const void *any,
                                   struct weir_filter_route_config *out);
};
/* pb: config.route.v3.RouteConfiguration, validated. With c->resource NULL (RDS) the table is a resource of its own: made
 * here, c->arena and c->resource set to it during the call and restored, one reference handed over, none on failure. With
 * c->resource set (inline route_config of a listener) it lies in c->arena and goes with it. filters may be NULL in tests.
 * A cluster that is not known is refused where validate_clusters says so; unset, it does for an inline table, not for RDS.
 * Implemented in config/compile_route.c. */
enum weir_err weir_route_table_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_compile_filters *filters,
                                       struct weir_route_table **out) WEIR_MUST_USE;

#endif
