/* Connections to hosts: connecting, moving bytes between transport and codec, timers, ends and their counters. */
#include "dataplane/upstream/connection.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/codec/h2_stats.h"
#include "dataplane/limits.h"

/* ---- ends ---- */

static void count(const struct weir_upstream_connection *c, enum weir_cluster_stat s)
{
    weir_stat_inc(weir_pool_stats(c->pool), s);
}

static void bytes_count(struct weir_upstream_connection *c)
{
    const struct weir_transport *t = c->transport;
    weir_stat_add(weir_pool_stats(c->pool), WEIR_CS_upstream_cx_rx_bytes_total, (int64_t)(t->rx_bytes - c->rx_counted));
    weir_stat_add(weir_pool_stats(c->pool), WEIR_CS_upstream_cx_tx_bytes_total, (int64_t)(t->tx_bytes - c->tx_counted));
    c->rx_counted = t->rx_bytes;
    c->tx_counted = t->tx_bytes;
}

static void destroy(struct weir_dead *d)
{
    struct weir_upstream_connection *c = WEIR_CONTAINER_OF(d, struct weir_upstream_connection, dead);
    if (c->codec != NULL) weir_codec_destroy(c->codec);
    struct weir_pool *p = c->pool;
    weir_list_remove(&c->node);
    free(c);
    weir_pool_connection_gone(p);
}

/* Everything of an end but the transport. */
static void ended(struct weir_upstream_connection *c, bool remote)
{
    struct weir_pool *p = c->pool;
    struct weir_worker *w = weir_pool_worker(p);
    bool active = c->cut_active || c->streams > 0;
    bytes_count(c);
    count(c, WEIR_CS_upstream_cx_destroy);
    count(c, remote ? WEIR_CS_upstream_cx_destroy_remote : WEIR_CS_upstream_cx_destroy_local);
    if (active) {
        count(c, WEIR_CS_upstream_cx_destroy_with_active_rq);
        count(c, remote ? WEIR_CS_upstream_cx_destroy_remote_with_active_rq : WEIR_CS_upstream_cx_destroy_local_with_active_rq);
    }
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_cx_active, -1);
    weir_stat_record(weir_pool_stats(p), WEIR_CS_upstream_rq_per_cx, c->requests);
    if (c->connected_ns != 0)
        weir_stat_record(weir_pool_stats(p), WEIR_CS_upstream_cx_length_ms, (w->now_ns - c->connected_ns) / 1000000u);
    atomic_fetch_sub_explicit(&p->host->host->cx_active, 1, memory_order_relaxed);
    weir_breaker_give(&weir_pool_cluster(p)->shared->breakers[p->key.priority], &weir_pool_cluster(p)->limits[p->key.priority],
                      WEIR_BREAKER_CONNECTIONS, weir_pool_stats(p), p->key.priority);
    weir_timer_stop(&w->timers, &c->timer);
    weir_timer_stop(&w->timers, &c->ping_timer);
    weir_worker_undefer(&c->run);
    c->transport = NULL;
    weir_pool_move(c, WEIR_CONNECTION_CLOSED);
    weir_pool_serve_later(p);
    c->dead.destroy = destroy;
    weir_worker_bury(w, &c->dead);
}

void weir_upstream_connection_close(struct weir_upstream_connection *c, bool remote)
{
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    struct weir_transport *t = c->transport;
    ended(c, remote);
    weir_transport_close(t, false);
}

