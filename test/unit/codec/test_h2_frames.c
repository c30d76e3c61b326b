/* codec/h2_guard.c, h2_receive.c: frames that may not come where they come, and too many of those that may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dataplane/limits.h"
#include "test/unit/support/h2_harness.h"

struct connection {
    struct weir_worker *w;
    struct weir_codec_config config;
    struct peer server;
    struct wire wire;
    struct wire_reader reader;
    struct text out;
};

static int setup(void **state)
{
    struct connection *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->w = worker_by_hand();
    c->config = config_by_default();
    peer_init(&c->server, c->w, &c->config, true);
    wire_preface(&c->wire);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct connection *c = *state;
    peer_free(&c->server);
    wire_free(&c->wire);
    wire_reader_free(&c->reader);
    text_free(&c->out);
    worker_by_hand_free(c->w);
    free(c);
    return 0;
}

static void talk(struct connection *c)
{
    peer_input_wire(&c->server, &c->wire);
    wire_free(&c->wire);
    (void)peer_output(&c->server, &c->reader, &c->out);
}

static void assert_out(const struct connection *c, const char *want)
{
    assert_string_equal(c->out.p != NULL ? c->out.p : "", want);
}

static void test_settings_as_announced(void **state)
{
    struct connection *c = *state;
    c->reader.all = true;
    talk(c);
    assert_out(c, "SETTINGS(1=4096 3=1024 4=262144 8=0) SETTINGS(ACK) WINDOW_UPDATE(0 983041) ");
}

static void test_a_bad_preface_gets_no_byte(void **state)
{
    struct connection *c = *state;
    wire_free(&c->wire);
    wire_bytes(&c->wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "");
    assert_int_equal(c->server.count, 0);
}

static void test_the_first_frame_must_be_settings(void **state)
{
    struct connection *c = *state;
    wire_free(&c->wire);
    wire_bytes(&c->wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 1) ");
}

static void test_data_on_an_idle_stream(void **state)
{
    struct connection *c = *state;
    wire_data(&c->wire, 1, false, "x");
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 1) ");
}

static void test_a_frame_beyond_the_size_limit(void **state)
{
    struct connection *c = *state;
    char *big = calloc(1, 16385);
    wire_frame(&c->wire, DATA, 0, 1, big, 16385);
    free(big);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 6) ");
}

static void test_an_even_stream_id(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 2, true, LIST(GET_ROOT));
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 1) ");
    assert_int_equal(c->server.count, 0);
}

static void test_headers_on_stream_zero(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 0, true, LIST(GET_ROOT));
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 1) ");
}

static void test_a_window_update_of_nothing(void **state)
{
    struct connection *c = *state;
    wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 0, 0);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(0 1) ");
}

static void test_a_window_update_of_nothing_on_a_stream_resets_it(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    talk(c);
    wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 1, 0);
    talk(c);
    /* What exactly nghttp2 makes of it is its matter: the stream or the connection ends. */
    assert_null(c->server.streams[0]->s);
    assert_non_null(strstr(c->server.streams[0]->log.p, "X(PROTOCOL"));
}

static void test_a_window_beyond_its_maximum_resets_the_stream(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 1, 0x7fffffff);
    talk(c);
    assert_out(c, "RST(1 3) ");
    assert_string_equal(c->server.streams[0]->log.p,
                        "H[:method=GET :scheme=http :authority=a.test :path=/]X(PROTOCOL http2.remote_reset)");
    assert_false(c->server.failed);
}

static void test_bad_hpack_ends_the_connection(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    wire_frame(&c->wire, HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 3, "\xff\xff\xff\xff\xff\xff\xff", 7);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(3 9) ");
    for (size_t i = 0; i < c->server.count; i++)
        assert_non_null(strstr(c->server.streams[i]->log.p, "X(PROTOCOL codec_error:The_user_callback_function_failed)"));
}

