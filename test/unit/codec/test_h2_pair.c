/* codec/h2_server.c and h2_client.c against each other: what one end sends is what the other hears, however the bytes are
 * cut, and no window is overrun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* also the name of an operation of codecs */
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/limits.h"
#include "test/unit/support/h2_harness.h"

struct pair {
    struct weir_worker *w;
    struct weir_codec_config config;
    struct peer client, server;
};

static struct pair *pair_with(void (*adjust)(struct weir_codec_config *config))
{
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->w = worker_by_hand();
    p->config = config_by_default();
    if (adjust != NULL) adjust(&p->config);
    peer_init(&p->client, p->w, &p->config, false);
    peer_init(&p->server, p->w, &p->config, true);
    return p;
}

static int setup(void **state)
{
    *state = pair_with(NULL);
    return 0;
}

static void pair_free(struct pair *p)
{
    peer_free(&p->client);
    peer_free(&p->server);
    worker_by_hand_free(p->w);
    free(p);
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

static void go(struct pair *p)
{
    exchange(&p->client, &p->server, 0, NULL);
}

static struct stream_record *request(struct pair *p, bool end, const char *const *fields)
{
    struct stream_record *r = peer_open(&p->client);
    assert_non_null(r);
    assert_int_equal(send_headers(r, end, fields), WEIR_OK);
    return r;
}

#define GET LIST(":authority", "a.test", ":path", "/x", ":method", "GET", ":scheme", "http", "x-a", "b")

static void test_a_request_and_its_answer(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    assert_int_equal(p->server.count, 1);
    struct stream_record *s = p->server.streams[0];
    assert_string_equal(s->log.p, "H[:authority=a.test :path=/x :method=GET :scheme=http x-a=b]!");
    assert_int_equal(s->s->protocol, WEIR_HTTP2);
    assert_true(s->s->header_bytes_rx > 9 && s->s->wire_bytes_rx == s->s->header_bytes_rx);
    assert_int_equal(send_headers(s, false, LIST(":status", "200", "content-length", "5")), WEIR_OK);
    send_body(s, "hello", true);
    go(p);
    assert_string_equal(s->log.p, "H[:authority=a.test :path=/x :method=GET :scheme=http x-a=b]!X(NONE)");
    assert_string_equal(r->log.p, "H[:status=200 content-length=5]D!X(NONE)");
    assert_string_equal(r->body.p, "hello");
    assert_true(weir_codec_idle(p->client.codec));
    assert_true(weir_codec_idle(p->server.codec));
}

static void test_trailers_both_ways(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, GET);
    send_body(r, "up", false);
    send_trailers(r, LIST("x-up", "1"));
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_string_equal(s->log.p, "H[:authority=a.test :path=/x :method=GET :scheme=http x-a=b]DT[x-up=1]!");
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]");
    send_body(s, "down", false);
    go(p);
    send_trailers(s, LIST("grpc-status", "0"));
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]DT[grpc-status=0]!X(NONE)");
}

static void test_trailers_only_and_trailers_without_body(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET), *q = request(p, true, GET);
    go(p);
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "200", "grpc-status", "5")), WEIR_OK);
    assert_int_equal(send_headers(p->server.streams[1], false, LIST(":status", "200")), WEIR_OK);
    send_trailers(p->server.streams[1], LIST("grpc-status", "0"));
    go(p);
    assert_string_equal(r->log.p, "H[:status=200 grpc-status=5]!X(NONE)");
    assert_string_equal(q->log.p, "H[:status=200]T[grpc-status=0]!X(NONE)");
}

static void test_informational_responses(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    struct stream_record *s = p->server.streams[0];
    send_informational(s, LIST(":status", "100"));
    send_informational(s, LIST(":status", "103", "link", "</a>"));
    go(p);
    assert_string_equal(r->log.p, "I[:status=100]I[:status=103 link=</a>]");
    assert_int_equal(send_headers(s, true, LIST(":status", "204")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "I[:status=100]I[:status=103 link=</a>]H[:status=204]!X(NONE)");
}

static void test_head_and_304_with_a_length(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, LIST(":method", "HEAD", ":authority", "a", ":path", "/", ":scheme", "http"));
    struct stream_record *q = request(p, true, GET);
    go(p);
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "200", "content-length", "100")), WEIR_OK);
    assert_int_equal(send_headers(p->server.streams[1], true, LIST(":status", "304", "content-length", "100")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200 content-length=100]!X(NONE)");
    assert_string_equal(q->log.p, "H[:status=304 content-length=100]!X(NONE)");
}

