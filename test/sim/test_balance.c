/* What the cluster does with load: outlier detection and circuit breakers, counted at the upstreams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 60
#define EJECTION_S 10u

static int64_t ejected(struct world *w, bool h2)
{
    return proxy_stat(w->proxy, h2 ? "cluster.h2.outlier_detection.ejections_active" : "cluster.h1.outlier_detection.ejections_active");
}

/* A host that fails is left alone for the ejection time, then gets its share again. */
static void run_outlier(uint64_t seed)
{
    struct world w;
    bool h2 = seed % 2 == 0;
    struct weir_address sick = sim_address(h2 ? 20 : 10, 80);
    char more[256];
    world_init(&w, seed, &(struct traffic_options){.sick = true, .body_max = 2000}, 40 * EXCHANGES);
    (void)snprintf(more, sizeof(more), "'outlier_detection': {'consecutive_5xx': 3, 'interval': '1s', 'base_ejection_time': '%us',"
                   " 'max_ejection_percent': 50, 'enforcing_success_rate': 0},", EJECTION_S);
    world_set_cluster(&w, "h1", false, "h1", more);
    world_set_cluster(&w, "h2", true, "h2", more);
    sim_pass(w.sim, SIM_MS);
    traffic_set_sick(&w.traffic, &sick, true);
    for (int i = 0; ejected(&w, h2) == 0; i++) {
        assert_true(i < 20);
        (void)world_add_clients(&w, EXCHANGES);
        world_settle(&w);
    }
    uint64_t begun = w.sim->worker->now_ns;
    uint32_t seen = traffic_seen(&w.traffic, &sick);
    (void)world_add_clients(&w, EXCHANGES);
    world_settle(&w);
    assert_true(w.sim->worker->now_ns - begun < EJECTION_S * S / 2);
    assert_int_equal(traffic_seen(&w.traffic, &sick), seen);
    for (uint32_t i = w.traffic.count - EXCHANGES; i < w.traffic.count; i++)
        assert_false(w.traffic.exchanges[i].sick);
    traffic_set_sick(&w.traffic, &sick, false);
    sim_pass(w.sim, (EJECTION_S + 2) * S);
    assert_int_equal(ejected(&w, h2), 0);
    for (int i = 0; traffic_seen(&w.traffic, &sick) == seen; i++) {
        assert_true(i < 10);
        (void)world_add_clients(&w, EXCHANGES);
        world_settle(&w);
    }
    (void)world_end(&w);
}

static void test_a_failing_host_is_left_alone_and_comes_back(void **state)
{
    (void)state;
    run_seeds("outlier", 30, 5, run_outlier);
}

#define LIMIT 4u

/* More than the limit is never under way, and what the breakers count comes back to nothing: later all is served again. */
static void run_breakers(uint64_t seed)
{
    struct world w;
    world_init(&w, seed, &(struct traffic_options){.limited = true, .faults = seed % 2 == 0, .client_faults = seed % 4 == 0, .body_max = 20000}, 2 * EXCHANGES);
    char more[256];
    (void)snprintf(more, sizeof(more), "'circuit_breakers': {'thresholds': [{'max_requests': %u, 'max_pending_requests': %u, 'max_connections': %u,"
                   " 'max_retries': 2}]},", LIMIT, LIMIT, LIMIT);
    world_set_cluster(&w, "h1", false, "h1", more);
    world_set_cluster(&w, "h2", true, "h2", more);
    sim_pass(w.sim, SIM_MS);
    (void)world_add_clients(&w, EXCHANGES);
    world_settle(&w);
    /* Of each cluster; and an upstream hears of a cancelled request later than the breaker. */
    if (w.traffic.most_serves > 3 * LIMIT) fail_msg("%u requests at once", w.traffic.most_serves);
    sim_pass(w.sim, 20 * S);
    /* One after the other: none may be refused now. */
    uint32_t first = w.traffic.count;
    w.traffic.options = (struct traffic_options){.limited = true, .body_max = 1000};
    for (int i = 0; i < 10; i++) {
        traffic_add_client(&w.traffic, i % 2 == 0, 1, SIM_MS);
        world_settle(&w);
    }
    for (uint32_t i = first; i < w.traffic.count; i++)
        assert_int_equal(w.traffic.exchanges[i].attempts, 1);
    (void)world_end(&w);
}

static void test_breakers_hold_the_limit_and_forget_nothing(void **state)
{
    (void)state;
    run_seeds("breakers", 40, 5, run_breakers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_a_failing_host_is_left_alone_and_comes_back),
        scenario_test(test_breakers_hold_the_limit_and_forget_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
