/* observe/stats.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/limits.h"
#include "dataplane/observe/histogram.h"
#include "dataplane/observe/stats.h"

#define S WEIR_STR

enum { TOTAL, ACTIVE, TIME, LATE };
static const struct weir_stat_desc descs[] = {
    {"total", WEIR_COUNTER}, {"active", WEIR_GAUGE}, {"time", WEIR_HISTOGRAM}, {"late", WEIR_HISTOGRAM | WEIR_LATE}};
static const struct weir_stat_desc other[] = {{"extra", WEIR_COUNTER}};

static int setup(void **state)
{
    *state = weir_stats_registry_create(2);
    return 0;
}
static int teardown(void **state)
{
    weir_stats_registry_destroy(*state);
    return 0;
}

static void test_same_prefix_and_table_give_the_same_set(void **state)
{
    struct weir_stats *a = weir_stats_acquire(*state, S("cluster.a."), descs, 4);
    struct weir_stats *b = weir_stats_acquire(*state, S("cluster.a."), descs, 4);
    struct weir_stats *c = weir_stats_acquire(*state, S("cluster.a."), other, 1);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    weir_stat_inc(weir_stats_shard(a, 0), TOTAL);
    weir_stats_release(a);
    assert_int_equal(weir_stat_sum(b, TOTAL), 1);
    weir_stats_release(b);
    a = weir_stats_acquire(*state, S("cluster.a."), descs, 4);
    assert_int_equal(weir_stat_sum(a, TOTAL), 0); /* nobody held it meanwhile */
    weir_stats_release(a);
    weir_stats_release(c);
}

static void test_shards_are_summed(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("x."), descs, 4);
    for (uint32_t w = 0; w <= 2; w++) {
        assert_ptr_equal(weir_stats_shard(s, w), weir_stats_shard(s, w));
        weir_stat_add(weir_stats_shard(s, w), TOTAL, 10 + w);
    }
    weir_stat_add(weir_stats_shard(s, 0), ACTIVE, 5);
    weir_stat_add(weir_stats_shard(s, 1), ACTIVE, -2);
    assert_int_equal(weir_stat_sum(s, TOTAL), 33);
    assert_int_equal(weir_stat_sum(s, ACTIVE), 3);
    weir_stats_release(s);
}

static void test_reset_takes_counters_to_zero_and_leaves_gauges(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("x."), descs, 4);
    struct weir_stats_shard *shard = weir_stats_shard(s, 1);
    weir_stat_add(shard, TOTAL, 7);
    weir_stat_set(shard, ACTIVE, 4);
    weir_stats_reset_counters(*state);
    assert_int_equal(weir_stat_sum(s, TOTAL), 0);
    assert_int_equal(weir_stat_sum(s, ACTIVE), 4);
    weir_stat_inc(shard, TOTAL);
    assert_int_equal(weir_stat_sum(s, TOTAL), 1);
    weir_stats_release(s);
}

struct listing {
    char text[4096];
    size_t n;
};
static void list(void *ctx, const struct weir_stat_value *v)
{
    struct listing *l = ctx;
    l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "%.*s%.*s=%lld%s ", WEIR_STR_ARG(v->prefix),
                             WEIR_STR_ARG(v->leaf), (long long)v->value, v->used ? "" : "?");
}
static void list_text(void *ctx, struct weir_str name, struct weir_str text)
{
    struct listing *l = ctx;
    l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "%.*s:%.*s ", WEIR_STR_ARG(name), WEIR_STR_ARG(text));
}

static void count(void *ctx, const struct weir_stat_value *v)
{
    (void)v;
    ++*(int *)ctx;
}

