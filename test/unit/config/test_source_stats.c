/* What is counted of a subscription (config/source_stats.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/config/source_stats.h"

static struct weir_stats_registry *r;

static int setup(void **state)
{
    (void)state;
    r = weir_stats_registry_create(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    weir_stats_registry_destroy(r);
    return 0;
}

static void test_every_answer_is_an_attempt(void **state)
{
    (void)state;
    struct weir_stats *set = weir_stats_acquire(r, WEIR_STR("http.a.rds.b."), weir_rds_stat_descs, WEIR_RDS_COUNT);
    struct weir_source_stats s = weir_source_of_routes(set, 1);
    assert_false(weir_source_begun(&s));
    weir_source_begin(&s);
    assert_true(weir_source_begun(&s));
    weir_source_accepted(&s, &(struct weir_source_update){.version = 7, .wall_ms = 1000, .duration_ms = 3});
    weir_source_rejected(&s);
    weir_source_timed_out(&s);
    weir_source_failed(&s, 2);
    weir_source_reloaded(&s, 1001);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_ATTEMPT), 6);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_SUCCESS), 1);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_REJECTED), 1);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_FETCH_TIMEOUT), 1);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_FAILURE), 2);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_VERSION), 7);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_TIME), 1000);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_DURATION), 1);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_RELOAD), 1);
    assert_int_equal(weir_stat_sum(set, WEIR_RDS_RELOAD_TIME), 1001);
    weir_stats_release(set);
}

static void test_only_clusters_by_eds_are_subscriptions(void **state)
{
    (void)state;
    struct weir_cluster_config config = {.control_stats = weir_stats_acquire(r, WEIR_STR("cluster.a."), weir_cluster_control_stat_descs, WEIR_CC_COUNT)};
    struct weir_source_stats s;
    assert_false(weir_source_of_cluster(&config, 1, &s));
    config.eds_stats = weir_stats_acquire(r, WEIR_STR("cluster.a."), weir_cluster_eds_stat_descs, WEIR_CE_COUNT);
    assert_true(weir_source_of_cluster(&config, 1, &s));
    weir_source_begin(&s);
    weir_source_accepted(&s, &(struct weir_source_update){.version = 7, .wall_ms = 1000});
    weir_source_rejected(&s);
    assert_int_equal(weir_stat_sum(config.control_stats, WEIR_CC_update_attempt), 3);
    assert_int_equal(weir_stat_sum(config.control_stats, WEIR_CC_update_success), 1);
    assert_int_equal(weir_stat_sum(config.control_stats, WEIR_CC_version), 7);
    assert_int_equal(weir_stat_sum(config.eds_stats, WEIR_CE_update_rejected), 1);
    assert_int_equal(weir_stat_sum(config.eds_stats, WEIR_CE_update_time), 1000);
    weir_stats_release(config.eds_stats);
    weir_stats_release(config.control_stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_answer_is_an_attempt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_clusters_by_eds_are_subscriptions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
