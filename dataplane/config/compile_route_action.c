/* What a route does: RouteAction, RedirectAction, DirectResponseAction. Called by compile_route.c for each route. */
#include "dataplane/config/compile_route.h"

#include "dataplane/base/data_source.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/base/substitution.h"
#include "dataplane/route/rate_limit.h"

#define ROUTE_TIMEOUT_MS 15000

static enum weir_err compile_regex_rewrite(struct weir_compile *c, const char *field, const pb_regex_match_and_substitute *pb,
                                           const struct weir_regex **regex, struct weir_str *substitution)
{
    size_t mark = weir_path_push(c, field, -1);
    enum weir_err err = pb->pattern == NULL ? weir_reject(c, "pattern", "is required")
                                            : weir_regex_matcher_compile(c, "pattern", pb->pattern, regex);
    if (err == WEIR_OK) {
        struct weir_error error = {0};
        *substitution = weir_compile_str(c, pb->substitution);
        err = weir_regex_check_rewrite(*regex, *substitution, &error);
        if (err != WEIR_OK)
            err = weir_reject(c, "substitution", "%s", error.text);
    }
    weir_path_pop(c, mark);
    return err;
}

static struct weir_str lower_copy(struct weir_compile *c, const char *z)
{
    struct weir_str s = weir_compile_str(c, z);
    char *p = (char *)(uintptr_t)s.p;
    for (size_t i = 0; i < s.n; i++)
        p[i] = weir_lower(p[i]);
    return s;
}