static void test_what_belongs_to_http1_stays_there(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, LIST(":method", "GET", ":path", "/", "host", "h.test", "connection", "close",
                                                    "keep-alive", "5", "te", "gzip", "transfer-encoding", "chunked", "x-a", "b"));
    (void)r;
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_string_equal(s->log.p, "H[:method=GET :path=/ :authority=h.test :scheme=http x-a=b]!");
    assert_int_equal(send_headers(s, true, LIST(":status", "200", "connection", "close", "transfer-encoding", "chunked")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]!X(NONE)");
}

static void test_a_heads_problems_are_told_to_the_caller(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = peer_open(&p->client);
    assert_int_equal(send_headers(r, true, LIST("x", "y")), WEIR_ERR_INVALID);
    assert_int_equal(send_headers(r, true, GET), WEIR_OK);
    go(p);
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "20")), WEIR_ERR_INVALID);
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]!X(NONE)");
}

static void test_very_long_headers_go_in_continuation(void **state)
{
    (void)state;
    struct pair *p = pair_with(NULL);
    char *value = malloc(50001);
    assert_non_null(value);
    memset(value, 'v', 50000);
    value[50000] = '\0';
    struct stream_record *r = request(p, true, LIST(GET_ROOT, "x-a", value));
    go(p);
    assert_int_equal(p->server.streams[0]->headers->at[4].value.n, 50000);
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "200", "x-b", value)), WEIR_OK);
    go(p);
    assert_int_equal(r->headers->at[1].value.n, 50000);
    assert_true(r->ended);
    free(value);
    pair_free(p);
}

/* ---- tunnels ---- */

static void allow_connect(struct weir_codec_config *config)
{
    config->h2_allow_connect = true;
}

static void test_a_web_socket_through_both(void **state)
{
    (void)state;
    struct pair *p = pair_with(allow_connect);
    /* Asked before the server's SETTINGS are here: it waits for them. */
    struct stream_record *r = request(p, false, LIST(":method", "GET", ":authority", "a", ":path", "/chat", ":scheme", "http",
                                                     "upgrade", "websocket", "sec-websocket-version", "13"));
    send_body(r, "early ", false);
    go(p);
    assert_int_equal(p->server.count, 1);
    struct stream_record *s = p->server.streams[0];
    assert_string_equal(s->log.p,
                        "H[:method=GET :authority=a :path=/chat :scheme=http sec-websocket-version=13 upgrade=websocket]D");
    assert_int_equal(send_headers(s, false, LIST(":status", "101", "upgrade", "websocket", "sec-websocket-accept", "x")), WEIR_OK);
    send_body(s, "down", false);
    send_body(r, "up", false);
    go(p);
    assert_string_equal(r->log.p, "H[:status=101 sec-websocket-accept=x upgrade=websocket]D");
    assert_string_equal(s->body.p, "early up");
    send_body(s, "", true);
    go(p);
    send_body(r, "last", true);
    go(p);
    assert_string_equal(s->body.p, "early uplast");
    assert_non_null(strstr(s->log.p, "D!X(NONE)"));
    assert_non_null(strstr(r->log.p, "D!X(NONE)"));
    pair_free(p);
}

static void test_an_upgrade_that_the_peer_does_not_know(void **state)
{
    struct pair *p = *state;
    struct stream_record *early = request(p, false, LIST(":method", "GET", ":authority", "a", ":path", "/", "upgrade", "websocket"));
    go(p);
    assert_string_equal(early->log.p, "X(PROTOCOL http2.extended_connect_not_enabled)");
    struct stream_record *late = peer_open(&p->client);
    assert_int_equal(send_headers(late, false, LIST(":method", "GET", ":authority", "a", ":path", "/", "upgrade", "websocket")),
                     WEIR_ERR_UNSUPPORTED);
    stream_reset(late, WEIR_RESET_LOCAL);
    go(p);
    assert_int_equal(p->server.count, 0);
    assert_int_equal(p->client.codec->active_streams, 0);
}

