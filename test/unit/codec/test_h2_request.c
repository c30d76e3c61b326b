/* codec/h2_message.c and its users: requests by raw frames, one row for each thing that a client may get wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/support/h2_harness.h"

#define FIELD "http2.invalid.header.field"
#define RULE "http2.violation.of.messaging.rule"

struct row {
    const char *name;
    const char *const *fields;
    bool body_follows; /* no END_STREAM */
    const char *details; /* of the refusal; NULL: accepted */
    const char *log;     /* accepted: what the owner hears */
};

/* A function-scope table would not live long enough for its compound literals: they are of file scope here. */
static const struct row rows[] = {
    {"plain", LIST(GET_ROOT), false, NULL, "H[:method=GET :scheme=http :authority=a.test :path=/]!"},
    {"no :path", LIST(":method", "GET", ":scheme", "http", ":authority", "a"), false, RULE, NULL},
    {"no :method", LIST(":scheme", "http", ":authority", "a", ":path", "/"), false, RULE, NULL},
    {"no :scheme", LIST(":method", "GET", ":authority", "a", ":path", "/"), false, RULE, NULL},
    {"no :authority, no host", LIST(":method", "GET", ":scheme", "http", ":path", "/"), false, RULE, NULL},
    {"path without slash", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "x"), false, RULE, NULL},
    {"content-length without body", LIST(GET_ROOT, "content-length", "5"), false, RULE, NULL},
    {"empty :path", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", ""), false, FIELD, NULL},
    {"path with space", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/a b"), false, FIELD, NULL},
    {"path with control", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/a\001b"), false, FIELD, NULL},
    {"path with CR LF", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/ HTTP/1.1\r\nx: y"), false, FIELD,
     NULL},
    {"two :path", LIST(GET_ROOT, ":path", "/b"), false, FIELD, NULL},
    {"pseudo after regular", LIST(":method", "GET", ":scheme", "http", ":authority", "a", "x-a", "b", ":path", "/"), false, FIELD,
     NULL},
    {"unknown pseudo", LIST(GET_ROOT, ":foo", "b"), false, FIELD, NULL},
    {":status in a request", LIST(GET_ROOT, ":status", "200"), false, FIELD, NULL},
    {"upper-case name", LIST(GET_ROOT, "X-A", "b"), false, FIELD, NULL},
    {"upper-case pseudo", LIST(GET_ROOT, ":Path", "/"), false, FIELD, NULL},
    {"connection", LIST(GET_ROOT, "connection", "close"), false, FIELD, NULL},
    {"te: gzip", LIST(GET_ROOT, "te", "gzip"), false, FIELD, NULL},
    {"te: trailers, gzip", LIST(GET_ROOT, "te", "trailers, gzip"), false, FIELD, NULL},
    {"transfer-encoding", LIST(GET_ROOT, "transfer-encoding", "chunked"), true, FIELD, NULL},
    {"keep-alive", LIST(GET_ROOT, "keep-alive", "1"), false, FIELD, NULL},
    {"upgrade", LIST(GET_ROOT, "upgrade", "websocket"), false, FIELD, NULL},
    {"proxy-connection", LIST(GET_ROOT, "proxy-connection", "close"), false, FIELD, NULL},
    {"NUL in value", LIST(GET_ROOT, "x-a", "a%00b"), false, FIELD, NULL},
    {"NUL in a known header's value", LIST(GET_ROOT, "user-agent", "a long one with%00 in the middle"), false, FIELD, NULL},
    {"CR LF in value", LIST(GET_ROOT, "x-a", "a\r\nx-b: c"), false, FIELD, NULL},
    {"LF in value", LIST(GET_ROOT, "x-a", "0123456789\n"), false, FIELD, NULL},
    {"DEL in value", LIST(GET_ROOT, "x-a", "01234567\177"), false, FIELD, NULL},
    {"empty name", LIST(GET_ROOT, "", "b"), false, FIELD, NULL},
    {"name with space", LIST(GET_ROOT, "x a", "b"), false, FIELD, NULL},
    {"name with colon", LIST(GET_ROOT, "x:", "b"), false, FIELD, NULL},
    {"name with CR LF", LIST(GET_ROOT, "x\r\ny", "b"), false, FIELD, NULL},
    {"name with a byte of Latin-1", LIST(GET_ROOT, "x\344", "b"), false, FIELD, NULL},
    {"two content-length", LIST(GET_ROOT, "content-length", "5", "content-length", "5"), true, FIELD, NULL},
    {"content-length with sign", LIST(GET_ROOT, "content-length", "+5"), true, FIELD, NULL},
    {"content-length list", LIST(GET_ROOT, "content-length", "5, 5"), true, FIELD, NULL},
    {"content-length empty", LIST(GET_ROOT, "content-length", ""), true, FIELD, NULL},
    {"content-length huge", LIST(GET_ROOT, "content-length", "99999999999999999999"), true, FIELD, NULL},
    {"content-length beyond signed", LIST(GET_ROOT, "content-length", "9223372036854775808"), true, FIELD, NULL},
    {"method bad", LIST(":method", "G T", ":scheme", "http", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"method empty", LIST(":method", "", ":scheme", "http", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"method with CR LF", LIST(":method", "GET / HTTP/1.1\r\n", ":scheme", "http", ":authority", "a", ":path", "/"), false, FIELD,
     NULL},
    {"scheme bad", LIST(":method", "GET", ":scheme", "ht tp", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"scheme with digit first", LIST(":method", "GET", ":scheme", "1http", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"authority bad", LIST(":method", "GET", ":scheme", "http", ":authority", "a b", ":path", "/"), false, FIELD, NULL},
    {"authority with path", LIST(":method", "GET", ":scheme", "http", ":authority", "a/b", ":path", "/"), false, FIELD, NULL},
    {"authority userinfo", LIST(":method", "GET", ":scheme", "http", ":authority", "u@a", ":path", "/"), false, FIELD, NULL},
    {"authority empty", LIST(":method", "GET", ":scheme", "http", ":authority", "", ":path", "/"), false, FIELD, NULL},
    {"blank behind a path", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/ "), false, FIELD, NULL},
    {"tab behind a path", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/\t"), false, FIELD, NULL},
    {"blank before a path", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", " /"), false, FIELD, NULL},
    {"blank before a method", LIST(":method", " GET", ":scheme", "http", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"blank behind a scheme", LIST(":method", "GET", ":scheme", "http ", ":authority", "a", ":path", "/"), false, FIELD, NULL},
    {"blank before an authority", LIST(":method", "GET", ":scheme", "http", ":authority", " a", ":path", "/"), false, FIELD, NULL},
    {"blank behind a host", LIST(":method", "GET", ":scheme", "http", "host", "a ", ":path", "/"), false, FIELD, NULL},
    {"blank before a content-length", LIST(GET_ROOT, "content-length", " 5"), true, FIELD, NULL},
    {"blank behind te", LIST(GET_ROOT, "te", "trailers "), false, FIELD, NULL},
    {"two hosts", LIST(GET_ROOT, "host", "a", "host", "b"), false, FIELD, NULL},
    {"extended CONNECT not allowed", LIST(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a",
                                          ":path", "/"), true, FIELD, NULL},
    {"CONNECT with a path", LIST(":method", "CONNECT", ":authority", "a:1", ":path", "/"), true, RULE, NULL},
    {"CONNECT with a scheme", LIST(":method", "CONNECT", ":authority", "a:1", ":scheme", "http"), true, RULE, NULL},
    {"CONNECT without authority", LIST(":method", "CONNECT", "host", "a:1"), true, RULE, NULL},
    {"* for GET", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "*"), false, RULE, NULL},

    {"* for OPTIONS", LIST(":method", "OPTIONS", ":scheme", "http", ":authority", "a", ":path", "*"), false, NULL,
     "H[:method=OPTIONS :scheme=http :authority=a :path=*]!"},
    {"host alone becomes the authority", LIST(":method", "GET", ":scheme", "http", ":path", "/", "host", "b", "x-a", "1"), false,
     NULL, "H[:method=GET :scheme=http :path=/ :authority=b x-a=1]!"},
    {"host beside another authority is dropped", LIST(GET_ROOT, "host", "b"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/]!"},
    {"any scheme", LIST(":method", "GET", ":scheme", "ftp", ":authority", "a", ":path", "/"), false, NULL,
     "H[:method=GET :scheme=ftp :authority=a :path=/]!"},
    {"te: trailers", LIST(GET_ROOT, "te", "trailers"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ te=trailers]!"},
    {"underscore", LIST(GET_ROOT, "x_a", "b"), false, NULL, "H[:method=GET :scheme=http :authority=a.test :path=/ x_a=b]!"},
    {"lower-case method", LIST(":method", "get", ":scheme", "http", ":authority", "a", ":path", "/"), false, NULL,
     "H[:method=get :scheme=http :authority=a :path=/]!"},
    {"blanks around a value are not part of it", LIST(GET_ROOT, "x-a", " \tb c\t "), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ x-a=b c]!"},
    {"tab and Latin-1 in a value", LIST(GET_ROOT, "x-a", "0123456\t\344"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ x-a=0123456\t\344]!"},
    {"empty value", LIST(GET_ROOT, "x-a", ""), false, NULL, "H[:method=GET :scheme=http :authority=a.test :path=/ x-a=]!"},
    {"fragment is the router's matter", LIST(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/#x"), false, NULL,
     "H[:method=GET :scheme=http :authority=a :path=/#x]!"},
    {"IPv6 authority", LIST(":method", "GET", ":scheme", "http", ":authority", "[::1]:80", ":path", "/"), false, NULL,
     "H[:method=GET :scheme=http :authority=[::1]:80 :path=/]!"},
    {"cookie crumbs", LIST(GET_ROOT, "cookie", "a=1", "x-a", "1", "cookie", "b=2", "cookie", "c=3"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ x-a=1 cookie=a=1; b=2; c=3]!"},
    {"one cookie", LIST(GET_ROOT, "cookie", "a=1", "x-a", "1"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ x-a=1 cookie=a=1]!"},
    {"plain CONNECT", LIST(":method", "CONNECT", ":authority", "a:443"), true, NULL, "H[:method=CONNECT :authority=a:443]"},
    {"content-length 0", LIST(GET_ROOT, "content-length", "0"), false, NULL,
     "H[:method=GET :scheme=http :authority=a.test :path=/ content-length=0]!"},
};

static void run_row(const struct row *row, bool stream_error)
{
    struct weir_worker *w = worker_by_hand();
    struct weir_codec_config config = config_by_default();
    config.h2_override_stream_error = stream_error;
    struct peer server;
    peer_init(&server, w, &config, true);
    struct wire wire = {0};
    wire_preface(&wire);
    wire_headers(&wire, 1, !row->body_follows, row->fields);
    peer_input_wire(&server, &wire);
    struct wire_reader reader = {0};
    struct text out = {0};
    (void)peer_output(&server, &reader, &out);
    assert_int_equal(server.count, 1);
    const char *log = server.streams[0]->log.p;
    if (row->details == NULL) {
        assert_string_equal(log, row->log);
        assert_false(server.failed);
    } else {
        char want[128];
        (void)snprintf(want, sizeof(want), "X(PROTOCOL %s)", row->details);
        assert_string_equal(log, want);
        assert_int_equal(server.failed, !stream_error);
        if (!stream_error) assert_string_equal(server.error, row->details);
        assert_string_equal(out.p, stream_error ? "RST(1 1) " : "GOAWAY(1 1) ");
    }
    wire_reader_free(&reader);
    text_free(&out);
    wire_free(&wire);
    peer_free(&server);
    worker_by_hand_free(w);
}

static void test_rows_of_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i].name);
        run_row(&rows[i], false);
        run_row(&rows[i], true);
    }
}

/* ---- the same with a connection at hand ---- */

struct connection {
    struct weir_worker *w;
    struct weir_codec_config config;
    struct peer server;
    struct wire wire;
    struct wire_reader reader;
    struct text out;
};

static struct connection *connection_new(void)
{
    struct connection *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->w = worker_by_hand();
    c->config = config_by_default();
    return c;
}

static void start(struct connection *c)
{
    peer_init(&c->server, c->w, &c->config, true);
    wire_preface(&c->wire);
}

static void talk(struct connection *c)
{
    peer_input_wire(&c->server, &c->wire);
    wire_free(&c->wire);
    (void)peer_output(&c->server, &c->reader, &c->out);
}

static void finish(struct connection *c)
{
    peer_free(&c->server);
    wire_free(&c->wire);
    wire_reader_free(&c->reader);
    text_free(&c->out);
    worker_by_hand_free(c->w);
    free(c);
}

static void assert_out(const struct connection *c, const char *want)
{
    assert_string_equal(c->out.p != NULL ? c->out.p : "", want);
}

static void test_a_messaging_error_ends_the_streams_beside_it(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT));
    talk(c);
    wire_headers(&c->wire, 3, true, LIST(":method", "GET"));
    wire_headers(&c->wire, 5, true, LIST(GET_ROOT)); /* not looked at any more */
    talk(c);
    assert_int_equal(c->server.count, 2);
    assert_non_null(strstr(c->server.streams[0]->log.p, "!X(PROTOCOL codec_error:The_user_callback_function_failed)"));
    assert_string_equal(c->server.streams[1]->log.p, "X(PROTOCOL " RULE ")");
    assert_out(c, "GOAWAY(3 1) ");
    finish(c);
}

static void test_too_many_headers_reset_the_stream(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    char names[101][8];
    const char *fields[2 * 101 + 1] = {GET_ROOT};
    for (int i = 4; i < 101; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "x-%d", i);
        fields[2 * i] = names[i];
        fields[2 * i + 1] = "v";
    }
    wire_headers(&c->wire, 1, true, fields);
    fields[200] = NULL;
    wire_headers(&c->wire, 3, true, fields); /* 100 pass */
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "X(LIMIT http2.too_many_headers)");
    assert_true(c->server.streams[1]->ended);
    assert_out(c, "RST(1 2) ");
    assert_false(c->server.failed);
    finish(c);
}

static void test_too_large_headers_reset_the_stream(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    char *value = malloc(61501);
    assert_non_null(value);
    memset(value, 'x', 61500);
    value[61500] = '\0';
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT, "x-a", value));
    value[60000] = '\0';
    wire_headers(&c->wire, 3, true, LIST(GET_ROOT, "x-a", value));
    talk(c);
    free(value);
    assert_string_equal(c->server.streams[0]->log.p, "X(LIMIT http2.header_list_size_too_large)");
    assert_true(c->server.streams[1]->ended);
    assert_out(c, "RST(1 2) ");
    finish(c);
}

static void test_many_cookie_crumbs_count_as_headers(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    const char *fields[2 * 201 + 1] = {GET_ROOT};
    for (int i = 4; i < 201; i++) {
        fields[2 * i] = "cookie";
        fields[2 * i + 1] = "a=b";
    }
    wire_headers(&c->wire, 1, true, fields);
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "X(LIMIT http2.too_many_headers)");
    finish(c);
}

static void test_underscores_as_configured(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    c->config.underscores = WEIR_UNDERSCORE_DROP;
    start(c);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT, "x_a", "b", "x-c", "d"));
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "H[:method=GET :scheme=http :authority=a.test :path=/ x-c=d]!");
    finish(c);

    c = connection_new();
    c->config.underscores = WEIR_UNDERSCORE_REJECT;
    start(c);
    wire_headers(&c->wire, 1, true, LIST(GET_ROOT, "x_a", "b", "x-c", "d"));
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "X(LIMIT http2.unexpected_underscore)");
    assert_out(c, "RST(1 2) ");
    finish(c);
}

