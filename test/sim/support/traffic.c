#include "test/sim/support/traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

#define NEWS_NS (100 * (uint64_t)SIM_MS) /* more than a piece on its way can take */
#define PAUSES_MAX 5
#define QUEUED_MAX 200000u /* a sender waits while so much of its body is queued */

/* ---- plans ---- */

static bool chance(struct weir_random *r, unsigned percent)
{
    return weir_random_below(r, 100) < percent;
}

static uint32_t body_bytes(struct weir_random *r, uint32_t max)
{
    switch (weir_random_below(r, 4)) {
    case 0: return 0;
    case 1: return (uint32_t)weir_random_below(r, 100);
    case 2: return (uint32_t)weir_random_below(r, max / 20 + 1);
    default: return (uint32_t)weir_random_below(r, max + 1);
    }
}

static void plan_faults(struct plan *p, struct weir_random *r, const struct traffic_options *o)
{
    if (o->faults && chance(r, 40)) {
        p->fault = (enum fault)(1 + weir_random_below(r, FAULT_SILENT));
        p->fails = 1 + (uint32_t)weir_random_below(r, 3);
    }
    if (o->client_faults && chance(r, 25)) {
        p->client_fault = chance(r, 50) ? CLIENT_CANCELS : CLIENT_VANISHES;
        p->client_fault_ns = weir_random_below(r, 60 * SIM_MS);
    }
}

static void plan_make(struct plan *p, struct weir_random *r, const struct traffic_options *o)
{
    static const uint32_t statuses[] = {200, 200, 200, 201, 404, 299};
    *p = (struct plan){.way = (enum way)weir_random_below(r, 3), .upstream_h2 = chance(r, 50), .status = statuses[weir_random_below(r, 6)]};
    p->method = chance(r, 50) ? "GET" : "POST";
    p->request_bytes = p->method[0] == 'P' ? body_bytes(r, o->body_max) : 0;
    p->response_bytes = body_bytes(r, o->body_max);
    p->request_pieces = 1 + (uint32_t)weir_random_below(r, 8);
    p->response_pieces = 1 + (uint32_t)weir_random_below(r, 8);
    p->request_length = chance(r, 50);
    p->response_length = chance(r, 50);
    p->request_trailers = p->request_bytes != 0 && !p->request_length && chance(r, 20);
    p->response_trailers = !p->response_length && chance(r, 30);
    if (chance(r, 50)) p->request_gap_ns = weir_random_below(r, 5 * SIM_MS);
    if (chance(r, 50)) p->response_gap_ns = weir_random_below(r, 5 * SIM_MS);
    if (chance(r, 50)) p->think_ns = weir_random_below(r, 50 * SIM_MS);
    p->slow = chance(r, 20);
    p->early = chance(r, 5);
    plan_faults(p, r, o);
    if (p->fault != FAULT_CUT) return;
    /* There must be something to cut off. */
    p->response_bytes += 1000;
    p->response_pieces++;
}

/* The byte at `at` of the body of an exchange. */
static uint8_t body_byte(uint32_t id, bool response, uint64_t at)
{
    return (uint8_t)(id * 131u + (response ? 77u : 0u) + at * 7u + (at >> 8) * 3u);
}

static void body_fill(struct weir_worker *w, struct weir_buffer *b, uint32_t id, bool response, uint64_t from, size_t n)
{
    while (n != 0) {
        size_t m = n < 16384 ? n : 16384;
        struct weir_block *block = weir_block_create(&w->blocks, m);
        for (size_t i = 0; i < m; i++)
            block->data[i] = body_byte(id, response, from + i);
        weir_buffer_push(b, (struct weir_slice){block->data, m, block});
        from += m;
        n -= m;
    }
}

static bool body_matches(const struct weir_buffer *b, uint32_t id, bool response, uint64_t from)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(b, i);
        for (size_t k = 0; k < s->n; k++)
            if (s->p[k] != body_byte(id, response, from + k)) return false;
        from += s->n;
    }
    return true;
}

