/* One try of a request: from a host to a stream on one of its connections. */
#include "dataplane/upstream/attempt.h"

#include <assert.h>

#include "dataplane/upstream/connection.h"

static struct weir_worker *worker_of(const struct weir_attempt *a)
{
    return a->host->cluster->worker;
}

/* What is worth knowing of the stream once it is gone. */
static void stream_forget(struct weir_attempt *a)
{
    a->wire_rx = a->stream->wire_bytes_rx;
    a->wire_tx = a->stream->wire_bytes_tx;
    a->header_rx = a->stream->header_bytes_rx;
    a->header_tx = a->stream->header_bytes_tx;
    a->stream = NULL;
}

/* Both directions have ended, and all of the request has left: the stream is let go before its end is told, because whoever
 * hears of the end may take everything down. Otherwise the codec's on_closed comes, or the owner gives up. */
static void settle(struct weir_attempt *a)
{
    if (a->stream == NULL || !a->request_ended || !a->response_ended || a->trailers_sent) return;
    if (weir_codec_stream_send_queued(a->stream) > 0) return;
    struct weir_codec_stream *s = a->stream;
    stream_forget(a);
    weir_upstream_connection_orphan(a->connection, s);
    a->connection = NULL;
}

static void received(struct weir_attempt *a)
{
    a->last_rx_ns = worker_of(a)->now_ns;
    if (a->first_rx_ns == 0) a->first_rx_ns = a->last_rx_ns;
}

static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct weir_attempt *a = ctx;
    received(a);
    a->protocol = a->stream->protocol;
    if (end) {
        a->response_ended = true;
        settle(a);
    }
    a->events->on_headers(a->ctx, a, h, end);
}

static void on_informational(void *ctx, struct weir_headers *h)
{
    struct weir_attempt *a = ctx;
    received(a);
    if (a->events->on_informational != NULL) a->events->on_informational(a->ctx, a, h);
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct weir_attempt *a = ctx;
    received(a);
    if (end) {
        a->response_ended = true;
        settle(a);
    }
    a->events->on_data(a->ctx, a, data, end);
}

static void on_trailers(void *ctx, struct weir_headers *h)
{
    struct weir_attempt *a = ctx;
    received(a);
    a->response_ended = true;
    settle(a);
    a->events->on_trailers(a->ctx, a, h);
}

static void on_send_blocked(void *ctx)
{
    struct weir_attempt *a = ctx;
    a->events->on_blocked(a->ctx, a, true);
}

static void on_send_ready(void *ctx)
{
    struct weir_attempt *a = ctx;
    a->events->on_blocked(a->ctx, a, false);
}

static enum weir_upstream_reset reset_of(enum weir_reset reason)
{
    switch (reason) {
    case WEIR_RESET_LOCAL: return WEIR_UPSTREAM_LOCAL_RESET;
    case WEIR_RESET_LOCAL_REFUSED: return WEIR_UPSTREAM_LOCAL_REFUSED;
    case WEIR_RESET_REMOTE_REFUSED: return WEIR_UPSTREAM_REMOTE_REFUSED;
    case WEIR_RESET_CONNECTION: return WEIR_UPSTREAM_CONNECTION_TERMINATION;
    case WEIR_RESET_PROTOCOL:
    case WEIR_RESET_LIMIT: return WEIR_UPSTREAM_PROTOCOL_ERROR;
    case WEIR_RESET_CONNECT: return WEIR_UPSTREAM_CONNECT_ERROR;
    case WEIR_RESET_NONE:
    case WEIR_RESET_REMOTE:
    case WEIR_RESET_REMOTE_NO_ERROR: break;
    }
    return WEIR_UPSTREAM_REMOTE_RESET;
}

static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct weir_attempt *a = ctx;
    struct weir_upstream_connection *c = a->connection;
    (void)details;
    struct weir_str failure = {0};
    if (c->transport != NULL && reason == WEIR_RESET_CONNECTION) failure = weir_arena_str(a->arena, c->transport->failure_reason);
    stream_forget(a);
    a->connection = NULL;
    weir_upstream_connection_done(c, reason);
    if (reason == WEIR_RESET_NONE)
        a->events->on_closed(a->ctx, a);
    else
        a->events->on_reset(a->ctx, a, reset_of(reason), failure);
}

static const struct weir_stream_events stream_events = {
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_send_blocked = on_send_blocked,
    .on_send_ready = on_send_ready,
    .on_closed = on_closed,
};

/* ---- starting ---- */

static bool stream_open(struct weir_attempt *a, struct weir_upstream_connection *c)
{
    a->stream = weir_upstream_connection_open(c, &stream_events, a, a->arena);
    if (a->stream == NULL) {
        /* The codec knows of an end that the pool does not yet. */
        weir_upstream_connection_drain(c);
        return false;
    }
    a->connection = c;
    a->connected_ns = c->connected_ns;
    a->connection_id = c->transport->id;
    a->protocol = c->codec->kind == WEIR_CODEC_H2 ? WEIR_HTTP2 : WEIR_HTTP11;
    if (a->raw) a->protocol = WEIR_TCP;
    return true;
}

