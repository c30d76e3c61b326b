#include "test/sim/support/net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/transport/ops.h"

#define STALL_MS_MIN 1000u /* as sockets do: a finished transport whose peer takes nothing for that long is closed */

/* Two ends and what is on its way between them. Lives as long as one of the three. */
struct link {
    struct end *ends[2]; /* NULL: gone */
    uint32_t refs;
    uint64_t last_ns[2]; /* when the newest piece towards that end arrives */
};

struct end {
    struct weir_transport t;
    struct weir_list node; /* of the world's */
    struct sim *sim;
    struct link *link; /* NULL: connecting, or could not */
    int side;          /* of the link */
    struct weir_buffer out, in;
    size_t flight; /* left us, not yet read by the other owner */
    struct weir_deferred flush, deliver;
    struct weir_timer timer; /* connect, linger */
    struct weir_dead dead;
    uint32_t linger_ms;
    bool connecting, refused, reading, eof, eof_told, fin_wanted, fin_sent, write_dead, flushed_wanted, detached, closed;
};

enum piece_kind { PIECE_BYTES, PIECE_FIN, PIECE_RESET };
struct piece {
    struct link *link;
    int to;
    enum piece_kind kind;
    struct weir_buffer bytes;
};

static struct sim *sim_of(struct weir_worker *w)
{
    return WEIR_CONTAINER_OF(w->net, struct sim, factory);
}
static struct end *end_of(struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct end, t);
}

static uint64_t latency(struct sim *s)
{
    uint64_t spread = s->network.latency_max_ns - s->network.latency_min_ns;
    return s->network.latency_min_ns + (spread != 0 ? weir_random_below(&s->random, spread) : 0);
}

/* ---- pieces on their way ---- */

static void link_release(struct link *l)
{
    if (--l->refs == 0) free(l);
}

static void arrive(struct sim *s, void *ctx);
static void piece_send(struct sim *s, struct link *l, int to, enum piece_kind kind, struct weir_buffer *bytes, size_t n)
{
    struct piece *p = calloc(1, sizeof(*p));
    assert(p != NULL);
    p->link = l;
    p->to = to;
    p->kind = kind;
    l->refs++;
    if (bytes != NULL) weir_buffer_move_n(&p->bytes, bytes, n);
    uint64_t now = s->worker->now_ns, at = now + latency(s);
    if (at < l->last_ns[to]) at = l->last_ns[to];
    l->last_ns[to] = at;
    sim_at(s, at - now, arrive, p);
}

/* ---- the end of an end ---- */

static void destroy(struct weir_dead *d)
{
    struct end *e = WEIR_CONTAINER_OF(d, struct end, dead);
    e->sim->end_count--;
    weir_list_remove(&e->node);
    free(e);
}

static void close_now(struct end *e)
{
    struct weir_worker *w = e->t.worker;
    if (e->closed) return;
    e->closed = true;
    weir_timer_stop(&w->timers, &e->timer);
    weir_worker_undefer(&e->flush);
    weir_worker_undefer(&e->deliver);
    weir_buffer_deinit(&e->in);
    weir_buffer_deinit(&e->out);
    if (e->link != NULL) {
        e->link->ends[e->side] = NULL;
        link_release(e->link);
    }
    e->dead.destroy = destroy;
    weir_worker_bury(w, &e->dead);
}

static void end_told(struct end *e, enum weir_close_reason reason)
{
    if (e->closed) return;
    bool tell = !e->detached;
    sim_note(e->sim, "closed", e->t.id, reason);
    close_now(e);
    if (tell) e->t.events->on_closed(e->t.owner, reason);
}

static void end_if_done(struct end *e)
{
    if (!e->closed && e->eof && e->fin_sent && e->detached) end_told(e, WEIR_CLOSE_REMOTE);
}

/* ---- reading ---- */

static void flush_later(struct end *e)
{
    if (!e->connecting && !e->write_dead) weir_worker_flush_later(e->t.worker, &e->flush);
}

/* n bytes that came to `e` are gone from the window of who sent them. */
static void window_open(struct end *e, size_t n)
{
    struct end *peer = e->link->ends[1 - e->side];
    if (peer == NULL) return;
    assert(peer->flight >= n);
    peer->flight -= n;
    if (peer->out.bytes != 0) flush_later(peer);
}

