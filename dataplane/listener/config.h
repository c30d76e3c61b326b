/* config.listener.v3.Listener as compiled (config/compile_listener.c): immutable, read by the control thread, which makes
 * sockets for it, and by the workers. */
#ifndef WEIR_LISTENER_CONFIG_H
#define WEIR_LISTENER_CONFIG_H

#include "dataplane/base/resource.h"
#include "dataplane/listener/port_set.h"
#include "dataplane/observe/stats.h"
#include "dataplane/transport/network_filter.h"

struct weir_tls_server;
struct weir_chain_match; /* listener/chain_match.h */

/* listener.ADDR.* */
#define WEIR_LISTENER_COUNTERS(X)                                                                                       \
    X(downstream_cx_destroy) X(downstream_cx_overflow) X(downstream_cx_overload_reject) X(downstream_cx_total)                  \
    X(downstream_cx_transport_socket_connect_timeout) X(downstream_global_cx_overflow) X(downstream_listener_filter_error)      \
    X(downstream_listener_filter_remote_close) X(downstream_pre_cx_timeout) X(extension_config_missing)                         \
    X(network_extension_config_missing) X(no_filter_chain_match)
#define WEIR_LISTENER_GAUGES(X) X(downstream_cx_active) X(downstream_pre_cx_active)
#define WEIR_LISTENER_HISTOGRAMS(X) X(connections_accepted_per_socket_event) X(downstream_cx_length_ms)
enum weir_listener_stat {
#define X(name) WEIR_LS_##name,
    WEIR_LISTENER_COUNTERS(X) WEIR_LISTENER_GAUGES(X) WEIR_LISTENER_HISTOGRAMS(X)
#undef X
        WEIR_LS_COUNT
};
extern const struct weir_stat_desc weir_listener_stat_descs[WEIR_LS_COUNT];
/* listener.ADDR.worker_N.* */
enum { WEIR_LWS_downstream_cx_total, WEIR_LWS_downstream_cx_active, WEIR_LWS_COUNT };
extern const struct weir_stat_desc weir_listener_worker_stat_descs[WEIR_LWS_COUNT];

struct weir_chain_config {
    struct weir_str name; /* as configured; empty: none */
    /* What makes two versions of a listener speak of the same chain: name (else match), transport socket and the kinds of
     * its filters. A connection follows its chain from version to version. */
    struct weir_str identity;
    const struct weir_tls_server *tls; /* NULL: cleartext */
    uint64_t transport_socket_connect_timeout_ms; /* 0: none */
    uint32_t filter_count;
    const struct weir_network_filter_use *filters;
    size_t state_bytes; /* of all filters of one connection */
};

/* A Listener.socket_options entry, set as it stands. */
struct weir_socket_option {
    int level, name;
    enum weir_socket_moment { WEIR_SOCKET_PREBIND, WEIR_SOCKET_BOUND, WEIR_SOCKET_LISTENING } moment;
    struct weir_str value; /* the bytes that setsockopt gets */
};
/* What sockets are made from. Two versions with equal bytes here share them. */
struct weir_listener_socket_options {
    struct weir_address address;
    uint32_t unix_mode; /* Pipe.mode; 0: as the umask says */
    uint32_t backlog;   /* 0: net.core.somaxconn */
    bool bind_to_port, reuse_port, freebind, transparent, ipv4_compat, keepalive;
    uint32_t keepalive_probes, keepalive_time_s, keepalive_interval_s;
    int fast_open_queue; /* -1: untouched */
    uint32_t extra_count;
    const struct weir_socket_option *extra; /* after weir's own, in this order */
};

struct weir_listener_config {
    struct weir_resource resource; /* name: the listener's */
    struct weir_str stat_prefix;   /* "listener.127.0.0.1_80." */
    struct weir_listener_socket_options socket;
    uint32_t chain_count; /* the default filter chain is the last one where has_default */
    const struct weir_chain_config *chains;
    bool has_default;
    const struct weir_chain_match *match;
    uint32_t buffer_limit_bytes;
    uint32_t traffic_direction;
    bool outbound; /* traffic_direction is OUTBOUND */
    uint32_t accepts_per_event; /* WEIR_ACCEPTS_PER_TURN where nothing is said */
    /* Before a chain is chosen. */
    bool original_dst;     /* the address that a redirected connection was made to is its local one */
    bool use_original_dst; /* ... and the listener of that address takes it over, where there is one */
    bool inspect_tls, inspect_http, proxy_protocol, proxy_protocol_optional;
    struct weir_port_set original_dst_off, tls_off, http_off, proxy_off; /* filter_disabled */
    uint64_t listener_filters_timeout_ms; /* 0: none */
    bool continue_on_listener_filters_timeout;
    struct weir_stats *stats;           /* NULL in tests without a registry */
    struct weir_stats **worker_stats;   /* by worker */
};

#endif
