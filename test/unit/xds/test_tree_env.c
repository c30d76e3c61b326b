/* $(NAME) in scalars, as Kubernetes writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/base/str.h"
#include "xds/tree.h"

static const char *find(void *ctx, const char *name)
{
    (void)ctx;
    if (strcmp(name, "POD_NAME") == 0) return "web-0";
    if (strcmp(name, "EMPTY") == 0) return "";
    if (strcmp(name, "a.b-c_1") == 0) return "a value that is much longer than its reference";
    if (strcmp(name, "PORT") == 0) return "8080";
    return NULL;
}

static enum weir_err strict(void *ctx, const char *path, struct weir_str name, struct weir_error *e)
{
    (void)ctx;
    return weir_error_set(e, WEIR_ERR_INVALID, "%s: '%.*s' is unknown", path, WEIR_STR_ARG(name));
}

struct fixture {
    struct weir_arena arena;
    struct weir_error error;
    const struct weir_tree *before, *after;
};

static enum weir_err expand(struct fixture *f, const char *text, bool is_strict)
{
    *f = (struct fixture){0};
    const struct weir_tree **documents;
    size_t count;
    assert_int_equal(weir_tree_parse(&f->arena, "a.yaml", weir_str_of(text), &documents, &count, &f->error), WEIR_OK);
    f->before = documents[0];
    const struct weir_tree_env env = {find, is_strict ? strict : NULL, NULL};
    return weir_tree_expand(&f->arena, "a.yaml", f->before, &env, &f->after, &f->error);
}

static void becomes(const char *value, const char *wanted)
{
    struct fixture f;
    char text[256];
    strcpy(text, "key: '");
    strcat(text, value);
    strcat(text, "'\n");
    assert_int_equal(expand(&f, text, false), WEIR_OK);
    struct weir_str got = weir_tree_get(f.after, WEIR_STR("key"))->text;
    if (!weir_str_eq(got, weir_str_of(wanted))) fail_msg("'%s' became '%.*s', not '%s'", value, WEIR_STR_ARG(got), wanted);
    weir_arena_deinit(&f.arena);
}

static void test_references_become_values(void **state)
{
    (void)state;
    becomes("$(POD_NAME)", "web-0");
    becomes("sidecar~$(POD_NAME).$(EMPTY)ns", "sidecar~web-0.ns");
    becomes("$(a.b-c_1)$(a.b-c_1)$(a.b-c_1)", "a value that is much longer than its referencea value that is much longer than its reference"
                                               "a value that is much longer than its reference");
    becomes("$(EMPTY)", "");
}

static void test_what_is_no_reference_stays(void **state)
{
    (void)state;
    becomes("$(UNKNOWN)", "$(UNKNOWN)");
    becomes("^/a$(b|c)$", "^/a$(b|c)$");
    becomes("$()", "$()");
    becomes("$(1ST)", "$(1ST)");
    becomes("$(POD_NAME", "$(POD_NAME");
    becomes("$POD_NAME ${POD_NAME} $", "$POD_NAME ${POD_NAME} $");
}

static void test_a_doubled_dollar_escapes(void **state)
{
    (void)state;
    becomes("$$(POD_NAME)", "$(POD_NAME)");
    becomes("$$ $$x", "$$ $$x");
}

static void test_plain_scalars_stay_plain_and_the_rest_is_shared(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(expand(&f, "port: $(PORT)\nother: {list: [1, 2]}\n$(PORT): key\nlist: [a, {b: $(POD_NAME)}]\n", true), WEIR_OK);
    const struct weir_tree *port = weir_tree_get(f.after, WEIR_STR("port"));
    assert_true(weir_str_eq(port->text, WEIR_STR("8080")));
    assert_false(port->quoted);
    assert_int_equal(port->line, 1);
    assert_ptr_equal(weir_tree_get(f.after, WEIR_STR("other")), weir_tree_get(f.before, WEIR_STR("other")));
    assert_non_null(weir_tree_get(f.after, WEIR_STR("$(PORT)")));
    const struct weir_tree *list = weir_tree_get(f.after, WEIR_STR("list"));
    assert_true(weir_str_eq(weir_tree_get(list->items[1], WEIR_STR("b"))->text, WEIR_STR("web-0")));
    assert_ptr_equal(list->items[0], weir_tree_get(f.before, WEIR_STR("list"))->items[0]);
    weir_arena_deinit(&f.arena);
}

static void test_a_strict_reader_gets_place_and_path(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_not_equal(expand(&f, "node:\n  metadata: {labels: [x, $(WHO)]}\n", true), WEIR_OK);
    assert_string_equal(f.error.text, "a.yaml:2:26: node.metadata.labels[1]: 'WHO' is unknown");
    weir_arena_deinit(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references_become_values),
        cmocka_unit_test(test_what_is_no_reference_stays),
        cmocka_unit_test(test_a_doubled_dollar_escapes),
        cmocka_unit_test(test_plain_scalars_stay_plain_and_the_rest_is_shared),
        cmocka_unit_test(test_a_strict_reader_gets_place_and_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
