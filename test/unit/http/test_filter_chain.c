/* http/filter_chain.c: what each verdict does, with scripted filters in front of a terminal one. In the logs h, d, t are
 * request headers, data, trailers, capitals the response's; "!" is the end; the terminal filter is "up". */
#include "test/unit/support/http_rig.h"

#define POST "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

static void start(struct rig *r)
{
    rig_init(r);
    r->answer = true;
}
static void test_events_pass_in_order_and_responses_in_reverse(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_probe(&r, "a");
    rig_probe(&r, "b");
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_assert_log(&r, "a.h b.h up.h a.d3 b.d3 up.d3");
    rig_send_text(&r, "0\r\n\r\n");
    rig_assert_log(&r, "a.d0! b.d0! up.d0! b.H a.H b.D2! a.D2!");
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" RIG_TAIL "\r\nok");
    rig_deinit(&r);
}
static void test_pause_at_headers_keeps_data_in_front_of_the_filter(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_probe(&r, "a");
    struct probe *b = rig_probe(&r, "b");
    b->request_headers = "P";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_send_text(&r, "1\r\nd\r\n0\r\n\r\n");
    rig_assert_log(&r, "a.h b.h a.d3 a.d1!");
    weir_stream_resume_request(b->stream, b->filter);
    rig_assert_log(&r, "up.h b.d4! up.d4! b.H a.H b.D2! a.D2!");
    rig_deinit(&r);
}
static void test_pause_at_data_holds_what_was_given_and_more_waits(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a");
    a->request_data = "PC";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_send_text(&r, "1\r\nd\r\n");
    rig_assert_log(&r, "a.h up.h a.d3");
    assert_int_equal(weir_stream_request_buffer(a->stream, a->filter)->bytes, 3);
    weir_stream_resume_request(a->stream, a->filter);
    rig_assert_log(&r, "up.d3 a.d1 up.d1");
    rig_send_text(&r, "0\r\n\r\n");
    rig_assert_log(&r, "a.d0! up.d0! a.H a.D2!");
    rig_deinit(&r);
}
static void test_buffering_from_headers_on_releases_all_at_once(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a");
    a->request_headers = "B";
    a->request_data = "BB";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_send_text(&r, "1\r\nd\r\n");
    assert_int_equal(weir_stream_request_buffer(a->stream, a->filter)->bytes, 4);
    rig_assert_log(&r, "a.h a.d3 a.d1");
    rig_send_text(&r, "2\r\nef\r\n0\r\n\r\n");
    rig_assert_log(&r, "a.d2! up.h up.d6! a.H a.D2!");
    rig_deinit(&r);
}
static void test_buffering_ends_with_trailers(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->codec.h1_enable_trailers = true;
    struct probe *a = rig_probe(&r, "a");
    a->request_headers = "B";
    a->request_data = "B";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n0\r\nx: y\r\n\r\n");
    rig_assert_log(&r, "a.h a.d3 a.t up.h up.d3 up.t a.H a.D2!");
    rig_deinit(&r);
}
static void test_pause_at_trailers(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->codec.h1_enable_trailers = true;
    struct probe *a = rig_probe(&r, "a"), *b = rig_probe(&r, "b");
    a->request_trailers = "P";
    b->request_headers = "P";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n0\r\nx: y\r\n\r\n");
    rig_assert_log(&r, "a.h b.h a.d3 a.t");
    weir_stream_resume_request(b->stream, b->filter);
    rig_assert_log(&r, "up.h b.d3 up.d3");
    weir_stream_resume_request(a->stream, a->filter);
    rig_assert_log(&r, "b.t up.t b.H a.H b.D2! a.D2!");
    rig_deinit(&r);
}
static void test_resume_inside_the_callback_is_continue(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a");
    a->request_headers = a->request_data = a->response_headers = a->response_data = "r";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n0\r\n\r\n");
    rig_assert_log(&r, "a.h up.h a.d3! up.d3! a.H a.D2!");
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" RIG_TAIL "\r\nok");
    rig_deinit(&r);
}
static void test_two_filters_pause_and_resume_in_either_order(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct rig r;
        start(&r);
        struct probe *a = rig_probe(&r, "a"), *b = rig_probe(&r, "b");
        a->request_data = "P";
        b->request_headers = "P";
        rig_connect(&r);
        rig_send_text(&r, POST "3\r\nabc\r\n0\r\n\r\n");
        rig_assert_log(&r, "a.h b.h a.d3!");
        struct probe *first = order == 0 ? a : b, *second = order == 0 ? b : a;
        weir_stream_resume_request(first->stream, first->filter);
        weir_stream_resume_request(second->stream, second->filter);
        rig_assert_log(&r, "up.h b.d3! up.d3! b.H a.H b.D2! a.D2!");
        rig_deinit(&r);
    }
}
/* Resumes another filter from inside a pass of the same direction. */
static struct probe *resume_target;
static enum weir_verdict resume_other(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    (void)data, (void)end, (void)f;
    weir_stream_resume_request(s, resume_target->filter);
    rig_write_down(resume_target->rig, "asked");
    return WEIR_CONTINUE;
}
static void test_resuming_another_filter_waits_for_the_end_of_the_pass(void **state)
{
    (void)state;
    static const struct weir_http_filter resumer = {.name = "resumer", .on_request_data = resume_other};
    struct rig r;
    start(&r);
    rig_add_filter(&r, &resumer, NULL);
    rig_probe(&r, "a");
    resume_target = rig_probe(&r, "b");
    resume_target->request_headers = "P";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_assert_log(&r, "a.h b.h asked a.d3 up.h b.d3 up.d3");
    rig_deinit(&r);
}
static void test_a_reply_ends_the_request_and_passes_all_response_callbacks(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a"), *b = rig_probe(&r, "b");
    rig_probe(&r, "c");
    (void)a;
    b->request_headers = "R";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "a.h! b.h! c.H b.H a.H c.D6! b.D6! a.D6!");
    rig_assert_got(&r, "HTTP/1.1 418 Unknown\r\ncontent-length: 6\r\ncontent-type: text/plain\r\n" RIG_TAIL "\r\nteapot");
    assert_string_equal(r.access.p, "418 - probe");
    assert_int_equal(r.destroyed, 1);
    rig_deinit(&r);
}
static void test_a_reply_in_data_stops_the_rest(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_probe(&r, "a")->request_data = "CR";
    rig_connect(&r);
    rig_send_text(&r, POST "3\r\nabc\r\n");
    rig_assert_log(&r, "a.h up.h a.d3 up.d3");
    rig_send_text(&r, "1\r\nd\r\n");
    rig_assert_log(&r, "a.d1 a.H a.D6!");
    assert_int_equal(r.destroyed, 1);
    rig_send_text(&r, "1\r\ne\r\n0\r\n\r\n");
    rig_assert_log(&r, "");
    rig_assert_got(&r, "HTTP/1.1 418 Unknown\r\ncontent-length: 6\r\ncontent-type: text/plain\r\n" RIG_TAIL
                       "connection: close\r\n\r\nteapot");
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_a_reply_in_response_headers_replaces_the_response(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_probe(&r, "a");
    rig_probe(&r, "b")->response_headers = "R";
    rig_probe(&r, "c");
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    /* c and b have seen the first response and do not see the second one's head; the upstream's data is dropped. */
    rig_assert_log(&r, "a.h! b.h! c.h! up.h! c.H b.H a.H a.D6!");
    rig_assert_got(&r, "HTTP/1.1 418 Unknown\r\ncontent-length: 6\r\ncontent-type: text/plain\r\n" RIG_TAIL "\r\nteapot");
    rig_deinit(&r);
}
static void test_a_reply_after_the_response_began_resets(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_probe(&r, "a")->response_data = "R";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "a.h! up.h! a.H a.D2!");
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" RIG_TAIL "\r\n");
    assert_true(r.finished);
    assert_string_equal(r.access.p, "200 - probe");
    rig_deinit(&r);
}
static void test_response_pauses_hold_headers_and_data(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a");
    a->response_headers = "P";
    a->response_data = "P";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "a.h! up.h! a.H");
    rig_assert_got(&r, "");
    weir_stream_resume_response(a->stream, a->filter);
    rig_turn(&r);
    rig_assert_log(&r, "a.D2!");
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" RIG_TAIL "\r\n");
    weir_stream_resume_response(a->stream, a->filter);
    rig_turn(&r);
    rig_assert_got(&r, "ok");
    rig_deinit(&r);
}
static void test_response_collected_may_change_its_length(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    struct probe *a = rig_probe(&r, "a");
    a->response_headers = "B";
    a->response_data = "B";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_log(&r, "a.h! up.h! a.H a.D2!");
    struct weir_buffer *b = weir_stream_response_buffer(a->stream, a->filter);
    weir_buffer_append(b, &r.w->blocks, "!!", 2);
    weir_headers_set(weir_stream_response_headers(a->stream), WEIR_H_CONTENT_LENGTH, WEIR_STR("4"));
    weir_stream_resume_response(a->stream, a->filter);
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n" RIG_TAIL "\r\nok!!");
    rig_deinit(&r);
}
static void test_collecting_beyond_the_limit_is_413(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.chain.buffer_limit_bytes = 10;
    struct probe *a = rig_probe(&r, "a");
    a->request_headers = "B";
    a->request_data = "BBBB";
    rig_connect(&r);
    rig_send_text(&r, POST "a\r\n0123456789\r\n");
    rig_assert_got(&r, "");
    rig_send_text(&r, "1\r\nx\r\n");
    rig_assert_got(&r, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 17\r\ncontent-type: text/plain\r\n" RIG_TAIL
                       "connection: close\r\n\r\nPayload Too Large");
    assert_string_equal(r.access.p, "413 - request_payload_too_large");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_TOO_LARGE), 1);
    rig_assert_log(&r, "a.h a.d10 a.d1 a.H a.D17!");
    rig_deinit(&r);
}
static void test_collecting_a_response_beyond_the_limit_is_500(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.chain.buffer_limit_bytes = 10;
    r.body = "0123456789x";
    struct probe *a = rig_probe(&r, "a");
    a->response_headers = "B";
    a->response_data = "BBBB";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_assert_got(&r, "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 21\r\ncontent-type: text/plain\r\n" RIG_TAIL
                       "\r\nInternal Server Error");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RS_TOO_LARGE), 1);
    rig_deinit(&r);
}
static void test_a_paused_filter_stops_the_client_at_the_limit(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.chain.buffer_limit_bytes = 10;
    struct probe *a = rig_probe(&r, "a");
    a->request_headers = "P";
    rig_connect(&r);
    rig_send_text(&r, POST "a\r\n0123456789\r\n");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL), 1);
    rig_send_text(&r, "5\r\nabcde\r\n");
    assert_false(r.reading);
    rig_assert_log(&r, "a.h");
    weir_stream_resume_request(a->stream, a->filter);
    rig_turn(&r);
    assert_true(r.reading);
    rig_assert_log(&r, "up.h a.d10 up.d10 a.d5 up.d5");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL), 1);
    rig_deinit(&r);
}
static void test_a_filter_that_holds_the_response_stops_the_upstream_at_the_limit(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    r.chain.buffer_limit_bytes = 10;
    struct probe *a = rig_probe(&r, "a");
    a->response_headers = "P";
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_respond(&r, false, LIST(":status", "200"));
    rig_respond_data(&r, "0123456789", false);
    assert_true(r.blocked);
    weir_stream_resume_response(a->stream, a->filter);
    assert_false(r.blocked);
    rig_respond_data(&r, "x", true);
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\n" RIG_TAIL "transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n");
    rig_deinit(&r);
}
static void test_disabled_filters_are_on_only_where_a_route_says_so(void **state)
{
    (void)state;
    static const int config_of_route = 1;
    for (int on = 0; on < 3; on++) {
        struct rig r;
        start(&r);
        rig_probe(&r, "a");
        r.filters[0].disabled = on != 2;
        struct weir_filter_route_config rc = {
            .filter_name = WEIR_STR("probe"), .filter = &probe_filter, .config = &config_of_route, .disabled = on == 2};
        struct weir_filter_route_configs all = {.count = on == 0 ? 0 : 1, .at = &rc};
        struct weir_route route = {.idle_timeout_ms = UINT64_MAX,
                                   .max_stream_duration_ms = UINT64_MAX,
                                   .grpc_timeout_header_max_ms = UINT64_MAX,
                                   .filter_configs = &all};
        rig_use_route(&r, &route);
        rig_connect(&r);
        rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        rig_assert_log(&r, on == 1 ? "a.h! up.h! a.H a.D2!" : "up.h!");
        rig_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_pass_in_order_and_responses_in_reverse),
        cmocka_unit_test(test_pause_at_headers_keeps_data_in_front_of_the_filter),
        cmocka_unit_test(test_pause_at_data_holds_what_was_given_and_more_waits),
        cmocka_unit_test(test_buffering_from_headers_on_releases_all_at_once),
        cmocka_unit_test(test_buffering_ends_with_trailers),
        cmocka_unit_test(test_pause_at_trailers),
        cmocka_unit_test(test_resume_inside_the_callback_is_continue),
        cmocka_unit_test(test_two_filters_pause_and_resume_in_either_order),
        cmocka_unit_test(test_resuming_another_filter_waits_for_the_end_of_the_pass),
        cmocka_unit_test(test_a_reply_ends_the_request_and_passes_all_response_callbacks),
        cmocka_unit_test(test_a_reply_in_data_stops_the_rest),
        cmocka_unit_test(test_a_reply_in_response_headers_replaces_the_response),
        cmocka_unit_test(test_a_reply_after_the_response_began_resets),
        cmocka_unit_test(test_response_pauses_hold_headers_and_data),
        cmocka_unit_test(test_response_collected_may_change_its_length),
        cmocka_unit_test(test_collecting_beyond_the_limit_is_413),
        cmocka_unit_test(test_collecting_a_response_beyond_the_limit_is_500),
        cmocka_unit_test(test_a_paused_filter_stops_the_client_at_the_limit),
        cmocka_unit_test(test_a_filter_that_holds_the_response_stops_the_upstream_at_the_limit),
        cmocka_unit_test(test_disabled_filters_are_on_only_where_a_route_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