static void test_a_connect_tunnel(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, LIST(":method", "CONNECT", ":authority", "db.test:5432", ":scheme", "http"));
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_string_equal(s->log.p, "H[:method=CONNECT :authority=db.test:5432]");
    assert_int_equal(send_headers(s, false, LIST(":status", "200", "content-length", "7")), WEIR_OK);
    send_body(r, "ping", true);
    send_body(s, "pong pong pong", false);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]D");
    assert_string_equal(s->body.p, "ping");
    send_body(s, "", true);
    go(p);
    assert_string_equal(r->body.p, "pong pong pong");
    assert_non_null(strstr(r->log.p, "D!X(NONE)"));
}

/* ---- resets and the end of connections ---- */

static void test_resets_say_why(void **state)
{
    struct pair *p = *state;
    static const struct {
        enum weir_reset by_client, by_server;
        const char *heard;
    } rows[] = {
        {WEIR_RESET_LOCAL, WEIR_RESET_NONE, "X(REMOTE http2.remote_reset)"},
        {WEIR_RESET_LOCAL_REFUSED, WEIR_RESET_NONE, "X(REMOTE_REFUSED http2.remote_refuse)"},
        {WEIR_RESET_CONNECT, WEIR_RESET_NONE, "X(CONNECT http2.remote_reset)"},
        {WEIR_RESET_NONE, WEIR_RESET_LOCAL, "X(REMOTE http2.remote_reset)"},
        {WEIR_RESET_NONE, WEIR_RESET_LOCAL_REFUSED, "X(REMOTE_REFUSED http2.remote_refuse)"},
        {WEIR_RESET_NONE, WEIR_RESET_PROTOCOL, "X(PROTOCOL http2.remote_reset)"},
        {WEIR_RESET_NONE, WEIR_RESET_REMOTE_NO_ERROR, "X(REMOTE_NO_ERROR)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stream_record *r = request(p, false, GET);
        go(p);
        struct stream_record *s = p->server.streams[i];
        if (rows[i].by_client != WEIR_RESET_NONE)
            stream_reset(r, rows[i].by_client);
        else
            stream_reset(s, rows[i].by_server);
        go(p);
        assert_non_null(strstr((rows[i].by_client != WEIR_RESET_NONE ? s : r)->log.p, rows[i].heard));
    }
    assert_int_equal(p->client.codec->active_streams, 0);
    assert_int_equal(p->server.codec->active_streams, 0);
}

static void test_an_answer_before_the_request_has_ended(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, GET);
    send_body(r, "some", false);
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_int_equal(send_headers(s, false, LIST(":status", "413")), WEIR_OK);
    send_body(s, "big", true);
    stream_reset(s, WEIR_RESET_NONE);
    send_body(r, "more", false);
    go(p);
    assert_string_equal(r->log.p, "H[:status=413]D!X(REMOTE_NO_ERROR)");
    assert_string_equal(r->body.p, "big");
    assert_int_equal(p->server.codec->active_streams, 0);
}

static void test_trailers_of_an_answer_before_the_request_has_ended(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, GET);
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    send_body(s, "some", false);
    send_trailers(s, LIST("grpc-status", "8"));
    stream_reset(s, WEIR_RESET_NONE);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]DT[grpc-status=8]!X(REMOTE_NO_ERROR)");
}

static void test_a_reset_before_anything_left(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, GET);
    send_bytes(r, 100000, true);
    stream_reset(r, WEIR_RESET_LOCAL);
    struct stream_record *q = peer_open(&p->client);
    stream_reset(q, WEIR_RESET_LOCAL);
    go(p);
    assert_int_equal(p->client.codec->active_streams, 0);
    assert_int_equal(p->server.codec->active_streams, 0);
    assert_int_equal(weir_codec_capacity(p->client.codec), 1024);
}

static void test_a_server_drains_in_two_steps(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    weir_codec_shutdown(p->server.codec, false);
    struct stream_record *crossing = request(p, true, GET);
    go(p);
    assert_int_equal(p->server.count, 2); /* the request that crossed the notice is served */
    assert_true(p->client.draining);
    assert_null(peer_open(&p->client));
    p->client.count--;
    weir_arena_destroy(p->client.streams[p->client.count]->arena);
    free(p->client.streams[p->client.count]);
    weir_codec_shutdown(p->server.codec, true);
    go(p);
    assert_true(p->server.draining);
    for (int i = 0; i < 2; i++)
        assert_int_equal(send_headers(p->server.streams[i], true, LIST(":status", "200")), WEIR_OK);
    go(p);
    assert_string_equal(r->log.p, "H[:status=200]!X(NONE)");
    assert_string_equal(crossing->log.p, "H[:status=200]!X(NONE)");
    assert_true(weir_codec_idle(p->server.codec));
}

