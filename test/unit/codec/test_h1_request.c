/* Requests as the HTTP/1 server reads them: RFC 9112 examples, the odd ones that are taken, and every kind that is refused,
 * each also cut at every place. */
#include "test/unit/support/h1_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


enum cut { WHOLE, TWO, BYTES };

/* Feeds the input in the way of `cut` and leaves log and wire in the texts. */
static void run(const char *p, size_t n, void (*configure)(struct weir_codec_config *), enum cut cut, size_t at, struct h1_text *log,
                struct h1_text *wire)
{
    struct h1_harness *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h1_harness_init(h);
    if (configure != NULL)
        configure(&h->config);
    h->on_end = h1_reply_ok;
    h1_harness_server(h);
    if (cut == WHOLE) {
        h1_feed(h, p, n);
    } else if (cut == TWO) {
        h1_feed(h, p, at);
        h1_feed(h, p + at, n - at);
    } else {
        for (size_t i = 0; i < n; i++)
            h1_feed(h, p + i, 1);
    }
    h1_text_add(log, h->log.p, h->log.n);
    h1_text_add(wire, h->wire.p, h->wire.n);
    h1_harness_deinit(h);
    free(h);
}

static void same(const struct h1_text *a, const struct h1_text *b, const char *input, size_t at)
{
    if (a->n == b->n && memcmp(a->p, b->p, a->n) == 0)
        return;
    print_error("cut at %zu of:\n%s\ngives:\n%s\ninstead of:\n%s\n", at, input, b->p, a->p);
    _fail(__FILE__, __LINE__);
}

/* The whole input must give `expected`, and so must every way to cut it. NULL: any log, but always the same. */
static void check_n(const char *p, size_t n, void (*configure)(struct weir_codec_config *), const char *expected,
                    const char *expected_wire, int line)
{
    struct h1_text log = {0}, wire = {0};
    run(p, n, configure, WHOLE, 0, &log, &wire);
    if (expected != NULL)
        h1_assert_text(&log, expected, __FILE__, line);
    if (expected_wire != NULL)
        h1_assert_text(&wire, expected_wire, __FILE__, line);
    size_t step = n > 4096 ? n / 61 : 1;
    for (size_t at = 1; at < n; at += step) {
        struct h1_text log2 = {0}, wire2 = {0};
        run(p, n, configure, TWO, at, &log2, &wire2);
        same(&log, &log2, p, at);
        same(&wire, &wire2, p, at);
        free(log2.p);
        free(wire2.p);
    }
    struct h1_text log3 = {0}, wire3 = {0};
    run(p, n, configure, BYTES, 0, &log3, &wire3);
    same(&log, &log3, p, SIZE_MAX);
    same(&wire, &wire3, p, SIZE_MAX);
    free(log3.p);
    free(wire3.p);
    free(log.p);
    free(wire.p);
}
#define check(literal, configure, expected, wire) \
    check_n((literal), sizeof(literal) - 1, (configure), (expected), (wire), __LINE__)

#define OK_KEPT "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define OK_CLOSE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"

/* RFC 9112 2.1 and 3.2: the examples of the text. */
static void test_request_line_and_headers(void **state)
{
    (void)state;
    check("GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n", NULL,
          "stream\n"
          "headers end :authority=www.example.com :path=/hello.txt :method=GET user-agent=curl/7.64.1 accept-language=en, mi\n"
          "closed 0\n",
          OK_KEPT);
    check("GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n", NULL,
          "stream\nheaders end :authority=www.example.org :path=/where?q=now :method=GET\nclosed 0\n", OK_KEPT);
    check("GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\nHost: other\r\n\r\n", NULL,
          "stream\n"
          "headers end :authority=www.example.org :path=/pub/WWW/TheProject.html :method=GET :scheme=http\nclosed 0\n",
          OK_KEPT);
    check("OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n", NULL,
          "stream\nheaders end :authority=www.example.org:8001 :path=* :method=OPTIONS\nclosed 0\n", OK_KEPT);
}

static void test_bodies(void **state)
{
    (void)state;
    check("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", NULL,
          "stream\nheaders :authority=a :path=/a :method=POST content-length=5\ndata hello end\nclosed 0\n", OK_KEPT);
    check("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/a :method=POST content-length=0\nclosed 0\n", OK_KEPT);
    check("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", NULL,
          "stream\nheaders :authority=a :path=/a :method=POST\ndata abc0123456789 end\nclosed 0\n", OK_KEPT);
    check("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n000;\"q\"\r\nX-T: 1\r\n\r\n", NULL,
          "stream\nheaders :authority=a :path=/a :method=POST\ndata abc end\nclosed 0\n", OK_KEPT);
}

static void with_trailers(struct weir_codec_config *c)
{
    c->h1_enable_trailers = true;
}

