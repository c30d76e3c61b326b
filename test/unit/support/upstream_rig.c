/* See upstream_rig.h. */
#include "test/unit/support/upstream_rig.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- transports ---- */

static struct upstream_peer *peer_of(struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct upstream_peer, t);
}

static void h2_input(struct upstream_peer *p, const void *bytes, size_t n)
{
    struct weir_block *b = weir_block_create(NULL, n);
    memcpy(b->data, bytes, n);
    weir_codec_input(p->h2, ((struct weir_slice){b->data, n, b}));
}

static void op_read(struct weir_transport *t, bool on)
{
    peer_of(t)->reading = on;
}
static void op_write(struct weir_transport *t, struct weir_buffer *b)
{
    struct upstream_peer *p = peer_of(t);
    assert_false(p->closed);
    assert_true(p->n + b->bytes < UPSTREAM_TEXT_MAX);
    size_t n = weir_buffer_copy_out(b, 0, p->text + p->n, b->bytes);
    t->tx_bytes += n;
    weir_buffer_consume(b, b->bytes);
    p->n += n;
    p->text[p->n] = '\0';
}
static size_t op_queued(const struct weir_transport *t)
{
    return peer_of((struct weir_transport *)(uintptr_t)t)->queued;
}
static void op_nothing(struct weir_transport *t)
{
    (void)t;
}
static void op_shutdown(struct weir_transport *t)
{
    peer_of(t)->fin = true;
}
static void op_close(struct weir_transport *t, bool reset)
{
    assert_false(peer_of(t)->closed);
    peer_of(t)->closed = true;
    peer_of(t)->reset = reset;
}
static void op_finish(struct weir_transport *t, uint32_t linger_ms)
{
    (void)linger_ms;
    op_close(t, false);
    peer_of(t)->finished = true;
}
static const struct weir_transport_ops transport_ops = {
    .read = op_read,
    .write = op_write,
    .queued = op_queued,
    .notify_flushed = op_nothing,
    .shutdown = op_shutdown,
    .close = op_close,
    .finish = op_finish,
    .idle = op_nothing,
};

/* The factory has no context: the rig is found among what the worker keeps. */
static void local_destroy(struct weir_worker_local *l)
{
    (void)l;
}
static struct upstream_rig *rig_of(struct weir_worker *w)
{
    for (struct weir_list *at = w->locals.next; at != &w->locals; at = at->next) {
        struct weir_worker_local *l = WEIR_CONTAINER_OF(at, struct weir_worker_local, node);
        if (l->destroy == local_destroy) return WEIR_CONTAINER_OF(l, struct upstream_rig, local);
    }
    abort();
}

static struct weir_transport *op_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                         const struct weir_transport_events *events, void *owner)
{
    struct upstream_rig *r = rig_of(w);
    assert_true(r->peer_count < UPSTREAM_PEERS_MAX);
    struct upstream_peer *p = calloc(1, sizeof(*p));
    p->rig = r;
    p->remote = *o->remote;
    assert_true(o->sni.n < sizeof(p->sni_text) && o->alpn.n < sizeof(p->alpn_text));
    if (o->sni.n > 0) memcpy(p->sni_text, o->sni.p, o->sni.n);
    if (o->alpn.n > 0) memcpy(p->alpn_text, o->alpn.p, o->alpn.n);
    p->sni = (struct weir_str){p->sni_text, o->sni.n};
    p->alpn = (struct weir_str){p->alpn_text, o->alpn.n};
    p->t = (struct weir_transport){.ops = &transport_ops, .events = events, .owner = owner, .worker = w,
                                   .id = weir_worker_next_connection_id(w)};
    weir_address_keep(&p->t.remote, o->remote);
    r->peers[r->peer_count++] = p;
    return &p->t;
}
static const struct weir_transport_factory factory = {.connect = op_connect};

/* ---- the far end's HTTP/2 ---- */

