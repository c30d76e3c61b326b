/* filters/local_ratelimit.c, on a clock that the test moves. */
#include "dataplane/filters/filters.h"
#include "dataplane/route/rate_limit.h"
#include "test/unit/support/http_rig.h"
#include "test/unit/support/pb_text.h"

#include "dataplane/base/pb_names.h"

#define ALWAYS "'filter_enabled': {'default_value': {'numerator': 100}}, 'filter_enforced': {'default_value': {'numerator': 100}}"
#define ONE "'stat_prefix': 'lrl', 'token_bucket': {'max_tokens': 1, 'fill_interval': '300s'}"
#define GET "GET / HTTP/1.1\r\nhost: a\r\n\r\n"

struct world {
    struct rig r;
    struct weir_filter_route_config rc;
    struct weir_filter_route_configs all;
    struct weir_route route;
};
static void start(struct world *w, const char *json)
{
    rig_init(&w->r);
    w->r.answer = true;
    w->r.quiet_terminal = true;
    const char *why = rig_compile_filter(&w->r, &weir_filter_local_ratelimit, json);
    if (why != NULL) fail_msg("%s", why);
    w->rc = (struct weir_filter_route_config){.filter_name = weir_str_of(weir_filter_local_ratelimit.name), .filter = &weir_filter_local_ratelimit};
    w->all = (struct weir_filter_route_configs){.count = 0, .at = &w->rc};
    w->route = (struct weir_route){.idle_timeout_ms = UINT64_MAX,
                                   .max_stream_duration_ms = UINT64_MAX,
                                   .grpc_timeout_header_max_ms = UINT64_MAX,
                                   .filter_configs = &w->all};
    rig_use_route(&w->r, &w->route);
    rig_connect(&w->r);
}
static const char *ask(struct world *w, const char *headers)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nhost: a\r\n%s\r\n", headers);
    rig_send(&w->r, request, (size_t)n);
    rig_turn(&w->r);
    return rig_take(&w->r);
}
static bool passes(struct world *w, const char *headers)
{
    const char *got = ask(w, headers);
    if (strncmp(got, "HTTP/1.1 200", 12) != 0 && strncmp(got, "HTTP/1.1 429", 12) != 0) fail_msg("%s", got);
    return got[9] == '2';
}
static const struct weir_rate_limit *limits(struct world *w, const char *json, uint32_t *count)
{
    struct weir_arena scratch = {0};
    struct weir_compile c = {.arena = &w->r.pin->resource->arena, .error = &w->r.error, .scratch = &scratch};
    const pb_route_action *action = (const pb_route_action *)(const void *)pb_text(&scratch, &pb_route_action_type, json);
    const struct weir_rate_limit *out;
    assert_int_equal(weir_rate_limits_compile(&c, "rate_limits", action->n_rate_limits, (void *const *)action->rate_limits, &out), WEIR_OK);
    *count = (uint32_t)action->n_rate_limits;
    weir_arena_deinit(&scratch);
    return out;
}

