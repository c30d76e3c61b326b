/* base/runtime.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/runtime.h"

#define S WEIR_STR

static struct weir_runtime *two_layers(void)
{
    struct weir_str names[] = {S("static"), S("admin")};
    return weir_runtime_create(names, 2);
}

static void test_no_runtime_answers_with_the_default(void **state)
{
    (void)state;
    assert_null(weir_runtime_get(NULL, S("a")).p);
    assert_int_equal(weir_runtime_u64(NULL, S("a"), 7), 7);
    assert_true(weir_runtime_bool(NULL, S("a"), true));
    assert_int_equal(weir_runtime_layer_count(NULL), 0);
}

static void test_later_layer_wins_until_it_is_taken_out(void **state)
{
    (void)state;
    struct weir_runtime *r = two_layers();
    weir_runtime_set(r, 0, S("k"), S("1"));
    weir_runtime_set(r, 1, S("k"), S("2"));
    assert_int_equal(weir_runtime_u64(r, S("k"), 0), 2);
    weir_runtime_set(r, 1, S("k"), (struct weir_str){NULL, 0});
    assert_int_equal(weir_runtime_u64(r, S("k"), 0), 1);
    weir_runtime_set(r, 0, S("k"), (struct weir_str){NULL, 0});
    assert_int_equal(weir_runtime_u64(r, S("k"), 9), 9);
    size_t at = 0;
    struct weir_str key, final;
    const struct weir_str *layers;
    assert_false(weir_runtime_next(r, &at, &key, &final, &layers));
    weir_resource_release(weir_runtime_resource(r));
}

static void test_values_are_read_by_type(void **state)
{
    (void)state;
    struct weir_runtime *r = two_layers();
    weir_runtime_set(r, 0, S("int"), S("5"));
    weir_runtime_set(r, 0, S("real"), S("2.5"));
    weir_runtime_set(r, 0, S("yes"), S("True"));
    weir_runtime_set(r, 0, S("word"), S("abc"));
    weir_runtime_set(r, 0, S("empty"), S(""));
    weir_runtime_set(r, 0, S("negative"), S("-1"));
    assert_true(weir_runtime_double(r, S("int"), 0) == 5.0);
    assert_true(weir_runtime_double(r, S("real"), 0) == 2.5);
    assert_int_equal(weir_runtime_u64(r, S("real"), 0), 2);
    assert_true(weir_runtime_bool(r, S("yes"), false));
    assert_true(weir_runtime_bool(r, S("int"), true));
    assert_int_equal(weir_runtime_u64(r, S("word"), 8), 8);
    assert_int_equal(weir_runtime_u64(r, S("negative"), 8), 8);
    assert_int_equal(weir_runtime_u64(r, S("empty"), 8), 8);
    assert_non_null(weir_runtime_get(r, S("empty")).p);
    weir_resource_release(weir_runtime_resource(r));
}

static void test_copy_keeps_layers_apart_from_the_published_one(void **state)
{
    (void)state;
    struct weir_runtime *r = two_layers();
    weir_runtime_set(r, 0, S("k"), S("1"));
    struct weir_runtime *next = weir_runtime_copy(r);
    weir_runtime_set(next, 1, S("k"), S("2"));
    assert_int_equal(weir_runtime_u64(r, S("k"), 0), 1);
    weir_resource_release(weir_runtime_resource(r));
    size_t at = 0;
    struct weir_str key, final;
    const struct weir_str *layers;
    assert_true(weir_runtime_next(next, &at, &key, &final, &layers));
    assert_true(weir_str_eq(key, S("k")) && weir_str_eq(final, S("2")));
    assert_true(weir_str_eq(layers[0], S("1")) && weir_str_eq(layers[1], S("2")));
    assert_true(weir_str_eq(weir_runtime_layer_name(next, 1), S("admin")));
    weir_resource_release(weir_runtime_resource(next));
}

static void test_fractions(void **state)
{
    (void)state;
    struct weir_fraction none = {0}, half = {.numerator = 50, .denominator = 100};
    struct weir_fraction keyed = {S("f"), 1, 1000000}, never = {.numerator = 0, .denominator = 100};
    assert_true(weir_fraction_hit(&none, NULL, 5, true));
    assert_false(weir_fraction_hit(&none, NULL, 5, false));
    assert_true(weir_fraction_hit(&half, NULL, 149, false));
    assert_false(weir_fraction_hit(&half, NULL, 150, false));
    assert_false(weir_fraction_hit(&never, NULL, 0, true));
    assert_true(weir_fraction_hit(&keyed, NULL, 1000000, false));
    struct weir_runtime *r = two_layers();
    weir_runtime_set(r, 0, S("f"), S("30"));
    assert_true(weir_fraction_hit(&keyed, r, 29, false));
    assert_false(weir_fraction_hit(&keyed, r, 30, false));
    weir_runtime_set(r, 0, S("f"), S("{\"numerator\": 30, \"denominator\": \"TEN_THOUSAND\"}"));
    assert_true(weir_fraction_hit(&keyed, r, 10029, false));
    assert_false(weir_fraction_hit(&keyed, r, 30, false));
    weir_runtime_set(r, 0, S("f"), S("{broken"));
    assert_true(weir_fraction_hit(&keyed, r, 0, false));
    assert_false(weir_fraction_hit(&keyed, r, 1, false));
    weir_resource_release(weir_runtime_resource(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_runtime_answers_with_the_default),
        cmocka_unit_test(test_later_layer_wins_until_it_is_taken_out),
        cmocka_unit_test(test_values_are_read_by_type),
        cmocka_unit_test(test_copy_keeps_layers_apart_from_the_published_one),
        cmocka_unit_test(test_fractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
