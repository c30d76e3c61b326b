/* observe/admin_stats.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/observe/admin_stats.h"

#define S WEIR_STR

static const struct weir_stat_desc descs[] = {{"total", WEIR_COUNTER}, {"active", WEIR_GAUGE}};
static struct weir_stats_registry *stats;
static struct weir_stats *set;
static struct weir_arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = weir_arena_create();
    stats = weir_stats_registry_create(1);
    set = weir_stats_acquire(stats, S("server."), descs, 2);
    weir_stat_inc(weir_stats_shard(set, 0), 0);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_stats_release(set);
    weir_stats_registry_destroy(stats);
    weir_arena_destroy(arena);
    return 0;
}

static void assert_page(const char *query, uint32_t status, const char *type, const char *body)
{
    struct weir_admin_request r = {S("GET"), S("/stats"), weir_str_of(query), arena};
    struct weir_admin_reply reply = {.status = 200, .content_type = WEIR_ADMIN_TEXT};
    weir_admin_stats(stats, &r, &reply);
    if (reply.source != NULL) {
        while (reply.source->more(reply.source, &reply.body)) {}
        reply.source->destroy(reply.source);
    }
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.content_type, type);
    if (!weir_str_eq((struct weir_str){reply.body.p != NULL ? reply.body.p : "", reply.body.n}, weir_str_of(body))) fail_msg("?%s gives\n%s", query, reply.body.p);
    weir_out_deinit(&reply.body);
}

static void test_forms(void **state)
{
    (void)state;
    assert_page("", 200, WEIR_ADMIN_TEXT, "server.active: 0\nserver.total: 1\n");
    assert_page("format=text&usedonly", 200, WEIR_ADMIN_TEXT, "server.total: 1\n");
    assert_page("format=json&type=Gauges", 200, WEIR_ADMIN_JSON, "{\"stats\":[{\"name\":\"server.active\",\"value\":0}]}");
    assert_page("format=prometheus&filter=tot", 200, WEIR_ADMIN_TEXT, "# TYPE envoy_server_total counter\nenvoy_server_total{} 1\n");
    assert_page("filter=%5Eserver%5C.a", 200, WEIR_ADMIN_TEXT, "server.active: 0\n");
    assert_page("hidden=only", 200, WEIR_ADMIN_TEXT, "");
    assert_page("type=&filter=total&invert_filter", 200, WEIR_ADMIN_TEXT, "server.active: 0\n");
    assert_page("format=prometheus&type=Gauges&filter=tot", 200, WEIR_ADMIN_TEXT, "# TYPE envoy_server_total counter\nenvoy_server_total{} 1\n");
}

static void test_bad_queries_are_named(void **state)
{
    (void)state;
    assert_page("format=xml", 400, WEIR_ADMIN_TEXT, "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n");
    assert_page("type=Nope", 400, WEIR_ADMIN_TEXT, "invalid &type= param");
    assert_page("filter=(", 400, WEIR_ADMIN_TEXT, "Invalid re2 regex: missing ): (");
    assert_page("format=prometheus&histogram_buckets=detailed", 400, WEIR_ADMIN_TEXT, "unsupported prometheus histogram bucket mode");
    assert_page("histogram_buckets=x", 400, WEIR_ADMIN_TEXT, "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n");
    assert_page("histogram_buckets=prometheusnative", 400, WEIR_ADMIN_TEXT, "Invalid histogram_buckets type for non prometheus stats type");
    assert_page("hidden=x", 400, WEIR_ADMIN_TEXT, "usage: /stats?hidden=(include|only|exclude)\n\n");
}

static void test_reset_is_answered_and_done(void **state)
{
    (void)state;
    struct weir_admin_reply reply = {.status = 200, .content_type = WEIR_ADMIN_TEXT};
    weir_admin_reset_counters(stats, &reply);
    assert_string_equal(reply.body.p, "OK\n");
    weir_out_deinit(&reply.body);
    assert_page("type=Counters", 200, WEIR_ADMIN_TEXT, "server.total: 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_queries_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_is_answered_and_done, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
