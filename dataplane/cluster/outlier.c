/* Outlier detection: counting on workers, judging on the control thread. */
#include "dataplane/cluster/outlier.h"

#include <math.h>

/* ---- workers ---- */

static void clear(_Atomic uint32_t *count)
{
    /* Read first: a healthy host's line stays shared between the workers' caches. */
    if (atomic_load_explicit(count, memory_order_relaxed) != 0) atomic_store_explicit(count, 0, memory_order_relaxed);
}

static bool reaches(_Atomic uint32_t *count, uint32_t threshold)
{
    return atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1 == threshold;
}

static void tally(_Atomic uint32_t *total, _Atomic uint32_t *success, bool good)
{
    atomic_fetch_add_explicit(total, 1, memory_order_relaxed);
    if (good) atomic_fetch_add_explicit(success, 1, memory_order_relaxed);
}

static uint32_t count_status(const struct weir_outlier_config *config, struct weir_outlier_counts *c, uint32_t status)
{
    bool good = status < 500 || status > 599;
    tally(&c->external_total, &c->external_success, good);
    if (good) {
        clear(&c->consecutive_5xx);
        clear(&c->consecutive_gateway_failure);
        return 0;
    }
    uint32_t signals = 0;
    if (status < 502 || status > 504)
        clear(&c->consecutive_gateway_failure);
    else if (reaches(&c->consecutive_gateway_failure, config->consecutive_gateway_failure))
        signals |= WEIR_OUTLIER_CONSECUTIVE_GATEWAY_FAILURE;
    if (reaches(&c->consecutive_5xx, config->consecutive_5xx)) signals |= WEIR_OUTLIER_CONSECUTIVE_5XX;
    return signals;
}

uint32_t weir_outlier_count(const struct weir_outlier_config *config, struct weir_outlier_counts *counts,
                            enum weir_outlier_result result, uint32_t status)
{
    if (result == WEIR_OUTLIER_RESPONSE) return count_status(config, counts, status);
    if (!config->split_local_origin) {
        if (result == WEIR_OUTLIER_CONNECT_SUCCESS) return 0;
        if (result == WEIR_OUTLIER_CONNECT_FAILED) return count_status(config, counts, 503);
        return count_status(config, counts, status != 0 ? status : 504);
    }
    tally(&counts->local_total, &counts->local_success, result == WEIR_OUTLIER_CONNECT_SUCCESS);
    if (result == WEIR_OUTLIER_CONNECT_SUCCESS) {
        clear(&counts->consecutive_local_origin_failure);
        return 0;
    }
    return reaches(&counts->consecutive_local_origin_failure, config->consecutive_local_origin_failure)
               ? WEIR_OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE
               : 0;
}

/* ---- control thread ---- */

/* Kinds of ejection: which share is enforced and which counters move. */
struct kind {
    size_t enforcing; /* offset in struct weir_outlier_config */
    uint32_t detected, enforced, deprecated; /* enum weir_outlier_stat; WEIR_OS_COUNT: none */
};
#define KIND(field, detected, enforced, deprecated) {offsetof(struct weir_outlier_config, field), detected, enforced, deprecated}
static const struct kind kind_5xx = KIND(enforcing_5xx, WEIR_OS_ejections_detected_consecutive_5xx,
                                         WEIR_OS_ejections_enforced_consecutive_5xx, WEIR_OS_ejections_consecutive_5xx);
static const struct kind kind_gateway = KIND(enforcing_gateway_failure, WEIR_OS_ejections_detected_consecutive_gateway_failure,
                                             WEIR_OS_ejections_enforced_consecutive_gateway_failure, WEIR_OS_COUNT);
static const struct kind kind_local = KIND(enforcing_local_origin_failure, WEIR_OS_ejections_detected_consecutive_local_origin_failure,
                                           WEIR_OS_ejections_enforced_consecutive_local_origin_failure, WEIR_OS_COUNT);
static const struct kind kind_rate = KIND(enforcing_success_rate, WEIR_OS_ejections_detected_success_rate,
                                          WEIR_OS_ejections_enforced_success_rate, WEIR_OS_ejections_success_rate);
static const struct kind kind_local_rate = KIND(enforcing_local_success_rate, WEIR_OS_ejections_detected_local_origin_success_rate,
                                                WEIR_OS_ejections_enforced_local_origin_success_rate, WEIR_OS_COUNT);
static const struct kind kind_percentage = KIND(enforcing_failure_percentage, WEIR_OS_ejections_detected_failure_percentage,
                                                WEIR_OS_ejections_enforced_failure_percentage, WEIR_OS_COUNT);
static const struct kind kind_local_percentage =
    KIND(enforcing_local_failure_percentage, WEIR_OS_ejections_detected_local_origin_failure_percentage,
         WEIR_OS_ejections_enforced_local_origin_failure_percentage, WEIR_OS_COUNT);

