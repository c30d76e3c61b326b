/* The control thread's side of a cluster: hosts from endpoints, publication, outlier detection. */
#include "dataplane/cluster/shared.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/cluster/original_dst.h"
#include "dataplane/cluster/outlier.h"
#include "dataplane/cluster/resolution.h"
#include "dataplane/codec/h1_stats.h"
#include "dataplane/codec/h2_stats.h"

#define HOSTS_FEW 8u /* slots */

/* ---- life ---- */

struct weir_cluster_shared *weir_cluster_shared_acquire(struct weir_cluster_shared *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void weir_cluster_shared_release(struct weir_cluster_shared *s)
{
    uint32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (int h2 = 0; h2 < 2; h2++) {
        struct weir_stats *set = atomic_load_explicit(&s->codec_stats[h2], memory_order_acquire);
        if (set != NULL) weir_stats_release(set);
    }
    free(s);
}

struct weir_stats *weir_cluster_shared_codec_stats(struct weir_cluster_shared *s, const struct weir_cluster_config *config, bool h2)
{
    struct weir_stats *set = atomic_load_explicit(&s->codec_stats[h2], memory_order_acquire);
    if (set != NULL) return set;
    struct weir_arena scratch = {0};
    struct weir_str prefix = weir_arena_printf(&scratch, "cluster.%.*s.http%d.", WEIR_STR_ARG(config->stat_name), h2 ? 2 : 1);
    struct weir_stats *mine = h2 ? weir_stats_acquire(s->env->stats, prefix, weir_h2_stat_descs, WEIR_H2_STAT_COUNT)
                                 : weir_stats_acquire(s->env->stats, prefix, weir_h1_stat_descs, WEIR_H1_STAT_COUNT);
    weir_arena_deinit(&scratch);
    if (atomic_compare_exchange_strong_explicit(&s->codec_stats[h2], &set, mine, memory_order_acq_rel, memory_order_acquire))
        return mine;
    weir_stats_release(mine);
    return set;
}

static uint64_t now_ms(const struct weir_cluster_shared *s)
{
    return weir_worker_now_ms(s->env->control);
}

static void outlier_timer_due(struct weir_timer *t);
static bool rebuild_hosts(struct weir_cluster_shared *s);

static void outlier_configure(struct weir_cluster_shared *s)
{
    const struct weir_cluster_config *c = s->config;
    bool running = s->outlier != NULL;
    if (!c->outlier.enabled) {
        if (!running) return;
        weir_timer_stop(&s->env->control->timers, &s->outlier_timer);
        if (weir_outlier_release_all(s->outlier, s->by_slot, s->slot_capacity))
            atomic_fetch_add_explicit(&s->health_epoch, 1, memory_order_release);
        weir_outlier_deinit(s->outlier);
        free(s->outlier);
        s->outlier = NULL;
        return;
    }
    if (!running) {
        s->outlier = malloc(sizeof(*s->outlier));
        if (s->outlier == NULL) abort();
        weir_outlier_init(s->outlier, &c->outlier, c->outlier_stats,
                          c->outlier_stats != NULL ? weir_stats_shard(c->outlier_stats, s->env->worker_count) : NULL,
                          &s->env->control->random);
    }
    /* The set of the same name is the same set: only the numbers of the configuration change. */
    s->outlier->config = s->overrides != NULL ? s->overrides->outlier : c->outlier;
    s->outlier_timer.on_due = outlier_timer_due;
    weir_timer_start(&s->env->control->timers, &s->outlier_timer, s->outlier->config.interval_ms);
}

static void overrides_read(struct weir_cluster_shared *s)
{
    free(s->overrides);
    s->overrides = weir_cluster_overrides_create(s->config, s->env->control->snapshot.runtime);
}

static void relimit(struct weir_cluster_shared *s)
{
    for (uint32_t p = 0; p < 2; p++)
        weir_breaker_relimit(&s->breakers[p], weir_cluster_shared_limits(s, p), weir_stats_shard(s->config->stats, s->env->worker_count), p);
}

void weir_cluster_shared_runtime_changed(struct weir_cluster_shared *s)
{
    bool was = s->overrides != NULL;
    overrides_read(s);
    if (!was && s->overrides == NULL) return;
    relimit(s);
    /* A new interval counts from the end of the one that runs. */
    if (s->outlier != NULL) s->outlier->config = s->overrides != NULL ? s->overrides->outlier : s->config->outlier;
}

static void resolution_configure(struct weir_cluster_shared *s)
{
    struct weir_dns_resolution *before = s->resolution;
    s->resolution = NULL;
    if (s->config->type == WEIR_CLUSTER_STRICT_DNS || s->config->type == WEIR_CLUSTER_LOGICAL_DNS)
        s->resolution = weir_dns_resolution_create(s, s->env->dns, s->config, before);
    if (before != NULL) weir_dns_resolution_destroy(before);
}

static void become_ready(struct weir_cluster_shared *s)
{
    if (s->ready) return;
    s->ready = true;
    weir_stat_set(s->stats, WEIR_CC_warming_state, 0);
    if (s->on_ready != NULL) s->on_ready(s->on_ready_ctx, s);
}

struct weir_cluster_shared *weir_cluster_shared_create(const struct weir_cluster_env *env, uint32_t slot,
                                                       struct weir_cluster_config *config,
                                                       void (*on_ready)(void *ctx, struct weir_cluster_shared *s), void *ctx)
{
    size_t align = _Alignof(struct weir_cluster_shared);
    struct weir_cluster_shared *s = aligned_alloc(align, (sizeof(*s) + align - 1) / align * align);
    if (s == NULL) abort();
    memset(s, 0, sizeof(*s));
    atomic_init(&s->refs, 1);
    s->env = env;
    s->slot = slot;
    s->hosts = weir_host_set_create(NULL, 0, NULL);
    weir_resource_acquire(&config->resource);
    s->config = config;
    s->stats = weir_stats_shard(config->control_stats, env->worker_count);
    overrides_read(s);
    for (uint32_t p = 0; p < 2; p++)
        weir_breaker_track(&s->breakers[p], weir_cluster_shared_limits(s, p), s->stats);
    outlier_configure(s);
    resolution_configure(s);
    rebuild_hosts(s);
    /* EDS waits for its endpoints, DNS for its names; neither says so before the caller has the pointer. */
    if (config->type == WEIR_CLUSTER_STATIC || config->type == WEIR_CLUSTER_ORIGINAL_DST || !config->wait_for_warm_on_init || (s->resolution != NULL && weir_dns_resolution_done(s->resolution))) s->ready = true;
    weir_stat_set(s->stats, WEIR_CC_warming_state, !s->ready);
    s->on_ready = on_ready;
    s->on_ready_ctx = ctx;
    return s;
}

void weir_cluster_shared_set_config(struct weir_cluster_shared *s, struct weir_cluster_config *config)
{
    assert(!s->closed);
    struct weir_cluster_config *before = s->config;
    if (before == config) return;
    weir_resource_acquire(&config->resource);
    s->config = config;
    s->stats = weir_stats_shard(config->control_stats, s->env->worker_count);
    overrides_read(s);
    relimit(s);
    outlier_configure(s);
    resolution_configure(s);
    if (config->type != WEIR_CLUSTER_ORIGINAL_DST) weir_original_dst_forget(s);
    /* A DNS cluster keeps its hosts until its names have been answered under the new configuration. */
    if (s->resolution == NULL || weir_dns_resolution_done(s->resolution)) rebuild_hosts(s);
    weir_resource_release(&before->resource);
}

void weir_cluster_shared_set_endpoints(struct weir_cluster_shared *s, struct weir_endpoints *endpoints)
{
    assert(!s->closed);
    struct weir_endpoints *before = s->endpoints;
    if (endpoints != NULL) weir_resource_acquire(&endpoints->resource);
    s->endpoints = endpoints;
    if (!rebuild_hosts(s)) weir_stat_inc(s->stats, WEIR_CC_update_no_rebuild);
    if (before != NULL) weir_resource_release(&before->resource);
    become_ready(s);
}

void weir_cluster_shared_endpoints_unchanged(struct weir_cluster_shared *s)
{
    weir_stat_inc(s->stats, WEIR_CC_update_no_rebuild);
}

void weir_cluster_shared_resolved(struct weir_cluster_shared *s)
{
    if (!weir_dns_resolution_done(s->resolution)) return;
    rebuild_hosts(s);
    become_ready(s);
    if (s->published) weir_cluster_shared_publish(s);
}

/* ---- hosts ---- */

static uint32_t slot_take(struct weir_cluster_shared *s)
{
    uint32_t slot = 0;
    /* Slots in use are dense but for those freed by the last update: the hint keeps this from going over all of them. */
    for (slot = s->slot_hint; slot < s->slot_capacity && s->by_slot[slot] != NULL; slot++) {
    }
    s->slot_hint = slot + 1;
    if (slot < s->slot_capacity) return slot;
    uint32_t capacity = s->slot_capacity > 0 ? s->slot_capacity * 2 : 4;
    s->by_slot = realloc(s->by_slot, sizeof(s->by_slot[0]) * capacity);
    if (s->by_slot == NULL) abort();
    memset(s->by_slot + s->slot_capacity, 0, sizeof(s->by_slot[0]) * (capacity - s->slot_capacity));
    s->slot_capacity = capacity;
    return slot;
}

struct rebuild {
    struct weir_cluster_shared *s;
    struct weir_host_set *set;
    const struct weir_endpoints *from;
    uint32_t *member_of; /* by slot: index of the member + 1; 0: not in the new set */
    uint32_t member_capacity, added;
};

/* Most clusters have a few hosts, and may be many: no table for them. */
static struct weir_host *host_find(struct weir_cluster_shared *s, struct weir_str key)
{
    if (s->by_key.count > 0) return weir_map_get(&s->by_key, key);
    for (uint32_t i = 0; i < s->slot_capacity; i++)
        if (s->by_slot[i] != NULL && weir_str_eq(s->by_slot[i]->key, key)) return s->by_slot[i];
    return NULL;
}

static void host_index(struct weir_cluster_shared *s, struct weir_host *h)
{
    if (s->slot_capacity <= HOSTS_FEW) return;
    if (s->by_key.count > 0) {
        (void)weir_map_set(&s->by_key, h->key, h);
        return;
    }
    for (uint32_t i = 0; i < s->slot_capacity; i++)
        if (s->by_slot[i] != NULL) (void)weir_map_set(&s->by_key, s->by_slot[i]->key, s->by_slot[i]);
}

static struct weir_host *host_find_or_make(struct rebuild *b, const struct weir_address *address, const struct weir_endpoint *e)
{
    struct weir_cluster_shared *s = b->s;
    char text[WEIR_HOST_KEY_MAX];
    struct weir_str key = {text, weir_host_key(address, e->hostname, text)};
    struct weir_host *h = host_find(s, key);
    if (h != NULL) return h;
    struct weir_str zone = e->locality < b->from->locality_count ? b->from->localities[e->locality].zone : (struct weir_str){0};
    h = weir_host_create(address, e->hostname, zone);
    h->slot = slot_take(s);
    s->by_slot[h->slot] = h;
    host_index(s, h);
    b->added++;
    if (s->slot_capacity > b->member_capacity) {
        b->member_of = realloc(b->member_of, sizeof(b->member_of[0]) * s->slot_capacity);
        if (b->member_of == NULL) abort();
        memset(b->member_of + b->member_capacity, 0, sizeof(b->member_of[0]) * (s->slot_capacity - b->member_capacity));
        b->member_capacity = s->slot_capacity;
    }
    return h;
}

static void member_add(struct rebuild *b, const struct weir_address *address, const struct weir_endpoint *e)
{
    struct weir_host *h = host_find_or_make(b, address, e);
    if (b->member_of[h->slot] != 0) {
        /* Named twice. A static list means a larger share by it; in EDS and DNS the first one counts. */
        if (b->s->config->type == WEIR_CLUSTER_STATIC) b->set->at[b->member_of[h->slot] - 1].weight += e->weight;
        return;
    }
    b->set->at[b->set->count++] = (struct weir_host_member){
        .host = weir_host_acquire(h),
        .weight = e->weight,
        .locality = e->locality,
        .priority = b->from->localities[e->locality].priority,
        .health = e->health,
        .canary = e->canary,
        .metadata = e->metadata,
    };
    b->member_of[h->slot] = b->set->count;
}

static uint32_t addresses_of(const struct weir_cluster_shared *s, uint32_t index, const struct weir_address **out)
{
    if (s->resolution == NULL) return 0;
    uint32_t n = weir_dns_resolution_addresses(s->resolution, index, out);
    return n > 1 && s->config->type == WEIR_CLUSTER_LOGICAL_DNS ? 1 : n;
}

static void members_fill(struct rebuild *b)
{
    for (uint32_t i = 0; i < b->from->count; i++) {
        const struct weir_endpoint *e = &b->from->at[i];
        if (e->dns_name.n == 0) {
            member_add(b, &e->address, e);
            continue;
        }
        const struct weir_address *at = NULL;
        uint32_t n = addresses_of(b->s, i, &at);
        for (uint32_t k = 0; k < n; k++) {
            struct weir_address a = at[k];
            weir_address_set_port(&a, e->port);
            member_add(b, &a, e);
        }
    }
}

static uint32_t members_max(const struct weir_cluster_shared *s, const struct weir_endpoints *from)
{
    uint32_t n = 0;
    for (uint32_t i = 0; from != NULL && i < from->count; i++) {
        const struct weir_address *at = NULL;
        n += from->at[i].dns_name.n == 0 ? 1 : addresses_of(s, i, &at);
    }
    return n;
}

static uint32_t hosts_drop_unnamed(struct rebuild *b)
{
    struct weir_cluster_shared *s = b->s;
    uint32_t removed = 0;
    for (uint32_t i = 0; i < s->slot_capacity; i++) {
        struct weir_host *h = s->by_slot[i];
        if (h == NULL || b->member_of[i] != 0) continue;
        if (s->outlier != NULL) weir_outlier_forget(s->outlier, h);
        (void)weir_map_remove(&s->by_key, h->key);
        s->by_slot[i] = NULL;
        weir_host_release(h);
        removed++;
    }
    return removed;
}

void weir_cluster_shared_count_hosts(struct weir_cluster_shared *s)
{
    const struct weir_host_set *set = weir_cluster_shared_hosts(s);
    int64_t healthy = 0, degraded = 0, heaviest = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct weir_host_member *m = &set->at[i];
        if (m->weight > heaviest) heaviest = m->weight;
        if (weir_host_ejected(m->host)) continue;
        healthy += m->health == WEIR_HOST_HEALTHY;
        degraded += m->health == WEIR_HOST_DEGRADED;
    }
    weir_stat_set(s->stats, WEIR_CC_membership_total, set->count);
    weir_stat_set(s->stats, WEIR_CC_membership_healthy, healthy);
    weir_stat_set(s->stats, WEIR_CC_membership_degraded, degraded);
    weir_stat_set(s->stats, WEIR_CC_membership_excluded, 0);
    if (s->config->type != WEIR_CLUSTER_STATIC) weir_stat_set(s->stats, WEIR_CC_max_host_weight, heaviest);
}

