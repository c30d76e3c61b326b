/* Token buckets (type.v3.TokenBucket) that many workers draw from at once: one atomic word each, exact whoever draws. Tokens
 * come back evenly, tokens_per_fill in each fill_interval, up to max_tokens. */
#ifndef WEIR_FILTERS_TOKEN_BUCKET_H
#define WEIR_FILTERS_TOKEN_BUCKET_H

#include <stdatomic.h>

#include "dataplane/weir.h"

/* How a bucket fills; immutable. Times are in ticks of 2^-shift nanoseconds, as fine as a full bucket's time allows. */
struct weir_token_rate {
    uint64_t max_tokens;
    int shift;
    int64_t token_ticks;    /* one token's time */
    int64_t capacity_ticks; /* that of a full bucket */
};
/* The time at which it was, or will have been, empty, and the latest time that any worker has brought: clocks of workers are
 * read once a turn and differ a little. Made full by weir_token_bucket_init(). */
struct weir_token_bucket {
    _Atomic int64_t empty_at, clock;
};
#define WEIR_TOKEN_BUCKET_FULL INT64_MIN

void weir_token_rate_init(struct weir_token_rate *rate, uint64_t max_tokens, uint64_t tokens_per_fill, uint64_t fill_interval_ns);
static inline void weir_token_bucket_init(struct weir_token_bucket *b)
{
    atomic_store_explicit(&b->empty_at, WEIR_TOKEN_BUCKET_FULL, memory_order_relaxed);
    atomic_store_explicit(&b->clock, 0, memory_order_relaxed);
}
/* Takes n tokens, or none and false. now_ns is monotonic. */
bool weir_token_bucket_take(struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t n, uint64_t now_ns);
uint64_t weir_token_bucket_left(const struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t now_ns);
/* Time until n tokens are there; 0: now; UINT64_MAX: never. */
uint64_t weir_token_bucket_wait_ns(const struct weir_token_bucket *b, const struct weir_token_rate *rate, uint64_t n, uint64_t now_ns);

/* Buckets of values that are not known in advance, made at first use, in a table of fixed size shared by all workers. A
 * value is known by a seeded 64 bit hash. Where room is needed the fullest bucket goes: one that is quite full is as good
 * as new. */
struct weir_token_table;
struct weir_arena;
struct weir_token_table *weir_token_table_create(struct weir_arena *arena, uint32_t capacity);
/* Never NULL; valid as long as the table, but may be another value's by the next turn. */
struct weir_token_bucket *weir_token_table_get(struct weir_token_table *t, uint64_t hash);
uint32_t weir_token_table_capacity(const struct weir_token_table *t);

#endif
