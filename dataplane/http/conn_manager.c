/* One downstream connection of HTTP. Called by the listener when a connection is ready, then by transport, codec and timer. */
#include "dataplane/http/conn_manager.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/codec/h2_stats.h"
#include "dataplane/http/connection.h"
#include "dataplane/http/stream.h"

static bool is_h1(const struct weir_http_connection *c)
{
    return c->codec == NULL || c->codec->kind == WEIR_CODEC_H1;
}
static void count(struct weir_http_connection *c, enum weir_http_stat stat)
{
    weir_stat_inc(c->stats, stat);
}
static void gauge(struct weir_http_connection *c, enum weir_http_stat stat, int64_t by)
{
    weir_stat_add(c->stats, stat, by);
}
void weir_http_connection_wake(struct weir_http_connection *c)
{
    weir_worker_defer(c->worker, &c->flush);
}

/* The end. */

static void count_bytes(struct weir_http_connection *c)
{
    const struct weir_transport *t = c->transport;
    weir_stat_add(c->stats, WEIR_HTTP_CX_RX_BYTES_TOTAL, (int64_t)(t->rx_bytes - c->rx_counted));
    weir_stat_add(c->stats, WEIR_HTTP_CX_TX_BYTES_TOTAL, (int64_t)(t->tx_bytes - c->tx_counted));
    c->rx_counted = t->rx_bytes;
    c->tx_counted = t->tx_bytes;
}
static void count_end(struct weir_http_connection *c)
{
    bool busy = c->stream_count > 0 || c->cut_active;
    count(c, WEIR_HTTP_CX_DESTROY);
    count(c, c->remote_close ? WEIR_HTTP_CX_DESTROY_REMOTE : WEIR_HTTP_CX_DESTROY_LOCAL);
    if (busy) {
        count(c, WEIR_HTTP_CX_DESTROY_ACTIVE_RQ);
        count(c, c->remote_close ? WEIR_HTTP_CX_DESTROY_REMOTE_ACTIVE_RQ : WEIR_HTTP_CX_DESTROY_LOCAL_ACTIVE_RQ);
    }
    gauge(c, WEIR_HTTP_CX_ACTIVE, -1);
    if (c->transport->tls != NULL) gauge(c, WEIR_HTTP_CX_SSL_ACTIVE, -1);
    if (c->codec != NULL) gauge(c, is_h1(c) ? WEIR_HTTP_CX_HTTP1_ACTIVE : WEIR_HTTP_CX_HTTP2_ACTIVE, -1);
    weir_stat_record(c->stats, WEIR_HTTP_CX_LENGTH_MS, c->worker->timers.clock_ms - c->started_ms);
}
/* Everything but the transport goes; the caller has said how that ends. Not from inside an event of the codec. */
static void end(struct weir_http_connection *c, struct weir_str details)
{
    count_bytes(c);
    count_end(c);
    if (c->codec != NULL && c->stream_count > 0) weir_codec_fail(c->codec, WEIR_RESET_CONNECTION, details);
    while (!weir_list_empty(&c->streams))
        weir_stream_abandon(WEIR_CONTAINER_OF(c->streams.next, struct weir_stream, node), WEIR_RESET_CONNECTION, details);
    if (weir_timer_running(&c->timer)) weir_timer_stop(&c->worker->timers, &c->timer);
    weir_worker_undefer(&c->flush);
    if (c->early != NULL) {
        weir_buffer_deinit(c->early);
        free(c->early);
    }
    if (c->codec != NULL) weir_codec_destroy(c->codec);
    while (c->states != NULL) {
        struct weir_http_state *state = c->states;
        c->states = state->next;
        weir_pin_release(state->hcm_pin);
        if (state->route_pin != NULL) weir_pin_release(state->route_pin);
        free(state);
    }
    weir_pin_release(c->pin);
    weir_pin_release(c->home_pin);
    c->transport = NULL;
    c->codec = NULL;
    weir_connection_done(c->base);
}
static void close_now(struct weir_http_connection *c, struct weir_str details)
{
    struct weir_transport *t = c->transport;
    end(c, details);
    weir_transport_close(t, false);
}
/* All is said: FIN after what is queued. */
static void finish(struct weir_http_connection *c)
{
    struct weir_transport *t = c->transport;
    uint64_t linger_ms = c->home->delayed_close_timeout_ms;
    weir_stat_add(c->stats, WEIR_HTTP_CX_TX_BYTES_TOTAL, (int64_t)weir_transport_queued(t)); /* leaves when this is gone */
    end(c, WEIR_STR(""));
    weir_transport_finish(t, (uint32_t)(linger_ms < UINT32_MAX ? linger_ms : UINT32_MAX));
}

