/* base/sorter.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/base/sorter.h"
#include "dataplane/base/str.h"

static void test_names_come_in_order_whatever_their_number(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, WEIR_SORTER_RUN - 1, WEIR_SORTER_RUN, WEIR_SORTER_RUN + 1, 5000};
    static char names[5000][16];
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct weir_sorter s = {0};
        for (size_t i = 0; i < counts[c]; i++) {
            snprintf(names[i], sizeof(names[i]), "n%zu", i * 7919 % 1000003);
            weir_sorter_add(&s, weir_str_of(names[i]), names[i]);
        }
        size_t steps = 1, taken = 0;
        while (!weir_sorter_step(&s)) steps++;
        assert_true(steps <= counts[c] / WEIR_SORTER_RUN + 1); /* one run each */
        struct weir_str last = {0};
        for (const struct weir_sorter_item *at; (at = weir_sorter_peek(&s)) != NULL; weir_sorter_pop(&s), taken++) {
            assert_true(taken == 0 || weir_str_cmp(last, at->name) < 0);
            assert_ptr_equal(at->name.p, at->value);
            last = at->name;
        }
        assert_int_equal(taken, counts[c]);
        weir_sorter_deinit(&s);
    }
}

static void test_equal_names_all_come(void **state)
{
    (void)state;
    struct weir_sorter s = {0};
    for (int i = 0; i < 2000; i++) weir_sorter_add(&s, i % 2 != 0 ? WEIR_STR("a") : WEIR_STR("b"), NULL);
    while (!weir_sorter_step(&s)) {}
    int taken = 0;
    for (; weir_sorter_peek(&s) != NULL; weir_sorter_pop(&s), taken++)
        assert_true(weir_str_eq(weir_sorter_peek(&s)->name, taken < 1000 ? WEIR_STR("a") : WEIR_STR("b")));
    assert_int_equal(taken, 2000);
    weir_sorter_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_come_in_order_whatever_their_number),
        cmocka_unit_test(test_equal_names_all_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