static void test_one_field_larger_than_64_kib_ends_the_connection(void **state)
{
    struct connection *c = *state;
    char *value = malloc(66001);
    assert_non_null(value);
    memset(value, 'x', 66000);
    value[66000] = '\0';
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT, "x-a", value));
    free(value);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(1 9) ");
}

/* RFC 9113 5.1.1: ids grow. What was skipped is closed for ever. */
static void test_headers_on_a_stream_id_that_was_skipped(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 5, true, LIST(GET_ROOT));
    wire_headers(&c->wire, 11, true, LIST(GET_ROOT));
    talk(c);
    assert_int_equal(c->server.count, 2);
    wire_headers(&c->wire, 7, true, LIST(GET_ROOT));
    talk(c);
    assert_true(c->server.failed);
    assert_int_equal(c->server.count, 2);
    assert_out(c, "GOAWAY(11 1) ");
}

static void test_headers_on_a_stream_that_ended(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    assert_int_equal(send_headers(c->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    talk(c);
    assert_null(c->server.streams[0]->s);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "HEADERS(1 ES)[:status=200] GOAWAY(1 5) ");
}

static void test_data_on_a_half_closed_stream(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    wire_data(&c->wire, 1, false, "x");
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(1 5) ");
}

static void test_data_on_a_stream_that_ended(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    assert_int_equal(send_headers(c->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    talk(c);
    wire_data(&c->wire, 1, true, "x");
    talk(c);
    assert_true(c->server.failed);
    assert_non_null(strstr(c->out.p, "GOAWAY(1 5) "));
}

static void test_frames_after_the_peers_own_reset(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_u32_frame(&c->wire, RST_STREAM, 0, 1, 8);
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "X(REMOTE http2.remote_reset)");
    wire_data(&c->wire, 1, true, "x");
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(1 5) ");
}

static void test_frames_after_our_reset_are_no_fault(void **state)
{
    struct connection *c = *state;
    for (uint32_t i = 0; i < 100; i++)
        wire_headers(&c->wire, 1 + 2 * i, false, LIST(GET_ROOT));
    talk(c);
    for (uint32_t i = 0; i < 100; i++)
        stream_reset(c->server.streams[i], WEIR_RESET_LOCAL);
    talk(c);
    for (uint32_t i = 0; i < 100; i++) {
        wire_data(&c->wire, 1 + 2 * i, false, "late");
        wire_headers(&c->wire, 1 + 2 * i, true, LIST("x-late", "1"));
    }
    talk(c);
    assert_false(c->server.failed);
    wire_headers(&c->wire, 201, true, LIST(GET_ROOT)); /* HPACK's state is whole */
    talk(c);
    assert_true(c->server.streams[100]->ended);
}

static void test_reset_codes_as_told(void **state)
{
    struct connection *c = *state;
    static const struct {
        uint32_t code;
        const char *log;
    } codes[] = {
        {0, "X(REMOTE http2.remote_reset)"},
        {1, "X(PROTOCOL http2.remote_reset)"},
        {2, "X(REMOTE http2.remote_reset)"},
        {7, "X(REMOTE_REFUSED http2.remote_refuse)"},
        {8, "X(REMOTE http2.remote_reset)"},
        {10, "X(CONNECT http2.remote_reset)"},
        {4711, "X(REMOTE http2.remote_reset)"},
    };
    for (uint32_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        wire_headers(&c->wire, 1 + 2 * i, false, LIST(GET_ROOT));
        talk(c);
        wire_u32_frame(&c->wire, RST_STREAM, 0, 1 + 2 * i, codes[i].code);
        talk(c);
        assert_non_null(strstr(c->server.streams[i]->log.p, codes[i].log));
    }
    assert_false(c->server.failed);
}

static void test_streams_beyond_the_limit_are_refused(void **state)
{
    struct connection *c = *state;
    peer_free(&c->server);
    c->config.h2_max_concurrent_streams = 2;
    peer_init(&c->server, c->w, &c->config, true);
    c->reader.all = true;
    wire_frame(&c->wire, SETTINGS, FLAG_ACK, 0, NULL, 0);
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_headers(&c->wire, 3, false, LIST(GET_ROOT, "x-a", "1"));
    wire_headers(&c->wire, 5, false, LIST(GET_ROOT));
    wire_data(&c->wire, 5, true, "what comes on it is ignored");
    talk(c);
    assert_int_equal(c->server.count, 2);
    assert_out(c, "SETTINGS(1=4096 3=2 4=262144 8=0) SETTINGS(ACK) WINDOW_UPDATE(0 983041) RST(5 7) ");
    assert_int_equal(send_headers(c->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    stream_reset(c->server.streams[0], WEIR_RESET_NONE);
    talk(c);
    wire_headers(&c->wire, 7, true, LIST(GET_ROOT));
    talk(c);
    assert_int_equal(c->server.count, 3);
    assert_false(c->server.failed);
}

/* ---- floods ---- */

static void test_a_second_empty_data_frame(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_data(&c->wire, 1, false, "");
    wire_data(&c->wire, 1, false, "x");
    wire_frame(&c->wire, DATA, FLAG_PADDED, 1, "\3\0\0\0", 4);
    talk(c);
    assert_false(c->server.failed);
    wire_data(&c->wire, 1, false, "");
    wire_data(&c->wire, 1, false, "x");
    talk(c);
    assert_true(c->server.failed);
    assert_string_equal(c->server.error, "http2.inbound_empty_frames_flood");
    assert_non_null(strstr(c->server.streams[0]->log.p, "X(PROTOCOL http2.inbound_empty_frames_flood)"));
    assert_true(c->server.flood);
    assert_true(c->server.streams_cut);
    assert_out(c, "GOAWAY(1 11) ");
}

/* What Envoy counts together: HEADERS and CONTINUATION, too; whatever has a payload ends the run. */
static void test_empty_frames_of_a_head_count_too(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_data(&c->wire, 1, false, "");
    wire_headers(&c->wire, 3, false, LIST(GET_ROOT));
    wire_data(&c->wire, 3, false, "");
    wire_frame(&c->wire, HEADERS, FLAG_END_STREAM, 5, "\x82", 1);
    wire_frame(&c->wire, CONTINUATION, 0, 5, NULL, 0);
    talk(c);
    assert_false(c->server.failed);
    wire_frame(&c->wire, CONTINUATION, 0, 5, NULL, 0);
    talk(c);
    assert_true(c->server.flood);
    assert_string_equal(c->server.error, "http2.inbound_empty_frames_flood");
    assert_string_equal(c->server.streams[2]->log.p, "X(PROTOCOL http2.inbound_empty_frames_flood)");
    assert_out(c, "GOAWAY(5 11) ");
}

static void test_pings_that_are_read_are_answered(void **state)
{
    struct connection *c = *state;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 900; k++)
            wire_frame(&c->wire, PING, 0, 0, "01234567", 8);
        talk(c);
    }
    assert_false(c->server.failed);
    assert_int_equal(c->out.n, 3 * 900 * strlen("PING(ACK) "));
}

static void flood(struct connection *c, uint8_t type, const void *payload, size_t n)
{
    talk(c);
    weir_codec_transport_blocked(c->server.codec, true);
    for (int i = 0; i < 20000 && !c->server.failed; i++) {
        wire_frame(&c->wire, type, 0, 0, payload, n);
        if (i % 100 == 99) talk(c);
    }
    assert_true(c->server.failed);
    weir_codec_transport_blocked(c->server.codec, false);
    talk(c);
    assert_true(c->server.flood);
    assert_false(c->server.streams_cut);
    assert_non_null(strstr(c->out.p, "GOAWAY(0 11) "));
}

static void test_pings_that_nobody_reads_the_answers_of(void **state)
{
    flood(*state, PING, "01234567", 8);
}

static void test_settings_that_nobody_reads_the_answers_of(void **state)
{
    flood(*state, SETTINGS, NULL, 0);
}

static void test_priority_frames(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    for (int i = 0; i < 200; i++)
        wire_frame(&c->wire, PRIORITY, 0, 1, "\0\0\0\0\20", 5);
    talk(c);
    assert_false(c->server.failed);
    wire_frame(&c->wire, PRIORITY, 0, 1, "\0\0\0\0\20", 5);
    talk(c);
    assert_true(c->server.failed);
    assert_out(c, "GOAWAY(1 11) ");
}

static void test_window_updates(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    for (int i = 0; i < 7; i++)
        wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 1, 1);
    talk(c);
    assert_false(c->server.failed);
    /* Each DATA frame sent earns more. */
    assert_int_equal(send_headers(c->server.streams[0], false, LIST(":status", "200")), WEIR_OK);
    send_body(c->server.streams[0], "x", false);
    talk(c);
    for (int i = 0; i < 20; i++)
        wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 1, 1);
    talk(c);
    assert_false(c->server.failed);
    wire_u32_frame(&c->wire, WINDOW_UPDATE, 0, 1, 1);
    talk(c);
    assert_true(c->server.failed);
    assert_true(c->server.flood);
    assert_non_null(strstr(c->out.p, "GOAWAY(1 11) "));
}