void weir_upstream_connection_abort(struct weir_upstream_connection *c)
{
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    c->cut_active = c->cut_active || c->streams > 0;
    if (c->codec != NULL) weir_codec_fail(c->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    weir_upstream_connection_close(c, false);
}

/* Nothing runs on it and nothing waits to be written by the codec. */
static bool is_done(const struct weir_upstream_connection *c)
{
    return c->streams == 0 && (c->codec == NULL || weir_codec_idle(c->codec));
}

void weir_upstream_connection_drain(struct weir_upstream_connection *c)
{
    if (c->state == WEIR_CONNECTION_CLOSED || c->state == WEIR_CONNECTION_DRAINING) return;
    weir_pool_move(c, WEIR_CONNECTION_DRAINING);
    weir_worker_defer(weir_pool_worker(c->pool), &c->run);
}

/* ---- between transport and codec ---- */

/* Takes what the codec has. False: the connection was closed meanwhile. */
static bool output(struct weir_upstream_connection *c)
{
    struct weir_buffer out;
    weir_buffer_init(&out);
    weir_codec_output(c->codec, &out);
    if (c->state != WEIR_CONNECTION_CLOSED && !weir_buffer_empty(&out)) {
        bool above = c->transport->above_high;
        weir_transport_write(c->transport, &out);
        if (!above && c->transport->above_high) {
            count(c, WEIR_CS_upstream_flow_control_backed_up_total);
            weir_codec_transport_blocked(c->codec, true);
        }
    }
    weir_buffer_deinit(&out);
    return c->state != WEIR_CONNECTION_CLOSED;
}

static void run(struct weir_deferred *d)
{
    struct weir_upstream_connection *c = WEIR_CONTAINER_OF(d, struct weir_upstream_connection, run);
    if (c->codec == NULL) {
        if (c->state == WEIR_CONNECTION_DRAINING) weir_upstream_connection_close(c, false);
        return;
    }
    if (!output(c)) return;
    if (c->write_end) {
        c->write_end = false;
        weir_transport_shutdown(c->transport);
    }
    if (c->state != WEIR_CONNECTION_DRAINING && !c->failed) return;
    /* Of a broken connection too a response that has come whole may wait for a slow reader. */
    if (c->failed ? c->streams > 0 : !is_done(c)) return;
    /* An HTTP/2 server hears that nothing more comes (RFC 9113 6.8). */
    if (c->codec->kind == WEIR_CODEC_H2 && !c->failed && !c->eof) {
        weir_codec_shutdown(c->codec, true);
        if (!output(c)) return;
    }
    /* What is queued (GOAWAY) leaves before the close, unless it is the rest of a request that nobody wants any more. */
    struct weir_transport *t = c->transport;
    bool queued = weir_transport_queued(t) > 0 && !c->cut_active;
    ended(c, c->eof);
    t->stall_ms = c->tail ? WEIR_TUNNEL_STALL_MS : 0;
    if (queued)
        weir_transport_finish(t, 0);
    else
        weir_transport_close(t, false);
}

static void idle_begin(struct weir_upstream_connection *c);

/* The codec's room has changed: the right list, and whoever waits gets it. */
static void room_update(struct weir_upstream_connection *c)
{
    if (c->state != WEIR_CONNECTION_READY && c->state != WEIR_CONNECTION_BUSY) return;
    const struct weir_cluster_config *config = weir_pool_config(c->pool);
    if (config->max_requests_per_connection > 0 && c->requests >= config->max_requests_per_connection) {
        count(c, WEIR_CS_upstream_cx_max_requests);
        weir_upstream_connection_drain(c);
        return;
    }
    bool room = weir_codec_capacity(c->codec) > 0;
    if (room == (c->state == WEIR_CONNECTION_READY)) return;
    weir_pool_move(c, room ? WEIR_CONNECTION_READY : WEIR_CONNECTION_BUSY);
    if (room && c->pool->waiting > 0) weir_pool_serve_later(c->pool);
}

static void on_output(void *owner)
{
    struct weir_upstream_connection *c = owner;
    if (c->state != WEIR_CONNECTION_CLOSED) weir_worker_defer(weir_pool_worker(c->pool), &c->run);
}

static void on_read_pause(void *owner, bool pause)
{
    struct weir_upstream_connection *c = owner;
    if (c->transport == NULL) return;
    count(c, pause ? WEIR_CS_upstream_flow_control_paused_reading_total : WEIR_CS_upstream_flow_control_resumed_reading_total);
    weir_transport_read(c->transport, !pause);
}

static void on_draining(void *owner)
{
    struct weir_upstream_connection *c = owner;
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    if (c->codec != NULL && c->codec->peer_closes && !c->notified) {
        c->notified = true;
        count(c, WEIR_CS_upstream_cx_close_notify);
    }
    weir_upstream_connection_drain(c);
}

static void on_write_end(void *owner)
{
    struct weir_upstream_connection *c = owner;
    c->write_end = true;
    on_output(c);
}

static void on_capacity(void *owner)
{
    struct weir_upstream_connection *c = owner;
    if (c->codec != NULL) room_update(c);
}

static void protocol_error(struct weir_upstream_connection *c)
{
    if (c->failed) return;
    c->failed = true;
    count(c, WEIR_CS_upstream_cx_protocol_error);
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    if (c->state != WEIR_CONNECTION_DRAINING) weir_pool_move(c, WEIR_CONNECTION_DRAINING);
    weir_worker_defer(weir_pool_worker(c->pool), &c->run);
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    (void)e;
    protocol_error(owner);
}

static void ping_start(struct weir_upstream_connection *c)
{
    const struct weir_cluster_config *config = weir_pool_config(c->pool);
    if (c->codec->kind != WEIR_CODEC_H2 || config->h2_ping_interval_ms == 0) return;
    uint64_t jitter = config->h2_ping_interval_ms * config->h2_ping_jitter_percent / 100;
    uint64_t delay = config->h2_ping_interval_ms;
    if (jitter > 0) delay += weir_random_below(&weir_pool_worker(c->pool)->random, jitter + 1);
    weir_timer_start(&weir_pool_worker(c->pool)->timers, &c->ping_timer, delay);
}

static void ping_send(struct weir_upstream_connection *c)
{
    c->ping_outstanding = true;
    weir_codec_ping(c->codec);
    weir_timer_start(&weir_pool_worker(c->pool)->timers, &c->ping_timer, weir_pool_config(c->pool)->h2_ping_timeout_ms);
}

static void ping_due(struct weir_timer *t)
{
    struct weir_upstream_connection *c = WEIR_CONTAINER_OF(t, struct weir_upstream_connection, ping_timer);
    if (!c->ping_outstanding) {
        ping_send(c);
        return;
    }
    if (c->codec->stats != NULL) weir_stat_inc(c->codec->stats, WEIR_H2_STAT_KEEPALIVE_TIMEOUT);
    weir_upstream_connection_abort(c);
}

static void on_pong(void *owner)
{
    struct weir_upstream_connection *c = owner;
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    c->ping_outstanding = false;
    weir_timer_stop(&weir_pool_worker(c->pool)->timers, &c->ping_timer);
    ping_start(c);
}

static const struct weir_codec_events codec_events = {
    .on_output = on_output,
    .on_read_pause = on_read_pause,
    .on_draining = on_draining,
    .on_write_end = on_write_end,
    .on_capacity = on_capacity,
    .on_pong = on_pong,
    .on_error = on_error,
};

static void on_read(void *owner, struct weir_slice bytes)
{
    struct weir_upstream_connection *c = owner;
    c->last_rx_ms = weir_worker_now_ms(weir_pool_worker(c->pool));
    weir_codec_input(c->codec, bytes);
}

static void on_eof(void *owner)
{
    struct weir_upstream_connection *c = owner;
    c->eof = true;
    if (c->codec == NULL) return;
    weir_codec_input_eof(c->codec);
    /* A tunnel may go on in the other direction; anything else is over. */
    weir_upstream_connection_drain(c);
}

static void on_drained(void *owner)
{
    struct weir_upstream_connection *c = owner;
    if (c->codec == NULL) return;
    count(c, WEIR_CS_upstream_flow_control_drained_total);
    weir_codec_transport_blocked(c->codec, false);
    on_output(c);
}

static void connect_failed(struct weir_upstream_connection *c, enum weir_close_reason reason)
{
    struct weir_pool *p = c->pool;
    bool timeout = reason == WEIR_CLOSE_CONNECT_TIMEOUT;
    count(c, WEIR_CS_upstream_cx_connect_fail);
    if (timeout) count(c, WEIR_CS_upstream_cx_connect_timeout);
    atomic_fetch_add_explicit(&p->host->host->cx_connect_fail, 1, memory_order_relaxed);
    /* The transport is freed at the end of the turn only: its reason is good until then. */
    struct weir_str failure = c->transport->failure_reason;
    ended(c, !timeout);
    weir_pool_connect_failed(p, timeout ? WEIR_UPSTREAM_CONNECTION_TIMEOUT : WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, failure);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct weir_upstream_connection *c = owner;
    if (c->connected_ns == 0) {
        connect_failed(c, reason);
        return;
    }
    c->cut_active = c->cut_active || c->streams > 0;
    /* HTTP/1 says itself what the end means to a response on its way. */
    weir_codec_fail(c->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    ended(c, true);
}

/* ---- connecting ---- */

static struct weir_codec *codec_create(struct weir_upstream_connection *c)
{
    struct weir_pool *p = c->pool;
    const struct weir_cluster_config *config = weir_pool_config(p);
    struct weir_worker *w = weir_pool_worker(p);
    if (p->key.kind == WEIR_POOL_RAW) return weir_raw_codec_create(w, &config->h1, &codec_events, c);
    bool h2 = p->key.kind == WEIR_POOL_H2;
    if (p->key.kind == WEIR_POOL_AUTO) {
        h2 = c->transport->tls != NULL && weir_str_eq(c->transport->tls->alpn, WEIR_STR("h2"));
        p->h1_learned = !h2;
        count(c, h2 ? WEIR_CS_upstream_cx_http2_total : WEIR_CS_upstream_cx_http1_total);
    }
    struct weir_codec *codec = h2 ? weir_h2_client_create(w, &config->h2, &codec_events, c)
                                  : weir_h1_client_create(w, &config->h1, &codec_events, c);
    codec->stats = weir_stats_shard(weir_cluster_shared_codec_stats(weir_pool_cluster(p)->shared, config, h2), w->index);
    if (h2) weir_h2_stats_touch(codec->stats);
    return codec;
}

static void timer_due(struct weir_timer *t);

static void on_connected(void *owner)
{
    struct weir_upstream_connection *c = owner;
    struct weir_pool *p = c->pool;
    struct weir_worker *w = weir_pool_worker(p);
    c->connected_ns = w->now_ns;
    c->last_rx_ms = weir_worker_now_ms(w);
    weir_stat_record(weir_pool_stats(p), WEIR_CS_upstream_cx_connect_ms, (w->now_ns - c->start_ns) / 1000000u);
    bool draining = c->state == WEIR_CONNECTION_DRAINING;
    c->codec = codec_create(c);
    if (!draining) weir_pool_move(c, weir_codec_capacity(c->codec) > 0 ? WEIR_CONNECTION_READY : WEIR_CONNECTION_BUSY);
    weir_transport_read(c->transport, true);
    ping_start(c);
    idle_begin(c);
    weir_pool_serve_later(p);
}

static const struct weir_transport_events transport_events = {
    .on_connected = on_connected,
    .on_read = on_read,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static struct weir_str alpn_of(const struct weir_pool *p)
{
    if (weir_pool_config(p)->protocol != WEIR_UPSTREAM_DOWNSTREAM || p->key.kind == WEIR_POOL_RAW) return (struct weir_str){0};
    return p->key.kind == WEIR_POOL_H2 ? WEIR_STR("\x02h2") : WEIR_STR("\x08http/1.1");
}

void weir_upstream_connection_start(struct weir_pool *p)
{
    struct weir_upstream_connection *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    const struct weir_cluster_config *config = weir_pool_config(p);
    struct weir_worker *w = weir_pool_worker(p);
    struct weir_host *host = p->host->host;
    c->pool = p;
    c->state = WEIR_CONNECTION_STATES;
    c->run.run = run;
    c->timer.on_due = timer_due;
    c->ping_timer.on_due = ping_due;
    c->start_ns = w->now_ns;
    bool shared = p->key.kind == WEIR_POOL_H2 || (p->key.kind == WEIR_POOL_AUTO && !p->h1_learned);
    c->carries = shared ? config->h2_streams_max : 1;
    if (config->max_requests_per_connection > 0 && c->carries > config->max_requests_per_connection)
        c->carries = config->max_requests_per_connection;
    count(c, WEIR_CS_upstream_cx_total);
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_cx_active, 1);
    if (p->key.kind == WEIR_POOL_H1) count(c, WEIR_CS_upstream_cx_http1_total);
    if (p->key.kind == WEIR_POOL_H2) count(c, WEIR_CS_upstream_cx_http2_total);
    atomic_fetch_add_explicit(&host->cx_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&host->cx_active, 1, memory_order_relaxed);
    weir_breaker_take(&weir_pool_cluster(p)->shared->breakers[p->key.priority], &weir_pool_cluster(p)->limits[p->key.priority],
                      WEIR_BREAKER_CONNECTIONS, weir_pool_stats(p), p->key.priority);
    struct weir_connect_options o = {
        .remote = &host->address,
        .local = config->source,
        .tls = config->tls,
        .hostname = host->hostname,
        .sni = p->key.sni,
        .san = p->key.san,
        .alpn = alpn_of(p),
        .connect_timeout_ms = config->connect_timeout_ms,
        .keepalive = config->keepalive,
        .keepalive_probes = config->keepalive_probes,
        .keepalive_time_s = config->keepalive_time_s,
        .keepalive_interval_s = config->keepalive_interval_s,
    };
    weir_pool_move(c, WEIR_CONNECTION_CONNECTING);
    c->transport = weir_transport_connect(w, &o, &transport_events, c);
    weir_transport_set_water(c->transport, config->buffer_limit_bytes, config->buffer_limit_bytes / 2);
}

/* ---- streams ---- */

struct weir_codec_stream *weir_upstream_connection_open(struct weir_upstream_connection *c, const struct weir_stream_events *events,
                                                        void *ctx, struct weir_arena *arena)
{
    struct weir_pool *p = c->pool;
    const struct weir_cluster_config *config = weir_pool_config(p);
    struct weir_host *host = p->host->host;
    struct weir_codec_stream *s = weir_codec_open(c->codec, events, ctx, arena);
    if (s == NULL) return NULL;
    if (config->h2_ping_idle_ms > 0 && c->codec->kind == WEIR_CODEC_H2 && c->streams == 0 && !c->ping_outstanding &&
        weir_worker_now_ms(weir_pool_worker(p)) - c->last_rx_ms >= config->h2_ping_idle_ms)
        ping_send(c);
    c->streams++;
    c->requests++;
    weir_breaker_take(&weir_pool_cluster(p)->shared->breakers[p->key.priority], &weir_pool_cluster(p)->limits[p->key.priority],
                      WEIR_BREAKER_REQUESTS, weir_pool_stats(p), p->key.priority);
    count(c, WEIR_CS_upstream_rq_total);
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_rq_active, 1);
    atomic_fetch_add_explicit(&host->rq_total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&host->rq_active, 1, memory_order_relaxed);
    if (p->key.kind == WEIR_POOL_RAW)
        weir_upstream_connection_drain(c); /* used once */
    else
        room_update(c);
    return s;
}

/* What Envoy's codecs count of streams that end badly. */
static void reset_count(struct weir_upstream_connection *c, enum weir_reset how)
{
    if (c->codec->kind != WEIR_CODEC_H2) {
        /* Our own reset closes the connection under the stream. */
        c->cut_active = true;
        if (how == WEIR_RESET_PROTOCOL) protocol_error(c);
        return;
    }
    switch (how) {
    case WEIR_RESET_CONNECTION: count(c, WEIR_CS_upstream_rq_pending_failure_eject); break;
    case WEIR_RESET_LOCAL:
    case WEIR_RESET_PROTOCOL: count(c, WEIR_CS_upstream_rq_tx_reset); break;
    case WEIR_RESET_REMOTE:
    case WEIR_RESET_REMOTE_NO_ERROR: /* nothing of its own in upstream_rq_rx_reset_no_error: seen on the real one */
    case WEIR_RESET_LIMIT: count(c, WEIR_CS_upstream_rq_rx_reset); break;
    case WEIR_RESET_NONE:
    case WEIR_RESET_LOCAL_REFUSED:
    case WEIR_RESET_REMOTE_REFUSED:
    case WEIR_RESET_CONNECT: break;
    }
}

void weir_upstream_connection_done(struct weir_upstream_connection *c, enum weir_reset how)
{
    struct weir_pool *p = c->pool;
    assert(c->streams > 0);
    c->streams--;
    weir_breaker_give(&weir_pool_cluster(p)->shared->breakers[p->key.priority], &weir_pool_cluster(p)->limits[p->key.priority],
                      WEIR_BREAKER_REQUESTS, weir_pool_stats(p), p->key.priority);
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_rq_active, -1);
    atomic_fetch_sub_explicit(&p->host->host->rq_active, 1, memory_order_relaxed);
    if (how != WEIR_RESET_NONE) reset_count(c, how);
    if (c->state == WEIR_CONNECTION_CLOSED) return;
    bytes_count(c);
    if (c->state == WEIR_CONNECTION_DRAINING)
        weir_worker_defer(weir_pool_worker(p), &c->run);
    else if (c->streams == 0)
        idle_begin(c);
}

