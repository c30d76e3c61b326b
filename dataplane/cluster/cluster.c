/* A worker's view of clusters: installing and removing them, their hosts, picking one. */
#include "dataplane/cluster/cluster.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/lb.h"
#include "dataplane/cluster/original_dst.h"
#include "dataplane/cluster/outlier.h"
#include "dataplane/cluster/overrides.h"
#include "dataplane/cluster/shared.h"

/* ---- references ---- */

struct weir_cluster *weir_cluster_acquire(struct weir_cluster *c)
{
    c->refs++;
    return c;
}

static void cluster_free(struct weir_cluster *c)
{
    assert(c->removed);
    weir_lb_destroy(c->lb);
    free(c->by_slot);
    free(c->overrides);
    weir_pin_release(c->endpoints);
    weir_pin_release(c->pin);
    weir_host_set_release(c->hosts);
    weir_cluster_shared_release(c->shared);
    free(c);
}

void weir_cluster_release(struct weir_cluster *c)
{
    assert(c->refs > 0);
    if (--c->refs == 0) cluster_free(c);
}

static void host_free(struct weir_cluster_host *h)
{
    weir_host_release(h->host);
    free(h);
}

struct weir_cluster_host *weir_cluster_host_acquire(struct weir_cluster_host *h)
{
    h->refs++;
    h->cluster->refs++;
    return h;
}

void weir_cluster_host_release(struct weir_cluster_host *h)
{
    struct weir_cluster *c = h->cluster;
    assert(h->refs > 0);
    if (--h->refs == 0 && h->removed) host_free(h);
    weir_cluster_release(c);
}

/* ---- hosts ---- */

struct weir_cluster_host *weir_cluster_host_make(struct weir_cluster *c, struct weir_host *host)
{
    struct weir_cluster_host *h = calloc(1, sizeof(*h));
    if (h == NULL) abort();
    h->cluster = c;
    h->host = weir_host_acquire(host);
    return h;
}

void weir_cluster_host_drop(struct weir_cluster_host *h, bool close_now)
{
    h->removed = true;
    /* Pools that close give references back: not the last one before the hook has returned. */
    weir_cluster_host_acquire(h);
    if (h->on_removed != NULL) h->on_removed(h, close_now);
    weir_cluster_host_release(h);
}

static void host_remove(struct weir_cluster *c, struct weir_cluster_host *h, bool close_now)
{
    c->by_slot[h->host->slot] = NULL;
    weir_cluster_host_drop(h, close_now);
}

/* Brings the worker's hosts in line with c->hosts. */
static void hosts_sync(struct weir_cluster *c)
{
    const struct weir_host_set *set = c->hosts;
    if (set->slot_count > c->host_capacity) {
        struct weir_cluster_host **wider = realloc(c->by_slot, sizeof(wider[0]) * set->slot_count);
        if (wider == NULL) abort();
        memset(wider + c->host_capacity, 0, sizeof(wider[0]) * (set->slot_count - c->host_capacity));
        c->by_slot = wider;
        c->host_capacity = set->slot_count;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const struct weir_host_member *m = &set->at[i];
        struct weir_cluster_host *h = c->by_slot[m->host->slot];
        if (h != NULL && h->host != m->host) {
            host_remove(c, h, false);
            h = NULL;
        }
        if (h == NULL) h = c->by_slot[m->host->slot] = weir_cluster_host_make(c, m->host);
        h->weight = m->weight;
        h->canary = m->canary;
        h->metadata = m->metadata;
        h->seen = set;
    }
    for (uint32_t i = 0; i < c->host_capacity; i++)
        if (c->by_slot[i] != NULL && c->by_slot[i]->seen != set) host_remove(c, c->by_slot[i], false);
    weir_pin_release(c->endpoints);
    c->endpoints = set->source != NULL ? weir_pin_create(set->source) : NULL;
    weir_lb_destroy(c->lb);
    c->lb = NULL;
}

static void overrides_read(struct weir_cluster *c)
{
    free(c->overrides);
    c->overrides = weir_cluster_overrides_create(c->config, c->worker->snapshot.runtime);
    c->limits = c->overrides != NULL ? c->overrides->limits : c->config->limits;
    c->outlier = c->overrides != NULL ? &c->overrides->outlier : &c->config->outlier;
}

void weir_cluster_inflate(struct weir_cluster *c)
{
    overrides_read(c);
    c->stats = weir_stats_shard(c->config->stats, c->worker->index);
    hosts_sync(c);
}

void weir_clusters_runtime_changed(struct weir_worker *w)
{
    for (uint32_t i = 0; i < w->snapshot.cluster_capacity; i++) {
        struct weir_cluster *c = w->snapshot.clusters[i];
        if (c != NULL && c->stats != NULL) overrides_read(c);
    }
}

/* ---- installing ---- */

static struct weir_cluster **slot_of(struct weir_worker *w, uint32_t slot)
{
    struct weir_snapshot *s = &w->snapshot;
    if (slot >= s->cluster_capacity) {
        uint32_t capacity = s->cluster_capacity > 0 ? s->cluster_capacity : 16;
        while (capacity <= slot)
            capacity *= 2;
        struct weir_cluster **wider = realloc(s->clusters, sizeof(wider[0]) * capacity);
        if (wider == NULL) abort();
        memset(wider + s->cluster_capacity, 0, sizeof(wider[0]) * (capacity - s->cluster_capacity));
        s->clusters = wider;
        s->cluster_capacity = capacity;
    }
    return &s->clusters[slot];
}

