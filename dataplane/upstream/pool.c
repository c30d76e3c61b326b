/* Pools: who gets which connection, who waits, when a connection is made. */
#include "dataplane/upstream/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/upstream/connection.h"

/* ---- reset reasons ---- */

static const struct {
    struct weir_str text;
    uint64_t flag;
} resets[] = {
    [WEIR_UPSTREAM_LOCAL_RESET] = {WEIR_STR_INIT("local reset"), WEIR_FLAG(LOCAL_RESET)},
    [WEIR_UPSTREAM_LOCAL_REFUSED] = {WEIR_STR_INIT("local refused stream reset"), WEIR_FLAG(LOCAL_RESET)},
    [WEIR_UPSTREAM_REMOTE_RESET] = {WEIR_STR_INIT("remote reset"), WEIR_FLAG(UPSTREAM_REMOTE_RESET)},
    [WEIR_UPSTREAM_REMOTE_REFUSED] = {WEIR_STR_INIT("remote refused stream reset"), WEIR_FLAG(UPSTREAM_REMOTE_RESET)},
    [WEIR_UPSTREAM_LOCAL_CONNECTION_FAILURE] = {WEIR_STR_INIT("local connection failure"), WEIR_FLAG(UPSTREAM_CONNECTION_FAILURE)},
    [WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE] = {WEIR_STR_INIT("remote connection failure"), WEIR_FLAG(UPSTREAM_CONNECTION_FAILURE)},
    [WEIR_UPSTREAM_CONNECTION_TIMEOUT] = {WEIR_STR_INIT("connection timeout"), WEIR_FLAG(UPSTREAM_CONNECTION_FAILURE)},
    [WEIR_UPSTREAM_CONNECTION_TERMINATION] = {WEIR_STR_INIT("connection termination"), WEIR_FLAG(UPSTREAM_CONNECTION_TERMINATION)},
    [WEIR_UPSTREAM_OVERFLOW] = {WEIR_STR_INIT("overflow"), WEIR_FLAG(UPSTREAM_OVERFLOW)},
    [WEIR_UPSTREAM_CONNECT_ERROR] = {WEIR_STR_INIT("remote error with CONNECT request"), WEIR_FLAG(UPSTREAM_REMOTE_RESET)},
    [WEIR_UPSTREAM_PROTOCOL_ERROR] = {WEIR_STR_INIT("protocol error"), WEIR_FLAG(UPSTREAM_PROTOCOL_ERROR)},
};

struct weir_str weir_upstream_reset_text(enum weir_upstream_reset r)
{
    return resets[r].text;
}

uint64_t weir_upstream_reset_flag(enum weir_upstream_reset r)
{
    return resets[r].flag;
}

/* ---- breakers ---- */

static const struct weir_breaker_limits *limits_of(const struct weir_pool *p)
{
    return &weir_pool_cluster(p)->limits[p->key.priority];
}

static struct weir_breaker *breaker_of(const struct weir_pool *p)
{
    return &weir_pool_cluster(p)->shared->breakers[p->key.priority];
}

static bool has_room(const struct weir_pool *p, enum weir_breaker_resource r)
{
    return weir_breaker_has_room(breaker_of(p), limits_of(p), r);
}

/* ---- life ---- */

static void pool_free(struct weir_pool *p)
{
    struct weir_cluster_host *host = p->host;
    weir_worker_undefer(&p->serve);
    weir_list_remove(&p->node);
    weir_breaker_give(breaker_of(p), limits_of(p), WEIR_BREAKER_POOLS, weir_pool_stats(p), p->key.priority);
    free((void *)(uintptr_t)p->key.sni.p);
    free((void *)(uintptr_t)p->key.san.p);
    free(p);
    weir_cluster_host_release(host);
}

static bool pool_free_if_over(struct weir_pool *p)
{
    if (!p->draining || p->connections > 0 || p->waiting > 0) return false;
    pool_free(p);
    return true;
}

/* Connections that nobody needs go; what runs or waits is served to its end. */
static void pool_drain(struct weir_pool *p, bool close_now)
{
    p->draining = true;
    for (int state = 0; state < WEIR_CONNECTION_CLOSED; state++) {
        struct weir_list *list = &p->lists[state], *next;
        for (struct weir_list *at = list->next; at != list; at = next) {
            next = at->next;
            struct weir_upstream_connection *c = WEIR_CONTAINER_OF(at, struct weir_upstream_connection, node);
            if (close_now) {
                weir_upstream_connection_abort(c);
                next = list->next; /* what was failed may have changed the list */
            } else if (p->waiting == 0 || c->streams > 0) {
                weir_upstream_connection_drain(c);
            }
        }
    }
    if (close_now) weir_pool_connect_failed(p, WEIR_UPSTREAM_CONNECTION_TERMINATION, (struct weir_str){0});
}

