/* filters/token_bucket.c, on a clock that the test moves, and with many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/random.h"
#include "dataplane/filters/token_bucket.h"

#define MS 1000000u
#define S (1000u * MS)

static void test_a_bucket_starts_full_and_refills_evenly(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_token_bucket b;
    weir_token_rate_init(&rate, 3, 1, S);
    weir_token_bucket_init(&b);
    uint64_t now = 5 * MS; /* earlier than a full bucket's time */
    assert_int_equal(weir_token_bucket_left(&b, &rate, now), 3);
    for (int i = 0; i < 3; i++) assert_true(weir_token_bucket_take(&b, &rate, 1, now));
    assert_false(weir_token_bucket_take(&b, &rate, 1, now));
    assert_int_equal(weir_token_bucket_wait_ns(&b, &rate, 1, now), S);
    assert_int_equal(weir_token_bucket_wait_ns(&b, &rate, 3, now), 3ull * S);
    assert_false(weir_token_bucket_take(&b, &rate, 1, now + S - 1));
    assert_int_equal(weir_token_bucket_wait_ns(&b, &rate, 1, now + S - 1), 1);
    assert_true(weir_token_bucket_take(&b, &rate, 1, now + S));
    assert_false(weir_token_bucket_take(&b, &rate, 1, now + S));
    assert_int_equal(weir_token_bucket_left(&b, &rate, now + 1000ull * S), 3);
    assert_int_equal(weir_token_bucket_wait_ns(&b, &rate, 1, now + 1000ull * S), 0);
}
static void test_tokens_per_fill(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_token_bucket b;
    weir_token_rate_init(&rate, 100, 7, 300 * MS);
    weir_token_bucket_init(&b);
    uint64_t now = 0;
    assert_true(weir_token_bucket_take(&b, &rate, 100, now));
    uint32_t taken = 0;
    for (int i = 0; i < 30000; i++) {
        now += MS / 10;
        taken += weir_token_bucket_take(&b, &rate, 1, now);
    }
    assert_in_range(taken, 69, 70); /* 3 s are ten fills of seven */
}
static void test_odd_buckets(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_token_bucket b;
    weir_token_rate_init(&rate, 0, 1, S);
    weir_token_bucket_init(&b);
    assert_false(weir_token_bucket_take(&b, &rate, 1, 100ull * S));
    assert_true(weir_token_bucket_wait_ns(&b, &rate, 1, 0) == UINT64_MAX);
    weir_token_rate_init(&rate, UINT32_MAX, 1, 3600ull * 24 * 365 * S);
    weir_token_bucket_init(&b);
    for (int i = 0; i < 100; i++) assert_true(weir_token_bucket_take(&b, &rate, 1, S));
    weir_token_rate_init(&rate, UINT32_MAX, UINT32_MAX, 50 * MS);
    weir_token_bucket_init(&b);
    for (int i = 0; i < 100000; i++) assert_true(weir_token_bucket_take(&b, &rate, 1, S));
}
static void test_a_lagging_clock_never_gains_tokens(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_token_bucket b;
    weir_token_rate_init(&rate, 2, 1, S);
    weir_token_bucket_init(&b);
    assert_true(weir_token_bucket_take(&b, &rate, 1, 10ull * S));
    assert_true(weir_token_bucket_take(&b, &rate, 1, 9ull * S + 999 * MS));
    assert_false(weir_token_bucket_take(&b, &rate, 1, 9ull * S + 999 * MS));
    assert_false(weir_token_bucket_take(&b, &rate, 1, 10ull * S));
    assert_true(weir_token_bucket_take(&b, &rate, 1, 11ull * S));
}
enum { THREADS = 4, TRIES = 20000 };
struct shared {
    struct weir_token_rate rate;
    struct weir_token_bucket bucket;
    struct weir_token_table *table;
    _Atomic uint32_t taken, by_value[8];
    _Atomic uint32_t ready;
};
static void *draw(void *arg)
{
    struct shared *sh = arg;
    atomic_fetch_add(&sh->ready, 1);
    while (atomic_load(&sh->ready) < THREADS) {
    }
    for (int i = 0; i < TRIES; i++) {
        if (weir_token_bucket_take(&sh->bucket, &sh->rate, 1, S)) atomic_fetch_add(&sh->taken, 1);
    }
    return NULL;
}
static void test_workers_together_take_exactly_what_is_there(void **state)
{
    (void)state;
    struct shared sh = {.taken = 0};
    pthread_t threads[THREADS];
    weir_token_rate_init(&sh.rate, 12345, 1, 3600ull * S);
    weir_token_bucket_init(&sh.bucket);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, draw, &sh), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(sh.taken, 12345);
}
static void *draw_by_value(void *arg)
{
    struct shared *sh = arg;
    atomic_fetch_add(&sh->ready, 1);
    while (atomic_load(&sh->ready) < THREADS) {
    }
    for (int i = 0; i < TRIES; i++) {
        uint32_t value = (uint32_t)i % 8;
        struct weir_token_bucket *b = weir_token_table_get(sh->table, 0x123456789abcull * (value + 1));
        if (weir_token_bucket_take(b, &sh->rate, 1, S)) atomic_fetch_add(&sh->by_value[value], 1);
    }
    return NULL;
}
static void test_buckets_of_a_table_are_exact_while_they_fit(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct shared sh = {.taken = 0};
        struct weir_arena a = {0};
        pthread_t threads[THREADS];
        weir_token_rate_init(&sh.rate, 50, 1, 3600ull * S);
        sh.table = weir_token_table_create(&a, 20);
        for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, draw_by_value, &sh), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < 8; i++) assert_int_equal(sh.by_value[i], 50);
        weir_arena_deinit(&a);
    }
}
static void test_a_table_forgets_the_fullest_bucket_first(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_arena a = {0};
    weir_token_rate_init(&rate, 10, 1, S);
    struct weir_token_table *t = weir_token_table_create(&a, 16);
    assert_int_equal(weir_token_table_capacity(t), 16);
    for (uint64_t v = 1; v <= 16; v++) {
        struct weir_token_bucket *b = weir_token_table_get(t, v * 0x9e3779b97f4a7c15ull);
        assert_true(weir_token_bucket_take(b, &rate, v == 7 ? 1 : 5, S));
    }
    (void)weir_token_table_get(t, 99 * 0x9e3779b97f4a7c15ull);
    for (uint64_t v = 1; v <= 16; v++) {
        if (v == 7) continue;
        assert_int_equal(weir_token_bucket_left(weir_token_table_get(t, v * 0x9e3779b97f4a7c15ull), &rate, S), 5);
    }
    /* A million of values stay within the table. */
    struct weir_random r;
    weir_random_seed(&r, 3);
    for (int i = 0; i < 1000000; i++) {
        struct weir_token_bucket *b = weir_token_table_get(t, weir_random_u64(&r));
        assert_true(weir_token_bucket_take(b, &rate, 1, S));
    }
    weir_arena_deinit(&a);
}
static void test_reserved_hashes_are_values_like_others(void **state)
{
    (void)state;
    struct weir_token_rate rate;
    struct weir_arena a = {0};
    weir_token_rate_init(&rate, 1, 1, S);
    struct weir_token_table *t = weir_token_table_create(&a, 1);
    assert_true(weir_token_bucket_take(weir_token_table_get(t, 0), &rate, 1, S));
    assert_true(weir_token_bucket_take(weir_token_table_get(t, 1), &rate, 1, S));
    assert_false(weir_token_bucket_take(weir_token_table_get(t, 0), &rate, 1, S));
    weir_arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bucket_starts_full_and_refills_evenly),
        cmocka_unit_test(test_tokens_per_fill),
        cmocka_unit_test(test_odd_buckets),
        cmocka_unit_test(test_a_lagging_clock_never_gains_tokens),
        cmocka_unit_test(test_workers_together_take_exactly_what_is_there),
        cmocka_unit_test(test_buckets_of_a_table_are_exact_while_they_fit),
        cmocka_unit_test(test_a_table_forgets_the_fullest_bucket_first),
        cmocka_unit_test(test_reserved_hashes_are_values_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
