/* base/format_time.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "dataplane/base/format_command.h"
#include "dataplane/base/random.h"

#define S WEIR_STR
#define WALL 1527590590528123456u /* 2018-05-29T10:43:10.528123456Z */

static void assert_time(const char *format, const char *want)
{
    char out[256];
    assert_true(weir_time_format_valid(weir_str_of(format)));
    assert_int_equal(weir_time_print(weir_str_of(format), WALL, false, out, sizeof(out)), strlen(want));
    assert_string_equal(out, want);
}

static void test_default_form_has_milliseconds(void **state)
{
    (void)state;
    char out[64];
    assert_int_equal(weir_time_print((struct weir_str){NULL, 0}, WALL, false, out, sizeof(out)), 24);
    assert_string_equal(out, "2018-05-29T10:43:10.528Z");
}

static void test_default_form_agrees_with_the_library(void **state)
{
    (void)state;
    struct weir_random r;
    weir_random_seed(&r, 6);
    for (int i = 0; i < 20000; i++) {
        uint64_t ns = weir_random_below(&r, 8000000000u) * 1000000000u + 7000000u;
        char out[64], want[64];
        time_t seconds = (time_t)(ns / 1000000000u);
        struct tm tm;
        (void)gmtime_r(&seconds, &tm);
        (void)strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
        (void)weir_time_print((struct weir_str){NULL, 0}, ns, false, out, sizeof(out));
        assert_string_equal(out, want);
    }
}

static void test_specifications(void **state)
{
    (void)state;
    assert_time("%Y/%m/%dT%H:%M:%S%z", "2018/05/29T10:43:10+0000");
    assert_time("%s", "1527590590");
    assert_time("%s.%3f", "1527590590.528");
    assert_time("%s.%6f", "1527590590.528123");
    assert_time("%s.%9f", "1527590590.528123456");
    assert_time("%f", "528123456");
    assert_time("%E3S|%E0S|%E*S|%E2f|%Ez|%E4Y", "10.528|10|10.528123456|52|+00:00|2018");
    assert_time("%d/%b/%Y:%H:%M:%S %Z %%", "29/May/2018:10:43:10 UTC %");
    assert_time("plain", "plain");
}

static void test_unknown_specifications_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%Q", "%0f", "%3s", "%E", "%EQ", "%E3", "a\nb"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(weir_time_format_valid(weir_str_of(bad[i])));
}

static void test_output_is_cut_at_its_room(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(weir_time_print(S("%s%s"), WALL, false, out, sizeof(out)), 7);
    assert_string_equal(out, "1527590");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_form_has_milliseconds),
        cmocka_unit_test(test_default_form_agrees_with_the_library),
        cmocka_unit_test(test_specifications),
        cmocka_unit_test(test_unknown_specifications_are_refused),
        cmocka_unit_test(test_output_is_cut_at_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