/* Writing. */

/* No stream, nothing to send, and no reply under way. */
static bool quiet(const struct weir_http_connection *c)
{
    if (c->stream_count > 0 || c->output_wanted) return false;
    return c->codec == NULL || c->closing || weir_codec_idle(c->codec);
}
static void set_blocked(struct weir_http_connection *c, bool blocked)
{
    c->blocked = blocked;
    if (c->codec != NULL) weir_codec_transport_blocked(c->codec, blocked);
}
/* Also of a blocked codec, which yields no bytes: it delivers what was held back and tells streams of their watermarks. */
static void pull(struct weir_http_connection *c)
{
    struct weir_buffer out;
    weir_buffer_init(&out);
    c->output_wanted = false;
    weir_codec_output(c->codec, &out);
    if (!weir_buffer_empty(&out)) weir_transport_write(c->transport, &out);
    weir_buffer_deinit(&out);
    if (c->transport->above_high && !c->blocked) set_blocked(c, true);
}
static void flush(struct weir_deferred *d)
{
    struct weir_http_connection *c = WEIR_CONTAINER_OF(d, struct weir_http_connection, flush);
    if (c->keepalive_failed) {
        close_now(c, WEIR_STR("downstream_local_disconnect(http2_ping_timeout)"));
        return;
    }
    /* What is left of a connection that ends is little, and nobody would ask for it later. */
    bool leaving = c->stream_count == 0 && (c->closing || c->last || c->eof);
    if (leaving && c->blocked) set_blocked(c, false);
    if (c->codec != NULL && c->output_wanted) pull(c);
    if (c->write_end && !c->output_wanted) {
        c->write_end = false;
        weir_transport_shutdown(c->transport);
    }
    if (!quiet(c)) return;
    bool drained = c->draining && c->drain_due_ms == 0;
    if (c->closing || c->eof || c->last || drained) {
        finish(c);
    } else if (!c->at_rest) {
        c->at_rest = true;
        count_bytes(c);
        weir_transport_idle(c->transport);
    }
}

/* Draining: HTTP/1 says so in the next head, HTTP/2 by GOAWAY, twice, so that requests on their way are not lost
 * (RFC 9113 6.8). */
