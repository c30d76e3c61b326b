/* config.cluster.v3.Cluster to struct weir_cluster_config. Fields that weir does not know are refused by their class before
 * this runs; what is refused here are values. */
#include "dataplane/config/compile_cluster.h"

#include "dataplane/base/metadata.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/config/compile_dns.h"
#include "dataplane/config/compile_tls.h"
#include "dataplane/config/compile_types.h"
#include "dataplane/limits.h"

#define CONNECT_TIMEOUT_MS_DEFAULT 5000u
#define PANIC_PERCENT_DEFAULT 50u
#define CHOICE_COUNT_DEFAULT 2u

static uint32_t u32(const Google__Protobuf__UInt32Value *v, uint32_t otherwise)
{
    return v != NULL ? v->value : otherwise;
}

static uint32_t percent(const pb_percent *p, uint32_t otherwise)
{
    if (p == NULL || !(p->value >= 0)) return otherwise;
    return p->value < 100 ? (uint32_t)p->value : 100;
}

/* ---- discovery type ---- */

static enum weir_err type_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out)
{
    if (p->cluster_discovery_type_case == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE)
        return weir_cluster_type_compile(c, p->cluster_type, out);
    switch (p->type) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC: out->type = WEIR_CLUSTER_STATIC; return WEIR_OK;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS: out->type = WEIR_CLUSTER_STRICT_DNS; return WEIR_OK;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS: out->type = WEIR_CLUSTER_LOGICAL_DNS; return WEIR_OK;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST:
        out->type = WEIR_CLUSTER_ORIGINAL_DST;
        return weir_original_dst_compile(c, &p->base, &out->original_dst);
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__EDS: break;
    default: return weir_reject(c, "type", "only STATIC, EDS, STRICT_DNS, LOGICAL_DNS and ORIGINAL_DST are supported");
    }
    out->type = WEIR_CLUSTER_EDS;
    if (p->eds_cluster_config == NULL || p->eds_cluster_config->eds_config == NULL)
        return weir_reject(c, "eds_cluster_config.eds_config", "cannot create an EDS cluster without an EDS config");
    enum weir_err err = weir_ads_source_check(c, "eds_cluster_config.eds_config", p->eds_cluster_config->eds_config);
    if (err != WEIR_OK) return err;
    out->initial_fetch_timeout_ms =
        weir_duration_ms(p->eds_cluster_config->eds_config->initial_fetch_timeout, WEIR_INITIAL_FETCH_TIMEOUT_MS_DEFAULT);
    out->eds_service_name = weir_compile_str(c, p->eds_cluster_config->service_name);
    if (out->eds_service_name.n == 0) out->eds_service_name = out->resource.name;
    return WEIR_OK;
}

static enum weir_err endpoints_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out)
{
    if (out->type == WEIR_CLUSTER_EDS) {
        if (p->load_assignment != NULL) return weir_reject(c, "load_assignment", "an EDS cluster gets its endpoints by EDS");
        return WEIR_OK;
    }
    out->endpoints = weir_new(c, struct weir_endpoints, 1);
    out->endpoints->priority_count = 1;
    out->endpoints->overprovisioning_percent = 140;
    if (p->load_assignment == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "load_assignment", -1);
    enum weir_err err = weir_endpoints_fill(c, &p->load_assignment->base, out->type != WEIR_CLUSTER_STATIC, out->endpoints);
    if (err != WEIR_OK) return err;
    if (out->type == WEIR_CLUSTER_LOGICAL_DNS && out->endpoints->count != 1)
        return weir_reject(c, "endpoints", "a LOGICAL_DNS cluster has exactly one endpoint, not %u", out->endpoints->count);
    weir_path_pop(c, mark);
    return WEIR_OK;
}

/* ---- load balancing ---- */

static void least_request_compile(struct weir_compile *c, const Google__Protobuf__UInt32Value *choices, const Envoy__Config__Core__V3__RuntimeDouble *bias,
                                  struct weir_cluster_config *out)
{
    out->lb_policy = WEIR_LB_LEAST_REQUEST;
    out->choice_count = u32(choices, CHOICE_COUNT_DEFAULT);
    if (bias == NULL) return;
    out->active_request_bias = bias->default_value;
    out->active_request_bias_key = weir_compile_str(c, bias->runtime_key);
}