static void server_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct upstream_peer_stream *s = ctx;
    (void)h;
    s->headers = true;
    s->ended = s->ended || end;
}
static void server_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct upstream_peer_stream *s = ctx;
    weir_buffer_consume(data, data->bytes);
    s->ended = s->ended || end;
}
static void server_trailers(void *ctx, struct weir_headers *h)
{
    struct upstream_peer_stream *s = ctx;
    (void)h;
    s->ended = true;
}
static void server_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct upstream_peer_stream *s = ctx;
    (void)details;
    s->closed = true;
    s->reason = reason;
    s->codec = NULL;
}
static const struct weir_stream_events server_stream_events = {
    .on_headers = server_headers, .on_data = server_data, .on_trailers = server_trailers, .on_closed = server_closed};

static void server_stream(void *owner, struct weir_codec_stream *s)
{
    struct upstream_peer *p = owner;
    assert_true(p->stream_count < UPSTREAM_STREAMS_MAX);
    struct upstream_peer_stream *at = &p->streams[p->stream_count++];
    at->peer = p;
    at->codec = s;
    at->arena = weir_arena_create();
    s->events = &server_stream_events;
    s->ctx = at;
    s->arena = at->arena;
}
static void server_output(void *owner)
{
    ((struct upstream_peer *)owner)->output_wanted = true;
}
static void server_pause(void *owner, bool pause)
{
    (void)owner;
    (void)pause;
}
static void server_error(void *owner, const struct weir_codec_error *e)
{
    (void)owner;
    (void)e;
}
static const struct weir_codec_events server_events = {
    .on_stream = server_stream, .on_output = server_output, .on_read_pause = server_pause, .on_error = server_error};

/* Bytes to and fro until neither side has any. */
static bool h2_exchange(struct upstream_peer *p)
{
    bool moved = false;
    if (p->h2 == NULL || p->closed) return false;
    if (p->n > 0) {
        size_t n = p->n;
        p->n = 0;
        h2_input(p, p->text, n);
        moved = true;
    }
    if (p->output_wanted && p->t.events != NULL) {
        struct weir_buffer out;
        weir_buffer_init(&out);
        p->output_wanted = false;
        weir_codec_output(p->h2, &out);
        for (uint32_t i = 0; i < out.count && !p->closed; i++) {
            const struct weir_slice *s = weir_buffer_slice(&out, i);
            struct weir_block *b = weir_block_create(NULL, s->n);
            memcpy(b->data, s->p, s->n);
            p->t.events->on_read(p->t.owner, (struct weir_slice){b->data, s->n, b});
            moved = true;
        }
        weir_buffer_deinit(&out);
    }
    return moved;
}

/* ---- the rig ---- */

static struct weir_cluster_config *config_make(struct upstream_rig *r, uint32_t hosts)
{
    struct weir_cluster_config *c = weir_resource_create(sizeof(*c), WEIR_STR("c"));
    struct weir_arena *a = &c->resource.arena;
    c->stat_name = c->resource.name;
    c->type = WEIR_CLUSTER_STATIC;
    c->maintenance_key = WEIR_STR("upstream.maintenance_mode.c");
    c->connect_timeout_ms = 5000;
    c->buffer_limit_bytes = 1024 * 1024;
    c->panic_percent = 50;
    c->choice_count = 2;
    c->active_request_bias = 1.0;
    c->host_connections_max = UINT64_MAX;
    for (int i = 0; i < 2; i++)
        c->limits[i] = (struct weir_breaker_limits){
            .connections = 1024, .pending = 1024, .requests = 1024, .retries = 3, .pools = UINT64_MAX};
    c->idle_timeout_ms = 3600000;
    c->h2_streams_max = 1024;
    c->h1 = c->h2 = (struct weir_codec_config){.header_bytes_max = 60 * 1024,
                                               .header_count_max = 100,
                                               .stream_high_water = 1024 * 1024,
                                               .stream_low_water = 512 * 1024};
    struct weir_endpoint *at = WEIR_NEW(a, struct weir_endpoint, hosts);
    for (uint32_t i = 0; i < hosts; i++) {
        assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), (uint16_t)(1001 + i), &at[i].address));
        at[i].weight = 1;
    }
    c->endpoints = WEIR_NEW(a, struct weir_endpoints, 1);
    *c->endpoints = (struct weir_endpoints){.count = hosts,
                                            .locality_count = 1,
                                            .at = at,
                                            .localities = WEIR_NEW(a, struct weir_locality, 1),
                                            .priority_count = 1,
                                            .overprovisioning_percent = 140};
    c->stats = weir_stats_acquire(r->registry, WEIR_STR("cluster.c."), weir_cluster_stat_descs, WEIR_CS_COUNT);
    c->control_stats = weir_stats_acquire(r->registry, WEIR_STR("cluster.c."), weir_cluster_control_stat_descs, WEIR_CC_COUNT);
    return c;
}