/* One end's sending of a body, piece by piece. */
struct sender {
    uint32_t bytes, pieces, sent, sent_pieces;
};

/* The size of the next piece; the last one brings all to an end. */
static size_t sender_next(struct sender *s)
{
    s->sent_pieces++;
    size_t left = s->bytes - s->sent, n = s->sent_pieces >= s->pieces ? left : left / (s->pieces - s->sent_pieces + 1);
    s->sent += (uint32_t)n;
    return n;
}

static bool sender_done(const struct sender *s)
{
    return s->sent == s->bytes && s->sent_pieces >= s->pieces;
}

static struct weir_str number(struct weir_arena *a, uint64_t n)
{
    return weir_arena_printf(a, "%llu", (unsigned long long)n);
}

static struct weir_headers *headers_new(struct weir_arena *a)
{
    struct weir_headers *h = WEIR_NEW(a, struct weir_headers, 1);
    weir_headers_init(h, a);
    return h;
}

/* ---- upstreams ---- */

struct upstream {
    struct weir_list node;
    struct traffic *traffic;
    struct sim_listener listener;
    bool h2;
    struct weir_list connections;
};
struct connection { /* at an upstream */
    struct weir_list node;
    struct upstream *upstream;
    struct http_peer *peer;
    struct weir_list serves;
};
/* One attempt of an exchange, as the upstream sees it. */
struct serve {
    struct weir_list node;
    struct connection *connection;
    struct exchange *exchange;
    struct weir_codec_stream *s; /* NULL: gone */
    struct weir_arena *arena;
    uint32_t pending; /* events that know this */
    uint64_t received;
    struct sender sender;
    bool faulty, headed, ended, answering, finished;
};

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
    weir_codec_stream_reset(s, reason);
    serve_gone(v);
}

/* The answer is whole and the request is not. An HTTP/1 upstream that did not announce the end of the connection reads on. */
static void not_wanted(struct serve *v)
{
    if (!v->ended && v->s != NULL && v->connection->peer->h2) serve_reset(v, WEIR_RESET_NONE);
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
    struct weir_buffer b;
    weir_buffer_init(&b);
    body_fill(x->traffic->sim->worker, &b, x->id, true, from, n);
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

static void request_ended(struct serve *v)
{
    struct exchange *x = v->exchange;
    v->ended = true;
    x->request_seen_whole = true;
    if (v->received != x->plan.request_bytes) x->request_wrong = true;
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
    t->live_serves++;
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
    c->peer = http_peer_serve(u->traffic->sim, t, u->h2, c);
    c->peer->on_stream = on_upstream_stream;
    c->peer->on_gone = on_upstream_gone;
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

/* ---- clients ---- */

struct client {
    struct weir_list node;
    struct traffic *traffic;
    bool h2;
    struct http_peer *peer; /* NULL: none, or one that takes no more requests */
    struct weir_list waiting;
};
struct call { /* an exchange under way at its client */
    struct weir_list node;
    struct client *client;
    struct exchange *exchange;
    struct http_peer *peer;
    struct weir_codec_stream *s; /* NULL: waiting or gone */
    struct weir_arena *arena;
    uint32_t pending;
    struct sender sender;
    uint32_t pauses;
    bool over, sent, paused;
};

static void call_release(struct call *c)
{
    if (c->pending != 0 || !c->over) return;
    weir_arena_destroy(c->arena);
    free(c);
}

static void call_later(struct call *c, uint64_t delay_ns, sim_fn *fn)
{
    c->pending++;
    sim_at(c->client->traffic->sim, delay_ns, fn, c);
}

static void client_go(struct client *c);
static void call_over(struct call *c)
{
    struct exchange *x = c->exchange;
    c->over = true;
    x->done = true;
    x->end_ns = c->client->traffic->sim->worker->now_ns;
    c->client->traffic->done++;
    sim_note(c->client->traffic->sim, "done", x->id, x->status);
    call_release(c);
}

static void call_gone(struct call *c)
{
    c->s = NULL;
    c->client->traffic->live_clients--;
}

static void call_on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct call *c = ctx;
    struct exchange *x = c->exchange;
    uint64_t status = 0, id = 0;
    (void)weir_str_u64(weir_headers_get(h, WEIR_H_STATUS), &status);
    x->status = (uint32_t)status;
    x->head = true;
    const struct weir_header *own = weir_headers_find_name(h, WEIR_STR("x-id"));
    if (own != NULL && (!weir_str_u64(own->value, &id) || id != x->id)) x->foreign = true;
    if (own == NULL) x->received = UINT64_MAX; /* of the proxy's own making: its body is not the plan's */
    x->ended |= end;
}

static void on_unpause(struct sim *s, void *ctx)
{
    (void)s;
    struct call *c = ctx;
    c->pending--;
    c->paused = false;
    if (c->s != NULL) weir_codec_stream_read_pause(c->s, false);
    call_release(c);
}

static void call_on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct call *c = ctx;
    struct exchange *x = c->exchange;
    if (x->received != UINT64_MAX) {
        if (!body_matches(data, x->id, true, x->received)) x->wrong = true;
        x->received += data->bytes;
    }
    x->ended |= end;
    if (!x->plan.slow || c->paused || end || c->pauses == PAUSES_MAX) return;
    c->pauses++;
    c->paused = true;
    weir_codec_stream_read_pause(c->s, true);
    call_later(c, weir_random_below(&c->client->traffic->sim->random, 100 * SIM_MS), on_unpause);
}