static void locality_compile(const Envoy__Extensions__LoadBalancingPolicies__Common__V3__LocalityLbConfig *l, struct weir_cluster_config *out)
{
    out->locality_weighted =
        l != NULL &&
        l->locality_config_specifier_case ==
            ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
}

static const ProtobufCMessageDescriptor *const known_policies[] = {
    &envoy__extensions__load_balancing_policies__round_robin__v3__round_robin__descriptor,
    &envoy__extensions__load_balancing_policies__least_request__v3__least_request__descriptor,
    &envoy__extensions__load_balancing_policies__random__v3__random__descriptor,
};

/* A preference list: what weir does not know is passed over, so the type is looked at before anything is decoded. */
static bool policy_is_known(const Google__Protobuf__Any *any)
{
    const char *slash = any != NULL ? strrchr(any->type_url, '/') : NULL;
    if (slash == NULL) return false;
    for (size_t i = 0; i < sizeof(known_policies) / sizeof(known_policies[0]); i++)
        if (strcmp(slash + 1, known_policies[i]->name) == 0) return true;
    return false;
}

static enum weir_err policy_apply(struct weir_compile *c, const ProtobufCMessage *m, struct weir_cluster_config *out)
{
    if (m->descriptor == known_policies[0]) {
        out->lb_policy = WEIR_LB_ROUND_ROBIN;
        locality_compile(((const pb_lb_round_robin *)(const void *)m)->locality_lb_config, out);
        return WEIR_OK;
    }
    if (m->descriptor == known_policies[2]) {
        out->lb_policy = WEIR_LB_RANDOM;
        locality_compile(((const pb_lb_random *)(const void *)m)->locality_lb_config, out);
        return WEIR_OK;
    }
    if (m->descriptor != known_policies[1]) return weir_reject(c, NULL, "%s is not supported", m->descriptor->name);
    const pb_lb_least_request *l = (const pb_lb_least_request *)(const void *)m;
    least_request_compile(c, l->choice_count, l->active_request_bias, out);
    out->full_scan = l->selection_method ==
                         ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__LEAST_REQUEST__V3__LEAST_REQUEST__SELECTION_METHOD__FULL_SCAN ||
                     (l->enable_full_scan != NULL && l->enable_full_scan->value);
    locality_compile(l->locality_lb_config, out);
    return WEIR_OK;
}

static enum weir_err policies_compile(struct weir_compile *c, const pb_load_balancing_policy *list, struct weir_cluster_config *out)
{
    size_t mark = weir_path_push(c, "load_balancing_policy", -1);
    for (size_t i = 0; i < list->n_policies; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *t = list->policies[i]->typed_extension_config;
        if (t == NULL || !policy_is_known(t->typed_config)) continue;
        (void)weir_path_push(c, "policies", (int)i);
        (void)weir_path_push(c, "typed_extension_config", -1);
        const ProtobufCMessage *m = NULL;
        enum weir_err err = weir_compile_any(c, "typed_config", t->typed_config, &m);
        if (err == WEIR_OK) err = policy_apply(c, m, out);
        if (err == WEIR_OK) weir_path_pop(c, mark);
        return err;
    }
    return weir_reject(c, "policies", "none of the %zu policies is supported (round_robin, least_request and random are)", list->n_policies);
}

