/* listener/proxy_protocol.c, http_peek.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "dataplane/listener/http_peek.h"
#include "dataplane/listener/proxy_protocol.h"

static struct weir_proxy_header h;
static size_t used;

static enum weir_proxy_state parse(const void *p, size_t n)
{
    return weir_proxy_protocol_parse(p, n, &h, &used);
}
static enum weir_proxy_state parse_text(const char *text)
{
    return parse(text, strlen(text));
}
static void assert_address(const struct weir_address *a, const char *text)
{
    char out[WEIR_ADDRESS_TEXT_MAX];
    (void)weir_address_print(a, out);
    assert_string_equal(out, text);
}

static void test_version_1(void **state)
{
    (void)state;
    static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /";
    assert_int_equal(parse_text(line), WEIR_PROXY_DONE);
    assert_int_equal(used, strlen(line) - 5);
    assert_address(&h.remote, "192.0.2.1:56324");
    assert_address(&h.local, "198.51.100.2:443");
    assert_int_equal(parse_text("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), WEIR_PROXY_DONE);
    assert_address(&h.remote, "[2001:db8::1]:1");
    assert_int_equal(parse_text("PROXY UNKNOWN\r\n"), WEIR_PROXY_DONE);
    assert_int_equal(h.remote.length, 0);
    assert_int_equal(parse_text("PROXY UNKNOWN anything at all\r\n"), WEIR_PROXY_DONE);
    for (size_t n = 0; n < strlen(line) - 6; n++)
        assert_int_equal(parse(line, n), WEIR_PROXY_MORE);
}

static void test_version_1_that_is_broken(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 443\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.1.1.1 1.1.1.1 1 2\r\n", "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY UDP4 1.1.1.1 1.1.1.1 1 2\r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 1 2\n", "PROXY \r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 -1 2\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(parse_text(lines[i]), WEIR_PROXY_INVALID);
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(longest, 106), WEIR_PROXY_MORE);
    assert_int_equal(parse(longest, 107), WEIR_PROXY_INVALID);
}

static size_t v2(uint8_t *out, uint8_t version_command, uint8_t family, const void *body, size_t n)
{
    static const uint8_t signature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
    memcpy(out, signature, 12);
    out[12] = version_command;
    out[13] = family;
    out[14] = (uint8_t)(n >> 8);
    out[15] = (uint8_t)n;
    if (n != 0) memcpy(out + 16, body, n);
    return 16 + n;
}

static void test_version_2(void **state)
{
    (void)state;
    uint8_t p[128];
    static const uint8_t v4[] = {192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 1, 0xbb, 0x04, 0, 1, 'x'}; /* a TLV behind */
    size_t n = v2(p, 0x21, 0x11, v4, sizeof(v4));
    assert_int_equal(parse(p, n), WEIR_PROXY_DONE);
    assert_int_equal(used, n);
    assert_address(&h.remote, "192.0.2.1:56324");
    assert_address(&h.local, "198.51.100.2:443");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(parse(p, i), WEIR_PROXY_MORE);
    static const uint8_t v6[36] = {0x20, 1, 0x0d, 0xb8, [15] = 1, [31] = 1, [33] = 7, [35] = 8};
    assert_int_equal(parse(p, v2(p, 0x21, 0x21, v6, 36)), WEIR_PROXY_DONE);
    assert_address(&h.remote, "[2001:db8::1]:7");
    assert_address(&h.local, "[::1]:8");
    assert_int_equal(parse(p, v2(p, 0x20, 0x00, NULL, 0)), WEIR_PROXY_DONE); /* LOCAL */
    assert_int_equal(h.remote.length, 0);
    assert_int_equal(parse(p, v2(p, 0x21, 0x11, v4, 11)), WEIR_PROXY_INVALID);
    assert_int_equal(parse(p, v2(p, 0x11, 0x11, v4, 12)), WEIR_PROXY_INVALID);
    assert_int_equal(parse(p, v2(p, 0x22, 0x11, v4, 12)), WEIR_PROXY_INVALID);
    (void)v2(p, 0x21, 0x11, v4, 12);
    p[14] = 0xff;
    assert_int_equal(parse(p, 20), WEIR_PROXY_INVALID); /* beyond the bound: not waited for */
}

static void test_what_is_no_proxy_header(void **state)
{
    (void)state;
    assert_int_equal(parse_text("GET / HTTP/1.1\r\n"), WEIR_PROXY_NONE);
    assert_int_equal(parse_text("P"), WEIR_PROXY_MORE);
    assert_int_equal(parse_text("POST"), WEIR_PROXY_NONE);
    assert_int_equal(parse_text("\r\n\r\nx"), WEIR_PROXY_NONE);
}

static struct weir_str peek(const char *text, bool decided)
{
    struct weir_str alpn = {0};
    assert_int_equal(weir_http_peek((const uint8_t *)text, strlen(text), &alpn), decided);
    return alpn;
}
static void test_http_versions_by_their_first_line(void **state)
{
    (void)state;
    assert_true(weir_str_eq(peek("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true), WEIR_STR("\x03h2c")));
    assert_int_equal(peek("PRI * HTTP/2.0\r\n\r\nS", false).n, 0);
    assert_true(weir_str_eq(peek("GET / HTTP/1.1\r\nHost", true), WEIR_STR("\x08http/1.1")));
    assert_true(weir_str_eq(peek("PUT /x y HTTP/1.0\n", true), WEIR_STR("\x08http/1.0")));
    assert_int_equal(peek("GET / HTTP/1", false).n, 0);
    assert_int_equal(peek("HELO there\r\n", true).n, 0);
    assert_int_equal(peek("\x16\x03", true).n, 0);
    assert_int_equal(peek("", false).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_1_that_is_broken),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_what_is_no_proxy_header),
        cmocka_unit_test(test_http_versions_by_their_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