static bool members_same(const struct weir_host_set *a, const struct weir_host_set *b)
{
    if (a->count != b->count || a->overprovisioning_percent != b->overprovisioning_percent) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct weir_host_member *x = &a->at[i], *y = &b->at[i];
        if (x->host != y->host || x->weight != y->weight || x->priority != y->priority || x->health != y->health || x->canary != y->canary) return false;
        if (a->localities[x->locality].weight != b->localities[y->locality].weight || x->metadata != NULL || y->metadata != NULL) return false;
    }
    return true;
}

/* Whether anything is other than it was. */
static bool rebuild_hosts(struct weir_cluster_shared *s)
{
    struct weir_endpoints *from = s->config->type == WEIR_CLUSTER_EDS ? s->endpoints : s->config->endpoints;
    struct rebuild b = {.s = s, .from = from, .member_capacity = s->slot_capacity};
    b.member_of = calloc(s->slot_capacity > 0 ? s->slot_capacity : 1, sizeof(b.member_of[0]));
    if (b.member_of == NULL) abort();
    /* The endpoints of a STATIC or DNS cluster lie in its configuration: the set holds that one instead. */
    b.set = weir_host_set_create(from, members_max(s, from), s->config->type == WEIR_CLUSTER_EDS ? NULL : &s->config->resource);
    s->slot_hint = 0;
    if (from != NULL) members_fill(&b);
    uint32_t removed = hosts_drop_unnamed(&b);
    b.set->slot_count = s->slot_capacity;
    free(b.member_of);
    bool changed = b.added + removed > 0 || !members_same(s->hosts, b.set);
    weir_host_set_release(s->hosts);
    s->hosts = b.set;
    weir_stat_add(s->stats, WEIR_CC_default_total_match_count, b.set->count);
    if (b.added + removed > 0) weir_stat_inc(s->stats, WEIR_CC_membership_change);
    weir_cluster_shared_count_hosts(s);
    return changed;
}

