/* base/headers.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/headers.h"
#include "dataplane/base/str.h"

#define S WEIR_STR

static int setup(void **state)
{
    *state = weir_arena_create();
    return 0;
}
static int teardown(void **state)
{
    weir_arena_destroy(*state);
    return 0;
}

static void assert_header(const struct weir_headers *h, uint32_t i, const char *name, const char *value)
{
    assert_true(i < h->count);
    assert_true(weir_str_eq(h->at[i].name, weir_str_of(name)));
    assert_true(weir_str_eq(h->at[i].value, weir_str_of(value)));
}

static void assert_bytes(const struct weir_headers *h)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < h->count; i++)
        sum += h->at[i].name.n + h->at[i].value.n;
    assert_int_equal(h->bytes, sum);
}

static void test_every_known_name_is_interned(void **state)
{
    (void)state;
    for (int id = 1; id < WEIR_H_COUNT; id++) {
        struct weir_str name = weir_header_name((enum weir_header_id)id);
        assert_true(name.n != 0);
        assert_int_equal(weir_header_id(name), id);
        for (size_t i = 0; i < name.n; i++)
            assert_int_equal(name.p[i], weir_lower(name.p[i]));
    }
    static const char *const unknown[] = {"", "x", "hosts", "hos", "x-request-ie", "content-lengthy", ":path2", "x-forwarded-forx"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(weir_header_id(weir_str_of(unknown[i])), WEIR_H_NONE);
    assert_int_equal(weir_header_id((struct weir_str){NULL, 0}), WEIR_H_NONE);
}

static void test_copying_form_lowers_and_owns(void **state)
{
    struct weir_headers h;
    weir_headers_init(&h, *state);
    char name[] = "X-Custom", value[] = "v";
    weir_headers_add_copy(&h, weir_str_of(name), weir_str_of(value));
    weir_headers_add_copy(&h, S("Content-Type"), S("text/plain"));
    name[0] = value[0] = '?';
    assert_header(&h, 0, "x-custom", "v");
    assert_header(&h, 1, "content-type", "text/plain");
    assert_int_equal(h.at[0].id, WEIR_H_NONE);
    assert_int_equal(h.at[1].id, WEIR_H_CONTENT_TYPE);
    assert_true(weir_str_eq(weir_headers_get(&h, WEIR_H_CONTENT_TYPE), S("text/plain")));
    assert_non_null(weir_headers_find_name(&h, S("x-custom")));
    assert_null(weir_headers_find_name(&h, S("x-other")));
    assert_null(weir_headers_get(&h, WEIR_H_HOST).p);
}

static void test_set_replaces_the_first_and_removes_the_rest(void **state)
{
    struct weir_headers h;
    weir_headers_init(&h, *state);
    weir_headers_add(&h, WEIR_H_VIA, S("1"));
    weir_headers_add_name(&h, S("x-a"), S("a"));
    weir_headers_add(&h, WEIR_H_VIA, S("2"));
    weir_headers_add_name(&h, S("x-b"), S("b"));
    weir_headers_add(&h, WEIR_H_VIA, S("3"));
    weir_headers_set(&h, WEIR_H_VIA, S("four"));
    assert_int_equal(h.count, 3);
    assert_header(&h, 0, "via", "four");
    assert_header(&h, 1, "x-a", "a");
    assert_header(&h, 2, "x-b", "b");
    weir_headers_set_name(&h, S("x-b"), S("c"));
    assert_header(&h, 2, "x-b", "c");
    weir_headers_set_int(&h, WEIR_H_CONTENT_LENGTH, UINT64_MAX);
    assert_header(&h, 3, "content-length", "18446744073709551615");
    assert_bytes(&h);
}

static void test_pseudo_headers_stay_before_regular_ones(void **state)
{
    struct weir_headers h;
    weir_headers_init(&h, *state);
    weir_headers_add(&h, WEIR_H_METHOD, S("GET"));
    weir_headers_add(&h, WEIR_H_ACCEPT, S("*/*"));
    weir_headers_set(&h, WEIR_H_PATH, S("/"));
    weir_headers_add_name(&h, S(":protocol"), S("websocket"));
    assert_header(&h, 0, ":method", "GET");
    assert_header(&h, 1, ":path", "/");
    assert_header(&h, 2, ":protocol", "websocket");
    assert_header(&h, 3, "accept", "*/*");
    assert_bytes(&h);
}

static void test_remove_counts_and_keeps_order(void **state)
{
    struct weir_headers h;
    weir_headers_init(&h, *state);
    for (int i = 0; i < 100; i++)
        weir_headers_add_name(&h, i % 3 == 0 ? S("x-gone") : S("x-kept"), weir_arena_printf(*state, "%d", i));
    assert_int_equal(weir_headers_remove_name(&h, S("x-gone")), 34);
    assert_int_equal(weir_headers_remove_name(&h, S("x-gone")), 0);
    assert_int_equal(h.count, 66);
    assert_header(&h, 0, "x-kept", "1");
    assert_header(&h, 65, "x-kept", "98");
    weir_headers_remove_at(&h, 0);
    assert_header(&h, 0, "x-kept", "2");
    assert_int_equal(weir_headers_remove(&h, WEIR_H_HOST), 0);
    assert_bytes(&h);
}