static enum weir_attempt_state acquire(struct weir_attempt *a, struct weir_pool *p)
{
    for (;;) {
        struct weir_upstream_connection *c = NULL;
        switch (weir_pool_acquire(p, &a->wait, &c)) {
        case WEIR_POOL_OVERFLOW: return WEIR_ATTEMPT_OVERFLOW;
        case WEIR_POOL_WAITING: return WEIR_ATTEMPT_WAITING;
        case WEIR_POOL_READY: break;
        }
        if (stream_open(a, c)) return WEIR_ATTEMPT_READY;
    }
}

static void wait_ready(struct weir_pool_wait *w, struct weir_upstream_connection *c)
{
    struct weir_attempt *a = WEIR_CONTAINER_OF(w, struct weir_attempt, wait);
    struct weir_pool *p = c->pool;
    if (!stream_open(a, c)) {
        enum weir_attempt_state again = acquire(a, p);
        if (again == WEIR_ATTEMPT_WAITING) return;
        if (again == WEIR_ATTEMPT_OVERFLOW) {
            a->events->on_reset(a->ctx, a, WEIR_UPSTREAM_OVERFLOW, (struct weir_str){0});
            return;
        }
    }
    a->events->on_ready(a->ctx, a);
}

static void wait_failed(struct weir_pool_wait *w, enum weir_upstream_reset why, struct weir_str transport_failure)
{
    struct weir_attempt *a = WEIR_CONTAINER_OF(w, struct weir_attempt, wait);
    a->events->on_reset(a->ctx, a, why, weir_arena_str(a->arena, transport_failure));
}

static void key_make(const struct weir_attempt_options *o, const struct weir_cluster_config *config, struct weir_pool_key *key)
{
    *key = (struct weir_pool_key){.priority = o->priority, .sni = o->sni, .san = o->san};
    if (o->raw) {
        key->kind = WEIR_POOL_RAW;
        return;
    }
    switch (config->protocol) {
    case WEIR_UPSTREAM_H1: key->kind = WEIR_POOL_H1; break;
    case WEIR_UPSTREAM_H2: key->kind = WEIR_POOL_H2; break;
    case WEIR_UPSTREAM_AUTO: key->kind = WEIR_POOL_AUTO; break;
    case WEIR_UPSTREAM_DOWNSTREAM: key->kind = o->downstream == WEIR_HTTP2 ? WEIR_POOL_H2 : WEIR_POOL_H1; break;
    }
}

enum weir_attempt_state weir_attempt_start(struct weir_attempt *a, const struct weir_attempt_options *o,
                                           const struct weir_attempt_events *events, void *ctx)
{
    *a = (struct weir_attempt){.events = events, .ctx = ctx, .arena = o->arena, .host = o->host, .priority = o->priority, .raw = o->raw};
    a->wait.on_ready = wait_ready;
    a->wait.on_failed = wait_failed;
    a->start_ns = worker_of(a)->now_ns;
    struct weir_pool_key key;
    key_make(o, o->host->cluster->config, &key);
    struct weir_pool *p = weir_pool_get(o->host, &key);
    return p != NULL ? acquire(a, p) : WEIR_ATTEMPT_NO_POOL;
}

/* ---- sending ---- */

static void sent(struct weir_attempt *a, bool end)
{
    a->last_tx_ns = worker_of(a)->now_ns;
    if (a->first_tx_ns == 0) a->first_tx_ns = a->last_tx_ns;
    a->request_ended = a->request_ended || end;
}

enum weir_err weir_attempt_send_headers(struct weir_attempt *a, const struct weir_headers *h, bool end)
{
    assert(a->stream != NULL);
    enum weir_err err = weir_codec_stream_send_headers(a->stream, h, end);
    if (err == WEIR_OK) sent(a, end);
    return err;
}

void weir_attempt_send_data(struct weir_attempt *a, struct weir_buffer *data, bool end)
{
    assert(a->stream != NULL && !a->request_ended);
    sent(a, end);
    weir_codec_stream_send_data(a->stream, data, end);
}

void weir_attempt_send_trailers(struct weir_attempt *a, const struct weir_headers *h)
{
    assert(a->stream != NULL && !a->request_ended);
    a->trailers_sent = true;
    sent(a, true);
    weir_codec_stream_send_trailers(a->stream, h);
}

void weir_attempt_pause(struct weir_attempt *a, bool pause)
{
    if (a->stream != NULL) weir_codec_stream_read_pause(a->stream, pause);
}

void weir_attempt_cancel(struct weir_attempt *a)
{
    if (a->host == NULL) return;
    weir_pool_cancel(&a->wait);
    if (a->stream != NULL) {
        struct weir_upstream_connection *c = a->connection;
        struct weir_codec_stream *s = a->stream;
        stream_forget(a);
        a->connection = NULL;
        if (a->tunnel && a->request_ended && a->response_ended && !a->trailers_sent) {
            weir_upstream_connection_leave_tail(c, s);
        } else {
            weir_codec_stream_reset(s, WEIR_RESET_LOCAL);
            weir_upstream_connection_done(c, WEIR_RESET_LOCAL);
        }
    }
    struct weir_cluster_host *host = a->host;
    a->host = NULL;
    weir_cluster_host_release(host);
}

const struct weir_transport *weir_attempt_transport(const struct weir_attempt *a)
{
    return a->connection != NULL ? a->connection->transport : NULL;
}
