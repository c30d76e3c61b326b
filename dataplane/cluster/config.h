/* config.cluster.v3.Cluster as compiled (config/compile_cluster.c): immutable, read by workers and the control thread. */
#ifndef WEIR_CLUSTER_CONFIG_H
#define WEIR_CLUSTER_CONFIG_H

#include "dataplane/base/resource.h"
#include "dataplane/base/runtime.h"
#include "dataplane/cluster/endpoints.h"
#include "dataplane/codec/codec.h"
#include "dataplane/observe/stats.h"
#include "dataplane/route/route.h"

struct weir_tls_client;

enum weir_cluster_type { WEIR_CLUSTER_STATIC, WEIR_CLUSTER_EDS, WEIR_CLUSTER_STRICT_DNS, WEIR_CLUSTER_LOGICAL_DNS, WEIR_CLUSTER_ORIGINAL_DST };
enum weir_lb_policy { WEIR_LB_ROUND_ROBIN, WEIR_LB_LEAST_REQUEST, WEIR_LB_RANDOM };
/* What is spoken to the hosts (HttpProtocolOptions.upstream_protocol_options). */
enum weir_upstream_protocol {
    WEIR_UPSTREAM_H1,
    WEIR_UPSTREAM_H2,
    WEIR_UPSTREAM_AUTO,       /* by ALPN; HTTP/1.1 where none was agreed */
    WEIR_UPSTREAM_DOWNSTREAM, /* the version that the client speaks */
};

/* CircuitBreakers.Thresholds of one routing priority. */
struct weir_breaker_limits {
    uint64_t connections, pending, requests, retries, pools;
    bool has_budget; /* retry_budget: `retries` is not used */
    double budget_percent;
    uint32_t budget_min;
    struct weir_stats *remaining; /* track_remaining: cluster.NAME.circuit_breakers.PRIORITY.remaining_*; NULL: not tracked */
};

/* OutlierDetection with all defaults filled in. */
struct weir_outlier_config {
    bool enabled;
    uint64_t interval_ms, base_ejection_ms, max_ejection_ms, jitter_ms;
    uint32_t consecutive_5xx, consecutive_gateway_failure, consecutive_local_origin_failure; /* 0: off */
    uint32_t max_ejection_percent;
    uint32_t enforcing_5xx, enforcing_gateway_failure, enforcing_local_origin_failure;
    uint32_t enforcing_success_rate, enforcing_local_success_rate;
    uint32_t enforcing_failure_percentage, enforcing_local_failure_percentage;
    uint32_t success_rate_minimum_hosts, success_rate_request_volume, success_rate_stdev_factor; /* factor in thousandths */
    uint32_t failure_percentage_threshold, failure_percentage_minimum_hosts, failure_percentage_request_volume;
    bool split_local_origin, always_eject_one;
};

enum weir_dns_family { WEIR_DNS_AUTO, WEIR_DNS_V4_ONLY, WEIR_DNS_V6_ONLY, WEIR_DNS_V4_PREFERRED, WEIR_DNS_ALL };
struct weir_dns_config {
    uint64_t refresh_ms, failure_base_ms, failure_max_ms; /* failure_base 0: refresh_ms again */
    uint64_t jitter_ms, min_refresh_ms;
    bool respect_ttl, tcp_only, no_default_search;
    enum weir_dns_family family;
    uint32_t resolver_count; /* 0: those of resolv.conf */
    const struct weir_address *resolvers;
};

/* OriginalDstLbConfig and cleanup_interval. */
struct weir_original_dst_config {
    uint64_t cleanup_interval_ms;
    struct weir_str header; /* lower case; empty: none is looked at */
    bool has_port;
    uint16_t port; /* instead of the destination's */
    struct weir_str metadata_key; /* namespace of dynamic metadata; empty: none is looked at */
    const struct weir_str *metadata_path;
    uint32_t metadata_path_count;
};

struct weir_cluster_config {
    struct weir_resource resource; /* name: the cluster's */
    struct weir_str stat_name;     /* alt_stat_name, else the name; ":" as "_" */
    enum weir_cluster_type type;
    uint64_t initial_fetch_timeout_ms; /* EDS: of eds_config; 0: it waits for its endpoints for ever */
    struct weir_str eds_service_name; /* EDS: what to subscribe to (the name unless service_name is set) */
    struct weir_endpoints *endpoints; /* load_assignment of a STATIC or DNS cluster; in this resource's arena, not counted; NULL: EDS */
    bool wait_for_warm_on_init;

    uint32_t connect_timeout_ms, buffer_limit_bytes;
    enum weir_lb_policy lb_policy;
    uint32_t choice_count; /* least request */
    double active_request_bias;
    struct weir_str active_request_bias_key; /* runtime; empty: none */
    bool full_scan, locality_weighted, fail_traffic_on_panic;
    uint32_t panic_percent;
    struct weir_breaker_limits limits[2]; /* by routing priority */
    uint64_t host_connections_max;        /* per_host_thresholds; UINT64_MAX: none */
    struct weir_outlier_config outlier;
    struct weir_dns_config dns;
    struct weir_original_dst_config original_dst;

    enum weir_upstream_protocol protocol;
    struct weir_codec_config h1, h2;
    uint64_t idle_timeout_ms, max_connection_duration_ms, max_stream_duration_ms; /* 0: none */
    uint32_t max_requests_per_connection;                                         /* 0: no limit */
    uint32_t h2_streams_max; /* concurrent streams a connection, whatever the peer allows */
    /* Http2ProtocolOptions.connection_keepalive: PING every interval, and before a request after so long a silence; 0: off. */
    uint64_t h2_ping_interval_ms, h2_ping_timeout_ms, h2_ping_idle_ms;
    uint32_t h2_ping_jitter_percent;
    uint64_t tcp_idle_timeout_ms; /* TcpProtocolOptions.idle_timeout: pooled raw connections; unused where none is pooled */
    const struct weir_retry_policy *retry; /* HttpProtocolOptions.retry_policy: instead of the route's; NULL: none */

    const struct weir_tls_client *tls; /* NULL: cleartext */
    bool auto_sni, auto_san_validation;
    struct weir_str sni_header; /* override_auto_sni_header, lower case */
    const struct weir_address *source; /* upstream_bind_config; NULL: any */
    bool keepalive;
    uint32_t keepalive_probes, keepalive_time_s, keepalive_interval_s;

    struct weir_str maintenance_key; /* "upstream.maintenance_mode.NAME" */
    /* cluster.NAME.: enum weir_cluster_stat, weir_cluster_control_stat, weir_cluster_eds_stat (NULL: not EDS);
     * cluster.NAME.outlier_detection.: weir_outlier_stat, NULL when it is off. */
    struct weir_stats *stats, *control_stats, *eds_stats, *outlier_stats;
    const void *metadata;
};

#endif