static void test_beyond_the_bucket_is_429(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" ONE "," ALWAYS "}");
    assert_true(passes(&w, ""));
    assert_string_equal(ask(&w, ""), "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 18\r\ncontent-type: text/plain\r\n" RIG_TAIL
                                     "\r\nlocal_rate_limited");
    assert_non_null(strstr(w.r.access.p, "\n429 RL local_rate_limited"));
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.enabled"), 2);
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.ok"), 1);
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.rate_limited"), 1);
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.enforced"), 1);
    rig_advance(&w.r, 299999);
    assert_false(passes(&w, ""));
    rig_advance(&w.r, 1);
    assert_true(passes(&w, ""));
    rig_deinit(&w.r);
}
static void test_off_unless_enabled_and_only_counts_unless_enforced(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" ONE "}");
    for (int i = 0; i < 3; i++) assert_true(passes(&w, ""));
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.enabled"), 0);
    rig_deinit(&w.r);
    start(&w, "{" ONE ", 'filter_enabled': {'default_value': {'numerator': 100}}, "
              "'request_headers_to_add_when_not_enforced': [{'header': {'key': 'x-over', 'value': '1'}}]}");
    assert_true(passes(&w, ""));
    w.r.answer = false;
    rig_send_text(&w.r, GET);
    assert_non_null(weir_headers_find_name(weir_stream_request_headers(w.r.stream), WEIR_STR("x-over")));
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.rate_limited"), 1);
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.enforced"), 0);
    rig_deinit(&w.r);
}
static void test_headers_status_and_grpc(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" ONE "," ALWAYS ", 'status': {'code': 503}, 'enable_x_ratelimit_headers': 1, 'enable_retry_after_header': true, "
              "'rate_limited_as_resource_exhausted': true, 'response_headers_to_add': [{'header': {'key': 'x-rl', 'value': 'yes'}}]}");
    const char *got = ask(&w, "");
    assert_non_null(strstr(got, "x-ratelimit-limit: 1\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 300\r\n"));
    assert_null(strstr(got, "retry-after"));
    assert_string_equal(ask(&w, ""), "HTTP/1.1 503 Service Unavailable\r\nretry-after: 300\r\nx-rl: yes\r\ncontent-length: 18\r\ncontent-type: text/plain\r\n"
                                     "x-ratelimit-limit: 1\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 300\r\n" RIG_TAIL
                                     "\r\nlocal_rate_limited");
    rig_advance(&w.r, 1);
    assert_non_null(strstr(ask(&w, ""), "retry-after: 300\r\n")); /* 299.999 s, rounded up */
    rig_advance(&w.r, 999);
    got = ask(&w, "content-type: application/grpc\r\n");
    assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\nretry-after: 299\r\nx-rl: yes\r\ncontent-type: application/grpc\r\ngrpc-status: 8\r\n"
                                "grpc-message: local_rate_limited\r\nx-ratelimit-limit: 1\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 299\r\n"));
    /* A client that obeys finds a token. */
    rig_advance(&w.r, 299000);
    assert_true(passes(&w, ""));
    rig_deinit(&w.r);
    start(&w, "{" ONE "," ALWAYS ", 'status': {'code': 302}}");
    assert_true(passes(&w, ""));
    assert_false(passes(&w, "")); /* below 400: 429 */
    rig_deinit(&w.r);
}
static void test_a_route_has_its_own_bucket(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" ONE "," ALWAYS "}");
    w.rc.config = rig_compile_route(&w.r, &weir_filter_local_ratelimit,
                                    "{'stat_prefix': 'other', 'token_bucket': {'max_tokens': 2, 'fill_interval': '1s'}," ALWAYS "}");
    w.all.count = 1;
    assert_true(passes(&w, ""));
    assert_true(passes(&w, ""));
    assert_false(passes(&w, ""));
    assert_int_equal(rig_counter(&w.r, "other.http_local_rate_limit.rate_limited"), 1);
    assert_int_equal(rig_counter(&w.r, "lrl.http_local_rate_limit.enabled"), 0);
    w.all.count = 0;
    assert_true(passes(&w, ""));
    rig_deinit(&w.r);
}
#define DESCRIPTORS                                                                                                     \
    "'descriptors': [{'entries': [{'key': 'user', 'value': 'vip'}], 'token_bucket': {'max_tokens': 3, 'fill_interval': '300s'}}," \
    "{'entries': [{'key': 'user'}], 'token_bucket': {'max_tokens': 1, 'fill_interval': '300s'}},"                       \
    "{'entries': [{'key': 'user', 'value': 'x'}, {'key': 'remote_address', 'value': '127.0.0.1'}], "                    \
    "'token_bucket': {'max_tokens': 0, 'fill_interval': '300s'}}]"
#define USER_LIMIT "{'actions': [{'request_headers': {'header_name': 'x-user', 'descriptor_key': 'user'}}]}"

