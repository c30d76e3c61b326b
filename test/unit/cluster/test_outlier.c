/* Outlier detection on a clock that the test moves: thresholds, the share that may be ejected, growing times, success rates. */
#include "dataplane/cluster/outlier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOSTS_MAX 20

struct fixture {
    struct weir_stats_registry *registry;
    struct weir_stats *set;
    struct weir_random random;
    struct weir_outlier_detector d;
    struct weir_host *hosts[HOSTS_MAX];
    uint64_t now_ms;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->registry = weir_stats_registry_create(1);
    f->set = weir_stats_acquire(f->registry, WEIR_STR("cluster.c.outlier_detection."), weir_outlier_stat_descs, WEIR_OS_COUNT);
    weir_random_seed(&f->random, 3);
    struct weir_outlier_config config = {
        .enabled = true,
        .interval_ms = 10000,
        .base_ejection_ms = 30000,
        .max_ejection_ms = 300000,
        .consecutive_5xx = 5,
        .consecutive_gateway_failure = 5,
        .consecutive_local_origin_failure = 5,
        .max_ejection_percent = 100,
        .enforcing_5xx = 100,
        .enforcing_gateway_failure = 0,
        .enforcing_local_origin_failure = 100,
        .enforcing_success_rate = 100,
        .success_rate_minimum_hosts = 5,
        .success_rate_request_volume = 100,
        .success_rate_stdev_factor = 1900,
        .failure_percentage_threshold = 85,
        .failure_percentage_minimum_hosts = 5,
        .failure_percentage_request_volume = 50,
    };
    weir_outlier_init(&f->d, &config, f->set, weir_stats_shard(f->set, 1), &f->random);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < HOSTS_MAX; i++)
        if (f->hosts[i] != NULL) weir_host_release(f->hosts[i]);
    weir_outlier_deinit(&f->d);
    weir_stats_release(f->set);
    weir_stats_registry_destroy(f->registry);
    free(f);
    return 0;
}

static void hosts_make(struct fixture *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct weir_address a;
        assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), (uint16_t)(100 + i), &a));
        f->hosts[i] = weir_host_create(&a, (struct weir_str){0}, (struct weir_str){0});
        f->hosts[i]->slot = i;
    }
}

/* One outcome; what reaches a threshold is told to the detector as the mail would. */
static bool report(struct fixture *f, uint32_t host, enum weir_outlier_result result, uint32_t status)
{
    struct weir_host *h = f->hosts[host];
    uint32_t signals = weir_outlier_count(&f->d.config, &h->counts, result, status);
    return signals != 0 && weir_outlier_signal(&f->d, h, signals, f->hosts, HOSTS_MAX, f->now_ms);
}

static void respond(struct fixture *f, uint32_t host, uint32_t status, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        (void)report(f, host, WEIR_OUTLIER_RESPONSE, status);
}

static bool tick(struct fixture *f, uint64_t ms)
{
    f->now_ms += ms;
    return weir_outlier_interval(&f->d, f->hosts, HOSTS_MAX, f->now_ms);
}

static int64_t stat(const struct fixture *f, enum weir_outlier_stat s)
{
    return weir_stat_sum(f->set, s);
}

static void test_the_fifth_consecutive_5xx_ejects(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    respond(f, 0, 500, 4);
    assert_false(weir_host_ejected(f->hosts[0]));
    respond(f, 0, 500, 1);
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_false(weir_host_ejected(f->hosts[1]));
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_consecutive_5xx), 1);
    assert_int_equal(stat(f, WEIR_OS_ejections_detected_consecutive_5xx), 1);
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_total), 1);
    assert_int_equal(stat(f, WEIR_OS_ejections_active), 1);
}

static void test_a_good_response_starts_the_count_anew(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    for (int i = 0; i < 5; i++) {
        respond(f, 0, 503, 4);
        respond(f, 0, 404, 1);
    }
    assert_false(weir_host_ejected(f->hosts[0]));
}