void upstream_rig_init(struct upstream_rig *r, uint32_t hosts)
{
    memset(r, 0, sizeof(*r));
    r->w = weir_worker_create_simulated(0, 1, 5);
    r->control = weir_worker_create_simulated(1, 1, 6);
    r->w->now_ns = r->control->now_ns = 1000000000;
    r->w->net = &factory;
    r->local.destroy = local_destroy;
    weir_worker_add_local(r->w, &r->local);
    r->workers[0] = r->w;
    r->registry = weir_stats_registry_create(1);
    r->env = (struct weir_cluster_env){.control = r->control, .workers = r->workers, .worker_count = 1, .stats = r->registry};
    r->config = config_make(r, hosts);
}

void upstream_rig_install(struct upstream_rig *r)
{
    r->shared = weir_cluster_shared_create(&r->env, 0, r->config, NULL, NULL);
    assert_true(weir_cluster_shared_ready(r->shared));
    weir_cluster_shared_publish(r->shared);
    upstream_rig_turn(r);
}

struct weir_cluster_config *upstream_rig_copy(struct upstream_rig *r, uint32_t hosts)
{
    return config_make(r, hosts);
}

void upstream_rig_update(struct upstream_rig *r, struct weir_cluster_config *config)
{
    weir_cluster_shared_set_config(r->shared, config);
    weir_resource_release(&r->config->resource);
    r->config = config;
    weir_cluster_shared_publish(r->shared);
    upstream_rig_turn(r);
}

void upstream_rig_turn(struct upstream_rig *r)
{
    bool moved = true;
    for (int i = 0; i < 100 && moved; i++) {
        weir_worker_finish_turn(r->control);
        weir_worker_finish_turn(r->w);
        moved = false;
        for (uint32_t k = 0; k < r->peer_count; k++)
            moved = h2_exchange(r->peers[k]) || moved;
    }
}

void upstream_rig_advance(struct upstream_rig *r, uint64_t ms)
{
    r->w->now_ns += ms * 1000000u;
    r->control->now_ns += ms * 1000000u;
    upstream_rig_turn(r);
}

struct weir_cluster *upstream_rig_cluster(struct upstream_rig *r)
{
    return weir_cluster_use(weir_snapshot_cluster(&r->w->snapshot, 0));
}

int64_t upstream_rig_stat(struct upstream_rig *r, enum weir_cluster_stat s)
{
    return weir_stat_sum(r->config->stats, s);
}

static void peer_free(struct upstream_peer *p)
{
    if (p->h2 != NULL) weir_codec_destroy(p->h2);
    for (uint32_t i = 0; i < p->stream_count; i++)
        weir_arena_destroy(p->streams[i].arena);
    free(p);
}

void upstream_rig_deinit(struct upstream_rig *r)
{
    static const enum weir_cluster_stat gauges[] = {WEIR_CS_upstream_cx_active, WEIR_CS_upstream_rq_active,
                                                    WEIR_CS_upstream_rq_pending_active, WEIR_CS_default_cx_open,
                                                    WEIR_CS_default_rq_open, WEIR_CS_default_rq_pending_open};
    struct weir_cluster_shared *shared = weir_cluster_shared_acquire(r->shared);
    weir_clusters_deinit(r->w);
    upstream_rig_turn(r);
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        assert_int_equal(upstream_rig_stat(r, gauges[i]), 0);
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < WEIR_BREAKER_COUNT; i++)
            assert_int_equal(shared->breakers[p].held[i], 0);
    weir_cluster_shared_close(r->shared);
    upstream_rig_turn(r);
    assert_int_equal(shared->refs, 1);
    weir_cluster_shared_release(shared);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        assert_true(r->peers[i]->closed);
        peer_free(r->peers[i]);
    }
    assert_int_equal(r->w->blocks.live, 0);
    struct weir_stats *stats = r->config->stats, *control_stats = r->config->control_stats;
    assert_int_equal(r->config->resource.refs, 1);
    weir_resource_release(&r->config->resource);
    weir_stats_release(stats);
    weir_stats_release(control_stats);
    weir_worker_destroy(r->w);
    weir_worker_destroy(r->control);
    weir_stats_registry_destroy(r->registry);
}