static void test_resets_of_streams_without_an_answer(void **state)
{
    struct connection *c = *state;
    for (uint32_t i = 0; i < 300; i++) {
        wire_headers(&c->wire, 1 + 2 * i, true, LIST(GET_ROOT));
        wire_u32_frame(&c->wire, RST_STREAM, 0, 1 + 2 * i, 8);
    }
    talk(c);
    assert_true(c->server.failed);
    assert_string_equal(c->server.error, "http2.too_many_premature_resets");
    assert_int_equal(c->server.count, 250);
    for (size_t i = 0; i < c->server.count; i++)
        assert_string_equal(c->server.streams[i]->log.p, "X(REMOTE http2.remote_reset)");
    assert_out(c, "GOAWAY(499 11) ");
}

static void test_resets_that_we_are_made_to_send_count_too(void **state)
{
    struct connection *c = *state;
    for (uint32_t i = 0; i < 300; i++) {
        wire_headers(&c->wire, 1 + 2 * i, false, LIST(GET_ROOT, "content-length", "1"));
        wire_data(&c->wire, 1 + 2 * i, true, "22");
    }
    talk(c);
    assert_true(c->server.failed);
    assert_string_equal(c->server.error, "http2.too_many_premature_resets");
}

static void test_cancels_of_answered_streams_are_no_flood(void **state)
{
    struct connection *c = *state;
    for (uint32_t i = 0; i < 2000; i++) {
        wire_headers(&c->wire, 1 + 2 * i, true, LIST(GET_ROOT));
        talk(c);
        assert_int_equal(send_headers(c->server.streams[i], false, LIST(":status", "200")), WEIR_OK);
        talk(c);
        wire_u32_frame(&c->wire, RST_STREAM, 0, 1 + 2 * i, 8);
        talk(c);
    }
    assert_false(c->server.failed);
}

