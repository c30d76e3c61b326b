/* base/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/str.h"

#define S WEIR_STR

static void test_comparisons(void **state)
{
    (void)state;
    struct weir_str none = {NULL, 0};
    assert_true(weir_str_eq_nocase(S("Host"), S("hOST")));
    assert_false(weir_str_eq_nocase(S("Host"), S("Hos")));
    assert_false(weir_str_eq_nocase(S("@"), S("`"))); /* differ in the case bit, are no letters */
    assert_true(weir_str_eq_nocase(none, S("")));
    assert_true(weir_str_starts(S("/api/x"), S("/api")));
    assert_false(weir_str_starts(S("/ap"), S("/api")));
    assert_true(weir_str_starts(S("x"), none));
    assert_true(weir_str_ends(S("a.example"), S(".example")));
    assert_false(weir_str_ends(S("example"), S(".example")));
    assert_true(weir_str_starts_nocase(S("HTTP/1"), S("http")));
    assert_true(weir_str_ends_nocase(S("A.COM"), S(".com")));
    assert_true(weir_str_contains(S("abcd"), S("bc")));
    assert_true(weir_str_contains(none, none));
    assert_false(weir_str_contains(S("abcd"), S("ce")));
    assert_true(weir_str_cmp(S("a"), S("b")) < 0);
    assert_true(weir_str_cmp(S("a"), S("ab")) < 0);
    assert_true(weir_str_cmp(S("\xff"), S("a")) > 0);
    assert_int_equal(weir_str_cmp(none, S("")), 0);
}

static void test_trim_and_find(void **state)
{
    (void)state;
    assert_true(weir_str_eq(weir_str_trim(S(" \t a b \t")), S("a b")));
    assert_int_equal(weir_str_trim(S(" \t ")).n, 0);
    assert_int_equal(weir_str_find(S("a=b"), '='), 1);
    assert_int_equal(weir_str_find(S("ab"), '='), 2);
    assert_int_equal(weir_str_find((struct weir_str){NULL, 0}, '='), 0);
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(weir_str_u64(S("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(weir_str_u64(S("18446744073709551616"), &u));
    assert_false(weir_str_u64(S("99999999999999999999"), &u));
    assert_true(weir_str_u64(S("007"), &u) && u == 7);
    const char *bad[] = {"", "-1", "+1", " 1", "1 ", "1x", "0x1"};
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_false(weir_str_u64(weir_str_of(bad[k]), &u));
    assert_true(weir_str_i64(S("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(weir_str_i64(S("9223372036854775807"), &i) && i == INT64_MAX);
    assert_false(weir_str_i64(S("9223372036854775808"), &i));
    assert_false(weir_str_i64(S("-"), &i));
    assert_true(weir_str_hex(S("fFfFfFfFfFfFfFfF"), &u) && u == UINT64_MAX);
    assert_false(weir_str_hex(S("10000000000000000"), &u));
    assert_false(weir_str_hex(S("g"), &u));
    char out[20];
    assert_int_equal(weir_u64_print(out, 0), 1);
    assert_int_equal(weir_u64_print(out, UINT64_MAX), 20);
    assert_memory_equal(out, "18446744073709551615", 20);
}

static void test_utf8_by_the_unicode_table(void **state)
{
    (void)state;
    const char *good[] = {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    const char *bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                         "\xf5\x80\x80\x80", "\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98"};
    for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++)
        assert_true(weir_utf8_valid(weir_str_of(good[k])));
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_false(weir_utf8_valid(weir_str_of(bad[k])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_trim_and_find),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_utf8_by_the_unicode_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