static void test_streams_beyond_the_last_one_may_be_tried_again(void **state)
{
    struct pair *p = *state;
    struct stream_record *first = request(p, true, GET);
    go(p);
    weir_codec_shutdown(p->server.codec, true);
    struct stream_record *late = request(p, false, GET);
    send_body(late, "x", false);
    go(p);
    assert_int_equal(p->server.count, 1);
    assert_string_equal(late->log.p, "X(REMOTE_REFUSED http2.remote_refuse)");
    assert_int_equal(send_headers(p->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    go(p);
    assert_string_equal(first->log.p, "H[:status=200]!X(NONE)");
    assert_false(p->server.failed);
}

static void test_the_transports_end_is_the_streams_end(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, false, GET), *q = peer_open(&p->client);
    go(p);
    weir_codec_input_eof(p->client.codec);
    assert_string_equal(r->log.p, "X(CONNECTION)");
    assert_string_equal(q->log.p, "X(CONNECTION)");
    assert_int_equal(weir_codec_capacity(p->client.codec), 0);
    weir_codec_fail(p->server.codec, WEIR_RESET_CONNECTION, WEIR_STR("downstream_remote_disconnect"));
    assert_non_null(strstr(p->server.streams[0]->log.p, "X(CONNECTION downstream_remote_disconnect)"));
}

static void test_a_whole_response_survives_the_transports_end(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    weir_codec_stream_read_pause(r->s, true);
    assert_int_equal(send_headers(p->server.streams[0], false, LIST(":status", "200")), WEIR_OK);
    send_bytes(p->server.streams[0], 1000, true);
    go(p);
    weir_codec_input_eof(p->client.codec);
    assert_string_equal(r->log.p, "H[:status=200]");
    weir_codec_stream_read_pause(r->s, false);
    assert_true(p->client.wants_output);
    (void)peer_output(&p->client, NULL, NULL);
    assert_string_equal(r->log.p, "H[:status=200]D!X(NONE)");
    assert_int_equal(r->body_bytes, 1000);
}

static void test_a_paused_stream_hears_of_the_transports_end(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    weir_codec_stream_read_pause(r->s, true);
    assert_int_equal(send_headers(p->server.streams[0], false, LIST(":status", "200")), WEIR_OK);
    send_bytes(p->server.streams[0], 1000, true);
    go(p);
    weir_codec_fail(p->client.codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    assert_string_equal(r->log.p, "H[:status=200]D!X(NONE)");
}

static void test_pings(void **state)
{
    struct pair *p = *state;
    weir_codec_ping(p->client.codec);
    weir_codec_ping(p->server.codec);
    go(p);
    assert_int_equal(p->client.pongs, 1);
    assert_int_equal(p->server.pongs, 1);
}

static void four_streams(struct weir_codec_config *config)
{
    config->h2_max_concurrent_streams = 4;
}

static void test_capacity_is_what_both_allow(void **state)
{
    (void)state;
    struct pair *p = pair_with(four_streams);
    go(p);
    assert_int_equal(weir_codec_capacity(p->client.codec), 4);
    for (int i = 0; i < 4; i++)
        (void)request(p, true, GET);
    assert_int_equal(weir_codec_capacity(p->client.codec), 0);
    go(p);
    assert_int_equal(p->server.count, 4);
    uint32_t before = p->client.capacity_events;
    assert_int_equal(send_headers(p->server.streams[1], true, LIST(":status", "200")), WEIR_OK);
    go(p);
    assert_true(p->client.capacity_events > before);
    assert_int_equal(weir_codec_capacity(p->client.codec), 1);
    pair_free(p);
}

/* ---- flow control ---- */

static void small_windows(struct weir_codec_config *config)
{
    config->h2_stream_window = 100000;
    config->h2_connection_window = 150000;
    config->stream_high_water = 50000;
    config->stream_low_water = 20000;
}

static void test_a_paused_reader_gets_no_more_than_the_window(void **state)
{
    (void)state;
    struct pair *p = pair_with(small_windows);
    struct stream_record *r = request(p, true, GET), *q = request(p, true, GET);
    r->keep_body = q->keep_body = false;
    go(p);
    struct stream_record *s = p->server.streams[0], *t = p->server.streams[1];
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    assert_int_equal(send_headers(t, false, LIST(":status", "200")), WEIR_OK);
    go(p);
    weir_codec_stream_read_pause(r->s, true);
    send_bytes(s, 1000000, true);
    go(p);
    assert_int_equal(r->body_bytes, 0);
    assert_int_equal(weir_codec_stream_send_queued(s->s), 1000000 - 100000);
    assert_non_null(strstr(s->log.p, "!B"));
    assert_null(strstr(s->log.p, "R"));
    /* What is left of the connection's window serves the others as long as they read. */
    send_bytes(t, 1000000, true);
    go(p);
    assert_int_equal(q->body_bytes, 1000000);
    assert_true(q->ended);
    weir_codec_stream_read_pause(r->s, false);
    go(p);
    assert_int_equal(r->body_bytes, 1000000);
    assert_true(r->ended);
    assert_non_null(strstr(s->log.p, "X(NONE)"));
    pair_free(p);
}

static void test_paused_readers_hold_the_connection_together(void **state)
{
    (void)state;
    struct pair *p = pair_with(small_windows);
    struct stream_record *r = request(p, true, GET), *q = request(p, true, GET);
    go(p);
    struct stream_record *const s[2] = {p->server.streams[0], p->server.streams[1]};
    for (int i = 0; i < 2; i++)
        assert_int_equal(send_headers(s[i], false, LIST(":status", "200")), WEIR_OK);
    go(p);
    weir_codec_stream_read_pause(r->s, true);
    weir_codec_stream_read_pause(q->s, true);
    for (int i = 0; i < 2; i++)
        send_bytes(s[i], 200000, true);
    go(p);
    size_t left = weir_codec_stream_send_queued(s[0]->s) + weir_codec_stream_send_queued(s[1]->s);
    assert_int_equal(left, 400000 - 150000);
    /* A reader that gives up gives its part of the window back. */
    stream_reset(r, WEIR_RESET_LOCAL);
    weir_codec_stream_read_pause(q->s, false);
    go(p);
    assert_int_equal(q->body_bytes, 200000);
    struct stream_record *more = request(p, true, GET);
    go(p);
    assert_int_equal(send_headers(p->server.streams[2], false, LIST(":status", "200")), WEIR_OK);
    send_bytes(p->server.streams[2], 1000000, true);
    go(p);
    assert_int_equal(more->body_bytes, 1000000);
    pair_free(p);
}

static void test_a_blocked_transport_gets_nothing(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    struct stream_record *s = p->server.streams[0];
    weir_codec_transport_blocked(p->server.codec, true);
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    send_bytes(s, 300000, false);
    go(p);
    assert_null(r->log.p);
    assert_non_null(strstr(s->log.p, "!B"));
    weir_codec_transport_blocked(p->server.codec, false);
    assert_true(p->server.wants_output);
    go(p);
    assert_int_equal(r->body_bytes, 300000);
    assert_non_null(strstr(s->log.p, "BR"));
}

/* However little each stream has: together they have much. */
static void test_streams_of_a_blocked_transport_are_blocked(void **state)
{
    struct pair *p = *state;
    struct stream_record *a = request(p, true, GET), *b = request(p, true, GET), *idle = request(p, true, GET);
    go(p);
    struct stream_record *first = p->server.streams[0], *second = p->server.streams[1], *quiet = p->server.streams[2];
    assert_int_equal(send_headers(first, false, LIST(":status", "200")), WEIR_OK);
    assert_int_equal(send_headers(second, false, LIST(":status", "200")), WEIR_OK);
    go(p);
    send_bytes(first, 1, false);
    weir_codec_transport_blocked(p->server.codec, true);
    assert_non_null(strstr(first->log.p, "!B"));
    assert_null(strstr(second->log.p, "B"));
    send_bytes(second, 1, false);
    go(p);
    assert_non_null(strstr(second->log.p, "!B"));
    assert_int_equal(a->body_bytes + b->body_bytes, 0);
    weir_codec_transport_blocked(p->server.codec, false);
    assert_non_null(strstr(first->log.p, "!BR"));
    assert_non_null(strstr(second->log.p, "!BR"));
    assert_null(strstr(quiet->log.p, "B"));
    assert_null(idle->log.p);
    go(p);
    assert_int_equal(a->body_bytes, 1);
    assert_int_equal(b->body_bytes, 1);
}

static void test_one_call_yields_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    struct pair *p = pair_with(NULL);
    p->config.h2_stream_window = 8000000;
    p->config.h2_connection_window = 8000000;
    peer_free(&p->client);
    peer_init(&p->client, p->w, &p->config, false);
    struct stream_record *r = request(p, true, GET);
    r->keep_body = false;
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    send_bytes(s, 4000000, true);
    struct weir_buffer b;
    weir_buffer_init(&b);
    p->server.wants_output = false;
    weir_codec_output(p->server.codec, &b);
    assert_in_range(b.bytes, WEIR_H2_OUTPUT_BYTES_MAX, WEIR_H2_OUTPUT_BYTES_MAX + 20000);
    assert_true(p->server.wants_output);
    for (uint32_t i = 0; i < b.count; i++) {
        const struct weir_slice *slice = weir_buffer_slice(&b, i);
        peer_input(&p->client, slice->p, slice->n, 0, NULL);
    }
    weir_buffer_deinit(&b);
    go(p);
    assert_int_equal(r->body_bytes, 4000000);
    pair_free(p);
}

static void test_many_answers_leave_side_by_side(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 100; i++)
        (void)request(p, true, GET);
    go(p);
    assert_int_equal(p->server.count, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(send_headers(p->server.streams[i], false, LIST(":status", "200", "content-length", "12")), WEIR_OK);
        send_body(p->server.streams[i], "hello world\n", true);
    }
    struct weir_buffer b;
    weir_buffer_init(&b);
    p->server.wants_output = false;
    weir_codec_output(p->server.codec, &b);
    assert_int_equal(b.count, 1); /* one slice, one system call */
    peer_input(&p->client, weir_buffer_slice(&b, 0)->p, b.bytes, 0, NULL);
    weir_buffer_deinit(&b);
    for (int i = 0; i < 100; i++) {
        assert_string_equal(p->client.streams[i]->log.p, "H[:status=200 content-length=12]D!X(NONE)");
        assert_string_equal(p->server.streams[i]->log.p + p->server.streams[i]->log.n - 7, "X(NONE)");
    }
}