static void count(struct weir_outlier_detector *d, uint32_t stat, int64_t n)
{
    if (d->stats != NULL && stat != WEIR_OS_COUNT) weir_stat_add(d->stats, stat, n);
}

void weir_outlier_init(struct weir_outlier_detector *d, const struct weir_outlier_config *config, struct weir_stats *set,
                       struct weir_stats_shard *stats, struct weir_random *random)
{
    *d = (struct weir_outlier_detector){.config = *config, .set = set, .stats = stats, .random = random};
    if (set != NULL) weir_stats_ref(set);
}

void weir_outlier_deinit(struct weir_outlier_detector *d)
{
    if (d->set != NULL) weir_stats_release(d->set);
    d->set = NULL;
}

static void set_ejected(struct weir_outlier_detector *d, struct weir_host *h, bool ejected)
{
    if (ejected)
        atomic_fetch_or_explicit(&h->flags, WEIR_HOST_EJECTED, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&h->flags, ~(uint32_t)WEIR_HOST_EJECTED, memory_order_relaxed);
    d->active += ejected ? 1 : UINT32_MAX;
    count(d, WEIR_OS_ejections_active, ejected ? 1 : -1);
}

static bool draw_percent(struct weir_random *r, uint32_t percent)
{
    return percent >= 100 || weir_random_below(r, 100) < percent;
}

static bool eject(struct weir_outlier_detector *d, struct weir_host *h, const struct kind *k, uint32_t hosts, uint64_t now_ms)
{
    count(d, k->deprecated, 1);
    count(d, k->detected, 1);
    bool fits = 100.0 * (d->active + 1) / hosts <= d->config.max_ejection_percent;
    if (!fits && !(d->config.always_eject_one && d->active == 0)) {
        count(d, WEIR_OS_ejections_overflow, 1);
        return false;
    }
    if (k->deprecated != WEIR_OS_COUNT) count(d, WEIR_OS_ejections_total, 1);
    if (!draw_percent(d->random, *(const uint32_t *)(const void *)((const char *)&d->config + k->enforcing))) return false;
    count(d, WEIR_OS_ejections_enforced_total, 1);
    count(d, k->enforced, 1);
    struct weir_outlier_state *o = &h->outlier;
    o->ejected_at_ms = now_ms;
    o->ejections++;
    o->jitter_ms = d->config.jitter_ms > 0 ? weir_random_below(d->random, d->config.jitter_ms + 1) : 0;
    if (o->backoff * d->config.base_ejection_ms < d->config.max_ejection_ms + d->config.base_ejection_ms) o->backoff++;
    set_ejected(d, h, true);
    return true;
}

static uint32_t host_count(struct weir_host *const *hosts, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += hosts[i] != NULL;
    return n;
}

bool weir_outlier_signal(struct weir_outlier_detector *d, struct weir_host *host, uint32_t signals, struct weir_host *const *hosts,
                         uint32_t slots, uint64_t now_ms)
{
    /* The host may have left, or been ejected, while the signal was on its way. */
    if (host->slot >= slots || hosts[host->slot] != host || weir_host_ejected(host)) return false;
    static const struct {
        uint32_t signal;
        const struct kind *kind;
        size_t counter;
    } table[] = {
        {WEIR_OUTLIER_CONSECUTIVE_5XX, &kind_5xx, offsetof(struct weir_outlier_counts, consecutive_5xx)},
        {WEIR_OUTLIER_CONSECUTIVE_GATEWAY_FAILURE, &kind_gateway, offsetof(struct weir_outlier_counts, consecutive_gateway_failure)},
        {WEIR_OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE, &kind_local,
         offsetof(struct weir_outlier_counts, consecutive_local_origin_failure)},
    };
    bool ejected = false;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && !ejected; i++) {
        if ((signals & table[i].signal) == 0) continue;
        ejected = eject(d, host, table[i].kind, host_count(hosts, slots), now_ms);
        atomic_store_explicit((_Atomic uint32_t *)(void *)((char *)&host->counts + table[i].counter), 0, memory_order_relaxed);
    }
    return ejected;
}

static void take_back(struct weir_outlier_detector *d, struct weir_host *h)
{
    clear(&h->counts.consecutive_5xx);
    clear(&h->counts.consecutive_gateway_failure);
    clear(&h->counts.consecutive_local_origin_failure);
    set_ejected(d, h, false);
}

static bool time_is_over(const struct weir_outlier_detector *d, const struct weir_host *h, uint64_t now_ms)
{
    uint64_t time = d->config.base_ejection_ms * h->outlier.backoff;
    if (time > d->config.max_ejection_ms) time = d->config.max_ejection_ms;
    return now_ms - h->outlier.ejected_at_ms >= time + h->outlier.jitter_ms;
}

