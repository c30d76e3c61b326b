/* Route tables: config.route.v3.RouteConfiguration compiled into an immutable resource whose lookup is indexed (exact
 * path hash, prefix trie, ordered residue) and always answers as the first match in order does. Called by
 * http/conn_manager for each stream; pinned by the stream. */
#ifndef WEIR_ROUTE_ROUTE_H
#define WEIR_ROUTE_ROUTE_H

#include "dataplane/base/compile.h"
#include "dataplane/base/request.h"
#include "dataplane/base/runtime.h"
#include "dataplane/base/header_rule.h"

struct weir_regex;
struct weir_route_table; /* starts with struct weir_resource */

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
struct weir_retry_policy {
    uint32_t on; /* enum weir_retry_on bits; 0: no retries */
    uint32_t num_retries;
    uint64_t per_try_timeout_ms, per_try_idle_timeout_ms; /* 0: none */
    uint64_t back_off_base_ms, back_off_max_ms;           /* jittered, 25 ms and 10 × base by default */
    uint32_t status_code_count;
    const uint32_t *status_codes;
    uint32_t host_selection_retry_max_attempts;
    bool previous_hosts; /* retry_host_predicate: previous_hosts */
};
struct weir_weighted_cluster {
    uint32_t weight, cluster_slot;
    struct weir_str cluster_name;
    uint16_t cluster_header_id;
    struct weir_str cluster_header; /* instead of a name; empty: none */
    struct weir_str host_rewrite;
    struct weir_header_rules request_rules, response_rules;
    const void *const *filter_configs; /* as weir_route.filter_configs */
    const void *metadata;
};
enum weir_route_action { WEIR_ROUTE_CLUSTER, WEIR_ROUTE_REDIRECT, WEIR_ROUTE_DIRECT_RESPONSE, WEIR_ROUTE_NON_FORWARDING };

struct weir_hash_policy;
struct weir_rate_limit_action;
struct weir_upgrade_config { /* RouteAction.upgrade_configs and HttpConnectionManager.upgrade_configs */
    struct weir_str type;    /* lower case: "websocket", "connect" */
    bool enabled;
    bool connect_terminated; /* connect_config set: weir answers CONNECT and proxies its payload as TCP */
    bool allow_post;
};

struct weir_redirect {
    uint32_t status;
    struct weir_str scheme, host; /* empty: the request's */
    uint32_t port;                /* 0: keep */
    bool strip_query, https;
    struct weir_str path;            /* whole path, may hold a query */
    struct weir_str prefix_rewrite;  /* with has_prefix_rewrite */
    bool has_path, has_prefix_rewrite;
    const struct weir_regex *regex;
    struct weir_str regex_substitution;
};

struct weir_virtual_host;
struct weir_route {
    struct weir_str name;
    const struct weir_virtual_host *vhost;
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
    struct weir_str matched_prefix; /* what prefix_rewrite replaces */
    struct weir_str prefix_rewrite;
    bool has_prefix_rewrite, auto_host_rewrite, append_x_forwarded_host;
    bool case_sensitive;
    const struct weir_regex *rewrite_regex;
    struct weir_str rewrite_substitution;
    struct weir_str host_rewrite, host_rewrite_header;
    const struct weir_regex *host_rewrite_regex; /* over the path */
    struct weir_str host_rewrite_substitution;
    /* times; UINT64_MAX: not set, 0: disabled */
    uint64_t timeout_ms; /* default 15,000 */
    uint64_t idle_timeout_ms, max_stream_duration_ms, grpc_timeout_header_max_ms, grpc_timeout_header_offset_ms, flush_timeout_ms;
    const struct weir_retry_policy *retry; /* merged with the virtual host's; NULL: none */
    uint64_t retry_buffer_bytes;           /* request_body_buffer_limit; UINT64_MAX: connection's */
    uint32_t upgrade_count;
    const struct weir_upgrade_config *upgrades;
    uint32_t hash_policy_count;
    const struct weir_hash_policy *hash_policies; /* route/hash_policy.h */
    uint32_t rate_limit_count;
    const struct weir_rate_limit_action *const *rate_limits; /* filters' descriptors: route/rate_limit_action.h */
    bool include_vh_rate_limits;
    const void *cors; /* deprecated inline policies are refused; per-route config through filter_configs */
    /* redirect, direct_response */
    const struct weir_redirect *redirect;
    uint32_t direct_status;
    struct weir_str direct_body;
    const struct weir_format *direct_body_format;
    /* headers: applied route, then virtual host, then table (or the reverse, most_specific_header_mutations_wins) */
    struct weir_header_rules request_rules, response_rules;
    const void *metadata;
    /* typed_per_filter_config, most specific first merged (route over vhost over table): indexed by the position that
     * weir_compile_filters.index gave the filter name; NULL entries: none. Length: table->filter_name_count. */
    const struct weir_filter_route_configs *filter_configs;
    bool match_terminal_connect; /* connect_matcher */
};
struct weir_virtual_host {
    struct weir_str name;
    const struct weir_route_table *table;
    struct weir_header_rules request_rules, response_rules;
    enum { WEIR_TLS_NONE, WEIR_TLS_EXTERNAL_ONLY, WEIR_TLS_ALL } require_tls;
    bool include_request_attempt_count, include_attempt_count_in_response;
    uint32_t rate_limit_count;
    const struct weir_rate_limit_action *const *rate_limits;
    const struct weir_filter_route_configs *filter_configs;
    const void *metadata;
    struct weir_route_index *index; /* route/index.h */
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

/* The answer. `route` NULL: none (404). Lives as long as the table is pinned. */
struct weir_route_result {
    const struct weir_virtual_host *vhost;
    const struct weir_route *route;
    const struct weir_weighted_cluster *weighted; /* the drawn one */
    uint32_t cluster_slot;
    struct weir_str cluster_name; /* chosen; may be a header's value */
    bool tls_redirect;            /* require_tls: answer with a redirect to https */
};
/* r->headers holds the request; r->random decides fractions and weights. cluster names from headers are left with
 * cluster_slot NONE and cluster_name set: the caller resolves them (snapshot by name). */
void weir_route_find(const struct weir_route_table *t, const struct weir_request *r, const struct weir_runtime *runtime,
                     struct weir_route_result *out);
/* Names for /config_dump, explain: why each route before the match did not match is a later issue's. */
struct weir_str weir_route_table_name(const struct weir_route_table *t);

/* Applies rewrites (path, host) and the header rules of every level to the request as forwarded. r->original_path is set. */
void weir_route_apply_request(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h);
void weir_route_apply_response(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h);
/* The Location of a redirect route, in r->arena. */
struct weir_str weir_route_location(const struct weir_route *route, const struct weir_request *r);

/* How the table's compile reaches the filters without knowing them (filled by filters/filters.c). */
struct weir_compile_filters {
    /* `any`: the google.protobuf.Any of typed_per_filter_config[name], which may wrap route.v3.FilterConfig. */
    enum weir_err (*compile_route)(struct weir_compile *c, struct weir_str filter_name, const void *any,
                                   struct weir_filter_route_config *out);
};
/* pb: config.route.v3.RouteConfiguration, validated. With c->resource NULL (RDS) the table is a resource of its own: made
 * here, c->arena and c->resource set to it during the call and restored, one reference handed over, none on failure. With
 * c->resource set (inline route_config of a listener) it lies in c->arena and goes with it. */
enum weir_err weir_route_table_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_compile_filters *filters,
                                       struct weir_route_table **out) WEIR_MUST_USE;

#endif