static void test_descriptors_by_header_have_a_bucket_a_value(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'stat_prefix': 'lrl', 'token_bucket': {'max_tokens': 1000, 'fill_interval': '300s'}," ALWAYS "," DESCRIPTORS "}");
    w.route.rate_limits = limits(&w, "{'rate_limits': [" USER_LIMIT "]}", &w.route.rate_limit_count);
    for (int i = 0; i < 3; i++) assert_true(passes(&w, "x-user: vip\r\n"));
    assert_false(passes(&w, "x-user: vip\r\n"));
    for (int i = 0; i < 10; i++) {
        char header[32];
        (void)snprintf(header, sizeof(header), "x-user: u%d\r\n", i);
        assert_true(passes(&w, header));
        assert_false(passes(&w, header));
    }
    for (int i = 0; i < 5; i++) assert_true(passes(&w, "")); /* no header: no descriptor */
    rig_deinit(&w.r);
}
static void test_entries_must_match_in_number_and_order(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'stat_prefix': 'lrl', 'token_bucket': {'max_tokens': 1000, 'fill_interval': '300s'}," ALWAYS "," DESCRIPTORS "}");
    w.route.rate_limits =
        limits(&w, "{'rate_limits': [{'actions': [{'request_headers': {'header_name': 'x-user', 'descriptor_key': 'user'}}, {'remote_address': {}}]}]}",
               &w.route.rate_limit_count);
    assert_false(passes(&w, "x-user: x\r\n"));
    assert_true(passes(&w, "x-user: y\r\n"));
    rig_deinit(&w.r);
}
static void test_rate_limits_of_its_own_and_of_virtual_hosts(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'stat_prefix': 'lrl', 'rate_limits': [" USER_LIMIT "]," ALWAYS "," DESCRIPTORS "}");
    assert_true(passes(&w, "x-user: u\r\n"));
    assert_false(passes(&w, "x-user: u\r\n"));
    rig_deinit(&w.r);
    static const char *const options[] = {"OVERRIDE", "INCLUDE", "IGNORE"};
    for (int option = 0; option < 3; option++) {
        for (int own = 0; own < 2; own++) {
            char json[2048];
            (void)snprintf(json, sizeof(json), "{'stat_prefix': 'lrl', 'vh_rate_limits': '%s'," ALWAYS "," DESCRIPTORS "}", options[option]);
            start(&w, json);
            struct weir_virtual_host *vhost = (struct weir_virtual_host *)(uintptr_t)w.route.vhost;
            struct weir_virtual_host made = {.name = WEIR_STR("v")};
            if (vhost == NULL) vhost = &made;
            vhost->rate_limits = limits(&w, "{'rate_limits': [" USER_LIMIT "]}", &vhost->rate_limit_count);
            w.route.vhost = vhost;
            if (own)
                w.route.rate_limits = limits(&w, "{'rate_limits': [{'actions': [{'generic_key': {'descriptor_value': 'z'}}]}]}",
                                             &w.route.rate_limit_count);
            bool used = option == 1 || (option == 0 && !own);
            assert_true(passes(&w, "x-user: u\r\n"));
            assert_int_equal(passes(&w, "x-user: u\r\n"), !used);
            rig_deinit(&w.r);
        }
    }
}
static void test_the_filters_own_bucket_beside_descriptors(void **state)
{
    (void)state;
    for (int always = 0; always < 2; always++) {
        struct world w;
        char json[2048];
        (void)snprintf(json, sizeof(json), "{" ONE "," ALWAYS ", 'rate_limits': [" USER_LIMIT "], 'always_consume_default_token_bucket': %s," DESCRIPTORS "}",
                       always ? "true" : "false");
        start(&w, json);
        assert_true(passes(&w, "x-user: vip\r\n"));
        assert_int_equal(passes(&w, "x-user: vip\r\n"), !always);
        assert_int_equal(passes(&w, ""), !always);
        assert_false(passes(&w, ""));
        rig_deinit(&w.r);
    }
}
static void test_stages(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'stat_prefix': 'lrl', 'stage': 2," ALWAYS "," DESCRIPTORS "}");
    w.route.rate_limits = limits(&w, "{'rate_limits': [" USER_LIMIT "]}", &w.route.rate_limit_count);
    for (int i = 0; i < 3; i++) assert_true(passes(&w, "x-user: u\r\n"));
    w.route.rate_limits = limits(&w, "{'rate_limits': [{'stage': 2, 'actions': [{'request_headers': {'header_name': 'x-user', "
                                     "'descriptor_key': 'user'}}]}]}", &w.route.rate_limit_count);
    assert_true(passes(&w, "x-user: u\r\n"));
    assert_false(passes(&w, "x-user: u\r\n"));
    rig_deinit(&w.r);
}
static void test_buckets_of_a_connection(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{" ONE "," ALWAYS ", 'local_rate_limit_per_downstream_connection': true}");
    for (int connection = 0; connection < 3; connection++) {
        if (connection > 0) rig_connect(&w.r);
        assert_true(passes(&w, ""));
        assert_false(passes(&w, ""));
        rig_vanish(&w.r);
    }
    rig_deinit(&w.r);
}
static void test_bad_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"{'stat_prefix': 'a', 'token_bucket': {'max_tokens': 1, 'fill_interval': '0.049s'}}",
         "token_bucket.fill_interval: local rate limit token bucket fill timer must be >= 50ms"},
        {"{'stat_prefix': 'a', 'max_dynamic_descriptors': 100001}", "max_dynamic_descriptors: at most 100000"},
        {"{'stat_prefix': 'a', 'descriptors': [{'entries': [{'key': 'a'}], 'token_bucket': {'max_tokens': 1}}]}",
         "descriptors[0].token_bucket.fill_interval: local rate limit token bucket fill timer must be >= 50ms"},
    };
    struct rig r;
    rig_init(&r);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert_string_equal(rig_compile_filter(&r, &weir_filter_local_ratelimit, rows[i].json), rows[i].why);
    assert_null(rig_compile_route(&r, &weir_filter_local_ratelimit, "{'stat_prefix': 'a'}"));
    assert_string_equal(r.error.text, "token_bucket: local rate limit token bucket must be set for per filter configs");
    rig_connect(&r);
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beyond_the_bucket_is_429),
        cmocka_unit_test(test_off_unless_enabled_and_only_counts_unless_enforced),
        cmocka_unit_test(test_headers_status_and_grpc),
        cmocka_unit_test(test_a_route_has_its_own_bucket),
        cmocka_unit_test(test_descriptors_by_header_have_a_bucket_a_value),
        cmocka_unit_test(test_entries_must_match_in_number_and_order),
        cmocka_unit_test(test_rate_limits_of_its_own_and_of_virtual_hosts),
        cmocka_unit_test(test_the_filters_own_bucket_beside_descriptors),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_buckets_of_a_connection),
        cmocka_unit_test(test_bad_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