static void test_cancels_of_old_streams_are_no_flood(void **state)
{
    struct connection *c = *state;
    for (uint32_t i = 0; i < 600; i++) {
        wire_headers(&c->wire, 1 + 2 * i, true, LIST(GET_ROOT));
        talk(c);
        c->w->now_ns += 2000000000u;
        wire_u32_frame(&c->wire, RST_STREAM, 0, 1 + 2 * i, 8);
        talk(c);
    }
    assert_false(c->server.failed);
}

static void test_continuation_without_end(void **state)
{
    struct connection *c = *state;
    struct text block = {0};
    wire_block(&block, LIST(GET_ROOT));
    wire_frame(&c->wire, HEADERS, 0, 1, block.p, block.n);
    for (int i = 0; i < 100; i++)
        wire_frame(&c->wire, CONTINUATION, 0, 1, NULL, 0);
    text_free(&block);
    talk(c);
    assert_true(c->server.failed);
}

static void test_a_frame_between_headers_and_continuation(void **state)
{
    struct connection *c = *state;
    struct text block = {0};
    wire_block(&block, LIST(GET_ROOT));
    wire_frame(&c->wire, HEADERS, 0, 1, block.p, 10);
    wire_frame(&c->wire, PING, 0, 0, "01234567", 8);
    wire_frame(&c->wire, CONTINUATION, FLAG_END_HEADERS, 1, block.p + 10, block.n - 10);
    text_free(&block);
    talk(c);
    assert_true(c->server.failed);
    assert_non_null(strstr(c->out.p, "GOAWAY(1 1) "));
}