static void test_a_body_must_have_the_length_that_was_said(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT, "content-length", "5"));
    wire_data(&c->wire, 1, false, "1234567");
    wire_headers(&c->wire, 3, false, LIST(GET_ROOT, "content-length", "5"));
    wire_data(&c->wire, 3, true, "123");
    wire_headers(&c->wire, 5, false, LIST(GET_ROOT, "content-length", "5"));
    wire_data(&c->wire, 5, true, "12345");
    wire_headers(&c->wire, 7, false, LIST(GET_ROOT, "content-length", "5"));
    wire_data(&c->wire, 7, false, "123");
    wire_headers(&c->wire, 7, true, LIST("x-t", "1"));
    talk(c);
    assert_non_null(strstr(c->server.streams[0]->log.p, "X(PROTOCOL http2.remote_reset)"));
    assert_non_null(strstr(c->server.streams[1]->log.p, "X(PROTOCOL http2.remote_reset)"));
    assert_true(c->server.streams[2]->ended);
    assert_non_null(strstr(c->server.streams[3]->log.p, "X(PROTOCOL http2.remote_reset)"));
    for (int i = 0; i < 4; i++)
        assert_int_equal(c->server.streams[i]->ended, i == 2);
    assert_out(c, "RST(1 1) RST(3 1) RST(7 1) ");
    /* What still comes on a stream that was reset is ignored. */
    wire_data(&c->wire, 1, true, "89");
    talk(c);
    assert_false(c->server.failed);
    finish(c);
}