static void test_trailers_pass_when_enabled(void **state)
{
    (void)state;
    check("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nHost: evil\r\n"
          "Content-Length: 7\r\nX-U:\t2\t\r\n\r\n",
          with_trailers,
          "stream\nheaders :authority=a :path=/a :method=POST\ndata abc\ntrailers end x-t=1 x-u=2\nclosed 0\n", OK_KEPT);
    check("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx t: 1\r\n\r\n", with_trailers,
          "stream\nheaders :authority=a :path=/a :method=POST\ndata abc\nerror 400 http1.codec_error\nclosed 0\n", NULL);
}

static void test_odd_requests_are_taken(void **state)
{
    (void)state;
    check("\r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n", NULL, "stream\nheaders end :authority= :path=/ :method=GET\nclosed 0\n", OK_KEPT);
    check("GET / HTTP/1.1\r\nHost: a\r\nx-a: \x80\r\nx-b:\r\nx-c: \t v \t \r\nx_d: 1\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/ :method=GET x-a=\x80 x-b= x-c=v x_d=1\nclosed 0\n", OK_KEPT);
    check("GET / HTTP/1.1\r\n\r\n", NULL, "stream\nheaders end :path=/ :method=GET\nclosed 0\n", OK_KEPT); /* no Host: not ours to say */
    check("GET http://b.test:81?q HTTP/1.1\r\nHost: a\r\n\r\n", NULL,
          "stream\nheaders end :authority=b.test:81 :path=/?q :method=GET :scheme=http\nclosed 0\n", OK_KEPT);
    check("GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", NULL,
          "stream\nheaders end :authority=b :path=/ :method=GET :scheme=https\nclosed 0\n", OK_KEPT);
    check("GET /p#f HTTP/1.1\r\nHost: a\r\n\r\n", NULL, "stream\nheaders end :authority=a :path=/p#f :method=GET\nclosed 0\n", OK_KEPT);
    check("MKCALENDAR /p HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", NULL,
          "stream\nheaders end :authority=[::1]:80 :path=/p :method=MKCALENDAR\nclosed 0\n", OK_KEPT);
    check("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", NULL,
          "stream\nheaders :authority=a :path=/ :method=POST expect=100-continue content-length=1\ndata x end\nclosed 0\n", OK_KEPT);
}

static void test_connection_headers_are_used_up(void **state)
{
    (void)state;
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Foo, te\r\nKeep-Alive: 5\r\nX-Foo: 1\r\nTE: trailers, gzip\r\n"
          "Proxy-Connection: x\r\nProxy-Authorization: b\r\nTrailer: t\r\n\r\n",
          NULL,
          "stream\nheaders end :authority=a :path=/ :method=GET proxy-authorization=b trailer=t te=trailers\nclosed 0\n", OK_KEPT);
    check("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/ :method=GET\nclosed 0\n", OK_CLOSE);
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/ :method=GET\nclosed 0\n", OK_KEPT);
    check("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/ :method=GET\nclosed 0\n", OK_KEPT);
    check("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx", NULL,
          "stream\nheaders :authority=a :path=/ :method=POST content-length=1\ndata x end\nclosed 0\n", OK_KEPT);
}

static void http10(struct weir_codec_config *c)
{
    c->h1_accept_http_10 = true;
    c->h1_default_host = WEIR_STR("default.test");
}

static void test_http_10(void **state)
{
    (void)state;
    check("GET /a HTTP/1.0\r\n\r\n", http10,
          "stream\nheaders end :authority=default.test :path=/a :method=GET\nclosed 0\n",
          "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    check("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: b\r\n\r\n", http10,
          "stream\nheaders end :authority=b :path=/a :method=GET\nclosed 0\n",
          "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok");
    check("GET /a\r\n\r\n", http10, "stream\nheaders end :authority=default.test :path=/a :method=GET\nclosed 0\n",
          "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    check("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", http10,
          "stream\nerror 400 http1.codec_error\nclosed 0\n", NULL);
}

static void refused(const char *p, size_t n, unsigned status, const char *details, const char *body, const char *phrase, int line)
{
    char log[256], wire[512];
    (void)snprintf(log, sizeof log, "stream\nerror %u %s\nclosed 0\n", status, details);
    (void)snprintf(wire, sizeof wire, "HTTP/1.1 %u %s\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s", status, phrase,
                   strlen(body), body);
    check_n(p, n, NULL, log, wire, line);
}
#define refused_400(literal, details) refused((literal), sizeof(literal) - 1, 400, (details), "Bad Request", "Bad Request", __LINE__)
#define refused_with(literal, status, details, text) \
    refused((literal), sizeof(literal) - 1, (status), (details), (text), (text), __LINE__)