static void test_large_bodies_are_not_copied(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    (void)r;
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    struct weir_block *block = weir_block_create(&p->w->blocks, 16384);
    memset(block->data, 'x', 16384);
    struct weir_buffer data, b;
    weir_buffer_init(&data);
    weir_buffer_push(&data, (struct weir_slice){block->data, 16384, block});
    weir_codec_stream_send_data(s->s, &data, true);
    weir_buffer_init(&b);
    p->server.wants_output = false;
    weir_codec_output(p->server.codec, &b);
    bool found = false;
    for (uint32_t i = 0; i < b.count; i++)
        found |= weir_buffer_slice(&b, i)->p == block->data && weir_buffer_slice(&b, i)->n == 16384;
    assert_true(found);
    weir_buffer_deinit(&b);
}

static void test_small_pieces_that_wait_do_not_hold_their_blocks(void **state)
{
    struct pair *p = *state;
    struct stream_record *r = request(p, true, GET);
    go(p);
    struct stream_record *s = p->server.streams[0];
    assert_int_equal(send_headers(s, false, LIST(":status", "200")), WEIR_OK);
    go(p);
    weir_codec_stream_read_pause(r->s, true);
    weir_codec_transport_blocked(p->server.codec, true);
    for (int i = 0; i < 20000; i++) {
        struct weir_block *block = weir_block_create(&p->w->blocks, 0);
        block->data[0] = 'x';
        struct weir_buffer data;
        weir_buffer_init(&data);
        weir_buffer_push(&data, (struct weir_slice){block->data, 1, block});
        weir_codec_stream_send_data(s->s, &data, false);
    }
    (void)peer_output(&p->server, NULL, NULL);
    /* The first block's worth moves by reference; the rest is copied together. */
    assert_true(p->w->blocks.live < WEIR_BLOCK_BYTES + 10);
    weir_codec_transport_blocked(p->server.codec, false);
    exchange(&p->client, &p->server, 10, NULL);
    assert_true(p->w->blocks.live < 300);
    weir_codec_stream_read_pause(r->s, false);
    go(p);
    assert_int_equal(r->body_bytes, 20000);
}