static void call_on_trailers(void *ctx, struct weir_headers *h)
{
    struct call *c = ctx;
    c->exchange->ended = true;
    const struct weir_header *t = weir_headers_find_name(h, WEIR_STR("x-trailer"));
    uint64_t id = 0;
    c->exchange->trailers = t != NULL && weir_str_u64(t->value, &id) && id == c->exchange->id;
}

/* A connection that ended before the proxy had looked at the request: every client sends it again. */
static bool may_send_again(const struct call *c, enum weir_reset reason)
{
    const struct exchange *x = c->exchange;
    if (x->head || x->attempts != 0 || x->plan.client_fault != CLIENT_FINE || x->vanished) return false;
    return reason == WEIR_RESET_CONNECTION || reason == WEIR_RESET_REMOTE_REFUSED;
}

static void call_on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct call *c = ctx;
    (void)details;
    sim_note(c->client->traffic->sim, "over", c->exchange->id, reason);
    call_gone(c);
    c->exchange->vanished |= c->peer->vanished;
    if (may_send_again(c, reason)) {
        c->sender.sent = c->sender.sent_pieces = 0;
        c->peer = NULL;
        weir_list_push_back(&c->client->waiting, &c->node);
        client_go(c->client);
        return;
    }
    c->exchange->reset = reason != WEIR_RESET_NONE && !c->exchange->ended;
    call_over(c);
}

static const struct weir_stream_events call_events = {
    .on_headers = call_on_headers,
    .on_data = call_on_data,
    .on_trailers = call_on_trailers,
    .on_closed = call_on_closed,
};

static void on_request_piece(struct sim *s, void *ctx);
static void send_request_piece(struct call *c)
{
    const struct exchange *x = c->exchange;
    if (weir_codec_stream_send_queued(c->s) > QUEUED_MAX) {
        call_later(c, 10 * SIM_MS, on_request_piece);
        return;
    }
    uint64_t from = c->sender.sent;
    size_t n = sender_next(&c->sender);
    bool done = sender_done(&c->sender);
    struct weir_buffer b;
    weir_buffer_init(&b);
    body_fill(x->traffic->sim->worker, &b, x->id, false, from, n);
    weir_codec_stream_send_data(c->s, &b, done && !x->plan.request_trailers);
    weir_buffer_deinit(&b);
    if (!done) {
        call_later(c, x->plan.request_gap_ns, on_request_piece);
    } else if (x->plan.request_trailers) {
        struct weir_headers *h = headers_new(c->arena);
        weir_headers_add_name(h, WEIR_STR("x-trailer"), number(c->arena, x->id));
        weir_codec_stream_send_trailers(c->s, h);
    }
    c->sent = done;
}

