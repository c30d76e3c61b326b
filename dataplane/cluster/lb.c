/* Load balancing: spreading over priorities, lists by health and locality, drawing. */
#include "dataplane/cluster/lb.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* ---- priorities ---- */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t share(uint32_t part, uint32_t whole, uint32_t percent)
{
    return whole == 0 ? 0 : min_u32(100, (uint32_t)((uint64_t)percent * part / whole));
}

/* When every priority panics, load follows the number of hosts, whatever their health. */
static void spread_in_total_panic(struct weir_lb_priority *p, uint32_t count)
{
    uint64_t hosts = 0;
    for (uint32_t i = 0; i < count; i++) {
        hosts += p[i].hosts;
        p[i].healthy_load = p[i].degraded_load = 0;
    }
    if (hosts == 0) {
        p[0].healthy_load = 100;
        return;
    }
    uint32_t left = 100, first = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (p[i].hosts == 0) continue;
        if (first == UINT32_MAX) first = i;
        p[i].healthy_load = (uint32_t)(100 * (uint64_t)p[i].hosts / hosts);
        left -= p[i].healthy_load;
    }
    p[first].healthy_load += left;
}

/* Hands out what is left of 100 percent by availability; rounding goes to the first priority that takes any. */
static void spread_available(struct weir_lb_priority *p, uint32_t count, uint32_t overprovisioning)
{
    uint32_t available = 0;
    for (uint32_t i = 0; i < count; i++)
        available += share(p[i].healthy, p[i].hosts, overprovisioning) + share(p[i].degraded, p[i].hosts, overprovisioning);
    available = min_u32(available, 100);
    uint32_t left = 100;
    for (uint32_t i = 0; i < count; i++) {
        p[i].healthy_load = available == 0 ? 0 : min_u32(left, share(p[i].healthy, p[i].hosts, overprovisioning) * 100 / available);
        left -= p[i].healthy_load;
    }
    for (uint32_t i = 0; i < count; i++) {
        p[i].degraded_load = available == 0 ? 0 : min_u32(left, share(p[i].degraded, p[i].hosts, overprovisioning) * 100 / available);
        left -= p[i].degraded_load;
    }
    if (available == 0) return;
    for (uint32_t i = 0; i < count && left > 0; i++) {
        if (p[i].healthy_load > 0) {
            p[i].healthy_load += left;
            left = 0;
        } else if (p[i].degraded_load > 0) {
            p[i].degraded_load += left;
            left = 0;
        }
    }
}

void weir_lb_spread(struct weir_lb_priority *p, uint32_t count, uint32_t overprovisioning_percent, uint32_t panic_percent)
{
    uint32_t available = 0;
    for (uint32_t i = 0; i < count; i++) {
        available += share(p[i].healthy, p[i].hosts, overprovisioning_percent);
        available += share(p[i].degraded, p[i].hosts, overprovisioning_percent);
        p[i].panic = false;
    }
    spread_available(p, count, overprovisioning_percent);
    if (available >= 100) return;
    if (panic_percent == 0 && available == 0) {
        /* Loads must add up to 100; priority 0 then has no host to give. */
        p[0].healthy_load = 100;
        return;
    }
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        double usable = p[i].hosts == 0 ? 0 : 100.0 * ((double)p[i].healthy + p[i].degraded) / p[i].hosts;
        p[i].panic = usable < panic_percent;
        all = all && p[i].panic;
    }
    if (all) spread_in_total_panic(p, count);
}

/* ---- lists ---- */

struct build {
    struct weir_lb *lb;
    const struct weir_host_set *set;
    struct weir_cluster_host *const *by_slot;
};

static enum weir_host_health health_of(const struct weir_host_member *m)
{
    return weir_host_ejected(m->host) ? WEIR_HOST_UNHEALTHY : m->health;
}

static bool in_tier(const struct weir_host_member *m, uint32_t priority, enum weir_lb_tier_kind kind)
{
    if (m->priority != priority) return false;
    if (kind == WEIR_LB_ANY) return true;
    return health_of(m) == (kind == WEIR_LB_HEALTHY ? WEIR_HOST_HEALTHY : WEIR_HOST_DEGRADED);
}

static void list_finish(const struct weir_lb *lb, struct weir_lb_list *l, struct weir_arena *arena)
{
    if (l->count == 0) return;
    l->equal = true;
    for (uint32_t i = 0; i < l->count; i++) {
        l->weight_sum += l->at[i]->weight;
        l->equal = l->equal && l->at[i]->weight == l->at[0]->weight;
    }
    /* A random start: workers and processes with the same list do not all begin with the same host. */
    l->next = (uint32_t)weir_random_below(lb->random, l->count);
    if (l->equal) return;
    if (lb->config->lb_policy == WEIR_LB_RANDOM) {
        l->weight_ends = WEIR_NEW(arena, uint64_t, l->count);
        for (uint32_t i = 0; i < l->count; i++)
            l->weight_ends[i] = (i > 0 ? l->weight_ends[i - 1] : 0) + l->at[i]->weight;
        return;
    }
    weir_edf_init(&l->edf, arena, l->count);
    for (uint32_t i = 0; i < l->count; i++)
        weir_edf_add(&l->edf, i, l->at[i]->weight);
    for (uint32_t i = 0; i < l->next; i++)
        weir_edf_again(&l->edf, l->at[weir_edf_peek(&l->edf)]->weight);
}

