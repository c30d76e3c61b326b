/* Token buckets of local rate limits. Called by workers. A bucket's word is the time since which it fills: to take a token is to
 * move it forward by one token's time, which one compare-and-swap does for all workers. */
#include "dataplane/filters/token_bucket.h"

#include "dataplane/base/arena.h"

#define SHIFT_MAX 4  /* sixteenths of a nanosecond: a microsecond's token is then true to a ten-thousandth */
#define SHIFT_MIN -40
#define TICKS_MAX (INT64_MAX / 4)

static unsigned __int128 scale(unsigned __int128 ns, int shift)
{
    return shift >= 0 ? ns << shift : ns >> -shift;
}
void weir_token_rate_init(struct weir_token_rate *rate, uint64_t max_tokens, uint64_t tokens_per_fill, uint64_t fill_interval_ns)
{
    rate->max_tokens = max_tokens;
    for (int shift = SHIFT_MAX; shift >= SHIFT_MIN; shift--) {
        /* Rounded up: never more tokens than configured. */
        unsigned __int128 token = scale(fill_interval_ns, shift) / tokens_per_fill + 1;
        if (scale((unsigned __int128)fill_interval_ns, shift) % tokens_per_fill == 0 && token > 1) token--;
        rate->shift = shift;
        rate->token_ticks = (int64_t)(token < TICKS_MAX ? token : TICKS_MAX);
        unsigned __int128 capacity = (unsigned __int128)max_tokens * (uint64_t)rate->token_ticks;
        rate->capacity_ticks = (int64_t)(capacity < TICKS_MAX ? capacity : TICKS_MAX);
        if (capacity <= TICKS_MAX) return;
    }
}
static int64_t price_of(const struct weir_token_rate *rate, uint64_t n)
{
    unsigned __int128 price = (unsigned __int128)n * (uint64_t)rate->token_ticks;
    return (int64_t)(price < TICKS_MAX ? price : TICKS_MAX);
}
static int64_t ticks_of(const struct weir_token_rate *rate, uint64_t now_ns)
{
    return (int64_t)scale(now_ns, rate->shift);
}
/* What fills the bucket at `now`, at most its capacity. */
static int64_t filled(int64_t empty_at, const struct weir_token_rate *rate, int64_t now)
{
    if (empty_at == WEIR_TOKEN_BUCKET_FULL || now - empty_at > rate->capacity_ticks) return rate->capacity_ticks;
    return now > empty_at ? now - empty_at : 0;
}
/* Whoever sees an empty_at sees the clock that it was made with. */
static int64_t now_of(const struct weir_token_bucket *b, int64_t mine)
{
    int64_t latest = atomic_load_explicit(&b->clock, memory_order_relaxed);
    return latest > mine ? latest : mine;
}
static void bring_clock(struct weir_token_bucket *b, int64_t mine)
{
    int64_t latest = atomic_load_explicit(&b->clock, memory_order_relaxed);
    while (latest < mine && !atomic_compare_exchange_weak_explicit(&b->clock, &latest, mine, memory_order_relaxed, memory_order_relaxed)) {
    }
}
bool weir_token_bucket_take(struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t n, uint64_t now_ns)
{
    int64_t mine = ticks_of(rate, now_ns), price = price_of(rate, n);
    bring_clock(b, mine);
    int64_t empty_at = atomic_load_explicit(&b->empty_at, memory_order_acquire);
    for (;;) {
        int64_t now = now_of(b, mine), has = filled(empty_at, rate, now);
        if (has < price || n > rate->max_tokens) return false;
        if (atomic_compare_exchange_weak_explicit(&b->empty_at, &empty_at, now - has + price, memory_order_acq_rel, memory_order_acquire))
            return true;
    }
}
static int64_t filled_now(const struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t now_ns)
{
    int64_t empty_at = atomic_load_explicit(&b->empty_at, memory_order_acquire);
    return filled(empty_at, rate, now_of(b, ticks_of(rate, now_ns)));
}
uint64_t weir_token_bucket_left(const struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t now_ns)
{
    return (uint64_t)(filled_now(b, rate, now_ns) / rate->token_ticks);
}
uint64_t weir_token_bucket_wait_ns(const struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t n, uint64_t now_ns)
{
    if (n > rate->max_tokens) return UINT64_MAX;
    int64_t has = filled_now(b, rate, now_ns), price = price_of(rate, n);
    if (has >= price) return 0;
    /* Back to nanoseconds, rounded up. */
    uint64_t ticks = (uint64_t)(price - has);
    if (rate->shift <= 0) return ticks << -rate->shift;
    return (ticks + ((uint64_t)1 << rate->shift) - 1) >> rate->shift;
}