static void test_trailers_end_a_request(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_data(&c->wire, 1, false, "body");
    wire_headers(&c->wire, 1, true, LIST("x-t", "1", "x-u", "2"));
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p,
                        "H[:method=GET :scheme=http :authority=a.test :path=/]DT[x-t=1 x-u=2]!");
    assert_string_equal(c->server.streams[0]->body.p, "body");
    finish(c);
}

static void trailers_refused(const char *const *fields, bool end, const char *details)
{
    struct connection *c = connection_new();
    start(c);
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_headers(&c->wire, 1, end, fields);
    talk(c);
    assert_true(c->server.failed);
    assert_string_equal(c->server.error, details);
    assert_false(c->server.streams[0]->ended);
    assert_out(c, "GOAWAY(1 1) ");
    finish(c);
}

static void test_trailers_that_are_none(void **state)
{
    (void)state;
    trailers_refused(LIST("x-t", "1"), false, RULE);
    trailers_refused(LIST(":path", "/"), true, FIELD);
    trailers_refused(LIST("transfer-encoding", "chunked"), true, FIELD);
    trailers_refused(LIST("te", "gzip"), true, FIELD);
}

/* RFC 9110 6.5.1: a receiver may merge trailers into the head. */
static void test_trailers_that_belong_in_the_head_are_dropped(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    start(c);
    wire_headers(&c->wire, 1, false, LIST(GET_ROOT));
    wire_headers(&c->wire, 1, true, LIST("content-length", "5", "x-t", "1", "host", "b", "authorization", "c", "cookie", "d"));
    wire_headers(&c->wire, 3, false, LIST(GET_ROOT));
    wire_headers(&c->wire, 3, true, LIST("host", "b"));
    talk(c);
    assert_string_equal(c->server.streams[0]->log.p, "H[:method=GET :scheme=http :authority=a.test :path=/]T[x-t=1]!");
    assert_string_equal(c->server.streams[1]->log.p, "H[:method=GET :scheme=http :authority=a.test :path=/]!");
    assert_false(c->server.failed);
    finish(c);
}