static enum weir_err compile_weight(struct weir_route_compile *x, const pb_cluster_weight *pb, const struct weir_route *route,
                                    struct weir_weighted_cluster *out)
{
    struct weir_compile *c = x->c;
    if (pb->weight == NULL)
        return weir_reject(c, "weight", "is required");
    bool named = pb->name != NULL && *pb->name != '\0', by_header = pb->cluster_header != NULL && *pb->cluster_header != '\0';
    if (named == by_header)
        return weir_reject(c, "name", named ? "only one of name or cluster_header can be specified"
                                            : "at least one of name or cluster_header must be specified");
    out->weight = pb->weight->value;
    out->cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    enum weir_err err = WEIR_OK;
    if (named)
        err = weir_route_compile_cluster(x, "name", "weighted ", pb->name, &out->cluster_name, &out->cluster_slot);
    else
        out->cluster_header = lower_copy(c, pb->cluster_header);
    if (pb->host_rewrite_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
        out->host_rewrite = weir_compile_str(c, pb->host_rewrite_literal);
    if (err == WEIR_OK)
        err = weir_header_rules_compile(c, "request_headers_to_add", pb->n_request_headers_to_add,
                                        (void *const *)pb->request_headers_to_add, "request_headers_to_remove",
                                        pb->n_request_headers_to_remove, pb->request_headers_to_remove, &out->request_rules);
    if (err == WEIR_OK)
        err = weir_header_rules_compile(c, "response_headers_to_add", pb->n_response_headers_to_add,
                                        (void *const *)pb->response_headers_to_add, "response_headers_to_remove",
                                        pb->n_response_headers_to_remove, pb->response_headers_to_remove, &out->response_rules);
    if (err == WEIR_OK)
        err = weir_route_compile_filters(x, WEIR_FILTER_ENTRIES(c, pb), pb->n_typed_per_filter_config, route->filter_configs,
                                         &out->filter_configs);
    return err;
}

static enum weir_err compile_weighted(struct weir_route_compile *x, const pb_weighted_cluster *pb, struct weir_route *out)
{
    struct weir_compile *c = x->c;
    struct weir_weighted_cluster *at = weir_new(c, struct weir_weighted_cluster, pb->n_clusters);
    out->weighted = at;
    out->weighted_count = (uint32_t)pb->n_clusters;
    uint64_t total = 0;
    for (size_t i = 0; i < pb->n_clusters; i++) {
        size_t mark = weir_path_push(c, "clusters", (int)i);
        enum weir_err err = compile_weight(x, pb->clusters[i], out, &at[i]);
        weir_path_pop(c, mark);
        if (err != WEIR_OK)
            return err;
        total += at[i].weight;
        if (pb->runtime_key_prefix != NULL && *pb->runtime_key_prefix != '\0')
            at[i].runtime_key = weir_arena_printf(c->arena, "%s.%.*s", pb->runtime_key_prefix, WEIR_STR_ARG(at[i].cluster_name));
    }
    if (total == 0)
        return weir_reject(c, "clusters", "the sum of the weights must be greater than 0");
    if (total > UINT32_MAX)
        return weir_reject(c, "clusters", "the sum of the weights exceeds %u", UINT32_MAX);
    if (pb->total_weight != NULL && pb->total_weight->value != 0 && pb->total_weight->value != total)
        return weir_reject(c, "total_weight", "the sum of the weights should add up to %u", pb->total_weight->value);
    out->weighted_total = (uint32_t)total;
    if (pb->random_value_specifier_case == ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__RANDOM_VALUE_SPECIFIER_HEADER_NAME)
        out->weighted_random_header = lower_copy(c, pb->header_name);
    return WEIR_OK;
}

static enum weir_err compile_cluster(struct weir_route_compile *x, const pb_route_action *pb, struct weir_route *out)
{
    struct weir_compile *c = x->c;
    switch (pb->cluster_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER:
        return weir_route_compile_cluster(x, "cluster", "", pb->cluster, &out->cluster_name, &out->cluster_slot);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER:
        out->cluster_header = lower_copy(c, pb->cluster_header);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS: {
        size_t mark = weir_path_push(c, "weighted_clusters", -1);
        enum weir_err err = compile_weighted(x, pb->weighted_clusters, out);
        weir_path_pop(c, mark);
        return err;
    }
    default: return weir_reject(c, NULL, "this kind of cluster specifier is not supported");
    }
}

static enum weir_err compile_host(struct weir_compile *c, const pb_route_action *pb, struct weir_route *out)
{
    out->append_x_forwarded_host = pb->append_x_forwarded_host;
    switch (pb->host_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL:
        out->host_rewrite = weir_compile_str(c, pb->host_rewrite_literal);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE:
        out->auto_host_rewrite = pb->auto_host_rewrite->value;
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER:
        out->host_rewrite_header = lower_copy(c, pb->host_rewrite_header);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_PATH_REGEX:
        return compile_regex_rewrite(c, "host_rewrite_path_regex", pb->host_rewrite_path_regex, &out->host_rewrite_regex,
                                     &out->host_rewrite_substitution);
    default: return WEIR_OK;
    }
}

static void compile_times(const pb_route_action *pb, struct weir_route *out)
{
    out->timeout_ms = weir_duration_ms(pb->timeout, ROUTE_TIMEOUT_MS);
    out->idle_timeout_ms = weir_duration_ms(pb->idle_timeout, UINT64_MAX);
    out->max_grpc_timeout_ms = weir_duration_ms(pb->max_grpc_timeout, UINT64_MAX);
    out->grpc_timeout_offset_ms = weir_duration_ms(pb->grpc_timeout_offset, 0);
    const pb_route_max_stream_duration *m = pb->max_stream_duration;
    if (m == NULL)
        return;
    out->has_max_stream_duration = true;
    out->max_stream_duration_ms = weir_duration_ms(m->max_stream_duration, UINT64_MAX);
    out->grpc_timeout_header_max_ms = weir_duration_ms(m->grpc_timeout_header_max, UINT64_MAX);
    out->grpc_timeout_header_offset_ms = weir_duration_ms(m->grpc_timeout_header_offset, 0);
}

static enum weir_err compile_upgrade(struct weir_compile *c, const pb_route_upgrade *pb, const struct weir_upgrade_config *before,
                                     size_t count, struct weir_upgrade_config *out)
{
    out->type = lower_copy(c, pb->upgrade_type);
    out->enabled = pb->enabled == NULL || pb->enabled->value;
    for (size_t i = 0; i < count; i++)
        if (weir_str_eq(before[i].type, out->type))
            return weir_reject(c, "upgrade_type", "duplicate upgrade %.*s", WEIR_STR_ARG(out->type));
    if (pb->connect_config == NULL)
        return WEIR_OK;
    if (!weir_str_eq(out->type, WEIR_STR("connect")))
        return weir_reject(c, "connect_config", "only upgrade_type CONNECT can have one");
    out->connect_terminated = true;
    out->allow_post = pb->connect_config->allow_post;
    return WEIR_OK;
}

static enum weir_err compile_upgrades(struct weir_compile *c, const pb_route_action *pb, struct weir_route *out)
{
    if (pb->n_upgrade_configs == 0)
        return WEIR_OK;
    struct weir_upgrade_config *at = weir_new(c, struct weir_upgrade_config, pb->n_upgrade_configs);
    out->upgrades = at;
    out->upgrade_count = (uint32_t)pb->n_upgrade_configs;
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < pb->n_upgrade_configs && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, "upgrade_configs", (int)i);
        err = compile_upgrade(c, pb->upgrade_configs[i], at, i, &at[i]);
        weir_path_pop(c, mark);
    }
    return err;
}

