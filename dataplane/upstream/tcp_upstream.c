/* Raw connections for tcp_proxy: what a pool does for one connection that is never shared. */
#include "dataplane/upstream/tcp_upstream.h"

#include <stdlib.h>

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/shared.h"

struct upstream {
    struct weir_tcp_upstream pub;
    struct weir_dead dead;
    bool ended;
};

static struct weir_cluster *cluster_of(const struct upstream *u)
{
    return u->pub.host->cluster;
}

static void count(const struct upstream *u, enum weir_cluster_stat s)
{
    weir_stat_inc(cluster_of(u)->stats, s);
}

static void destroy(struct weir_dead *d)
{
    struct upstream *u = WEIR_CONTAINER_OF(d, struct upstream, dead);
    weir_cluster_host_release(u->pub.host);
    free(u);
}

static void end(struct upstream *u, bool remote)
{
    struct weir_cluster *c = cluster_of(u);
    struct weir_host *host = u->pub.host->host;
    u->ended = true;
    bool connected = u->pub.connected_ns != 0;
    count(u, WEIR_CS_upstream_cx_destroy);
    count(u, remote ? WEIR_CS_upstream_cx_destroy_remote : WEIR_CS_upstream_cx_destroy_local);
    if (connected) {
        count(u, WEIR_CS_upstream_cx_destroy_with_active_rq);
        count(u, remote ? WEIR_CS_upstream_cx_destroy_remote_with_active_rq : WEIR_CS_upstream_cx_destroy_local_with_active_rq);
        weir_stat_record(c->stats, WEIR_CS_upstream_cx_length_ms, (c->worker->now_ns - u->pub.connected_ns) / 1000000u);
        weir_stat_add(c->stats, WEIR_CS_upstream_rq_active, -1);
        atomic_fetch_sub_explicit(&host->rq_active, 1, memory_order_relaxed);
    } else {
        weir_stat_add(c->stats, WEIR_CS_upstream_rq_pending_active, -1);
    }
    weir_stat_add(c->stats, WEIR_CS_upstream_cx_active, -1);
    atomic_fetch_sub_explicit(&host->cx_active, 1, memory_order_relaxed);
    weir_breaker_give(&c->shared->breakers[0], &c->limits[0], WEIR_BREAKER_CONNECTIONS, c->stats, 0);
    u->dead.destroy = destroy;
    weir_worker_bury(c->worker, &u->dead);
}

static void bytes_count(const struct upstream *u)
{
    const struct weir_transport *t = u->pub.transport;
    weir_stat_add(cluster_of(u)->stats, WEIR_CS_upstream_cx_rx_bytes_total, (int64_t)t->rx_bytes);
    weir_stat_add(cluster_of(u)->stats, WEIR_CS_upstream_cx_tx_bytes_total, (int64_t)t->tx_bytes);
}

static void on_connected(void *owner)
{
    struct upstream *u = owner;
    struct weir_cluster *c = cluster_of(u);
    struct weir_host *host = u->pub.host->host;
    u->pub.connected_ns = c->worker->now_ns;
    weir_stat_record(c->stats, WEIR_CS_upstream_cx_connect_ms, (u->pub.connected_ns - u->pub.start_ns) / 1000000u);
    weir_stat_add(c->stats, WEIR_CS_upstream_rq_pending_active, -1);
    count(u, WEIR_CS_upstream_rq_total);
    weir_stat_add(c->stats, WEIR_CS_upstream_rq_active, 1);
    atomic_fetch_add_explicit(&host->rq_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&host->rq_active, 1, memory_order_relaxed);
    weir_cluster_report(c, host, WEIR_OUTLIER_CONNECT_SUCCESS, 0);
    u->pub.events->on_connected(u->pub.ctx, &u->pub);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct upstream *u = owner;
    struct weir_cluster *c = cluster_of(u);
    struct weir_host *host = u->pub.host->host;
    bool timeout = reason == WEIR_CLOSE_CONNECT_TIMEOUT;
    count(u, WEIR_CS_upstream_cx_connect_fail);
    if (timeout) count(u, WEIR_CS_upstream_cx_connect_timeout);
    count(u, WEIR_CS_upstream_rq_pending_failure_eject);
    atomic_fetch_add_explicit(&host->cx_connect_fail, 1, memory_order_relaxed);
    weir_cluster_report(c, host, timeout ? WEIR_OUTLIER_TIMEOUT : WEIR_OUTLIER_CONNECT_FAILED, 0);
    struct weir_str why = u->pub.transport->failure_reason;
    u->pub.transport = NULL;
    end(u, !timeout);
    u->pub.events->on_failed(u->pub.ctx, timeout ? WEIR_TCP_CONNECT_TIMEOUT : WEIR_TCP_CONNECT_FAILED, why);
}