static void test_extended_connect_becomes_an_upgrade(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    c->config.h2_allow_connect = true;
    start(c);
    wire_headers(&c->wire, 1, false, LIST(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a",
                                          ":path", "/chat", "sec-websocket-version", "13"));
    talk(c);
    struct stream_record *r = c->server.streams[0];
    assert_string_equal(r->log.p,
                        "H[:method=GET :scheme=http :authority=a :path=/chat sec-websocket-version=13 upgrade=websocket]");
    assert_int_equal(send_headers(r, false, LIST(":status", "101", "upgrade", "websocket", "x-a", "b")), WEIR_OK);
    send_body(r, "from the server", false);
    wire_data(&c->wire, 1, false, "from the client");
    talk(c);
    assert_out(c, "HEADERS(1)[:status=200 x-a=b] DATA(1 15) ");
    assert_string_equal(r->body.p, "from the client");
    /* Each side ends for itself. */
    send_body(r, "", true);
    wire_data(&c->wire, 1, false, "more");
    talk(c);
    assert_non_null(strstr(c->out.p, "DATA(1 0 ES) "));
    assert_string_equal(r->body.p, "from the clientmore");
    wire_data(&c->wire, 1, true, "");
    talk(c);
    assert_non_null(strstr(r->log.p, "D!X(NONE)"));
    finish(c);
}

