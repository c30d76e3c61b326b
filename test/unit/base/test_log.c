/* base/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/log.h"

static char path[64], moved[80];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-test-log-%ld", (long)getpid());
    (void)snprintf(moved, sizeof(moved), "%s.1", path);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    char why[128];
    (void)unlink(path);
    (void)unlink(moved);
    weir_log_set_level(WEIR_LOG_INFO);
    return weir_log_open(NULL, NULL, why, sizeof(why)) != WEIR_OK;
}

static void read_file(const char *from, char *out, size_t size)
{
    FILE *f = fopen(from, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    (void)fclose(f);
}

static void test_format_flags_are_filled(void **state)
{
    (void)state;
    char why[128], got[512];
    assert_int_equal(weir_log_open(path, "%l|%L|%n|%v|%j|%_|%%|%g", why, sizeof(why)), WEIR_OK);
    WEIR_LOG(UPSTREAM, WARNING, "a \"%s\"\nb", "q");
    read_file(path, got, sizeof(got));
    const char *want = "warning|W|upstream|a \"q\"\nb|a \\\"q\\\"\\nb|a \"q\"\\nb|%|";
    assert_memory_equal(got, want, strlen(want));
    assert_non_null(strstr(got, "test_log.c\n"));
}

static void test_default_line_has_envoys_shape(void **state)
{
    (void)state;
    char why[128], got[512], level[32], component[32], place[256];
    int year, ms, thread;
    assert_int_equal(weir_log_open(path, NULL, why, sizeof(why)), WEIR_OK);
    WEIR_LOG(MAIN, INFO, "starting");
    read_file(path, got, sizeof(got));
    assert_int_equal(sscanf(got, "[%d-%*d-%*d %*d:%*d:%*d.%d][%d][%31[^]]][%31[^]]] [%255[^]]] starting", &year, &ms, &thread,
                            level, component, place), 6);
    assert_string_equal(level, "info");
    assert_string_equal(component, "main");
}

static void test_unknown_flag_is_refused_by_name(void **state)
{
    (void)state;
    char why[128];
    assert_int_equal(weir_log_open(NULL, "%v %q", why, sizeof(why)), WEIR_ERR_INVALID);
    assert_non_null(strstr(why, "%q"));
    assert_int_equal(weir_log_open("/nonexistent/dir/x", NULL, why, sizeof(why)), WEIR_ERR_IO);
    assert_non_null(strstr(why, "/nonexistent/dir/x"));
}

static void test_levels_choose_what_is_written(void **state)
{
    (void)state;
    char why[128], got[512];
    assert_int_equal(weir_log_open(path, "%v", why, sizeof(why)), WEIR_OK);
    weir_log_set_level(WEIR_LOG_ERROR);
    assert_true(weir_log_set_component_level(WEIR_STR("http"), WEIR_LOG_DEBUG));
    assert_false(weir_log_set_component_level(WEIR_STR("nonsense"), WEIR_LOG_DEBUG));
    WEIR_LOG(MAIN, WARNING, "no");
    WEIR_LOG(HTTP, DEBUG, "yes");
    weir_log_set_level(WEIR_LOG_OFF);
    WEIR_LOG(MAIN, CRITICAL, "no");
    read_file(path, got, sizeof(got));
    assert_string_equal(got, "yes\n");
    enum weir_log_level level;
    assert_true(weir_log_level_parse(WEIR_STR("warn"), &level) && level == WEIR_LOG_WARNING);
    assert_true(weir_log_level_parse(WEIR_STR("off"), &level) && level == WEIR_LOG_OFF);
    assert_false(weir_log_level_parse(WEIR_STR("loud"), &level));
}

static void test_reopen_follows_the_path_after_rotation(void **state)
{
    (void)state;
    char why[128], got[512];
    assert_int_equal(weir_log_open(path, "%v", why, sizeof(why)), WEIR_OK);
    WEIR_LOG(MAIN, INFO, "one");
    assert_int_equal(rename(path, moved), 0);
    WEIR_LOG(MAIN, INFO, "two");
    weir_log_reopen();
    WEIR_LOG(MAIN, INFO, "three");
    read_file(moved, got, sizeof(got));
    assert_string_equal(got, "one\ntwo\n");
    read_file(path, got, sizeof(got));
    assert_string_equal(got, "three\n");
}

static void test_long_lines_are_whole(void **state)
{
    (void)state;
    static char got[20000], text[10000];
    char why[128];
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(weir_log_open(path, "<%v>", why, sizeof(why)), WEIR_OK);
    WEIR_LOG(MAIN, INFO, "%s", text);
    read_file(path, got, sizeof(got));
    assert_int_equal(strlen(got), sizeof(text) - 1 + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_format_flags_are_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_line_has_envoys_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_flag_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels_choose_what_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_follows_the_path_after_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lines_are_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
