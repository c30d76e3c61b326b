/* codec/h2_client.c and what it shares: responses by raw frames, as good and bad upstreams send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/support/h2_harness.h"

struct connection {
    struct weir_worker *w;
    struct weir_codec_config config;
    struct peer client;
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
    peer_init(&c->client, c->w, &c->config, false);
    wire_frame(&c->wire, SETTINGS, 0, 0, NULL, 0);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct connection *c = *state;
    peer_free(&c->client);
    wire_free(&c->wire);
    wire_reader_free(&c->reader);
    text_free(&c->out);
    worker_by_hand_free(c->w);
    free(c);
    return 0;
}

static void talk(struct connection *c)
{
    peer_input_wire(&c->client, &c->wire);
    wire_free(&c->wire);
    (void)peer_output(&c->client, &c->reader, &c->out);
}

static struct stream_record *request(struct connection *c, const char *method)
{
    struct stream_record *r = peer_open(&c->client);
    assert_non_null(r);
    assert_int_equal(send_headers(r, true, LIST(":authority", "a", ":path", "/", ":method", method, ":scheme", "http")), WEIR_OK);
    (void)peer_output(&c->client, &c->reader, &c->out);
    return r;
}

static void test_settings_and_a_request_as_sent(void **state)
{
    struct connection *c = *state;
    c->reader.all = true;
    (void)request(c, "GET");
    talk(c);
    assert_string_equal(c->out.p, "SETTINGS(1=4096 3=1024 4=262144 2=0) WINDOW_UPDATE(0 983041) "
                                  "HEADERS(1 ES)[:authority=a :path=/ :method=GET :scheme=http] SETTINGS(ACK) ");
}

#define REFUSED_FIELD "X(PROTOCOL http2.invalid.header.field)"
#define REFUSED_RULE "X(PROTOCOL http2.violation.of.messaging.rule)"

/* Each ends the upstream connection. */
static const struct {
    const char *name;
    const char *const *fields;
    bool end;
    const char *log;
} bad_heads[] = {
    {"no :status", LIST("x-a", "b"), true, REFUSED_RULE},
    {":status abc", LIST(":status", "abc"), true, REFUSED_FIELD},
    {":status 1000", LIST(":status", "1000"), true, REFUSED_FIELD},
    {":status 099", LIST(":status", "099"), true, REFUSED_FIELD},
    {":status twice", LIST(":status", "200", ":status", "200"), true, REFUSED_FIELD},
    {":status 101", LIST(":status", "101"), false, REFUSED_FIELD},
    {"a request's pseudo header", LIST(":status", "200", ":path", "/"), true, REFUSED_FIELD},
    {"upper-case name", LIST(":status", "200", "X-A", "b"), true, REFUSED_FIELD},
    {"connection", LIST(":status", "200", "connection", "close"), true, REFUSED_FIELD},
    {"transfer-encoding", LIST(":status", "200", "transfer-encoding", "chunked"), false, REFUSED_FIELD},
    {"CR LF in a value", LIST(":status", "200", "x-a", "b\r\nset-cookie: c"), true, REFUSED_FIELD},
    {"two content-lengths", LIST(":status", "200", "content-length", "1", "content-length", "1"), false, REFUSED_FIELD},
    {"204 with a length", LIST(":status", "204", "content-length", "5"), true, REFUSED_FIELD},
    {"1xx that ends", LIST(":status", "100"), true, REFUSED_RULE},
    {"a length without body", LIST(":status", "200", "content-length", "5"), true, REFUSED_RULE},
};

static void test_heads_that_are_none(void **state)
{
    for (size_t i = 0; i < sizeof(bad_heads) / sizeof(bad_heads[0]); i++) {
        print_message("%s\n", bad_heads[i].name);
        struct connection *c = *state;
        struct stream_record *r = request(c, "GET"), *q = request(c, "GET");
        wire_headers(&c->wire, 1, bad_heads[i].end, bad_heads[i].fields);
        talk(c);
        assert_string_equal(r->log.p, bad_heads[i].log);
        assert_string_equal(q->log.p, "X(PROTOCOL codec_error:The_user_callback_function_failed)");
        assert_true(c->client.failed);
        assert_non_null(strstr(c->out.p, "GOAWAY(0 1) "));
        assert_int_equal(weir_codec_capacity(c->client.codec), 0);
        teardown(state);
        setup(state);
    }
}

