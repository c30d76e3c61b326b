/* base/metadata.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <envoy/config/core/v3/base.pb-c.h>
#include <google/protobuf/struct.pb-c.h>

#include "dataplane/base/metadata.h"

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

static struct weir_value number(double v)
{
    return (struct weir_value){.kind = WEIR_VALUE_NUMBER, .number = v};
}

static void test_struct_sorts_fields_and_keeps_the_last_of_a_key(void **state)
{
    struct weir_value_field fields[] = {{S("c"), number(1)}, {S("a"), number(2)}, {S("c"), number(3)}, {S("b"), number(4)}};
    struct weir_value v = weir_value_struct(*state, fields, 4);
    assert_int_equal(v.fields.count, 3);
    assert_true(weir_str_eq(v.fields.at[0].key, S("a")));
    assert_true(weir_value_field(&v, S("c"))->number == 3);
    assert_true(weir_value_field(&v, S("b"))->number == 4);
    assert_null(weir_value_field(&v, S("d")));
    assert_null(weir_value_field(NULL, S("a")));
    assert_null(weir_value_field(weir_value_field(&v, S("a")), S("a")));
}

static void test_merge_puts_new_fields_in_place_of_old(void **state)
{
    struct weir_metadata m = {0};
    struct weir_value_field first[] = {{S("a"), number(1)}, {S("b"), number(2)}}, second[] = {{S("b"), number(3)}, {S("c"), number(4)}};
    struct weir_value one = weir_value_struct(*state, first, 2), two = weir_value_struct(*state, second, 2);
    weir_metadata_merge(&m, *state, S("ns"), &one);
    weir_metadata_merge(&m, *state, S("ns"), &two);
    for (int i = 0; i < 10; i++)
        weir_metadata_merge(&m, *state, (struct weir_str){&"0123456789"[i], 1}, &one);
    assert_int_equal(m.count, 11);
    struct weir_str b = S("b"), deep[] = {S("b"), S("x")};
    assert_true(weir_metadata_find(&m, S("ns"), &b, 1)->number == 3);
    assert_int_equal(weir_metadata_get(&m, S("ns"))->fields.count, 3);
    assert_null(weir_metadata_find(&m, S("ns"), deep, 2));
    assert_null(weir_metadata_find(&m, S("none"), &b, 1));
    assert_null(weir_metadata_get(NULL, S("ns")));
}

static void test_messages_become_trees(void **state)
{
    Google__Protobuf__Value yes = GOOGLE__PROTOBUF__VALUE__INIT, text = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Value list = GOOGLE__PROTOBUF__VALUE__INIT, none = GOOGLE__PROTOBUF__VALUE__INIT;
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = 1;
    text.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    text.string_value = (char *)"t";
    Google__Protobuf__ListValue items = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
    Google__Protobuf__Value *all[] = {&yes, &text, &none};
    items.n_values = 3;
    items.values = all;
    list.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    list.list_value = &items;
    Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
    Google__Protobuf__Struct__FieldsEntry *entries[] = {&entry};
    entry.key = (char *)"l";
    entry.value = &list;
    Google__Protobuf__Struct tree = GOOGLE__PROTOBUF__STRUCT__INIT;
    tree.n_fields = 1;
    tree.fields = entries;
    Envoy__Config__Core__V3__Metadata message = ENVOY__CONFIG__CORE__V3__METADATA__INIT;
    Envoy__Config__Core__V3__Metadata__FilterMetadataEntry space =
        ENVOY__CONFIG__CORE__V3__METADATA__FILTER_METADATA_ENTRY__INIT;
    Envoy__Config__Core__V3__Metadata__FilterMetadataEntry *spaces[] = {&space};
    space.key = (char *)"envoy.lb";
    space.value = &tree;
    message.n_filter_metadata = 1;
    message.filter_metadata = spaces;
    const struct weir_metadata *m = weir_metadata_compile(*state, &message);
    struct weir_str key = S("l");
    const struct weir_value *v = weir_metadata_find(m, S("envoy.lb"), &key, 1);
    assert_int_equal(v->kind, WEIR_VALUE_LIST);
    assert_int_equal(v->list.count, 3);
    assert_true(v->list.at[0].boolean);
    assert_true(weir_str_eq(v->list.at[1].string, S("t")));
    assert_int_equal(v->list.at[2].kind, WEIR_VALUE_NULL);
    struct weir_value same = weir_value_from_value(*state, &list), other = weir_value_from_value(*state, &text);
    assert_true(weir_value_equal(v, &same));
    assert_false(weir_value_equal(v, &other));
    assert_null(weir_metadata_compile(*state, NULL));
}

static void test_numbers_print_as_short_as_they_can(void **state)
{
    (void)state;
    static const struct { double v; const char *text; } all[] = {
        {0, "0"}, {-0.0, "0"}, {5, "5"}, {-17, "-17"}, {0.1, "0.1"}, {1e15, "1e+15"}, {123456789012, "123456789012"},
        {0.30000000000000004, "0.30000000000000004"}, {1e300, "1e+300"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char out[WEIR_NUMBER_TEXT_MAX];
        assert_int_equal(weir_number_print(all[i].v, out), strlen(all[i].text));
        assert_string_equal(out, all[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_struct_sorts_fields_and_keeps_the_last_of_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_merge_puts_new_fields_in_place_of_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages_become_trees, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_print_as_short_as_they_can, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