static void test_malformed_request_lines(void **state)
{
    (void)state;
    refused_400("garbage\r\n\r\n", "http1.codec_error");
    refused_400("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("get / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http1.codec_error");
    refused_400("\x16\x03\x01\x02\x00\x01\x00\x01", "http1.codec_error");
    refused_400("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_characters");
    refused_400("GET foo HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/11.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET / http/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\nHost: a\n\n", "http1.codec_error");
    refused_400("GET /\n\n", "http1.codec_error");
    refused_400("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1.codec_error");
    refused_400("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("CONNECT /p HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("CONNECT a.test HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", "http1.invalid_url");
    refused_400("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "http1.body_disallowed");
}

static void test_low_versions(void **state)
{
    (void)state;
    refused_with("GET /\r\n\r\n", 426, "low_version", "Upgrade Required");
    refused_with("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426, "low_version", "Upgrade Required");
    refused_with("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 426, "low_version", "Upgrade Required");
    refused_with("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 426, "low_version", "Upgrade Required");
}

static void test_malformed_fields(void **state)
{
    (void)state;
    refused_400("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx(y: z\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx\x80: z\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n c\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\rc\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\nc: d\r\n\r\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n\n", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n\rGET", "http1.codec_error");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: b\0c\r\n\r\n", "http1.invalid_characters");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: \x01\r\n\r\n", "http1.invalid_characters");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nx: long enough for words \x7f\r\n\r\n", "http1.invalid_characters");
    refused_400("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "http.invalid_authority");
    refused_400("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "http.invalid_authority");
    refused_400("GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", "http.invalid_authority");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "http.invalid_authority");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", "http1.connection_header_rejected");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n", "http1.connection_header_rejected");
    refused_400("GET / HTTP/1.1\r\nHost: a\r\nConnection: a,b,c,d,e,f,g,h,i,j,k\r\n\r\n", "http1.connection_header_rejected");
}

static void test_malformed_framing(void **state)
{
    (void)state;
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nabc", "http1.codec_error");
    refused_400("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "http1.content_length_and_chunked_not_allowed");
    refused_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "http1.invalid_transfer_encoding",
                 "Not Implemented");
    refused_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "http1.invalid_transfer_encoding",
                 "Not Implemented");
    refused_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501, "http1.invalid_transfer_encoding",
                 "Not Implemented");
    refused_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501, "http1.invalid_transfer_encoding",
                 "Not Implemented");
    refused_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501,
                 "http1.invalid_transfer_encoding", "Not Implemented");
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HEARD "stream\nheaders :authority=a :path=/ :method=POST\n"
#define REFUSED "error 400 http1.codec_error\nclosed 0\n"

static void test_malformed_chunks(void **state)
{
    (void)state;
    check(CHUNKED "xyz\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED ";a\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "-3\r\nabc\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "0x3\r\nabc\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "3\nabc\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "3 \r\nabc\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "3;a\x01\r\nabc\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "3\r\nabcX\r\n", NULL, HEARD "data abc\n" REFUSED, NULL);
    check(CHUNKED "3\r\nabc\r0\r\n", NULL, HEARD "data abc\n" REFUSED, NULL);
    check(CHUNKED "3\r\nabc\n0\r\n", NULL, HEARD "data abc\n" REFUSED, NULL);
    check(CHUNKED "11111111111111111\r\n", NULL, HEARD REFUSED, NULL);
    check(CHUNKED "3\r\nabc\r\n0\r\n\n", NULL, HEARD "data abc\n" REFUSED, NULL);
}

static void test_long_chunk_lines_are_refused(void **state)
{
    (void)state;
    char line[2048];
    int n = snprintf(line, sizeof line, CHUNKED "1;%01100d\r\nx\r\n", 0);
    check_n(line, (size_t)n, NULL, HEARD REFUSED, NULL, __LINE__);
    /* Each line within the bound, all of them a flood. */
    size_t each = 800, chunks = 24;
    char *flood = malloc(256 + chunks * (each + 16));
    assert_non_null(flood);
    size_t at = (size_t)sprintf(flood, "%s", CHUNKED);
    for (size_t i = 0; i < chunks; i++)
        at += (size_t)sprintf(flood + at, "1;%0*d\r\nx\r\n", (int)each, 0);
    check_n(flood, at, NULL, HEARD "data xxxxxxxxxxxxxxxxxxxx\n" REFUSED, NULL, __LINE__);
    free(flood);
}

static void fill(char *p, const char *start, size_t total)
{
    size_t n = (size_t)sprintf(p, "%s", start);
    memset(p + n, 'a', total - n - 4);
    memcpy(p + total - 4, "\r\n\r\n", 4);
}

static void test_head_size_limit(void **state)
{
    (void)state;
    char *p = malloc(70000);
    assert_non_null(p);
    fill(p, "GET / HTTP/1.1\r\nHost: a\r\nx: ", 61440);
    struct h1_text log = {0}, wire = {0};
    run(p, 61440, NULL, WHOLE, 0, &log, &wire);
    assert_string_equal(wire.p, OK_KEPT);
    log.n = wire.n = 0;
    run(p, 61440, NULL, BYTES, 0, &log, &wire);
    assert_string_equal(wire.p, OK_KEPT);
    free(log.p);
    free(wire.p);
    fill(p, "GET / HTTP/1.1\r\nHost: a\r\nx: ", 61441);
    refused(p, 61441, 431, "http1.headers_too_large", "Request Header Fields Too Large", "Request Header Fields Too Large", __LINE__);
    memset(p, 'a', 70000);
    memcpy(p, "GET /", 5);
    refused(p, 61500, 431, "http1.headers_too_large", "Request Header Fields Too Large", "Request Header Fields Too Large", __LINE__);
    free(p);
}

static void test_header_count_limit(void **state)
{
    (void)state;
    char p[4096];
    size_t n = (size_t)sprintf(p, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 99; i++)
        n += (size_t)sprintf(p + n, "x: %d\r\n", i);
    (void)sprintf(p + n, "\r\n");
    struct h1_text log = {0}, wire = {0};
    run(p, n + 2, NULL, WHOLE, 0, &log, &wire);
    assert_string_equal(wire.p, OK_KEPT);
    free(log.p);
    free(wire.p);
    n += (size_t)sprintf(p + n, "x: 100\r\n\r\n");
    refused(p, n, 431, "http1.too_many_headers", "Request Header Fields Too Large", "Request Header Fields Too Large", __LINE__);
}

static void reject_underscores(struct weir_codec_config *c)
{
    c->underscores = WEIR_UNDERSCORE_REJECT;
}

static void drop_underscores(struct weir_codec_config *c)
{
    c->underscores = WEIR_UNDERSCORE_DROP;
}

static void no_absolute(struct weir_codec_config *c)
{
    c->h1_allow_absolute_url = false;
}

static void custom_methods(struct weir_codec_config *c)
{
    c->h1_allow_custom_methods = true;
}

static void chunked_length(struct weir_codec_config *c)
{
    c->h1_allow_chunked_length = true;
}

static void one_request(struct weir_codec_config *c)
{
    c->max_requests_per_connection = 1;
}

static void test_options(void **state)
{
    (void)state;
    check("GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\n\r\n", reject_underscores,
          "stream\nerror 400 http1.unexpected_underscore\nclosed 0\n", NULL);
    check("GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\nz: 2\r\n\r\n", drop_underscores,
          "stream\nheaders end :authority=a :path=/ :method=GET z=2\nclosed 0\n", OK_KEPT);
    check("GET http://b/p HTTP/1.1\r\nHost: a\r\n\r\n", no_absolute,
          "stream\nheaders end :authority=a :path=http://b/p :method=GET\nclosed 0\n", OK_KEPT);
    check("m-SEARCH! / HTTP/1.1\r\nHost: a\r\n\r\n", custom_methods,
          "stream\nheaders end :authority=a :path=/ :method=m-SEARCH!\nclosed 0\n", OK_KEPT);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", chunked_length,
          "stream\nheaders :authority=a :path=/ :method=POST\ndata x end\nclosed 0\n", OK_KEPT);
    check("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", one_request,
          "stream\nheaders end :authority=a :path=/1 :method=GET\nclosed 0\n", OK_CLOSE);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    check("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
          "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
          "\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
          "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
          NULL,
          "stream\nheaders end :authority=a :path=/1 :method=GET\nclosed 0\n"
          "stream\nheaders :authority=a :path=/2 :method=POST content-length=3\ndata abc end\nclosed 0\n"
          "stream\nheaders :authority=a :path=/3 :method=POST\ndata x end\nclosed 0\n"
          "stream\nheaders end :authority=a :path=/4 :method=GET\nclosed 0\n",
          OK_KEPT OK_KEPT OK_KEPT OK_KEPT);
    check("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n", NULL,
          "stream\nheaders end :authority=a :path=/1 :method=GET\nclosed 0\n"
          "stream\nerror 400 http1.codec_error\nclosed 0\n",
          NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line_and_headers),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_trailers_pass_when_enabled),
        cmocka_unit_test(test_odd_requests_are_taken),
        cmocka_unit_test(test_connection_headers_are_used_up),
        cmocka_unit_test(test_http_10),
        cmocka_unit_test(test_malformed_request_lines),
        cmocka_unit_test(test_low_versions),
        cmocka_unit_test(test_malformed_fields),
        cmocka_unit_test(test_malformed_framing),
        cmocka_unit_test(test_malformed_chunks),
        cmocka_unit_test(test_long_chunk_lines_are_refused),
        cmocka_unit_test(test_head_size_limit),
        cmocka_unit_test(test_header_count_limit),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
