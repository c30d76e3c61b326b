/* The names of a DNS cluster: asking, refreshing, keeping the last good answer. */
#include "dataplane/cluster/resolution.h"

#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/cluster/cluster_stats.h"

struct name {
    struct weir_dns_resolution *resolution;
    struct weir_str text; /* in the configuration */
    struct weir_dns_query *query;
    struct weir_timer timer;
    struct weir_address *addresses; /* sorted */
    uint32_t count, failures;
    bool done;
};
struct weir_dns_resolution {
    struct weir_cluster_shared *shared; /* not counted: owns this */
    struct weir_dns *dns;
    const struct weir_cluster_config *config; /* a reference is held */
    uint32_t name_count, undone;
    struct name *names;
    uint32_t *name_of; /* by endpoint; UINT32_MAX: no name */
};

static int by_bytes(const void *a, const void *b)
{
    const struct weir_address *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return memcmp(&x->any, &y->any, x->length);
}

static bool answer_keep(struct name *n, const struct weir_dns_answer *a)
{
    struct weir_address *sorted = calloc(a->count + 1, sizeof(sorted[0]));
    if (sorted == NULL) abort();
    if (a->count > 0) memcpy(sorted, a->at, sizeof(sorted[0]) * a->count);
    qsort(sorted, a->count, sizeof(sorted[0]), by_bytes);
    bool same = n->count == a->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = by_bytes(&sorted[i], &n->addresses[i]) == 0;
    free(n->addresses);
    n->addresses = sorted;
    n->count = a->count;
    return !same;
}

static uint64_t delay_of(struct name *n, const struct weir_dns_answer *a)
{
    const struct weir_dns_config *c = &n->resolution->config->dns;
    struct weir_random *random = &n->resolution->shared->env->control->random;
    if (a->status != WEIR_DNS_OK && c->failure_base_ms > 0) {
        uint32_t doublings = n->failures < 32 ? n->failures - 1 : 31;
        uint64_t most = c->failure_base_ms << doublings;
        if (most > c->failure_max_ms || most >> doublings != c->failure_base_ms) most = c->failure_max_ms;
        return 1 + weir_random_below(random, most);
    }
    uint64_t delay = c->refresh_ms;
    if (c->respect_ttl && a->status == WEIR_DNS_OK && a->ttl_s > 0) delay = (uint64_t)a->ttl_s * 1000;
    if (delay < c->min_refresh_ms) delay = c->min_refresh_ms;
    return delay + (c->jitter_ms > 0 ? weir_random_below(random, c->jitter_ms + 1) : 0);
}

static void on_answer(void *ctx, const struct weir_dns_answer *a)
{
    struct name *n = ctx;
    struct weir_dns_resolution *r = n->resolution;
    struct weir_cluster_shared *s = r->shared;
    n->query = NULL;
    bool changed = false;
    n->failures = a->status == WEIR_DNS_OK ? 0 : n->failures + 1;
    if (a->status != WEIR_DNS_FAILED) {
        /* A name without addresses is an answer: its hosts are gone. */
        changed = answer_keep(n, a);
        weir_stat_inc(s->stats, WEIR_CC_update_success);
        if (a->count == 0) weir_stat_inc(s->stats, WEIR_CC_update_empty);
        if (!changed) weir_stat_inc(s->stats, WEIR_CC_update_no_rebuild);
    } else {
        weir_stat_inc(s->stats, WEIR_CC_update_failure);
        WEIR_LOG(DNS, DEBUG, "cluster %.*s: no answer for %.*s, the %u known addresses stay", WEIR_STR_ARG(r->config->resource.name),
                 WEIR_STR_ARG(n->text), n->count);
    }
    weir_timer_start(&s->env->control->timers, &n->timer, delay_of(n, a));
    bool first = !n->done;
    if (first) {
        n->done = true;
        r->undone--;
    }
    if (changed || (first && r->undone == 0)) weir_cluster_shared_resolved(s);
}

static void ask(struct name *n)
{
    struct weir_dns_resolution *r = n->resolution;
    weir_stat_inc(r->shared->stats, WEIR_CC_update_attempt);
    n->query = weir_dns_lookup(r->dns, n->text, &r->config->dns, on_answer, n);
}

static void timer_due(struct weir_timer *t)
{
    ask(WEIR_CONTAINER_OF(t, struct name, timer));
}

static uint32_t name_index(struct weir_dns_resolution *r, struct weir_str text)
{
    for (uint32_t i = 0; i < r->name_count; i++)
        if (weir_str_eq(r->names[i].text, text)) return i;
    struct name *n = &r->names[r->name_count];
    n->resolution = r;
    n->text = text;
    n->timer.on_due = timer_due;
    return r->name_count++;
}

static void answers_inherit(struct weir_dns_resolution *r, const struct weir_dns_resolution *before)
{
    for (uint32_t i = 0; before != NULL && i < r->name_count; i++)
        for (uint32_t k = 0; k < before->name_count; k++) {
            const struct name *from = &before->names[k];
            if (from->count == 0 || !weir_str_eq(from->text, r->names[i].text)) continue;
            struct weir_dns_answer a = {.count = from->count, .at = from->addresses};
            (void)answer_keep(&r->names[i], &a);
        }
}

struct weir_dns_resolution *weir_dns_resolution_create(struct weir_cluster_shared *shared, struct weir_dns *dns,
                                                       const struct weir_cluster_config *config,
                                                       const struct weir_dns_resolution *before)
{
    const struct weir_endpoints *e = config->endpoints;
    struct weir_dns_resolution *r = calloc(1, sizeof(*r));
    if (r == NULL) abort();
    r->shared = shared;
    r->dns = dns;
    r->config = config;
    weir_resource_acquire((struct weir_resource *)(uintptr_t)&config->resource);
    r->names = calloc(e->count + 1, sizeof(r->names[0]));
    r->name_of = calloc(e->count + 1, sizeof(r->name_of[0]));
    if (r->names == NULL || r->name_of == NULL) abort();
    for (uint32_t i = 0; i < e->count; i++)
        r->name_of[i] = e->at[i].dns_name.n > 0 ? name_index(r, e->at[i].dns_name) : UINT32_MAX;
    answers_inherit(r, before);
    if (dns == NULL) return r;
    r->undone = r->name_count;
    for (uint32_t i = 0; i < r->name_count; i++)
        ask(&r->names[i]);
    return r;
}

void weir_dns_resolution_destroy(struct weir_dns_resolution *r)
{
    for (uint32_t i = 0; i < r->name_count; i++) {
        struct name *n = &r->names[i];
        weir_timer_stop(&r->shared->env->control->timers, &n->timer);
        if (n->query != NULL) weir_dns_cancel(n->query);
        free(n->addresses);
    }
    free(r->names);
    free(r->name_of);
    weir_resource_release((struct weir_resource *)(uintptr_t)&r->config->resource);
    free(r);
}

bool weir_dns_resolution_done(const struct weir_dns_resolution *r)
{
    return r->undone == 0;
}

uint32_t weir_dns_resolution_addresses(const struct weir_dns_resolution *r, uint32_t index, const struct weir_address **out)
{
    if (r->name_of[index] == UINT32_MAX) return 0;
    const struct name *n = &r->names[r->name_of[index]];
    *out = n->addresses;
    return n->count;
}
