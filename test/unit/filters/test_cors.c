/* filters/cors.c */
#include "dataplane/filters/filters.h"
#include "test/unit/support/http_rig.h"

#define POLICY "'allow_origin_string_match': [{'exact': 'https://a.test'}, {'suffix': '.b.test'}], 'allow_methods': 'GET, PUT', " \
               "'allow_headers': 'x-a', 'expose_headers': 'x-b', 'max_age': '60', 'allow_credentials': true"
struct world {
    struct rig r;
    struct weir_filter_route_config rc;
    struct weir_filter_route_configs all;
    struct weir_route route;
};
static void start(struct world *w, const char *policy)
{
    rig_init(&w->r);
    w->r.answer = true;
    assert_null(rig_compile_filter(&w->r, &weir_filter_cors, "{}"));
    w->rc = (struct weir_filter_route_config){.filter_name = weir_str_of(weir_filter_cors.name), .filter = &weir_filter_cors};
    w->all = (struct weir_filter_route_configs){.count = policy != NULL, .at = &w->rc};
    w->route = (struct weir_route){.idle_timeout_ms = UINT64_MAX,
                                   .max_stream_duration_ms = UINT64_MAX,
                                   .grpc_timeout_header_max_ms = UINT64_MAX,
                                   .filter_configs = &w->all};
    rig_use_route(&w->r, &w->route);
    if (policy != NULL) {
        w->rc.config = rig_compile_route(&w->r, &weir_filter_cors, policy);
        assert_non_null(w->rc.config);
    }
    rig_connect(&w->r);
}
static const char *ask(struct world *w, const char *method, const char *headers)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nhost: a\r\n%s\r\n", method, headers);
    rig_send(&w->r, request, (size_t)n);
    rig_turn(&w->r);
    return rig_take(&w->r);
}
#define PREFLIGHT "access-control-request-method: PUT\r\n"

static void test_allowed_preflights_are_answered(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" POLICY "}");
    assert_string_equal(ask(&w, "OPTIONS", "origin: https://a.test\r\n" PREFLIGHT),
                        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://a.test\r\naccess-control-allow-credentials: true\r\n"
                        "access-control-allow-methods: GET, PUT\r\naccess-control-allow-headers: x-a\r\naccess-control-max-age: 60\r\n"
                        "access-control-expose-headers: x-b\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_assert_log(&w.r, "");
    assert_string_equal(w.r.access.p, "200 - cors_response");
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_valid"), 1);
    rig_deinit(&w.r);
}
static void test_responses_to_allowed_origins_are_marked(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" POLICY "}");
    assert_string_equal(ask(&w, "GET", "origin: https://x.b.test\r\n"),
                        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\naccess-control-allow-origin: https://x.b.test\r\n"
                        "access-control-allow-credentials: true\r\naccess-control-expose-headers: x-b\r\n" RIG_TAIL "\r\nok");
    /* An OPTIONS without a method asked for is no preflight. */
    assert_non_null(strstr(ask(&w, "OPTIONS", "origin: https://a.test\r\n"), "access-control-expose-headers: x-b\r\n"));
    rig_assert_log(&w.r, "up.h! up.h!");
    rig_deinit(&w.r);
}
static void test_other_origins_get_no_mark(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" POLICY "}");
    assert_null(strstr(ask(&w, "GET", "origin: https://evil.test\r\n"), "access-control"));
    assert_null(strstr(ask(&w, "OPTIONS", "origin: https://evil.test\r\n" PREFLIGHT), "access-control"));
    rig_assert_log(&w.r, "up.h! up.h!");
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_invalid"), 2);
    rig_deinit(&w.r);
    start(&w, "{" POLICY ", 'forward_not_matching_preflights': false}");
    assert_string_equal(ask(&w, "OPTIONS", "origin: https://evil.test\r\n" PREFLIGHT), "HTTP/1.1 200 OK\r\naccess-control-allow-credentials: true\r\naccess-control-allow-methods: GET, PUT\r\n"
                        "access-control-allow-headers: x-a\r\naccess-control-max-age: 60\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_assert_log(&w.r, "");
    rig_deinit(&w.r);
}
static void test_without_a_policy_or_an_origin_nothing_is_done(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    assert_null(strstr(ask(&w, "OPTIONS", "origin: https://a.test\r\n" PREFLIGHT), "access-control"));
    rig_deinit(&w.r);
    start(&w, "{" POLICY "}");
    assert_null(strstr(ask(&w, "GET", ""), "access-control"));
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_valid"), 0);
    rig_deinit(&w.r);
}
static void test_shadow_policies_only_count(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" POLICY ", 'filter_enabled': {'default_value': {'numerator': 0}}, 'shadow_enabled': {'default_value': {'numerator': 100}}}");
    assert_null(strstr(ask(&w, "OPTIONS", "origin: https://a.test\r\n" PREFLIGHT), "access-control"));
    assert_null(strstr(ask(&w, "GET", "origin: https://evil.test\r\n"), "access-control"));
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_valid"), 1);
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_invalid"), 1);
    rig_deinit(&w.r);
    start(&w, "{" POLICY ", 'filter_enabled': {'default_value': {'numerator': 0}}}");
    assert_null(strstr(ask(&w, "GET", "origin: https://a.test\r\n"), "access-control"));
    assert_int_equal(rig_counter(&w.r, "http.in.cors.origin_valid"), 0);
    rig_deinit(&w.r);
}
static void test_private_networks_and_any_origin(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'allow_origin_string_match': [{'exact': '*'}], 'allow_private_network_access': true}");
    const char *got = ask(&w, "OPTIONS", "origin: https://z.test\r\naccess-control-request-private-network: true\r\n" PREFLIGHT);
    assert_non_null(strstr(got, "access-control-allow-origin: https://z.test\r\naccess-control-allow-private-network: true\r\n"));
    rig_deinit(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_preflights_are_answered),
        cmocka_unit_test(test_responses_to_allowed_origins_are_marked),
        cmocka_unit_test(test_other_origins_get_no_mark),
        cmocka_unit_test(test_without_a_policy_or_an_origin_nothing_is_done),
        cmocka_unit_test(test_shadow_policies_only_count),
        cmocka_unit_test(test_private_networks_and_any_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