static void test_the_stream_alone_where_it_is_configured_so(void **state)
{
    struct connection *c = *state;
    c->config.h2_override_stream_error = true;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET");
    wire_headers(&c->wire, 1, true, LIST("x-a", "b"));
    wire_headers(&c->wire, 3, true, LIST(":status", "200"));
    talk(c);
    assert_string_equal(r->log.p, REFUSED_RULE);
    assert_string_equal(q->log.p, "H[:status=200]!X(NONE)");
    assert_non_null(strstr(c->out.p, "RST(1 1) "));
    assert_false(c->client.failed);
}

static void test_limits_of_heads(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET");
    const char *fields[2 * 101 + 1] = {":status", "200"};
    for (int i = 1; i < 101; i++) {
        fields[2 * i] = "x-a";
        fields[2 * i + 1] = "b";
    }
    wire_headers(&c->wire, 1, true, fields);
    char *value = malloc(60001);
    assert_non_null(value);
    memset(value, 'x', 60000);
    value[60000] = '\0';
    wire_headers(&c->wire, 3, true, LIST(":status", "200", "x-a", value, "x-b", "0123456789", value + 58000, "x"));
    free(value);
    talk(c);
    assert_string_equal(r->log.p, "X(REMOTE http2.too_many_headers)");
    assert_string_equal(q->log.p, "X(REMOTE http2.header_list_size_too_large)");
    assert_non_null(strstr(c->out.p, "RST(1 2) RST(3 2) "));
    assert_false(c->client.failed);
}

static void test_bodies_of_another_length(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET"), *h = request(c, "HEAD"), *n = request(c, "GET");
    wire_headers(&c->wire, 1, false, LIST(":status", "200", "content-length", "100"));
    wire_data(&c->wire, 1, true, "0123456789");
    wire_headers(&c->wire, 3, false, LIST(":status", "200", "content-length", "2"));
    wire_data(&c->wire, 3, true, "0123456789");
    wire_headers(&c->wire, 5, false, LIST(":status", "200", "content-length", "2"));
    wire_data(&c->wire, 5, true, "01");
    wire_headers(&c->wire, 7, false, LIST(":status", "304"));
    wire_data(&c->wire, 7, true, "01");
    talk(c);
    assert_string_equal(r->log.p, "H[:status=200 content-length=100]X(PROTOCOL http2.remote_reset)");
    assert_string_equal(q->log.p, "H[:status=200 content-length=2]X(PROTOCOL http2.remote_reset)");
    assert_string_equal(h->log.p, "H[:status=200 content-length=2]X(PROTOCOL http2.remote_reset)");
    assert_string_equal(n->log.p, "H[:status=304]X(PROTOCOL http2.remote_reset)");
    assert_non_null(strstr(c->out.p, "RST(1 1) RST(3 1) RST(5 1) RST(7 1) "));
    assert_false(c->client.failed);
}

static void test_odd_responses_that_pass(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET"), *h = request(c, "HEAD");
    wire_headers(&c->wire, 1, true, LIST(":status", "204", "content-length", "0", "x-a", "b"));
    wire_headers(&c->wire, 3, false, LIST(":status", "999", "host", "x", "set-cookie", "a", "set-cookie", "b"));
    wire_data(&c->wire, 3, true, "");
    wire_headers(&c->wire, 5, false, LIST(":status", "200", "content-length", "2"));
    wire_data(&c->wire, 5, true, "");
    talk(c);
    assert_string_equal(r->log.p, "H[:status=204 x-a=b]!X(NONE)");
    assert_string_equal(q->log.p, "H[:status=999 host=x set-cookie=a set-cookie=b]!X(NONE)");
    assert_string_equal(h->log.p, "H[:status=200 content-length=2]!X(NONE)");
}

static void test_data_before_the_head(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET");
    wire_headers(&c->wire, 1, false, LIST(":status", "100"));
    wire_data(&c->wire, 1, false, "x");
    talk(c);
    assert_string_equal(r->log.p, "I[:status=100]X(PROTOCOL http2.remote_reset)");
    wire_headers(&c->wire, 3, false, LIST(":status", "100"));
    wire_data(&c->wire, 3, true, "");
    talk(c);
    assert_string_equal(q->log.p, "I[:status=100]X(PROTOCOL http2.remote_reset)");
    struct stream_record *n = request(c, "GET");
    wire_data(&c->wire, 5, true, "");
    talk(c);
    assert_non_null(strstr(n->log.p, "X(PROTOCOL"));
}