static void deliver_bytes(struct end *e)
{
    while (e->in.bytes != 0 && e->reading && !e->closed && !e->detached) {
        size_t n = e->in.bytes, max = e->sim->network.piece_max;
        if (max != 0) n = 1 + weir_random_below(&e->sim->random, n < max ? n : max);
        if (n > 65536) n = 65536;
        struct weir_block *block = weir_block_create(&e->t.worker->blocks, n);
        (void)weir_buffer_copy_out(&e->in, 0, block->data, n);
        weir_buffer_consume(&e->in, n);
        e->t.rx_bytes += n;
        window_open(e, n);
        sim_note(e->sim, "read", e->t.id, n);
        e->t.events->on_read(e->t.owner, (struct weir_slice){block->data, n, block});
    }
}

static void deliver_all(struct end *e)
{
    deliver_bytes(e);
    if (e->closed || !e->eof || e->eof_told || e->in.bytes != 0) return;
    e->eof_told = true;
    sim_note(e->sim, "eof", e->t.id, 0);
    if (!e->detached) e->t.events->on_eof(e->t.owner);
    end_if_done(e);
}

static void on_deliver(struct weir_deferred *d)
{
    struct end *e = WEIR_CONTAINER_OF(d, struct end, deliver);
    if (e->refused) {
        end_told(e, WEIR_CLOSE_CONNECT_REFUSED);
        return;
    }
    deliver_all(e);
}

static void bytes_arrive(struct end *e, struct weir_buffer *bytes)
{
    if (e->detached) {
        window_open(e, bytes->bytes);
        weir_buffer_consume(bytes, bytes->bytes);
        return;
    }
    weir_buffer_move(&e->in, bytes);
    deliver_all(e);
}

static void arrive(struct sim *s, void *ctx)
{
    struct piece *p = ctx;
    struct end *e = p->link->ends[p->to];
    if (e == NULL || e->closed) {
        /* Nobody reads it: the sender is told so. */
        if (p->kind == PIECE_BYTES && p->link->ends[1 - p->to] != NULL) piece_send(s, p->link, 1 - p->to, PIECE_RESET, NULL, 0);
    } else if (p->kind == PIECE_BYTES) {
        bytes_arrive(e, &p->bytes);
    } else if (p->kind == PIECE_FIN) {
        e->eof = true;
        deliver_all(e);
    } else {
        end_told(e, WEIR_CLOSE_RESET);
    }
    weir_buffer_deinit(&p->bytes);
    link_release(p->link);
    free(p);
}

static void end_read(struct weir_transport *t, bool on)
{
    struct end *e = end_of(t);
    if (e->closed || e->detached) return;
    e->reading = on;
    if (on && (e->in.bytes != 0 || (e->eof && !e->eof_told))) weir_worker_defer(t->worker, &e->deliver);
}

/* ---- writing ---- */

/* As much as the window takes; now and then less, as a kernel may. */
static void write_out(struct end *e)
{
    size_t window = e->sim->network.window_bytes;
    while (e->out.bytes != 0 && e->flight < window) {
        size_t n = window - e->flight < e->out.bytes ? window - e->flight : e->out.bytes, max = e->sim->network.piece_max;
        if (max != 0) n = 1 + weir_random_below(&e->sim->random, n < max ? n : max);
        e->flight += n;
        e->t.tx_bytes += n;
        piece_send(e->sim, e->link, 1 - e->side, PIECE_BYTES, &e->out, n);
    }
    if (e->detached) {
        uint32_t wait = e->linger_ms > STALL_MS_MIN ? e->linger_ms : STALL_MS_MIN;
        weir_timer_start(&e->t.worker->timers, &e->timer, wait);
    }
}

static void after_flush(struct end *e)
{
    if (e->fin_wanted && !e->fin_sent) {
        e->fin_sent = true;
        piece_send(e->sim, e->link, 1 - e->side, PIECE_FIN, NULL, 0);
        if (e->detached && e->linger_ms == 0) {
            end_told(e, WEIR_CLOSE_REMOTE);
            return;
        }
    }
    if (e->flushed_wanted && !e->detached) {
        e->flushed_wanted = false;
        e->t.events->on_flushed(e->t.owner);
    }
    end_if_done(e);
}