static void arm_timer(struct weir_http_connection *c);
static void drain(struct weir_http_connection *c)
{
    if (c->draining) return;
    c->draining = true;
    if (c->codec == NULL) return;
    if (is_h1(c)) {
        weir_codec_shutdown(c->codec, false);
    } else {
        weir_codec_shutdown(c->codec, c->hcm->drain_timeout_ms == 0);
        if (c->hcm->drain_timeout_ms != 0) {
            c->drain_due_ms = c->worker->timers.clock_ms + c->hcm->drain_timeout_ms;
            arm_timer(c);
        }
    }
    weir_http_connection_wake(c);
}
static void drain_final(struct weir_http_connection *c)
{
    c->draining = true;
    c->drain_due_ms = 0;
    if (c->codec != NULL) weir_codec_shutdown(c->codec, true);
    weir_http_connection_wake(c);
}
void weir_http_connection_last_message(struct weir_http_connection *c)
{
    if (c->codec == NULL || !is_h1(c)) return;
    weir_codec_shutdown(c->codec, false);
}
void weir_http_connection_response_begins(struct weir_http_connection *c, struct weir_stream *s)
{
    if (!c->draining && (weir_connection_drain_close(c->base) || c->duration_over)) {
        if (!c->duration_over) count(c, WEIR_HTTP_CX_DRAIN_CLOSE);
        drain(c);
    }
    if (s->request_ended || s->response_headers == NULL) return;
    /* Of a request whose rest is not here yet nobody knows where the next one starts. */
    count(c, WEIR_HTTP_RQ_RESPONSE_BEFORE_RQ_COMPLETE);
    if (weir_stream_is_tunnel(s)) return;
    weir_http_connection_last_message(c);
}
void weir_http_connection_stream_gone(struct weir_http_connection *c, struct weir_stream *s)
{
    weir_list_remove(&s->node);
    assert(c->stream_count > 0);
    c->stream_count--;
    if (c->transport == NULL || c->stream_count > 0) return;
    c->idle_since_ms = c->worker->timers.clock_ms;
    c->at_rest = false;
    weir_http_connection_wake(c);
}

/* Time. One timer, set to what may be due first and otherwise left to fire early. */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b != 0 && (a == 0 || b < a) ? b : a;
}
static uint64_t idle_due(const struct weir_http_connection *c)
{
    return c->hcm->idle_timeout_ms == 0 ? 0 : c->idle_since_ms + c->hcm->idle_timeout_ms;
}
static uint64_t duration_due(const struct weir_http_connection *c)
{
    return c->hcm->max_connection_duration_ms == 0 || c->duration_over ? 0 : c->started_ms + c->hcm->max_connection_duration_ms;
}
static void arm_timer(struct weir_http_connection *c)
{
    if (c->closing) return;
    uint64_t now = c->worker->timers.clock_ms, idle = idle_due(c);
    if (idle != 0 && c->stream_count > 0) idle = now + c->hcm->idle_timeout_ms;
    uint64_t due = sooner(sooner(idle, duration_due(c)), sooner(c->drain_due_ms, sooner(c->ping_due_ms, c->pong_due_ms)));
    if (due == 0 || (weir_timer_running(&c->timer) && c->timer.due_ms <= due)) return;
    weir_timer_start(&c->worker->timers, &c->timer, due > now ? due - now : 0);
}
static void duration_reached(struct weir_http_connection *c)
{
    c->duration_over = true;
    count(c, WEIR_HTTP_CX_MAX_DURATION_REACHED);
    if (is_h1(c) && c->stream_count == 0) c->closing = true;
    drain(c);
    weir_http_connection_wake(c);
}
static uint64_t ping_interval_ms(const struct weir_http_connection *c)
{
    uint64_t interval = c->home->h2_ping_interval_ms, jitter = interval * c->home->h2_ping_jitter_percent / 100;
    return jitter == 0 ? interval : interval + weir_random_below(&c->worker->random, jitter + 1);
}
/* PING of a quiet HTTP/2 connection (connection_keepalive): a client that does not answer has gone. */
static void keepalive(struct weir_http_connection *c, uint64_t now)
{
    if (c->pong_due_ms != 0 && now >= c->pong_due_ms) {
        if (c->codec->stats != NULL) weir_stat_inc(c->codec->stats, WEIR_H2_STAT_KEEPALIVE_TIMEOUT);
        c->keepalive_failed = true;
        weir_http_connection_wake(c);
        return;
    }
    if (c->ping_due_ms == 0 || now < c->ping_due_ms) return;
    c->ping_due_ms = now + ping_interval_ms(c);
    if (c->pong_due_ms == 0) {
        c->pong_due_ms = now + c->home->h2_ping_timeout_ms;
        weir_codec_ping(c->codec);
    }
}
static void on_pong(void *owner)
{
    struct weir_http_connection *c = owner;
    c->pong_due_ms = 0;
}
static void on_timer(struct weir_timer *t)
{
    struct weir_http_connection *c = WEIR_CONTAINER_OF(t, struct weir_http_connection, timer);
    uint64_t now = c->worker->timers.clock_ms;
    keepalive(c, now);
    if (c->keepalive_failed) return;
    if (c->drain_due_ms != 0 && now >= c->drain_due_ms) drain_final(c);
    if (duration_due(c) != 0 && now >= duration_due(c)) duration_reached(c);
    if (c->stream_count == 0 && idle_due(c) != 0 && now >= idle_due(c)) {
        count(c, WEIR_HTTP_CX_IDLE_TIMEOUT);
        c->closing = true;
        drain_final(c);
    }
    arm_timer(c);
}