static void host_removed(struct weir_cluster_host *h, bool close_now)
{
    struct weir_list *next;
    for (struct weir_list *at = h->pools.next; at != &h->pools; at = next) {
        next = at->next;
        struct weir_pool *p = WEIR_CONTAINER_OF(at, struct weir_pool, node);
        pool_drain(p, close_now);
        (void)pool_free_if_over(p);
    }
}

static struct weir_str text_copy(struct weir_str s)
{
    if (s.n == 0) return (struct weir_str){0};
    char *copy = malloc(s.n);
    if (copy == NULL) abort();
    memcpy(copy, s.p, s.n);
    return (struct weir_str){copy, s.n};
}

static void serve(struct weir_deferred *d);

static struct weir_pool *pool_create(struct weir_cluster_host *h, const struct weir_pool_key *key)
{
    struct weir_cluster *cluster = h->cluster;
    struct weir_breaker *breaker = &cluster->shared->breakers[key->priority];
    const struct weir_breaker_limits *limits = &cluster->limits[key->priority];
    if (!weir_breaker_has_room(breaker, limits, WEIR_BREAKER_POOLS)) {
        weir_stat_inc(cluster->stats, WEIR_CS_upstream_cx_pool_overflow);
        return NULL;
    }
    struct weir_pool *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    p->host = weir_cluster_host_acquire(h);
    p->key = *key;
    p->key.sni = text_copy(key->sni);
    p->key.san = text_copy(key->san);
    p->draining = h->removed;
    p->serve.run = serve;
    for (int i = 0; i < WEIR_CONNECTION_STATES; i++)
        weir_list_init(&p->lists[i]);
    weir_list_init(&p->waits);
    if (h->pools.next == NULL) weir_list_init(&h->pools);
    h->on_removed = host_removed;
    weir_list_push_back(&h->pools, &p->node);
    weir_breaker_take(breaker, limits, WEIR_BREAKER_POOLS, cluster->stats, key->priority);
    weir_breaker_touch(cluster->stats, key->priority);
    return p;
}

struct weir_pool *weir_pool_get(struct weir_cluster_host *h, const struct weir_pool_key *key)
{
    for (struct weir_list *at = h->pools.next; at != NULL && at != &h->pools; at = at->next) {
        struct weir_pool *p = WEIR_CONTAINER_OF(at, struct weir_pool, node);
        if (p->key.kind == key->kind && p->key.priority == key->priority && weir_str_eq(p->key.sni, key->sni) &&
            weir_str_eq(p->key.san, key->san))
            return p;
    }
    return pool_create(h, key);
}

/* ---- connections ---- */

void weir_pool_move(struct weir_upstream_connection *c, enum weir_connection_state to)
{
    struct weir_pool *p = c->pool;
    if (c->state == WEIR_CONNECTION_STATES) {
        p->connections++;
    } else {
        weir_list_remove(&c->node);
        p->counts[c->state]--;
    }
    if (c->state == WEIR_CONNECTION_CONNECTING) p->promised -= c->carries;
    if (to == WEIR_CONNECTION_CONNECTING) p->promised += c->carries;
    c->state = to;
    p->counts[to]++;
    if (to == WEIR_CONNECTION_READY)
        weir_list_push_front(&p->lists[to], &c->node);
    else
        weir_list_push_back(&p->lists[to], &c->node);
}

void weir_pool_connection_gone(struct weir_pool *p)
{
    p->connections--;
    p->counts[WEIR_CONNECTION_CLOSED]--;
    (void)pool_free_if_over(p);
}

static bool may_connect(const struct weir_pool *p)
{
    uint64_t host_connections = atomic_load_explicit(&p->host->host->cx_active, memory_order_relaxed);
    if (has_room(p, WEIR_BREAKER_CONNECTIONS) && host_connections < weir_pool_config(p)->host_connections_max) return true;
    weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_cx_overflow);
    /* With none at all nothing would ever serve who waits. */
    return p->counts[WEIR_CONNECTION_CONNECTING] + p->counts[WEIR_CONNECTION_READY] + p->counts[WEIR_CONNECTION_BUSY] == 0;
}