static void test_an_upgrade_may_be_refused(void **state)
{
    (void)state;
    struct connection *c = connection_new();
    c->config.h2_allow_connect = true;
    start(c);
    wire_headers(&c->wire, 1, false, LIST(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a",
                                          ":path", "/chat"));
    wire_headers(&c->wire, 3, true, LIST(GET_ROOT));
    talk(c);
    assert_int_equal(send_headers(c->server.streams[0], true, LIST(":status", "403", "content-length", "0")), WEIR_OK);
    /* 101 has no meaning where nothing was asked for. */
    assert_int_equal(send_headers(c->server.streams[1], true, LIST(":status", "101")), WEIR_ERR_INVALID);
    talk(c);
    assert_out(c, "HEADERS(1 ES)[:status=403 content-length=0] ");
    finish(c);
}

static void test_a_reset_leaves_after_the_head_of_the_same_turn(void **state)
{
    (void)state;
    struct weir_worker *w = worker_by_hand();
    struct weir_codec_config config = config_by_default();
    struct peer server;
    peer_init(&server, w, &config, true);
    struct wire wire = {0};
    wire_preface(&wire);
    wire_headers(&wire, 1, true, LIST(GET_ROOT));
    wire_headers(&wire, 3, true, LIST(GET_ROOT));
    peer_input_wire(&server, &wire);
    struct wire_reader reader = {0};
    struct text out = {0};
    struct stream_record *both = server.streams[0], *alone = server.streams[1];
    assert_int_equal(send_headers(both, false, LIST(":status", "200")), WEIR_OK);
    send_body(both, "part", false);
    stream_reset(both, WEIR_RESET_REMOTE);
    stream_reset(alone, WEIR_RESET_REMOTE);
    (void)peer_output(&server, &reader, &out);
    assert_non_null(strstr(out.p, "RST(3 2)"));
    assert_non_null(strstr(out.p, "HEADERS(1)[:status=200] "));
    assert_true(strstr(out.p, "RST(1 2)") > strstr(out.p, "HEADERS(1)"));
    assert_null(strstr(out.p, "DATA(1"));
    wire_reader_free(&reader);
    text_free(&out);
    wire_free(&wire);
    peer_free(&server);
    worker_by_hand_free(w);
}