/* ---- cuts ---- */

static void answer(struct stream_record *r, bool end)
{
    (void)end;
    const struct weir_header *x = weir_headers_find_name(r->headers, WEIR_STR("x-number"));
    assert_non_null(x);
    assert_int_equal(send_headers(r, false, LIST(":status", "200", "x-number", x->value.p)), WEIR_OK);
}

static void echo_end(struct stream_record *r)
{
    if (r->body_bytes % 2 == 0)
        send_trailers(r, LIST("x-checked", "yes"));
    else
        send_body(r, "", true);
}

static void echo(struct stream_record *r, struct weir_buffer *data)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_move(&b, data);
    weir_codec_stream_send_data(r->s, &b, false);
    weir_buffer_deinit(&b);
}

/* The same talk, cut in another way each time; what each stream hears must be the same. */
static void talk(size_t piece, struct weir_random *random, struct text *heard)
{
    struct pair *p = pair_with(small_windows);
    p->server.on_headers = answer;
    p->server.on_body = echo;
    p->server.on_end = echo_end;
    for (size_t i = 0; i < 100; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%zu", i);
        struct stream_record *r = request(p, i % 3 == 0, LIST(GET_ROOT, "x-number", number));
        r->keep_body = false;
        if (i % 3 == 0) continue;
        send_bytes(r, i * 331, false);
        if (i % 3 == 1)
            send_trailers(r, LIST("x-last", "1"));
        else
            send_bytes(r, i, true);
    }
    exchange(&p->client, &p->server, piece, random);
    for (size_t i = 0; i < 100; i++) {
        struct stream_record *r = p->client.streams[i];
        /* Where watermarks are passed depends on the pieces. */
        for (size_t k = 0; k < r->log.n; k++) {
            char c = r->log.p[k];
            bool again = c == 'D' && heard->n != 0 && heard->p[heard->n - 1] == 'D';
            if (c != 'B' && c != 'R' && !again) text_add_bytes(heard, &c, 1);
        }
        text_add(heard, " %u\n", (unsigned)r->body_bytes);
    }
    assert_true(weir_codec_idle(p->client.codec) && weir_codec_idle(p->server.codec));
    pair_free(p);
}

