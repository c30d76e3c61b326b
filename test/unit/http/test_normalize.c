/* http/normalize.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/http/normalize.h"

static const char *path(const struct weir_path_rules *rules, const char *in, enum weir_path_verdict *verdict)
{
    static char text[512];
    struct weir_arena a = {0};
    struct weir_str out;
    *verdict = weir_path_normalize(rules, weir_str_of(in), &a, &out);
    (void)snprintf(text, sizeof(text), "%.*s", WEIR_STR_ARG(out));
    weir_arena_deinit(&a);
    return text;
}
struct row {
    const char *in, *out; /* out NULL: rejected */
};
static void check(const struct weir_path_rules *rules, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum weir_path_verdict v;
        const char *out = path(rules, rows[i].in, &v);
        if (rows[i].out == NULL) {
            if (v != WEIR_PATH_REJECT) fail_msg("%s: not rejected but %s", rows[i].in, out);
        } else {
            if (v == WEIR_PATH_REJECT) fail_msg("%s: rejected", rows[i].in);
            assert_string_equal(out, rows[i].out);
        }
    }
}
#define CHECK(rules, ...)                                                                                               \
    do {                                                                                                                \
        static const struct row rows[] = {__VA_ARGS__};                                                                 \
        check(&(rules), rows, sizeof(rows) / sizeof(*rows));                                                            \
    } while (0)

