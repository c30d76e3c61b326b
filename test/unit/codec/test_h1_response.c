/* What the HTTP/1 client sends and how it reads responses: framing, what is refused, reuse, tunnels; responses are also cut at
 * every place. */
#include "test/unit/support/h1_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct h1_harness *start(void)
{
    struct h1_harness *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h1_harness_init(h);
    h->config.header_bytes_max = 81920;
    h1_harness_client(h);
    return h;
}

static int setup(void **state)
{
    *state = start();
    return 0;
}

static int teardown(void **state)
{
    h1_harness_deinit(*state);
    free(*state);
    return 0;
}

static void get(struct h1_harness *h)
{
    h1_open(h);
    h1_send(h, true, ":method: GET", ":path: /", ":authority: a", NULL);
    h1_pull(h);
}

static void head(struct h1_harness *h)
{
    h1_open(h);
    h1_send(h, true, ":method: HEAD", ":path: /", ":authority: a", NULL);
    h1_pull(h);
}

static void upgrade(struct h1_harness *h)
{
    h1_open(h);
    h1_send(h, false, ":method: GET", ":path: /c", ":authority: a", "upgrade: websocket", NULL);
    h1_pull(h);
}

static void run(void (*ask)(struct h1_harness *), const char *p, size_t n, size_t cut, bool eof, bool trailers, struct h1_text *log)
{
    struct h1_harness *h = start();
    h->config.h1_enable_trailers = trailers;
    h->log_connection = true;
    ask(h);
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < n; i++)
            h1_feed(h, p + i, 1);
    } else {
        h1_feed(h, p, cut);
        if (cut < n)
            h1_feed(h, p + cut, n - cut);
    }
    if (eof)
        h1_feed_eof(h);
    h1_text_add(log, h->log.p, h->log.n);
    h1_harness_deinit(h);
    free(h);
}

static void check_n(void (*ask)(struct h1_harness *), const char *p, size_t n, bool eof, bool trailers, const char *expected, int line)
{
    struct h1_text log = {0};
    run(ask, p, n, n, eof, trailers, &log);
    h1_assert_text(&log, expected, __FILE__, line);
    size_t step = n > 4096 ? n / 61 : 1;
    for (size_t at = 1; at < n; at += step) {
        log.n = 0;
        run(ask, p, n, at, eof, trailers, &log);
        h1_assert_text(&log, expected, __FILE__, line);
    }
    log.n = 0;
    run(ask, p, n, SIZE_MAX, eof, trailers, &log);
    h1_assert_text(&log, expected, __FILE__, line);
    free(log.p);
}
#define check(ask, literal, expected) check_n((ask), (literal), sizeof(literal) - 1, false, false, (expected), __LINE__)
#define check_eof(ask, literal, expected) check_n((ask), (literal), sizeof(literal) - 1, true, false, (expected), __LINE__)