/* Localities of the priority that have weight and hosts of this kind. */
static void tier_fill_localities(const struct build *b, struct weir_lb_tier *t, uint32_t priority, enum weir_lb_tier_kind kind)
{
    struct weir_arena *arena = &b->lb->arena;
    uint32_t count = b->set->locality_count;
    uint32_t *eligible = WEIR_NEW(arena, uint32_t, count), *total = WEIR_NEW(arena, uint32_t, count);
    struct weir_lb_list **list_of = WEIR_NEW(arena, struct weir_lb_list *, count);
    for (uint32_t i = 0; i < b->set->count; i++) {
        const struct weir_host_member *m = &b->set->at[i];
        if (m->priority == priority) total[m->locality]++;
        if (in_tier(m, priority, kind)) eligible[m->locality]++;
    }
    t->localities = WEIR_NEW(arena, struct weir_lb_list, count);
    t->locality_weights = WEIR_NEW(arena, double, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_locality *l = &b->set->localities[i];
        if (eligible[i] == 0 || l->weight == 0) continue;
        double available = (double)eligible[i] / total[i] * b->set->overprovisioning_percent / 100.0;
        t->locality_weights[t->locality_count] = l->weight * (available < 1 ? available : 1);
        list_of[i] = &t->localities[t->locality_count++];
        list_of[i]->at = WEIR_NEW(arena, struct weir_cluster_host *, eligible[i]);
    }
    for (uint32_t i = 0; i < b->set->count; i++) {
        const struct weir_host_member *m = &b->set->at[i];
        struct weir_lb_list *list = in_tier(m, priority, kind) ? list_of[m->locality] : NULL;
        if (list != NULL) list->at[list->count++] = b->by_slot[m->host->slot];
    }
    if (t->locality_count == 0) return;
    weir_edf_init(&t->locality_edf, arena, t->locality_count);
    for (uint32_t i = 0; i < t->locality_count; i++) {
        list_finish(b->lb, &t->localities[i], arena);
        weir_edf_add(&t->locality_edf, i, t->locality_weights[i]);
    }
    for (uint64_t i = weir_random_below(b->lb->random, t->locality_count); i > 0; i--)
        weir_edf_again(&t->locality_edf, t->locality_weights[weir_edf_peek(&t->locality_edf)]);
}

static void tier_fill(const struct build *b, uint32_t priority, enum weir_lb_tier_kind kind)
{
    struct weir_lb_tier *t = &b->lb->priorities[priority].tiers[kind];
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->set->count; i++)
        count += in_tier(&b->set->at[i], priority, kind);
    if (count == 0) return;
    /* Panic knows no localities. */
    if (b->lb->config->locality_weighted && kind != WEIR_LB_ANY) tier_fill_localities(b, t, priority, kind);
    if (t->locality_count > 0) return;
    t->all.at = WEIR_NEW(&b->lb->arena, struct weir_cluster_host *, count);
    for (uint32_t i = 0; i < b->set->count; i++)
        if (in_tier(&b->set->at[i], priority, kind)) t->all.at[t->all.count++] = b->by_slot[b->set->at[i].host->slot];
    list_finish(b->lb, &t->all, &b->lb->arena);
}

struct weir_lb *weir_lb_create(const struct weir_cluster_config *config, const struct weir_runtime *runtime, struct weir_random *random,
                               const struct weir_host_set *set, struct weir_cluster_host *const *by_slot)
{
    struct weir_lb *lb = calloc(1, sizeof(*lb));
    if (lb == NULL) abort();
    weir_arena_init(&lb->arena, 0);
    lb->config = config;
    lb->random = random;
    lb->bias = config->active_request_bias;
    if (config->active_request_bias_key.n > 0) lb->bias = weir_runtime_double(runtime, config->active_request_bias_key, lb->bias);
    if (!(lb->bias >= 0)) lb->bias = config->active_request_bias >= 0 ? config->active_request_bias : 1.0;
    lb->priority_count = set->priority_count;
    lb->priorities = WEIR_NEW(&lb->arena, struct weir_lb_priority, lb->priority_count);
    for (uint32_t i = 0; i < set->count; i++) {
        struct weir_lb_priority *p = &lb->priorities[set->at[i].priority];
        p->hosts++;
        p->healthy += health_of(&set->at[i]) == WEIR_HOST_HEALTHY;
        p->degraded += health_of(&set->at[i]) == WEIR_HOST_DEGRADED;
    }
    uint64_t panic = weir_runtime_u64(runtime, WEIR_STR("upstream.healthy_panic_threshold"), config->panic_percent);
    weir_lb_spread(lb->priorities, lb->priority_count, set->overprovisioning_percent, panic < 100 ? (uint32_t)panic : 100);
    struct build b = {lb, set, by_slot};
    for (uint32_t i = 0; i < lb->priority_count; i++) {
        struct weir_lb_priority *p = &lb->priorities[i];
        if (p->panic) {
            if (!config->fail_traffic_on_panic) tier_fill(&b, i, WEIR_LB_ANY);
            continue;
        }
        if (p->healthy_load > 0) tier_fill(&b, i, WEIR_LB_HEALTHY);
        if (p->degraded_load > 0) tier_fill(&b, i, WEIR_LB_DEGRADED);
    }
    lb->single = lb->priorities[0].healthy_load == 100;
    return lb;
}