static void test_joined_values_keep_their_order(void **state)
{
    struct weir_headers h;
    weir_headers_init(&h, *state);
    weir_headers_add(&h, WEIR_H_ACCEPT, S("a"));
    weir_headers_add(&h, WEIR_H_VIA, S(""));
    weir_headers_add(&h, WEIR_H_ACCEPT, S(""));
    weir_headers_add(&h, WEIR_H_ACCEPT, S("b"));
    assert_true(weir_str_eq(weir_headers_get_joined(&h, S("accept"), *state), S("a,,b")));
    struct weir_str one = weir_headers_get_joined(&h, S("via"), *state);
    assert_non_null(one.p);
    assert_int_equal(one.n, 0);
    assert_null(weir_headers_get_joined(&h, S("x"), *state).p);
}

static void test_copy_is_independent(void **state)
{
    struct weir_headers a, b;
    weir_headers_init(&a, *state);
    weir_headers_init(&b, *state);
    weir_headers_copy(&b, &a);
    assert_int_equal(b.count, 0);
    for (int i = 0; i < 20; i++)
        weir_headers_add(&a, WEIR_H_VIA, S("1"));
    weir_headers_copy(&b, &a);
    weir_headers_set(&b, WEIR_H_VIA, S("2"));
    assert_int_equal(a.count, 20);
    assert_int_equal(b.count, 1);
    for (int i = 0; i < 20; i++)
        weir_headers_add(&b, WEIR_H_HOST, S("h"));
    assert_bytes(&a);
    assert_bytes(&b);
}

static void test_field_syntax(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[] = {'a', (char)c, 'b'};
        bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(weir_header_name_valid((struct weir_str){name, 3}), token);
        bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
        assert_int_equal(weir_header_value_valid((struct weir_str){name, 3}), value);
    }
    assert_false(weir_header_name_valid(S("")));
    assert_true(weir_header_value_valid(S("")));
}

static void test_lists_skip_empty_elements_and_respect_quotes(void **state)
{
    (void)state;
    struct weir_str v = S(" ,a, \"x,\\\",y\" ,, b;q=1\t,"), e;
    size_t at = 0;
    assert_true(weir_header_list_next(v, &at, &e) && weir_str_eq(e, S("a")));
    assert_true(weir_header_list_next(v, &at, &e) && weir_str_eq(e, S("\"x,\\\",y\"")));
    assert_true(weir_header_list_next(v, &at, &e) && weir_str_eq(e, S("b;q=1")));
    assert_false(weir_header_list_next(v, &at, &e));
    assert_true(weir_header_list_has(S("keep-alive, Upgrade"), S("upgrade")));
    assert_false(weir_header_list_has(S("keep-alive, Upgraded"), S("upgrade")));
}

static void test_known_names_are_joined(void **state)
{
    (void)state;
    struct weir_arena *a = weir_arena_create();
    struct weir_headers h;
    weir_headers_init(&h, a);
    weir_headers_add(&h, WEIR_H_ACCEPT, WEIR_STR("a"));
    weir_headers_add_name(&h, WEIR_STR("x-d"), WEIR_STR("1"));
    weir_headers_add(&h, WEIR_H_COOKIE, WEIR_STR("c=1"));
    weir_headers_add(&h, WEIR_H_ACCEPT, WEIR_STR("b"));
    weir_headers_add_name(&h, WEIR_STR("x-d"), WEIR_STR("2"));
    weir_headers_add(&h, WEIR_H_ACCEPT, WEIR_STR("c"));
    weir_headers_add(&h, WEIR_H_COOKIE, WEIR_STR("c=2"));
    weir_headers_join_known(&h);
    assert_int_equal(h.count, 5);
    assert_true(weir_str_eq(h.at[0].value, WEIR_STR("a,b,c")));
    assert_true(weir_str_eq(h.at[1].value, WEIR_STR("1")));
    assert_true(weir_str_eq(h.at[3].value, WEIR_STR("2")));
    assert_true(weir_str_eq(h.at[4].value, WEIR_STR("c=2")));
    weir_arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_names_are_joined),
        cmocka_unit_test_setup_teardown(test_every_known_name_is_interned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copying_form_lowers_and_owns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_replaces_the_first_and_removes_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pseudo_headers_stay_before_regular_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove_counts_and_keeps_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joined_values_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_is_independent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_field_syntax, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists_skip_empty_elements_and_respect_quotes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
