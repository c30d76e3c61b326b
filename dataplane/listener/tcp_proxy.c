/* One session of tcp_proxy: opens the upstream when the connection comes, then moves what each side says to the other. Each
 * side's end is passed on by itself, so that a half-closed connection goes on; a reset is passed on as one. Back-pressure: who
 * writes faster than the other side takes is not read until the queue is half empty. The session lies in the connection's
 * filter state and keeps the configuration that it began with. */
#include "dataplane/listener/tcp_proxy.h"

#include "dataplane/base/log.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/host.h"
#include "dataplane/limits.h"
#include "dataplane/upstream/tcp_upstream.h"

#define LINGER_MS 1000u

#define X(name) {#name, WEIR_COUNTER},
#define Y(name) {#name, WEIR_GAUGE},
const struct weir_stat_desc weir_tcp_stat_descs[WEIR_TCPS_COUNT] = {WEIR_TCP_COUNTERS(X) WEIR_TCP_GAUGES(Y)};
#undef X
#undef Y

struct session {
    struct weir_connection *c;
    struct weir_pin *pin;
    const struct weir_tcp_proxy *config; /* in pin's resource */
    const struct weir_tcp_cluster *chosen;
    struct weir_cluster *cluster; /* a reference is held; NULL: none chosen */
    struct weir_tcp_upstream *upstream; /* NULL: none, or gone */
    struct weir_stats_shard *stats, *cluster_stats;
    struct weir_timer idle;
    uint64_t active_ns; /* last byte in either direction */
    uint64_t tx_seen;   /* by the idle timer */
    uint64_t flags, random, start_wall_ns, upstream_start_ns, upstream_connected_ns;
    uint64_t rx_bytes, tx_bytes, upstream_rx_bytes, upstream_tx_bytes; /* copied from the transports before they go */
    struct weir_address upstream_host, upstream_local;
    uint64_t upstream_connection_id;
    struct weir_str failure; /* owned by `arena` */
    struct weir_arena arena;
    uint32_t attempts;
    bool connected, down_eof, up_eof, over;
};

static struct session *session_of(const struct weir_connection *c)
{
    return weir_connection_state(c);
}

static void count(struct session *s, enum weir_tcp_stat stat, uint64_t n)
{
    if (s->stats != NULL) weir_stat_add(s->stats, stat, (int64_t)n);
}

static void note_upstream(struct session *s)
{
    const struct weir_transport *t = s->upstream != NULL ? s->upstream->transport : NULL;
    if (t == NULL) return;
    s->upstream_rx_bytes = t->rx_bytes;
    s->upstream_tx_bytes = t->tx_bytes;
    s->upstream_local = weir_transport_local(t);
    s->upstream_connection_id = t->id;
}

static void write_log(struct session *s, struct weir_str local_close_reason)
{
    const struct weir_transport *t = s->c->transport;
    struct weir_request r = {.protocol = WEIR_TCP, .arena = &s->arena};
    if (s->config->access_logs.count == 0) return;
    r.flags = s->flags;
    r.attempts = s->attempts;
    r.upstream_transport_failure_reason = s->failure;
    r.downstream_local_close_reason = local_close_reason;
    r.downstream_remote = weir_transport_remote(t);
    const struct weir_address remote = r.downstream_remote, local = weir_transport_local(t);
    r.downstream_direct_remote = s->c->direct_remote != NULL ? s->c->direct_remote : &remote;
    r.downstream_local = &local;
    r.tls = t->tls;
    r.connection_id = t->id;
    r.requested_server_name = s->c->server_name;
    r.listener_name = s->c->chain->listener_name;
    r.filter_chain_name = s->c->chain->name;
    if (s->chosen != NULL) r.cluster_name = s->chosen->name;
    r.upstream_host = s->upstream_host;
    r.upstream_local = s->upstream_local;
    r.upstream_connection_id = s->upstream_connection_id;
    r.start_wall_ns = s->start_wall_ns;
    r.start_ns = s->c->start_ns;
    r.end_ns = s->c->worker->now_ns;
    r.upstream_connect_start_ns = s->upstream_start_ns;
    r.upstream_connected_ns = s->upstream_connected_ns;
    r.request_body_bytes = r.downstream_rx_wire_bytes = s->rx_bytes;
    r.response_body_bytes = r.downstream_tx_wire_bytes = s->tx_bytes;
    r.upstream_rx_wire_bytes = s->upstream_rx_bytes;
    r.upstream_tx_wire_bytes = s->upstream_tx_bytes;
    r.random = s->random;
    weir_access_logs_write(&s->config->access_logs, &r, s->c->worker->snapshot.runtime, s->c->worker->index);
}

