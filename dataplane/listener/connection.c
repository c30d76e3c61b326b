/* A connection of a filter chain: TLS where the chain has it, then the network filters, of which the last one takes over. */
#include <stdlib.h>

#include "dataplane/listener/internal.h"
#include "dataplane/transport/tls.h"

#define STATE_ALIGN 16u

static struct weir_listener_connection *of(struct weir_connection *c)
{
    return WEIR_CONTAINER_OF(c, struct weir_listener_connection, c);
}

static void destroy(struct weir_dead *d)
{
    struct weir_listener_connection *c = WEIR_CONTAINER_OF(d, struct weir_listener_connection, dead);
    free(c->timer);
    free(c->direct);
    free(c);
}

static void stop_timer(struct weir_listener_connection *c)
{
    if (c->timer != NULL) weir_timer_stop(&c->c.worker->timers, c->timer);
}

static void on_done(struct weir_connection *connection)
{
    struct weir_listener_connection *c = of(connection);
    struct weir_listener *l = c->chain->listener;
    if (c->dead.destroy != NULL) return;
    stop_timer(c);
    weir_list_remove(&c->node);
    c->dead.destroy = destroy;
    weir_worker_bury(connection->worker, &c->dead);
    weir_listener_count(l, WEIR_LS_downstream_cx_destroy, 1);
    weir_listener_count(l, WEIR_LS_downstream_cx_active, -1);
    if (l->worker_stats != NULL) weir_stat_add(l->worker_stats, WEIR_LWS_downstream_cx_active, -1);
    if (l->stats != NULL)
        weir_stat_record(l->stats, WEIR_LS_downstream_cx_length_ms, (connection->worker->now_ns - connection->start_ns) / 1000000u);
    weir_listener_chain_release(c->chain);
    l->connections--;
    weir_listener_ended_one(l);
}

/* Until the terminal filter has attached itself. */
static void on_waiting_connected(void *owner);
static void on_waiting_closed(void *owner, enum weir_close_reason reason)
{
    struct weir_listener_connection *c = owner;
    (void)reason;
    c->c.transport = NULL;
    weir_connection_done(&c->c);
}
static void on_waiting_eof(void *owner)
{
    struct weir_listener_connection *c = owner;
    weir_transport_close(c->c.transport, false);
    on_waiting_closed(c, WEIR_CLOSE_REMOTE);
}
static const struct weir_transport_events waiting_events = {
    .on_connected = on_waiting_connected, .on_eof = on_waiting_eof, .on_closed = on_waiting_closed};

static void run_filters(struct weir_listener_connection *c)
{
    while (!c->ready) {
        const struct weir_network_filter *f = c->c.chain->filters[c->c.next].filter;
        c->ready = f->terminal;
        enum weir_network_verdict v = f->on_connection(&c->c);
        if (c->dead.destroy != NULL || v == WEIR_NETWORK_ENDED || f->terminal) return;
        if (v == WEIR_NETWORK_PAUSE) return;
        c->c.next++;
    }
}

static void on_waiting_connected(void *owner)
{
    struct weir_listener_connection *c = owner;
    stop_timer(c);
    run_filters(c);
}

void weir_connection_resume(struct weir_connection *connection)
{
    connection->next++;
    run_filters(of(connection));
}

static void on_connect_timeout(struct weir_timer *t);
struct connect_timer {
    struct weir_timer timer; /* first: freed through it */
    struct weir_listener_connection *c;
};
static void on_connect_timeout(struct weir_timer *t)
{
    struct weir_listener_connection *c = WEIR_CONTAINER_OF(t, struct connect_timer, timer)->c;
    weir_listener_count(c->chain->listener, WEIR_LS_downstream_cx_transport_socket_connect_timeout, 1);
    weir_listener_connection_close(c);
}

static void start_timer(struct weir_listener_connection *c, uint64_t delay_ms)
{
    struct connect_timer *t = calloc(1, sizeof(*t));
    if (t == NULL) abort();
    t->c = c;
    t->timer.on_due = on_connect_timeout;
    c->timer = &t->timer;
    weir_timer_start(&c->c.worker->timers, c->timer, delay_ms);
}

void weir_listener_connection_start(struct weir_listener_chain *chain, struct weir_transport *raw, struct weir_str sni,
                                    const struct weir_address *direct, uint64_t start_ns)
{
    struct weir_listener *l = chain->listener;
    size_t head = (sizeof(struct weir_listener_connection) + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
    struct weir_listener_connection *c = calloc(1, head + chain->state_bytes + sni.n);
    if (c == NULL) abort();
    char *name = (char *)c + head + chain->state_bytes;
    if (sni.n != 0) memcpy(name, sni.p, sni.n);
    c->c = (struct weir_connection){.chain = &chain->c, .transport = raw, .worker = l->worker, .server_name = {name, sni.n},
                                    .start_ns = start_ns, .on_done = on_done, .states = (char *)c + head};
    if (direct != NULL) {
        c->direct = malloc(sizeof(*direct));
        if (c->direct == NULL) abort();
        *c->direct = *direct;
        c->c.direct_remote = c->direct;
    }
    c->chain = chain;
    chain->refs++;
    weir_list_push_back(&chain->connections, &c->node);
    l->connections++;
    weir_listener_count(l, WEIR_LS_downstream_cx_total, 1);
    weir_listener_count(l, WEIR_LS_downstream_cx_active, 1);
    if (l->stats != NULL) weir_stat_touch(l->stats, WEIR_LS_downstream_pre_cx_active); /* it may have been peeked at, or not */
    if (l->worker_stats != NULL) {
        weir_stat_inc(l->worker_stats, WEIR_LWS_downstream_cx_total);
        weir_stat_add(l->worker_stats, WEIR_LWS_downstream_cx_active, 1);
    }
    if (chain->tls != NULL) {
        c->c.transport = weir_tls_accept(raw, chain->tls, &waiting_events, c);
        if (chain->connect_timeout_ms != 0) start_timer(c, chain->connect_timeout_ms);
        return;
    }
    weir_transport_attach(raw, &waiting_events, c);
    run_filters(c);
}

void weir_listener_connection_drain(struct weir_listener_connection *c)
{
    const struct weir_network_filter *f = c->c.chain->filters[c->c.chain->filter_count - 1].filter;
    if (c->ready && f->on_drain != NULL) f->on_drain(&c->c);
}

void weir_listener_connection_close(struct weir_listener_connection *c)
{
    const struct weir_network_filter *f = c->c.chain->filters[c->c.chain->filter_count - 1].filter;
    if (c->ready) {
        f->on_deadline(&c->c);
        return;
    }
    weir_transport_close(c->c.transport, false);
    on_waiting_closed(c, WEIR_CLOSE_NONE);
}
