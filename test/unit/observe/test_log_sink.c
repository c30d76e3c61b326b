/* observe/log_sink.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/limits.h"
#include "dataplane/observe/log_sink.h"
#include "dataplane/observe/stats.h"

#define S WEIR_STR

static char path[64], moved[80];
static struct weir_log_sinks *sinks;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-test-sink-%ld", (long)getpid());
    (void)snprintf(moved, sizeof(moved), "%s.1", path);
    sinks = weir_log_sinks_create(2, 60000, NULL);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_log_sinks_destroy(sinks);
    (void)unlink(path);
    (void)unlink(moved);
    return 0;
}

static struct weir_log_sink *open_sink(const char *at)
{
    struct weir_error error = {0};
    struct weir_log_sink *sink = NULL;
    if (weir_log_sinks_open(sinks, weir_str_of(at), &error, &sink) != WEIR_OK) fail_msg("%s", error.text);
    return sink;
}

static char *read_file(const char *from, size_t *n)
{
    FILE *f = fopen(from, "r");
    assert_non_null(f);
    struct stat st;
    assert_int_equal(fstat(fileno(f), &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    *n = fread(text, 1, (size_t)st.st_size, f);
    (void)fclose(f);
    return text;
}

static void assert_file(const char *from, const char *want)
{
    size_t n;
    char *text = read_file(from, &n);
    assert_string_equal(text, want);
    free(text);
}

static void test_logs_of_one_path_share_a_sink(void **state)
{
    (void)state;
    struct weir_log_sink *a = open_sink(path), *b = open_sink(path);
    assert_ptr_equal(a, b);
    weir_log_sink_write(a, 0, S("one\n"));
    weir_log_sink_write(b, 0, S("two\n"));
    weir_log_sinks_flush(sinks);
    assert_file(path, "one\ntwo\n");
    weir_log_sink_release(a);
    weir_log_sink_write(b, 1, S("three\n"));
    weir_log_sink_release(b);
    weir_log_sinks_flush(sinks); /* what a released sink held is written too */
    assert_file(path, "one\ntwo\nthree\n");
    a = open_sink(path);
    weir_log_sink_write(a, 2, S("four\n"));
    weir_log_sinks_flush(sinks);
    assert_file(path, "one\ntwo\nthree\nfour\n");
    weir_log_sink_release(a);
}

static void test_path_that_cannot_be_opened_is_refused_by_name(void **state)
{
    (void)state;
    struct weir_error error = {0};
    struct weir_log_sink *sink;
    assert_int_equal(weir_log_sinks_open(sinks, S("/nonexistent/x"), &error, &sink), WEIR_ERR_IO);
    assert_string_equal(error.text, "cannot open '/nonexistent/x': No such file or directory");
    assert_null(sink);
}

static void test_reopen_writes_into_the_new_file(void **state)
{
    (void)state;
    struct weir_log_sink *a = open_sink(path);
    weir_log_sink_write(a, 0, S("old\n"));
    weir_log_sinks_flush(sinks);
    assert_int_equal(rename(path, moved), 0);
    weir_log_sinks_reopen(sinks);
    weir_log_sink_write(a, 0, S("new\n"));
    weir_log_sinks_flush(sinks);
    assert_file(moved, "old\n");
    assert_file(path, "new\n");
    weir_log_sink_release(a);
}

static void test_destroy_writes_what_waits(void **state)
{
    (void)state;
    struct weir_log_sink *a = open_sink(path);
    weir_log_sink_write(a, 0, S("last\n"));
    weir_log_sink_release(a);
    weir_log_sinks_destroy(sinks);
    assert_file(path, "last\n");
    sinks = weir_log_sinks_create(2, 60000, NULL);
}

static void test_lines_longer_than_a_block_pass(void **state)
{
    (void)state;
    struct weir_log_sink *a = open_sink(path);
    size_t big = 300000, n;
    char *line = malloc(big);
    memset(line, 'x', big);
    line[big - 1] = '\n';
    weir_log_sink_write(a, 0, S("before\n"));
    weir_log_sink_write(a, 0, (struct weir_str){line, big});
    weir_log_sink_write(a, 0, S("after\n"));
    weir_log_sinks_flush(sinks);
    char *text = read_file(path, &n);
    assert_int_equal(n, big + 13);
    assert_memory_equal(text, "before\n", 7);
    assert_memory_equal(text + n - 6, "after\n", 6);
    free(text);
    free(line);
    weir_log_sink_release(a);
}

static void test_a_stuck_reader_costs_lines_not_time(void **state)
{
    (void)state;
    struct weir_stats_registry *stats = weir_stats_registry_create(2);
    struct weir_log_sinks *own = weir_log_sinks_create(2, 1, stats);
    struct weir_log_sink *sink;
    struct weir_error error;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(weir_log_sinks_open(own, weir_str_of(path), &error, &sink), WEIR_OK);
    char line[1000];
    memset(line, 'y', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    size_t lines = WEIR_ACCESS_LOG_QUEUE_BYTES_MAX / sizeof(line) * 2;
    for (size_t i = 0; i < lines; i++)
        weir_log_sink_write(sink, 0, (struct weir_str){line, sizeof(line)});
    assert_true(weir_log_sink_dropped(sink) > lines / 3);
    weir_log_sink_release(sink);
    weir_log_sinks_destroy(own); /* gives up after a while */
    (void)close(reader);
    weir_stats_registry_destroy(stats);
}

enum { LINES = 30000 };
static void *write_lines(void *arg)
{
    struct weir_log_sink *sink = arg;
    for (int i = 0; i < LINES; i++) {
        char line[32];
        int n = snprintf(line, sizeof(line), "B%d\n", i);
        weir_log_sink_write(sink, 1, (struct weir_str){line, (size_t)n});
    }
    return NULL;
}

static void test_workers_write_side_by_side_whole_lines_in_order(void **state)
{
    (void)state;
    struct weir_log_sink *a = open_sink(path);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, write_lines, a), 0);
    for (int i = 0; i < LINES; i++) {
        char line[32];
        int n = snprintf(line, sizeof(line), "A%d\n", i);
        weir_log_sink_write(a, 0, (struct weir_str){line, (size_t)n});
    }
    assert_int_equal(pthread_join(other, NULL), 0);
    weir_log_sinks_flush(sinks);
    assert_int_equal(weir_log_sink_dropped(a), 0);
    size_t n;
    char *text = read_file(path, &n), *save = NULL;
    int next[2] = {0, 0};
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        int who = line[0] - 'A';
        assert_in_range(who, 0, 1);
        assert_int_equal(strtol(line + 1, NULL, 10), next[who]++);
    }
    assert_int_equal(next[0], LINES);
    assert_int_equal(next[1], LINES);
    free(text);
    weir_log_sink_release(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_logs_of_one_path_share_a_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_that_cannot_be_opened_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_writes_into_the_new_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_destroy_writes_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_longer_than_a_block_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stuck_reader_costs_lines_not_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workers_write_side_by_side_whole_lines_in_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