static void on_flush(struct weir_deferred *d)
{
    struct end *e = WEIR_CONTAINER_OF(d, struct end, flush);
    if (e->closed || e->connecting || e->write_dead) return;
    write_out(e);
    if (e->t.above_high && e->out.bytes < e->t.low_water) {
        e->t.above_high = false;
        if (!e->detached) e->t.events->on_drained(e->t.owner);
        if (e->closed) return;
    }
    if (e->out.bytes == 0) after_flush(e);
}

static void end_write(struct weir_transport *t, struct weir_buffer *b)
{
    struct end *e = end_of(t);
    if (e->closed || e->write_dead || e->fin_wanted) {
        weir_buffer_consume(b, b->bytes);
        return;
    }
    weir_buffer_move(&e->out, b);
    if (t->worker != e->sim->worker && e->out.bytes > e->sim->queued_max) e->sim->queued_max = e->out.bytes;
    flush_later(e);
}

static size_t end_queued(const struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct end, t)->out.bytes;
}

static void end_notify_flushed(struct weir_transport *t)
{
    end_of(t)->flushed_wanted = true;
    flush_later(end_of(t));
}

static void end_shutdown(struct weir_transport *t)
{
    struct end *e = end_of(t);
    if (e->closed || e->fin_wanted) return;
    e->fin_wanted = true;
    flush_later(e);
}

/* As close(2): what was read by nobody makes it a reset. */
static void end_close(struct weir_transport *t, bool reset)
{
    struct end *e = end_of(t);
    if (e->closed) return;
    sim_note(e->sim, "close", t->id, reset);
    if (e->link != NULL && e->link->ends[1 - e->side] != NULL) {
        bool lost = reset || e->in.bytes != 0;
        if (!lost && e->out.bytes != 0) write_out(e);
        if (lost || !e->fin_sent) piece_send(e->sim, e->link, 1 - e->side, lost ? PIECE_RESET : PIECE_FIN, NULL, 0);
    }
    close_now(e);
}

static void on_linger_over(struct weir_timer *timer)
{
    struct end *e = WEIR_CONTAINER_OF(timer, struct end, timer);
    end_close(&e->t, false);
}

static void end_finish(struct weir_transport *t, uint32_t linger_ms)
{
    struct end *e = end_of(t);
    if (e->closed) return;
    if (e->connecting || e->link == NULL || e->write_dead) {
        close_now(e);
        return;
    }
    e->detached = true;
    e->linger_ms = linger_ms;
    e->timer.on_due = on_linger_over;
    weir_timer_start(&t->worker->timers, &e->timer, linger_ms > STALL_MS_MIN ? linger_ms : STALL_MS_MIN);
    weir_worker_undefer(&e->deliver);
    window_open(e, e->in.bytes);
    weir_buffer_consume(&e->in, e->in.bytes);
    e->fin_wanted = true;
    flush_later(e);
}

static void end_idle(struct weir_transport *t)
{
    struct end *e = end_of(t);
    if (e->out.bytes == 0) weir_buffer_deinit(&e->out);
}

static const struct weir_transport_ops end_ops = {
    .read = end_read,
    .write = end_write,
    .queued = end_queued,
    .notify_flushed = end_notify_flushed,
    .shutdown = end_shutdown,
    .close = end_close,
    .finish = end_finish,
    .idle = end_idle,
};

/* ---- making ---- */

static struct end *end_new(struct sim *s, struct weir_worker *w)
{
    struct end *e = calloc(1, sizeof(*e));
    assert(e != NULL);
    e->sim = s;
    e->t.ops = &end_ops;
    e->t.worker = w;
    e->t.id = weir_worker_next_connection_id(w);
    e->flush.run = on_flush;
    e->deliver.run = on_deliver;
    s->end_count++;
    weir_list_push_back(&s->ends, &e->node);
    return e;
}

static void join(struct end *a, struct end *b)
{
    struct link *l = calloc(1, sizeof(*l));
    assert(l != NULL);
    l->refs = 2;
    l->ends[0] = a;
    l->ends[1] = b;
    a->link = b->link = l;
    b->side = 1;
}

void sim_socket_pair(struct sim *s, struct weir_transport **a, struct weir_transport **b)
{
    struct end *x = end_new(s, s->worker), *y = end_new(s, s->worker);
    join(x, y);
    *a = &x->t;
    *b = &y->t;
}

