/* Field paths as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/pb_path.h"
#include "dataplane/limits.h"

static void test_pb_path_shows_fields_indexes_and_keys(void **state)
{
    (void)state;
    char text[WEIR_PB_PATH_TEXT_MAX];
    struct weir_pb_path hosts = {NULL, "virtual_hosts", 3, {NULL, 0}};
    struct weir_pb_path config = {&hosts, "typed_per_filter_config", WEIR_PB_PATH_SINGLE, WEIR_STR_INIT("a\"\n.b")};
    struct weir_pb_path name = {&config, "name", WEIR_PB_PATH_SINGLE, {NULL, 0}};
    assert_string_equal(weir_pb_path_print(&name, text, sizeof text), "virtual_hosts[3].typed_per_filter_config[\"a??.b\"].name");
    assert_string_equal(weir_pb_path_print(NULL, text, sizeof text), "");
    struct weir_pb_path empty_key = {NULL, "map", WEIR_PB_PATH_SINGLE, WEIR_STR_INIT("")};
    assert_string_equal(weir_pb_path_print(&empty_key, text, sizeof text), "map[\"\"]");
}

static void test_pb_path_is_cut_where_the_room_ends(void **state)
{
    (void)state;
    struct weir_pb_path hosts = {NULL, "virtual_hosts", 3, {NULL, 0}};
    struct weir_pb_path name = {&hosts, "name", 12, WEIR_STR_INIT("key")};
    char text[64];
    for (size_t size = 1; size < sizeof text; size++) {
        memset(text, 'x', sizeof text);
        weir_pb_path_print(&name, text, size);
        assert_true(strlen(text) < size);
        for (size_t i = size; i < sizeof text; i++)
            assert_int_equal(text[i], 'x');
    }
}

static void test_pb_path_of_any_depth_prints_its_innermost_fields(void **state)
{
    (void)state;
    static struct weir_pb_path links[WEIR_PB_DEPTH_MAX * 3];
    size_t n = sizeof links / sizeof links[0];
    for (size_t i = 0; i < n; i++)
        links[i] = (struct weir_pb_path){i > 0 ? &links[i - 1] : NULL, i + 1 == n ? "last" : "f", WEIR_PB_PATH_SINGLE, {NULL, 0}};
    char text[2048];
    weir_pb_path_print(&links[n - 1], text, sizeof text);
    assert_string_equal(text + strlen(text) - 7, ".f.last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pb_path_shows_fields_indexes_and_keys),
        cmocka_unit_test(test_pb_path_is_cut_where_the_room_ends),
        cmocka_unit_test(test_pb_path_of_any_depth_prints_its_innermost_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