static enum weir_err lb_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out)
{
    out->panic_percent = PANIC_PERCENT_DEFAULT;
    out->choice_count = CHOICE_COUNT_DEFAULT;
    out->active_request_bias = 1.0;
    if (p->common_lb_config != NULL) {
        out->panic_percent = percent(p->common_lb_config->healthy_panic_threshold, PANIC_PERCENT_DEFAULT);
        out->locality_weighted = p->common_lb_config->locality_config_specifier_case ==
                                 ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG;
    }
    if (out->type == WEIR_CLUSTER_ORIGINAL_DST) return WEIR_OK; /* there is one host for each destination */
    if (p->load_balancing_policy != NULL) return policies_compile(c, p->load_balancing_policy, out);
    switch (p->lb_policy) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__ROUND_ROBIN: out->lb_policy = WEIR_LB_ROUND_ROBIN; return WEIR_OK;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RANDOM: out->lb_policy = WEIR_LB_RANDOM; return WEIR_OK;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LEAST_REQUEST: break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__RING_HASH: return weir_reject(c, "lb_policy", "RING_HASH is not supported");
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__MAGLEV: return weir_reject(c, "lb_policy", "MAGLEV is not supported");
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__LOAD_BALANCING_POLICY_CONFIG:
        return weir_reject(c, "load_balancing_policy", "missing, while lb_policy is LOAD_BALANCING_POLICY_CONFIG");
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED:
        return weir_reject(c, "lb_policy", "cluster provided LB specified but cluster '%.100s' did not provide one", p->name);
    default: return weir_reject(c, "lb_policy", "only ROUND_ROBIN, LEAST_REQUEST and RANDOM are supported");
    }
    const bool own = p->lb_config_case == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG;
    least_request_compile(c, own ? p->least_request_lb_config->choice_count : NULL,
                          own ? p->least_request_lb_config->active_request_bias : NULL, out);
    return WEIR_OK;
}

/* ---- circuit breakers ---- */

/* `track`: whose priorities' remaining_* gauges are wanted. */
static void breakers_compile(const pb_circuit_breakers *p, struct weir_cluster_config *out, bool track[2])
{
    for (int i = 0; i < 2; i++)
        out->limits[i] = (struct weir_breaker_limits){
            .connections = WEIR_BREAKER_CONNECTIONS_DEFAULT,
            .pending = WEIR_BREAKER_PENDING_DEFAULT,
            .requests = WEIR_BREAKER_REQUESTS_DEFAULT,
            .retries = WEIR_BREAKER_RETRIES_DEFAULT,
            .pools = UINT64_MAX,
        };
    out->host_connections_max = UINT64_MAX;
    if (p == NULL) return;
    bool seen[2] = {false, false};
    for (size_t i = 0; i < p->n_thresholds; i++) {
        const pb_breaker_thresholds *t = p->thresholds[i];
        uint32_t priority = t->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH ? 1 : 0;
        if (seen[priority]) continue; /* the first of a priority counts */
        seen[priority] = true;
        struct weir_breaker_limits *l = &out->limits[priority];
        l->connections = u32(t->max_connections, WEIR_BREAKER_CONNECTIONS_DEFAULT);
        l->pending = u32(t->max_pending_requests, WEIR_BREAKER_PENDING_DEFAULT);
        l->requests = u32(t->max_requests, WEIR_BREAKER_REQUESTS_DEFAULT);
        l->retries = u32(t->max_retries, WEIR_BREAKER_RETRIES_DEFAULT);
        if (t->max_connection_pools != NULL) l->pools = t->max_connection_pools->value;
        track[priority] = t->track_remaining;
        if (t->retry_budget == NULL) continue;
        l->has_budget = true;
        l->budget_percent = t->retry_budget->budget_percent != NULL ? t->retry_budget->budget_percent->value : WEIR_RETRY_BUDGET_PERCENT_DEFAULT;
        l->budget_min = u32(t->retry_budget->min_retry_concurrency, WEIR_RETRY_BUDGET_MIN_DEFAULT);
    }
    for (size_t i = 0; i < p->n_per_host_thresholds; i++)
        if (p->per_host_thresholds[i]->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__DEFAULT &&
            p->per_host_thresholds[i]->max_connections != NULL)
            out->host_connections_max = p->per_host_thresholds[i]->max_connections->value;
}

/* ---- outlier detection ---- */