static void test_without_rules_a_path_is_left_alone(void **state)
{
    (void)state;
    struct weir_path_rules rules = {0};
    CHECK(rules, {"/a/../b//./c%2F%41", "/a/../b//./c%2F%41"}, {"/", "/"}, {"/?q=/../x", "/?q=/../x"});
}
static void test_a_fragment_is_always_rejected(void **state)
{
    (void)state;
    struct weir_path_rules none = {0}, all = {true, true, WEIR_SLASHES_UNESCAPE};
    CHECK(none, {"/a#b", NULL}, {"/#", NULL}, {"/a?q#f", NULL});
    CHECK(all, {"/a#b", NULL});
}
static void test_dot_segments_go_as_rfc_3986_says(void **state)
{
    (void)state;
    struct weir_path_rules rules = {.normalize = true};
    CHECK(rules, {"/a/b/c/./../../g", "/a/g"}, {"/../../p", "/p"}, {"/..", "/"}, {"/.", "/"}, {"/a/..", "/"}, {"/a/b/..", "/a/"},
          {"/a/b/.", "/a/b/"}, {"/a/.../b", "/a/.../b"}, {"/a/.b/c..", "/a/.b/c.."}, {"/a/%2e%2E/b", "/b"}, {"/a/%2e/b", "/a/b"},
          {"/a/.%2e/b", "/b"}, {"/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"}, {"/a/./", "/a/"}, {"/a//../b", "/a/b"});
}
static void test_escapes_are_canonical_and_the_query_is_not_touched(void **state)
{
    (void)state;
    struct weir_path_rules rules = {.normalize = true};
    CHECK(rules, {"/%41%7e%2d", "/A~-"}, {"/%zz", "/%zz"}, {"/%", "/%"}, {"/%4", "/%4"}, {"/a%2Fb", "/a%2Fb"}, {"/a%2fb", "/a%2fb"},
          {"/a\\b\\..\\c", "/a/c"}, {"/%00", NULL}, {"/x%00y?z", NULL}, {"/a/../b?q=/../%41\\", "/b?q=/../%41\\"}, {"/%20", "/%20"},
          {"/a<b>", "/a%3Cb%3E"}, {"/a|b^[c]", "/a%7Cb%5E[c]"}, {"/a?%00", "/a?%00"});
}
static void test_slashes_are_merged_in_the_path_alone(void **state)
{
    (void)state;
    struct weir_path_rules rules = {.merge_slashes = true};
    CHECK(rules, {"//", "/"}, {"/a///b//", "/a/b/"}, {"/a//b?q=//", "/a/b?q=//"}, {"/a/b", "/a/b"}, {"///", "/"});
}
static void test_escaped_slashes(void **state)
{
    (void)state;
    struct weir_path_rules reject = {.escaped_slashes = WEIR_SLASHES_REJECT};
    struct weir_path_rules unescape = {.escaped_slashes = WEIR_SLASHES_UNESCAPE};
    struct weir_path_rules redirect = {.escaped_slashes = WEIR_SLASHES_REDIRECT};
    CHECK(reject, {"/a%2fb", NULL}, {"/a%5Cb", NULL}, {"/a?%2f", "/a?%2f"}, {"/a%2", "/a%2"});
    CHECK(unescape, {"/a%2Fb%5cc", "/a/b\\c"}, {"/%2f", "//"}, {"/a%2525", "/a%2525"});
    enum weir_path_verdict v;
    assert_string_equal(path(&redirect, "/u1/x%2Fok", &v), "/u1/x/ok");
    assert_int_equal(v, WEIR_PATH_REDIRECT);
    assert_string_equal(path(&redirect, "/u1/x/ok", &v), "/u1/x/ok");
    assert_int_equal(v, WEIR_PATH_OK);
}
static void test_all_rules_together_in_envoys_order(void **state)
{
    (void)state;
    struct weir_path_rules rules = {true, true, WEIR_SLASHES_UNESCAPE};
    CHECK(rules, {"/u1//x/../y%2Fz%41/./ok?q=//", "/u1/y/zA/ok?q=//"}, {"/a%5c..%2fb", "/b"}, {"/%2e%2e%2f%2e%2e%2fx", "/x"});
}
static const char *host(struct weir_host_rules rules, const char *in, uint16_t port)
{
    static char text[256];
    struct weir_arena a = {0};
    struct weir_str out = weir_host_normalize(&rules, weir_str_of(in), port, &a);
    (void)snprintf(text, sizeof(text), "%.*s", WEIR_STR_ARG(out));
    weir_arena_deinit(&a);
    return text;
}
static void test_ports_and_dots_of_hosts(void **state)
{
    (void)state;
    struct weir_host_rules any = {.strip_any_port = true}, own = {.strip_matching_port = true}, dot = {.strip_trailing_dot = true};
    struct weir_host_rules both = {.strip_any_port = true, .strip_trailing_dot = true}, none = {0};
    assert_string_equal(host(none, "a.test.:80", 80), "a.test.:80");
    assert_string_equal(host(any, "a.test:80", 81), "a.test");
    assert_string_equal(host(any, "[::1]:80", 81), "[::1]");
    assert_string_equal(host(any, "::1", 81), "::1");
    assert_string_equal(host(any, "[::1]", 81), "[::1]");
    assert_string_equal(host(any, "a.test:", 81), "a.test:");
    assert_string_equal(host(any, ":80", 81), "");
    assert_string_equal(host(any, "", 81), "");
    assert_string_equal(host(own, "a.test:80", 81), "a.test:80");
    assert_string_equal(host(own, "a.test:81", 81), "a.test");
    assert_string_equal(host(own, "a.test:081", 81), "a.test");
    assert_string_equal(host(dot, "a.test.", 80), "a.test");
    assert_string_equal(host(dot, "a.test.:80", 80), "a.test:80");
    assert_string_equal(host(dot, ".", 80), ".");
    assert_string_equal(host(both, "a.test.:80", 80), "a.test");
}
static void test_hosts_with_other_characters_are_invalid(void **state)
{
    (void)state;
    static const char *const good[] = {"a.test:80", "", "[::1]:80", "a,b", "a_b~c!", "%41"};
    static const char *const bad[] = {"a b", "a@b", "a/b", "a\\b", "a\"", "a<", "\x80", "a#b", "a?b", "a\tb"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) assert_true(weir_host_valid(weir_str_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_false(weir_host_valid(weir_str_of(bad[i])));
    assert_false(weir_host_valid((struct weir_str){"a\0b", 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_a_path_is_left_alone),
        cmocka_unit_test(test_a_fragment_is_always_rejected),
        cmocka_unit_test(test_dot_segments_go_as_rfc_3986_says),
        cmocka_unit_test(test_escapes_are_canonical_and_the_query_is_not_touched),
        cmocka_unit_test(test_slashes_are_merged_in_the_path_alone),
        cmocka_unit_test(test_escaped_slashes),
        cmocka_unit_test(test_all_rules_together_in_envoys_order),
        cmocka_unit_test(test_ports_and_dots_of_hosts),
        cmocka_unit_test(test_hosts_with_other_characters_are_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