/* A host's success rate in percent, or negative when nothing was counted; the counts start anew. */
static double take_rate(_Atomic uint32_t *total, _Atomic uint32_t *success, uint32_t *volume)
{
    *volume = atomic_exchange_explicit(total, 0, memory_order_relaxed);
    uint32_t good = atomic_exchange_explicit(success, 0, memory_order_relaxed);
    if (*volume == 0) return -1;
    /* A worker may be between its two adds. */
    return 100.0 * (good < *volume ? good : *volume) / *volume;
}

struct rates {
    uint32_t count; /* hosts with enough requests */
    double sum, squares;
};

static void judge(struct weir_outlier_detector *d, struct weir_host *const *hosts, uint32_t slots, const double *rate,
                  const uint32_t *volume, const struct kind *by_rate, const struct kind *by_percentage, uint64_t now_ms)
{
    const struct weir_outlier_config *c = &d->config;
    struct rates r = {0};
    uint32_t percentage_hosts = 0, all = host_count(hosts, slots);
    for (uint32_t i = 0; i < slots; i++) {
        if (hosts[i] == NULL || rate[i] < 0 || weir_host_ejected(hosts[i])) continue;
        percentage_hosts += volume[i] >= c->failure_percentage_request_volume;
        if (volume[i] < c->success_rate_request_volume) continue;
        r.count++;
        r.sum += rate[i];
        r.squares += rate[i] * rate[i];
    }
    double threshold = -1;
    if (r.count > 0 && r.count >= c->success_rate_minimum_hosts) {
        double mean = r.sum / r.count, variance = r.squares / r.count - mean * mean;
        threshold = mean - c->success_rate_stdev_factor / 1000.0 * sqrt(variance > 0 ? variance : 0);
    }
    bool judge_percentage = percentage_hosts > 0 && percentage_hosts >= c->failure_percentage_minimum_hosts;
    for (uint32_t i = 0; i < slots; i++) {
        if (hosts[i] == NULL || rate[i] < 0 || weir_host_ejected(hosts[i])) continue;
        if (volume[i] >= c->success_rate_request_volume && rate[i] < threshold) eject(d, hosts[i], by_rate, all, now_ms);
        if (weir_host_ejected(hosts[i])) continue;
        if (judge_percentage && volume[i] >= c->failure_percentage_request_volume &&
            100.0 - rate[i] >= c->failure_percentage_threshold)
            eject(d, hosts[i], by_percentage, all, now_ms);
    }
}

bool weir_outlier_interval(struct weir_outlier_detector *d, struct weir_host *const *hosts, uint32_t slots, uint64_t now_ms)
{
    bool changed = false;
    struct weir_arena scratch = {0};
    double *rate = WEIR_NEW(&scratch, double, slots), *local_rate = WEIR_NEW(&scratch, double, slots);
    uint32_t *volume = WEIR_NEW(&scratch, uint32_t, slots), *local_volume = WEIR_NEW(&scratch, uint32_t, slots);
    for (uint32_t i = 0; i < slots; i++) {
        struct weir_host *h = hosts[i];
        if (h == NULL) continue;
        if (!weir_host_ejected(h)) {
            if (h->outlier.backoff > 0) h->outlier.backoff--;
        } else if (time_is_over(d, h, now_ms)) {
            take_back(d, h);
            changed = true;
        }
        rate[i] = take_rate(&h->counts.external_total, &h->counts.external_success, &volume[i]);
        local_rate[i] = take_rate(&h->counts.local_total, &h->counts.local_success, &local_volume[i]);
        uint32_t enough = d->config.success_rate_request_volume < d->config.failure_percentage_request_volume
                              ? d->config.success_rate_request_volume
                              : d->config.failure_percentage_request_volume;
        h->outlier.success_rate = volume[i] >= enough ? rate[i] : -1;
        h->outlier.local_success_rate = local_volume[i] >= enough ? local_rate[i] : -1;
    }
    uint32_t active = d->active;
    judge(d, hosts, slots, rate, volume, &kind_rate, &kind_percentage, now_ms);
    if (d->config.split_local_origin)
        judge(d, hosts, slots, local_rate, local_volume, &kind_local_rate, &kind_local_percentage, now_ms);
    weir_arena_deinit(&scratch);
    return changed || d->active != active;
}

void weir_outlier_forget(struct weir_outlier_detector *d, struct weir_host *host)
{
    if (weir_host_ejected(host)) set_ejected(d, host, false);
}

bool weir_outlier_release_all(struct weir_outlier_detector *d, struct weir_host *const *hosts, uint32_t slots)
{
    bool changed = false;
    for (uint32_t i = 0; i < slots; i++) {
        if (hosts[i] == NULL || !weir_host_ejected(hosts[i])) continue;
        take_back(d, hosts[i]);
        changed = true;
    }
    return changed;
}
