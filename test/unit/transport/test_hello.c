/* transport/hello.c, against hellos that OpenSSL makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/limits.h"
#include "dataplane/transport/hello.h"

static uint8_t scratch[2 * WEIR_HELLO_WIRE_BYTES_MAX];

/* A client's first flight. */
static size_t make_hello(uint8_t *out, size_t size, const char *sni, const char *alpn, int max_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *wire = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, wire);
    SSL_set_max_proto_version(ssl, max_version);
    if (sni != NULL) SSL_set_tlsext_host_name(ssl, sni);
    if (alpn != NULL) SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    SSL_connect(ssl);
    int n = BIO_read(wire, out, (int)size);
    assert_true(n > 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return (size_t)n;
}

static void test_hello_of_openssl_is_read(void **state)
{
    (void)state;
    uint8_t p[4096];
    struct weir_hello h;
    size_t n = make_hello(p, sizeof(p), "www.example.com", "\x02h2\x08http/1.1", TLS1_3_VERSION);
    assert_int_equal(weir_hello_parse(p, n, scratch, &h), WEIR_HELLO_DONE);
    assert_true(weir_str_eq(h.server_name, WEIR_STR("www.example.com")));
    assert_int_equal(h.version_max, 0x0304);
    size_t at = 0;
    assert_true(weir_str_eq(weir_alpn_next(h.alpn, &at), WEIR_STR("h2")));
    assert_true(weir_str_eq(weir_alpn_next(h.alpn, &at), WEIR_STR("http/1.1")));
    assert_int_equal(weir_alpn_next(h.alpn, &at).n, 0);

    n = make_hello(p, sizeof(p), NULL, NULL, TLS1_2_VERSION);
    assert_int_equal(weir_hello_parse(p, n, scratch, &h), WEIR_HELLO_DONE);
    assert_int_equal(h.server_name.n + h.alpn.n, 0);
    assert_int_equal(h.version_max, 0x0303);
}

static void test_hello_wants_more_at_every_truncation(void **state)
{
    (void)state;
    uint8_t p[4096];
    struct weir_hello h;
    size_t n = make_hello(p, sizeof(p), "a.example", "\x02h2", TLS1_3_VERSION);
    for (size_t i = 0; i < n; i++) {
        uint8_t *exact = malloc(i + 1);
        memcpy(exact, p, i);
        assert_int_equal(weir_hello_parse(exact, i, scratch, &h), WEIR_HELLO_MORE);
        free(exact);
    }
    memset(p + n, 0xff, 100); /* what follows does not matter */
    assert_int_equal(weir_hello_parse(p, n + 100, scratch, &h), WEIR_HELLO_DONE);
}

/* The same message in records of `piece` bytes. */
static size_t cut(const uint8_t *p, size_t n, size_t piece, uint8_t *out)
{
    size_t to = 0;
    for (size_t at = 5; at < n; at += piece) {
        size_t m = n - at < piece ? n - at : piece;
        uint8_t head[5] = {22, 3, 1, (uint8_t)(m >> 8), (uint8_t)m};
        memcpy(out + to, head, 5);
        memcpy(out + to + 5, p + at, m);
        to += 5 + m;
    }
    return to;
}

static void test_hello_in_many_records_is_put_together(void **state)
{
    (void)state;
    uint8_t p[4096], cut_up[32768];
    struct weir_hello h;
    size_t n = make_hello(p, sizeof(p), "fragments.example", "\x02h2", TLS1_3_VERSION);
    for (size_t piece = 1; piece < n; piece += piece < 8 ? 1 : 37) {
        size_t m = cut(p, n, piece, cut_up);
        assert_int_equal(weir_hello_parse(cut_up, m, scratch, &h), WEIR_HELLO_DONE);
        assert_true(weir_str_eq(h.server_name, WEIR_STR("fragments.example")));
        for (size_t i = 0; i < m; i += 13)
            assert_int_equal(weir_hello_parse(cut_up, i, scratch, &h), WEIR_HELLO_MORE);
    }
}

