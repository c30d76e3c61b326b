/* A listener on one worker: accepts, keeps the chains of its present version, and ends when it was stopped and its last
 * connection has gone. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "dataplane/base/log.h"
#include "dataplane/limits.h"
#include "dataplane/listener/internal.h"
#include "dataplane/worker/watch.h"

#define NO_DESCRIPTOR_PAUSE_MS 100u /* how long nothing is accepted after the system ran out of descriptors or memory */

#define X(name) {#name, WEIR_COUNTER},
#define Y(name) {#name, WEIR_GAUGE},
#define Z(name) {#name, WEIR_HISTOGRAM},
const struct weir_stat_desc weir_listener_stat_descs[WEIR_LS_COUNT] = {WEIR_LISTENER_COUNTERS(X) WEIR_LISTENER_GAUGES(Y) WEIR_LISTENER_HISTOGRAMS(Z)};
#undef X
#undef Y
#undef Z
const struct weir_stat_desc weir_listener_worker_stat_descs[WEIR_LWS_COUNT] = {
    [WEIR_LWS_downstream_cx_total] = {"downstream_cx_total", WEIR_COUNTER},
    [WEIR_LWS_downstream_cx_active] = {"downstream_cx_active", WEIR_GAUGE},
};

static void want_accept(struct weir_listener *l, bool on)
{
    if (l->watch != NULL) weir_watch_want(l->watch, on, false);
}

static void on_pause_over(struct weir_timer *t)
{
    want_accept(WEIR_CONTAINER_OF(t, struct weir_listener, pause), true);
}

/* Whether accept may go on. */
static bool accept_failed(struct weir_listener *l, int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO: return true; /* that one is gone; the next may be well */
    case EAGAIN: return false;
    default:
        /* The socket stays readable: without a pause the loop would spin. What waits is served later. */
        WEIR_LOG(CONNECTION, WARNING, "listener %.*s: accept: %s", WEIR_STR_ARG(l->config->resource.name), strerrordesc_np(error));
        want_accept(l, false);
        weir_timer_start(&l->worker->timers, &l->pause, NO_DESCRIPTOR_PAUSE_MS);
        return false;
    }
}

static void accept_some(struct weir_listener *l, uint32_t max)
{
    int fd = weir_listener_sockets_fd(l->sockets, l->worker->index);
    uint32_t accepted = 0;
    while (accepted < max) {
        struct weir_address remote = {.length = sizeof(remote.un)};
        int s = accept4(fd, &remote.any, &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s < 0) {
            if (accept_failed(l, errno)) continue;
            break;
        }
        if (remote.length > sizeof(remote.un)) remote.length = sizeof(remote.un);
        accepted++;
        weir_opening_start(l, s, &remote);
    }
    if (l->stats != NULL && accepted != 0) weir_stat_record(l->stats, WEIR_LS_connections_accepted_per_socket_event, accepted);
}

static void on_acceptable(void *ctx, bool readable, bool writable)
{
    struct weir_listener *l = ctx;
    (void)readable, (void)writable;
    accept_some(l, l->config->accepts_per_event);
}

static void on_opening_deadline(struct weir_timer *t)
{
    weir_openings_close(WEIR_CONTAINER_OF(t, struct weir_listener, opening_deadline));
}

static void hold_stats(struct weir_listener *l)
{
    struct weir_stats *set = l->stats_set, *worker_set = l->worker_stats_set;
    uint32_t index = l->worker->index;
    l->stats_set = l->worker_stats_set = NULL;
    l->stats = l->worker_stats = NULL;
    if (l->config->stats != NULL) {
        l->stats_set = weir_stats_ref(l->config->stats);
        l->stats = weir_stats_shard(l->stats_set, index);
    }
    if (l->config->worker_stats != NULL) {
        l->worker_stats_set = weir_stats_ref(l->config->worker_stats[index]);
        l->worker_stats = weir_stats_shard(l->worker_stats_set, index);
    }
    if (set != NULL) weir_stats_release(set);
    if (worker_set != NULL) weir_stats_release(worker_set);
}

static struct weir_listener_chain *chain_with(struct weir_listener_chain **chains, uint32_t count, struct weir_str identity)
{
    for (uint32_t i = 0; i < count; i++)
        if (chains[i] != NULL && weir_str_eq(chains[i]->identity, identity)) return chains[i];
    return NULL;
}

