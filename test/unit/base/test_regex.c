/* Regular expressions: matching, bounds, rewriting as RE2's GlobalReplace does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/regex.h"

static struct weir_arena arena;

static const struct weir_regex *compile(const char *pattern)
{
    struct weir_error error = {0};
    const struct weir_regex *r = NULL;
    assert_int_equal(weir_regex_compile_into(&arena, weir_str_of(pattern), 0, &error, &r), WEIR_OK);
    return r;
}

static int clear(void **state)
{
    (void)state;
    weir_arena_deinit(&arena);
    return 0;
}

static void test_regex_matches_whole_or_part(void **state)
{
    (void)state;
    const struct weir_regex *r = compile("a+b");
    assert_true(weir_regex_full_match(r, WEIR_STR("aab")));
    assert_false(weir_regex_full_match(r, WEIR_STR("aabc")));
    assert_true(weir_regex_partial_match(r, WEIR_STR("xaabc")));
    assert_false(weir_regex_partial_match(r, WEIR_STR("xbc")));
    assert_false(weir_regex_full_match(r, (struct weir_str){NULL, 0}));
    assert_true(weir_regex_full_match(compile(""), (struct weir_str){NULL, 0}));
}

static void test_regex_dollar_is_the_very_end(void **state)
{
    (void)state;
    assert_false(weir_regex_partial_match(compile("^a$"), WEIR_STR("a\n")));
}

static void test_regex_that_is_none_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct weir_error error;
    struct weir_regex *r = NULL;
    assert_int_equal(weir_regex_compile(WEIR_STR("("), 0, &error, &r), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "missing ): ("));
    assert_int_equal(weir_regex_compile(WEIR_STR("a(?=b)"), 0, &error, &r), WEIR_ERR_INVALID);
    assert_null(r);
}

static void test_regex_program_size_is_bounded(void **state)
{
    (void)state;
    struct weir_error error;
    struct weir_regex *r = NULL;
    assert_int_equal(weir_regex_compile(WEIR_STR("/(a|b|c){1,50}/x"), 100, &error, &r), WEIR_ERR_LIMIT);
    assert_non_null(strstr(error.text, "program size"));
    assert_int_equal(weir_regex_compile(WEIR_STR("/abc"), 100, &error, &r), WEIR_OK);
    weir_regex_destroy(r);
}

static void replaces(const char *pattern, const char *text, const char *rewrite, const char *result)
{
    struct weir_error error;
    const struct weir_regex *r = compile(pattern);
    assert_int_equal(weir_regex_check_rewrite(r, weir_str_of(rewrite), &error), WEIR_OK);
    struct weir_str out = weir_regex_replace(r, weir_str_of(text), weir_str_of(rewrite), &arena);
    assert_string_equal(weir_arena_str(&arena, out).p, result);
}

static void test_regex_replace_puts_groups_in_for_every_match(void **state)
{
    (void)state;
    replaces("^/service/([^/]+)(/.*)$", "/service/foo/v1/api", "\\2/instance/\\1", "/v1/api/instance/foo");
    replaces("one", "/xxx/one/yyy/one/zzz", "two", "/xxx/two/yyy/two/zzz");
    replaces("^(.*?)one(.*)$", "/xxx/one/yyy/one/zzz", "\\1two\\2", "/xxx/two/yyy/one/zzz");
    replaces("b", "abc", "[\\0]", "a[b]c");
    replaces("b", "abc", "\\\\", "a\\c");
    replaces("x", "abc", "y", "abc");
    replaces("(x)?b", "abc", "<\\1>", "a<>c");
    replaces("b", "abc", "", "ac");
}

static void test_regex_replace_of_empty_matches_is_re2s(void **state)
{
    (void)state;
    /* Known answers of RE2::GlobalReplace. */
    replaces("b*", "bbbbbb", "bb", "bb");
    replaces("b+", "bbbbbb", "bb", "bb");
    replaces("b*", "aaaaa", "bb", "bbabbabbabbabbabb");
    replaces("(qu|[b-df-hj-np-tv-z]*)([a-z]+)", "the quick brown fox jumps over the lazy dogs.", "\\2\\1ay",
             "ethay ickquay ownbray oxfay umpsjay overay ethay azylay ogsday.");
    replaces("a.*a", "aba\naba", "(\\0)", "(aba)\n(aba)");
    replaces("", "xy", "-", "-x-y-");
    replaces("", "\xc3\xa9", "-", "-\xc3\xa9-");
}

static void test_regex_rewrite_that_names_no_group_is_refused(void **state)
{
    (void)state;
    struct weir_error error;
    const struct weir_regex *r = compile("(a)b");
    assert_int_equal(weir_regex_groups(r), 1);
    assert_int_equal(weir_regex_check_rewrite(r, WEIR_STR("\\1"), &error), WEIR_OK);
    assert_int_equal(weir_regex_check_rewrite(r, WEIR_STR("\\2"), &error), WEIR_ERR_INVALID);
    assert_int_equal(weir_regex_check_rewrite(r, WEIR_STR("x\\"), &error), WEIR_ERR_INVALID);
    assert_int_equal(weir_regex_check_rewrite(r, WEIR_STR("\\n"), &error), WEIR_ERR_INVALID);
}

static void test_regex_capture_gives_groups_of_the_first_match(void **state)
{
    (void)state;
    struct weir_str groups[4];
    const struct weir_regex *r = compile("(\\w+)=(\\d+)?");
    assert_true(weir_regex_capture(r, WEIR_STR("; k=; z=1"), groups, 4));
    assert_true(weir_str_eq(groups[0], WEIR_STR("k=")));
    assert_true(weir_str_eq(groups[1], WEIR_STR("k")));
    assert_null(groups[2].p);
    assert_null(groups[3].p);
    assert_false(weir_regex_capture(r, WEIR_STR("none"), groups, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_regex_matches_whole_or_part, clear),
        cmocka_unit_test_teardown(test_regex_dollar_is_the_very_end, clear),
        cmocka_unit_test_teardown(test_regex_that_is_none_is_refused_with_the_reason, clear),
        cmocka_unit_test_teardown(test_regex_program_size_is_bounded, clear),
        cmocka_unit_test_teardown(test_regex_replace_puts_groups_in_for_every_match, clear),
        cmocka_unit_test_teardown(test_regex_replace_of_empty_matches_is_re2s, clear),
        cmocka_unit_test_teardown(test_regex_rewrite_that_names_no_group_is_refused, clear),
        cmocka_unit_test_teardown(test_regex_capture_gives_groups_of_the_first_match, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