static void test_framing(void **state)
{
    (void)state;
    check(get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
          "headers :status=200 content-length=5 x-a=b\ndata hello end\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
          "headers :status=200\ndata hello world end\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "headers end :status=204\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
          "headers end :status=304 content-length=100\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "headers end :status=200 content-length=0\nclosed 0\ncapacity\n");
    check(head, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "headers end :status=200 content-length=100\nclosed 0\ncapacity\n");
    check(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "headers end :status=200\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "headers end :status=200 content-length=0\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 299 \xe2\x82\xac\t x\r\nContent-Length: 0\r\n\r\n",
          "headers end :status=299 content-length=0\nclosed 0\ncapacity\n");
    check(get, "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "headers end :status=999 content-length=0\nclosed 0\ncapacity\n");
    static const char trailers[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n";
    check_n(get, trailers, sizeof trailers - 1, false, true,
            "headers :status=200\ndata ok\ntrailers end grpc-status=0\nclosed 0\ncapacity\n", __LINE__);
}

static void test_connection_that_is_not_kept(void **state)
{
    (void)state;
    check(get, "HTTP/1.1 200 OK\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: a\r\nUpgrade: h2\r\n"
               "TE: trailers\r\nContent-Length: 2\r\n\r\nok",
          "draining\nheaders :status=200 x-hop=1 te=trailers content-length=2\ndata ok end\nclosed 0\n");
    check(get, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
          "draining\nheaders :status=200 content-length=2\ndata ok end\nclosed 0\n");
    check(get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
          "headers :status=200 content-length=2\ndata ok end\nclosed 0\ncapacity\n");
    check_eof(get, "HTTP/1.1 200 OK\r\n\r\n0123456789", "draining\nheaders :status=200\ndata 0123456789 end\nclosed 0\n");
    check_eof(get, "HTTP/1.1 200 OK\r\n\r\n", "draining\nheaders :status=200\ndata  end\nclosed 0\n");
}

static void test_informational_responses(void **state)
{
    (void)state;
    check(get, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
          "informational :status=100\ninformational :status=103 link=</a>\nheaders end :status=200 content-length=0\nclosed 0\n"
          "capacity\n");
    struct h1_harness *h = start();
    get(h);
    for (int i = 0; i < 33; i++)
        h1_feed_text(h, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_non_null(strstr(h->log.p, "closed 7 http1.too_many_headers\nerror 0"));
    h1_harness_deinit(h);
    free(h);
}

#define BROKEN(details) "draining\nclosed 7 " details "\nerror 0 " details "\n"
#define BAD BROKEN("http1.codec_error")

static void test_malformed_responses(void **state)
{
    (void)state;
    check(get, "garbage\r\n\r\n", BAD);
    check(get, "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 999999 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", BAD);
    check(get, "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", BROKEN("http1.invalid_characters"));
    check(get, "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", BROKEN("http1.invalid_characters"));
    check(get, "HTTP/1.1 200 OK\r\nx : a\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
          BROKEN("http1.content_length_and_chunked_not_allowed"));
    check(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", BROKEN("http1.invalid_transfer_encoding"));
    check(get, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", BROKEN("http1.invalid_transfer_encoding"));
    check(get, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", BROKEN("http1.body_disallowed"));
    check(get, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", BAD);
    check(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n",
          "headers :status=200\ndata 0123456789\n" BAD);
}

static void test_limits(void **state)
{
    (void)state;
    char *p = malloc(90000);
    assert_non_null(p);
    size_t n = (size_t)sprintf(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: ");
    memset(p + n, 'a', 82000);
    memcpy(p + n + 82000, "\r\n\r\n", 5);
    check_n(get, p, n + 82004, false, false, BROKEN("http1.headers_too_large"), __LINE__);
    n = (size_t)sprintf(p, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 101; i++)
        n += (size_t)sprintf(p + n, "x: %d\r\n", i);
    n += (size_t)sprintf(p + n, "\r\n");
    check_n(get, p, n, false, false, BROKEN("http1.too_many_headers"), __LINE__);
    free(p);
}

static void test_cut_responses(void **state)
{
    (void)state;
    check_eof(get, "HTTP/1.1 200", "draining\nclosed 7 http1.codec_error\n");
    check_eof(get, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789",
              "headers :status=200 content-length=100\ndata 0123456789\ndraining\nclosed 7 http1.codec_error\n");
    check_eof(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
              "headers :status=200\ndata 0123456789\ndraining\nclosed 7 http1.codec_error\n");
    check_eof(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T",
              "headers :status=200\ndata x\ndraining\nclosed 7 http1.codec_error\n");
    struct h1_harness *h = start();
    get(h);
    h1_feed_eof(h);
    h1_assert_log(h, "closed 6\n");
    h1_harness_deinit(h);
    free(h);
}

static void test_reset_by_the_transport(void **state)
{
    struct h1_harness *h = *state;
    get(h);
    weir_codec_fail(h->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    h1_assert_log(h, "closed 6\n");
}

static void test_reset_by_the_transport_in_a_body(void **state)
{
    struct h1_harness *h = *state;
    get(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    weir_codec_fail(h->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    h1_assert_log(h, "headers :status=200 content-length=100\ndata 0123456789\nclosed 7 http1.codec_error\n");
}

static void test_bytes_after_the_response(void **state)
{
    struct h1_harness *h = *state;
    get(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
    h1_assert_log(h, "headers :status=200 content-length=2\ndata ok end\nclosed 0\nerror 0 http1.codec_error\n");
    assert_true(h->draining);
}

static void test_bytes_at_rest(void **state)
{
    struct h1_harness *h = *state;
    get(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(weir_codec_capacity(h->codec), 1);
    h1_feed_text(h, "HTTP/1.1 408 Request Timeout\r\n");
    assert_true(h->errored && h->draining);
    assert_int_equal(weir_codec_capacity(h->codec), 0);
}

static void test_requests_on_the_wire(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    assert_int_equal(weir_codec_capacity(h->codec), 0);
    h1_send(h, true, ":method: GET", "x-a: 1", ":path: /p?q", ":scheme: http", ":authority: a.test", "host: other", "connection: x",
            "keep-alive: 1", "transfer-encoding: x", "te: trailers", NULL);
    h1_pull(h);
    h1_assert_wire(h, "GET /p?q HTTP/1.1\r\nhost: a.test\r\nx-a: 1\r\nte: trailers\r\n\r\n");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    h1_clear(h);
    h1_open(h);
    h1_send(h, true, ":method: POST", ":path: /", ":authority: a", NULL);
    h1_pull(h);
    h1_assert_wire(h, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    h1_clear(h);
    h1_open(h);
    h1_send(h, false, ":method: GET", ":path: /", ":authority: a", NULL);
    h1_send_bytes(h, "", true);
    h1_pull(h);
    h1_assert_wire(h, "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    h1_clear(h);
    h1_open(h);
    h1_send(h, false, ":method: PUT", ":path: /", ":authority: a", "content-length: 5", NULL);
    h1_send_bytes(h, "hello", true);
    h1_pull(h);
    h1_assert_wire(h, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    h->config.h1_send_absolute_url = true;
    h1_clear(h);
    h1_open(h);
    h1_send(h, true, ":method: GET", ":path: /p", ":scheme: https", ":authority: a", NULL);
    h1_pull(h);
    h1_assert_wire(h, "GET https://a/p HTTP/1.1\r\nhost: a\r\n\r\n");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_false(h->draining);
}

/* What HTTP/2 may carry in pseudo headers must not become a second line here. */
static void test_request_line_injection_is_refused(void **state)
{
    struct h1_harness *h = *state;
    static const struct {
        const char *method, *path, *authority;
    } bad[] = {
        {"GET", "/ HTTP/1.1\r\nx: y", "a"}, {"GET", "/a b", "a"}, {"GET / HTTP/1.1\r\n", "/", "a"}, {"GET", "/", "a\r\nx: y"},
        {"GET", "/", "a b"}, {"", "/", "a"}, {"GET", "", "a"}, {"G ET", "/", "a"}, {"GET", "/\x7f", "a"},
    };
    h1_open(h);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_headers headers;
        weir_headers_init(&headers, h->stream->arena);
        weir_headers_add(&headers, WEIR_H_METHOD, weir_str_of(bad[i].method));
        weir_headers_add(&headers, WEIR_H_PATH, weir_str_of(bad[i].path));
        weir_headers_add(&headers, WEIR_H_AUTHORITY, weir_str_of(bad[i].authority));
        assert_int_equal(weir_codec_stream_send_headers(h->stream, &headers, true), WEIR_ERR_INVALID);
    }
    h1_send(h, true, ":method: GET", ":path: /", ":authority: a", NULL);
    h1_pull(h);
    h1_assert_wire(h, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

static void test_answer_before_the_request_ended(void **state)
{
    struct h1_harness *h = *state;
    h->log_connection = true;
    h1_open(h);
    h1_send(h, false, ":method: POST", ":path: /", ":authority: a", "content-length: 5", NULL);
    h1_pull(h);
    h1_feed_text(h, "HTTP/1.1 413 Big\r\nContent-Length: 3\r\n\r\nbig");
    h1_assert_log(h, "headers :status=413 content-length=3\ndata big end\n");
    weir_codec_stream_reset(h->stream, WEIR_RESET_LOCAL);
    h->stream = NULL;
    h1_assert_log(h, "headers :status=413 content-length=3\ndata big end\ndraining\n");
    assert_int_equal(weir_codec_capacity(h->codec), 0);
    h1_pull(h);
    assert_true(weir_codec_idle(h->codec));
}

static void test_nothing_leaves_of_a_request_that_is_reset_in_the_same_turn(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    h1_send(h, false, ":method: POST", ":path: /", ":authority: a", NULL);
    weir_codec_stream_reset(h->stream, WEIR_RESET_LOCAL);
    h->stream = NULL;
    h1_pull(h);
    h1_assert_wire(h, "");
    assert_true(weir_codec_idle(h->codec));
}

static void test_answer_then_close_before_the_request_ended(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    h1_send(h, false, ":method: POST", ":path: /", ":authority: a", NULL);
    h1_pull(h);
    h1_feed_text(h, "HTTP/1.1 413 Big\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    h1_feed_eof(h);
    h1_assert_log(h, "headers end :status=413 content-length=0\nclosed 0\n");
}

static void test_request_body_that_breaks_its_length(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    h1_send(h, false, ":method: POST", ":path: /", ":authority: a", "content-length: 3", NULL);
    h1_send_bytes(h, "abcGET /smuggled", true);
    h1_pull(h);
    h1_assert_wire(h, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    h1_assert_log(h, "closed 1 http1.body_disallowed\n");
    assert_true(h->draining);
}

static void test_request_trailers(void **state)
{
    struct h1_harness *h = *state;
    h->config.h1_enable_trailers = true;
    h1_open(h);
    h1_send(h, false, ":method: POST", ":path: /", ":authority: a", NULL);
    h1_send_bytes(h, "x", false);
    struct weir_headers trailers;
    weir_headers_init(&trailers, h->stream->arena);
    weir_headers_add_name(&trailers, WEIR_STR("x-t"), WEIR_STR("1"));
    weir_codec_stream_send_trailers(h->stream, &trailers);
    h1_pull(h);
    h1_assert_wire(h, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n");
}

static void test_paused_response_waits(void **state)
{
    struct h1_harness *h = *state;
    h->log_connection = true;
    get(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\n\r\nab");
    weir_codec_stream_read_pause(h->stream, true);
    h1_feed_text(h, "cd");
    h1_feed_eof(h);
    h1_assert_log(h, "draining\nheaders :status=200\ndata ab\npause\n");
    weir_codec_stream_read_pause(h->stream, false);
    h1_pull(h);
    h1_assert_log(h, "draining\nheaders :status=200\ndata ab\npause\ndata cd end\nclosed 0\n");
}

static void test_upgrade(void **state)
{
    struct h1_harness *h = *state;
    upgrade(h);
    h1_send_bytes(h, "too early", false);
    h1_pull(h);
    h1_assert_wire(h, "GET /c HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
    assert_int_equal(weir_codec_stream_send_queued(h->stream), 9);
    h1_clear(h);
    h1_feed_text(h, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi");
    h1_assert_wire(h, "too early");
    h1_send_bytes(h, "bye", true);
    h1_pull(h);
    assert_true(h->write_end);
    h1_feed_eof(h);
    h1_assert_wire(h, "too earlybye");
    h1_assert_log(h, "headers :status=101 upgrade=websocket\ndata hi end\nclosed 0\n");
    assert_true(h->draining);
}

static void test_a_tunnel_goes_on_when_its_far_end_has_said_all(void **state)
{
    struct h1_harness *h = *state;
    upgrade(h);
    h1_pull(h);
    h1_clear(h);
    h1_feed_text(h, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi");
    h1_feed_eof(h);
    h1_assert_log(h, "headers :status=101 upgrade=websocket\ndata hi end\n");
    h1_send_bytes(h, "bye", true);
    h1_pull(h);
    h1_assert_wire(h, "bye");
    assert_true(h->write_end);
    h1_assert_log(h, "headers :status=101 upgrade=websocket\ndata hi end\nclosed 0\n");
}

static void test_refused_upgrade(void **state)
{
    struct h1_harness *h = *state;
    upgrade(h);
    h1_send_bytes(h, "GET /smuggled HTTP/1.1\r\n\r\n", false);
    h1_clear(h);
    h1_feed_text(h, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    h1_assert_wire(h, "");
    h1_assert_log(h, "headers :status=403 content-length=2\ndata no end\nclosed 0\n");
    assert_int_equal(weir_codec_capacity(h->codec), 1);
}

static void test_connect(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    h1_send(h, false, ":method: CONNECT", ":authority: a.test:443", "x-a: 1", NULL);
    h1_pull(h);
    h1_assert_wire(h, "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\nx-a: 1\r\n\r\n");
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n");
    h1_assert_log(h, "closed 7 http1.invalid_transfer_encoding\nerror 0 http1.invalid_transfer_encoding\n");
}

static void test_connect_accepted(void **state)
{
    struct h1_harness *h = *state;
    h1_open(h);
    h1_send(h, false, ":method: CONNECT", ":authority: a.test:443", NULL);
    h1_pull(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more");
    h1_send_bytes(h, "x", true);
    h1_feed_eof(h);
    h1_assert_log(h, "headers :status=200\ndata hello and more end\nclosed 0\n");
}

static void test_max_requests(void **state)
{
    struct h1_harness *h = *state;
    h->config.max_requests_per_connection = 1;
    h->log_connection = true;
    get(h);
    h1_feed_text(h, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    h1_assert_log(h, "draining\nheaders end :status=200 content-length=0\nclosed 0\n");
    assert_int_equal(weir_codec_capacity(h->codec), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_connection_that_is_not_kept),
        cmocka_unit_test(test_informational_responses),
        cmocka_unit_test(test_malformed_responses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cut_responses),
        T(test_reset_by_the_transport),
        T(test_reset_by_the_transport_in_a_body),
        T(test_bytes_after_the_response),
        T(test_bytes_at_rest),
        T(test_requests_on_the_wire),
        T(test_request_line_injection_is_refused),
        T(test_answer_before_the_request_ended),
        T(test_nothing_leaves_of_a_request_that_is_reset_in_the_same_turn),
        T(test_answer_then_close_before_the_request_ended),
        T(test_request_body_that_breaks_its_length),
        T(test_request_trailers),
        T(test_paused_response_waits),
        T(test_upgrade),
        T(test_a_tunnel_goes_on_when_its_far_end_has_said_all),
        T(test_refused_upgrade),
        T(test_connect),
        T(test_connect_accepted),
        T(test_max_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