/* The chains of the present config: those that were there before go on, the rest drain. */
static void take_chains(struct weir_listener *l, uint64_t drain_ms, bool immediately)
{
    const struct weir_listener_config *config = l->config;
    struct weir_listener_chain **old = l->chains;
    uint32_t old_count = l->chain_count;
    l->chain_count = config->chain_count;
    l->chains = calloc(config->chain_count + 1u, sizeof(l->chains[0]));
    if (l->chains == NULL) abort();
    for (uint32_t i = 0; i < config->chain_count; i++) {
        struct weir_listener_chain *c = NULL;
        /* Mostly nothing moves: the same place first. */
        if (i < old_count && old[i] != NULL && weir_str_eq(old[i]->identity, config->chains[i].identity))
            c = old[i];
        else
            c = chain_with(old, old_count, config->chains[i].identity);
        l->chains[i] = c != NULL ? c : weir_listener_chain_create(l, l->pin, &config->chains[i]);
        if (c == NULL) continue;
        weir_listener_chain_update(c, l->pin, &config->chains[i]);
        for (uint32_t k = 0; k < old_count; k++)
            if (old[k] == c) old[k] = NULL;
    }
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i] == NULL) continue;
        weir_listener_chain_drain(old[i], drain_ms, immediately);
        weir_listener_chain_close_at(old[i], drain_ms);
        weir_listener_chain_release(old[i]);
    }
    free(old);
}

struct weir_listener *weir_listener_start(struct weir_worker *w, struct weir_listener_config *config, struct weir_listener_sockets *s)
{
    struct weir_listener *l = calloc(1, sizeof(*l));
    if (l == NULL) abort();
    l->worker = w;
    l->pin = weir_pin_create(&config->resource);
    l->config = config;
    l->sockets = weir_listener_sockets_acquire(s);
    l->pause.on_due = on_pause_over;
    l->opening_deadline.on_due = on_opening_deadline;
    weir_list_init(&l->opening);
    weir_list_init(&l->all_chains);
    hold_stats(l);
    take_chains(l, 0, true);
    l->next = w->snapshot.listeners;
    w->snapshot.listeners = l;
    weir_listener_reachable(l);
    int fd = weir_listener_sockets_fd(s, w->index);
    if (fd < 0) return l;
    l->watch = weir_watch_create(w, fd, false, on_acceptable, l);
    if (l->watch == NULL)
        WEIR_LOG(CONNECTION, ERROR, "listener %.*s: cannot be watched: %s", WEIR_STR_ARG(config->resource.name), strerrordesc_np(errno));
    want_accept(l, true);
    return l;
}

void weir_listener_update(struct weir_listener *l, struct weir_listener_config *config, uint64_t drain_ms, bool immediately)
{
    struct weir_pin *old = l->pin;
    l->pin = weir_pin_create(&config->resource);
    l->config = config;
    hold_stats(l);
    take_chains(l, drain_ms, immediately);
    weir_pin_release(old);
}

static void destroy(struct weir_dead *d)
{
    struct weir_listener *l = WEIR_CONTAINER_OF(d, struct weir_listener, dead);
    if (l->stats_set != NULL) weir_stats_release(l->stats_set);
    if (l->worker_stats_set != NULL) weir_stats_release(l->worker_stats_set);
    weir_pin_release(l->pin);
    free(l);
}

static void post(struct weir_mail *m, struct weir_worker *to)
{
    if (m != NULL) weir_mailbox_post(to, m);
}

/* Nothing of this worker is left but last answers on their way: the process must not end before they have left. */
#define UNFLUSHED_POLL_MS 5u

static void on_shutdown_poll(struct weir_timer *t)
{
    struct weir_shutdown *s = WEIR_CONTAINER_OF(t, struct weir_shutdown, timer);
    bool late = s->worker->now_ns >= s->start_ns + (s->order.drain_ms + WEIR_UNFLUSHED_WAIT_MS) * 1000000u;
    if (s->order.part != WEIR_SHUTDOWN_INBOUND && s->worker->unflushed != 0 && !late) {
        weir_timer_start(&s->worker->timers, t, UNFLUSHED_POLL_MS);
        return;
    }
    post(s->idle, s->to);
}