/* How the client's side ends. */
enum down_end { DOWN_GONE, DOWN_FINISH, DOWN_RESET };

/* Once. The upstream, if there still is one, ends too: `up_reset` passes a reset on. */
static void end(struct session *s, enum down_end how, bool up_reset, struct weir_str local_close_reason)
{
    struct weir_transport *down = s->c->transport;
    if (s->over) return;
    s->over = true;
    weir_timer_stop(&s->c->worker->timers, &s->idle);
    s->rx_bytes = down->rx_bytes;
    s->tx_bytes = down->tx_bytes + (how == DOWN_FINISH ? weir_transport_queued(down) : 0);
    note_upstream(s);
    write_log(s, local_close_reason);
    count(s, WEIR_TCPS_downstream_cx_rx_bytes_total, s->rx_bytes);
    count(s, WEIR_TCPS_downstream_cx_tx_bytes_total, s->tx_bytes);
    down->stall_ms = WEIR_TUNNEL_STALL_MS;
    if (how == DOWN_FINISH) weir_transport_finish(down, LINGER_MS);
    if (how == DOWN_RESET) weir_transport_close(down, true);
    if (s->upstream != NULL) {
        /* What the client said last still goes to the upstream; a connection that never came about is given up. */
        bool finish = s->connected && !up_reset;
        s->upstream->transport->stall_ms = WEIR_TUNNEL_STALL_MS;
        if (finish) weir_transport_finish(s->upstream->transport, LINGER_MS);
        weir_tcp_upstream_close(s->upstream, false, finish, up_reset);
        s->upstream = NULL;
    }
    if (s->cluster != NULL) weir_cluster_release(s->cluster);
    weir_pin_release(s->pin);
    weir_arena_deinit(&s->arena);
    weir_connection_done(s->c);
}

static const struct weir_str no_reason;

static void on_idle(struct weir_timer *t)
{
    struct session *s = WEIR_CONTAINER_OF(t, struct session, idle);
    struct weir_worker *w = s->c->worker;
    uint64_t tx = s->c->transport->tx_bytes + (s->connected ? s->upstream->transport->tx_bytes : 0);
    if (tx != s->tx_seen) s->active_ns = w->now_ns; /* still being written counts as use; seen late rather than at each write */
    s->tx_seen = tx;
    uint64_t idle_ms = (w->now_ns - s->active_ns) / 1000000u;
    if (idle_ms < s->config->idle_timeout_ms) {
        weir_timer_start(&w->timers, t, s->config->idle_timeout_ms - idle_ms);
        return;
    }
    count(s, WEIR_TCPS_idle_timeout, 1);
    end(s, DOWN_FINISH, false, WEIR_STR("tcp_session_idle_timeout"));
}

/* Moves what was read to the other side and stops reading while that piles up. */
static bool move(struct session *s, struct weir_transport *from, struct weir_transport *to, struct weir_slice bytes)
{
    struct weir_buffer b;
    s->active_ns = s->c->worker->now_ns;
    weir_buffer_init(&b);
    weir_buffer_push(&b, bytes);
    weir_transport_write(to, &b);
    weir_buffer_deinit(&b);
    if (!to->above_high) return false;
    weir_transport_read(from, false);
    return true;
}

static void on_down_read(void *owner, struct weir_slice bytes)
{
    struct session *s = owner;
    if (move(s, s->c->transport, s->upstream->transport, bytes)) {
        count(s, WEIR_TCPS_downstream_flow_control_paused_reading_total, 1);
        weir_stat_inc(s->cluster_stats, WEIR_CS_upstream_flow_control_backed_up_total);
    }
}

