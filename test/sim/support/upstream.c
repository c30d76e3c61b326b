/* Upstreams of the simulated world: each does with a request what the plan of its exchange says. */
#include "test/sim/support/traffic_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

static void serve_release(struct serve *v)
{
    if (v->pending != 0 || v->s != NULL) return;
    weir_arena_destroy(v->arena);
    free(v);
}

static void serve_gone(struct serve *v)
{
    v->s = NULL;
    weir_list_remove(&v->node);
    v->exchange->traffic->live_serves--;
    serve_release(v);
}

static void serve_later(struct serve *v, uint64_t delay_ns, sim_fn *fn)
{
    v->pending++;
    sim_at(v->exchange->traffic->sim, delay_ns, fn, v);
}

/* Everything else on the connection goes down with it. */
static void break_connection(struct serve *v, bool reset)
{
    struct connection *c = v->connection;
    struct traffic *t = v->exchange->traffic;
    t->breaks++;
    t->last_break_ns = t->sim->worker->now_ns;
    for (struct weir_list *at = c->serves.next; at != &c->serves; at = at->next) {
        struct serve *other = WEIR_CONTAINER_OF(at, struct serve, node);
        if (other != v && other->exchange != NULL) other->exchange->collateral++;
    }
    http_peer_break(c->peer, reset);
}

static void serve_reset(struct serve *v, enum weir_reset reason)
{
    struct weir_codec_stream *s = v->s;
    http_peer_reset(v->connection->peer, s, reason);
    serve_gone(v);
}

/* The answer is whole and the request is not. An HTTP/1 upstream that did not announce the end of the connection reads on. */
static void not_wanted(struct serve *v)
{
    if (v->exchange->plan.tunnel != TUNNEL_NONE && v->exchange->answered) return; /* the other direction goes on */
    if (!v->ended && v->s != NULL && v->connection->peer->h2) serve_reset(v, WEIR_RESET_NONE);
}

static void fall_silent(struct exchange *x)
{
    x->silent_ns = x->traffic->sim->worker->now_ns;
}

static void on_answer_piece(struct sim *s, void *ctx);
static void send_answer(struct serve *v)
{
    const struct exchange *x = v->exchange;
    const struct plan *p = &x->plan;
    if (weir_codec_stream_send_queued(v->s) > QUEUED_MAX) {
        serve_later(v, 10 * SIM_MS, on_answer_piece);
        return;
    }
    uint64_t from = v->sender.sent;
    size_t n = sender_next(&v->sender);
    bool done = sender_done(&v->sender);
    if (v->faulty && p->fault == FAULT_CUT && done) {
        /* The last piece never comes. */
        if (v->connection->peer->h2)
            serve_reset(v, WEIR_RESET_LOCAL);
        else
            break_connection(v, false);
        return;
    }
    if (p->stall == STALL_BODY && done) {
        fall_silent(v->exchange);
        return;
    }
    struct weir_buffer b;
    weir_buffer_init(&b);
    body_fill(x->traffic->sim->worker, &b, x->id, true, from, n);
    v->exchange->active_ns = x->traffic->sim->worker->now_ns;
    weir_codec_stream_send_data(v->s, &b, done && !p->response_trailers);
    weir_buffer_deinit(&b);
    if (!done) {
        serve_later(v, p->response_gap_ns, on_answer_piece);
        return;
    }
    v->finished = true;
    if (p->response_trailers) {
        struct weir_headers *h = headers_new(v->arena);
        weir_headers_add_name(h, WEIR_STR("x-trailer"), number(v->arena, x->id));
        weir_codec_stream_send_trailers(v->s, h);
    }
    not_wanted(v);
}

static void on_answer_piece(struct sim *s, void *ctx)
{
    (void)s;
    struct serve *v = ctx;
    v->pending--;
    if (v->s != NULL && !v->finished)
        send_answer(v);
    else
        serve_release(v);
}

