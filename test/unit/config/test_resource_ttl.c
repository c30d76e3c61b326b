/* Times to live on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/base/str.h"
#include "dataplane/config/resource_ttl.h"

struct fixture {
    struct weir_worker *control;
    struct weir_ttls *ttls;
    char told[256]; /* "TYPE name name;" for each call */
};

static void on_expired(void *ctx, enum weir_resource_type type, const struct weir_ttl_end *ends, size_t count)
{
    struct fixture *f = ctx;
    size_t n = strlen(f->told);
    n += (size_t)snprintf(f->told + n, sizeof(f->told) - n, "%s", weir_resource_type_name(type));
    for (size_t i = 0; i < count; i++) n += (size_t)snprintf(f->told + n, sizeof(f->told) - n, " %.*s", WEIR_STR_ARG(ends[i].name));
    snprintf(f->told + n, sizeof(f->told) - n, ";");
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.control = weir_worker_create_simulated(0, 1, 1)};
    f.ttls = weir_ttls_create(f.control, on_expired, &f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_ttls_destroy(f->ttls);
    weir_worker_destroy(f->control);
    return 0;
}

static void pass_ms(struct fixture *f, uint64_t ms)
{
    f->control->now_ns += ms * 1000000u;
    weir_worker_finish_turn(f->control);
}

static void test_a_resource_ends_after_its_time(void **state)
{
    struct fixture *f = *state;
    weir_ttls_set(f->ttls, WEIR_CLUSTERS, WEIR_STR("a"), 2000, 0);
    pass_ms(f, 1990);
    assert_string_equal(f->told, "");
    pass_ms(f, 11);
    assert_string_equal(f->told, "cds a;");
    assert_int_equal(weir_ttls_count(f->ttls, WEIR_CLUSTERS), 0);
    pass_ms(f, 10000);
    assert_string_equal(f->told, "cds a;");
}

static void test_setting_it_again_starts_the_time_anew(void **state)
{
    struct fixture *f = *state;
    weir_ttls_set(f->ttls, WEIR_LISTENERS, WEIR_STR("l"), 1000, 0);
    for (int i = 0; i < 10; i++) {
        pass_ms(f, 900);
        weir_ttls_set(f->ttls, WEIR_LISTENERS, WEIR_STR("l"), 1000, 0);
    }
    assert_string_equal(f->told, "");
    assert_int_equal(weir_ttls_count(f->ttls, WEIR_LISTENERS), 1);
    pass_ms(f, 1001);
    assert_string_equal(f->told, "lds l;");
}

static void test_zero_ends_the_watch(void **state)
{
    struct fixture *f = *state;
    weir_ttls_set(f->ttls, WEIR_ROUTES, WEIR_STR("r"), 1000, 0);
    weir_ttls_set(f->ttls, WEIR_ROUTES, WEIR_STR("r"), 0, 0);
    weir_ttls_set(f->ttls, WEIR_ROUTES, WEIR_STR("never set"), 0, 0);
    pass_ms(f, 5000);
    assert_string_equal(f->told, "");
}

static void test_those_of_one_turn_are_told_together(void **state)
{
    struct fixture *f = *state;
    weir_ttls_set(f->ttls, WEIR_ENDPOINTS, WEIR_STR("same"), 500, 0);
    weir_ttls_set(f->ttls, WEIR_CLUSTERS, WEIR_STR("same"), 500, 0);
    weir_ttls_set(f->ttls, WEIR_CLUSTERS, WEIR_STR("other"), 600, 0);
    weir_ttls_set(f->ttls, WEIR_CLUSTERS, WEIR_STR("later"), 6000, 0);
    pass_ms(f, 700);
    assert_string_equal(f->told, "cds same other;eds same;");
    assert_int_equal(weir_ttls_count(f->ttls, WEIR_CLUSTERS), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_resource_ends_after_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_setting_it_again_starts_the_time_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zero_ends_the_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_those_of_one_turn_are_told_together, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
