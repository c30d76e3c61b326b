/* A stream's life: events of its codec in, the terminal filter's response out, and one end. What happens between head and
 * filters is in stream_request.c. */
#include "dataplane/http/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/http/connection.h"

static void settle(struct weir_deferred *d);

struct weir_stream *weir_stream_create(struct weir_http_connection *c, struct weir_codec_stream *codec)
{
    struct weir_worker *w = c->worker;
    struct weir_arena *arena = weir_arena_pool_take(&w->arenas);
    struct weir_stream *s = WEIR_NEW(arena, struct weir_stream, 1);
    const struct weir_transport *t = c->transport;
    s->worker = w;
    s->arena = arena;
    s->connection = c;
    s->codec = codec;
    s->hcm = c->hcm;
    s->hcm_pin = weir_pin_acquire(c->pin);
    s->stats = c->hcm == c->home ? c->stats : weir_stats_shard(c->hcm->stats, w->index);
    s->listener_stats = weir_stats_shard(c->hcm->listener_stats, w->index);
    s->buffer_limit[WEIR_REQUEST] = s->buffer_limit[WEIR_RESPONSE] = c->base->chain->buffer_limit_bytes;
    s->settle.run = settle;
    s->route.cluster_slot = WEIR_CLUSTER_SLOT_NONE;

    struct weir_request *r = &s->request;
    r->arena = arena;
    r->protocol = c->codec->kind == WEIR_CODEC_H2 ? WEIR_HTTP2 : WEIR_HTTP11;
    weir_address_kept_get(&t->remote, &s->direct_remote);
    weir_address_kept_get(&t->local, &s->local);
    r->downstream_direct_remote = &s->direct_remote;
    r->downstream_remote = s->direct_remote;
    r->downstream_local = &s->local;
    r->downstream_local_restored = t->local_restored;
    r->tls = t->tls;
    r->connection_id = t->id;
    r->requested_server_name = c->base->server_name;
    r->listener_name = c->base->chain->listener_name;
    r->filter_chain_name = c->base->chain->name;
    r->start_ns = w->now_ns;
    r->start_wall_ns = w->wall_ns;
    r->random = weir_random_u64(&w->random);

    codec->events = &weir_stream_codec_events;
    codec->ctx = s;
    codec->arena = arena;
    weir_stream_count(s, WEIR_HTTP_RQ_TOTAL);
    weir_stream_count(s, r->protocol == WEIR_HTTP2 ? WEIR_HTTP_RQ_HTTP2_TOTAL : WEIR_HTTP_RQ_HTTP1_TOTAL);
    weir_stat_add(s->stats, WEIR_HTTP_RQ_ACTIVE, 1);
    weir_stream_timeouts_start(s);
    return s;
}

/* The end. */