static enum weir_err compile_rewrite(struct weir_compile *c, const char *prefix, const pb_regex_match_and_substitute *regex,
                                     struct weir_rewrite *out)
{
    if (prefix != NULL && *prefix != '\0') {
        out->has_prefix = true;
        out->prefix = weir_compile_str(c, prefix);
    }
    if (regex == NULL)
        return WEIR_OK;
    if (out->has_prefix)
        return weir_reject(c, "regex_rewrite", "cannot be given together with prefix_rewrite");
    return compile_regex_rewrite(c, "regex_rewrite", regex, &out->regex, &out->substitution);
}

static enum weir_err compile_route_action(struct weir_route_compile *x, const pb_route_action *pb, struct weir_route *out)
{
    static const uint32_t not_found[] = {503, 404, 500};
    struct weir_compile *c = x->c;
    out->action = WEIR_ROUTE_CLUSTER;
    if ((size_t)pb->cluster_not_found_response_code < sizeof not_found / sizeof *not_found)
        out->cluster_not_found_status = not_found[pb->cluster_not_found_response_code];
    out->priority = pb->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH;
    out->include_vh_rate_limits = pb->include_vh_rate_limits != NULL && pb->include_vh_rate_limits->value;
    out->rate_limit_count = (uint32_t)pb->n_rate_limits;
    compile_times(pb, out);
    enum weir_err err = compile_cluster(x, pb, out);
    if (err == WEIR_OK)
        err = compile_rewrite(c, pb->prefix_rewrite, pb->regex_rewrite, &out->rewrite);
    if (err == WEIR_OK)
        err = compile_host(c, pb, out);
    if (err == WEIR_OK)
        err = compile_upgrades(c, pb, out);
    if (err == WEIR_OK)
        err = weir_rate_limits_compile(c, "rate_limits", pb->n_rate_limits, (void *const *)pb->rate_limits, &out->rate_limits);
    if (err == WEIR_OK && pb->retry_policy != NULL) {
        size_t mark = weir_path_push(c, "retry_policy", -1);
        err = weir_route_compile_retry(c, pb->retry_policy, &out->retry);
        weir_path_pop(c, mark);
    }
    return err;
}