static void send_head(struct serve *v, uint32_t status, bool end)
{
    struct exchange *x = v->exchange;
    struct weir_headers *h = headers_new(v->arena);
    weir_headers_add(h, WEIR_H_STATUS, number(v->arena, status));
    weir_headers_add_name(h, WEIR_STR("x-id"), number(v->arena, x->id));
    if (x->plan.response_length && !end) weir_headers_add(h, WEIR_H_CONTENT_LENGTH, number(v->arena, x->plan.response_bytes));
    v->headed = true;
    assert_int_equal(weir_codec_stream_send_headers(v->s, h, end), WEIR_OK);
}

/* The fault of the plan, or the head of the answer. */
static void answer(struct serve *v)
{
    struct exchange *x = v->exchange;
    const struct plan *p = &x->plan;
    bool h2 = v->connection->peer->h2;
    if (v->connection->upstream->sick) {
        x->sick = true;
        v->finished = true;
        send_head(v, 503, true);
        not_wanted(v);
        return;
    }
    if (p->stall == STALL_HEAD) {
        fall_silent(x);
        return;
    }
    if (v->faulty) {
        switch (p->fault) {
        case FAULT_REFUSE:
            if (h2)
                serve_reset(v, WEIR_RESET_LOCAL_REFUSED);
            else
                break_connection(v, false);
            return;
        case FAULT_RESET:
            if (h2)
                serve_reset(v, WEIR_RESET_LOCAL);
            else
                break_connection(v, true);
            return;
        case FAULT_BREAK: break_connection(v, true); return;
        case FAULT_503:
            v->finished = true;
            send_head(v, 503, true);
            not_wanted(v);
            return;
        case FAULT_SILENT: return;
        default: break;
        }
    }
    x->answered = true;
    send_head(v, p->status, false);
    send_answer(v);
}

static void on_answer(struct sim *s, void *ctx)
{
    (void)s;
    struct serve *v = ctx;
    v->pending--;
    if (v->s != NULL)
        answer(v);
    else
        serve_release(v);
}

static void answer_later(struct serve *v)
{
    if (v->answering) return;
    v->answering = true;
    serve_later(v, v->exchange->plan.think_ns, on_answer);
}

static bool deadline_over(const struct traffic *t)
{
    return t->closing_ns != 0 && t->sim->worker->now_ns + 2 * SIM_MS >= t->deadline_ns;
}

static void request_ended(struct serve *v)
{
    struct exchange *x = v->exchange;
    v->ended = true;
    x->request_seen_whole = true;
    /* A tunnel's end may be that of its client. */
    bool cut = x->plan.tunnel != TUNNEL_NONE && (x->plan.client_fault != CLIENT_FINE || x->vanished || deadline_over(x->traffic));
    /* It had said all and heard all, and what it said was on its way through the proxy when another exchange broke the connection. */
    cut |= x->plan.tunnel != TUNNEL_NONE && x->client_h2 && x->done && x->traffic->vanishes != x->vanishes_at_end;
    if (cut ? v->received > x->plan.request_bytes : v->received != x->plan.request_bytes) x->request_wrong = true;
    answer_later(v);
}

static void serve_on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct serve *v = ctx;
    struct traffic *t = v->connection->upstream->traffic;
    uint64_t id = 0;
    const struct weir_header *x = weir_headers_find_name(h, WEIR_STR("x-id"));
    /* Nothing but what clients of this world have sent may come. */
    assert_true(x != NULL && weir_str_u64(x->value, &id) && id < t->count);
    v->exchange = &t->exchanges[id];
    const struct plan *p = &v->exchange->plan;
    v->exchange->attempts++;
    v->faulty = v->exchange->attempts <= p->fails;
    if (!weir_str_eq(weir_headers_get(h, WEIR_H_METHOD), weir_str_of(p->method))) v->exchange->request_wrong = true;
    if (v->connection->upstream->h2 != p->upstream_h2) v->exchange->request_wrong = true;
    v->sender = (struct sender){.bytes = p->response_bytes, .pieces = p->response_pieces};
    if (++t->live_serves > t->most_serves) t->most_serves = t->live_serves;
    v->connection->upstream->seen++;
    if (p->tunnel != TUNNEL_NONE) {
        v->connection->peer->tunnel = true;
        answer_later(v);
    }
    sim_note(t->sim, "attempt", id, v->connection->peer->t->id);
    if (p->early) answer_later(v);
    if (end) request_ended(v);
}

