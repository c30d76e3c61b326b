/* Counting what a cluster holds against its circuit breakers. */
#include "dataplane/cluster/breaker.h"

#include <assert.h>

static uint64_t held(const struct weir_breaker *b, enum weir_breaker_resource r)
{
    return atomic_load_explicit(&b->held[r], memory_order_relaxed);
}

/* A retry budget is a share of what is active or waits now, with a floor. */
static uint64_t retries_max(const struct weir_breaker *b, const struct weir_breaker_limits *l)
{
    if (!l->has_budget) return l->retries;
    uint64_t now = held(b, WEIR_BREAKER_REQUESTS) + held(b, WEIR_BREAKER_PENDING);
    uint64_t share = (uint64_t)(l->budget_percent / 100.0 * (double)now);
    return share > l->budget_min ? share : l->budget_min;
}

static uint64_t limit_of(const struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r)
{
    switch (r) {
    case WEIR_BREAKER_CONNECTIONS: return l->connections;
    case WEIR_BREAKER_POOLS: return l->pools;
    case WEIR_BREAKER_REQUESTS: return l->requests;
    case WEIR_BREAKER_PENDING: return l->pending;
    case WEIR_BREAKER_RETRIES: return retries_max(b, l);
    case WEIR_BREAKER_COUNT: break;
    }
    return UINT64_MAX;
}

static uint32_t gauge(enum weir_breaker_resource r, uint32_t priority)
{
    return (priority == 0 ? WEIR_CS_default_cx_open : WEIR_CS_high_cx_open) + (uint32_t)r;
}

bool weir_breaker_has_room(const struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r)
{
    return held(b, r) < limit_of(b, l, r);
}

/* How much must be held for the gauge to say open. A limit of 0 shows with the first that is held all the same. A budget moves
 * with what is active, so that no one sees the step: its gauge stays at 0. */
static uint64_t open_at(const struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r)
{
    if (r == WEIR_BREAKER_RETRIES && l->has_budget) return UINT64_MAX;
    uint64_t limit = limit_of(b, l, r);
    return limit > 0 ? limit : 1;
}

static void remaining_add(const struct weir_breaker_limits *l, enum weir_breaker_resource r, const struct weir_stats_shard *stats, int64_t n)
{
    if (l->remaining != NULL && stats != NULL) weir_stat_add(weir_stats_shard(l->remaining, stats->worker), r, n);
}

/* Who changes the mark moves the gauge in its own shard, so that the shards' sum is the mark, whoever else takes and gives at
 * the same time and under whichever limits (views of an older configuration still have theirs). */
static void open_update(struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r,
                        struct weir_stats_shard *stats, uint32_t priority)
{
    bool is = atomic_load_explicit(&b->open[r], memory_order_relaxed), want = held(b, r) >= open_at(b, l, r);
    if (stats == NULL || want == is) return;
    if (atomic_compare_exchange_strong_explicit(&b->open[r], &is, want, memory_order_relaxed, memory_order_relaxed))
        weir_stat_add(stats, gauge(r, priority), want ? 1 : -1);
}

void weir_breaker_take(struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r,
                       struct weir_stats_shard *stats, uint32_t priority)
{
    atomic_fetch_add_explicit(&b->held[r], 1, memory_order_relaxed);
    open_update(b, l, r, stats, priority);
    remaining_add(l, r, stats, -1);
}

void weir_breaker_give(struct weir_breaker *b, const struct weir_breaker_limits *l, enum weir_breaker_resource r,
                       struct weir_stats_shard *stats, uint32_t priority)
{
    uint64_t before = atomic_fetch_sub_explicit(&b->held[r], 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    open_update(b, l, r, stats, priority);
    remaining_add(l, r, stats, 1);
}

void weir_breaker_touch(struct weir_stats_shard *stats, uint32_t priority)
{
    for (int r = 0; r < WEIR_BREAKER_COUNT && stats != NULL; r++)
        if (r != WEIR_BREAKER_RETRIES) weir_stat_touch(stats, gauge((enum weir_breaker_resource)r, priority));
}

void weir_breaker_track(struct weir_breaker *b, const struct weir_breaker_limits *l, struct weir_stats_shard *stats)
{
    if (l->remaining == NULL) return;
    struct weir_stats_shard *own = weir_stats_shard(l->remaining, stats->worker);
    for (uint32_t r = 0; r < WEIR_BREAKER_COUNT; r++) {
        uint64_t limit = limit_of(b, l, r);
        int64_t left = (limit < INT64_MAX ? (int64_t)limit : INT64_MAX) - (int64_t)held(b, r);
        weir_stat_add(own, r, left - weir_stat_sum(l->remaining, r));
    }
}

void weir_breaker_relimit(struct weir_breaker *b, const struct weir_breaker_limits *to, struct weir_stats_shard *stats, uint32_t priority)
{
    for (uint32_t r = 0; r < WEIR_BREAKER_COUNT; r++)
        open_update(b, to, r, stats, priority);
    weir_breaker_track(b, to, stats);
}
