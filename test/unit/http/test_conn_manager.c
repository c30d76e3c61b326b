/* http/conn_manager.c and http/stream.c over the real codecs. */
#include "test/unit/support/http_rig.h"

#include "dataplane/http/connection.h"

#define GET "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
#define OK_HEAD "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" RIG_TAIL
#define OK OK_HEAD "\r\nok"

static void start(struct rig *r)
{
    rig_init(r);
    r->answer = true;
    r->quiet_terminal = true;
}
/* The client's HTTP/2 side: frames by hand, answers as text. */
struct h2_client {
    struct rig *r;
    struct wire_reader reader;
    struct text got;
};
static void h2_start(struct h2_client *c, struct rig *r)
{
    *c = (struct h2_client){.r = r};
    struct wire w = {0};
    wire_preface(&w);
    rig_send(r, w.bytes.p, w.bytes.n);
    wire_free(&w);
}
static void h2_send(struct h2_client *c, struct wire *w)
{
    rig_send(c->r, w->bytes.p, w->bytes.n);
    wire_free(w);
    *w = (struct wire){0};
}
static const char *h2_got(struct h2_client *c)
{
    static char out[8192];
    struct text t = {0};
    wire_read(&c->reader, c->r->sent.p, c->r->sent.n, &t);
    text_free(&c->r->sent);
    c->r->sent = (struct text){0};
    /* Dates change. */
    size_t n = 0;
    for (const char *p = t.n > 0 ? t.p : ""; *p != 0 && n < sizeof(out) - 1;) {
        if (strncmp(p, " date=", 6) == 0) {
            p += strcspn(p + 6, "G") + 6 + 3;
            continue;
        }
        out[n++] = *p++;
    }
    while (n > 0 && out[n - 1] == ' ') n--;
    out[n] = 0;
    text_free(&t);
    return out;
}
static void h2_free(struct h2_client *c)
{
    wire_reader_free(&c->reader);
    text_free(&c->got);
}