/* Codec events. */

/* The newest configuration of the listener's chain: new streams follow it. */
static void refresh_config(struct weir_http_connection *c)
{
    const struct weir_hcm *hcm = weir_connection_config(c->base);
    struct weir_pin *pin = c->base->chain->pin;
    if (hcm == c->hcm && pin == c->pin) return;
    struct weir_pin *old = c->pin;
    c->pin = weir_pin_acquire(pin);
    c->hcm = hcm;
    weir_pin_release(old);
    arm_timer(c);
}
static void on_stream(void *owner, struct weir_codec_stream *cs)
{
    struct weir_http_connection *c = owner;
    refresh_config(c);
    struct weir_stream *s = weir_stream_create(c, cs);
    weir_list_push_back(&c->streams, &s->node);
    c->stream_count++;
    c->requests++;
    if (c->hcm->max_requests_per_connection != 0 && c->requests == c->hcm->max_requests_per_connection) {
        count(c, WEIR_HTTP_CX_MAX_REQUESTS_REACHED);
        drain(c);
    }
}
static void on_output(void *owner)
{
    struct weir_http_connection *c = owner;
    c->output_wanted = true;
    weir_http_connection_wake(c);
}
static void on_read_pause(void *owner, bool pause)
{
    struct weir_http_connection *c = owner;
    weir_transport_read(c->transport, !pause);
}
static void on_draining(void *owner)
{
    struct weir_http_connection *c = owner;
    c->last = true;
    weir_http_connection_wake(c);
}
static void on_write_end(void *owner)
{
    struct weir_http_connection *c = owner;
    c->write_end = true;
    weir_http_connection_wake(c);
}
/* A request that cannot be read gets one answer: through its stream, or raw where none has begun. */
static void answer_error(struct weir_http_connection *c, const struct weir_codec_error *e)
{
    struct weir_stream *s = NULL;
    if (c->stream_count > 0) s = WEIR_CONTAINER_OF(c->streams.prev, struct weir_stream, node);
    if (s != NULL && s->codec != NULL && !s->response_ended) {
        struct weir_local_reply reply = {
            .status = e->status,
            .grpc_status = -1,
            .body = e->body,
            .details = e->details,
            .flags = WEIR_FLAG(DOWNSTREAM_PROTOCOL_ERROR),
        };
        weir_stream_reply_self(s, &reply);
        /* At once, not at the end of the turn: what came in one read with the fault has not left for an upstream yet. */
        if (s->chain.depth[WEIR_REQUEST] == 0 && s->chain.depth[WEIR_RESPONSE] == 0) weir_chain_abort_terminal(s);
    } else if (s == NULL || s->codec == NULL) {
        weir_codec_reply(c->codec, e, weir_worker_date(c->worker), c->hcm->server_name);
    }
}
static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct weir_http_connection *c = owner;
    if (!e->flood) count(c, WEIR_HTTP_CX_PROTOCOL_ERROR);
    c->cut_active |= e->streams_cut;
    if (e != NULL && weir_str_eq(e->details, WEIR_CODEC_DETAILS_PREMATURE_RESETS))
        count(c, WEIR_HTTP_RQ_TOO_MANY_PREMATURE_RESETS);
    if (e != NULL && e->status != 0) answer_error(c, e);
    c->closing = true;
    weir_http_connection_wake(c);
}
static const struct weir_codec_events codec_events = {
    .on_stream = on_stream,
    .on_output = on_output,
    .on_read_pause = on_read_pause,
    .on_draining = on_draining,
    .on_write_end = on_write_end,
    .on_pong = on_pong,
    .on_error = on_error,
};