static void test_unknown_frames_are_ignored(void **state)
{
    struct connection *c = *state;
    wire_frame(&c->wire, 0x4d, 4, 0, "\0\1a\1b", 5); /* METADATA */
    wire_frame(&c->wire, 0xee, 0xff, 77, "zzz", 3);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    assert_false(c->server.failed);
    assert_true(c->server.streams[0]->ended);
}

/* RFC 9113 6.8: a client that leaves hears which of its requests are served, and nothing keeps the connection after them. */
static void test_a_client_that_says_goaway_has_its_requests_served(void **state)
{
    struct connection *c = *state;
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    wire_frame(&c->wire, GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0bye", 11);
    wire_frame(&c->wire, PING, 0, 0, "01234567", 8);
    talk(c);
    assert_false(c->server.failed);
    assert_true(c->server.draining);
    assert_false(weir_codec_idle(c->server.codec));
    assert_int_equal(send_headers(c->server.streams[0], true, LIST(":status", "200")), WEIR_OK);
    talk(c);
    assert_out(c, "PING(ACK) GOAWAY(1 0) HEADERS(1 ES)[:status=200] ");
    assert_true(weir_codec_idle(c->server.codec));
}

static void test_a_client_that_says_goaway_at_rest(void **state)
{
    struct connection *c = *state;
    wire_frame(&c->wire, GOAWAY, 0, 0, "\0\0\0\0\0\0\0\xff", 8);
    talk(c);
    assert_false(c->server.failed);
    assert_true(c->server.draining);
    assert_true(weir_codec_idle(c->server.codec));
    assert_out(c, "GOAWAY(0 0) ");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_settings_as_announced),
        T(test_a_bad_preface_gets_no_byte),
        T(test_the_first_frame_must_be_settings),
        T(test_data_on_an_idle_stream),
        T(test_a_frame_beyond_the_size_limit),
        T(test_an_even_stream_id),
        T(test_headers_on_stream_zero),
        T(test_a_window_update_of_nothing),
        T(test_a_window_update_of_nothing_on_a_stream_resets_it),
        T(test_a_window_beyond_its_maximum_resets_the_stream),
        T(test_bad_hpack_ends_the_connection),
        T(test_one_field_larger_than_64_kib_ends_the_connection),
        T(test_headers_on_a_stream_id_that_was_skipped),
        T(test_headers_on_a_stream_that_ended),
        T(test_data_on_a_half_closed_stream),
        T(test_data_on_a_stream_that_ended),
        T(test_frames_after_the_peers_own_reset),
        T(test_frames_after_our_reset_are_no_fault),
        T(test_reset_codes_as_told),
        T(test_streams_beyond_the_limit_are_refused),
        T(test_a_second_empty_data_frame),
        T(test_empty_frames_of_a_head_count_too),
        T(test_pings_that_are_read_are_answered),
        T(test_pings_that_nobody_reads_the_answers_of),
        T(test_settings_that_nobody_reads_the_answers_of),
        T(test_priority_frames),
        T(test_window_updates),
        T(test_resets_of_streams_without_an_answer),
        T(test_resets_that_we_are_made_to_send_count_too),
        T(test_cancels_of_answered_streams_are_no_flood),
        T(test_cancels_of_old_streams_are_no_flood),
        T(test_continuation_without_end),
        T(test_a_frame_between_headers_and_continuation),
        T(test_unknown_frames_are_ignored),
        T(test_a_client_that_says_goaway_has_its_requests_served),
        T(test_a_client_that_says_goaway_at_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