static void destroy(struct weir_stream *s)
{
    struct weir_worker *w = s->worker;
    struct weir_request *r = &s->request;
    weir_stream_timeouts_stop(s);
    r->end_ns = w->now_ns;
    weir_chain_complete(s);
    weir_stat_add(s->stats, WEIR_HTTP_RQ_ACTIVE, -1);
    weir_stat_record(s->stats, WEIR_HTTP_RQ_TIME, (r->end_ns - r->start_ns) / 1000000u);
    if (r->health_check) weir_stream_count(s, WEIR_HTTP_TRACING_HEALTH_CHECK);
    if (s->upgrade_counted) weir_stat_add(s->stats, WEIR_HTTP_CX_UPGRADES_ACTIVE, -1);
    for (uint32_t i = 0; i < s->hcm->access_log_count; i++) {
        const struct weir_access_sink *log = &s->hcm->access_logs[i];
        log->write(log->config, w, r, s->local_reply_body);
    }
    weir_chain_destroy(s);
    if (s->cluster != NULL) weir_cluster_release(s->cluster);
    if (s->route_pin != NULL) weir_pin_release(s->route_pin);
    weir_http_connection_stream_gone(s->connection, s);
    weir_pin_release(s->hcm_pin);
    weir_arena_pool_give(&w->arenas, s->arena);
}
static void settle(struct weir_deferred *d)
{
    struct weir_stream *s = WEIR_CONTAINER_OF(d, struct weir_stream, settle);
    if (s->ended) {
        destroy(s);
    } else if (s->terminal_abort) {
        s->terminal_abort = false;
        weir_chain_abort_terminal(s);
    }
}
static void set_ended(struct weir_stream *s)
{
    if (s->ended) return;
    s->ended = true;
    s->request_dropped = true;
    s->chain.stopped[WEIR_REQUEST] = s->chain.stopped[WEIR_RESPONSE] = true;
    weir_stream_timeouts_stop(s);
    weir_worker_defer(s->worker, &s->settle);
}
/* Keeps what the codec counted; the pointer is not used any more. */
static void drop_codec(struct weir_stream *s)
{
    const struct weir_codec_stream *cs = s->codec;
    struct weir_request *r = &s->request;
    r->request_header_bytes = cs->header_bytes_rx;
    r->response_header_bytes = cs->header_bytes_tx;
    r->downstream_rx_wire_bytes = cs->wire_bytes_rx;
    r->downstream_tx_wire_bytes = cs->wire_bytes_tx;
    s->codec = NULL;
}
static void reset_codec(struct weir_stream *s, enum weir_reset reason)
{
    if (s->codec == NULL) return;
    struct weir_codec_stream *cs = s->codec;
    drop_codec(s);
    weir_codec_stream_reset(cs, reason);
}
void weir_stream_end_with_reset(struct weir_stream *s, enum weir_reset reason, struct weir_str details, uint64_t flags)
{
    if (s->ended) return;
    s->request.flags |= flags;
    if (details.n > 0) s->request.code_details = details;
    weir_stream_count(s, WEIR_HTTP_RQ_RX_RESET);
    weir_stream_count(s, WEIR_HTTP_RQ_TX_RESET);
    weir_http_connection_last_message(s->connection);
    reset_codec(s, reason);
    set_ended(s);
}
void weir_stream_abandon(struct weir_stream *s, enum weir_reset reason, struct weir_str details)
{
    (void)reason;
    if (!s->ended && !s->response_ended && details.n > 0) s->request.code_details = details;
    if (s->codec != NULL) drop_codec(s);
    set_ended(s);
    weir_worker_undefer(&s->settle);
    destroy(s);
}
bool weir_stream_is_tunnel(const struct weir_stream *s)
{
    return s->upgrade && (s->request.status == 101 || (s->connect && s->request.status / 100 == 2));
}
static void response_done(struct weir_stream *s)
{
    s->response_ended = true;
    s->request.last_downstream_tx_ns = s->worker->now_ns;
    if (weir_stream_is_tunnel(s) && !s->request_ended && !s->terminal_over) return; /* each direction ends by itself */
    s->terminal_over = true;
    if (s->request_ended) return; /* the codec says when all has left */
    weir_stream_count(s, WEIR_HTTP_RQ_RX_RESET);
    reset_codec(s, WEIR_RESET_NONE);
    set_ended(s);
}

/* The far end of the response direction. */

static uint32_t status_of(const struct weir_headers *h)
{
    struct weir_str v = weir_headers_get(h, WEIR_H_STATUS);
    uint32_t status = 0;
    for (size_t i = 0; i < v.n && i < 4; i++) status = status * 10 + (uint32_t)(v.p[i] - '0');
    return status;
}
void weir_stream_count_status(struct weir_stream *s, uint32_t status)
{
    if (s->request.health_check || status < 100 || status >= 600) return;
    uint32_t class = status / 100 - 1;
    weir_stat_inc(s->stats, WEIR_HTTP_RQ_1XX + class);
    weir_stat_inc(s->stats, WEIR_HTTP_RQ_COMPLETED);
    weir_stat_inc(s->listener_stats, WEIR_HTTP_LISTENER_RQ_1XX + class);
    weir_stat_inc(s->listener_stats, WEIR_HTTP_LISTENER_RQ_COMPLETED);
}
void weir_stream_send_headers(struct weir_stream *s, bool end)
{
    if (s->ended || s->codec == NULL) return;
    struct weir_headers *h = s->response_headers;
    struct weir_request *r = &s->request;
    r->status = status_of(h);
    weir_stream_mutate_response(s, h);
    s->response_started = true;
    r->first_downstream_tx_ns = s->worker->now_ns;
    weir_stream_touch(s);
    weir_stream_count_status(s, r->status);
    weir_http_connection_response_begins(s->connection, s);
    if (weir_codec_stream_send_headers(s->codec, h, end) != WEIR_OK) {
        weir_stream_end_with_reset(s, WEIR_RESET_LOCAL, WEIR_STR("invalid_response_headers"), 0);
        return;
    }
    if (end) response_done(s);
}
void weir_stream_send_data(struct weir_stream *s, struct weir_buffer *data, bool end)
{
    if (s->ended || s->codec == NULL || (data->bytes == 0 && !end)) return;
    s->request.response_body_bytes += data->bytes;
    weir_stream_touch(s);
    weir_codec_stream_send_data(s->codec, data, end);
    if (end) response_done(s);
}
void weir_stream_send_trailers(struct weir_stream *s, struct weir_headers *trailers)
{
    if (s->ended || s->codec == NULL) return;
    if (trailers->count == 0) {
        struct weir_buffer none;
        weir_buffer_init(&none);
        weir_stream_send_data(s, &none, true);
        return;
    }
    weir_stream_touch(s);
    weir_codec_stream_send_trailers(s->codec, trailers);
    response_done(s);
}

