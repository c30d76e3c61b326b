/* http/timeouts.c and the connection's own timers, on a clock that the test moves. */
#include "test/unit/support/http_rig.h"

#define GET "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
#define POST_PART "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc"

static void start(struct rig *r)
{
    rig_init(r);
    r->quiet_terminal = true;
}
static void assert_status(struct rig *r, const char *status, const char *body)
{
    const char *got = rig_take(r);
    if (strncmp(got + 9, status, 3) != 0 || strstr(got, body) == NULL) fail_msg("expected %s %s, got %s", status, body, got);
}
static void test_half_a_head_gets_408(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->request_headers_timeout_ms = 400;
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nho");
    rig_advance(&r, 399);
    rig_assert_got(&r, "");
    rig_advance(&r, 2);
    assert_status(&r, "408", "connection: close\r\n\r\nrequest header timeout");
    assert_true(r.finished);
    assert_string_equal(r.access.p, "408 - request_header_timeout");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_HEADER_TIMEOUT), 1);
    rig_deinit(&r);
}
static void test_a_whole_head_stops_the_header_timeout(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->request_headers_timeout_ms = 400;
    rig_connect(&r);
    rig_send_text(&r, POST_PART);
    rig_advance(&r, 1000);
    rig_assert_got(&r, "");
    rig_deinit(&r);
}
static void test_request_timeout_counts_until_the_last_byte(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->request_timeout_ms = 500;
    rig_connect(&r);
    rig_send_text(&r, POST_PART);
    rig_advance(&r, 300);
    rig_send_text(&r, "def");
    rig_advance(&r, 201);
    assert_status(&r, "408", "request timeout");
    assert_true(r.finished);
    assert_int_equal(r.destroyed, 1);
    rig_deinit(&r);
    start(&r);
    r.hcm->request_timeout_ms = 500;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_advance(&r, 10000);
    rig_assert_got(&r, "");
    rig_deinit(&r);
}
static void test_silent_streams(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->stream_idle_timeout_ms = 600;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_advance(&r, 601);
    assert_status(&r, "504", "stream timeout");
    assert_string_equal(r.access.p, "504 SI stream_idle_timeout");
    assert_int_equal(r.destroyed, 1);
    assert_false(r.finished); /* the connection lives */
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_IDLE_TIMEOUT), 1);
    rig_deinit(&r);

    start(&r);
    r.hcm->stream_idle_timeout_ms = 600;
    rig_connect(&r);
    rig_send_text(&r, POST_PART);
    rig_advance(&r, 601);
    assert_status(&r, "408", "connection: close\r\n\r\nstream timeout");
    assert_true(r.finished);
    rig_deinit(&r);

    start(&r);
    r.hcm->stream_idle_timeout_ms = 600;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_respond(&r, false, LIST(":status", "200", "content-length", "100"));
    rig_respond_data(&r, "0123456789", false);
    rig_turn(&r);
    rig_advance(&r, 601);
    assert_true(r.finished);
    assert_string_equal(r.access.p, "200 SI stream_idle_timeout");
    rig_deinit(&r);
}
static void test_every_event_puts_the_idle_timeout_off(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->stream_idle_timeout_ms = 600;
    rig_connect(&r);
    rig_send_text(&r, POST_PART);
    for (int i = 0; i < 6; i++) {
        rig_advance(&r, 500);
        rig_send_text(&r, "x");
    }
    for (int i = 0; i < 5; i++) {
        rig_advance(&r, 500);
        if (i == 0) rig_respond(&r, false, LIST(":status", "200"));
        rig_respond_data(&r, "y", i == 4);
    }
    rig_turn(&r);
    assert_status(&r, "200", "0\r\n\r\n");
    rig_deinit(&r);
}
static void test_max_stream_duration(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->max_stream_duration_ms = 300;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_advance(&r, 301);
    assert_status(&r, "504", "downstream duration timeout");
    assert_string_equal(r.access.p, "504 - max_duration_timeout");
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\r\n");
    rig_advance(&r, 301);
    assert_status(&r, "200", "grpc-status: 4\r\ngrpc-message: downstream duration timeout");
    rig_deinit(&r);
}
static void test_a_route_has_its_own_times(void **state)
{
    (void)state;
    struct weir_route route = {.idle_timeout_ms = 200, .max_stream_duration_ms = UINT64_MAX, .grpc_timeout_header_max_ms = UINT64_MAX};
    struct rig r;
    start(&r);
    r.hcm->stream_idle_timeout_ms = 600;
    r.hcm->max_stream_duration_ms = 1000;
    rig_use_route(&r, &route);
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_advance(&r, 201);
    assert_status(&r, "504", "stream timeout");
    route.idle_timeout_ms = 0;
    route.max_stream_duration_ms = 0;
    rig_send_text(&r, GET);
    rig_advance(&r, 100000);
    rig_assert_got(&r, "");
    rig_deinit(&r);
}
static void test_grpc_timeout_header_where_the_route_allows_it(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint64_t max, offset, due; /* due 0: never */
    } rows[] = {
        {"200m", 0, UINT64_MAX, 200}, {"200m", UINT64_MAX, UINT64_MAX, 0}, {"10S", 300, UINT64_MAX, 300}, {"200m", 0, 50, 150},
        {"1H", 0, UINT64_MAX, 3600000}, {"1500u", 0, UINT64_MAX, 2}, {"x", 0, UINT64_MAX, 0}, {"123456789S", 0, UINT64_MAX, 0},
        {"0m", 0, UINT64_MAX, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct weir_route route = {.idle_timeout_ms = UINT64_MAX,
                                   .max_stream_duration_ms = UINT64_MAX,
                                   .grpc_timeout_header_max_ms = rows[i].max,
                                   .grpc_timeout_header_offset_ms = rows[i].offset};
        struct rig r;
        start(&r);
        rig_use_route(&r, &route);
        rig_connect(&r);
        char request[256];
        int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: %s\r\n\r\n",
                         rows[i].header);
        rig_send(&r, request, (size_t)n);
        if (rows[i].due > 1) rig_advance(&r, rows[i].due - 1);
        rig_assert_got(&r, "");
        rig_advance(&r, rows[i].due != 0 ? 2 : 100000000);
        if (rows[i].due != 0) {
            assert_status(&r, "200", "grpc-status: 4");
        } else {
            rig_assert_got(&r, "");
        }
        rig_deinit(&r);
    }
}
static void test_an_answer_that_is_not_read_has_one_more_idle_time(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.chain.buffer_limit_bytes = 1;
    r.hcm->stream_idle_timeout_ms = 600;
    rig_connect(&r);
    r.slow_client = true;
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n"); /* fills the queue */
    rig_advance(&r, 601);
    assert_false(r.finished || r.closed);
    rig_advance(&r, 601);
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_idle_connections_close(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = true;
    r.hcm->idle_timeout_ms = 800;
    rig_connect(&r);
    rig_advance(&r, 500);
    rig_send_text(&r, GET);
    rig_advance(&r, 799);
    assert_false(r.finished);
    rig_advance(&r, 2);
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_IDLE_TIMEOUT), 1);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_DESTROY_LOCAL), 1);
    rig_deinit(&r);
}
static void test_a_busy_connection_is_not_idle(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->idle_timeout_ms = 800;
    rig_connect(&r);
    rig_send_text(&r, GET);
    for (int i = 0; i < 5; i++) rig_advance(&r, 700);
    assert_false(r.finished);
    rig_respond(&r, true, LIST(":status", "204"));
    rig_turn(&r);
    rig_advance(&r, 801);
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_connection_duration(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->max_connection_duration_ms = 500;
    rig_connect(&r);
    rig_advance(&r, 501);
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_MAX_DURATION_REACHED), 1);
    rig_deinit(&r);
    start(&r);
    r.hcm->max_connection_duration_ms = 500;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_advance(&r, 501);
    assert_false(r.finished);
    rig_respond(&r, true, LIST(":status", "204"));
    rig_turn(&r);
    assert_status(&r, "204", "connection: close");
    assert_true(r.finished);
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_head_gets_408),
        cmocka_unit_test(test_a_whole_head_stops_the_header_timeout),
        cmocka_unit_test(test_request_timeout_counts_until_the_last_byte),
        cmocka_unit_test(test_silent_streams),
        cmocka_unit_test(test_every_event_puts_the_idle_timeout_off),
        cmocka_unit_test(test_max_stream_duration),
        cmocka_unit_test(test_a_route_has_its_own_times),
        cmocka_unit_test(test_grpc_timeout_header_where_the_route_allows_it),
        cmocka_unit_test(test_an_answer_that_is_not_read_has_one_more_idle_time),
        cmocka_unit_test(test_idle_connections_close),
        cmocka_unit_test(test_a_busy_connection_is_not_idle),
        cmocka_unit_test(test_connection_duration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