static void test_more_informational_heads_than_one_needs(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET");
    for (int i = 0; i < 100; i++)
        wire_headers(&c->wire, 1, false, LIST(":status", "103"));
    talk(c);
    assert_non_null(strstr(r->log.p, REFUSED_RULE));
    assert_true(c->client.failed);
}

static void test_trailers_need_an_end(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET");
    wire_headers(&c->wire, 1, false, LIST(":status", "200"));
    wire_headers(&c->wire, 1, false, LIST("x-t", "1"));
    talk(c);
    assert_string_equal(r->log.p, "H[:status=200]" REFUSED_RULE);
    assert_true(c->client.failed);
}

static void test_resets_by_the_upstream(void **state)
{
    struct connection *c = *state;
    static const struct {
        uint32_t code;
        const char *log;
    } codes[] = {
        {0, "X(REMOTE_NO_ERROR)"},
        {1, "X(PROTOCOL http2.remote_reset)"},
        {2, "X(REMOTE http2.remote_reset)"},
        {7, "X(REMOTE_REFUSED http2.remote_refuse)"},
        {8, "X(REMOTE http2.remote_reset)"},
        {11, "X(REMOTE http2.remote_reset)"},
        {13, "X(REMOTE http2.remote_reset)"},
    };
    for (uint32_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct stream_record *r = request(c, "GET");
        wire_u32_frame(&c->wire, RST_STREAM, 0, 1 + 2 * i, codes[i].code);
        talk(c);
        assert_string_equal(r->log.p, codes[i].log);
    }
    struct stream_record *r = request(c, "GET");
    wire_headers(&c->wire, 15, false, LIST(":status", "200"));
    wire_data(&c->wire, 15, false, "part");
    wire_u32_frame(&c->wire, RST_STREAM, 0, 15, 2);
    talk(c);
    assert_string_equal(r->log.p, "H[:status=200]DX(REMOTE http2.remote_reset)");
}

static void test_a_whole_answer_before_the_request_has_ended(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = peer_open(&c->client);
    assert_int_equal(send_headers(r, false, LIST(":authority", "a", ":path", "/", ":method", "POST", ":scheme", "http")), WEIR_OK);
    talk(c);
    wire_headers(&c->wire, 1, false, LIST(":status", "413"));
    wire_data(&c->wire, 1, true, "big");
    wire_u32_frame(&c->wire, RST_STREAM, 0, 1, 0);
    talk(c);
    assert_string_equal(r->log.p, "H[:status=413]D!X(REMOTE_NO_ERROR)");
    assert_string_equal(r->body.p, "big");
}

static void goaway(struct wire *w, uint32_t last, uint32_t code)
{
    uint8_t p[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last, 0, 0, 0, (uint8_t)code};
    wire_frame(w, GOAWAY, 0, 0, p, 8);
}

static void test_goaway_spares_the_streams_it_names(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET"), *q = request(c, "GET");
    talk(c);
    goaway(&c->wire, 1, 0);
    talk(c);
    assert_true(c->client.draining);
    assert_string_equal(q->log.p, "X(REMOTE_REFUSED http2.remote_refuse)");
    wire_headers(&c->wire, 1, false, LIST(":status", "200"));
    wire_data(&c->wire, 1, true, "ok");
    talk(c);
    assert_string_equal(r->log.p, "H[:status=200]D!X(NONE)");
    assert_int_equal(weir_codec_capacity(c->client.codec), 0);
}

static void test_goaway_of_everything(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET");
    talk(c);
    goaway(&c->wire, 0, 2);
    talk(c);
    assert_string_equal(r->log.p, "X(REMOTE_REFUSED http2.remote_refuse)");
    assert_true(c->client.draining);
}

