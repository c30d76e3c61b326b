/* Names of cluster.NAME.*, in Envoy's words. Three sets under one prefix: what traffic moves (a shard for each worker that
 * uses the cluster), what configuration moves (the control thread's shard alone: an unused cluster costs no more), and what
 * outlier detection moves. Status codes that are not in the table are counted by name. */
#ifndef WEIR_CLUSTER_CLUSTER_STATS_H
#define WEIR_CLUSTER_CLUSTER_STATS_H

#include "dataplane/observe/stats.h"

#define WEIR_CLUSTER_COUNTERS(X)                                                                                        \
    X(bind_errors) X(lb_healthy_panic) X(retry_or_shadow_abandoned) X(upstream_cx_close_notify)                                 \
    X(upstream_cx_connect_attempts_exceeded) X(upstream_cx_connect_fail) X(upstream_cx_connect_timeout)                         \
    X(upstream_cx_connect_with_0_rtt) X(upstream_cx_destroy) X(upstream_cx_destroy_local)                                       \
    X(upstream_cx_destroy_local_with_active_rq) X(upstream_cx_destroy_remote) X(upstream_cx_destroy_remote_with_active_rq)      \
    X(upstream_cx_destroy_with_active_rq) X(upstream_cx_http1_total) X(upstream_cx_http2_total) X(upstream_cx_http3_total)      \
    X(upstream_cx_idle_timeout) X(upstream_cx_max_duration_reached) X(upstream_cx_max_requests) X(upstream_cx_none_healthy)     \
    X(upstream_cx_overflow) X(upstream_cx_pool_overflow) X(upstream_cx_preconnect_skipped) X(upstream_cx_protocol_error)        \
    X(upstream_cx_rx_bytes_total) X(upstream_cx_total) X(upstream_cx_tx_bytes_total) X(upstream_flow_control_backed_up_total)   \
    X(upstream_flow_control_drained_total) X(upstream_flow_control_paused_reading_total)                                        \
    X(upstream_flow_control_resumed_reading_total) X(upstream_http3_broken) X(upstream_internal_redirect_failed_total)          \
    X(upstream_internal_redirect_succeeded_total) X(upstream_rq_0rtt) X(upstream_rq_active_overflow) X(upstream_rq_cancelled)   \
    X(upstream_rq_completed) X(upstream_rq_maintenance_mode) X(upstream_rq_max_duration_reached)                                \
    X(upstream_rq_pending_failure_eject) X(upstream_rq_pending_overflow) X(upstream_rq_pending_total)                           \
    X(upstream_rq_per_try_idle_timeout) X(upstream_rq_per_try_timeout) X(upstream_rq_retry)                                     \
    X(upstream_rq_retry_backoff_exponential) X(upstream_rq_retry_backoff_ratelimited) X(upstream_rq_retry_limit_exceeded)       \
    X(upstream_rq_retry_overflow) X(upstream_rq_retry_success) X(upstream_rq_rx_reset) X(upstream_rq_rx_reset_no_error)         \
    X(upstream_rq_timeout) X(upstream_rq_total) X(upstream_rq_tx_reset)
#define WEIR_CLUSTER_GAUGES(X)                                                                                          \
    X(upstream_cx_active) X(upstream_cx_rx_bytes_buffered) X(upstream_cx_tx_bytes_buffered) X(upstream_queue_overloaded)        \
    X(upstream_rq_active) X(upstream_rq_pending_active)
#define WEIR_CLUSTER_HISTOGRAMS(X) X(upstream_cx_connect_ms) X(upstream_cx_length_ms) X(upstream_rq_per_cx)
/* circuit_breakers.PRIORITY.*, in the order of enum weir_breaker_resource. */
#define WEIR_CLUSTER_BREAKER_GAUGES(X) X(cx_open) X(cx_pool_open) X(rq_open) X(rq_pending_open) X(rq_retry_open)

/* Not listed before the first response: X(suffix, leaf). The order within is that of weir_cluster_count_status(). */
#define WEIR_CLUSTER_STATUS_CODES(X)                                                                                    \
    X(100) X(101) X(200) X(201) X(202) X(204) X(206) X(301) X(302) X(303) X(304) X(307) X(308) X(400) X(401) X(403) X(404)      \
    X(405) X(408) X(409) X(412) X(413) X(422) X(429) X(500) X(501) X(502) X(503) X(504)
#define WEIR_CLUSTER_STATUS_CLASSES(X) X(1xx) X(2xx) X(3xx) X(4xx) X(5xx)

/* With track_remaining; the same order. */
#define WEIR_BREAKER_REMAINING_COUNT 5
extern const struct weir_stat_desc weir_breaker_remaining_descs[WEIR_BREAKER_REMAINING_COUNT];

