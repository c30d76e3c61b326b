/* filters/header_mutation.c */
#include "dataplane/filters/filters.h"
#include "test/unit/support/http_rig.h"

static const char *value(struct rig *r, const char *name)
{
    static char out[128];
    const struct weir_header *h = weir_headers_find_name(weir_stream_request_headers(r->stream), weir_str_of(name));
    if (h == NULL) return NULL;
    (void)snprintf(out, sizeof(out), "%.*s", WEIR_STR_ARG(h->value));
    return out;
}
static void test_rules_apply_in_order_both_ways(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_null(rig_compile_filter(
        &r, &weir_filter_header_mutation,
        "{'mutations': {'request_mutations': ["
        "{'append': {'header': {'key': 'X-New', 'value': '%REQ(:path)%'}, 'append_action': 'OVERWRITE_IF_EXISTS_OR_ADD'}},"
        "{'remove': 'x-gone'},"
        "{'append': {'header': {'key': 'x-gone', 'value': 'back'}}}],"
        "'response_mutations': [{'append': {'header': {'key': 'x-r', 'value': 'r'}}}, {'remove': 'x-secret'}]}}"));
    rig_connect(&r);
    rig_send_text(&r, "GET /p HTTP/1.1\r\nhost: a\r\nx-new: old\r\nx-gone: 1\r\nx-gone: 2\r\n\r\n");
    assert_string_equal(value(&r, "x-new"), "/p");
    assert_string_equal(value(&r, "x-gone"), "back");
    rig_respond(&r, true, LIST(":status", "204", "x-secret", "s"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 204 No Content\r\nx-r: r\r\n" RIG_TAIL "\r\n");
    rig_deinit(&r);
}
static void test_every_level_of_the_route_applies_and_order_can_be_turned(void **state)
{
    (void)state;
    for (int specific_wins = 0; specific_wins < 2; specific_wins++) {
        struct rig r;
        rig_init(&r);
        assert_null(rig_compile_filter(&r, &weir_filter_header_mutation,
                                       specific_wins ? "{'most_specific_header_mutations_wins': true}" : "{}"));
        struct weir_filter_route_config rc[2];
        for (int i = 0; i < 2; i++) {
            char json[256];
            (void)snprintf(json, sizeof(json),
                           "{'mutations': {'request_mutations': [{'append': {'header': {'key': 'x-level', 'value': '%s'}, "
                           "'append_action': 'OVERWRITE_IF_EXISTS_OR_ADD'}}, {'append': {'header': {'key': 'x-%s', 'value': '1'}}}]}}",
                           i == 0 ? "route" : "vhost", i == 0 ? "route" : "vhost");
            rc[i] = (struct weir_filter_route_config){.filter_name = weir_str_of(weir_filter_header_mutation.name),
                                                      .filter = &weir_filter_header_mutation,
                                                      .config = rig_compile_route(&r, &weir_filter_header_mutation, json)};
            assert_non_null(rc[i].config);
        }
        struct weir_filter_route_configs all = {.count = 2, .at = rc};
        struct weir_route route = {.idle_timeout_ms = UINT64_MAX,
                                   .max_stream_duration_ms = UINT64_MAX,
                                   .grpc_timeout_header_max_ms = UINT64_MAX,
                                   .filter_configs = &all};
        rig_use_route(&r, &route);
        rig_connect(&r);
        rig_send_text(&r, "GET /p HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_non_null(value(&r, "x-route"));
        assert_non_null(value(&r, "x-vhost"));
        assert_string_equal(value(&r, "x-level"), specific_wins ? "route" : "vhost");
        rig_deinit(&r);
    }
}
static void test_bad_rules_are_refused_by_path(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    const char *why = rig_compile_filter(&r, &weir_filter_header_mutation,
                                         "{'mutations': {'request_mutations': [{'remove': 'x-a'}, {'append': {'header': "
                                         "{'key': 'x-b', 'value': '%NOSUCH%'}}}]}}");
    assert_non_null(why);
    assert_non_null(strstr(why, "mutations.request_mutations[1].append"));
    rig_connect(&r);
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_apply_in_order_both_ways),
        cmocka_unit_test(test_every_level_of_the_route_applies_and_order_can_be_turned),
        cmocka_unit_test(test_bad_rules_are_refused_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