/* ---- outlier detection ---- */

static void health_changed(struct weir_cluster_shared *s)
{
    weir_cluster_shared_count_hosts(s);
    atomic_fetch_add_explicit(&s->health_epoch, 1, memory_order_release);
}

static void outlier_timer_due(struct weir_timer *t)
{
    struct weir_cluster_shared *s = WEIR_CONTAINER_OF(t, struct weir_cluster_shared, outlier_timer);
    if (weir_outlier_interval(s->outlier, s->by_slot, s->slot_capacity, now_ms(s))) health_changed(s);
    weir_timer_start(&s->env->control->timers, t, s->outlier->config.interval_ms);
}

struct signal_mail {
    struct weir_mail mail;
    struct weir_cluster_shared *shared;
    struct weir_host *host;
    uint32_t signals;
};

static void signal_deliver(struct weir_worker *control, struct weir_mail *m)
{
    struct signal_mail *mail = WEIR_CONTAINER_OF(m, struct signal_mail, mail);
    struct weir_cluster_shared *s = mail->shared;
    (void)control;
    if (s->outlier != NULL && weir_outlier_signal(s->outlier, mail->host, mail->signals, s->by_slot, s->slot_capacity, now_ms(s))) {
        WEIR_LOG(UPSTREAM, DEBUG, "cluster %.*s: ejected %.*s", WEIR_STR_ARG(s->config->resource.name),
                 WEIR_STR_ARG(mail->host->address_text));
        health_changed(s);
    }
    weir_host_release(mail->host);
    weir_cluster_shared_release(s);
    free(mail);
}

