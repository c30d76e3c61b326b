/* YAML and JSON to trees: places, anchors, merge keys, bounds, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/base/str.h"
#include "xds/tree.h"

struct fixture {
    struct weir_arena arena;
    struct weir_error error;
    const struct weir_tree **documents;
    size_t count;
};

static enum weir_err parse(struct fixture *f, const char *file, const char *text)
{
    weir_arena_init(&f->arena, 0);
    f->error = (struct weir_error){0};
    return weir_tree_parse(&f->arena, file, weir_str_of(text), &f->documents, &f->count, &f->error);
}

static void refused(const char *file, const char *text, const char *because)
{
    struct fixture f;
    assert_int_not_equal(parse(&f, file, text), WEIR_OK);
    if (strstr(f.error.text, because) == NULL) fail_msg("'%s' lacks '%s'", f.error.text, because);
    weir_arena_deinit(&f.arena);
}

static void test_yaml_nodes_know_their_place(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "a.yaml", "node:\n  id: x\n  list:\n  - 1\n  - two\n"), WEIR_OK);
    const struct weir_tree *list = weir_tree_get(weir_tree_get(f.documents[0], WEIR_STR("node")), WEIR_STR("list"));
    assert_int_equal(list->count, 2);
    assert_int_equal(list->items[1]->line, 5);
    assert_int_equal(list->items[1]->column, 5);
    assert_ptr_equal(weir_tree_locate(f.documents[0], "node.list[1]"), list->items[1]);
    assert_ptr_equal(weir_tree_locate(f.documents[0], "node.list[7].x"), list);
    weir_arena_deinit(&f.arena);
}

static void test_yaml_anchors_and_merge_keys(void **state)
{
    (void)state;
    struct fixture f;
    const char *text = "base: &b {a: 1, b: 2}\nuse: {<<: *b, b: 3}\nboth: {<<: [{a: 9}, *b]}\nsame: *b\n";
    assert_int_equal(parse(&f, "a.yaml", text), WEIR_OK);
    const struct weir_tree *root = f.documents[0], *use = weir_tree_get(root, WEIR_STR("use"));
    assert_true(weir_str_eq(weir_tree_get(use, WEIR_STR("a"))->text, WEIR_STR("1")));
    assert_true(weir_str_eq(weir_tree_get(use, WEIR_STR("b"))->text, WEIR_STR("3")));
    const struct weir_tree *both = weir_tree_get(root, WEIR_STR("both"));
    assert_int_equal(both->count, 2);
    assert_true(weir_str_eq(weir_tree_get(both, WEIR_STR("a"))->text, WEIR_STR("9")));
    assert_ptr_equal(weir_tree_get(root, WEIR_STR("same")), weir_tree_get(root, WEIR_STR("base")));
    weir_arena_deinit(&f.arena);
}

static void test_yaml_documents_of_a_stream(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "a.yaml", "---\na: 1\n---\n- x\n---\nb: ~\n"), WEIR_OK);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.documents[1]->kind, WEIR_TREE_LIST);
    assert_int_equal(weir_tree_get(f.documents[2], WEIR_STR("b"))->kind, WEIR_TREE_NULL);
    weir_arena_deinit(&f.arena);
}

static void test_yaml_bad_documents_name_line_and_column(void **state)
{
    (void)state;
    refused("a.yaml", "a: [1, 2\nb: 3\n", "a.yaml:2:");
    refused("a.yaml", "a: 1\na: 2\n", "a.yaml:2:1: key 'a' is given twice");
    refused("a.yaml", "a: *nowhere\n", "a.yaml:1:4");
    refused("a.yaml", "a: &x [*x]\n", "alias inside the very node");
    refused("a.yaml", "? [1]\n: 2\n", "a key must be a scalar");
    refused("a.yaml", "a: {<<: 7}\n", "merge key");
    refused("a.yaml", "a: \xff\xff", "a.yaml");
}

static void test_yaml_bombs_are_refused_with_bounded_memory(void **state)
{
    (void)state;
    char text[2048];
    size_t n = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                              i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    struct fixture f;
    assert_int_equal(parse(&f, "bomb.yaml", text), WEIR_ERR_LIMIT);
    assert_true(f.arena.bytes < 1024 * 1024);
    weir_arena_deinit(&f.arena);
    char deep[1001];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    refused("deep.yaml", deep, "nested too deeply");
    refused("deep.json", deep, "nested too deeply");
}

static void test_json_escapes_and_surrogate_pairs(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "a.json", "{\"a\\u0041\": \"\\ud83d\\ude00\\n\", \"n\": [-1.5e3, true, null]}"), WEIR_OK);
    assert_true(weir_str_eq(weir_tree_get(f.documents[0], WEIR_STR("aA"))->text, WEIR_STR("\xf0\x9f\x98\x80\n")));
    weir_arena_deinit(&f.arena);
    assert_int_equal(parse(&f, "a.yaml", " {\"a\": \"\\ud83d\\ude00\"}"), WEIR_OK);
    weir_arena_deinit(&f.arena);
}

static void test_json_is_strict(void **state)
{
    (void)state;
    refused("a.json", "", "a JSON value was expected");
    refused("a.json", "{\"a\":1,}", "a.json:1:8");
    refused("a.json", "{\"a\":1\n \"b\":2}", "a.json:2:2: ',' or '}' was expected");
    refused("a.json", "{\"a\":01}", "a JSON value was expected");
    refused("a.json", "{\"a\":1,\"a\":2}", "twice");
    refused("a.json", "{'a':1}", "a key in quotes");
    refused("a.json", "[1] x", "text after the end");
    refused("a.json", "[\"\\ud83d\"]", "surrogate");
    refused("a.json", "[\"a", "string without end");
    refused("a.json", "[\"\\", "string without end");
    refused("a.json", "[\"\xc3\x28\"]", "UTF-8");
}

static void test_merge_of_two_documents_is_key_by_key(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "a.yaml", "{node: {id: a, cluster: c}, list: [1]}\n---\n{node: {id: b}, list: [2], more: x}\n"), WEIR_OK);
    const struct weir_tree *m = weir_tree_merge(&f.arena, f.documents[0], f.documents[1]);
    assert_true(weir_str_eq(weir_tree_locate(m, "node.id")->text, WEIR_STR("b")));
    assert_true(weir_str_eq(weir_tree_locate(m, "node.cluster")->text, WEIR_STR("c")));
    assert_int_equal(weir_tree_locate(m, "list")->count, 2);
    assert_true(weir_str_eq(weir_tree_locate(m, "more")->text, WEIR_STR("x")));
    weir_arena_deinit(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_nodes_know_their_place),
        cmocka_unit_test(test_yaml_anchors_and_merge_keys),
        cmocka_unit_test(test_yaml_documents_of_a_stream),
        cmocka_unit_test(test_yaml_bad_documents_name_line_and_column),
        cmocka_unit_test(test_yaml_bombs_are_refused_with_bounded_memory),
        cmocka_unit_test(test_json_escapes_and_surrogate_pairs),
        cmocka_unit_test(test_json_is_strict),
        cmocka_unit_test(test_merge_of_two_documents_is_key_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