static void test_an_ejected_host_returns_after_its_time(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    respond(f, 0, 500, 5);
    assert_false(tick(f, 29999));
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_true(tick(f, 1));
    assert_false(weir_host_ejected(f->hosts[0]));
    assert_int_equal(stat(f, WEIR_OS_ejections_active), 0);
}

static void test_each_further_ejection_lasts_longer_up_to_the_maximum(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    f->d.config.max_ejection_ms = 70000;
    static const uint64_t times[] = {30000, 60000, 70000, 70000};
    for (size_t i = 0; i < 4; i++) {
        respond(f, 0, 500, 5);
        assert_true(weir_host_ejected(f->hosts[0]));
        (void)tick(f, times[i] - 1);
        assert_true(weir_host_ejected(f->hosts[0]));
        (void)tick(f, 1);
        assert_false(weir_host_ejected(f->hosts[0]));
    }
}

static void test_healthy_intervals_shorten_the_next_ejection(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    for (int i = 0; i < 2; i++) {
        respond(f, 0, 500, 5);
        (void)tick(f, 60000);
        assert_false(weir_host_ejected(f->hosts[0]));
    }
    (void)tick(f, 10000);
    (void)tick(f, 10000);
    respond(f, 0, 500, 5);
    (void)tick(f, 30000);
    assert_false(weir_host_ejected(f->hosts[0]));
}

static void test_no_more_than_the_maximum_share_is_ejected(void **state)
{
    struct fixture *f = *state;
    f->d.config.max_ejection_percent = 10;
    hosts_make(f, 20);
    for (uint32_t i = 0; i < 3; i++)
        respond(f, i, 500, 5);
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_true(weir_host_ejected(f->hosts[1]));
    assert_false(weir_host_ejected(f->hosts[2]));
    assert_int_equal(stat(f, WEIR_OS_ejections_overflow), 1);
}

static void test_the_only_host_stays_unless_one_may_always_go(void **state)
{
    struct fixture *f = *state;
    f->d.config.max_ejection_percent = 10;
    hosts_make(f, 1);
    respond(f, 0, 500, 5);
    assert_false(weir_host_ejected(f->hosts[0]));
    f->d.config.always_eject_one = true;
    respond(f, 0, 500, 5);
    assert_true(weir_host_ejected(f->hosts[0]));
}

static void test_gateway_failures_are_counted_and_ejected_only_when_enforced(void **state)
{
    struct fixture *f = *state;
    f->d.config.consecutive_5xx = 0;
    hosts_make(f, 2);
    respond(f, 0, 503, 5);
    assert_false(weir_host_ejected(f->hosts[0]));
    assert_int_equal(stat(f, WEIR_OS_ejections_detected_consecutive_gateway_failure), 1);
    f->d.config.enforcing_gateway_failure = 100;
    respond(f, 0, 502, 4);
    respond(f, 0, 500, 1); /* no gateway failure: starts anew */
    respond(f, 0, 504, 4);
    assert_false(weir_host_ejected(f->hosts[0]));
    respond(f, 0, 504, 1);
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_consecutive_gateway_failure), 1);
}

static void test_local_failures_count_as_5xx_unless_split(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    for (int i = 0; i < 5; i++)
        (void)report(f, 0, i % 2 == 0 ? WEIR_OUTLIER_CONNECT_FAILED : WEIR_OUTLIER_TIMEOUT, 504);
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_consecutive_5xx), 1);
}

