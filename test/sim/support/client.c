/* Clients of the simulated world: each makes its exchanges as their plans say and notes what comes back. */
#include "test/sim/support/traffic_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

#define NEWS_NS (100 * (uint64_t)SIM_MS) /* more than a piece on its way can take */
#define PAUSES_MAX 5

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

static void send_request_piece(struct call *c);
/* Both directions at once, if it was accepted. */
static void begin_tunnel(struct call *c)
{
    struct exchange *x = c->exchange;
    if (x->status == x->plan.status) {
        send_request_piece(c);
        return;
    }
    struct weir_buffer none;
    weir_buffer_init(&none);
    c->sent = true;
    weir_codec_stream_send_data(c->s, &none, true);
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
    if (x->plan.tunnel != TUNNEL_NONE && !end) begin_tunnel(c);
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
    c->exchange->vanishes_at_end = c->client->traffic->vanishes;
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
    if (x->plan.stall == STALL_CLIENT && done) {
        c->exchange->silent_ns = x->traffic->sim->worker->now_ns;
        c->sent = true;
        return;
    }
    struct weir_buffer b;
    weir_buffer_init(&b);
    body_fill(x->traffic->sim->worker, &b, x->id, false, from, n);
    c->exchange->active_ns = x->traffic->sim->worker->now_ns;
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
    if (c->s != NULL && !c->sent && (!c->exchange->ended || c->exchange->plan.tunnel != TUNNEL_NONE))
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
        c->client->traffic->vanishes++;
        http_peer_break(c->peer, weir_random_below(&c->client->traffic->sim->random, 2) == 0); /* on_closed comes from it */
        return;
    }
    struct weir_codec_stream *stream = c->s;
    call_gone(c);
    http_peer_reset(c->peer, stream, WEIR_RESET_LOCAL);
    call_over(c);
}

static void call_send(struct call *c)
{
    struct exchange *x = c->exchange;
    const struct plan *p = &x->plan;
    static const char *const ways[] = {"plain", "retry", "short", "fading", "idle", "rough"};
    struct weir_headers *h = headers_new(c->arena);
    weir_headers_add(h, WEIR_H_METHOD, weir_str_of(p->method));
    if (p->tunnel != TUNNEL_CONNECT) weir_headers_add(h, WEIR_H_SCHEME, WEIR_STR("http"));
    weir_headers_add(h, WEIR_H_AUTHORITY, p->tunnel == TUNNEL_CONNECT ? WEIR_STR("sim.test:443") : WEIR_STR("sim.test"));
    if (p->tunnel != TUNNEL_CONNECT)
        weir_headers_add(h, WEIR_H_PATH, weir_arena_printf(c->arena, "/%s/%s/%u", p->upstream_h2 ? "h2" : "h1", ways[p->way], x->id));
    if (p->tunnel == TUNNEL_CONNECT) weir_headers_add_name(h, WEIR_STR("x-up"), p->upstream_h2 ? WEIR_STR("h2") : WEIR_STR("h1"));
    if (p->tunnel == TUNNEL_WEBSOCKET) weir_headers_add(h, WEIR_H_UPGRADE, WEIR_STR("websocket"));
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
    if (p->tunnel != TUNNEL_NONE) {
        c->peer->tunnel = true;
        assert_int_equal(weir_codec_stream_send_headers(c->s, h, false), WEIR_OK);
        return;
    }
    assert_int_equal(weir_codec_stream_send_headers(c->s, h, !body), WEIR_OK);
    c->sent = !body;
    if (body) send_request_piece(c);
}

static void on_client_room(struct http_peer *p)
{
    client_go(p->owner);
}

/* Nobody listens any more. */
static void give_up(struct client *c)
{
    while (!weir_list_empty(&c->waiting)) {
        struct call *call = WEIR_CONTAINER_OF(c->waiting.next, struct call, node);
        weir_list_remove(&call->node);
        call->exchange->refused = true;
        call_over(call);
    }
}

static void on_client_gone(struct http_peer *p)
{
    struct client *c = p->owner;
    if (c->peer == p) c->peer = NULL;
    if (c->traffic->closing_ns != 0) give_up(c);
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
            c->peer = http_peer_connect(c->traffic->sim, &c->front, c->h2, c);
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
    c->front = t->front;
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
