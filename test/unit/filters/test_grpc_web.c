/* filters/grpc_web.c, base64.c */
#include "dataplane/filters/base64.h"
#include "dataplane/filters/filters.h"
#include "test/unit/support/http_rig.h"

static const char *text_of(struct weir_buffer *b)
{
    static char out[256];
    size_t n = weir_buffer_copy_out(b, 0, out, sizeof(out) - 1);
    out[n] = 0;
    weir_buffer_deinit(b);
    return out;
}
static void test_base64_known_answers(void **state)
{
    (void)state;
    /* RFC 4648 10. */
    static const char *const rows[][2] = {{"f", "Zg=="},     {"fo", "Zm8="},         {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct weir_buffer b;
        weir_buffer_init(&b);
        weir_buffer_append(&b, NULL, rows[i][0], strlen(rows[i][0]));
        weir_base64_encode(&b, NULL);
        assert_string_equal(text_of(&b), rows[i][1]);
        for (size_t cut = 0; cut <= strlen(rows[i][1]); cut++) {
            struct weir_base64 d = {0};
            struct weir_buffer first, second;
            weir_buffer_init(&first);
            weir_buffer_init(&second);
            weir_buffer_append(&first, NULL, rows[i][1], cut);
            weir_buffer_append(&second, NULL, rows[i][1] + cut, strlen(rows[i][1]) - cut);
            assert_true(weir_base64_decode(&d, &first, NULL));
            assert_true(weir_base64_decode(&d, &second, NULL));
            assert_int_equal(d.have, 0);
            weir_buffer_move(&first, &second);
            weir_buffer_deinit(&second);
            assert_string_equal(text_of(&first), rows[i][0]);
        }
    }
}
static void test_base64_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z*==", "=AAA", "Z===", "Zg=a", "Z g="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct weir_base64 d = {0};
        struct weir_buffer b;
        weir_buffer_init(&b);
        weir_buffer_append(&b, NULL, bad[i], strlen(bad[i]));
        assert_false(weir_base64_decode(&d, &b, NULL));
        weir_buffer_deinit(&b);
    }
    struct weir_base64 d = {0};
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, NULL, "Zg==Zm9v", 8); /* segments, each padded for itself */
    assert_true(weir_base64_decode(&d, &b, NULL));
    assert_string_equal(text_of(&b), "ffoo");
}
static void start(struct rig *r)
{
    rig_init(r);
    assert_null(rig_compile_filter(r, &weir_filter_grpc_web, "{}"));
    rig_probe(r, "p");
    r->quiet_terminal = true;
    rig_connect(r);
}
static void assert_header(struct weir_headers *h, enum weir_header_id id, const char *value)
{
    struct weir_str v = weir_headers_get(h, id);
    if (!weir_str_eq(v, weir_str_of(value))) fail_msg("%.*s, not %s", WEIR_STR_ARG(v), value);
}
static void test_binary_calls_get_trailers_as_a_frame(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_send_text(&r, "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web+proto\r\ncontent-length: 3\r\n\r\nabc");
    rig_assert_log(&r, "p.h p.d3!");
    struct weir_headers *h = weir_stream_request_headers(r.stream);
    assert_header(h, WEIR_H_CONTENT_TYPE, "application/grpc");
    assert_header(h, WEIR_H_TE, "trailers");
    assert_null(weir_headers_find(h, WEIR_H_CONTENT_LENGTH));
    rig_respond(&r, false, LIST(":status", "200", "content-type", "application/grpc"));
    rig_respond_data(&r, "12345", false);
    rig_respond_trailers(&r, LIST("grpc-status", "0", "x", "y"));
    rig_turn(&r);
    static const char body[] = "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n19\r\n\x80\0\0\0\x14grpc-status:0\r\nx:y\r\n\r\n0\r\n\r\n";
    assert_true(r.sent.n > sizeof(body));
    assert_memory_equal(r.sent.p + r.sent.n - (sizeof(body) - 1), body, sizeof(body) - 1);
    assert_non_null(strstr(rig_take(&r), "content-type: application/grpc-web+proto\r\n"));
    rig_deinit(&r);
}
static void test_text_calls_are_base64_both_ways(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_send_text(&r, "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\naccept: application/grpc-web-text\r\n"
                      "content-length: 8\r\n\r\nZm9");
    rig_send_text(&r, "vYmFy");
    rig_assert_log(&r, "p.h p.d0 p.d6!");
    rig_respond(&r, false, LIST(":status", "200", "content-type", "application/grpc"));
    rig_respond_data(&r, "foob", false);
    rig_respond_trailers(&r, LIST("a", "b"));
    rig_turn(&r);
    /* 80 00 00 00 05 "a:b\r\n" */
    static const char body[] = "\r\n\r\n8\r\nZm9vYg==\r\n10\r\ngAAAAAVhOmINCg==\r\n0\r\n\r\n";
    assert_memory_equal(r.sent.p + r.sent.n - (sizeof(body) - 1), body, sizeof(body) - 1);
    assert_non_null(strstr(rig_take(&r), "content-type: application/grpc-web-text+proto\r\n"));
    rig_deinit(&r);
}
static void test_bad_base64_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"***", "Zm9vYg"};
    for (int i = 0; i < 2; i++) {
        struct rig r;
        start(&r);
        char request[256];
        int n = snprintf(request, sizeof(request),
                         "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\ncontent-length: %zu\r\n\r\n%s",
                         strlen(bodies[i]), bodies[i]);
        rig_send(&r, request, (size_t)n);
        rig_turn(&r);
        const char *got = rig_take(&r);
        assert_non_null(strstr(got, "HTTP/1.1 400 Bad Request"));
        assert_non_null(strstr(got, "grpc-message: Bad gRPC-web request, invalid base64 data.\r\ngrpc-status: 13"));
        assert_non_null(strstr(got, "content-type: application/grpc-web+proto"));
        assert_string_equal(r.access.p, i == 0 ? "400 - grpc_base_64_decode_failed" : "400 - grpc_base_64_decode_failed_bad_size");
        rig_deinit(&r);
    }
}
static void test_other_requests_are_left_alone_and_other_responses_explained(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_send_text(&r, "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    assert_header(weir_stream_request_headers(r.stream), WEIR_H_CONTENT_TYPE, "application/json");
    rig_respond(&r, true, LIST(":status", "204"));
    rig_turn(&r);
    (void)rig_take(&r);
    rig_send_text(&r, "POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web\r\ncontent-length: 0\r\n\r\n");
    rig_respond(&r, false, LIST(":status", "503", "content-type", "text/plain", "content-length", "4"));
    rig_respond_data(&r, "down", true);
    rig_turn(&r);
    /* Not gRPC: the page becomes the message of a status. */
    const char *got = rig_take(&r);
    assert_non_null(strstr(got, "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/grpc-web+proto\r\n"
                                "grpc-message: down\r\ngrpc-status: 14\r\n" RIG_TAIL));
    assert_null(strstr(got, "content-length: 4"));
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_known_answers),
        cmocka_unit_test(test_base64_refuses_what_is_none),
        cmocka_unit_test(test_binary_calls_get_trailers_as_a_frame),
        cmocka_unit_test(test_text_calls_are_base64_both_ways),
        cmocka_unit_test(test_bad_base64_is_refused),
        cmocka_unit_test(test_other_requests_are_left_alone_and_other_responses_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
