/* base/san.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/san.h"

#define S WEIR_STR

static void test_a_wildcard_stands_for_one_label(void **state)
{
    (void)state;
    assert_true(weir_san_dns_matches(S("a.example.com"), S("*.EXAMPLE.com")));
    assert_false(weir_san_dns_matches(S("a.b.example.com"), S("*.example.com")));
    assert_false(weir_san_dns_matches(S("example.com"), S("*.example.com")));
    assert_false(weir_san_dns_matches(S(".example.com"), S("*.example.com")));
}

static void test_copies_outlive_what_they_are_of(void **state)
{
    (void)state;
    struct weir_arena *first = weir_arena_create(), *second = weir_arena_create();
    struct weir_error error = {0};
    struct weir_san_match *sans = WEIR_NEW(first, struct weir_san_match, 2);
    sans[0] = (struct weir_san_match){WEIR_SAN_URI, {.kind = WEIR_MATCH_REGEX}};
    assert_int_equal(weir_regex_compile_into(first, S("spiffe://.*/ns/a"), 0, &error, &sans[0].matcher.regex), WEIR_OK);
    sans[1] = (struct weir_san_match){WEIR_SAN_DNS, {.kind = WEIR_MATCH_SUFFIX, .text = weir_arena_str(first, S(".test"))}};
    struct weir_san_match *copy = weir_sans_copy(second, sans, 2);
    weir_arena_destroy(first);
    assert_true(weir_san_matches(&copy[0], S("spiffe://x/ns/a")));
    assert_false(weir_san_matches(&copy[0], S("spiffe://x/ns/b")));
    assert_true(weir_san_matches(&copy[1], S("control.test")));
    assert_false(weir_san_matches(&copy[1], S("control.example")));
    weir_arena_destroy(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wildcard_stands_for_one_label),
        cmocka_unit_test(test_copies_outlive_what_they_are_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
