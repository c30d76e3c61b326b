/* The control thread's side of clusters and its way to the workers: hosts across updates, publication, ejection by mail. */
#include "dataplane/cluster/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_cluster.h"
#include "test/unit/support/cluster_rig.h"
#include "test/unit/support/pb_text.h"

#define ENDPOINT(port, rest) "{'endpoint': {'address': {'socket_address': {'address': '127.0.0.1', 'port_value': " port "}}}" rest "}"
#define ASSIGNMENT(list) "{'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [" list "]}]}"

static void assign(struct cluster_rig *f, const char *json)
{
    struct weir_error error;
    struct weir_compile c = {.error = &error, .stats = f->registry, .worker_count = 2, .scratch = &f->scratch};
    struct weir_endpoints *e = NULL;
    assert_int_equal(weir_endpoints_compile(&c, pb_text(&f->scratch, &pb_load_assignment_type, json), &e), WEIR_OK);
    weir_cluster_shared_set_endpoints(f->shared, e);
    weir_resource_release(&e->resource);
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
}

/* The port that a worker picks next; 0: none. */
static uint16_t pick(struct cluster_rig *f, int worker)
{
    struct weir_lb_context x = {0};
    struct weir_cluster *c = weir_snapshot_cluster(&f->workers[worker]->snapshot, 0);
    assert_non_null(c);
    struct weir_cluster_host *h = weir_cluster_pick(c, &x);
    if (h == NULL) return 0;
    uint16_t port = weir_address_port(&h->host->address);
    weir_cluster_host_release(h);
    return port;
}

static bool picks(struct cluster_rig *f, int worker, uint16_t port)
{
    for (int i = 0; i < 20; i++)
        if (pick(f, worker) == port) return true;
    return false;
}

#define EDS "{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}}}}"

static void test_an_eds_cluster_is_ready_with_its_first_endpoints(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assert_false(weir_cluster_shared_ready(f->shared));
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")));
    assert_int_equal(f->ready, 1);
    for (int w = 0; w < 2; w++) {
        assert_true(picks(f, w, 1001));
        assert_true(picks(f, w, 1002));
    }
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_total), 2);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_change), 1);
}

static void test_an_endpoint_that_leaves_gets_nothing_more_and_one_that_stays_keeps_its_state(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")));
    (void)pick(f, 0);
    struct weir_host *stays = f->shared->hosts->at[1].host;
    stays->rq_total = 5;
    assign(f, ASSIGNMENT(ENDPOINT("1002", "") "," ENDPOINT("1003", "")));
    assert_ptr_equal(f->shared->hosts->at[0].host, stays);
    for (int w = 0; w < 2; w++) {
        assert_false(picks(f, w, 1001));
        assert_true(picks(f, w, 1002));
        assert_true(picks(f, w, 1003));
    }
    assert_int_equal(stays->rq_total, 5);
}

/* So many endpoints from a port on. */
static void assign_many(struct cluster_rig *f, uint32_t first, uint32_t count)
{
    char json[8192];
    size_t n = (size_t)snprintf(json, sizeof(json), "{'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [");
    for (uint32_t i = 0; i < count; i++)
        n += (size_t)snprintf(json + n, sizeof(json) - n, "%s{'endpoint': {'address': {'socket_address': {'address': '127.0.0.1', 'port_value': %u}}}}",
                              i == 0 ? "" : ", ", first + i);
    (void)snprintf(json + n, sizeof(json) - n, "]}]}");
    assign(f, json);
}

static void test_hosts_keep_their_state_while_few_become_many_and_many_few(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign_many(f, 1001, 3);
    struct weir_host *first = f->shared->hosts->at[2].host; /* :1003 */
    assign_many(f, 1003, 40);
    assert_ptr_equal(f->shared->hosts->at[0].host, first);
    struct weir_host *last = f->shared->hosts->at[39].host; /* :1042 */
    assign_many(f, 1003, 60);
    assert_ptr_equal(f->shared->hosts->at[0].host, first);
    assert_ptr_equal(f->shared->hosts->at[39].host, last);
    assign_many(f, 1042, 1);
    assert_ptr_equal(f->shared->hosts->at[0].host, last);
    assign_many(f, 1041, 2);
    assert_ptr_equal(f->shared->hosts->at[1].host, last);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_total), 2);
}

static void test_health_by_eds_takes_effect(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", ", 'health_status': 'DRAINING'")));
    assert_false(picks(f, 0, 1002));
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_healthy), 1);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")));
    assert_true(picks(f, 0, 1002));
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_change), 1); /* no host came or went with the second */
}

static void test_an_endpoint_named_twice_is_one_host(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1001", "") "," ENDPOINT("1002", "")));
    assert_int_equal(f->shared->hosts->count, 2);
}

static void test_a_removed_assignment_leaves_the_cluster_empty(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "")));
    weir_cluster_shared_set_endpoints(f->shared, NULL);
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    assert_int_equal(pick(f, 0), 0);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_total), 0);
}

