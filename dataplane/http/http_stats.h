/* Counters of an HTTP connection manager under Envoy's names: http.PREFIX.* and listener.ADDR.http.PREFIX.*. */
#ifndef WEIR_HTTP_HTTP_STATS_H
#define WEIR_HTTP_HTTP_STATS_H

#include "dataplane/observe/stats.h"

/* clang-format off */
#define WEIR_HTTP_STATS(X) \
    X(CX_DELAYED_CLOSE_TIMEOUT, "downstream_cx_delayed_close_timeout", WEIR_COUNTER) \
    X(CX_DESTROY, "downstream_cx_destroy", WEIR_COUNTER) \
    X(CX_DESTROY_ACTIVE_RQ, "downstream_cx_destroy_active_rq", WEIR_COUNTER) \
    X(CX_DESTROY_LOCAL, "downstream_cx_destroy_local", WEIR_COUNTER) \
    X(CX_DESTROY_LOCAL_ACTIVE_RQ, "downstream_cx_destroy_local_active_rq", WEIR_COUNTER) \
    X(CX_DESTROY_REMOTE, "downstream_cx_destroy_remote", WEIR_COUNTER) \
    X(CX_DESTROY_REMOTE_ACTIVE_RQ, "downstream_cx_destroy_remote_active_rq", WEIR_COUNTER) \
    X(CX_DRAIN_CLOSE, "downstream_cx_drain_close", WEIR_COUNTER) \
    X(CX_HTTP1_TOTAL, "downstream_cx_http1_total", WEIR_COUNTER) \
    X(CX_HTTP2_TOTAL, "downstream_cx_http2_total", WEIR_COUNTER) \
    X(CX_HTTP3_TOTAL, "downstream_cx_http3_total", WEIR_COUNTER) \
    X(CX_IDLE_TIMEOUT, "downstream_cx_idle_timeout", WEIR_COUNTER) \
    X(CX_MAX_DURATION_REACHED, "downstream_cx_max_duration_reached", WEIR_COUNTER) \
    X(CX_MAX_REQUESTS_REACHED, "downstream_cx_max_requests_reached", WEIR_COUNTER) \
    X(CX_OVERLOAD_DISABLE_KEEPALIVE, "downstream_cx_overload_disable_keepalive", WEIR_COUNTER) \
    X(CX_PROTOCOL_ERROR, "downstream_cx_protocol_error", WEIR_COUNTER) \
    X(CX_RX_BYTES_TOTAL, "downstream_cx_rx_bytes_total", WEIR_COUNTER) \
    X(CX_SSL_TOTAL, "downstream_cx_ssl_total", WEIR_COUNTER) \
    X(CX_TOTAL, "downstream_cx_total", WEIR_COUNTER) \
    X(CX_TX_BYTES_TOTAL, "downstream_cx_tx_bytes_total", WEIR_COUNTER) \
    X(CX_UPGRADES_TOTAL, "downstream_cx_upgrades_total", WEIR_COUNTER) \
    X(FLOW_CONTROL_PAUSED_READING_TOTAL, "downstream_flow_control_paused_reading_total", WEIR_COUNTER) \
    X(FLOW_CONTROL_RESUMED_READING_TOTAL, "downstream_flow_control_resumed_reading_total", WEIR_COUNTER) \
    X(RQ_1XX, "downstream_rq_1xx", WEIR_COUNTER) \
    X(RQ_2XX, "downstream_rq_2xx", WEIR_COUNTER) \
    X(RQ_3XX, "downstream_rq_3xx", WEIR_COUNTER) \
    X(RQ_4XX, "downstream_rq_4xx", WEIR_COUNTER) \
    X(RQ_5XX, "downstream_rq_5xx", WEIR_COUNTER) \
    X(RQ_COMPLETED, "downstream_rq_completed", WEIR_COUNTER) \
    X(RQ_FAILED_PATH_NORMALIZATION, "downstream_rq_failed_path_normalization", WEIR_COUNTER) \
    X(RQ_HEADER_TIMEOUT, "downstream_rq_header_timeout", WEIR_COUNTER) \
    X(RQ_HTTP1_TOTAL, "downstream_rq_http1_total", WEIR_COUNTER) \
    X(RQ_HTTP2_TOTAL, "downstream_rq_http2_total", WEIR_COUNTER) \
    X(RQ_HTTP3_TOTAL, "downstream_rq_http3_total", WEIR_COUNTER) \
    X(RQ_IDLE_TIMEOUT, "downstream_rq_idle_timeout", WEIR_COUNTER) \
    X(RQ_MAX_DURATION_REACHED, "downstream_rq_max_duration_reached", WEIR_COUNTER) \
    X(RQ_NON_RELATIVE_PATH, "downstream_rq_non_relative_path", WEIR_COUNTER) \
    X(RQ_OVERLOAD_CLOSE, "downstream_rq_overload_close", WEIR_COUNTER) \
    X(RQ_REDIRECTED_WITH_NORMALIZED_PATH, "downstream_rq_redirected_with_normalized_path", WEIR_COUNTER) \
    X(RQ_REJECTED_VIA_IP_DETECTION, "downstream_rq_rejected_via_ip_detection", WEIR_COUNTER) \
    X(RQ_RESPONSE_BEFORE_RQ_COMPLETE, "downstream_rq_response_before_rq_complete", WEIR_COUNTER) \
    X(RQ_RX_RESET, "downstream_rq_rx_reset", WEIR_COUNTER) \
    X(RQ_TIMEOUT, "downstream_rq_timeout", WEIR_COUNTER) \
    X(RQ_TOO_LARGE, "downstream_rq_too_large", WEIR_COUNTER) \
    X(RQ_TOO_MANY_PREMATURE_RESETS, "downstream_rq_too_many_premature_resets", WEIR_COUNTER) \
    X(RQ_TOTAL, "downstream_rq_total", WEIR_COUNTER) \
    X(RQ_TX_RESET, "downstream_rq_tx_reset", WEIR_COUNTER) \
    X(RQ_WS_ON_NON_WS_ROUTE, "downstream_rq_ws_on_non_ws_route", WEIR_COUNTER) \
    X(RS_TOO_LARGE, "rs_too_large", WEIR_COUNTER) \
    X(TRACING_CLIENT_ENABLED, "tracing.client_enabled", WEIR_COUNTER) \
    X(TRACING_HEALTH_CHECK, "tracing.health_check", WEIR_COUNTER) \
    X(TRACING_NOT_TRACEABLE, "tracing.not_traceable", WEIR_COUNTER) \
    X(TRACING_RANDOM_SAMPLING, "tracing.random_sampling", WEIR_COUNTER) \
    X(TRACING_SERVICE_FORCED, "tracing.service_forced", WEIR_COUNTER) \
    X(CX_ACTIVE, "downstream_cx_active", WEIR_GAUGE) \
    X(CX_HTTP1_ACTIVE, "downstream_cx_http1_active", WEIR_GAUGE) \
    X(CX_HTTP1_SOFT_DRAIN, "downstream_cx_http1_soft_drain", WEIR_GAUGE) \
    X(CX_HTTP2_ACTIVE, "downstream_cx_http2_active", WEIR_GAUGE) \
    X(CX_HTTP3_ACTIVE, "downstream_cx_http3_active", WEIR_GAUGE) \
    X(CX_RX_BYTES_BUFFERED, "downstream_cx_rx_bytes_buffered", WEIR_GAUGE) \
    X(CX_SSL_ACTIVE, "downstream_cx_ssl_active", WEIR_GAUGE) \
    X(CX_TX_BYTES_BUFFERED, "downstream_cx_tx_bytes_buffered", WEIR_GAUGE) \
    X(CX_UPGRADES_ACTIVE, "downstream_cx_upgrades_active", WEIR_GAUGE) \
    X(RQ_ACTIVE, "downstream_rq_active", WEIR_GAUGE) \
    X(CX_LENGTH_MS, "downstream_cx_length_ms", WEIR_HISTOGRAM) \
    X(RQ_TIME, "downstream_rq_time", WEIR_HISTOGRAM)