void weir_lb_destroy(struct weir_lb *lb)
{
    if (lb == NULL) return;
    weir_arena_deinit(&lb->arena);
    free(lb);
}

/* ---- drawing ---- */

static uint32_t load_of(const struct weir_cluster_host *h)
{
    return atomic_load_explicit(&h->host->rq_active, memory_order_relaxed);
}

static struct weir_cluster_host *draw_least(struct weir_lb *lb, struct weir_lb_list *l)
{
    struct weir_cluster_host *best = NULL;
    if (lb->config->full_scan) {
        /* Ties go to a random one of the least loaded (reservoir of one). */
        uint32_t ties = 0;
        for (uint32_t i = 0; i < l->count; i++) {
            if (best != NULL && load_of(l->at[i]) > load_of(best)) continue;
            ties = best != NULL && load_of(l->at[i]) == load_of(best) ? ties + 1 : 1;
            if (weir_random_below(lb->random, ties) == 0) best = l->at[i];
        }
        return best;
    }
    for (uint32_t i = 0; i < lb->config->choice_count; i++) {
        struct weir_cluster_host *h = l->at[weir_random_below(lb->random, l->count)];
        if (best == NULL || load_of(h) < load_of(best)) best = h;
    }
    return best;
}

/* Weight of a host for its next turn: under least request, load makes it lighter. Never 0, whatever the bias. */
static double weight_now(const struct weir_lb *lb, const struct weir_cluster_host *h)
{
    double bias = lb->bias;
    if (lb->config->lb_policy != WEIR_LB_LEAST_REQUEST || bias == 0) return h->weight;
    double active = (double)load_of(h) + 1;
    double weight = h->weight / (bias == 1.0 ? active : pow(active, bias));
    return weight > 1e-9 ? weight : 1e-9;
}

static struct weir_cluster_host *draw_random(struct weir_lb *lb, struct weir_lb_list *l)
{
    if (l->equal) return l->at[weir_random_below(lb->random, l->count)];
    uint64_t ticket = weir_random_below(lb->random, l->weight_sum);
    uint32_t low = 0, high = l->count - 1;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (ticket < l->weight_ends[mid])
            high = mid;
        else
            low = mid + 1;
    }
    return l->at[low];
}

static struct weir_cluster_host *draw_from_list(struct weir_lb *lb, struct weir_lb_list *l)
{
    if (l->count == 0) return NULL;
    if (l->count == 1) return l->at[0];
    if (lb->config->lb_policy == WEIR_LB_RANDOM) return draw_random(lb, l);
    if (!l->equal) {
        struct weir_cluster_host *h = l->at[weir_edf_peek(&l->edf)];
        weir_edf_again(&l->edf, weight_now(lb, h));
        return h;
    }
    if (lb->config->lb_policy == WEIR_LB_LEAST_REQUEST) return draw_least(lb, l);
    uint32_t at = l->next;
    l->next = at + 1 < l->count ? at + 1 : 0;
    return l->at[at];
}

static struct weir_cluster_host *draw_from_tier(struct weir_lb *lb, struct weir_lb_tier *t)
{
    if (t->locality_count == 0) return draw_from_list(lb, &t->all);
    uint32_t locality = weir_edf_peek(&t->locality_edf);
    weir_edf_again(&t->locality_edf, t->locality_weights[locality]);
    return draw_from_list(lb, &t->localities[locality]);
}

struct weir_cluster_host *weir_lb_draw(struct weir_lb *lb, bool *panicked)
{
    struct weir_lb_priority *p = lb->priorities;
    enum weir_lb_tier_kind kind = WEIR_LB_HEALTHY;
    if (!lb->single) {
        uint32_t ticket = (uint32_t)weir_random_below(lb->random, 100), sum = 0;
        struct weir_lb_priority *found = NULL;
        for (uint32_t i = 0; i < lb->priority_count && found == NULL; i++)
            if (ticket < (sum += lb->priorities[i].healthy_load)) found = &lb->priorities[i];
        for (uint32_t i = 0; i < lb->priority_count && found == NULL; i++) {
            if (ticket >= (sum += lb->priorities[i].degraded_load)) continue;
            found = &lb->priorities[i];
            kind = WEIR_LB_DEGRADED;
        }
        if (found != NULL) p = found;
    }
    *panicked = p->panic;
    return draw_from_tier(lb, &p->tiers[p->panic ? WEIR_LB_ANY : kind]);
}