/* Which version: told by configuration, by ALPN, or by the preface. -1: more bytes are needed. */
static int version_is_h2(const struct weir_http_connection *c, const uint8_t *p, size_t n)
{
    if (c->hcm->codec_type != WEIR_HCM_AUTO) return c->hcm->codec_type == WEIR_HCM_HTTP2;
    const struct weir_tls_info *tls = c->transport->tls;
    if (tls != NULL && weir_str_eq(tls->alpn, WEIR_STR("h2"))) return 1;
    if (tls != NULL && weir_str_eq(tls->alpn, WEIR_STR("http/1.1"))) return 0;
    return weir_h2_preface_check(p, n);
}
static void make_codec(struct weir_http_connection *c, bool h2)
{
    const struct weir_codec_config *config = &c->home->codec;
    c->codec = h2 ? weir_h2_server_create(c->worker, config, &codec_events, c)
                  : weir_h1_server_create(c->worker, config, &codec_events, c);
    struct weir_stats *set = h2 ? c->home->h2_stats : c->home->h1_stats;
    if (set != NULL) c->codec->stats = weir_stats_shard(set, c->worker->index);
    if (set != NULL && h2) weir_h2_stats_touch(c->codec->stats);
    count(c, h2 ? WEIR_HTTP_CX_HTTP2_TOTAL : WEIR_HTTP_CX_HTTP1_TOTAL);
    gauge(c, h2 ? WEIR_HTTP_CX_HTTP2_ACTIVE : WEIR_HTTP_CX_HTTP1_ACTIVE, 1);
    if (c->draining) weir_codec_shutdown(c->codec, false);
    if (h2 && c->home->h2_ping_interval_ms != 0) {
        c->ping_due_ms = c->worker->timers.clock_ms + ping_interval_ms(c);
        arm_timer(c);
    }
}
static void early_input(struct weir_http_connection *c, struct weir_slice bytes)
{
    if (c->early == NULL) {
        c->early = calloc(1, sizeof(*c->early));
        if (c->early == NULL) abort();
        weir_buffer_init(c->early);
    }
    weir_buffer_push(c->early, bytes);
    uint8_t first[24];
    size_t n = weir_buffer_copy_out(c->early, 0, first, sizeof(first));
    int h2 = version_is_h2(c, first, n);
    if (h2 < 0) return;
    struct weir_buffer *early = c->early;
    c->early = NULL;
    make_codec(c, h2);
    while (!weir_buffer_empty(early)) {
        struct weir_slice s = *weir_buffer_slice(early, 0);
        if (s.block != NULL) weir_block_acquire(s.block);
        weir_buffer_consume(early, s.n);
        weir_codec_input(c->codec, s);
    }
    weir_buffer_deinit(early);
    free(early);
}

/* Transport events. */