#define WEIR_HTTP_LISTENER_STATS(X) \
    X(RQ_1XX, "downstream_rq_1xx", WEIR_COUNTER) \
    X(RQ_2XX, "downstream_rq_2xx", WEIR_COUNTER) \
    X(RQ_3XX, "downstream_rq_3xx", WEIR_COUNTER) \
    X(RQ_4XX, "downstream_rq_4xx", WEIR_COUNTER) \
    X(RQ_5XX, "downstream_rq_5xx", WEIR_COUNTER) \
    X(RQ_COMPLETED, "downstream_rq_completed", WEIR_COUNTER)
/* clang-format on */

enum weir_http_stat {
#define X(id, name, kind) WEIR_HTTP_##id,
    WEIR_HTTP_STATS(X)
#undef X
        WEIR_HTTP_STAT_COUNT
};
enum weir_http_listener_stat {
#define X(id, name, kind) WEIR_HTTP_LISTENER_##id,
    WEIR_HTTP_LISTENER_STATS(X)
#undef X
        WEIR_HTTP_LISTENER_STAT_COUNT
};
extern const struct weir_stat_desc weir_http_stat_descs[WEIR_HTTP_STAT_COUNT];
extern const struct weir_stat_desc weir_http_listener_stat_descs[WEIR_HTTP_LISTENER_STAT_COUNT];

#endif