static void test_connection_object_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct weir_http_connection) < 400);
}
static void test_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, GET GET GET);
    rig_turn(&r);
    rig_assert_got(&r, OK OK OK);
    assert_false(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_TOTAL), 3);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_HTTP1_TOTAL), 3);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_2XX), 3);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_COMPLETED), 3);
    assert_int_equal(weir_stat_sum(r.hcm->listener_stats, WEIR_HTTP_LISTENER_RQ_2XX), 3);
    rig_deinit(&r);
}
static void test_a_stream_takes_its_memory_from_the_workers_pool(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    for (int i = 0; i < 5; i++) rig_send_text(&r, GET);
    assert_int_equal(r.w->arenas.count, 1);
    rig_deinit(&r);
}
static void test_connection_close_is_obeyed_at_once(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    rig_turn(&r);
    rig_assert_got(&r, OK_HEAD "connection: close\r\n\r\nok");
    assert_true(r.finished);
    assert_null(r.base);
    rig_deinit(&r);
}
static void test_a_client_that_half_closed_gets_its_answer(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_eof(&r);
    assert_non_null(r.stream);
    assert_false(r.finished);
    rig_respond(&r, false, LIST(":status", "200", "content-length", "2"));
    rig_respond_data(&r, "ok", true);
    rig_turn(&r);
    rig_assert_got(&r, OK_HEAD "connection: close\r\n\r\nok");
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_half_close_inside_a_request_ends_it(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
    rig_eof(&r);
    assert_true(r.finished);
    assert_string_equal(r.access.p, "0 DC downstream_remote_disconnect");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_RX_RESET), 1);
    rig_deinit(&r);
}
static void test_a_client_that_vanishes_ends_the_stream(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_vanish(&r);
    assert_null(r.base);
    assert_int_equal(r.destroyed, 1);
    assert_string_equal(r.access.p, "0 DC downstream_remote_disconnect");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_DESTROY_REMOTE_ACTIVE_RQ), 1);
    rig_deinit(&r);
}
static void test_idle_half_close_ends_the_connection(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_eof(&r);
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_DESTROY_REMOTE), 1);
    rig_deinit(&r);
}
static void test_malformed_requests_get_400_and_a_log_line(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, "GARBAGE\r\n\r\n");
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain\r\n" RIG_TAIL
                       "connection: close\r\n\r\nBad Request");
    assert_true(r.finished);
    assert_string_equal(r.access.p, "400 DPE http1.codec_error");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_PROTOCOL_ERROR), 1);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_4XX), 1);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_RESPONSE_BEFORE_RQ_COMPLETE), 1);
    rig_deinit(&r);
}
static void test_a_bad_chunk_after_the_head_went_up_is_400(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain\r\n" RIG_TAIL
                       "connection: close\r\n\r\nBad Request");
    assert_int_equal(r.destroyed, 1);
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_a_bad_chunk_after_the_response_began_cuts_the_connection(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    rig_respond(&r, false, LIST(":status", "200"));
    rig_respond_data(&r, "abc", false);
    rig_send_text(&r, "zz\r\n");
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\n" RIG_TAIL "connection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_true(r.finished);
    assert_string_equal(r.access.p, "200 DPE http1.codec_error");
    rig_deinit(&r);
}
static void test_refused_requests(void **state)
{
    (void)state;
    static const struct {
        const char *request, *status, *access;
        bool closes;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 - missing_host_header", true},
        {"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 - path_normalization_failed", true},
        {"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "404 - absolute_path_rejected", false},
        {"GET / HTTP/1.1\r\nhost: a\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n", "403 - upgrade_failed",
         true},
        {"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 DPE http.invalid_authority", true},
        {"GET / HTTP/1.0\r\nhost: a\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\n", "426 DPE low_version", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct rig r;
        start(&r);
        rig_connect(&r);
        rig_send(&r, rows[i].request, strlen(rows[i].request));
        rig_turn(&r);
        const char *got = rig_take(&r);
        if (strncmp(got, rows[i].status, strlen(rows[i].status)) != 0) fail_msg("%s: %s", rows[i].request, got);
        assert_int_equal(strstr(got, "connection: close") != NULL, rows[i].closes);
        assert_int_equal(r.finished, rows[i].closes);
        assert_string_equal(r.access.p, rows[i].access);
        rig_deinit(&r);
    }
}
static void test_expect_is_answered_here_unless_the_upstream_decides(void **state)
{
    (void)state;
    for (int proxied = 0; proxied < 2; proxied++) {
        struct rig r;
        start(&r);
        r.hcm->proxy_100_continue = proxied;
        rig_connect(&r);
        rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
        assert_int_equal(weir_headers_find(weir_stream_request_headers(r.stream), WEIR_H_EXPECT) != NULL, proxied);
        if (!proxied) {
            rig_assert_got(&r, "HTTP/1.1 100 Continue\r\n\r\n");
        } else {
            weir_stream_respond_informational(r.stream, rig_headers(weir_stream_arena(r.stream), LIST(":status", "103", "link", "</a>")));
            rig_turn(&r);
            rig_assert_got(&r, "HTTP/1.1 103 Unknown\r\nlink: </a>\r\n\r\n");
        }
        rig_send_text(&r, "ab");
        rig_turn(&r);
        rig_assert_got(&r, OK);
        rig_deinit(&r);
    }
}
static void test_head_and_bodiless_statuses(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_respond(&r, true, LIST(":status", "200", "content-length", "100"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n" RIG_TAIL "\r\n");
    rig_send_text(&r, GET);
    rig_respond(&r, true, LIST(":status", "204", "content-length", "0"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 204 No Content\r\n" RIG_TAIL "\r\n");
    rig_send_text(&r, GET);
    rig_respond(&r, true, LIST(":status", "304", "content-length", "100"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n" RIG_TAIL "\r\n");
    rig_send_text(&r, GET);
    rig_respond(&r, true, LIST(":status", "200"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_deinit(&r);
}
static void test_early_answers_end_the_rest_of_the_request(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
    rig_respond(&r, false, LIST(":status", "413", "content-length", "3"));
    rig_respond_data(&r, "big", true);
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n" RIG_TAIL "connection: close\r\n\r\nbig");
    assert_true(r.finished);
    assert_true(r.linger_ms > 0);
    assert_int_equal(r.destroyed, 1);
    rig_deinit(&r);
}
static void test_a_response_that_breaks_off_cuts_the_connection(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_respond(&r, false, LIST(":status", "200", "content-length", "100"));
    rig_respond_data(&r, "0123456789", false);
    weir_stream_respond_reset(r.stream, WEIR_STR("upstream_reset_after_response_started{connection_termination}"),
                              WEIR_FLAG(UPSTREAM_CONNECTION_TERMINATION));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n" RIG_TAIL "\r\n0123456789");
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_TX_RESET), 1);
    rig_deinit(&r);
}
static void test_a_slow_client_stops_the_upstream(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    r.chain.buffer_limit_bytes = 1000;
    rig_connect(&r);
    rig_send_text(&r, GET);
    r.slow_client = true;
    rig_respond(&r, false, LIST(":status", "200"));
    char body[2001];
    memset(body, 'x', 2000);
    body[2000] = 0;
    rig_respond_data(&r, body, false);
    rig_turn(&r);
    assert_true(r.blocked);
    uint64_t sent = r.sent_bytes;
    rig_respond_data(&r, body, false);
    rig_turn(&r);
    assert_int_equal(r.sent_bytes, sent); /* nothing more into a full queue */
    rig_client_reads(&r);
    assert_false(r.blocked && r.queue == 0);
    assert_true(r.sent_bytes > sent);
    rig_client_reads(&r);
    assert_false(r.blocked);
    rig_respond_data(&r, "", true);
    rig_turn(&r);
    rig_deinit(&r);
}
static void test_a_paused_request_stops_the_socket(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n0123456789");
    weir_stream_pause_request(r.stream, true);
    weir_stream_pause_request(r.stream, true);
    rig_send_text(&r, "01234");
    assert_false(r.reading);
    weir_stream_pause_request(r.stream, false);
    rig_turn(&r);
    assert_false(r.reading);
    weir_stream_pause_request(r.stream, false);
    rig_turn(&r);
    assert_true(r.reading);
    rig_send_text(&r, "56789");
    rig_turn(&r);
    rig_assert_got(&r, OK);
    rig_deinit(&r);
}
static void test_websocket_upgrade_becomes_a_tunnel(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    struct weir_hcm_upgrade upgrade = {.config = {.type = WEIR_STR("websocket"), .enabled = true}};
    r.hcm->upgrade_count = 1;
    r.hcm->upgrades = &upgrade;
    r.quiet_terminal = false;
    rig_connect(&r);
    rig_send_text(&r, "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\r\n");
    assert_true(weir_stream_is_upgrade(r.stream));
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_UPGRADES_ACTIVE), 1);
    rig_respond(&r, false, LIST(":status", "101", "upgrade", "websocket"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n" RIG_TAIL "connection: Upgrade\r\n\r\n");
    rig_send_text(&r, "ping");
    rig_assert_log(&r, "up.h up.d4");
    rig_respond_data(&r, "pong", false);
    rig_turn(&r);
    rig_assert_got(&r, "pong");
    rig_eof(&r);
    rig_assert_log(&r, "up.d0!");
    assert_false(r.finished);
    rig_respond_data(&r, "bye", true);
    rig_turn(&r);
    rig_assert_got(&r, "bye");
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_UPGRADES_TOTAL), 1);
    rig_deinit(&r);
}
static void test_draining_worker_closes_after_the_answer_and_idle_ones_at_once(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_assert_got(&r, OK);
    r.w->draining = true;
    rig_send_text(&r, GET);
    rig_turn(&r);
    rig_assert_got(&r, OK_HEAD "connection: close\r\n\r\nok");
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_DRAIN_CLOSE), 1);
    r.w->draining = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_assert_got(&r, OK);
    weir_network_filter_http.on_drain(r.base);
    rig_turn(&r);
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_drain_lets_a_busy_stream_end(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    weir_network_filter_http.on_drain(r.base);
    rig_turn(&r);
    assert_false(r.finished);
    rig_respond(&r, false, LIST(":status", "200", "content-length", "2"));
    rig_respond_data(&r, "ok", true);
    rig_turn(&r);
    rig_assert_got(&r, OK_HEAD "connection: close\r\n\r\nok");
    assert_true(r.finished);
    rig_deinit(&r);
}
static void test_deadline_cuts_what_still_runs(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    rig_send_text(&r, GET);
    weir_network_filter_http.on_deadline(r.base);
    assert_true(r.closed);
    assert_null(r.base);
    assert_int_equal(r.destroyed, 1);
    rig_deinit(&r);
}
static void test_last_request_of_a_connection(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.hcm->max_requests_per_connection = r.hcm->codec.max_requests_per_connection = 2;
    rig_connect(&r);
    rig_send_text(&r, GET GET GET);
    rig_turn(&r);
    rig_assert_got(&r, OK OK_HEAD "connection: close\r\n\r\nok");
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_MAX_REQUESTS_REACHED), 1);
    rig_deinit(&r);
}
static void test_version_is_found_from_any_cut_of_the_preface(void **state)
{
    (void)state;
    struct wire w = {0};
    wire_preface(&w);
    wire_headers(&w, 1, true, LIST(GET_ROOT));
    for (size_t cut = 1; cut < 30; cut++) {
        struct rig r;
        start(&r);
        rig_connect(&r);
        rig_send(&r, w.bytes.p, cut);
        rig_send(&r, w.bytes.p + cut, w.bytes.n - cut);
        rig_turn(&r);
        struct h2_client c = {.r = &r};
        assert_string_equal(h2_got(&c), "HEADERS(1)[:status=200 content-length=2 server=weir] DATA(1 2 ES)");
        assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_HTTP2_TOTAL), 1);
        h2_free(&c);
        rig_deinit(&r);
    }
    wire_free(&w);
}
static void test_version_by_alpn_and_by_configuration(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.tls.alpn = WEIR_STR("http/1.1");
    rig_connect(&r);
    rig_send_text(&r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    rig_turn(&r);
    assert_memory_equal(rig_take(&r), "HTTP/1.1 4", 10);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_SSL_TOTAL), 1);
    rig_deinit(&r);
    start(&r);
    r.hcm->codec_type = WEIR_HCM_HTTP1;
    rig_connect(&r);
    rig_send_text(&r, "P");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_HTTP1_TOTAL), 1);
    rig_deinit(&r);
    start(&r);
    r.hcm->codec_type = WEIR_HCM_HTTP2;
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_turn(&r);
    assert_true(r.finished);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_CX_PROTOCOL_ERROR), 1);
    rig_deinit(&r);
}
static void test_http2_streams_live_side_by_side(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    struct h2_client c;
    h2_start(&c, &r);
    struct wire w = {0};
    wire_headers(&w, 1, true, LIST(GET_ROOT));
    wire_headers(&w, 3, false, LIST(":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/"));
    h2_send(&c, &w);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_ACTIVE), 2);
    rig_respond(&r, false, LIST(":status", "200"));
    rig_respond_data(&r, "early", true);
    rig_turn(&r);
    /* The rest of the second request is not wanted. */
    assert_string_equal(h2_got(&c), "HEADERS(3)[:status=200 server=weir] DATA(3 5 ES) RST(3 0)");
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_ACTIVE), 1);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_HTTP2_TOTAL), 2);
    wire_u32_frame(&w, RST_STREAM, 0, 1, 8);
    h2_send(&c, &w);
    assert_int_equal(rig_stat(&r, WEIR_HTTP_RQ_ACTIVE), 0);
    assert_string_equal(r.access.p, "200 - -\n0 DR http2.remote_reset");
    h2_free(&c);
    rig_deinit(&r);
}
static void test_http2_broken_response_resets_its_stream_only(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    struct h2_client c;
    h2_start(&c, &r);
    struct wire w = {0};
    wire_headers(&w, 1, true, LIST(GET_ROOT));
    h2_send(&c, &w);
    rig_respond(&r, false, LIST(":status", "200"));
    rig_respond_data(&r, "abc", false);
    rig_turn(&r);
    weir_stream_respond_reset(r.stream, WEIR_STR("x"), WEIR_FLAG(UPSTREAM_REMOTE_RESET));
    rig_turn(&r);
    assert_string_equal(h2_got(&c), "HEADERS(1)[:status=200 server=weir] DATA(1 3) RST(1 2)");
    assert_string_equal(r.access.p, "200 UR x");
    assert_non_null(r.base);
    h2_free(&c);
    rig_deinit(&r);
}
static void test_http2_drains_in_two_steps(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    struct h2_client c;
    h2_start(&c, &r);
    struct wire w = {0};
    wire_headers(&w, 1, true, LIST(GET_ROOT));
    h2_send(&c, &w);
    weir_network_filter_http.on_drain(r.base);
    rig_turn(&r);
    assert_string_equal(h2_got(&c), "GOAWAY(2147483647 0)");
    r.answer = true;
    wire_headers(&w, 3, true, LIST(GET_ROOT));
    h2_send(&c, &w); /* was on its way: still served */
    rig_turn(&r);
    assert_string_equal(h2_got(&c), "HEADERS(3)[:status=200 content-length=2 server=weir] DATA(3 2 ES)");
    rig_advance(&r, 5001);
    assert_string_equal(h2_got(&c), "GOAWAY(3 0)");
    assert_false(r.finished);
    wire_u32_frame(&w, RST_STREAM, 0, 1, 8);
    h2_send(&c, &w);
    rig_turn(&r);
    assert_true(r.finished);
    h2_free(&c);
    rig_deinit(&r);
}
static void test_http2_client_that_leaves_ends_its_streams(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    rig_connect(&r);
    struct h2_client c;
    h2_start(&c, &r);
    struct wire w = {0};
    wire_headers(&w, 1, true, LIST(GET_ROOT));
    wire_headers(&w, 3, true, LIST(GET_ROOT));
    h2_send(&c, &w);
    rig_eof(&r);
    assert_true(r.finished);
    assert_string_equal(r.access.p, "0 DC downstream_remote_disconnect\n0 DC downstream_remote_disconnect");
    h2_free(&c);
    rig_deinit(&r);
}
static void test_trailers_go_both_ways(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.answer = false;
    r.quiet_terminal = false;
    rig_connect(&r);
    struct h2_client c;
    h2_start(&c, &r);
    struct wire w = {0};
    wire_headers(&w, 1, false, LIST(":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/", "te", "trailers"));
    wire_data(&w, 1, false, "abc");
    wire_headers(&w, 1, true, LIST("x-t", "1"));
    h2_send(&c, &w);
    rig_assert_log(&r, "up.h up.d3 up.t");
    rig_respond(&r, false, LIST(":status", "200"));
    rig_respond_data(&r, "ok", false);
    rig_respond_trailers(&r, LIST("grpc-status", "0"));
    rig_turn(&r);
    assert_string_equal(h2_got(&c), "HEADERS(1)[:status=200 server=weir] DATA(1 2) HEADERS(1 ES)[grpc-status=0]");
    h2_free(&c);
    rig_deinit(&r);
}
static void test_new_streams_follow_the_newest_configuration(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_connect(&r);
    rig_send_text(&r, GET);
    rig_assert_got(&r, OK);
    struct weir_hcm *newer = WEIR_NEW(&r.pin->resource->arena, struct weir_hcm, 1);
    *newer = *r.hcm;
    newer->server_name = WEIR_STR("newer");
    r.use.config = newer;
    rig_send_text(&r, GET);
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: DATE\r\nserver: newer\r\n\r\nok");
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_object_is_small),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_a_stream_takes_its_memory_from_the_workers_pool),
        cmocka_unit_test(test_connection_close_is_obeyed_at_once),
        cmocka_unit_test(test_a_client_that_half_closed_gets_its_answer),
        cmocka_unit_test(test_half_close_inside_a_request_ends_it),
        cmocka_unit_test(test_a_client_that_vanishes_ends_the_stream),
        cmocka_unit_test(test_idle_half_close_ends_the_connection),
        cmocka_unit_test(test_malformed_requests_get_400_and_a_log_line),
        cmocka_unit_test(test_a_bad_chunk_after_the_head_went_up_is_400),
        cmocka_unit_test(test_a_bad_chunk_after_the_response_began_cuts_the_connection),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_expect_is_answered_here_unless_the_upstream_decides),
        cmocka_unit_test(test_head_and_bodiless_statuses),
        cmocka_unit_test(test_early_answers_end_the_rest_of_the_request),
        cmocka_unit_test(test_a_response_that_breaks_off_cuts_the_connection),
        cmocka_unit_test(test_a_slow_client_stops_the_upstream),
        cmocka_unit_test(test_a_paused_request_stops_the_socket),
        cmocka_unit_test(test_websocket_upgrade_becomes_a_tunnel),
        cmocka_unit_test(test_draining_worker_closes_after_the_answer_and_idle_ones_at_once),
        cmocka_unit_test(test_drain_lets_a_busy_stream_end),
        cmocka_unit_test(test_deadline_cuts_what_still_runs),
        cmocka_unit_test(test_last_request_of_a_connection),
        cmocka_unit_test(test_version_is_found_from_any_cut_of_the_preface),
        cmocka_unit_test(test_version_by_alpn_and_by_configuration),
        cmocka_unit_test(test_http2_streams_live_side_by_side),
        cmocka_unit_test(test_http2_broken_response_resets_its_stream_only),
        cmocka_unit_test(test_http2_drains_in_two_steps),
        cmocka_unit_test(test_http2_client_that_leaves_ends_its_streams),
        cmocka_unit_test(test_trailers_go_both_ways),
        cmocka_unit_test(test_new_streams_follow_the_newest_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