static void on_up_read(void *owner, struct weir_slice bytes)
{
    struct session *s = owner;
    if (move(s, s->upstream->transport, s->c->transport, bytes)) weir_stat_inc(s->cluster_stats, WEIR_CS_upstream_flow_control_paused_reading_total);
}

static void on_down_drained(void *owner)
{
    struct session *s = owner;
    s->active_ns = s->c->worker->now_ns;
    if (s->upstream == NULL) return;
    weir_transport_read(s->upstream->transport, true);
    weir_stat_inc(s->cluster_stats, WEIR_CS_upstream_flow_control_resumed_reading_total);
}

static void on_up_drained(void *owner)
{
    struct session *s = owner;
    s->active_ns = s->c->worker->now_ns;
    weir_transport_read(s->c->transport, true);
    count(s, WEIR_TCPS_downstream_flow_control_resumed_reading_total, 1);
    weir_stat_inc(s->cluster_stats, WEIR_CS_upstream_flow_control_drained_total);
}

static void on_down_eof(void *owner)
{
    struct session *s = owner;
    s->down_eof = true;
    if (!s->connected) {
        /* Nobody is left to hear an answer, and nothing was said to send on. */
        end(s, DOWN_FINISH, false, no_reason);
        return;
    }
    if (s->up_eof)
        end(s, DOWN_FINISH, false, no_reason);
    else
        weir_transport_shutdown(s->upstream->transport);
}

static void on_up_eof(void *owner)
{
    struct session *s = owner;
    s->up_eof = true;
    if (s->down_eof)
        end(s, DOWN_FINISH, false, no_reason);
    else
        weir_transport_shutdown(s->c->transport);
}

static void on_down_closed(void *owner, enum weir_close_reason reason)
{
    struct session *s = owner;
    end(s, DOWN_GONE, reason == WEIR_CLOSE_RESET && s->connected, no_reason);
}

static void on_up_closed(void *owner, enum weir_close_reason reason)
{
    struct session *s = owner;
    note_upstream(s);
    if (reason == WEIR_CLOSE_RESET) s->flags |= WEIR_FLAG(UPSTREAM_REMOTE_RESET);
    struct weir_tcp_upstream *u = s->upstream;
    s->upstream = NULL;
    weir_tcp_upstream_close(u, true, true, false);
    end(s, reason == WEIR_CLOSE_RESET ? DOWN_RESET : DOWN_FINISH, false, no_reason);
}

static const struct weir_transport_events down_events = {
    .on_read = on_down_read, .on_eof = on_down_eof, .on_drained = on_down_drained, .on_closed = on_down_closed};
static const struct weir_transport_events up_events = {
    .on_read = on_up_read, .on_eof = on_up_eof, .on_drained = on_up_drained, .on_closed = on_up_closed};

static void on_upstream_connected(void *ctx, struct weir_tcp_upstream *u)
{
    struct session *s = ctx;
    struct weir_worker *w = s->c->worker;
    s->connected = true;
    s->upstream_connected_ns = u->connected_ns;
    s->active_ns = w->now_ns;
    weir_transport_attach(u->transport, &up_events, s);
    weir_transport_read(u->transport, true);
    weir_transport_read(s->c->transport, true);
    if (s->config->idle_timeout_ms != 0) weir_timer_start(&w->timers, &s->idle, s->config->idle_timeout_ms);
}

static void connect_upstream(struct session *s);
static void on_upstream_failed(void *ctx, enum weir_tcp_failure why, struct weir_str reason)
{
    struct session *s = ctx;
    s->upstream = NULL;
    s->failure = weir_arena_str(&s->arena, reason);
    if (s->attempts < s->config->connect_attempts_max) {
        connect_upstream(s);
        return;
    }
    weir_tcp_upstream_attempts_exceeded(s->cluster);
    s->flags |= WEIR_FLAG(UPSTREAM_CONNECTION_FAILURE) | WEIR_FLAG(RETRY_LIMIT_EXCEEDED);
    end(s, why == WEIR_TCP_CONNECT_TIMEOUT ? DOWN_RESET : DOWN_FINISH, false, WEIR_STR("tcp_initializion_failure:0"));
}

