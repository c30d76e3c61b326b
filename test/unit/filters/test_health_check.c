/* filters/health_check.c */
#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/host.h"
#include "dataplane/cluster/host_set.h"
#include "dataplane/filters/filters.h"
#include "test/unit/support/http_rig.h"

#define CHECK "GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
#define MATCH "'headers': [{'name': ':path', 'string_match': {'exact': '/health'}}]"

static void start(struct rig *r, const char *json)
{
    rig_init(r);
    r->answer = true;
    assert_null(rig_compile_filter(r, &weir_filter_health_check, json));
    rig_connect(r);
}
static void test_checks_are_answered_here(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'pass_through_mode': false, " MATCH "}");
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    rig_assert_log(&r, "");
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\nx-envoy-upstream-healthchecked-cluster: nc1\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    assert_string_equal(r.access.p, "200 - health_check_ok");
    assert_int_equal(rig_counter(&r, "http.in.health_check.ok"), 1);
    assert_int_equal(rig_counter(&r, "http.in.health_check.request_total"), 1);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_2XX), 0); /* not traffic */
    rig_send_text(&r, "GET /other HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "up.h!");
    rig_deinit(&r);
}
static void test_a_failing_server_says_so(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'pass_through_mode': false, " MATCH "}");
    r.w->draining = true;
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-upstream-healthchecked-cluster: nc1\r\n"
                       "x-envoy-immediate-health-check-fail: true\r\n" RIG_TAIL "connection: close\r\ncontent-length: 0\r\n\r\n");
    assert_string_equal(r.access.p, "503 LH health_check_failed");
    assert_int_equal(rig_counter(&r, "http.in.health_check.failed"), 1);
    r.w->draining = false;
    rig_deinit(&r);
}
static void test_pass_through_remembers_the_answer(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'pass_through_mode': true, 'cache_time': '1s', " MATCH "}");
    r.answer = false;
    rig_send_text(&r, CHECK);
    rig_assert_log(&r, "up.h!");
    rig_respond(&r, true, LIST(":status", "503"));
    rig_turn(&r);
    assert_non_null(strstr(rig_take(&r), "x-envoy-upstream-healthchecked-cluster: nc1\r\n"));
    rig_advance(&r, 900);
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    rig_assert_log(&r, "");
    assert_non_null(strstr(rig_take(&r), "HTTP/1.1 503"));
    assert_int_equal(rig_counter(&r, "http.in.health_check.cached_response"), 1);
    rig_advance(&r, 101);
    rig_send_text(&r, CHECK);
    rig_assert_log(&r, "up.h!");
    rig_respond(&r, true, LIST(":status", "200"));
    rig_turn(&r);
    (void)rig_take(&r);
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    assert_non_null(strstr(rig_take(&r), "HTTP/1.1 200"));
    rig_deinit(&r);
}
static void test_cache_needs_pass_through(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_string_equal(rig_compile_filter(&r, &weir_filter_health_check, "{'pass_through_mode': false, 'cache_time': '1s'}"),
                        "cache_time: cache_time_ms must not be set when path_through_mode is disabled");
    rig_connect(&r);
    rig_deinit(&r);
}
static void test_clusters_must_have_enough_healthy_hosts(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'pass_through_mode': false, 'cluster_min_healthy_percentages': {'c0': {'value': 50}}, " MATCH "}");
    struct weir_host hosts[4] = {0};
    struct weir_host_member members[4];
    for (int i = 0; i < 4; i++) members[i] = (struct weir_host_member){.host = &hosts[i], .health = WEIR_HOST_UNHEALTHY};
    struct weir_host_set set = {.count = 4, .at = members};
    struct weir_cluster cluster = {.hosts = &set};
    struct weir_cluster *clusters[1] = {NULL};
    r.w->snapshot.clusters = clusters;
    r.w->snapshot.cluster_capacity = 1;
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    assert_non_null(strstr(rig_take(&r), "HTTP/1.1 503"));
    clusters[0] = &cluster;
    for (int healthy = 0; healthy <= 4; healthy++) {
        if (healthy > 0) members[healthy - 1].health = WEIR_HOST_HEALTHY;
        rig_send_text(&r, CHECK);
        rig_turn(&r);
        assert_non_null(strstr(rig_take(&r), healthy >= 2 ? "HTTP/1.1 200" : "HTTP/1.1 503"));
    }
    atomic_store(&hosts[0].flags, WEIR_HOST_EJECTED);
    atomic_store(&hosts[1].flags, WEIR_HOST_EJECTED);
    atomic_store(&hosts[2].flags, WEIR_HOST_EJECTED);
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    assert_non_null(strstr(rig_take(&r), "HTTP/1.1 503"));
    set.count = 0;
    rig_send_text(&r, CHECK);
    rig_turn(&r);
    assert_non_null(strstr(rig_take(&r), "HTTP/1.1 503"));
    assert_int_equal(rig_counter(&r, "http.in.health_check.failed_cluster_not_found"), 1);
    assert_int_equal(rig_counter(&r, "http.in.health_check.failed_cluster_unhealthy"), 3);
    assert_int_equal(rig_counter(&r, "http.in.health_check.failed_cluster_empty"), 1);
    r.w->snapshot.clusters = NULL;
    r.w->snapshot.cluster_capacity = 0;
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks_are_answered_here),
        cmocka_unit_test(test_a_failing_server_says_so),
        cmocka_unit_test(test_pass_through_remembers_the_answer),
        cmocka_unit_test(test_cache_needs_pass_through),
        cmocka_unit_test(test_clusters_must_have_enough_healthy_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