enum weir_cluster_stat {
#define X(name) WEIR_CS_##name,
    WEIR_CLUSTER_COUNTERS(X) WEIR_CLUSTER_GAUGES(X) WEIR_CLUSTER_HISTOGRAMS(X)
#undef X
#define X(name) WEIR_CS_default_##name,
        WEIR_CLUSTER_BREAKER_GAUGES(X)
#undef X
#define X(name) WEIR_CS_high_##name,
            WEIR_CLUSTER_BREAKER_GAUGES(X)
#undef X
#define X(code) WEIR_CS_upstream_rq_##code,
                WEIR_CLUSTER_STATUS_CODES(X) WEIR_CLUSTER_STATUS_CLASSES(X)
#undef X
#define X(code) WEIR_CS_external_upstream_rq_##code,
                    WEIR_CLUSTER_STATUS_CODES(X) WEIR_CLUSTER_STATUS_CLASSES(X)
#undef X
                        WEIR_CS_external_upstream_rq_completed,
    WEIR_CS_upstream_rq_time, /* histograms */
    WEIR_CS_external_upstream_rq_time,
    WEIR_CS_internal_upstream_rq_time,
    WEIR_CS_canary_upstream_rq_time,
    WEIR_CS_COUNT
};
extern const struct weir_stat_desc weir_cluster_stat_descs[WEIR_CS_COUNT];

/* Counts a response's status as upstream_rq_completed, _Nxx and _NNN, and once more under external. or internal., and canary. */
void weir_cluster_count_status(struct weir_stats_shard *s, uint32_t status, bool internal, bool canary);
/* Under one prefix alone, such as "retry.". */
void weir_cluster_count_status_under(struct weir_stats_shard *s, const char *prefix, uint32_t status);
void weir_cluster_record_time(struct weir_stats_shard *s, uint64_t ms, bool internal, bool canary);

#define WEIR_CLUSTER_CONTROL_COUNTERS(X)                                                                                \
    X(assignment_stale) X(assignment_timeout_received) X(assignment_use_cached) X(lb_local_cluster_not_ok)                      \
    X(lb_recalculate_zone_structures) X(lb_subsets_created) X(lb_subsets_fallback) X(lb_subsets_fallback_panic)                 \
    X(lb_subsets_removed) X(lb_subsets_selected) X(lb_zone_cluster_too_small) X(lb_zone_no_capacity_left)                       \
    X(lb_zone_routing_all_directly) X(lb_zone_routing_cross_zone) X(lb_zone_routing_sampled) X(membership_change)               \
    X(original_dst_host_invalid) X(update_attempt) X(update_empty) X(update_failure) X(update_no_rebuild) X(update_success)
#define WEIR_CLUSTER_CONTROL_GAUGES(X)                                                                                  \
    X(lb_subsets_active) X(max_host_weight) X(membership_degraded) X(membership_excluded) X(membership_healthy)                 \
    X(membership_total) X(warming_state)
enum weir_cluster_control_stat {
#define X(name) WEIR_CC_##name,
    WEIR_CLUSTER_CONTROL_COUNTERS(X) WEIR_CLUSTER_CONTROL_GAUGES(X)
#undef X
        WEIR_CC_default_total_match_count,
    WEIR_CC_version,
    WEIR_CC_COUNT
};
extern const struct weir_stat_desc weir_cluster_control_stat_descs[WEIR_CC_COUNT];
/* What an EDS cluster has besides. */
enum weir_cluster_eds_stat { WEIR_CE_init_fetch_timeout, WEIR_CE_update_rejected, WEIR_CE_update_time, WEIR_CE_update_duration, WEIR_CE_COUNT };
extern const struct weir_stat_desc weir_cluster_eds_stat_descs[WEIR_CE_COUNT];

#define WEIR_OUTLIER_COUNTERS(X)                                                                                        \
    X(ejections_consecutive_5xx) X(ejections_detected_consecutive_5xx) X(ejections_detected_consecutive_gateway_failure)        \
    X(ejections_detected_consecutive_local_origin_failure) X(ejections_detected_degradation)                                    \
    X(ejections_detected_failure_percentage) X(ejections_detected_local_origin_failure_percentage)                              \
    X(ejections_detected_local_origin_success_rate) X(ejections_detected_success_rate)                                          \
    X(ejections_enforced_consecutive_5xx) X(ejections_enforced_consecutive_gateway_failure)                                     \
    X(ejections_enforced_consecutive_local_origin_failure) X(ejections_enforced_failure_percentage)                             \
    X(ejections_enforced_local_origin_failure_percentage) X(ejections_enforced_local_origin_success_rate)                       \
    X(ejections_enforced_success_rate) X(ejections_enforced_total) X(ejections_overflow) X(ejections_success_rate)              \
    X(ejections_total)
enum weir_outlier_stat {
#define X(name) WEIR_OS_##name,
    WEIR_OUTLIER_COUNTERS(X)
#undef X
        WEIR_OS_ejections_active, /* gauge */
    WEIR_OS_COUNT
};
extern const struct weir_stat_desc weir_outlier_stat_descs[WEIR_OS_COUNT]; /* prefix "cluster.NAME.outlier_detection." */

#endif
