/* base/arena.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/random.h"

static void test_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct weir_arena a = {0};
    for (size_t size = 0; size < 3000; size += 7) {
        char *p = weir_arena_alloc(&a, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    weir_arena_deinit(&a);
    assert_int_equal(a.bytes, 0);
}

static void test_allocations_do_not_overlap(void **state)
{
    (void)state;
    struct weir_arena *a = weir_arena_create();
    struct weir_random r;
    weir_random_seed(&r, 1);
    enum { COUNT = 2000 };
    unsigned char *at[COUNT];
    size_t n[COUNT];
    for (int i = 0; i < COUNT; i++) {
        n[i] = weir_random_below(&r, i % 50 == 0 ? 100000 : 200);
        at[i] = weir_arena_alloc(a, n[i]);
        memset(at[i], i & 0xff, n[i]);
    }
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < n[i]; k++)
            assert_int_equal(at[i][k], i & 0xff);
    weir_arena_destroy(a);
}

static void test_cap_refuses_what_passes_it(void **state)
{
    (void)state;
    struct weir_arena a;
    weir_arena_init(&a, 10000);
    assert_null(weir_arena_try_alloc(&a, 20000));
    assert_null(weir_arena_try_alloc(&a, SIZE_MAX));
    size_t got = 0;
    while (weir_arena_try_alloc(&a, 100) != NULL)
        got += 100;
    assert_true(got >= 7000);
    assert_true(a.bytes <= 10000);
    assert_non_null(weir_arena_alloc(&a, 20000)); /* the cap is for try_alloc */
    weir_arena_deinit(&a);
    assert_int_equal(a.bytes_max, 10000);
}

static void test_reset_makes_all_room_free_again(void **state)
{
    (void)state;
    struct weir_arena *a = weir_arena_create();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++)
            memset(weir_arena_alloc(a, 100), 0xee, 100);
        weir_arena_reset(a);
        assert_true(a->bytes < 2000);
    }
    char *p = weir_arena_alloc(a, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(p[i], 0);
    weir_arena_destroy(a);
}

static void test_pool_gives_the_same_arena_again(void **state)
{
    (void)state;
    struct weir_arena_pool pool = {0};
    struct weir_arena *a = weir_arena_pool_take(&pool);
    (void)weir_arena_alloc(a, 5000);
    weir_arena_pool_give(&pool, a);
    assert_ptr_equal(weir_arena_pool_take(&pool), a);
    weir_arena_pool_give(&pool, a);
    struct weir_arena *many[WEIR_ARENA_POOL_MAX + 3];
    for (int i = 0; i < WEIR_ARENA_POOL_MAX + 3; i++)
        many[i] = weir_arena_pool_take(&pool);
    for (int i = 0; i < WEIR_ARENA_POOL_MAX + 3; i++)
        weir_arena_pool_give(&pool, many[i]);
    assert_int_equal(pool.count, WEIR_ARENA_POOL_MAX);
    weir_arena_pool_deinit(&pool);
}

static int order[8], ordered;
static void note(void *ctx)
{
    order[ordered++] = *(int *)ctx;
}

static void test_cleanups_run_newest_first(void **state)
{
    (void)state;
    struct weir_arena *a = weir_arena_create();
    ordered = 0;
    for (int i = 0; i < 3; i++) {
        int *n = WEIR_NEW(a, int, 1);
        *n = i;
        weir_arena_on_destroy(a, note, n);
    }
    weir_arena_destroy(a);
    assert_int_equal(ordered, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(order[i], 2 - i);
}

static void test_strings_are_copied_and_terminated(void **state)
{
    (void)state;
    struct weir_arena a = {0};
    char text[] = "abc";
    struct weir_str s = weir_arena_str(&a, (struct weir_str){text, 2});
    text[0] = 'x';
    assert_int_equal(s.n, 2);
    assert_string_equal(s.p, "ab");
    s = weir_arena_str(&a, (struct weir_str){NULL, 0});
    assert_string_equal(s.p, "");
    s = weir_arena_printf(&a, "%s-%d", "n", 7);
    assert_string_equal(s.p, "n-7");
    s = weir_arena_printf(&a, "%0500d", 1);
    assert_int_equal(s.n, 500);
    assert_int_equal(strlen(s.p), 500);
    weir_arena_deinit(&a);
}

static void test_a_small_arena_stays_small(void **state)
{
    (void)state;
    struct weir_arena *a = weir_arena_create();
    (void)weir_arena_alloc(a, 100);
    assert_true(a->bytes <= 1024);
    weir_arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_makes_all_room_free_again),
        cmocka_unit_test(test_pool_gives_the_same_arena_again),
        cmocka_unit_test(test_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_allocations_do_not_overlap),
        cmocka_unit_test(test_cap_refuses_what_passes_it),
        cmocka_unit_test(test_cleanups_run_newest_first),
        cmocka_unit_test(test_strings_are_copied_and_terminated),
        cmocka_unit_test(test_a_small_arena_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