/* Only until the user attaches its own. Reading is off: there is nothing to read and nothing was written. */
static const struct weir_transport_events events_while_connecting = {
    .on_connected = on_connected,
    .on_closed = on_closed,
};

enum weir_tcp_failure weir_tcp_upstream_open(struct weir_cluster *c, const struct weir_lb_context *x,
                                             const struct weir_tcp_upstream_events *events, void *ctx,
                                             struct weir_tcp_upstream **out)
{
    (void)weir_cluster_use(c);
    const struct weir_cluster_config *config = c->config;
    if (!weir_breaker_has_room(&c->shared->breakers[0], &c->limits[0], WEIR_BREAKER_CONNECTIONS)) {
        weir_stat_inc(c->stats, WEIR_CS_upstream_cx_overflow);
        return WEIR_TCP_OVERFLOW;
    }
    struct weir_cluster_host *host = weir_cluster_pick(c, x);
    if (host == NULL) return WEIR_TCP_NO_HEALTHY_UPSTREAM;
    struct upstream *u = calloc(1, sizeof(*u));
    if (u == NULL) abort();
    u->pub = (struct weir_tcp_upstream){.host = host, .events = events, .ctx = ctx, .start_ns = c->worker->now_ns};
    weir_breaker_take(&c->shared->breakers[0], &c->limits[0], WEIR_BREAKER_CONNECTIONS, c->stats, 0);
    weir_breaker_touch(c->stats, 0);
    count(u, WEIR_CS_upstream_cx_total);
    count(u, WEIR_CS_upstream_rq_pending_total);
    weir_stat_add(c->stats, WEIR_CS_upstream_cx_active, 1);
    weir_stat_add(c->stats, WEIR_CS_upstream_rq_pending_active, 1);
    atomic_fetch_add_explicit(&host->host->cx_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&host->host->cx_active, 1, memory_order_relaxed);
    struct weir_connect_options o = {
        .remote = &host->host->address,
        .local = config->source,
        .tls = config->tls,
        .hostname = host->host->hostname,
        .connect_timeout_ms = config->connect_timeout_ms,
        .keepalive = config->keepalive,
        .keepalive_probes = config->keepalive_probes,
        .keepalive_time_s = config->keepalive_time_s,
        .keepalive_interval_s = config->keepalive_interval_s,
    };
    u->pub.transport = weir_transport_connect(c->worker, &o, &events_while_connecting, u);
    weir_transport_set_water(u->pub.transport, config->buffer_limit_bytes, config->buffer_limit_bytes / 2);
    *out = &u->pub;
    return WEIR_TCP_OK;
}

void weir_tcp_upstream_attempts_exceeded(struct weir_cluster *c)
{
    weir_stat_inc(weir_cluster_use(c)->stats, WEIR_CS_upstream_cx_connect_attempts_exceeded);
}

void weir_tcp_upstream_close(struct weir_tcp_upstream *pub, bool remote, bool transport_gone, bool reset)
{
    struct upstream *u = WEIR_CONTAINER_OF(pub, struct upstream, pub);
    if (u->ended) return;
    /* A transport that is gone or given away is freed at the end of the turn: its numbers are still there. */
    bytes_count(u);
    if (pub->connected_ns == 0) count(u, WEIR_CS_upstream_rq_cancelled);
    end(u, remote);
    if (!transport_gone) weir_transport_close(pub->transport, reset);
    pub->transport = NULL;
}