static void on_request_piece(struct sim *s, void *ctx)
{
    (void)s;
    struct call *c = ctx;
    c->pending--;
    /* An answer that came whole makes the rest of the request pointless. */
    if (c->s != NULL && !c->sent && !c->exchange->ended)
        send_request_piece(c);
    else
        call_release(c);
}

static void on_client_fault(struct sim *s, void *ctx)
{
    (void)s;
    struct call *c = ctx;
    c->pending--;
    if (c->s == NULL) {
        call_release(c);
        return;
    }
    c->exchange->reset = true;
    if (c->exchange->plan.client_fault == CLIENT_VANISHES) {
        http_peer_break(c->peer, weir_random_below(&c->client->traffic->sim->random, 2) == 0); /* on_closed comes from it */
        return;
    }
    struct weir_codec_stream *stream = c->s;
    call_gone(c);
    weir_codec_stream_reset(stream, WEIR_RESET_LOCAL);
    call_over(c);
}

static void call_send(struct call *c)
{
    struct exchange *x = c->exchange;
    const struct plan *p = &x->plan;
    static const char *const ways[] = {"plain", "retry", "short"};
    struct weir_headers *h = headers_new(c->arena);
    weir_headers_add(h, WEIR_H_METHOD, weir_str_of(p->method));
    weir_headers_add(h, WEIR_H_SCHEME, WEIR_STR("http"));
    weir_headers_add(h, WEIR_H_AUTHORITY, WEIR_STR("sim.test"));
    weir_headers_add(h, WEIR_H_PATH, weir_arena_printf(c->arena, "/%s/%s/%u", p->upstream_h2 ? "h2" : "h1", ways[p->way], x->id));
    weir_headers_add_name(h, WEIR_STR("x-id"), number(c->arena, x->id));
    bool body = p->request_bytes != 0;
    if (body && p->request_length) weir_headers_add(h, WEIR_H_CONTENT_LENGTH, number(c->arena, p->request_bytes));
    if (!x->started) {
        x->start_ns = c->client->traffic->sim->worker->now_ns;
        const struct traffic *t = x->traffic;
        x->breaks_at_start = t->breaks;
        x->after_break = t->breaks != 0 && x->start_ns - t->last_break_ns < NEWS_NS;
        if (p->client_fault != CLIENT_FINE) call_later(c, p->client_fault_ns, on_client_fault);
    }
    sim_note(c->client->traffic->sim, "send", x->id, c->peer->t->id);
    x->started = true;
    x->sends++;
    c->client->traffic->live_clients++;
    assert_int_equal(weir_codec_stream_send_headers(c->s, h, !body), WEIR_OK);
    c->sent = !body;
    if (body) send_request_piece(c);
}

static void on_client_room(struct http_peer *p)
{
    client_go(p->owner);
}

static void on_client_gone(struct http_peer *p)
{
    struct client *c = p->owner;
    if (c->peer == p) c->peer = NULL;
    if (!weir_list_empty(&c->waiting)) client_go(c);
}

/* Starts what can be started; makes a connection where there is none that takes requests. */
static void client_go(struct client *c)
{
    while (!weir_list_empty(&c->waiting)) {
        if (c->peer != NULL && c->peer->connected && !http_peer_room(c->peer)) {
            bool over = c->peer->broken || c->peer->eof || c->peer->last || c->peer->leaving;
            if (!over) return;
            c->peer = NULL; /* it ends by itself */
        }
        if (c->peer == NULL) {
            c->peer = http_peer_connect(c->traffic->sim, &c->traffic->front, c->h2, c);
            c->peer->on_room = on_client_room;
            c->peer->on_gone = on_client_gone;
        }
        if (!c->peer->connected) return;
        struct call *call = WEIR_CONTAINER_OF(c->waiting.next, struct call, node);
        call->s = weir_codec_open(c->peer->codec, &call_events, call, call->arena);
        if (call->s == NULL) return;
        weir_list_remove(&call->node);
        call->peer = c->peer;
        call_send(call);
    }
}