static enum weir_err outlier_compile(struct weir_compile *c, const pb_outlier_detection *p, struct weir_outlier_config *out)
{
    if (p == NULL) return WEIR_OK;
    *out = (struct weir_outlier_config){
        .enabled = true,
        .interval_ms = weir_duration_ms(p->interval, 10000),
        .base_ejection_ms = weir_duration_ms(p->base_ejection_time, 30000),
        .max_ejection_ms = weir_duration_ms(p->max_ejection_time, 300000),
        .jitter_ms = weir_duration_ms(p->max_ejection_time_jitter, 0),
        .consecutive_5xx = u32(p->consecutive_5xx, 5),
        .consecutive_gateway_failure = u32(p->consecutive_gateway_failure, 5),
        .consecutive_local_origin_failure = u32(p->consecutive_local_origin_failure, 5),
        .max_ejection_percent = u32(p->max_ejection_percent, 10),
        .enforcing_5xx = u32(p->enforcing_consecutive_5xx, 100),
        .enforcing_gateway_failure = u32(p->enforcing_consecutive_gateway_failure, 0),
        .enforcing_local_origin_failure = u32(p->enforcing_consecutive_local_origin_failure, 100),
        .enforcing_success_rate = u32(p->enforcing_success_rate, 100),
        .enforcing_local_success_rate = u32(p->enforcing_local_origin_success_rate, 100),
        .enforcing_failure_percentage = u32(p->enforcing_failure_percentage, 0),
        .enforcing_local_failure_percentage = u32(p->enforcing_failure_percentage_local_origin, 0),
        .success_rate_minimum_hosts = u32(p->success_rate_minimum_hosts, 5),
        .success_rate_request_volume = u32(p->success_rate_request_volume, 100),
        .success_rate_stdev_factor = u32(p->success_rate_stdev_factor, 1900),
        .failure_percentage_threshold = u32(p->failure_percentage_threshold, 85),
        .failure_percentage_minimum_hosts = u32(p->failure_percentage_minimum_hosts, 5),
        .failure_percentage_request_volume = u32(p->failure_percentage_request_volume, 50),
        .split_local_origin = p->split_external_local_origin_errors,
        .always_eject_one = p->always_eject_one_host != NULL && p->always_eject_one_host->value,
    };
    if (p->max_ejection_time == NULL && out->max_ejection_ms < out->base_ejection_ms) out->max_ejection_ms = out->base_ejection_ms;
    if (out->max_ejection_ms < out->base_ejection_ms)
        return weir_reject(c, "outlier_detection.max_ejection_time", "below base_ejection_time");
    return WEIR_OK;
}

/* ---- connections ---- */

static enum weir_err connection_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out)
{
    uint64_t timeout = weir_duration_ms(p->connect_timeout, CONNECT_TIMEOUT_MS_DEFAULT);
    out->connect_timeout_ms = timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX;
    out->buffer_limit_bytes = u32(p->per_connection_buffer_limit_bytes, WEIR_BUFFER_LIMIT_DEFAULT);
    if (p->upstream_connection_options != NULL && p->upstream_connection_options->tcp_keepalive != NULL) {
        const pb_tcp_keepalive *k = p->upstream_connection_options->tcp_keepalive;
        out->keepalive = true;
        out->keepalive_probes = u32(k->keepalive_probes, 0);
        out->keepalive_time_s = u32(k->keepalive_time, 0);
        out->keepalive_interval_s = u32(k->keepalive_interval, 0);
    }
    if (p->upstream_bind_config == NULL || p->upstream_bind_config->source_address == NULL) return WEIR_OK;
    const pb_socket_address *s = p->upstream_bind_config->source_address;
    struct weir_address *source = weir_new(c, struct weir_address, 1);
    if (!weir_address_parse(weir_str_of(s->address), (uint16_t)s->port_value, source))
        return weir_reject(c, "upstream_bind_config.source_address.address", "malformed IP address: %s", s->address);
    out->source = source;
    return WEIR_OK;
}

/* What the pools of an HTTP cluster offer by ALPN where its TLS context names nothing (RFC 7301 wire format). With
 * use_downstream_protocol_config each pool names its own. */
static struct weir_str default_alpn(enum weir_upstream_protocol protocol)
{
    switch (protocol) {
    case WEIR_UPSTREAM_H1: return WEIR_STR("\x08http/1.1");
    case WEIR_UPSTREAM_H2: return WEIR_STR("\x02h2");
    case WEIR_UPSTREAM_AUTO: return WEIR_STR("\x02h2\x08http/1.1");
    case WEIR_UPSTREAM_DOWNSTREAM: break;
    }
    return (struct weir_str){0};
}

static void release_stats(void *set)
{
    weir_stats_release(set);
}

