/* What the HTTP/1 server sends, when it reads, and how its connections end. */
#include "test/unit/support/h1_harness.h"

#include <stdlib.h>
#include <string.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEARD_GET "stream\nheaders end :authority=a :path=/ :method=GET\n"
#define POST5 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"

static int setup(void **state)
{
    struct h1_harness *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -1;
    h1_harness_init(h);
    h1_harness_server(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    h1_harness_deinit(*state);
    free(*state);
    return 0;
}

static void test_length_and_chunked_bodies(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 200", "x-a: 1", "content-length: 5", "server: weir", NULL);
    h1_send_bytes(h, "he", false);
    h1_send_bytes(h, "llo", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 5\r\nserver: weir\r\n\r\nhello");
    h1_assert_log(h, HEARD_GET "closed 0\n");
    h1_clear(h);
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 404", "x-a: 1", NULL);
    h1_send_bytes(h, "0123456789", false);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 404 Not Found\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n");
    h1_send_bytes(h, "", false);
    h1_send_bytes(h, "x", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 404 Not Found\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n");
    assert_true(weir_codec_idle(h->codec));
    assert_false(h->draining);
}

static void test_response_without_body(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, true, ":status: 200", "date: now", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 0\r\n\r\n");
    h1_clear(h);
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 204", "content-length: 0", NULL);
    h1_send_bytes(h, "not allowed", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 204 No Content\r\n\r\n");
    h1_clear(h);
    h1_feed_text(h, GET);
    h1_send(h, true, ":status: 304", "content-length: 100", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n");
    h1_clear(h);
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 418", NULL);
    h1_send_bytes(h, "", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 418 Unknown\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_false(h->draining);
}

#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_head_gets_the_head_of_a_get(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, HEAD);
    h1_send(h, false, ":status: 200", "content-length: 100", NULL);
    h1_send_bytes(h, "dropped", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
    h1_clear(h);
    h1_feed_text(h, HEAD);
    h1_send(h, true, ":status: 404", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n");
    h1_clear(h);
    h1_feed_text(h, HEAD);
    h1_send(h, true, ":status: 204", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(h->draining);
}

static void test_hop_by_hop_headers_are_left_out(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, true, ":status: 200", "connection: x", "keep-alive: 1", "proxy-connection: y", "transfer-encoding: gzip", "upgrade: h2",
            "content-length: 0", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

static void test_header_injection_is_refused(void **state)
{
    struct h1_harness *h = *state;
    static const char *const bad[] = {"a\r\nb: c", "a\nb", "a\rb", "a value that is long enough\n", "nul\0l"};
    h1_feed_text(h, GET);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_headers headers;
        weir_headers_init(&headers, h->stream->arena);
        weir_headers_add(&headers, WEIR_H_STATUS, WEIR_STR("200"));
        weir_headers_add_name(&headers, WEIR_STR("x-a"), i == 4 ? (struct weir_str){bad[i], 5} : weir_str_of(bad[i]));
        assert_int_equal(weir_codec_stream_send_headers(h->stream, &headers, true), WEIR_ERR_INVALID);
        weir_headers_init(&headers, h->stream->arena);
        weir_headers_add(&headers, WEIR_H_STATUS, WEIR_STR("200"));
        weir_headers_add_name(&headers, i == 4 ? (struct weir_str){bad[i], 5} : weir_str_of(bad[i]), WEIR_STR("v"));
        assert_int_equal(weir_codec_stream_send_headers(h->stream, &headers, true), WEIR_ERR_INVALID);
    }
    h1_send(h, true, ":status: 200", "x-tab: a\tb", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\nx-tab: a\tb\r\ncontent-length: 0\r\n\r\n");
}

static void test_proper_case(void **state)
{
    struct h1_harness *h = *state;
    h->config.h1_proper_case = true;
    h1_feed_text(h, GET);
    h1_send(h, true, ":status: 200", "x-mixedcase: A", "x$a9b-c: 1", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\nX-Mixedcase: A\r\nX$A9b-C: 1\r\nContent-Length: 0\r\n\r\n");
}

static void test_trailers(void **state)
{
    struct h1_harness *h = *state;
    struct weir_headers trailers;
    for (int enabled = 0; enabled < 2; enabled++) {
        h->config.h1_enable_trailers = enabled != 0;
        h1_clear(h);
        h1_feed_text(h, GET);
        h1_send(h, false, ":status: 200", NULL);
        h1_send_bytes(h, "ok", false);
        weir_headers_init(&trailers, h->stream->arena);
        weir_headers_add(&trailers, WEIR_H_GRPC_STATUS, WEIR_STR("0"));
        weir_headers_add_name(&trailers, WEIR_STR("bad"), WEIR_STR("a\r\nb"));
        weir_codec_stream_send_trailers(h->stream, &trailers);
        h1_pull(h);
        h1_assert_wire(h, enabled ? "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n"
                                  : "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        assert_null(h->stream);
    }
}

static void test_continue_is_sent_before_the_answer(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    struct weir_headers go_on;
    weir_headers_init(&go_on, h->stream->arena);
    weir_headers_add(&go_on, WEIR_H_STATUS, WEIR_STR("100"));
    weir_codec_stream_send_informational(h->stream, &go_on);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 100 Continue\r\n\r\n");
    h1_feed_text(h, "hello");
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

static void test_http_10_body_ends_with_the_connection(void **state)
{
    struct h1_harness *h = *state;
    h->config.h1_accept_http_10 = true;
    h1_feed_text(h, "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n");
    h1_send(h, false, ":status: 200", NULL);
    h1_send_bytes(h, "body", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nbody");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_early_answer_ends_the_connection(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, POST5 "he");
    h1_send(h, true, ":status: 413", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_true(h->draining);
    assert_non_null(h->stream); /* the request may still end */
    h1_feed_text(h, "llo" GET);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\ndata hello end\nclosed 0\n");
    assert_true(weir_codec_idle(h->codec));
    assert_false(h->read_paused);
}

static void test_early_answer_and_reset_none(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, POST5);
    h1_send(h, true, ":status: 413", NULL);
    weir_codec_stream_reset(h->stream, WEIR_RESET_NONE);
    h->stream = NULL;
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_true(h->draining && weir_codec_idle(h->codec));
    h1_feed_text(h, "hello" GET);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\n");
}

static void test_reset_flushes_what_was_sent_and_ends(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 200", "content-length: 100", NULL);
    h1_send_bytes(h, "0123456789", false);
    weir_codec_stream_reset(h->stream, WEIR_RESET_LOCAL);
    h->stream = NULL;
    h1_feed_text(h, GET);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void reset_in_event(struct h1_harness *h, struct weir_headers *headers, bool end)
{
    (void)headers, (void)end;
    weir_codec_stream_reset(h->stream, WEIR_RESET_LOCAL);
    h->stream = NULL;
}

static void test_reset_from_inside_an_event(void **state)
{
    struct h1_harness *h = *state;
    h->on_headers = reset_in_event;
    h1_feed_text(h, POST5 "hello" GET);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\n");
    assert_true(weir_codec_idle(h->codec) && h->draining);
}

static void test_body_beyond_its_length_is_cut(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 200", "content-length: 3", NULL);
    h1_send_bytes(h, "abcHTTP/1.1 200 OK", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_body_short_of_its_length_ends_the_connection(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 200", "content-length: 3", NULL);
    h1_send_bytes(h, "ab", true);
    h1_pull(h);
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_half_closed_client_gets_its_answer(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_feed_eof(h);
    assert_non_null(h->stream);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    h1_assert_log(h, HEARD_GET "closed 0\n");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_half_close_after_pipelined_requests(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET GET);
    h1_feed_eof(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_clear(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_client_gone_in_the_middle(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, POST5 "he");
    h1_feed_eof(h);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\ndata he\n"
                     "closed 6 downstream_remote_disconnect\n");
}

static void test_client_gone_in_a_head(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, "GET / HT");
    assert_false(weir_codec_idle(h->codec));
    h1_feed_eof(h);
    h1_assert_log(h, "stream\nclosed 6 downstream_remote_disconnect\n");
    assert_true(weir_codec_idle(h->codec) && h->draining);
}

static void test_transport_gone(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    weir_codec_fail(h->codec, WEIR_RESET_CONNECTION, WEIR_STR("downstream_remote_disconnect"));
    h1_assert_log(h, HEARD_GET "closed 6 downstream_remote_disconnect\n");
}

static void test_answer_before_the_head(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, "GET / HTTP/1.1\r\nHo");
    h1_send(h, false, ":status: 408", "content-length: 1", NULL);
    h1_send_bytes(h, "x", true);
    weir_codec_stream_reset(h->stream, WEIR_RESET_NONE);
    h->stream = NULL;
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 408 Request Timeout\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx");
}

static void test_shutdown_ends_with_the_next_answer(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    weir_codec_shutdown(h->codec, false);
    assert_false(h->draining);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_shutdown_at_rest(void **state)
{
    struct h1_harness *h = *state;
    weir_codec_shutdown(h->codec, true);
    assert_true(h->draining && weir_codec_idle(h->codec));
    h1_feed_text(h, GET);
    h1_assert_log(h, "");
}

static void test_raw_reply(void **state)
{
    struct h1_harness *h = *state;
    struct weir_codec_error e = {.status = 503, .details = WEIR_STR("overload"), .body = WEIR_STR("envoy overloaded")};
    weir_codec_reply(h->codec, &e, WEIR_STR("now"), WEIR_STR("envoy"));
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 16\r\ncontent-type: text/plain\r\ndate: now\r\n"
                      "server: envoy\r\nconnection: close\r\n\r\nenvoy overloaded");
}

static void test_pipelined_input_waits_with_reading_paused(void **state)
{
    struct h1_harness *h = *state;
    h->log_connection = true;
    h1_feed_text(h, GET "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_assert_log(h, HEARD_GET "pause\n");
    h1_feed_text(h, "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_clear(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_log(h, "closed 0\nstream\nheaders end :authority=a :path=/2 :method=GET\n");
    h1_clear(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_log(h, "closed 0\nstream\nheaders end :authority=a :path=/3 :method=GET\nresume\n");
    h1_reply_ok(h);
    h1_pull(h);
    assert_true(weir_codec_idle(h->codec));
}

static void test_many_pipelined_requests_take_turns(void **state)
{
    struct h1_harness *h = *state;
    h->on_end = h1_reply_ok;
    h->pull = false;
    for (int i = 0; i < 40; i++)
        h1_feed_text(h, GET);
    uint32_t before = h->replies_sent;
    struct weir_buffer to;
    weir_buffer_init(&to);
    h->wants_output = false;
    weir_codec_output(h->codec, &to);
    weir_buffer_deinit(&to);
    assert_in_range(h->replies_sent - before, 2, 20);
    assert_true(h->wants_output);
    h1_pull(h);
    assert_int_equal(h->replies_sent, 40);
}

static void test_paused_body_waits(void **state)
{
    struct h1_harness *h = *state;
    h->log_connection = true;
    h1_feed_text(h, POST5 "he");
    weir_codec_stream_read_pause(h->stream, true);
    h1_feed_text(h, "l");
    h1_feed_text(h, "lo" GET);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\ndata he\npause\n");
    h1_pull(h);
    h1_clear(h);
    weir_codec_stream_read_pause(h->stream, false);
    h1_assert_log(h, ""); /* events of streams come from output() */
    h1_pull(h);
    h1_assert_log(h, "data llo end\n");
    h1_clear(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_log(h, "closed 0\n" HEARD_GET "resume\n");
    h1_reply_ok(h);
    h1_pull(h);
}

static void pause_in_event(struct h1_harness *h, struct weir_headers *headers, bool end)
{
    (void)headers, (void)end;
    weir_codec_stream_read_pause(h->stream, true);
}

static void test_pause_from_inside_an_event(void **state)
{
    struct h1_harness *h = *state;
    h->on_headers = pause_in_event;
    h1_feed_text(h, POST5 "hello");
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\n");
    h1_feed_eof(h);
    assert_non_null(h->stream);
    weir_codec_stream_read_pause(h->stream, false);
    h1_pull(h);
    h1_reply_ok(h);
    h1_pull(h);
    h1_assert_log(h, "stream\nheaders :authority=a :path=/ :method=POST content-length=5\ndata hello end\nclosed 0\n");
    assert_true(weir_codec_idle(h->codec) && h->draining);
}

static void test_send_watermarks_follow_the_transport(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    h1_send(h, false, ":status: 200", NULL);
    h1_send_bytes(h, "x", false);
    assert_int_equal(weir_codec_stream_send_queued(h->stream), strlen("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"));
    h1_pull(h);
    assert_int_equal(weir_codec_stream_send_queued(h->stream), 0);
    h1_clear(h);
    weir_codec_transport_blocked(h->codec, true);
    weir_codec_transport_blocked(h->codec, false);
    h1_assert_log(h, "blocked\nready\n");
    h1_send_bytes(h, "", true);
    h1_pull(h);
    h1_clear(h);
    weir_codec_transport_blocked(h->codec, true);
    h1_feed_text(h, GET); /* a stream that begins while blocked hears of it with its first output */
    h1_send(h, false, ":status: 200", NULL);
    h1_pull(h);
    h1_assert_log(h, HEARD_GET "blocked\n");
    h1_assert_wire(h, "");
    weir_codec_transport_blocked(h->codec, false);
    h1_send_bytes(h, "", true);
    h1_pull(h);
    h1_assert_log(h, HEARD_GET "blocked\nready\nclosed 0\n");
}

static void test_a_blocked_transport_does_not_hold_up_what_comes(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    h1_send(h, false, ":status: 200", NULL);
    h1_pull(h);
    h1_clear(h);
    weir_codec_transport_blocked(h->codec, true);
    weir_codec_stream_read_pause(h->stream, true);
    h1_feed_text(h, "body");
    h1_send_bytes(h, "answer", true);
    h1_pull(h);
    weir_codec_stream_read_pause(h->stream, false);
    h1_pull(h);
    h1_assert_log(h, "blocked\ndata body end\n");
    h1_assert_wire(h, "");
    weir_codec_transport_blocked(h->codec, false);
    h1_pull(h);
    h1_assert_wire(h, "6\r\nanswer\r\n0\r\n\r\n");
    h1_assert_log(h, "blocked\ndata body end\nready\nclosed 0\n");
}

#define UPGRADE "GET /c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
#define HEARD_UPGRADE "stream\nheaders :authority=a :path=/c :method=GET upgrade=WebSocket\n"

static void test_upgrade_becomes_a_tunnel(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, UPGRADE "early");
    h1_assert_log(h, HEARD_UPGRADE);
    h1_send(h, false, ":status: 101", "upgrade: websocket", "date: now", "content-length: 0", NULL);
    h1_send_bytes(h, "down", false);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\ndate: now\r\nconnection: Upgrade\r\n\r\ndown");
    h1_feed_text(h, " and later");
    h1_assert_log(h, HEARD_UPGRADE "data early and later");
    h1_send_bytes(h, "!", true);
    h1_pull(h);
    assert_true(h->write_end);
    assert_non_null(h->stream);
    h1_feed_text(h, ".");
    h1_feed_eof(h);
    h1_assert_log(h, HEARD_UPGRADE "data early and later. end\nclosed 0\n");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_tunnel_closed_by_the_client_first(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, "CONNECT b.test:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_assert_log(h, "stream\nheaders :authority=b.test:443 :method=CONNECT\n");
    h1_feed_text(h, "hello");
    h1_feed_eof(h);
    h1_send(h, false, ":status: 200", "content-length: 5", "date: now", NULL);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n");
    h1_assert_log(h, "stream\nheaders :authority=b.test:443 :method=CONNECT\ndata hello end\n");
    h1_send_bytes(h, "bye", true);
    h1_pull(h);
    assert_null(h->stream);
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_refused_upgrade_ends_the_connection(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, UPGRADE "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_send(h, false, ":status: 403", "content-length: 2", NULL);
    h1_send_bytes(h, "no", true);
    h1_pull(h);
    h1_assert_wire(h, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    h1_assert_log(h, HEARD_UPGRADE "closed 0\n");
    assert_true(h->draining && weir_codec_idle(h->codec));
}

static void test_switching_protocols_must_be_asked_for(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    struct weir_headers headers;
    weir_headers_init(&headers, h->stream->arena);
    weir_headers_add(&headers, WEIR_H_STATUS, WEIR_STR("101"));
    assert_int_equal(weir_codec_stream_send_headers(h->stream, &headers, false), WEIR_ERR_INVALID);
    h1_send(h, true, ":status: 502", NULL);
    h1_pull(h);
}

static void test_accounts_for_bytes(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, POST5 "he");
    assert_int_equal(h->stream->header_bytes_rx, sizeof(POST5) - 1);
    assert_int_equal(h->stream->wire_bytes_rx, sizeof(POST5) - 1 + 2);
    h1_send(h, false, ":status: 200", NULL);
    size_t head = strlen("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_int_equal(h->stream->header_bytes_tx, head);
    h1_send_bytes(h, "hello", false);
    assert_int_equal(h->stream->wire_bytes_tx, head + strlen("5\r\nhello\r\n"));
    h1_pull(h);
    weir_codec_stream_reset(h->stream, WEIR_RESET_LOCAL);
    h->stream = NULL;
}

static void test_body_is_passed_without_copy(void **state)
{
    struct h1_harness *h = *state;
    h1_feed_text(h, GET);
    struct weir_block *block = weir_block_create(&h->worker.blocks, 5);
    memcpy(block->data, "hello", 5);
    struct weir_buffer data, to;
    weir_buffer_init(&data);
    weir_buffer_push(&data, (struct weir_slice){block->data, 5, block});
    h1_send(h, false, ":status: 200", "content-length: 5", NULL);
    weir_codec_stream_send_data(h->stream, &data, true);
    weir_buffer_init(&to);
    h->wants_output = false;
    weir_codec_output(h->codec, &to);
    assert_int_equal(to.count, 2);
    assert_ptr_equal(weir_buffer_slice(&to, 1)->p, block->data);
    weir_buffer_deinit(&to);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_length_and_chunked_bodies),
        T(test_response_without_body),
        T(test_head_gets_the_head_of_a_get),
        T(test_hop_by_hop_headers_are_left_out),
        T(test_header_injection_is_refused),
        T(test_proper_case),
        T(test_trailers),
        T(test_continue_is_sent_before_the_answer),
        T(test_http_10_body_ends_with_the_connection),
        T(test_early_answer_ends_the_connection),
        T(test_early_answer_and_reset_none),
        T(test_reset_flushes_what_was_sent_and_ends),
        T(test_reset_from_inside_an_event),
        T(test_body_beyond_its_length_is_cut),
        T(test_body_short_of_its_length_ends_the_connection),
        T(test_half_closed_client_gets_its_answer),
        T(test_half_close_after_pipelined_requests),
        T(test_client_gone_in_the_middle),
        T(test_client_gone_in_a_head),
        T(test_transport_gone),
        T(test_answer_before_the_head),
        T(test_shutdown_ends_with_the_next_answer),
        T(test_shutdown_at_rest),
        T(test_raw_reply),
        T(test_pipelined_input_waits_with_reading_paused),
        T(test_many_pipelined_requests_take_turns),
        T(test_paused_body_waits),
        T(test_pause_from_inside_an_event),
        T(test_send_watermarks_follow_the_transport),
        T(test_a_blocked_transport_does_not_hold_up_what_comes),
        T(test_upgrade_becomes_a_tunnel),
        T(test_tunnel_closed_by_the_client_first),
        T(test_refused_upgrade_ends_the_connection),
        T(test_switching_protocols_must_be_asked_for),
        T(test_accounts_for_bytes),
        T(test_body_is_passed_without_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