/* ---- users ---- */

static void note(struct upstream_user *u, const char *fmt, ...) WEIR_PRINTF(2, 3);
static void note(struct upstream_user *u, const char *fmt, ...)
{
    size_t n = strlen(u->log);
    if (n > 0) n += (size_t)snprintf(u->log + n, sizeof(u->log) - n, "; ");
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(u->log + n, sizeof(u->log) - n, fmt, args);
    va_end(args);
}

static void send_head(struct upstream_user *u)
{
    struct weir_headers h;
    weir_headers_init(&h, u->arena);
    weir_headers_add(&h, WEIR_H_METHOD, weir_str_of(u->method));
    weir_headers_add(&h, WEIR_H_SCHEME, WEIR_STR("http"));
    weir_headers_add(&h, WEIR_H_AUTHORITY, WEIR_STR("a"));
    weir_headers_add(&h, WEIR_H_PATH, WEIR_STR("/"));
    assert_int_equal(weir_attempt_send_headers(&u->attempt, &h, u->end_with_headers), WEIR_OK);
}

static void on_ready(void *ctx, struct weir_attempt *a)
{
    struct upstream_user *u = ctx;
    (void)a;
    note(u, "ready");
    if (u->send_on_ready) send_head(u);
}
static void on_headers(void *ctx, struct weir_attempt *a, struct weir_headers *h, bool end)
{
    struct weir_str status = weir_headers_get(h, WEIR_H_STATUS);
    (void)a;
    note(ctx, "headers %.*s%s", WEIR_STR_ARG(status), end ? " end" : "");
}
static void on_data(void *ctx, struct weir_attempt *a, struct weir_buffer *data, bool end)
{
    char text[512];
    (void)a;
    size_t n = weir_buffer_copy_out(data, 0, text, sizeof(text));
    note(ctx, "data %.*s%s", (int)n, text, end ? " end" : "");
}
static void on_trailers(void *ctx, struct weir_attempt *a, struct weir_headers *h)
{
    (void)a;
    (void)h;
    note(ctx, "trailers");
}
static void on_blocked(void *ctx, struct weir_attempt *a, bool blocked)
{
    (void)a;
    note(ctx, blocked ? "blocked" : "unblocked");
}
static void on_reset(void *ctx, struct weir_attempt *a, enum weir_upstream_reset why, struct weir_str failure)
{
    struct weir_str text = weir_upstream_reset_text(why);
    (void)a;
    note(ctx, "reset %.*s%s%.*s", WEIR_STR_ARG(text), failure.n > 0 ? "|" : "", WEIR_STR_ARG(failure));
}
static void on_closed(void *ctx, struct weir_attempt *a)
{
    (void)a;
    note(ctx, "closed");
}
static const struct weir_attempt_events user_events = {
    .on_ready = on_ready,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_blocked = on_blocked,
    .on_reset = on_reset,
    .on_closed = on_closed,
};

struct upstream_user *upstream_user_start_with(struct upstream_rig *r, const char *method, bool end_with_headers, bool raw)
{
    struct upstream_user *u = calloc(1, sizeof(*u));
    struct weir_lb_context x = {0};
    u->rig = r;
    u->arena = weir_arena_create();
    u->send_on_ready = true;
    u->end_with_headers = end_with_headers;
    u->method = method;
    struct weir_attempt_options o = {
        .host = weir_cluster_pick(upstream_rig_cluster(r), &x), .downstream = WEIR_HTTP11, .raw = raw, .arena = u->arena};
    assert_non_null(o.host);
    u->state = weir_attempt_start(&u->attempt, &o, &user_events, u);
    if (u->state == WEIR_ATTEMPT_READY) on_ready(u, &u->attempt);
    upstream_rig_turn(r);
    return u;
}