static void test_cuts_change_nothing(void **state)
{
    (void)state;
    struct text want = {0};
    talk(0, NULL, &want);
    assert_non_null(strstr(want.p, "X(NONE)"));
    assert_null(strstr(want.p, "X(P"));
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct weir_random random;
        weir_random_seed(&random, seed);
        struct text heard = {0};
        talk(seed == 0 ? 1 : 1u << (2 * seed), seed == 0 ? NULL : &random, &heard);
        assert_string_equal(heard.p, want.p);
        text_free(&heard);
    }
    text_free(&want);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_request_and_its_answer),
        T(test_trailers_both_ways),
        T(test_trailers_only_and_trailers_without_body),
        T(test_informational_responses),
        T(test_head_and_304_with_a_length),
        T(test_what_belongs_to_http1_stays_there),
        T(test_a_heads_problems_are_told_to_the_caller),
        cmocka_unit_test(test_very_long_headers_go_in_continuation),
        cmocka_unit_test(test_a_web_socket_through_both),
        T(test_an_upgrade_that_the_peer_does_not_know),
        T(test_a_connect_tunnel),
        T(test_resets_say_why),
        T(test_an_answer_before_the_request_has_ended),
        T(test_trailers_of_an_answer_before_the_request_has_ended),
        T(test_a_reset_before_anything_left),
        T(test_a_server_drains_in_two_steps),
        T(test_streams_beyond_the_last_one_may_be_tried_again),
        T(test_the_transports_end_is_the_streams_end),
        T(test_a_whole_response_survives_the_transports_end),
        T(test_a_paused_stream_hears_of_the_transports_end),
        T(test_pings),
        cmocka_unit_test(test_capacity_is_what_both_allow),
        cmocka_unit_test(test_a_paused_reader_gets_no_more_than_the_window),
        cmocka_unit_test(test_paused_readers_hold_the_connection_together),
        T(test_a_blocked_transport_gets_nothing),
        T(test_streams_of_a_blocked_transport_are_blocked),
        cmocka_unit_test(test_one_call_yields_a_bounded_number_of_bytes),
        T(test_many_answers_leave_side_by_side),
        T(test_large_bodies_are_not_copied),
        T(test_small_pieces_that_wait_do_not_hold_their_blocks),
        cmocka_unit_test(test_cuts_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