static void test_bytes_that_are_no_http2(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET");
    (void)peer_output(&c->client, &c->reader, &c->out);
    wire_free(&c->wire);
    wire_bytes(&c->wire, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
    talk(c);
    assert_non_null(strstr(r->log.p, "X(PROTOCOL "));
    assert_true(c->client.failed);
}

static void test_a_push_is_refused(void **state)
{
    struct connection *c = *state;
    (void)request(c, "GET");
    wire_frame(&c->wire, SETTINGS, FLAG_ACK, 0, NULL, 0);
    struct text block = {0};
    text_add_bytes(&block, "\0\0\0\2", 4);
    wire_block(&block, LIST(GET_ROOT));
    talk(c);
    wire_frame(&c->wire, PUSH_PROMISE, FLAG_END_HEADERS, 1, block.p, block.n);
    text_free(&block);
    talk(c);
    assert_true(c->client.failed);
    assert_non_null(strstr(c->out.p, "GOAWAY(0 1) "));
}

static void test_an_answer_to_what_was_not_sent_yet(void **state)
{
    struct connection *c = *state;
    talk(c);
    struct stream_record *r = peer_open(&c->client);
    assert_int_equal(send_headers(r, true, LIST(":authority", "a", ":path", "/", ":method", "GET", ":scheme", "http")), WEIR_OK);
    wire_headers(&c->wire, 1, true, LIST(":status", "200"));
    talk(c);
    assert_true(c->client.failed);
    assert_false(r->ended);
}

static void test_headers_on_a_stream_that_never_was(void **state)
{
    struct connection *c = *state;
    (void)request(c, "GET");
    talk(c);
    wire_headers(&c->wire, 3, true, LIST(":status", "200"));
    talk(c);
    assert_true(c->client.failed);
}

static void test_answers_to_streams_that_we_gave_up_are_no_fault(void **state)
{
    struct connection *c = *state;
    struct stream_record *r = request(c, "GET");
    talk(c);
    stream_reset(r, WEIR_RESET_LOCAL);
    talk(c);
    assert_non_null(strstr(c->out.p, "RST(1 8) "));
    wire_headers(&c->wire, 1, false, LIST(":status", "200"));
    wire_data(&c->wire, 1, true, "late");
    struct stream_record *q = request(c, "GET");
    wire_headers(&c->wire, 3, true, LIST(":status", "200", "x-a", "hpack is in step"));
    talk(c);
    assert_false(c->client.failed);
    assert_string_equal(q->log.p, "H[:status=200 x-a=hpack is in step]!X(NONE)");
}

static void test_the_peers_stream_limit_is_kept(void **state)
{
    struct connection *c = *state;
    assert_int_equal(weir_codec_capacity(c->client.codec), 100); /* what RFC 9113 recommends, until the peer has spoken */
    wire_frame(&c->wire, SETTINGS, 0, 0, "\0\3\0\0\0\2", 6);
    talk(c);
    assert_int_equal(weir_codec_capacity(c->client.codec), 2);
    assert_true(c->client.capacity_events > 0);
    (void)request(c, "GET");
    (void)request(c, "GET");
    assert_int_equal(weir_codec_capacity(c->client.codec), 0);
    /* It may also shrink below what runs. */
    wire_frame(&c->wire, SETTINGS, 0, 0, "\0\3\0\0\0\1", 6);
    talk(c);
    assert_int_equal(weir_codec_capacity(c->client.codec), 0);
    wire_headers(&c->wire, 1, true, LIST(":status", "200"));
    talk(c);
    assert_int_equal(weir_codec_capacity(c->client.codec), 0);
    wire_headers(&c->wire, 3, true, LIST(":status", "200"));
    talk(c);
    assert_int_equal(weir_codec_capacity(c->client.codec), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_settings_and_a_request_as_sent),
        T(test_heads_that_are_none),
        T(test_the_stream_alone_where_it_is_configured_so),
        T(test_limits_of_heads),
        T(test_bodies_of_another_length),
        T(test_odd_responses_that_pass),
        T(test_data_before_the_head),
        T(test_more_informational_heads_than_one_needs),
        T(test_trailers_need_an_end),
        T(test_resets_by_the_upstream),
        T(test_a_whole_answer_before_the_request_has_ended),
        T(test_goaway_spares_the_streams_it_names),
        T(test_goaway_of_everything),
        T(test_bytes_that_are_no_http2),
        T(test_a_push_is_refused),
        T(test_an_answer_to_what_was_not_sent_yet),
        T(test_headers_on_a_stream_that_never_was),
        T(test_answers_to_streams_that_we_gave_up_are_no_fault),
        T(test_the_peers_stream_limit_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
