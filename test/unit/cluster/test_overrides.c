/* Runtime keys over what a cluster's configuration says: looked up whenever either changes, on the control thread and on workers. */
#include "dataplane/cluster/overrides.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/unit/support/upstream_rig.h"

#define S WEIR_STR

static struct weir_runtime *runtime_of(const char *const *pairs)
{
    struct weir_str names[] = {S("static")};
    struct weir_runtime *r = weir_runtime_create(names, 1);
    for (; *pairs != NULL; pairs += 2)
        weir_runtime_set(r, 0, weir_str_of(pairs[0]), weir_str_of(pairs[1]));
    return r;
}
#define RUNTIME(...) runtime_of((const char *const[]){__VA_ARGS__, NULL})

static struct weir_cluster_config *config_make(void)
{
    struct weir_cluster_config *c = weir_resource_create(sizeof(*c), S("a.b"));
    for (int i = 0; i < 2; i++)
        c->limits[i] = (struct weir_breaker_limits){.connections = 10, .pending = 20, .requests = 30, .retries = 3, .pools = UINT64_MAX};
    c->outlier = (struct weir_outlier_config){.enabled = true, .interval_ms = 10000, .consecutive_5xx = 5, .enforcing_5xx = 100};
    return c;
}

static void drop(struct weir_runtime *r, struct weir_cluster_config *c, struct weir_cluster_overrides *o)
{
    free(o);
    weir_resource_release(&c->resource);
    weir_resource_release(weir_runtime_resource(r));
}

static void test_without_such_keys_there_is_nothing_to_keep(void **state)
{
    (void)state;
    struct weir_cluster_config *c = config_make();
    struct weir_runtime *r = RUNTIME("upstream.use_retry", "5", "circuit_breakersx.y", "1", "outlier_detection", "1");
    assert_null(weir_cluster_overrides_create(c, NULL));
    assert_null(weir_cluster_overrides_create(c, r));
    drop(r, c, NULL);
}

static void test_limits_of_each_priority(void **state)
{
    (void)state;
    struct weir_cluster_config *c = config_make();
    struct weir_runtime *r = RUNTIME("circuit_breakers.a.b.default.max_connections", "1", "circuit_breakers.a.b.default.max_pending_requests", "2",
                                     "circuit_breakers.a.b.default.max_requests", "0", "circuit_breakers.a.b.default.max_retries", "4",
                                     "circuit_breakers.a.b.default.max_connection_pools", "5", "circuit_breakers.a.b.high.max_requests", "6",
                                     "circuit_breakers.other.high.max_connections", "7", "circuit_breakers.a.b.high.max_retries", "many");
    struct weir_cluster_overrides *o = weir_cluster_overrides_create(c, r);
    assert_int_equal(o->limits[0].connections, 1);
    assert_int_equal(o->limits[0].pending, 2);
    assert_int_equal(o->limits[0].requests, 0);
    assert_int_equal(o->limits[0].retries, 4);
    assert_int_equal(o->limits[0].pools, 5);
    assert_false(o->limits[0].has_budget);
    assert_int_equal(o->limits[1].requests, 6);
    assert_int_equal(o->limits[1].connections, 10);
    assert_int_equal(o->limits[1].retries, 3); /* no number: the configuration's */
    assert_int_equal(o->outlier.consecutive_5xx, 5);
    drop(r, c, o);
}

static void test_either_key_makes_a_retry_budget(void **state)
{
    (void)state;
    struct weir_cluster_config *c = config_make();
    c->limits[1].has_budget = true;
    c->limits[1].budget_percent = 50;
    c->limits[1].budget_min = 9;
    struct weir_runtime *r = RUNTIME("circuit_breakers.a.b.default.retry_budget.min_retry_concurrency", "1",
                                     "circuit_breakers.a.b.high.retry_budget.budget_percent", "12.5");
    struct weir_cluster_overrides *o = weir_cluster_overrides_create(c, r);
    assert_true(o->limits[0].has_budget);
    assert_true(o->limits[0].budget_percent == 20.0);
    assert_int_equal(o->limits[0].budget_min, 1);
    assert_true(o->limits[1].budget_percent == 12.5);
    assert_int_equal(o->limits[1].budget_min, 9);
    drop(r, c, o);
}

