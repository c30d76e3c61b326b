/* A raw connection to a host of a cluster, for tcp_proxy: pick, breakers, connect, stats, outlier reports. The transport is
 * the user's from on_connected on; what it holds of the cluster is given back by weir_tcp_upstream_close(). */
#ifndef WEIR_UPSTREAM_TCP_UPSTREAM_H
#define WEIR_UPSTREAM_TCP_UPSTREAM_H

#include "dataplane/cluster/cluster.h"
#include "dataplane/transport/transport.h"

enum weir_tcp_failure {
    WEIR_TCP_OK,
    WEIR_TCP_NO_HEALTHY_UPSTREAM, /* flag UH */
    WEIR_TCP_OVERFLOW,            /* max_connections; flag UO */
    WEIR_TCP_CONNECT_FAILED,      /* flag UF */
    WEIR_TCP_CONNECT_TIMEOUT,     /* flag UF */
};
struct weir_tcp_upstream;
struct weir_tcp_upstream_events {
    /* Reading is off. The user attaches its own events to the transport before it returns. */
    void (*on_connected)(void *ctx, struct weir_tcp_upstream *u);
    /* u is gone. `reason`: %UPSTREAM_TRANSPORT_FAILURE_REASON%, lives as long as the call. */
    void (*on_failed)(void *ctx, enum weir_tcp_failure why, struct weir_str reason);
};
struct weir_tcp_upstream {
    struct weir_transport *transport;
    struct weir_cluster_host *host; /* host->host->address, hostname */
    const struct weir_tcp_upstream_events *events;
    void *ctx;
    uint64_t start_ns, connected_ns;
};
/* WEIR_TCP_OK: *out is set and one event will come in a later turn unless it is closed before. Otherwise nothing was started.
 * Counts upstream_cx_connect_attempts_exceeded: the user's, weir_tcp_upstream_attempts_exceeded(), when it gives up. */
enum weir_tcp_failure weir_tcp_upstream_open(struct weir_cluster *c, const struct weir_lb_context *x,
                                             const struct weir_tcp_upstream_events *events, void *ctx,
                                             struct weir_tcp_upstream **out);
void weir_tcp_upstream_attempts_exceeded(struct weir_cluster *c);
/* Ends it at any time after open. `remote`: the upstream ended it (which counter moves). The transport is closed here unless
 * `transport_gone`: the user saw on_closed, or gave it to weir_transport_finish(). */
void weir_tcp_upstream_close(struct weir_tcp_upstream *u, bool remote, bool transport_gone, bool reset);

#endif
