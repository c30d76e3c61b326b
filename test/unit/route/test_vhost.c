/* Virtual hosts by domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/route/route.h"
#include "dataplane/route/vhost.h"

static struct weir_virtual_host hosts[16];

static const struct weir_vhost_index *build(struct weir_arena *arena, const char *const *domains, uint32_t count)
{
    struct weir_vhost_domain at[16];
    const struct weir_vhost_index *x = NULL;
    uint32_t again = 99;
    for (uint32_t i = 0; i < count; i++)
        at[i] = (struct weir_vhost_domain){weir_str_of(domains[i]), &hosts[i]};
    assert_int_equal(weir_vhost_index_build(arena, at, count, &again, &x), WEIR_OK);
    return x;
}

static int found(const struct weir_vhost_index *x, const char *host, bool ignore_port)
{
    const struct weir_virtual_host *v = weir_vhost_index_find(x, weir_str_of(host), ignore_port);
    return v == NULL ? -1 : (int)(v - hosts);
}

static void test_longest_domain_wins(void **state)
{
    (void)state;
    struct weir_arena arena;
    weir_arena_init(&arena, 0);
    static const char *const domains[] = {"*",           "a.Test",  "*.test",   "*.a.test", "www.*", "www.a.*",
                                          "*-b.a.test", "b.test:8080", "[::1]", "*.x.y"};
    const struct weir_vhost_index *x = build(&arena, domains, 10);
    static const struct {
        const char *host;
        int plain, without_port;
    } rows[] = {
        {"a.test", 1, 1},        {"A.TEST", 1, 1},        {"a.test:80", 0, 1},     {"b.a.test", 3, 3},  {"x-b.a.test", 6, 6},
        {"-b.a.test", 3, 3},     {"c.test", 2, 2},        {".test", 0, 0},         {"www.a.com", 5, 5}, {"www.b.com", 4, 4},
        {"www.", 0, 0},          {"b.test:8080", 7, 2},   {"[::1]", 8, 8},         {"[::1]:80", 0, 8},  {"", 0, 0},
        {"www.a.test", 3, 3},    {"other", 0, 0},         {"z.x.y:1", 0, 9},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (found(x, rows[i].host, false) != rows[i].plain || found(x, rows[i].host, true) != rows[i].without_port) {
            print_error("%s: %d %d\n", rows[i].host, found(x, rows[i].host, false), found(x, rows[i].host, true));
            _fail(__FILE__, __LINE__);
        }
    }
    weir_arena_deinit(&arena);
}

static void test_no_virtual_host(void **state)
{
    (void)state;
    struct weir_arena arena;
    weir_arena_init(&arena, 0);
    static const char *const one[] = {"a.test"};
    assert_int_equal(found(build(&arena, one, 1), "b.test", false), -1);
    static const char *const any[] = {"*"};
    assert_int_equal(found(build(&arena, any, 1), "b.test", false), 0);
    char longer[400];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(found(build(&arena, any, 1), longer, false), 0);
    assert_int_equal(found(build(&arena, one, 1), longer, false), -1);
    assert_int_equal(found(build(&arena, NULL, 0), "a", false), -1);
    weir_arena_deinit(&arena);
}

static void test_a_domain_stands_once(void **state)
{
    (void)state;
    struct weir_arena arena;
    weir_arena_init(&arena, 0);
    static const char *const rows[][2] = {{"*", "*"}, {"a.test", "A.test"}, {"*.test", "*.TEST"}, {"www.*", "www.*"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_vhost_domain at[] = {{weir_str_of(rows[i][0]), &hosts[0]}, {weir_str_of(rows[i][1]), &hosts[1]}};
        const struct weir_vhost_index *x = NULL;
        uint32_t again = 99;
        assert_int_equal(weir_vhost_index_build(&arena, at, 2, &again, &x), WEIR_ERR_EXISTS);
        assert_int_equal(again, 1);
    }
    weir_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_domain_wins),
        cmocka_unit_test(test_no_virtual_host),
        cmocka_unit_test(test_a_domain_stands_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