static void test_named_counters_appear_with_first_use_and_merge(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("c."), other, 1);
    weir_stat_inc_named(weir_stats_shard(s, 0), S("upstream_rq_503"));
    weir_stat_inc_named(weir_stats_shard(s, 1), S("upstream_rq_503"));
    struct weir_stats_view v;
    struct listing l = {0};
    weir_stats_view_init(&v, *state);
    assert_int_equal(weir_stats_view_visit(&v, 0, list, &l), 1);
    weir_stats_view_deinit(&v);
    assert_string_equal(l.text, "c.extra=0? c.upstream_rq_503=2 ");
    weir_stats_reset_counters(*state);
    weir_stat_inc_named(weir_stats_shard(s, 1), S("upstream_rq_503"));
    l.n = 0;
    weir_stats_view_init(&v, *state);
    (void)weir_stats_view_visit(&v, 0, list, &l);
    weir_stats_view_deinit(&v);
    assert_string_equal(l.text, "c.extra=0? c.upstream_rq_503=1 ");
    weir_stats_release(s);
}

static void test_named_counters_are_bounded(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("c."), other, 1);
    for (int i = 0; i < WEIR_STATS_NAMED_MAX * 2; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "n_%d", i);
        weir_stat_inc_named(weir_stats_shard(s, 0), weir_str_of(name));
    }
    struct weir_stats_view v;
    weir_stats_view_init(&v, *state);
    int seen = 0;
    (void)weir_stats_view_visit(&v, 0, count, &seen);
    weir_stats_view_deinit(&v);
    assert_int_equal(seen, WEIR_STATS_NAMED_MAX + 1);
    weir_stats_release(s);
}

static void test_visit_gathers_nested_prefixes(void **state)
{
    struct weir_stats *sets[] = {
        weir_stats_acquire(*state, S("http.in."), other, 1), weir_stats_acquire(*state, S("cluster.b."), other, 1),
        weir_stats_acquire(*state, S("http.in.rds.r."), other, 1), weir_stats_acquire(*state, S("http.in2."), other, 1)};
    struct weir_stats_view v;
    weir_stats_view_init(&v, *state);
    struct listing l = {0};
    size_t i = weir_stats_view_visit(&v, 0, list, &l);
    assert_string_equal(l.text, "cluster.b.extra=0? ");
    l.n = 0;
    i = weir_stats_view_visit(&v, i, list, &l);
    assert_string_equal(l.text, "http.in.extra=0? http.in.rds.r.extra=0? ");
    l.n = 0;
    i = weir_stats_view_visit(&v, i, list, &l);
    assert_string_equal(l.text, "http.in2.extra=0? ");
    assert_int_equal(i, v.count);
    weir_stats_view_deinit(&v);
    for (int k = 0; k < 4; k++)
        weir_stats_release(sets[k]);
}

static const struct weir_histogram *cumulative, *interval;
static void keep(void *ctx, const struct weir_stat_value *v)
{
    if (!weir_str_eq(v->leaf, weir_str_of(ctx))) return;
    cumulative = v->cumulative;
    interval = v->interval;
}

static void test_histograms_show_after_a_flush(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("x."), descs, 4);
    weir_stat_record(weir_stats_shard(s, 0), TIME, 5);
    weir_stat_record(weir_stats_shard(s, 1), TIME, 7);
    struct weir_stats_view v;
    weir_stats_view_init(&v, *state);
    struct listing l = {0};
    (void)weir_stats_view_visit(&v, 0, list, &l);
    assert_string_equal(l.text, "x.total=0? x.active=0? x.time=2 "); /* the late one is not listed */
    cumulative = interval = NULL;
    (void)weir_stats_view_visit(&v, 0, keep, "time");
    assert_null(cumulative);
    weir_stats_flush(*state);
    (void)weir_stats_view_visit(&v, 0, keep, "time");
    assert_int_equal(cumulative->count, 2);
    assert_int_equal(interval->count, 2);
    weir_stat_record(weir_stats_shard(s, 0), TIME, 9);
    weir_stats_flush(*state);
    (void)weir_stats_view_visit(&v, 0, keep, "time");
    assert_int_equal(cumulative->count, 3);
    assert_int_equal(cumulative->sum, 21);
    assert_int_equal(interval->count, 1);
    weir_stats_view_deinit(&v);
    weir_stats_release(s);
}

static void test_a_text_needs_no_end(void **state)
{
    char *bytes = malloc(2);
    memcpy(bytes, "ab", 2);
    weir_stats_set_text(*state, S("version"), (struct weir_str){bytes, 2});
    free(bytes);
    struct listing l = {0};
    weir_stats_each_text(*state, list_text, &l);
    assert_string_equal(l.text, "version:ab ");
    weir_stats_set_text(*state, S("version"), (struct weir_str){NULL, 0});
}