/* The terminal filter's response. */

static bool response_wanted(const struct weir_stream *s)
{
    return !s->ended && !s->terminal_over && !s->reply_pending;
}
void weir_stream_respond_informational(struct weir_stream *s, struct weir_headers *h)
{
    if (!response_wanted(s) || s->codec == NULL || s->response_started || !s->hcm->proxy_100_continue) return;
    weir_stream_touch(s);
    weir_stream_count_status(s, status_of(h));
    weir_codec_stream_send_informational(s->codec, h);
}
void weir_stream_respond_headers(struct weir_stream *s, struct weir_headers *h, bool end)
{
    if (!response_wanted(s)) return;
    s->response_headers = h;
    s->request.response_headers = h;
    weir_stream_touch(s);
    weir_chain_headers(s, WEIR_RESPONSE, 0, end);
}
void weir_stream_respond_data(struct weir_stream *s, struct weir_buffer *data, bool end)
{
    if (response_wanted(s)) {
        weir_stream_touch(s);
        weir_chain_data(s, WEIR_RESPONSE, 0, data, end);
    }
    weir_buffer_deinit(data);
}
void weir_stream_respond_trailers(struct weir_stream *s, struct weir_headers *trailers)
{
    if (!response_wanted(s)) return;
    s->response_trailers = trailers;
    s->request.response_trailers = trailers;
    weir_stream_touch(s);
    weir_chain_trailers(s, WEIR_RESPONSE, 0, trailers);
}
void weir_stream_respond_reset(struct weir_stream *s, struct weir_str details, uint64_t flags)
{
    if (!response_wanted(s)) return;
    weir_stream_end_with_reset(s, WEIR_RESET_LOCAL, details, flags);
}

/* Answers from elsewhere than the terminal filter. */

static void reply(struct weir_stream *s, const struct weir_local_reply *reply, bool by_terminal)
{
    if (s->ended) return;
    s->terminal_over = true;
    s->request_dropped = true;
    s->chain.stopped[WEIR_REQUEST] = true;
    if (!by_terminal) {
        s->terminal_abort = true;
        weir_worker_defer(s->worker, &s->settle);
    }
    if (s->response_started) {
        weir_stream_end_with_reset(s, WEIR_RESET_LOCAL, reply->details, reply->flags);
    } else if (s->chain.depth[WEIR_RESPONSE] > 0) {
        s->pending_reply = *reply;
        s->reply_pending = true;
    } else {
        weir_local_reply_send(s, reply);
    }
}
void weir_stream_reply_self(struct weir_stream *s, const struct weir_local_reply *r)
{
    reply(s, r, false);
}
enum weir_verdict weir_stream_reply(struct weir_stream *s, const struct weir_local_reply *r)
{
    const struct weir_chain_filter *cf = s->chain.running[WEIR_RESPONSE];
    if (cf == NULL) cf = s->chain.running[WEIR_REQUEST];
    /* Outside of all callbacks it can only be the terminal filter: the others have passed the request on or hold it. */
    reply(s, r, cf == NULL || cf->filter.table->terminal);
    return WEIR_ENDED;
}
enum weir_verdict weir_stream_reset(struct weir_stream *s, struct weir_str details, uint64_t flags)
{
    weir_stream_end_with_reset(s, WEIR_RESET_LOCAL, details, flags);
    return WEIR_ENDED;
}

/* Codec events. */