static struct weir_stats *stats_keep(struct weir_compile *c, struct weir_str prefix, const struct weir_stat_desc *descs, uint32_t count)
{
    struct weir_stats *set = weir_stats_acquire(c->stats, prefix, descs, count);
    weir_arena_on_destroy(c->arena, release_stats, set);
    return set;
}

static void names_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out, struct weir_str *prefix)
{
    struct weir_str name = weir_compile_str(c, p->alt_stat_name[0] != '\0' ? p->alt_stat_name : p->name);
    char *at = (char *)(uintptr_t)name.p;
    for (size_t i = 0; i < name.n; i++)
        if (at[i] == ':') at[i] = '_';
    out->stat_name = name;
    out->maintenance_key = weir_arena_printf(c->arena, "upstream.maintenance_mode.%s", p->name);
    *prefix = weir_arena_printf(c->arena, "cluster.%.*s.", WEIR_STR_ARG(name));
}

static enum weir_err fill(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out)
{
    struct weir_str prefix;
    names_compile(c, p, out, &prefix);
    out->metadata = weir_metadata_compile(c->arena, p->metadata);
    out->wait_for_warm_on_init = p->wait_for_warm_on_init == NULL || p->wait_for_warm_on_init->value;
    bool track[2] = {false, false};
    breakers_compile(p->circuit_breakers, out, track);
    enum weir_err err = weir_cluster_dns_compile(c, p, &out->dns);
    if (err == WEIR_OK) err = type_compile(c, p, out);
    if (err == WEIR_OK) err = endpoints_compile(c, p, out);
    if (err == WEIR_OK) err = lb_compile(c, p, out);
    /* Every destination has one host: Envoy ejects it and uses it all the same. */
    if (err == WEIR_OK && out->type != WEIR_CLUSTER_ORIGINAL_DST) err = outlier_compile(c, p->outlier_detection, &out->outlier);
    if (err == WEIR_OK) err = connection_compile(c, p, out);
    if (err == WEIR_OK) err = weir_upstream_http_compile(c, &p->base, out);
    if (err == WEIR_OK)
        err = weir_tls_client_compile(c, "transport_socket", p->transport_socket, prefix, default_alpn(out->protocol), &out->tls);
    if (err != WEIR_OK) return err;
    if (out->protocol == WEIR_UPSTREAM_AUTO && out->tls == NULL)
        return weir_reject(c, "typed_extension_protocol_options", "auto_config needs a transport socket with ALPN (TLS)");
    if (c->stats == NULL) return WEIR_OK;
    out->stats = stats_keep(c, prefix, weir_cluster_stat_descs, WEIR_CS_COUNT);
    out->control_stats = stats_keep(c, prefix, weir_cluster_control_stat_descs, WEIR_CC_COUNT);
    if (out->type == WEIR_CLUSTER_EDS) out->eds_stats = stats_keep(c, prefix, weir_cluster_eds_stat_descs, WEIR_CE_COUNT);
    for (int i = 0; i < 2; i++) {
        if (!track[i]) continue;
        struct weir_str own = weir_arena_printf(c->arena, "%.*scircuit_breakers.%s.", WEIR_STR_ARG(prefix), i == 0 ? "default" : "high");
        out->limits[i].remaining = stats_keep(c, own, weir_breaker_remaining_descs, WEIR_BREAKER_REMAINING_COUNT);
    }
    if (!out->outlier.enabled) return WEIR_OK;
    struct weir_str outlier = weir_arena_printf(c->arena, "%.*soutlier_detection.", WEIR_STR_ARG(prefix));
    out->outlier_stats = stats_keep(c, outlier, weir_outlier_stat_descs, WEIR_OS_COUNT);
    return WEIR_OK;
}

enum weir_err weir_cluster_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_cluster_config **out)
{
    const pb_cluster *p = (const pb_cluster *)(const void *)pb;
    struct weir_cluster_config *config = weir_resource_create(sizeof(*config), weir_str_of(p->name));
    struct weir_arena *arena = c->arena;
    struct weir_resource *resource = c->resource;
    c->arena = &config->resource.arena;
    c->resource = &config->resource;
    enum weir_err err = fill(c, p, config);
    c->arena = arena;
    c->resource = resource;
    if (err != WEIR_OK) {
        weir_resource_release(&config->resource);
        config = NULL;
    }
    *out = config;
    return err;
}
