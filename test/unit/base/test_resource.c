/* base/resource.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/resource.h"

static int destroyed;
static void on_destroy(void *ctx)
{
    struct weir_resource *r = ctx;
    assert_string_equal(r->name.p, "users"); /* still there */
    destroyed++;
}

static void test_last_release_frees(void **state)
{
    (void)state;
    struct table {
        struct weir_resource resource;
        int n[100];
    } *t = weir_resource_create(sizeof(*t), WEIR_STR("users"));
    destroyed = 0;
    assert_int_equal(t->n[99], 0);
    weir_arena_on_destroy(&t->resource.arena, on_destroy, t);
    weir_resource_acquire(&t->resource);
    weir_resource_release(&t->resource);
    assert_int_equal(destroyed, 0);
    weir_resource_release(&t->resource);
    assert_int_equal(destroyed, 1);
}

static void test_pin_holds_the_resource(void **state)
{
    (void)state;
    struct weir_resource *r = weir_resource_create(sizeof(*r), WEIR_STR("users"));
    destroyed = 0;
    weir_arena_on_destroy(&r->arena, on_destroy, r);
    struct weir_pin *p = weir_pin_create(r);
    weir_resource_release(r);
    assert_int_equal(destroyed, 0);
    (void)weir_pin_acquire(p);
    weir_pin_release(p);
    assert_int_equal(destroyed, 0);
    weir_pin_release(p);
    assert_int_equal(destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_release_frees),
        cmocka_unit_test(test_pin_holds_the_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