static void test_split_local_failures_have_a_count_of_their_own(void **state)
{
    struct fixture *f = *state;
    f->d.config.split_local_origin = true;
    hosts_make(f, 2);
    for (int i = 0; i < 4; i++) {
        (void)report(f, 0, WEIR_OUTLIER_CONNECT_FAILED, 0);
        (void)report(f, 0, WEIR_OUTLIER_RESPONSE, 500);
    }
    assert_false(weir_host_ejected(f->hosts[0]));
    (void)report(f, 0, WEIR_OUTLIER_CONNECT_SUCCESS, 0);
    for (int i = 0; i < 4; i++)
        (void)report(f, 0, WEIR_OUTLIER_CONNECT_FAILED, 0);
    assert_false(weir_host_ejected(f->hosts[0]));
    (void)report(f, 0, WEIR_OUTLIER_TIMEOUT, 504);
    assert_true(weir_host_ejected(f->hosts[0]));
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_consecutive_local_origin_failure), 1);
}

static void test_a_host_far_below_the_others_success_rate_is_ejected(void **state)
{
    struct fixture *f = *state;
    f->d.config.consecutive_5xx = 0;
    hosts_make(f, 6);
    for (uint32_t i = 0; i < 6; i++) {
        respond(f, i, 200, i == 5 ? 50 : 100);
        respond(f, i, 500, i == 5 ? 50 : 0);
    }
    assert_true(tick(f, 10000));
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(weir_host_ejected(f->hosts[i]), i == 5);
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_success_rate), 1);
}

static void test_success_rates_of_few_requests_or_hosts_are_not_judged(void **state)
{
    struct fixture *f = *state;
    f->d.config.consecutive_5xx = 0;
    hosts_make(f, 6);
    for (uint32_t i = 0; i < 6; i++)
        respond(f, i, i == 5 ? 500 : 200, 99);
    assert_false(tick(f, 10000));
    /* Rates start anew with each interval. */
    for (uint32_t i = 0; i < 6; i++)
        respond(f, i, i == 5 ? 500 : 200, 50);
    assert_false(tick(f, 10000));
}

static void test_failure_percentage_ejects_when_enforced(void **state)
{
    struct fixture *f = *state;
    f->d.config.consecutive_5xx = 0;
    f->d.config.enforcing_failure_percentage = 100;
    hosts_make(f, 5);
    for (uint32_t i = 0; i < 5; i++) {
        respond(f, i, 200, i < 2 ? 15 : 85);
        respond(f, i, 500, i < 2 ? 85 : 15);
    }
    assert_true(tick(f, 10000));
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(weir_host_ejected(f->hosts[i]), i < 2);
    assert_int_equal(stat(f, WEIR_OS_ejections_enforced_failure_percentage), 2);
}

static void test_a_host_that_left_is_no_longer_counted(void **state)
{
    struct fixture *f = *state;
    hosts_make(f, 2);
    respond(f, 0, 500, 5);
    struct weir_host *gone = f->hosts[0];
    weir_outlier_forget(&f->d, gone);
    f->hosts[0] = NULL;
    assert_int_equal(stat(f, WEIR_OS_ejections_active), 0);
    assert_false(weir_outlier_signal(&f->d, gone, WEIR_OUTLIER_CONSECUTIVE_5XX, f->hosts, HOSTS_MAX, f->now_ms));
    weir_host_release(gone);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_the_fifth_consecutive_5xx_ejects),
        T(test_a_good_response_starts_the_count_anew),
        T(test_an_ejected_host_returns_after_its_time),
        T(test_each_further_ejection_lasts_longer_up_to_the_maximum),
        T(test_healthy_intervals_shorten_the_next_ejection),
        T(test_no_more_than_the_maximum_share_is_ejected),
        T(test_the_only_host_stays_unless_one_may_always_go),
        T(test_gateway_failures_are_counted_and_ejected_only_when_enforced),
        T(test_local_failures_count_as_5xx_unless_split),
        T(test_split_local_failures_have_a_count_of_their_own),
        T(test_a_host_far_below_the_others_success_rate_is_ejected),
        T(test_success_rates_of_few_requests_or_hosts_are_not_judged),
        T(test_failure_percentage_ejects_when_enforced),
        T(test_a_host_that_left_is_no_longer_counted),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