/* A value may lie in any of the WAYS slots of its set. A slot's key is changed through BUSY, so that its bucket is full before
 * another worker can find it; who meets BUSY waits for the few instructions that this takes. */
#define WAYS 16u
#define FREE 0u
#define BUSY 1u

struct slot {
    _Atomic uint64_t key;
    struct weir_token_bucket bucket;
};
struct weir_token_table {
    uint32_t sets;
    struct slot slots[];
};
struct weir_token_table *weir_token_table_create(struct weir_arena *arena, uint32_t capacity)
{
    uint32_t sets = (capacity + WAYS - 1) / WAYS;
    struct weir_token_table *t = weir_arena_alloc(arena, sizeof(*t) + sets * WAYS * sizeof(struct slot));
    t->sets = sets;
    return t;
}
uint32_t weir_token_table_capacity(const struct weir_token_table *t)
{
    return t->sets * WAYS;
}
static uint64_t key_of(struct slot *s)
{
    uint64_t key;
    while ((key = atomic_load_explicit(&s->key, memory_order_acquire)) == BUSY) {
        /* two stores on another worker */
    }
    return key;
}
static struct slot *find(struct slot *set, uint64_t key)
{
    for (uint32_t i = 0; i < WAYS; i++) {
        if (key_of(&set[i]) == key) return &set[i];
    }
    return NULL;
}
/* The slot to give away: a free one, else that whose bucket is nearest to full. */
static struct slot *victim_of(struct slot *set, uint64_t *key)
{
    struct slot *best = NULL;
    int64_t best_empty_at = INT64_MAX;
    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t k = key_of(&set[i]);
        int64_t empty_at = atomic_load_explicit(&set[i].bucket.empty_at, memory_order_relaxed);
        if (k == FREE) {
            *key = k;
            return &set[i];
        }
        if (best != NULL && empty_at >= best_empty_at) continue;
        best = &set[i];
        best_empty_at = empty_at;
        *key = k;
    }
    return best;
}
struct weir_token_bucket *weir_token_table_get(struct weir_token_table *t, uint64_t hash)
{
    uint64_t key = hash <= BUSY ? hash + 2 : hash;
    struct slot *set = &t->slots[(hash >> 32) % t->sets * WAYS];
    for (;;) {
        struct slot *s = find(set, key);
        if (s != NULL) return &s->bucket;
        uint64_t old;
        s = victim_of(set, &old);
        if (!atomic_compare_exchange_strong_explicit(&s->key, &old, BUSY, memory_order_acq_rel, memory_order_relaxed)) continue;
        weir_token_bucket_init(&s->bucket);
        atomic_store_explicit(&s->key, key, memory_order_release);
        /* Another worker may have made a bucket of the same value meanwhile: the first one in the set is the one. */
        struct slot *first = find(set, key);
        if (first == s || first == NULL) return &s->bucket;
        uint64_t mine = key;
        (void)atomic_compare_exchange_strong_explicit(&s->key, &mine, FREE, memory_order_acq_rel, memory_order_relaxed);
        return &first->bucket;
    }
}