static struct sim_listener *find_listener(struct sim *s, const struct weir_address *address)
{
    for (struct weir_list *at = s->listeners.next; at != &s->listeners; at = at->next) {
        struct sim_listener *l = WEIR_CONTAINER_OF(at, struct sim_listener, node);
        if (weir_address_equal(&l->address, address, true)) return l;
    }
    return NULL;
}

static void on_connect_timeout(struct weir_timer *timer)
{
    struct end *e = WEIR_CONTAINER_OF(timer, struct end, timer);
    end_told(e, WEIR_CLOSE_CONNECT_TIMEOUT);
}

/* The connecting end may be gone by the time: it is known by its link, which has only one end until then. */
static void connect_arrives(struct sim *s, void *ctx)
{
    struct link *l = ctx;
    struct end *e = l->ends[0];
    const struct weir_address at = e != NULL ? weir_transport_remote(&e->t) : (struct weir_address){0};
    struct sim_listener *to = e != NULL ? find_listener(s, &at) : NULL;
    if (e == NULL || (to != NULL && to->mode == SIM_BLACK_HOLE)) {
        link_release(l);
        return;
    }
    if (to == NULL || to->mode == SIM_REFUSE) {
        e->t.failure_reason = WEIR_STR("delayed_connect_error:_Connection_refused");
        link_release(l);
        end_told(e, WEIR_CLOSE_CONNECT_REFUSED);
        return;
    }
    struct end *server = end_new(s, to->worker != NULL ? to->worker(to->ctx) : s->worker);
    server->link = l; /* the reference that the event had */
    server->side = 1;
    l->ends[1] = server;
    server->t.local = e->t.remote; /* IP: copied whole */
    server->t.remote = e->t.local;
    e->connecting = false;
    weir_timer_stop(&e->t.worker->timers, &e->timer);
    sim_note(s, "connected", e->t.id, server->t.id);
    to->on_accept(to->ctx, &server->t);
    if (e->closed) return;
    if (e->out.bytes != 0 || e->fin_wanted || e->flushed_wanted) flush_later(e);
    if (!e->detached && e->t.events->on_connected != NULL) e->t.events->on_connected(e->t.owner);
}

void sim_net_tell_ends(const struct sim *s)
{
    for (const struct weir_list *at = s->ends.next; at != &s->ends; at = at->next) {
        const struct end *e = WEIR_CONTAINER_OF(at, const struct end, node);
        char local[WEIR_ADDRESS_TEXT_MAX], remote[WEIR_ADDRESS_TEXT_MAX];
        const struct weir_address from = weir_transport_local(&e->t), to = weir_transport_remote(&e->t);
        (void)weir_address_print(&from, local);
        (void)weir_address_print(&to, remote);
        (void)fprintf(stderr, "transport %llu of worker %u is left, %s to %s:%s%s%s%s%s, %zu to read, %zu to write\n", (unsigned long long)e->t.id,
                      e->t.worker->index, local, remote, e->connecting ? " connecting" : "", e->reading ? " reading" : "", e->eof ? " eof" : "",
                      e->detached ? " finishing" : "", e->closed ? " closed" : "", e->in.bytes, e->out.bytes);
    }
}

struct weir_transport *sim_net_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                       const struct weir_transport_events *events, void *owner)
{
    struct sim *s = sim_of(w);
    struct end *e = end_new(s, w);
    weir_transport_attach(&e->t, events, owner);
    const struct weir_address local = o->local != NULL && o->local->length != 0 ? *o->local : sim_address(200, (uint16_t)(20000 + e->t.id % 40000));
    weir_address_keep(&e->t.remote, o->remote);
    weir_address_keep(&e->t.local, &local);
    e->connecting = true;
    e->link = calloc(1, sizeof(*e->link));
    assert(e->link != NULL);
    e->link->refs = 2; /* the end's and the event's */
    e->link->ends[0] = e;
    e->timer.on_due = on_connect_timeout;
    if (o->connect_timeout_ms != 0) weir_timer_start(&w->timers, &e->timer, o->connect_timeout_ms);
    sim_at(s, latency(s), connect_arrives, e->link);
    return &e->t;
}