static void test_texts_are_replaced_and_removed(void **state)
{
    weir_stats_set_text(*state, S("b"), S("1"));
    weir_stats_set_text(*state, S("a"), S(""));
    weir_stats_set_text(*state, S("b"), S("2"));
    struct listing l = {0};
    weir_stats_each_text(*state, list_text, &l);
    assert_true(strcmp(l.text, "a: b:2 ") == 0 || strcmp(l.text, "b:2 a: ") == 0);
    weir_stats_set_text(*state, S("a"), (struct weir_str){NULL, 0});
    l.n = 0;
    weir_stats_each_text(*state, list_text, &l);
    assert_string_equal(l.text, "b:2 ");
}

enum { ROUNDS = 20000 };
struct writer {
    struct weir_stats *set;
    uint32_t worker;
};
static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct weir_stats_shard *shard = weir_stats_shard(w->set, w->worker);
    for (int i = 0; i < ROUNDS; i++) {
        weir_stat_inc(shard, TOTAL);
        weir_stat_record(shard, LATE, (uint64_t)i);
        weir_stat_inc_named(shard, i % 2 == 0 ? S("even") : S("odd"));
    }
    return NULL;
}
static void ignore(void *ctx, const struct weir_stat_value *v)
{
    (void)ctx;
    (void)v;
}

static void test_readers_and_writers_need_no_lock(void **state)
{
    struct weir_stats *s = weir_stats_acquire(*state, S("x."), descs, 4);
    struct writer w[2] = {{s, 0}, {s, 1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &w[i]), 0);
    for (int i = 0; i < 50; i++) {
        struct weir_stats_view v;
        weir_stats_flush(*state);
        weir_stats_view_init(&v, *state);
        (void)weir_stats_view_visit(&v, 0, ignore, NULL);
        weir_stats_view_deinit(&v);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(weir_stat_sum(s, TOTAL), 2 * ROUNDS);
    assert_int_equal(weir_stat_sum(s, LATE), 2 * ROUNDS);
    weir_stats_release(s);
}

static void test_a_flush_goes_over_the_sets_in_steps(void **state)
{
    (void)state;
    static const struct weir_stat_desc one[] = {{"length_ms", WEIR_HISTOGRAM}};
    struct weir_stats_registry *r = weir_stats_registry_create(0);
    struct weir_stats *sets[WEIR_STATS_FLUSH_SETS + 10];
    const size_t count = sizeof(sets) / sizeof(sets[0]);
    for (size_t i = 0; i < count; i++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof(prefix), "s%zu.", i);
        sets[i] = weir_stats_acquire(r, weir_str_of(prefix), one, 1);
        weir_stat_record(weir_stats_shard(sets[i], 0), 0, 7);
    }
    struct weir_stats_flush *f = weir_stats_flush_create(r);
    for (unsigned step = 0; step < 2; step++) {
        size_t flushed = 0;
        assert_int_equal(weir_stats_flush_step(f), step == 0);
        for (size_t i = 0; i < count; i++) {
            struct weir_stat_value v;
            assert_true(weir_stats_read(sets[i], 0, &v));
            flushed += v.cumulative != NULL;
        }
        assert_int_equal(flushed, step == 0 ? WEIR_STATS_FLUSH_SETS : count);
    }
    weir_stats_release(sets[0]); /* while it is held */
    weir_stats_flush_destroy(f);
    for (size_t i = 1; i < count; i++) weir_stats_release(sets[i]);
    weir_stats_registry_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flush_goes_over_the_sets_in_steps),
        cmocka_unit_test_setup_teardown(test_same_prefix_and_table_give_the_same_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shards_are_summed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_takes_counters_to_zero_and_leaves_gauges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named_counters_appear_with_first_use_and_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named_counters_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_visit_gathers_nested_prefixes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histograms_show_after_a_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_text_needs_no_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts_are_replaced_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_and_writers_need_no_lock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