struct upstream_user *upstream_user_start(struct upstream_rig *r)
{
    return upstream_user_start_with(r, "GET", true, false);
}

void upstream_user_send(struct upstream_user *u, const char *data, bool end)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &u->rig->w->blocks, data, strlen(data));
    weir_attempt_send_data(&u->attempt, &b, end);
    weir_buffer_deinit(&b);
    upstream_rig_turn(u->rig);
}

void upstream_user_end(struct upstream_user *u)
{
    struct upstream_rig *r = u->rig;
    weir_attempt_cancel(&u->attempt);
    upstream_rig_turn(r);
    weir_arena_destroy(u->arena);
    free(u);
}

/* ---- peers ---- */

void upstream_peer_accept(struct upstream_peer *p, const char *alpn)
{
    if (alpn != NULL) {
        p->tls.alpn = weir_str_of(alpn);
        p->t.tls = &p->tls;
    }
    p->connected = true;
    p->t.events->on_connected(p->t.owner);
    upstream_rig_turn(p->rig);
}

void upstream_peer_accept_h2(struct upstream_peer *p, uint32_t streams_max)
{
    static struct weir_codec_config configs[4];
    struct weir_codec_config *c = &configs[streams_max % 4];
    *c = (struct weir_codec_config){.header_bytes_max = 60 * 1024,
                                    .header_count_max = 100,
                                    .stream_high_water = 1024 * 1024,
                                    .stream_low_water = 512 * 1024,
                                    .h2_max_concurrent_streams = streams_max};
    p->h2 = weir_h2_server_create(p->rig->w, c, &server_events, p);
    p->output_wanted = true;
    upstream_peer_accept(p, p->rig->config->protocol == WEIR_UPSTREAM_AUTO ? "h2" : NULL);
}

void upstream_peer_refuse(struct upstream_peer *p, enum weir_close_reason reason)
{
    p->t.failure_reason = reason == WEIR_CLOSE_CONNECT_REFUSED ? WEIR_STR("refused") : WEIR_STR("");
    p->closed = true;
    p->t.events->on_closed(p->t.owner, reason);
    upstream_rig_turn(p->rig);
}

void upstream_peer_say(struct upstream_peer *p, const char *text)
{
    size_t n = strlen(text);
    struct weir_block *b = weir_block_create(&p->rig->w->blocks, n);
    memcpy(b->data, text, n);
    p->t.rx_bytes += n;
    p->t.events->on_read(p->t.owner, (struct weir_slice){b->data, n, b});
    upstream_rig_turn(p->rig);
}

void upstream_peer_eof(struct upstream_peer *p)
{
    p->t.events->on_eof(p->t.owner);
    upstream_rig_turn(p->rig);
}

void upstream_peer_break(struct upstream_peer *p)
{
    p->closed = true;
    p->t.events->on_closed(p->t.owner, WEIR_CLOSE_RESET);
    upstream_rig_turn(p->rig);
}

const char *upstream_peer_take(struct upstream_peer *p)
{
    static char taken[UPSTREAM_TEXT_MAX];
    memcpy(taken, p->text, p->n);
    taken[p->n] = '\0';
    p->n = 0;
    return taken;
}

void upstream_peer_answer_h2(struct upstream_peer *p, uint32_t stream, const char *status, bool end)
{
    struct upstream_peer_stream *s = &p->streams[stream];
    struct weir_headers h;
    weir_headers_init(&h, s->arena);
    weir_headers_add(&h, WEIR_H_STATUS, weir_str_of(status));
    assert_int_equal(weir_codec_stream_send_headers(s->codec, &h, end), WEIR_OK);
    upstream_rig_turn(p->rig);
}

void upstream_peer_goaway(struct upstream_peer *p)
{
    weir_codec_shutdown(p->h2, true);
    upstream_rig_turn(p->rig);
}
