/* extensions.filters.network.tcp_proxy.v3.TcpProxy: bytes of a connection to a host of a cluster and back. */
#ifndef WEIR_LISTENER_TCP_PROXY_H
#define WEIR_LISTENER_TCP_PROXY_H

#include "dataplane/observe/access_log.h"
#include "dataplane/observe/stats.h"
#include "dataplane/transport/network_filter.h"

/* tcp.PREFIX.* */
#define WEIR_TCP_COUNTERS(X)                                                                                            \
    X(downstream_cx_drain_close) X(downstream_cx_no_route) X(downstream_cx_overload_close) X(downstream_cx_rx_bytes_total)      \
    X(downstream_cx_total) X(downstream_cx_tx_bytes_total) X(downstream_flow_control_paused_reading_total)                      \
    X(downstream_flow_control_resumed_reading_total) X(early_data_received_count_total) X(idle_timeout)                         \
    X(max_downstream_connection_duration) X(route_delayed_total) X(upstream_flush_total)
#define WEIR_TCP_GAUGES(X) X(downstream_cx_rx_bytes_buffered) X(downstream_cx_tx_bytes_buffered) X(upstream_flush_active)
enum weir_tcp_stat {
#define X(name) WEIR_TCPS_##name,
    WEIR_TCP_COUNTERS(X) WEIR_TCP_GAUGES(X)
#undef X
        WEIR_TCPS_COUNT
};
extern const struct weir_stat_desc weir_tcp_stat_descs[WEIR_TCPS_COUNT];

struct weir_tcp_cluster {
    struct weir_str name;
    uint32_t slot, weight;
};
/* Compiled by config/compile_tcp_proxy.c; in the listener's resource. */
struct weir_tcp_proxy {
    struct weir_str stat_prefix;
    struct weir_stats *stats; /* NULL in tests without a registry */
    uint32_t cluster_count;
    const struct weir_tcp_cluster *clusters; /* one, or weighted ones */
    uint64_t weight_total;
    uint64_t idle_timeout_ms; /* 0: none */
    uint32_t connect_attempts_max;
    struct weir_access_logs access_logs;
};

extern const struct weir_network_filter weir_network_filter_tcp_proxy;

#endif