void weir_cluster_shared_signal(struct weir_cluster_shared *s, struct weir_host *host, uint32_t signals)
{
    struct signal_mail *mail = calloc(1, sizeof(*mail));
    if (mail == NULL) abort();
    mail->mail.deliver = signal_deliver;
    mail->shared = weir_cluster_shared_acquire(s);
    mail->host = weir_host_acquire(host);
    mail->signals = signals;
    weir_mailbox_post(s->env->control, &mail->mail);
}

/* ---- publication ---- */

struct install_mail {
    struct weir_mail mail;
    struct weir_cluster_shared *shared;
    struct weir_cluster_config *config; /* NULL: remove */
    struct weir_host_set *hosts;
    uint32_t slot;
};

static void install_deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct install_mail *mail = WEIR_CONTAINER_OF(m, struct install_mail, mail);
    if (mail->config == NULL) {
        weir_cluster_remove(w, mail->slot);
    } else {
        weir_cluster_install(w, mail->slot, mail->shared, mail->config, mail->hosts);
        weir_resource_release(&mail->config->resource);
        weir_host_set_release(mail->hosts);
    }
    weir_cluster_shared_release(mail->shared);
    free(mail);
}

static void post(struct weir_cluster_shared *s, bool remove)
{
    for (uint32_t i = 0; i < s->env->worker_count; i++) {
        struct install_mail *mail = calloc(1, sizeof(*mail));
        if (mail == NULL) abort();
        mail->mail.deliver = install_deliver;
        mail->slot = s->slot;
        mail->shared = weir_cluster_shared_acquire(s);
        if (!remove) {
            weir_resource_acquire(&s->config->resource);
            mail->config = s->config;
            mail->hosts = weir_host_set_acquire(s->hosts);
        }
        weir_mailbox_post(s->env->workers[i], &mail->mail);
    }
}