static void retire(struct weir_cluster *c, bool close_now)
{
    c->removed = true;
    weir_original_dst_end(c, close_now);
    for (uint32_t i = 0; i < c->host_capacity; i++)
        if (c->by_slot[i] != NULL) host_remove(c, c->by_slot[i], close_now);
    weir_lb_destroy(c->lb);
    c->lb = NULL;
    weir_cluster_release(c);
}

void weir_cluster_install(struct weir_worker *w, uint32_t slot, struct weir_cluster_shared *shared, struct weir_cluster_config *config,
                          struct weir_host_set *hosts)
{
    struct weir_cluster **at = slot_of(w, slot), *old = *at;
    if (old != NULL && old->config == config && old->shared == shared) {
        if (old->hosts == hosts) return;
        struct weir_host_set *before = old->hosts;
        old->hosts = weir_host_set_acquire(hosts);
        if (old->stats != NULL) hosts_sync(old);
        weir_host_set_release(before);
        return;
    }
    struct weir_cluster *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    c->worker = w;
    c->slot = slot;
    c->pin = weir_pin_create(&config->resource);
    c->config = config;
    c->hosts = weir_host_set_acquire(hosts);
    c->shared = weir_cluster_shared_acquire(shared);
    c->refs = 1;
    *at = c;
    (void)weir_map_set(&w->snapshot.clusters_by_name, config->resource.name, c);
    if (old != NULL) retire(old, false);
}

void weir_cluster_remove(struct weir_worker *w, uint32_t slot)
{
    struct weir_cluster *c = weir_snapshot_cluster(&w->snapshot, slot);
    if (c == NULL) return;
    w->snapshot.clusters[slot] = NULL;
    (void)weir_map_remove(&w->snapshot.clusters_by_name, c->config->resource.name);
    retire(c, false);
}

void weir_clusters_deinit(struct weir_worker *w)
{
    struct weir_snapshot *s = &w->snapshot;
    weir_map_deinit(&s->clusters_by_name);
    for (uint32_t i = 0; i < s->cluster_capacity; i++) {
        struct weir_cluster *c = s->clusters[i];
        s->clusters[i] = NULL;
        if (c != NULL) retire(c, true);
    }
    free(s->clusters);
    s->clusters = NULL;
    s->cluster_capacity = 0;
}

/* ---- picking ---- */

static void lb_refresh(struct weir_cluster *c, uint32_t epoch)
{
    weir_lb_destroy(c->lb);
    c->lb = weir_lb_create(c->config, c->worker->snapshot.runtime, &c->worker->random, c->hosts, c->by_slot);
    c->lb_epoch = epoch;
}

static bool is_avoided(const struct weir_lb_context *x, const struct weir_cluster_host *h)
{
    for (uint32_t i = 0; i < x->avoid_count; i++)
        if (x->avoid[i] == h->host) return true;
    return false;
}

static struct weir_cluster_host *draw(struct weir_cluster *c, const struct weir_lb_context *x)
{
    /* Acquire: flags that were set before the epoch moved are seen by the rebuild. */
    uint32_t epoch = atomic_load_explicit(&c->shared->health_epoch, memory_order_acquire);
    if (c->lb == NULL || c->lb_epoch != epoch) lb_refresh(c, epoch);
    struct weir_cluster_host *h = NULL;
    for (uint32_t tries = 0;; tries++) {
        bool panicked = false;
        h = weir_lb_draw(c->lb, &panicked);
        if (panicked) weir_stat_inc(c->stats, WEIR_CS_lb_healthy_panic);
        if (h == NULL || x->avoid_count == 0 || tries >= x->avoid_attempts || !is_avoided(x, h)) return h;
    }
}

struct weir_cluster_host *weir_cluster_pick(struct weir_cluster *c, const struct weir_lb_context *x)
{
    (void)weir_cluster_use(c);
    if (c->removed) return NULL;
    struct weir_cluster_host *h = c->config->type == WEIR_CLUSTER_ORIGINAL_DST ? weir_original_dst_pick(c, x) : draw(c, x);
    if (h == NULL) {
        weir_stat_inc(c->stats, WEIR_CS_upstream_cx_none_healthy);
        return NULL;
    }
    return weir_cluster_host_acquire(h);
}

int weir_cluster_drop_overload(struct weir_cluster *c)
{
    const struct weir_host_set *s = c->hosts;
    if (s->drop_denominator == 0 || s->drop_numerator == 0) return 0;
    if (s->drop_numerator >= s->drop_denominator) return 2;
    return weir_random_below(&c->worker->random, s->drop_denominator) < s->drop_numerator;
}

void weir_cluster_report(struct weir_cluster *c, struct weir_host *host, enum weir_outlier_result result, uint32_t status)
{
    if (!c->config->outlier.enabled) return;
    uint32_t signals = weir_outlier_count(c->outlier, &host->counts, result, status);
    if (signals != 0) weir_cluster_shared_signal(c->shared, host, signals);
}