static const struct weir_tcp_upstream_events upstream_events = {on_upstream_connected, on_upstream_failed};

/* May end the session. */
static void connect_upstream(struct session *s)
{
    const struct weir_transport *down = s->c->transport;
    const struct weir_address local = weir_transport_local(down);
    struct weir_lb_context x = {.original_dst = down->local_restored ? &local : NULL};
    switch (weir_tcp_upstream_open(s->cluster, &x, &upstream_events, s, &s->upstream)) {
    case WEIR_TCP_OK:
        s->attempts++;
        s->upstream_start_ns = s->upstream->start_ns;
        s->upstream_host = s->upstream->host->host->address;
        return;
    case WEIR_TCP_OVERFLOW:
        s->flags |= WEIR_FLAG(UPSTREAM_OVERFLOW);
        end(s, DOWN_FINISH, false, WEIR_STR("tcp_initializion_failure:2"));
        return;
    default:
        s->flags |= WEIR_FLAG(NO_HEALTHY_UPSTREAM);
        end(s, DOWN_RESET, false, WEIR_STR("tcp_initializion_failure:1"));
    }
}

static const struct weir_tcp_cluster *choose(const struct weir_tcp_proxy *p, uint64_t draw)
{
    uint64_t at = draw % p->weight_total;
    uint32_t i = 0;
    for (; at >= p->clusters[i].weight; i++)
        at -= p->clusters[i].weight;
    return &p->clusters[i];
}

static enum weir_network_verdict on_connection(struct weir_connection *c)
{
    struct session *s = session_of(c);
    struct weir_worker *w = c->worker;
    s->c = c;
    s->pin = weir_pin_acquire(c->chain->pin);
    s->config = weir_connection_config(c);
    s->random = weir_random_u64(&w->random);
    s->start_wall_ns = w->wall_ns;
    s->active_ns = w->now_ns;
    s->idle.on_due = on_idle;
    weir_arena_init(&s->arena, 0);
    s->stats = s->config->stats != NULL ? weir_stats_shard(s->config->stats, w->index) : NULL;
    count(s, WEIR_TCPS_downstream_cx_total, 1);
    weir_transport_attach(c->transport, &down_events, s);
    weir_transport_set_water(c->transport, c->chain->buffer_limit_bytes, c->chain->buffer_limit_bytes / 2);
    /* Not read before the upstream is there, but watched: a client that leaves is noticed. */
    weir_transport_read(c->transport, true);
    weir_transport_read(c->transport, false);
    s->chosen = choose(s->config, s->random);
    struct weir_cluster *cluster = weir_snapshot_cluster(&w->snapshot, s->chosen->slot);
    if (cluster == NULL) {
        s->flags |= WEIR_FLAG(NO_CLUSTER_FOUND);
        count(s, WEIR_TCPS_downstream_cx_no_route, 1);
        end(s, DOWN_RESET, false, WEIR_STR("tcp_initializion_failure:3"));
        return WEIR_NETWORK_ENDED;
    }
    s->cluster = weir_cluster_acquire(weir_cluster_use(cluster));
    s->cluster_stats = s->cluster->stats;
    connect_upstream(s);
    return s->over ? WEIR_NETWORK_ENDED : WEIR_NETWORK_CONTINUE;
}

static void on_deadline(struct weir_connection *c)
{
    end(session_of(c), DOWN_FINISH, false, no_reason);
}

/* Draining leaves running sessions alone until the deadline: bytes cannot say that they should end. */
const struct weir_network_filter weir_network_filter_tcp_proxy = {.name = "envoy.filters.network.tcp_proxy",
                                                                  .terminal = true,
                                                                  .state_size = sizeof(struct session),
                                                                  .on_connection = on_connection,
                                                                  .on_deadline = on_deadline};