void weir_cluster_shared_publish(struct weir_cluster_shared *s)
{
    assert(!s->closed);
    s->published = true;
    post(s, false);
}

void weir_cluster_shared_close(struct weir_cluster_shared *s)
{
    assert(!s->closed);
    s->closed = true;
    if (s->published) post(s, true);
    weir_timer_stop(&s->env->control->timers, &s->outlier_timer);
    if (s->resolution != NULL) weir_dns_resolution_destroy(s->resolution);
    s->resolution = NULL;
    weir_original_dst_forget(s);
    for (uint32_t i = 0; i < s->slot_capacity; i++) {
        if (s->by_slot[i] == NULL) continue;
        if (s->outlier != NULL) weir_outlier_forget(s->outlier, s->by_slot[i]);
        weir_host_release(s->by_slot[i]);
    }
    free(s->by_slot);
    s->by_slot = NULL;
    s->slot_capacity = 0;
    weir_map_deinit(&s->by_key);
    free(s->overrides);
    s->overrides = NULL;
    if (s->outlier != NULL) weir_outlier_deinit(s->outlier);
    free(s->outlier);
    s->outlier = NULL;
    /* Gauges of a cluster that is gone say nothing, should its stats be held a little longer. */
    weir_stat_set(s->stats, WEIR_CC_membership_total, 0);
    weir_stat_set(s->stats, WEIR_CC_membership_healthy, 0);
    weir_stat_set(s->stats, WEIR_CC_membership_degraded, 0);
    weir_host_set_release(s->hosts);
    if (s->endpoints != NULL) weir_resource_release(&s->endpoints->resource);
    weir_resource_release(&s->config->resource);
    s->hosts = NULL;
    s->endpoints = NULL;
    s->config = NULL;
    weir_cluster_shared_release(s);
}
