/* base/error.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/error.h"

static void test_set_returns_the_code_and_keeps_the_text(void **state)
{
    (void)state;
    struct weir_error e = {0};
    assert_int_equal(weir_error_set(&e, WEIR_ERR_LIMIT, "at most %d", 5), WEIR_ERR_LIMIT);
    assert_int_equal(e.code, WEIR_ERR_LIMIT);
    assert_string_equal(e.text, "at most 5");
    assert_int_equal(weir_error_set(NULL, WEIR_ERR_IO, "nobody asks"), WEIR_ERR_IO);
}

static void test_prefix_names_the_place_before_the_reason(void **state)
{
    (void)state;
    struct weir_error e = {0};
    (void)weir_error_set(&e, WEIR_ERR_INVALID, "unknown field");
    assert_int_equal(weir_error_prefix(&e, "file.yaml:%d", 3), WEIR_ERR_INVALID);
    assert_string_equal(e.text, "file.yaml:3: unknown field");
}

static void test_long_text_is_cut_with_dots(void **state)
{
    (void)state;
    struct weir_error e = {0};
    char text[2 * WEIR_ERROR_TEXT_MAX];
    memset(text, 'a', sizeof(text));
    (void)weir_error_set(&e, WEIR_ERR_INVALID, "%.*s", (int)sizeof(text), text);
    assert_int_equal(strlen(e.text), WEIR_ERROR_TEXT_MAX - 1);
    assert_string_equal(e.text + WEIR_ERROR_TEXT_MAX - 5, "a...");
    (void)weir_error_prefix(&e, "%.*s", (int)sizeof(text), text);
    assert_string_equal(e.text + WEIR_ERROR_TEXT_MAX - 5, "a...");
}

static void test_text_is_one_line(void **state)
{
    (void)state;
    struct weir_error e = {0};
    (void)weir_error_set(&e, WEIR_ERR_INVALID, "a\nb\r\nc");
    assert_string_equal(e.text, "a b  c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_returns_the_code_and_keeps_the_text),
        cmocka_unit_test(test_prefix_names_the_place_before_the_reason),
        cmocka_unit_test(test_long_text_is_cut_with_dots),
        cmocka_unit_test(test_text_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