static void shutdown_ended_one(struct weir_shutdown *s)
{
    if (--s->pending == 0) weir_timer_start(&s->worker->timers, &s->timer, 0);
}

static void shutdown_destroy(struct weir_worker_local *l)
{
    free(WEIR_CONTAINER_OF(l, struct weir_shutdown, local));
}

static void outbound_end_if_idle(struct weir_shutdown *s);

static void free_if_gone(struct weir_listener *l)
{
    if (!l->stopped || l->connections != 0 || l->opening_count != 0 || weir_list_linked(&l->dead.node)) return;
    for (struct weir_listener **at = &l->worker->snapshot.listeners; *at != NULL; at = &(*at)->next) {
        if (*at != l) continue;
        *at = l->next;
        break;
    }
    weir_timer_stop(&l->worker->timers, &l->opening_deadline);
    for (uint32_t i = 0; i < l->chain_count; i++)
        weir_listener_chain_release(l->chains[i]);
    free(l->chains);
    post(l->gone, l->gone_to);
    if (l->shutdown != NULL) shutdown_ended_one(l->shutdown);
    l->dead.destroy = destroy;
    weir_worker_bury(l->worker, &l->dead);
}

void weir_listener_ended_one(struct weir_listener *l)
{
    struct weir_shutdown *s = l->shutdown;
    bool waits = s != NULL && s->order.part == WEIR_SHUTDOWN_OUTBOUND && !l->stopped;
    free_if_gone(l);
    if (waits) outbound_end_if_idle(s);
}

/* Accepts what waits already: it was promised when the kernel took it. */
static void stop_accepting(struct weir_listener *l)
{
    if (l->stopped) return;
    l->stopped = true;
    weir_listener_unreachable(l);
    weir_timer_stop(&l->worker->timers, &l->pause);
    if (l->watch != NULL) {
        accept_some(l, UINT32_MAX);
        weir_timer_stop(&l->worker->timers, &l->pause);
        weir_watch_destroy(l->watch);
        l->watch = NULL;
    }
    weir_listener_sockets_release(l->sockets);
    l->sockets = NULL;
}

/* Every chain, also of older versions; with a deadline they are closed then. */
static void drain_chains(struct weir_listener *l, uint64_t drain_ms, bool immediately, bool close)
{
    struct weir_list *next;
    l->drain = (struct weir_drain){l->worker->now_ns, immediately ? 0 : drain_ms * 1000000u, true};
    for (struct weir_list *n = l->all_chains.next; n != &l->all_chains; n = next) {
        struct weir_listener_chain *c = WEIR_CONTAINER_OF(n, struct weir_listener_chain, node);
        c->refs++;
        weir_listener_chain_drain(c, drain_ms, immediately);
        if (close) weir_listener_chain_close_at(c, drain_ms);
        next = n->next; /* draining may have freed others, not this one */
        weir_listener_chain_release(c);
    }
}

static void stop(struct weir_listener *l, uint64_t drain_ms, bool immediately)
{
    /* Held until the end of this function: the last connection may end inside. */
    l->opening_count++;
    drain_chains(l, drain_ms, immediately, true);
    stop_accepting(l);
    weir_timer_start(&l->worker->timers, &l->opening_deadline, drain_ms);
    l->opening_count--;
    free_if_gone(l);
}

void weir_listener_stop(struct weir_listener *l, uint64_t drain_ms, bool immediately, struct weir_mail *gone, struct weir_worker *to)
{
    l->gone = gone;
    l->gone_to = to;
    stop(l, drain_ms, immediately);
}

void weir_listener_drain(struct weir_listener *l, uint64_t drain_ms, bool immediately)
{
    drain_chains(l, immediately ? 0 : drain_ms, false, false);
}

struct weir_listener *weir_listener_find(struct weir_worker *w, struct weir_str name)
{
    for (struct weir_listener *l = w->snapshot.listeners; l != NULL; l = l->next)
        if (!l->stopped && weir_str_eq(l->config->resource.name, name)) return l;
    return NULL;
}

const struct weir_listener_config *weir_listener_config(const struct weir_listener *l)
{
    return l->config;
}

uint32_t weir_listener_connections(const struct weir_listener *l)
{
    return l->connections;
}

