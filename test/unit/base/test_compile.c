/* base/compile.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <google/protobuf/duration.pb-c.h>

#include "dataplane/base/compile.h"

static void test_refusal_names_the_path(void **state)
{
    (void)state;
    struct weir_error e = {0};
    struct weir_compile c = {.error = &e};
    assert_int_equal(weir_reject(&c, NULL, "bare"), WEIR_ERR_INVALID);
    assert_string_equal(e.text, "bare");
    (void)weir_reject(&c, "name", "is empty");
    assert_string_equal(e.text, "name: is empty");
    size_t outer = weir_path_push(&c, "virtual_hosts", 2);
    size_t inner = weir_path_push(&c, "match", -1);
    (void)weir_reject(&c, "prefix", "too long: %d", 7);
    assert_string_equal(e.text, "virtual_hosts[2].match.prefix: too long: 7");
    weir_path_pop(&c, inner);
    (void)weir_reject(&c, NULL, "no routes");
    assert_string_equal(e.text, "virtual_hosts[2]: no routes");
    weir_path_pop(&c, outer);
    assert_int_equal(c.path_length, 0);
}

static void test_path_too_long_is_cut(void **state)
{
    (void)state;
    struct weir_error e = {0};
    struct weir_compile c = {.error = &e};
    size_t marks[200];
    for (int i = 0; i < 200; i++)
        marks[i] = weir_path_push(&c, "and_match", i);
    assert_int_equal(c.path_length, WEIR_COMPILE_PATH_MAX - 1);
    for (int i = 199; i >= 0; i--)
        weir_path_pop(&c, marks[i]);
    assert_string_equal(c.path, "");
}

static void test_durations_round_up(void **state)
{
    (void)state;
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    assert_int_equal(weir_duration_ms(NULL, 15000), 15000);
    assert_int_equal(weir_duration_ms(&d, 1), 0);
    d.seconds = 2;
    d.nanos = 1;
    assert_int_equal(weir_duration_ms(&d, 1), 2001);
    d.nanos = 500000000;
    assert_int_equal(weir_duration_ms(&d, 1), 2500);
    d.seconds = -1;
    d.nanos = -5;
    assert_int_equal(weir_duration_ms(&d, 1), 0);
    d.seconds = INT64_MAX;
    d.nanos = 0;
    assert_true(weir_duration_ms(&d, 1) == UINT64_MAX);
}

static void test_strings_are_copied_into_the_resource(void **state)
{
    (void)state;
    struct weir_compile c = {.arena = weir_arena_create()};
    assert_string_equal(weir_compile_str(&c, NULL).p, "");
    assert_string_equal(weir_compile_str(&c, "x").p, "x");
    weir_arena_destroy(c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal_names_the_path),
        cmocka_unit_test(test_path_too_long_is_cut),
        cmocka_unit_test(test_durations_round_up),
        cmocka_unit_test(test_strings_are_copied_into_the_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