static void on_call_start(struct sim *s, void *ctx)
{
    (void)s;
    struct call *c = ctx;
    c->pending--;
    sim_note(c->client->traffic->sim, "wants", c->exchange->id, 0);
    weir_list_push_back(&c->client->waiting, &c->node);
    client_go(c->client);
}

void traffic_add_client(struct traffic *t, bool h2, uint32_t count, uint64_t span_ns)
{
    struct client *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->traffic = t;
    c->h2 = h2;
    weir_list_init(&c->waiting);
    weir_list_push_back(&t->clients, &c->node);
    for (uint32_t i = 0; i < count; i++) {
        struct exchange *x = &t->exchanges[t->count++];
        *x = (struct exchange){.traffic = t, .id = t->count - 1, .client_h2 = h2};
        plan_make(&x->plan, &t->sim->random, &t->options);
        struct call *call = calloc(1, sizeof(*call));
        assert_non_null(call);
        call->client = c;
        call->exchange = x;
        call->arena = weir_arena_create();
        call->sender = (struct sender){.bytes = x->plan.request_bytes, .pieces = x->plan.request_pieces};
        call_later(call, weir_random_below(&t->sim->random, span_ns), on_call_start);
    }
}

/* ---- the whole ---- */

void traffic_init(struct traffic *t, struct sim *s, struct proxy *p, const struct traffic_options *o, struct weir_address front,
                  uint32_t count)
{
    *t = (struct traffic){.sim = s, .proxy = p, .options = *o, .front = front};
    t->exchanges = calloc(count, sizeof(t->exchanges[0]));
    assert_non_null(t->exchanges);
    weir_list_init(&t->upstreams);
    weir_list_init(&t->clients);
}

bool traffic_done(void *traffic)
{
    const struct traffic *t = traffic;
    return t->done == t->count;
}

/* ---- the model ---- */

static const char *const fault_names[] = {"none", "refuse", "reset", "break", "503", "cut", "silent"};

/* What is wrong with an exchange, or NULL. */
static const char *judge(const struct exchange *x)
{
    const struct plan *p = &x->plan;
    bool own = x->received != UINT64_MAX; /* the upstream's answer, not one of the proxy's making */
    if (x->foreign) return "got the answer of another request";
    if (x->wrong) return "bytes of the answer are wrong";
    if (x->request_wrong) return "the upstream got another request than was sent";
    if (own && x->received > p->response_bytes && x->status != 503) return "more bytes than were sent";
    bool whole = x->ended && !x->reset;
    if (whole && own && x->status == p->status && x->received != p->response_bytes) return "an answer that was cut passes for whole";
    if (p->client_fault != CLIENT_FINE || x->vanished) return NULL;

    bool good = whole && own && x->status == p->status && x->received == p->response_bytes;
    if (good && p->response_trailers && p->upstream_h2 && x->client_h2 && !x->trailers) return "trailers were lost";
    if (good) return NULL;
    uint32_t fails = p->fault == FAULT_NONE ? 0 : p->fails;
    /* Others' broken connections may have taken it along, on HTTP/2 without the upstream knowing. */
    bool disturbed = x->collateral != 0 || (p->upstream_h2 && (x->after_break || x->traffic->breaks != x->breaks_at_start)) || x->traffic->options.moved;
    if (p->way == WAY_SHORT && x->end_ns - x->start_ns >= 500 * (uint64_t)SIM_MS && (x->status == 504 || x->reset)) return NULL;
    if (fails == 0 && !disturbed) return "was lost though nothing went wrong";
    if (p->fault == FAULT_CUT && fails != 0) return x->reset || !whole || x->status >= 500 ? NULL : "a cut answer passes for whole";
    if (p->fault == FAULT_SILENT && fails != 0) return x->status == 504 || disturbed ? NULL : "no 504 for a silent upstream";
    if (p->way == WAY_RETRY && !disturbed) return "was lost though a retry was allowed";
    if (disturbed) return NULL;
    return whole && x->status == 503 ? NULL : "neither the answer nor a 503";
}