static uint64_t shutdown_left_ms(const struct weir_shutdown *s)
{
    uint64_t passed_ms = (s->worker->now_ns - s->start_ns) / 1000000u;
    return passed_ms < s->order.drain_ms ? s->order.drain_ms - passed_ms : 0;
}

static void shutdown_stop(struct weir_shutdown *s)
{
    s->pending++;
    for (struct weir_listener *l = s->worker->snapshot.listeners, *next; l != NULL; l = next) {
        next = l->next;
        if (l->shutdown == s && !l->stopped) stop(l, shutdown_left_ms(s), true);
    }
    shutdown_ended_one(s);
}

static void on_linger_over(struct weir_timer *t)
{
    shutdown_stop(WEIR_CONTAINER_OF(t, struct weir_shutdown, linger));
}

static void outbound_end_if_idle(struct weir_shutdown *s)
{
    for (const struct weir_listener *l = s->worker->snapshot.listeners; l != NULL; l = l->next)
        if (l->shutdown == s && l->connections + l->opening_count != 0) return;
    weir_timer_stop(&s->worker->timers, &s->linger);
    weir_timer_start(&s->worker->timers, &s->linger, 0); /* not from within the connection that ended */
}

static bool in_part(const struct weir_listener *l, enum weir_shutdown_part part)
{
    return part == WEIR_SHUTDOWN_ALL || (part == WEIR_SHUTDOWN_OUTBOUND) == l->config->outbound;
}

void weir_listeners_shutdown(struct weir_worker *w, const struct weir_shutdown_order *o, struct weir_mail *idle, struct weir_worker *to)
{
    struct weir_shutdown *s = calloc(1, sizeof(*s));
    if (s == NULL) abort();
    *s = (struct weir_shutdown){.local.destroy = shutdown_destroy, .timer.on_due = on_shutdown_poll, .linger.on_due = on_linger_over,
                                .worker = w, .order = *o, .start_ns = w->now_ns, .pending = 1, .idle = idle, .to = to};
    weir_worker_add_local(w, &s->local);
    w->draining |= o->part == WEIR_SHUTDOWN_ALL;
    bool lingers = o->part == WEIR_SHUTDOWN_OUTBOUND || (o->linger_ms != 0 && o->linger_ms < o->drain_ms);
    for (struct weir_listener *l = w->snapshot.listeners, *next; l != NULL; l = next) {
        next = l->next;
        if (l->shutdown != NULL || !in_part(l, o->part)) continue;
        l->shutdown = s;
        s->pending++;
        if (l->stopped || !lingers) stop(l, o->drain_ms, true);
        /* While new clients are taken those at rest are borne too: each learns of the end by its next answer. The application's
         * own connections keep nobody waiting that asks for nothing. */
        else drain_chains(l, 0, o->part == WEIR_SHUTDOWN_OUTBOUND, false);
    }
    if (lingers) weir_timer_start(&w->timers, &s->linger, o->part == WEIR_SHUTDOWN_OUTBOUND ? o->drain_ms : o->linger_ms);
    if (o->part == WEIR_SHUTDOWN_OUTBOUND) outbound_end_if_idle(s);
    shutdown_ended_one(s);
}

void weir_listeners_deinit(struct weir_worker *w)
{
    for (struct weir_listener *l = w->snapshot.listeners, *next; l != NULL; l = next) {
        struct weir_list *after;
        next = l->next;
        l->opening_count++; /* held until its end here */
        l->shutdown = NULL;
        l->gone = NULL;
        stop_accepting(l);
        weir_openings_close(l);
        for (struct weir_list *n = l->all_chains.next; n != &l->all_chains; n = after) {
            struct weir_listener_chain *c = WEIR_CONTAINER_OF(n, struct weir_listener_chain, node);
            c->refs++;
            weir_listener_chain_close(c);
            after = n->next;
            weir_listener_chain_release(c);
        }
        l->opening_count--;
        free_if_gone(l);
    }
}

uint32_t weir_listeners_connections(struct weir_worker *w)
{
    uint32_t n = 0;
    for (struct weir_listener *l = w->snapshot.listeners; l != NULL; l = l->next)
        n += l->connections + l->opening_count;
    return n;
}
