/* base/map.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/base/map.h"
#include "dataplane/base/random.h"

static void test_empty_map_answers(void **state)
{
    (void)state;
    struct weir_map m = {0};
    size_t at = 0;
    assert_null(weir_map_get(&m, WEIR_STR("a")));
    assert_null(weir_map_remove(&m, WEIR_STR("a")));
    assert_false(weir_map_next(&m, &at, NULL, NULL));
    weir_map_deinit(&m);
}

static void test_set_returns_what_was_there(void **state)
{
    (void)state;
    struct weir_map m = {0};
    int one, two;
    assert_null(weir_map_set(&m, WEIR_STR(""), &one)); /* the empty key is a key */
    assert_ptr_equal(weir_map_set(&m, (struct weir_str){NULL, 0}, &two), &one);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(weir_map_remove(&m, WEIR_STR("")), &two);
    assert_int_equal(m.count, 0);
    weir_map_deinit(&m);
}

static void test_random_operations_agree_with_a_plain_array(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    static char names[KEYS][8];
    int *reference[KEYS] = {0};
    static int values[KEYS * 2];
    struct weir_map m = {0};
    struct weir_random r;
    weir_random_seed(&r, 3);
    for (int i = 0; i < KEYS; i++)
        (void)snprintf(names[i], sizeof(names[i]), "k%d", i);
    for (int step = 0; step < 100000; step++) {
        /* Phases of growing and shrinking. */
        bool grow = step / 5000 % 2 == 0;
        size_t k = weir_random_below(&r, KEYS);
        struct weir_str key = weir_str_of(names[k]);
        if (weir_random_below(&r, 4) != 0 ? grow : !grow) {
            int *v = &values[weir_random_below(&r, KEYS * 2)];
            assert_ptr_equal(weir_map_set(&m, key, v), reference[k]);
            reference[k] = v;
        } else {
            assert_ptr_equal(weir_map_remove(&m, key), reference[k]);
            reference[k] = NULL;
        }
        k = weir_random_below(&r, KEYS);
        assert_ptr_equal(weir_map_get(&m, weir_str_of(names[k])), reference[k]);
        if (step % 1000 != 0) continue;
        size_t at = 0, seen = 0, expected = 0;
        struct weir_str found;
        void *value;
        while (weir_map_next(&m, &at, &found, &value)) {
            int index = 0;
            assert_int_equal(sscanf(found.p, "k%d", &index), 1);
            assert_ptr_equal(value, reference[index]);
            seen++;
        }
        for (int i = 0; i < KEYS; i++)
            expected += reference[i] != NULL;
        assert_int_equal(seen, expected);
        assert_int_equal(m.count, expected);
    }
    weir_map_deinit(&m);
}

static void test_hash_is_constant_within_the_process(void **state)
{
    (void)state;
    assert_true(weir_hash(WEIR_STR("abc")) == weir_hash(WEIR_STR("abc")));
    assert_true(weir_hash(WEIR_STR("abc")) != weir_hash(WEIR_STR("abd")));
    assert_true(weir_hash(WEIR_STR("")) == weir_hash((struct weir_str){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_map_answers),
        cmocka_unit_test(test_set_returns_what_was_there),
        cmocka_unit_test(test_random_operations_agree_with_a_plain_array),
        cmocka_unit_test(test_hash_is_constant_within_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