static void test_the_preface_is_told_from_http1(void **state)
{
    (void)state;
    const char *preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (size_t n = 0; n < 24; n++)
        assert_int_equal(weir_h2_preface_check((const uint8_t *)preface, n), -1);
    assert_int_equal(weir_h2_preface_check((const uint8_t *)preface, 24), 1);
    assert_int_equal(weir_h2_preface_check((const uint8_t *)"GET / HTTP/1.1", 14), 0);
    assert_int_equal(weir_h2_preface_check((const uint8_t *)"P", 1), -1);
    assert_int_equal(weir_h2_preface_check((const uint8_t *)"PUT", 3), 0);
    assert_int_equal(weir_h2_preface_check((const uint8_t *)"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", 24), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_requests),
        cmocka_unit_test(test_a_messaging_error_ends_the_streams_beside_it),
        cmocka_unit_test(test_too_many_headers_reset_the_stream),
        cmocka_unit_test(test_too_large_headers_reset_the_stream),
        cmocka_unit_test(test_many_cookie_crumbs_count_as_headers),
        cmocka_unit_test(test_underscores_as_configured),
        cmocka_unit_test(test_a_body_must_have_the_length_that_was_said),
        cmocka_unit_test(test_trailers_end_a_request),
        cmocka_unit_test(test_trailers_that_are_none),
        cmocka_unit_test(test_trailers_that_belong_in_the_head_are_dropped),
        cmocka_unit_test(test_extended_connect_becomes_an_upgrade),
        cmocka_unit_test(test_an_upgrade_may_be_refused),
        cmocka_unit_test(test_a_reset_leaves_after_the_head_of_the_same_turn),
        cmocka_unit_test(test_the_preface_is_told_from_http1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