static void connect_as_needed(struct weir_pool *p)
{
    while (p->waiting > p->promised && may_connect(p))
        weir_upstream_connection_start(p);
}

/* ---- waiting ---- */

static void wait_end(struct weir_pool_wait *w)
{
    struct weir_pool *p = w->pool;
    weir_list_remove(&w->node);
    w->pool = NULL;
    p->waiting--;
    weir_breaker_give(breaker_of(p), limits_of(p), WEIR_BREAKER_PENDING, weir_pool_stats(p), p->key.priority);
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_rq_pending_active, -1);
}

static struct weir_upstream_connection *first_ready(const struct weir_pool *p)
{
    const struct weir_list *ready = &p->lists[WEIR_CONNECTION_READY];
    return weir_list_empty(ready) ? NULL : WEIR_CONTAINER_OF(ready->next, struct weir_upstream_connection, node);
}

static struct weir_pool_wait *first_wait(const struct weir_pool *p)
{
    return weir_list_empty(&p->waits) ? NULL : WEIR_CONTAINER_OF(p->waits.next, struct weir_pool_wait, node);
}

static void serve(struct weir_deferred *d)
{
    struct weir_pool *p = WEIR_CONTAINER_OF(d, struct weir_pool, serve);
    struct weir_upstream_connection *c;
    struct weir_pool_wait *w;
    while ((w = first_wait(p)) != NULL && (c = first_ready(p)) != NULL) {
        wait_end(w);
        if (!has_room(p, WEIR_BREAKER_REQUESTS)) {
            weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_active_overflow);
            w->on_failed(w, WEIR_UPSTREAM_OVERFLOW, (struct weir_str){0});
            continue;
        }
        w->on_ready(w, c);
    }
    connect_as_needed(p);
    if (p->draining) {
        if (p->waiting == 0) pool_drain(p, false);
        (void)pool_free_if_over(p);
    }
}

void weir_pool_serve_later(struct weir_pool *p)
{
    weir_worker_defer(weir_pool_worker(p), &p->serve);
}

void weir_pool_connect_failed(struct weir_pool *p, enum weir_upstream_reset why, struct weir_str failure)
{
    /* Those who come to wait while the others are told are not this failure's. */
    uint32_t count = p->waiting;
    for (uint32_t i = 0; i < count; i++) {
        struct weir_pool_wait *w = first_wait(p);
        if (w == NULL) break;
        wait_end(w);
        weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_pending_failure_eject);
        w->on_failed(w, why, failure);
    }
}

enum weir_pool_answer weir_pool_acquire(struct weir_pool *p, struct weir_pool_wait *w, struct weir_upstream_connection **out)
{
    struct weir_upstream_connection *c = first_ready(p);
    if (c != NULL) {
        if (!has_room(p, WEIR_BREAKER_REQUESTS)) {
            weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_active_overflow);
            return WEIR_POOL_OVERFLOW;
        }
        *out = c;
        return WEIR_POOL_READY;
    }
    if (!has_room(p, WEIR_BREAKER_PENDING)) {
        weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_pending_overflow);
        return WEIR_POOL_OVERFLOW;
    }
    w->pool = p;
    weir_list_push_back(&p->waits, &w->node);
    p->waiting++;
    weir_breaker_take(breaker_of(p), limits_of(p), WEIR_BREAKER_PENDING, weir_pool_stats(p), p->key.priority);
    weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_pending_total);
    weir_stat_add(weir_pool_stats(p), WEIR_CS_upstream_rq_pending_active, 1);
    connect_as_needed(p);
    return WEIR_POOL_WAITING;
}

void weir_pool_cancel(struct weir_pool_wait *w)
{
    struct weir_pool *p = w->pool;
    if (p == NULL) return;
    wait_end(w);
    weir_stat_inc(weir_pool_stats(p), WEIR_CS_upstream_rq_cancelled);
    if (p->draining) weir_pool_serve_later(p);
}

void weir_pool_count(const struct weir_pool *p, struct weir_pool_counts *out)
{
    *out = (struct weir_pool_counts){
        .connecting = p->counts[WEIR_CONNECTION_CONNECTING],
        .ready = p->counts[WEIR_CONNECTION_READY],
        .busy = p->counts[WEIR_CONNECTION_BUSY],
        .draining = p->counts[WEIR_CONNECTION_DRAINING],
        .pending = p->waiting,
    };
}