static void test_what_is_no_tls_is_told_at_the_first_byte_that_shows_it(void **state)
{
    (void)state;
    struct weir_hello h;
    static const uint8_t alert[] = {21, 3, 1, 0, 2, 1, 0}, ssl2[] = {0x80, 0x2e, 1, 3, 1}, empty[] = {22, 3, 1, 0, 0},
                         long_record[] = {22, 3, 1, 0x40, 1}, other[] = {22, 3, 3, 0, 4, 2, 0, 0, 0}, version[] = {22, 2};
    assert_int_equal(weir_hello_parse((const uint8_t *)"G", 1, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse((const uint8_t *)"PRI * HTTP/2.0", 14, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(alert, 1, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(ssl2, 5, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(empty, 5, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(long_record, 5, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(other, 9, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(version, 2, scratch, &h), WEIR_HELLO_NOT_TLS);
    assert_int_equal(weir_hello_parse(NULL, 0, scratch, &h), WEIR_HELLO_MORE);
}

static void test_hello_that_is_too_large_is_refused_at_its_head(void **state)
{
    (void)state;
    struct weir_hello h;
    static const uint8_t head[] = {22, 3, 1, 0x40, 0, 1, 0, 0x40, 1};
    assert_int_equal(weir_hello_parse(head, sizeof(head), scratch, &h), WEIR_HELLO_TOO_LARGE);
}

/* Every byte of a hello replaced by every value: no crash, and never a view outside. */
static void test_hello_with_any_byte_changed_stays_within_its_bounds(void **state)
{
    (void)state;
    uint8_t p[4096];
    struct weir_hello h;
    size_t n = make_hello(p, sizeof(p), "x.example", "\x02h2\x08http/1.1", TLS1_3_VERSION);
    uint8_t *exact = malloc(n);
    for (size_t i = 0; i < n; i++) {
        for (unsigned v = 0; v < 256; v += i < 120 ? 1 : 5) {
            memcpy(exact, p, n);
            exact[i] = (uint8_t)v;
            if (weir_hello_parse(exact, n, scratch, &h) != WEIR_HELLO_DONE) continue;
            if (h.server_name.n != 0)
                assert_true((const uint8_t *)h.server_name.p >= exact && (const uint8_t *)h.server_name.p + h.server_name.n <= exact + n);
            if (h.alpn.n != 0) assert_true((const uint8_t *)h.alpn.p >= exact && (const uint8_t *)h.alpn.p + h.alpn.n <= exact + n);
        }
    }
    free(exact);
}

/* Builds a hello by hand around one extensions block. */
static enum weir_hello_state parse_extensions(const uint8_t *ext, size_t n, struct weir_hello *h)
{
    static uint8_t p[4096];
    size_t body = 2 + 32 + 1 + 2 + 2 + 2 + 2 + n, at = 0;
    const uint8_t head[] = {22, 3, 1, (uint8_t)((body + 4) >> 8), (uint8_t)(body + 4), 1, 0, (uint8_t)(body >> 8), (uint8_t)body, 3, 3};
    memset(p, 0, sizeof(p));
    memcpy(p, head, sizeof(head));
    at = sizeof(head) + 32;
    const uint8_t rest[] = {0, 0, 2, 0xc0, 0x2f, 1, 0, (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(p + at, rest, sizeof(rest));
    at += sizeof(rest);
    memcpy(p + at, ext, n);
    return weir_hello_parse(p, at + n, scratch, h);
}
#define EXTENSIONS(...) parse_extensions((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), &h)

static void test_extensions_must_fill_their_lengths_and_come_once(void **state)
{
    (void)state;
    struct weir_hello h;
    assert_int_equal(EXTENSIONS(0, 0, 0, 6, 0, 4, 0, 0, 1, 'a'), WEIR_HELLO_DONE);
    assert_true(weir_str_eq(h.server_name, WEIR_STR("a")));
    assert_int_equal(EXTENSIONS(0, 0, 0, 6, 0, 5, 0, 0, 1, 'a'), WEIR_HELLO_NOT_TLS);             /* list beyond extension */
    assert_int_equal(EXTENSIONS(0, 0, 0, 6, 0, 3, 0, 0, 1, 'a'), WEIR_HELLO_NOT_TLS);             /* name beyond list */
    assert_int_equal(EXTENSIONS(0, 0, 0, 5, 0, 3, 0, 0, 0), WEIR_HELLO_NOT_TLS);                  /* empty name */
    assert_int_equal(EXTENSIONS(0, 0, 0, 6, 0, 4, 0, 0, 1, 0), WEIR_HELLO_NOT_TLS);               /* NUL */
    assert_int_equal(EXTENSIONS(0, 0, 0, 6, 0, 4, 0, 0, 1, 'a', 0, 0, 0, 6, 0, 4, 0, 0, 1, 'b'), WEIR_HELLO_NOT_TLS); /* twice */
    assert_int_equal(EXTENSIONS(0, 16, 0, 5, 0, 3, 2, 'h', '2'), WEIR_HELLO_DONE);
    assert_int_equal(EXTENSIONS(0, 16, 0, 5, 0, 3, 3, 'h', '2'), WEIR_HELLO_NOT_TLS);
    assert_int_equal(EXTENSIONS(0, 16, 0, 3, 0, 1, 0), WEIR_HELLO_NOT_TLS); /* empty protocol */
    assert_int_equal(EXTENSIONS(0, 43, 0, 5, 4, 0x7a, 0x7a, 3, 3), WEIR_HELLO_DONE);
    assert_int_equal(h.version_max, 0x0303); /* not the reserved value */
    assert_int_equal(EXTENSIONS(0, 43, 0, 4, 3, 3, 4, 3), WEIR_HELLO_NOT_TLS);
    assert_int_equal(EXTENSIONS(0, 0, 0), WEIR_HELLO_NOT_TLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_of_openssl_is_read),
        cmocka_unit_test(test_hello_wants_more_at_every_truncation),
        cmocka_unit_test(test_hello_in_many_records_is_put_together),
        cmocka_unit_test(test_what_is_no_tls_is_told_at_the_first_byte_that_shows_it),
        cmocka_unit_test(test_hello_that_is_too_large_is_refused_at_its_head),
        cmocka_unit_test(test_hello_with_any_byte_changed_stays_within_its_bounds),
        cmocka_unit_test(test_extensions_must_fill_their_lengths_and_come_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