static void on_read(void *owner, struct weir_slice bytes)
{
    struct weir_http_connection *c = owner;
    c->at_rest = false;
    if (c->closing) {
        if (bytes.block != NULL) weir_block_release(bytes.block);
        return;
    }
    if (c->codec == NULL) {
        int h2 = c->early != NULL ? -1 : version_is_h2(c, bytes.p, bytes.n);
        if (h2 < 0) {
            early_input(c, bytes);
            return;
        }
        make_codec(c, h2);
    }
    weir_codec_input(c->codec, bytes);
}
static void on_eof(void *owner)
{
    struct weir_http_connection *c = owner;
    c->eof = true;
    c->remote_close = true;
    c->cut_active = c->codec != NULL && !is_h1(c) && c->stream_count > 0; /* it does not half-close */
    if (c->codec != NULL) weir_codec_input_eof(c->codec);
    /* An HTTP/2 client that sends nothing more cannot even open its windows: it has left. */
    if (!is_h1(c)) {
        if (c->stream_count > 0) weir_codec_fail(c->codec, WEIR_RESET_CONNECTION, WEIR_STR("downstream_remote_disconnect"));
        c->closing = true;
    }
    weir_http_connection_wake(c);
}
static void on_drained(void *owner)
{
    struct weir_http_connection *c = owner;
    if (!c->blocked) return;
    set_blocked(c, false);
    weir_http_connection_wake(c);
}
static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct weir_http_connection *c = owner;
    (void)reason;
    c->remote_close = true;
    end(c, WEIR_STR("downstream_remote_disconnect"));
}
static const struct weir_transport_events transport_events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

/* The network filter. */

static enum weir_network_verdict on_connection(struct weir_connection *base)
{
    struct weir_http_connection *c = weir_connection_state(base);
    const struct weir_hcm *hcm = weir_connection_config(base);
    *c = (struct weir_http_connection){
        .base = base,
        .worker = base->worker,
        .transport = base->transport,
        .home = hcm,
        .hcm = hcm,
        .home_pin = weir_pin_acquire(base->chain->pin),
        .pin = weir_pin_acquire(base->chain->pin),
        .stats = weir_stats_shard(hcm->stats, base->worker->index),
        .flush = {.run = flush},
        .timer = {.on_due = on_timer},
        .started_ms = base->worker->timers.clock_ms,
        .idle_since_ms = base->worker->timers.clock_ms,
        .at_rest = true,
    };
    weir_list_init(&c->streams);
    count(c, WEIR_HTTP_CX_TOTAL);
    gauge(c, WEIR_HTTP_CX_ACTIVE, 1);
    if (base->transport->tls != NULL) {
        count(c, WEIR_HTTP_CX_SSL_TOTAL);
        gauge(c, WEIR_HTTP_CX_SSL_ACTIVE, 1);
    }
    uint32_t limit = base->chain->buffer_limit_bytes;
    weir_transport_attach(c->transport, &transport_events, c);
    weir_transport_set_water(c->transport, limit, limit / 2);
    arm_timer(c);
    weir_transport_read(c->transport, true);
    return WEIR_NETWORK_CONTINUE;
}
/* A request that is on its way while draining begins must not meet a closed connection: one whose bytes are here already, and
 * the first one of whoever has just connected. It has this long to come, and its answer is the last. */
#define FIRST_REQUEST_MS 1000u
static bool request_may_be_coming(const struct weir_http_connection *c)
{
    if (c->codec != NULL && !is_h1(c)) return false; /* GOAWAY tells */
    return c->requests == 0 || weir_transport_unread(c->transport);
}
static void on_drain(struct weir_connection *base)
{
    struct weir_http_connection *c = weir_connection_state(base);
    bool at_rest = c->stream_count == 0 && (c->codec == NULL || weir_codec_idle(c->codec));
    if (at_rest && !c->draining && request_may_be_coming(c)) {
        /* Its answer draws the close (weir_http_connection_response_begins); may be asked for more than once. */
        if (c->drain_due_ms == 0) c->drain_due_ms = c->worker->timers.clock_ms + FIRST_REQUEST_MS;
        arm_timer(c);
    } else if (at_rest) {
        c->closing = true;
        drain_final(c);
    } else {
        drain(c);
    }
}
static void on_deadline(struct weir_connection *base)
{
    close_now(weir_connection_state(base), WEIR_STR("connection_closed_locally"));
}
const struct weir_network_filter weir_network_filter_http = {
    .name = "envoy.filters.network.http_connection_manager",
    .terminal = true,
    .state_size = sizeof(struct weir_http_connection),
    .on_connection = on_connection,
    .on_drain = on_drain,
    .on_deadline = on_deadline,
};