static void test_a_static_cluster_is_ready_at_once(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, "{'name': 'c', 'load_assignment': " ASSIGNMENT(ENDPOINT("1001", "")) "}");
    assert_true(weir_cluster_shared_ready(f->shared));
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    assert_int_equal(pick(f, 1), 1001);
}

static void report(struct cluster_rig *f, int worker, uint16_t port, uint32_t status)
{
    struct weir_cluster *c = weir_cluster_use(weir_snapshot_cluster(&f->workers[worker]->snapshot, 0));
    for (uint32_t i = 0; i < f->shared->hosts->count; i++)
        if (weir_address_port(&f->shared->hosts->at[i].host->address) == port)
            weir_cluster_report(c, f->shared->hosts->at[i].host, WEIR_OUTLIER_RESPONSE, status);
}

static void test_an_ejected_host_leaves_the_balance_on_all_workers_and_returns(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, "{'name': 'c', 'outlier_detection': {'consecutive_5xx': 3, 'interval': '1s', 'base_ejection_time': '5s',"
              "'max_ejection_percent': 50}, 'load_assignment': " ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")) "}");
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    report(f, 0, 1001, 500);
    report(f, 1, 1001, 500); /* counted over all workers */
    cluster_rig_turn(f, 0);
    assert_true(picks(f, 0, 1001));
    report(f, 0, 1001, 503);
    cluster_rig_turn(f, 0);
    for (int w = 0; w < 2; w++) {
        assert_false(picks(f, w, 1001));
        assert_true(picks(f, w, 1002));
    }
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_healthy), 1);
    for (int i = 0; i < 6; i++)
        cluster_rig_turn(f, 1000);
    for (int w = 0; w < 2; w++)
        assert_true(picks(f, w, 1001));
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_healthy), 2);
    assert_int_equal(weir_stat_sum(f->config->outlier_stats, WEIR_OS_ejections_active), 0);
    assert_int_equal(weir_stat_sum(f->config->outlier_stats, WEIR_OS_ejections_enforced_total), 1);
}

static void test_an_ejection_lives_through_updates(void **state)
{
    struct cluster_rig *f = *state;
#define WITH(rest) "{'name': 'c', 'outlier_detection': {'consecutive_5xx': 1, 'max_ejection_percent': 50}," rest "'load_assignment': " \
    ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")) "}"
    cluster_rig_create(f, WITH(""));
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    report(f, 0, 1001, 500);
    cluster_rig_turn(f, 0);
    struct weir_cluster_config *next = cluster_rig_compile(f, WITH("'connect_timeout': '1s',"));
    weir_cluster_shared_set_config(f->shared, next);
    weir_resource_release(&f->config->resource);
    f->config = next;
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    assert_false(picks(f, 0, 1001));
    /* Detection is switched off: the host is back. */
    next = cluster_rig_compile(f, "{'name': 'c', 'load_assignment': " ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")) "}");
    weir_cluster_shared_set_config(f->shared, next);
    weir_resource_release(&f->config->resource);
    f->config = next;
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
    assert_true(picks(f, 0, 1001));
#undef WITH
}

static void test_avoided_hosts_are_drawn_only_when_nothing_else_comes(void **state)
{
    struct cluster_rig *f = *state;
    cluster_rig_create(f, EDS);
    assign(f, ASSIGNMENT(ENDPOINT("1001", "") "," ENDPOINT("1002", "")));
    struct weir_cluster *c = weir_snapshot_cluster(&f->workers[0]->snapshot, 0);
    struct weir_host *avoid[] = {f->shared->hosts->at[0].host};
    struct weir_lb_context x = {.avoid = avoid, .avoid_count = 1, .avoid_attempts = 3};
    for (int i = 0; i < 10; i++) {
        struct weir_cluster_host *h = weir_cluster_pick(c, &x);
        assert_int_equal(weir_address_port(&h->host->address), 1002);
        weir_cluster_host_release(h);
    }
    assign(f, ASSIGNMENT(ENDPOINT("1001", "")));
    struct weir_cluster_host *h = weir_cluster_pick(c, &x);
    assert_int_equal(weir_address_port(&h->host->address), 1001);
    weir_cluster_host_release(h);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, cluster_rig_setup, cluster_rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_an_eds_cluster_is_ready_with_its_first_endpoints),
        T(test_an_endpoint_that_leaves_gets_nothing_more_and_one_that_stays_keeps_its_state),
        T(test_hosts_keep_their_state_while_few_become_many_and_many_few),
        T(test_health_by_eds_takes_effect),
        T(test_an_endpoint_named_twice_is_one_host),
        T(test_a_removed_assignment_leaves_the_cluster_empty),
        T(test_a_static_cluster_is_ready_at_once),
        T(test_an_ejected_host_leaves_the_balance_on_all_workers_and_returns),
        T(test_an_ejection_lives_through_updates),
        T(test_avoided_hosts_are_drawn_only_when_nothing_else_comes),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