static void test_every_number_of_outlier_detection(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t offset;
        bool wide;
    } fields[] = {
#define F(key, field) {"outlier_detection." key, offsetof(struct weir_outlier_config, field), sizeof(((struct weir_outlier_config *)0)->field) == 8}
        F("consecutive_5xx", consecutive_5xx), F("consecutive_gateway_failure", consecutive_gateway_failure),
        F("consecutive_local_origin_failure", consecutive_local_origin_failure), F("interval_ms", interval_ms),
        F("base_ejection_time_ms", base_ejection_ms), F("max_ejection_time_ms", max_ejection_ms), F("max_ejection_time_jitter_ms", jitter_ms),
        F("max_ejection_percent", max_ejection_percent), F("enforcing_consecutive_5xx", enforcing_5xx),
        F("enforcing_consecutive_gateway_failure", enforcing_gateway_failure),
        F("enforcing_consecutive_local_origin_failure", enforcing_local_origin_failure), F("enforcing_success_rate", enforcing_success_rate),
        F("enforcing_local_origin_success_rate", enforcing_local_success_rate), F("enforcing_failure_percentage", enforcing_failure_percentage),
        F("enforcing_failure_percentage_local_origin", enforcing_local_failure_percentage), F("success_rate_minimum_hosts", success_rate_minimum_hosts),
        F("success_rate_request_volume", success_rate_request_volume), F("success_rate_stdev_factor", success_rate_stdev_factor),
        F("failure_percentage_threshold", failure_percentage_threshold), F("failure_percentage_minimum_hosts", failure_percentage_minimum_hosts),
        F("failure_percentage_request_volume", failure_percentage_request_volume),
#undef F
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct weir_cluster_config *c = config_make();
        struct weir_runtime *r = RUNTIME(fields[i].key, "77");
        struct weir_cluster_overrides *o = weir_cluster_overrides_create(c, r);
        const void *at = (const char *)&o->outlier + fields[i].offset;
        assert_int_equal(fields[i].wide ? *(const uint64_t *)at : *(const uint32_t *)at, 77);
        drop(r, c, o);
    }
    struct weir_cluster_config *c = config_make();
    c->outlier.enabled = false; /* is not switched on by a key */
    struct weir_runtime *r = RUNTIME("outlier_detection.consecutive_5xx", "1");
    assert_null(weir_cluster_overrides_create(c, r));
    drop(r, c, NULL);
}

/* ---- a running cluster ---- */

static void use(struct weir_worker *w, struct weir_runtime *r)
{
    w->snapshot.runtime = r;
    weir_clusters_runtime_changed(w);
}

static void test_limits_of_a_running_cluster_follow_the_runtime(void **state)
{
    (void)state;
    struct upstream_rig *r = calloc(1, sizeof(*r));
    upstream_rig_init(r, 1);
    upstream_rig_install(r);
    struct weir_str name = r->config->resource.name;
    struct upstream_user *first = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    struct weir_str names[] = {S("static")};
    struct weir_runtime *runtime = weir_runtime_create(names, 1);
    char key[128];
    (void)snprintf(key, sizeof(key), "circuit_breakers.%.*s.default.max_connections", WEIR_STR_ARG(name));
    weir_runtime_set(runtime, 0, weir_str_of(key), S("1"));
    r->control->snapshot.runtime = runtime;
    weir_cluster_shared_runtime_changed(r->shared);
    assert_int_equal(upstream_rig_stat(r, WEIR_CS_default_cx_open), 1); /* the gauge follows at once */
    use(r->w, runtime);
    struct upstream_user *second = upstream_user_start(r);
    assert_int_equal(second->state, WEIR_ATTEMPT_WAITING);
    assert_int_equal(r->peer_count, 1);
    assert_int_equal(upstream_rig_stat(r, WEIR_CS_upstream_cx_overflow), 1);
    r->control->snapshot.runtime = NULL;
    weir_cluster_shared_runtime_changed(r->shared);
    assert_int_equal(upstream_rig_stat(r, WEIR_CS_default_cx_open), 0);
    use(r->w, NULL);
    struct upstream_user *third = upstream_user_start(r);
    assert_true(r->peer_count > 1);
    upstream_user_end(first);
    upstream_user_end(second);
    upstream_user_end(third);
    weir_resource_release(weir_runtime_resource(runtime));
    upstream_rig_deinit(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_such_keys_there_is_nothing_to_keep),
        cmocka_unit_test(test_limits_of_each_priority),
        cmocka_unit_test(test_either_key_makes_a_retry_budget),
        cmocka_unit_test(test_every_number_of_outlier_detection),
        cmocka_unit_test(test_limits_of_a_running_cluster_follow_the_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
