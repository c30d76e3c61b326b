/* Circuit breakers: limits, budgets, and gauges that say when one is open. */
#include "dataplane/cluster/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct weir_stats_registry *registry;
    struct weir_stats *set;
    struct weir_stats_shard *one, *two; /* of two workers */
    struct weir_breaker b;
    struct weir_breaker_limits l;
};

static int setup(void **state)
{
    struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) / 64 * 64);
    memset(f, 0, sizeof(*f));
    f->registry = weir_stats_registry_create(2);
    f->set = weir_stats_acquire(f->registry, WEIR_STR("cluster.c."), weir_cluster_stat_descs, WEIR_CS_COUNT);
    f->one = weir_stats_shard(f->set, 0);
    f->two = weir_stats_shard(f->set, 1);
    f->l = (struct weir_breaker_limits){.connections = 2, .pending = 1, .requests = 2, .retries = 3, .pools = UINT64_MAX};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_stats_release(f->set);
    weir_stats_registry_destroy(f->registry);
    free(f);
    return 0;
}

static void test_room_ends_at_the_limit_and_returns(void **state)
{
    struct fixture *f = *state;
    weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_REQUESTS, f->one, 0);
    assert_true(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_REQUESTS));
    weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_REQUESTS, f->two, 0);
    assert_false(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_REQUESTS));
    weir_breaker_give(&f->b, &f->l, WEIR_BREAKER_REQUESTS, f->one, 0);
    assert_true(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_REQUESTS));
}

static void test_the_gauge_is_one_exactly_while_the_limit_is_reached(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) /* one more than allowed, as two workers at once may do */
        weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_CONNECTIONS, i % 2 ? f->one : f->two, 1);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_high_cx_open), 1);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_default_cx_open), 0);
    weir_breaker_give(&f->b, &f->l, WEIR_BREAKER_CONNECTIONS, f->one, 1);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_high_cx_open), 1);
    weir_breaker_give(&f->b, &f->l, WEIR_BREAKER_CONNECTIONS, f->two, 1);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_high_cx_open), 0);
}

static void test_a_limit_of_zero_has_no_room(void **state)
{
    struct fixture *f = *state;
    f->l.pending = 0;
    assert_false(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_PENDING));
}

static void test_a_retry_budget_follows_what_is_active(void **state)
{
    struct fixture *f = *state;
    f->l.requests = f->l.pending = 1000;
    f->l.has_budget = true;
    f->l.budget_percent = 20;
    f->l.budget_min = 3;
    for (int i = 0; i < 3; i++) {
        assert_true(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_RETRIES));
        weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_RETRIES, f->one, 0);
    }
    assert_false(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_RETRIES));
    for (int i = 0; i < 20; i++)
        weir_breaker_take(&f->b, &f->l, i % 2 ? WEIR_BREAKER_REQUESTS : WEIR_BREAKER_PENDING, f->one, 0);
    assert_true(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_RETRIES));
    weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_RETRIES, f->one, 0);
    assert_false(weir_breaker_has_room(&f->b, &f->l, WEIR_BREAKER_RETRIES));
}

static void test_new_limits_move_the_gauges(void **state)
{
    struct fixture *f = *state;
    weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_REQUESTS, f->one, 0);
    struct weir_breaker_limits tighter = f->l;
    tighter.requests = 1;
    weir_breaker_relimit(&f->b, &tighter, weir_stats_shard(f->set, 2), 0);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_default_rq_open), 1);
    weir_breaker_give(&f->b, &tighter, WEIR_BREAKER_REQUESTS, f->one, 0);
    assert_int_equal(weir_stat_sum(f->set, WEIR_CS_default_rq_open), 0);
}

static void test_what_remains_is_counted_when_asked(void **state)
{
    struct fixture *f = *state;
    struct weir_stats *set = weir_stats_acquire(f->registry, WEIR_STR("cluster.c.circuit_breakers.default."),
                                                weir_breaker_remaining_descs, WEIR_BREAKER_REMAINING_COUNT);
    f->l.remaining = set;
    weir_breaker_track(&f->b, &f->l, weir_stats_shard(f->set, 2));
    assert_int_equal(weir_stat_sum(set, WEIR_BREAKER_REQUESTS), 2);
    weir_breaker_take(&f->b, &f->l, WEIR_BREAKER_REQUESTS, f->one, 0);
    assert_int_equal(weir_stat_sum(set, WEIR_BREAKER_REQUESTS), 1);
    struct weir_breaker_limits wider = f->l;
    wider.requests = 10;
    weir_breaker_relimit(&f->b, &wider, weir_stats_shard(f->set, 2), 0);
    assert_int_equal(weir_stat_sum(set, WEIR_BREAKER_REQUESTS), 9);
    weir_breaker_give(&f->b, &wider, WEIR_BREAKER_REQUESTS, f->two, 0);
    assert_int_equal(weir_stat_sum(set, WEIR_BREAKER_REQUESTS), 10);
    weir_stats_release(set);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_room_ends_at_the_limit_and_returns),
        T(test_the_gauge_is_one_exactly_while_the_limit_is_reached),
        T(test_a_limit_of_zero_has_no_room),
        T(test_a_retry_budget_follows_what_is_active),
        T(test_new_limits_move_the_gauges),
        T(test_what_remains_is_counted_when_asked),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