static void serve_on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct serve *v = ctx;
    if (!body_matches(data, v->exchange->id, false, v->received)) v->exchange->request_wrong = true;
    v->received += data->bytes;
    if (end) request_ended(v);
}

static void serve_on_trailers(void *ctx, struct weir_headers *h)
{
    struct serve *v = ctx;
    const struct weir_header *x = weir_headers_find_name(h, WEIR_STR("x-trailer"));
    if (x == NULL || !v->exchange->plan.request_trailers) v->exchange->request_wrong = true;
    request_ended(v);
}

static void serve_on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct serve *v = ctx;
    (void)reason;
    (void)details;
    if (v->exchange != NULL) {
        serve_gone(v);
        return;
    }
    /* No head came. */
    v->s = NULL;
    weir_list_remove(&v->node);
    serve_release(v);
}

static const struct weir_stream_events serve_events = {
    .on_headers = serve_on_headers,
    .on_data = serve_on_data,
    .on_trailers = serve_on_trailers,
    .on_closed = serve_on_closed,
};

static void on_upstream_stream(struct http_peer *p, struct weir_codec_stream *s)
{
    struct connection *c = p->owner;
    struct serve *v = calloc(1, sizeof(*v));
    assert_non_null(v);
    v->connection = c;
    v->s = s;
    v->arena = weir_arena_create();
    weir_list_push_back(&c->serves, &v->node);
    s->events = &serve_events;
    s->ctx = v;
    s->arena = v->arena;
}

static void on_upstream_gone(struct http_peer *p)
{
    struct connection *c = p->owner;
    weir_list_remove(&c->node);
    c->upstream->traffic->connections--;
    free(c);
}

static void on_upstream_accept(void *ctx, struct weir_transport *t)
{
    struct upstream *u = ctx;
    struct connection *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->upstream = u;
    weir_list_init(&c->serves);
    weir_list_push_back(&u->connections, &c->node);
    if (++u->traffic->connections > u->traffic->most_connections) u->traffic->most_connections = u->traffic->connections;
    c->peer = http_peer_serve(u->traffic->sim, t, u->h2, c);
    c->peer->on_stream = on_upstream_stream;
    c->peer->on_gone = on_upstream_gone;
}

static struct upstream *find_upstream(const struct traffic *t, const struct weir_address *at)
{
    for (struct weir_list *i = t->upstreams.next; i != &t->upstreams; i = i->next) {
        struct upstream *u = WEIR_CONTAINER_OF(i, struct upstream, node);
        if (weir_address_equal(&u->listener.address, at, true)) return u;
    }
    fail_msg("no such upstream");
    return NULL;
}

void traffic_set_sick(struct traffic *t, const struct weir_address *at, bool sick)
{
    find_upstream(t, at)->sick = sick;
}

uint32_t traffic_seen(const struct traffic *t, const struct weir_address *at)
{
    return find_upstream(t, at)->seen;
}

void traffic_add_upstream(struct traffic *t, struct weir_address at, bool h2)
{
    struct upstream *u = calloc(1, sizeof(*u));
    assert_non_null(u);
    u->traffic = t;
    u->h2 = h2;
    u->listener = (struct sim_listener){.address = at, .on_accept = on_upstream_accept, .ctx = u};
    weir_list_init(&u->connections);
    weir_list_push_back(&t->upstreams, &u->node);
    sim_listen(t->sim, &u->listener);
}