static enum weir_err compile_redirect(struct weir_compile *c, const pb_redirect_action *pb, struct weir_route *out)
{
    static const uint32_t codes[] = {301, 302, 303, 307, 308};
    struct weir_redirect *d = weir_new(c, struct weir_redirect, 1);
    out->action = WEIR_ROUTE_REDIRECT;
    out->redirect = d;
    if ((size_t)pb->response_code >= sizeof codes / sizeof *codes)
        return weir_reject(c, "response_code", "unknown value %d", (int)pb->response_code);
    d->status = codes[pb->response_code];
    d->host = weir_compile_str(c, pb->host_redirect);
    d->strip_query = pb->strip_query;
    if (pb->port_redirect > UINT16_MAX)
        return weir_reject(c, "port_redirect", "%u is no port", pb->port_redirect);
    d->port = pb->port_redirect;
    switch (pb->scheme_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT:
        if (pb->https_redirect)
            d->scheme = WEIR_STR("https");
        break;
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT:
        d->scheme = weir_compile_str(c, pb->scheme_redirect);
        break;
    default: break;
    }
    switch (pb->path_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        d->path = weir_compile_str(c, pb->path_redirect);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE:
        return compile_rewrite(c, pb->prefix_rewrite, NULL, &d->rewrite);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        return compile_rewrite(c, NULL, pb->regex_rewrite, &d->rewrite);
    default: return WEIR_OK;
    }
}

static enum weir_err compile_direct(struct weir_route_compile *x, const pb_direct_response *pb, struct weir_route *out)
{
    struct weir_compile *c = x->c;
    out->action = WEIR_ROUTE_DIRECT_RESPONSE;
    out->direct_status = pb->status;
    enum weir_err err = weir_data_source_compile(c, "body", pb->body, &out->direct_body);
    if (err == WEIR_OK && out->direct_body.n > x->direct_body_bytes_max)
        return weir_reject(c, "body", "response body size is %zu bytes; maximum is %u", out->direct_body.n,
                           x->direct_body_bytes_max);
    if (err == WEIR_OK && pb->body_format != NULL)
        err = weir_substitution_compile(c, "body_format", pb->body_format, &out->direct_body_format);
    return err;
}

enum weir_err weir_route_compile_action(struct weir_route_compile *x, const pb_route *pb, const pb_virtual_host *vhost,
                                        struct weir_route *out)
{
    struct weir_compile *c = x->c;
    out->cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    out->cluster_not_found_status = 503;
    out->timeout_ms = ROUTE_TIMEOUT_MS;
    out->idle_timeout_ms = out->max_stream_duration_ms = out->grpc_timeout_header_max_ms =
        out->max_grpc_timeout_ms = out->retry_buffer_bytes = UINT64_MAX;
    const Google__Protobuf__UInt64Value *limit =
        pb->request_body_buffer_limit != NULL ? pb->request_body_buffer_limit : vhost->request_body_buffer_limit;
    const Google__Protobuf__UInt32Value *old_limit =
        pb->per_request_buffer_limit_bytes != NULL ? pb->per_request_buffer_limit_bytes : vhost->per_request_buffer_limit_bytes;
    if (limit != NULL) {
        out->retry_buffer_bytes = limit->value;
    } else if (old_limit != NULL) {
        out->retry_buffer_bytes = old_limit->value;
        out->retry_buffer_at_most_connection = true;
    }
    static const char *const fields[] = {"route", "redirect", "direct_response"};
    int field = pb->action_case == ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE      ? 0
                : pb->action_case == ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT ? 1
                                                                                      : 2;
    size_t mark = weir_path_push(c, fields[field], -1);
    enum weir_err err;
    switch (pb->action_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE: err = compile_route_action(x, pb->route, out); break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT: err = compile_redirect(c, pb->redirect, out); break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE: err = compile_direct(x, pb->direct_response, out); break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_NON_FORWARDING_ACTION:
        out->action = WEIR_ROUTE_NON_FORWARDING;
        err = WEIR_OK;
        break;
    default:
        weir_path_pop(c, mark);
        return weir_reject(c, NULL, "this kind of action is not supported");
    }
    weir_path_pop(c, mark);
    return err;
}
