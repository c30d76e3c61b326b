/* filters/buffer.c */
#include "dataplane/filters/filters.h"
#include "test/unit/support/http_rig.h"

#define POST "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

static void start(struct rig *r, const char *json)
{
    rig_init(r);
    r->answer = true;
    assert_null(rig_compile_filter(r, &weir_filter_buffer, json));
}
static void test_a_request_goes_up_whole_with_its_length(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'max_request_bytes': 10}");
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_assert_log(&r, "");
    rig_send_text(&r, "2\r\nde\r\n0\r\n\r\n");
    rig_assert_log(&r, "up.h up.d5!");
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "up.h!");
    r.answer = false;
    rig_send_text(&r, POST "3\r\nabc\r\n0\r\n\r\n");
    struct weir_headers *h = weir_stream_request_headers(r.stream);
    assert_true(weir_str_eq(weir_headers_get(h, WEIR_H_CONTENT_LENGTH), WEIR_STR("3")));
    rig_deinit(&r);
}
static void test_a_larger_request_gets_413_however_it_is_cut(void **state)
{
    (void)state;
    static const char *const bodies[] = {"b\r\n0123456789x\r\n0\r\n\r\n", "a\r\n0123456789\r\n1\r\nx\r\n", "b\r\n0123456789x\r\n"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct rig r;
        start(&r, "{'max_request_bytes': 10}");
        rig_connect(&r);
        rig_send_text(&r, POST);
        rig_send(&r, bodies[i], strlen(bodies[i]));
        rig_turn(&r);
        assert_non_null(strstr(rig_take(&r), "HTTP/1.1 413 Payload Too Large"));
        rig_assert_log(&r, "");
        assert_string_equal(r.access.p, "413 - request_payload_too_large");
        rig_deinit(&r);
    }
}
static void test_routes_have_their_own_word(void **state)
{
    (void)state;
    struct rig r;
    start(&r, "{'max_request_bytes': 2}");
    struct weir_filter_route_config rc = {.filter_name = weir_str_of(weir_filter_buffer.name), .filter = &weir_filter_buffer};
    struct weir_filter_route_configs all = {.count = 1, .at = &rc};
    struct weir_route route = {.idle_timeout_ms = UINT64_MAX,
                               .max_stream_duration_ms = UINT64_MAX,
                               .grpc_timeout_header_max_ms = UINT64_MAX,
                               .filter_configs = &all};
    rig_use_route(&r, &route);
    rc.config = rig_compile_route(&r, &weir_filter_buffer, "{'disabled': true}");
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_assert_log(&r, "up.h up.d3");
    rig_send_text(&r, "0\r\n\r\n");
    (void)rig_log(&r);
    rc.config = rig_compile_route(&r, &weir_filter_buffer, "{'buffer': {'max_request_bytes': 3}}");
    rig_send_text(&r, POST "3\r\nabc\r\n0\r\n\r\n");
    rig_assert_log(&r, "up.h up.d3!");
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_goes_up_whole_with_its_length),
        cmocka_unit_test(test_a_larger_request_gets_413_however_it_is_cut),
        cmocka_unit_test(test_routes_have_their_own_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