static void orphan_headers(void *ctx, struct weir_headers *h, bool end)
{
    (void)ctx;
    (void)h;
    (void)end;
}
static void orphan_data(void *ctx, struct weir_buffer *data, bool end)
{
    (void)ctx;
    (void)data;
    (void)end;
}
static void orphan_trailers(void *ctx, struct weir_headers *h)
{
    (void)ctx;
    (void)h;
}
static void orphan_blocked(void *ctx)
{
    (void)ctx;
}
static void orphan_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct weir_upstream_connection *c = ctx;
    (void)reason;
    (void)details;
    if (c->state == WEIR_CONNECTION_DRAINING) weir_worker_defer(weir_pool_worker(c->pool), &c->run);
}
/* What was sent is still leaving: the process does not end before it has. */
static void tail_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct weir_upstream_connection *c = ctx;
    weir_pool_worker(c->pool)->unflushed--;
    orphan_closed(ctx, reason, details);
}
static const struct weir_stream_events tail_events = {
    .on_headers = orphan_headers,
    .on_data = orphan_data,
    .on_trailers = orphan_trailers,
    .on_send_blocked = orphan_blocked,
    .on_send_ready = orphan_blocked,
    .on_closed = tail_closed,
};
static const struct weir_stream_events orphan_events = {
    .on_headers = orphan_headers,
    .on_data = orphan_data,
    .on_trailers = orphan_trailers,
    .on_send_blocked = orphan_blocked,
    .on_send_ready = orphan_blocked,
    .on_closed = orphan_closed,
};