static void print_exchange(const struct exchange *x)
{
    static const char *const ways[] = {"plain", "retry", "short"}, *const client_faults[] = {"", ", client cancels", ", client vanishes"};
    const struct plan *p = &x->plan;
    print_error("  HTTP/%d to HTTP/%d %s, %s %u bytes in %u, answer %u with %u bytes in %u, fault %s x%u%s at %.1f%s%s\n"
                "  attempts %u, collateral %u, sends %u; the client saw status %u, %lld bytes%s%s, from %.1f to %.1f ms\n",
                x->client_h2 ? 2 : 1, p->upstream_h2 ? 2 : 1, ways[p->way], p->method, p->request_bytes, p->request_pieces, p->status,
                p->response_bytes, p->response_pieces, fault_names[p->fault], p->fails, client_faults[p->client_fault],
                (double)p->client_fault_ns / SIM_MS, p->early ? ", early" : "", p->slow ? ", slow" : "", x->attempts, x->collateral,
                x->sends, x->status, (long long)x->received, x->ended ? ", end" : "", x->reset ? ", reset" : "",
                (double)x->start_ns / SIM_MS, (double)x->end_ns / SIM_MS);
}

void traffic_check(struct traffic *t, uint64_t seed)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct exchange *x = &t->exchanges[i];
        const char *why = x->done ? judge(x) : "never ended";
        if (why == NULL) continue;
        print_error("seed %llu, exchange %u: %s\n", (unsigned long long)seed, x->id, why);
        print_exchange(x);
        fail();
    }
}

/* Which attempts an upstream still works on when no client waits for them any more. */
static void tell_live_serves(struct traffic *t, uint64_t seed)
{
    for (struct weir_list *i = t->upstreams.next; i != &t->upstreams; i = i->next) {
        struct upstream *u = WEIR_CONTAINER_OF(i, struct upstream, node);
        for (struct weir_list *k = u->connections.next; k != &u->connections; k = k->next) {
            struct connection *c = WEIR_CONTAINER_OF(k, struct connection, node);
            for (struct weir_list *at = c->serves.next; at != &c->serves; at = at->next) {
                const struct serve *v = WEIR_CONTAINER_OF(at, struct serve, node);
                if (v->exchange == NULL) continue;
                print_error("seed %llu: HTTP/%d upstream still has exchange %u (attempt %u, head %d, received %llu, end %d, sent %u)\n",
                            (unsigned long long)seed, u->h2 ? 2 : 1, v->exchange->id, v->exchange->attempts, v->headed,
                            (unsigned long long)v->received, v->ended, v->sender.sent);
                print_exchange(v->exchange);
            }
        }
    }
}

void traffic_deinit(struct traffic *t, uint64_t seed)
{
    while (!weir_list_empty(&t->clients)) {
        struct client *c = WEIR_CONTAINER_OF(t->clients.next, struct client, node);
        if (c->peer != NULL) http_peer_break(c->peer, false);
        weir_list_remove(&c->node);
        assert_true(weir_list_empty(&c->waiting));
        free(c);
    }
    /* A client that has left after its FIN is known to be gone when it is written to: at the route's timeout at the latest. */
    sim_pass(t->sim, 20000 * (uint64_t)SIM_MS);
    tell_live_serves(t, seed);
    assert_int_equal(t->live_clients, 0);
    assert_int_equal(t->live_serves, 0);
    proxy_assert_at_rest(t->proxy, true);
    while (!weir_list_empty(&t->upstreams)) {
        struct upstream *u = WEIR_CONTAINER_OF(t->upstreams.next, struct upstream, node);
        while (!weir_list_empty(&u->connections))
            http_peer_break(WEIR_CONTAINER_OF(u->connections.next, struct connection, node)->peer, false);
        sim_unlisten(&u->listener);
        weir_list_remove(&u->node);
        free(u);
    }
    sim_pass(t->sim, 1000 * (uint64_t)SIM_MS);
    free(t->exchanges);
}