static void request_done(struct weir_stream *s)
{
    s->request_ended = true;
    weir_stream_timeouts_request_done(s);
}
static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct weir_stream *s = ctx;
    if (s->ended) return;
    s->request.last_downstream_rx_ns = s->worker->now_ns;
    weir_stream_touch(s);
    if (end) request_done(s);
    weir_stream_on_request_headers(s, h, end);
}
static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct weir_stream *s = ctx;
    if (s->ended) return;
    s->request.request_body_bytes += data->bytes;
    s->request.last_downstream_rx_ns = s->worker->now_ns;
    weir_stream_touch(s);
    if (end) request_done(s);
    if (s->request_dropped) return;
    weir_chain_data(s, WEIR_REQUEST, 0, data, end);
}
static void on_trailers(void *ctx, struct weir_headers *h)
{
    struct weir_stream *s = ctx;
    if (s->ended) return;
    s->request.last_downstream_rx_ns = s->worker->now_ns;
    s->request_trailers = h;
    s->request.request_trailers = h;
    weir_stream_touch(s);
    request_done(s);
    if (s->request_dropped) return;
    weir_chain_trailers(s, WEIR_REQUEST, 0, h);
}
void weir_stream_update_blocked(struct weir_stream *s)
{
    bool blocked = s->send_blocked || s->chain.overfull[WEIR_RESPONSE];
    if (blocked == s->told_blocked) return;
    s->told_blocked = blocked;
    weir_chain_blocked(s, blocked);
}
static void on_send_blocked(void *ctx)
{
    struct weir_stream *s = ctx;
    s->send_blocked = true;
    weir_stream_update_blocked(s);
}
static void on_send_ready(void *ctx)
{
    struct weir_stream *s = ctx;
    s->send_blocked = false;
    weir_stream_touch(s);
    weir_stream_update_blocked(s);
}
/* Flag and %RESPONSE_CODE_DETAILS% of a stream that ended before its response. */
static void note_reset(struct weir_request *r, enum weir_reset reason, struct weir_str details)
{
    switch (reason) {
    case WEIR_RESET_REMOTE:
        r->flags |= WEIR_FLAG(DOWNSTREAM_REMOTE_RESET);
        r->code_details = details.n > 0 ? details : WEIR_STR("http2.remote_reset");
        break;
    case WEIR_RESET_REMOTE_REFUSED:
        r->flags |= WEIR_FLAG(DOWNSTREAM_REMOTE_RESET);
        r->code_details = WEIR_STR("http2.remote_refuse");
        break;
    case WEIR_RESET_LIMIT:
        r->flags |= WEIR_FLAG(DOWNSTREAM_REMOTE_RESET);
        r->code_details = details;
        break;
    case WEIR_RESET_PROTOCOL:
        r->flags |= WEIR_FLAG(DOWNSTREAM_PROTOCOL_ERROR);
        r->code_details = details;
        break;
    case WEIR_RESET_CONNECTION:
        r->flags |= WEIR_FLAG(DOWNSTREAM_TERMINATION);
        r->code_details = details.n > 0 ? details : WEIR_STR("downstream_remote_disconnect");
        break;
    default: break; /* NO_ERROR: the client only changed its mind */
    }
}
static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct weir_stream *s = ctx;
    drop_codec(s);
    if (s->ended) return;
    if (reason != WEIR_RESET_NONE) {
        weir_stream_count(s, WEIR_HTTP_RQ_RX_RESET);
        if (!s->response_ended) note_reset(&s->request, reason, details);
    }
    set_ended(s);
}
const struct weir_stream_events weir_stream_codec_events = {
    .on_headers = on_headers,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_send_blocked = on_send_blocked,
    .on_send_ready = on_send_ready,
    .on_closed = on_closed,
};

/* filter.h: asking. */

struct weir_request *weir_stream_request(struct weir_stream *s)
{
    return &s->request;
}
struct weir_headers *weir_stream_request_headers(struct weir_stream *s)
{
    return s->request_headers;
}
struct weir_headers *weir_stream_response_headers(struct weir_stream *s)
{
    return s->response_headers;
}
struct weir_arena *weir_stream_arena(struct weir_stream *s)
{
    return s->arena;
}
struct weir_worker *weir_stream_worker(struct weir_stream *s)
{
    return s->worker;
}
uint64_t weir_stream_buffer_limit(struct weir_stream *s)
{
    return s->connection->base->chain->buffer_limit_bytes;
}
void weir_stream_set_request_limit(struct weir_stream *s, uint64_t bytes)
{
    s->buffer_limit[WEIR_REQUEST] = bytes;
}
void *weir_stream_connection_state(struct weir_stream *s, const void *key, size_t size)
{
    struct weir_http_connection *c = s->connection;
    for (struct weir_http_state *at = c->states; at != NULL; at = at->next) {
        if (at->key == key) return at->data;
    }
    struct weir_http_state *made = calloc(1, sizeof(*made) + size);
    if (made == NULL) abort();
    made->key = key;
    made->hcm_pin = weir_pin_acquire(s->hcm_pin);
    made->route_pin = s->route_pin != NULL ? weir_pin_acquire(s->route_pin) : NULL;
    made->next = c->states;
    c->states = made;
    return made->data;
}
bool weir_stream_is_upgrade(struct weir_stream *s)
{
    return s->upgrade;
}
bool weir_stream_request_ended(const struct weir_stream *s)
{
    return s->request_ended;
}
void weir_stream_pause_request(struct weir_stream *s, bool pause)
{
    assert(pause || s->request_pauses > 0);
    s->request_pauses += pause ? 1 : (uint32_t)-1;
    if (s->request_pauses != (pause ? 1u : 0u)) return;
    weir_stream_count(s, pause ? WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL : WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL);
    if (s->codec != NULL) weir_codec_stream_read_pause(s->codec, pause);
}