void weir_upstream_connection_orphan(struct weir_upstream_connection *c, struct weir_codec_stream *s)
{
    s->events = &orphan_events;
    s->ctx = c;
    weir_upstream_connection_done(c, WEIR_RESET_NONE);
}

void weir_upstream_connection_leave_tail(struct weir_upstream_connection *c, struct weir_codec_stream *s)
{
    s->events = &tail_events;
    s->ctx = c;
    c->tail = true;
    weir_pool_worker(c->pool)->unflushed++;
    weir_upstream_connection_done(c, WEIR_RESET_NONE);
}

/* ---- time ---- */

/* The timer runs on while the connection is used: it looks again when it is due, so that a request costs no restart. */
static void timer_restart(struct weir_upstream_connection *c)
{
    const struct weir_cluster_config *config = weir_pool_config(c->pool);
    struct weir_worker *w = weir_pool_worker(c->pool);
    uint64_t now = weir_worker_now_ms(w), delay = UINT64_MAX;
    if (config->idle_timeout_ms > 0) {
        uint64_t idle = c->streams == 0 ? now - c->idle_since_ms : 0;
        delay = idle < config->idle_timeout_ms ? config->idle_timeout_ms - idle : 0;
    }
    if (config->max_connection_duration_ms > 0) {
        uint64_t age = now - c->connected_ns / 1000000u;
        uint64_t left = age < config->max_connection_duration_ms ? config->max_connection_duration_ms - age : 0;
        if (left < delay) delay = left;
    }
    if (delay != UINT64_MAX) weir_timer_start(&w->timers, &c->timer, delay);
}

static void idle_begin(struct weir_upstream_connection *c)
{
    c->idle_since_ms = weir_worker_now_ms(weir_pool_worker(c->pool));
    if (!weir_timer_running(&c->timer)) timer_restart(c);
    weir_transport_idle(c->transport);
}

static void timer_due(struct weir_timer *t)
{
    struct weir_upstream_connection *c = WEIR_CONTAINER_OF(t, struct weir_upstream_connection, timer);
    const struct weir_cluster_config *config = weir_pool_config(c->pool);
    uint64_t now = weir_worker_now_ms(weir_pool_worker(c->pool));
    if (c->state == WEIR_CONNECTION_DRAINING) return;
    if (config->max_connection_duration_ms > 0 && now - c->connected_ns / 1000000u >= config->max_connection_duration_ms) {
        count(c, WEIR_CS_upstream_cx_max_duration_reached);
        weir_upstream_connection_drain(c);
        return;
    }
    if (config->idle_timeout_ms > 0 && c->streams == 0 && now - c->idle_since_ms >= config->idle_timeout_ms) {
        count(c, WEIR_CS_upstream_cx_idle_timeout);
        weir_upstream_connection_drain(c);
        return;
    }
    timer_restart(c);
}
