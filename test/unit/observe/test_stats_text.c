/* observe/stats_text.c, stats_query.c, prometheus.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/base/map.h"
#include "dataplane/base/regex.h"
#include "dataplane/observe/prometheus.h"
#include "dataplane/observe/stats_text.h"

#define S WEIR_STR
#define ALL 15

enum { TOTAL, ACTIVE, MS };
static const struct weir_stat_desc descs[] = {{"total", WEIR_COUNTER}, {"active", WEIR_GAUGE}, {"length_ms", WEIR_HISTOGRAM}};

static struct weir_stats_registry *r;
static struct weir_stats *a, *b;

static int setup(void **state)
{
    (void)state;
    r = weir_stats_registry_create(1);
    a = weir_stats_acquire(r, S("cluster.a."), descs, 3);
    b = weir_stats_acquire(r, S("cluster.b."), descs, 3);
    weir_stat_add(weir_stats_shard(a, 0), TOTAL, 3);
    weir_stat_set(weir_stats_shard(b, 0), ACTIVE, -2);
    weir_stat_inc_named(weir_stats_shard(b, 0), S("upstream_rq_200"));
    weir_stats_set_text(r, S("cluster_manager.cds.version_text"), S("c1"));
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_stats_release(a);
    weir_stats_release(b);
    weir_stats_registry_destroy(r);
    return 0;
}

struct maker {
    struct weir_admin_source *(*make)(struct weir_stats_registry *, const struct weir_stats_query *);
};

/* All pieces; the number of them, and the largest. */
struct pieces {
    size_t count, largest;
};
static struct pieces render(struct weir_admin_source *(*make)(struct weir_stats_registry *, const struct weir_stats_query *),
                            const struct weir_stats_query *q, struct weir_out *all)
{
    struct weir_admin_source *source = make(r, q);
    struct pieces p = {0};
    bool more;
    do {
        struct weir_out piece = {0};
        more = source->more(source, &piece);
        weir_out_add(all, (struct weir_str){piece.p != NULL ? piece.p : "", piece.n});
        if (piece.n > p.largest) p.largest = piece.n;
        p.count++;
        weir_out_deinit(&piece);
    } while (more);
    source->destroy(source);
    return p;
}

static void assert_output(struct weir_admin_source *(*make)(struct weir_stats_registry *, const struct weir_stats_query *),
                            const struct weir_stats_query *q, const char *want)
{
    struct weir_out out = {0};
    (void)render(make, q, &out);
    if (!weir_str_eq((struct weir_str){out.p, out.n}, weir_str_of(want))) fail_msg("\n%s\nnot\n%s", out.p != NULL ? out.p : "", want);
    weir_out_deinit(&out);
}

static void test_text_before_the_first_flush(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = ALL};
    assert_output(weir_stats_text_source, &q,
                  "cluster_manager.cds.version_text: \"c1\"\n"
                  "cluster.a.active: 0\ncluster.a.total: 3\ncluster.b.active: -2\ncluster.b.total: 0\ncluster.b.upstream_rq_200: 1\n"
                  "cluster.a.length_ms: No recorded values\ncluster.b.length_ms: No recorded values\n");
}

static void test_used_only_types_and_filter(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = WEIR_STATS_COUNTERS, .used_only = true};
    assert_output(weir_stats_text_source, &q, "cluster.a.total: 3\ncluster.b.upstream_rq_200: 1\n");
    struct weir_regex *filter;
    assert_int_equal(weir_regex_compile(S("b\\..*c"), 0, NULL, &filter), WEIR_OK); /* anywhere in the name */
    q = (struct weir_stats_query){.types = ALL, .filter = filter};
    assert_output(weir_stats_text_source, &q, "cluster.b.active: -2\n");
    weir_regex_destroy(filter);
}

static void test_quantiles_and_buckets_as_text(void **state)
{
    (void)state;
    weir_stat_record(weir_stats_shard(a, 0), MS, 0);
    weir_stat_record(weir_stats_shard(a, 0), MS, 1);
    weir_stats_flush(r);
    weir_stats_flush(r); /* nothing new: an empty interval */
    struct weir_stats_query q = {.types = WEIR_STATS_HISTOGRAMS, .used_only = true};
    assert_output(weir_stats_text_source, &q,
                  "cluster.a.length_ms: P0(nan,0) P25(nan,0) P50(nan,0) P75(nan,1.05) P90(nan,1.05) P95(nan,1.05) P99(nan,1.05) "
                  "P99.5(nan,1.05) P99.9(nan,1.05) P100(nan,1.05)\n");
    weir_stat_record(weir_stats_shard(a, 0), MS, 2000000);
    weir_stats_flush(r);
    q.buckets = WEIR_BUCKETS_CUMULATIVE;
    assert_output(weir_stats_text_source, &q,
                  "cluster.a.length_ms: B0.5(0,1) B1(0,2) B5(0,2) B10(0,2) B25(0,2) B50(0,2) B100(0,2) B250(0,2) B500(0,2) B1000(0,2) "
                  "B2500(0,2) B5000(0,2) B10000(0,2) B30000(0,2) B60000(0,2) B300000(0,2) B600000(0,2) B1.8e+06(0,2) B3.6e+06(1,3)\n");
    q.buckets = WEIR_BUCKETS_DISJOINT;
    assert_output(weir_stats_text_source, &q,
                  "cluster.a.length_ms: B0.5(0,1) B1(0,1) B5(0,0) B10(0,0) B25(0,0) B50(0,0) B100(0,0) B250(0,0) B500(0,0) B1000(0,0) "
                  "B2500(0,0) B5000(0,0) B10000(0,0) B30000(0,0) B60000(0,0) B300000(0,0) B600000(0,0) B1.8e+06(0,0) B3.6e+06(1,1)\n");
}

static void test_details_of_histograms(void **state)
{
    (void)state;
    weir_stat_record(weir_stats_shard(a, 0), MS, 0);
    weir_stat_record(weir_stats_shard(a, 0), MS, 1);
    weir_stat_record(weir_stats_shard(a, 0), MS, 307);
    weir_stats_flush(r);
    weir_stats_flush(r);
    struct weir_stats_query q = {.types = WEIR_STATS_HISTOGRAMS, .buckets = WEIR_BUCKETS_DETAILED};
    assert_output(weir_stats_text_source, &q,
                  "cluster.a.length_ms:\n  totals=0,0:1, 1,0.1:1, 300,10:1\n  intervals=\n  summary=P0(nan,0) P25(nan,0) P50(nan,1.05) "
                  "P75(nan,305) P90(nan,305) P95(nan,305) P99(nan,305) P99.5(nan,305) P99.9(nan,305) P100(nan,305)\n"
                  "cluster.b.length_ms: No recorded values\n");
    q.used_only = true;
    struct weir_out out = {0};
    (void)render(weir_stats_json_source, &q, &out);
    assert_non_null(strstr(out.p, "{\"stats\":[{\"histograms\":{\"supported_percentiles\":[0,25,50,75,90,95,99,99.5,99.9,100],\"details\":["
                                  "{\"name\":\"cluster.a.length_ms\",\"totals\":[{\"lower_bound\":0,\"width\":0,\"count\":1},"
                                  "{\"lower_bound\":1,\"width\":0.1,\"count\":1},{\"lower_bound\":300,\"width\":10,\"count\":1}],"
                                  "\"intervals\":[],\"percentiles\":[{\"cumulative\":0,\"interval\":null},"));
    assert_non_null(strstr(out.p, "{\"cumulative\":305,\"interval\":null}]}]}}]}"));
    weir_out_deinit(&out);
}

static void test_a_gauge_that_is_back_at_0_was_used(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = WEIR_STATS_GAUGES, .used_only = true};
    weir_stat_inc(weir_stats_shard(a, 0), ACTIVE);
    weir_stat_add(weir_stats_shard(a, 0), ACTIVE, -1);
    weir_stat_set(weir_stats_shard(b, 0), ACTIVE, 0);
    assert_output(weir_stats_text_source, &q, "cluster.a.active: 0\ncluster.b.active: 0\n");
}

static void tell(void *of, weir_stat_text_fn *fn, void *ctx)
{
    (void)of;
    fn(ctx, WEIR_STR("cluster.z.version_text"), WEIR_STR("7"));
    fn(ctx, WEIR_STR("cluster.a.version_text"), WEIR_STR(""));
}

static void test_texts_that_are_told_when_somebody_reads(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = WEIR_STATS_TEXTS};
    weir_stats_set_text_teller(r, tell, NULL);
    weir_stats_set_text(r, WEIR_STR("cluster.b.version_text"), WEIR_STR("x"));
    assert_output(weir_stats_text_source, &q, "cluster.a.version_text: \"\"\ncluster.b.version_text: \"x\"\ncluster.z.version_text: \"7\"\ncluster_manager.cds.version_text: \"c1\"\n");
    q.used_only = true;
    assert_output(weir_stats_text_source, &q, "cluster.b.version_text: \"x\"\ncluster.z.version_text: \"7\"\ncluster_manager.cds.version_text: \"c1\"\n");
}

static void test_a_wide_gauge_has_no_sign(void **state)
{
    (void)state;
    static const struct weir_stat_desc wide[] = {{"version", WEIR_GAUGE | WEIR_WIDE}, {"known", WEIR_COUNTER}};
    struct weir_stats *set = weir_stats_acquire(r, WEIR_STR("wide."), wide, 2);
    struct weir_stats_query q = {.types = WEIR_STATS_GAUGES | WEIR_STATS_COUNTERS, .used_only = true};
    weir_stat_set(weir_stats_shard(set, 0), 0, -1);
    static const char before[] = "cluster.a.total: 3\ncluster.b.active: -2\ncluster.b.upstream_rq_200: 1\n", after[] = "wide.version: 18446744073709551615\n";
    char expected[200];
    (void)snprintf(expected, sizeof(expected), "%s%s", before, after);
    assert_output(weir_stats_text_source, &q, expected);
    weir_stat_touch(weir_stats_shard(set, 0), 1);
    (void)snprintf(expected, sizeof(expected), "%swide.known: 0\n%s", before, after);
    assert_output(weir_stats_text_source, &q, expected);
    weir_stats_release(set);
}

static void test_json(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = WEIR_STATS_COUNTERS | WEIR_STATS_TEXTS, .used_only = true};
    assert_output(weir_stats_json_source, &q,
                  "{\"stats\":[{\"name\":\"cluster_manager.cds.version_text\",\"value\":\"c1\"},{\"name\":\"cluster.a.total\",\"value\":3},"
                  "{\"name\":\"cluster.b.upstream_rq_200\",\"value\":1}]}");
    weir_stat_record(weir_stats_shard(a, 0), MS, 0);
    weir_stats_flush(r);
    weir_stats_flush(r);
    q.types = WEIR_STATS_HISTOGRAMS;
    assert_output(weir_stats_json_source, &q,
                  "{\"stats\":[{\"histograms\":{\"supported_quantiles\":[0,25,50,75,90,95,99,99.5,99.9,100],\"computed_quantiles\":["
                  "{\"name\":\"cluster.a.length_ms\",\"values\":[{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null},"
                  "{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null},"
                  "{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null},"
                  "{\"cumulative\":0,\"interval\":null},{\"cumulative\":0,\"interval\":null}]}]}}]}");
    q.types = 0;
    assert_output(weir_stats_json_source, &q, "{\"stats\":[]}");
}

static void test_prometheus_groups_the_samples_of_a_metric(void **state)
{
    (void)state;
    struct weir_stats_query q = {.types = WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES};
    assert_output(weir_prometheus_source, &q,
                  "# TYPE envoy_cluster_total counter\n"
                  "envoy_cluster_total{envoy_cluster_name=\"a\"} 3\nenvoy_cluster_total{envoy_cluster_name=\"b\"} 0\n"
                  "# TYPE envoy_cluster_upstream_rq counter\n"
                  "envoy_cluster_upstream_rq{envoy_response_code=\"200\",envoy_cluster_name=\"b\"} 1\n"
                  "# TYPE envoy_cluster_active gauge\n"
                  "envoy_cluster_active{envoy_cluster_name=\"a\"} 0\nenvoy_cluster_active{envoy_cluster_name=\"b\"} -2\n");
    q = (struct weir_stats_query){.types = WEIR_STATS_TEXTS, .text_readouts = true};
    assert_output(weir_prometheus_source, &q,
                  "# TYPE envoy_cluster_manager_cds_version_text gauge\nenvoy_cluster_manager_cds_version_text{text_value=\"c1\"} 0\n");
}

static void test_prometheus_histograms(void **state)
{
    (void)state;
    weir_stat_record(weir_stats_shard(a, 0), MS, 3);
    weir_stats_flush(r);
    struct weir_stats_query q = {.types = WEIR_STATS_HISTOGRAMS, .used_only = true};
    struct weir_out out = {0};
    (void)render(weir_prometheus_source, &q, &out);
    static const char *const lines[] = {
        "# TYPE envoy_cluster_length_ms histogram\n",
        "\nenvoy_cluster_length_ms_bucket{envoy_cluster_name=\"a\",le=\"1\"} 0\n",
        "\nenvoy_cluster_length_ms_bucket{envoy_cluster_name=\"a\",le=\"5\"} 1\n",
        "\nenvoy_cluster_length_ms_bucket{envoy_cluster_name=\"a\",le=\"3600000\"} 1\n",
        "\nenvoy_cluster_length_ms_bucket{envoy_cluster_name=\"a\",le=\"+Inf\"} 1\n",
        "\nenvoy_cluster_length_ms_sum{envoy_cluster_name=\"a\"} 3\n",
        "\nenvoy_cluster_length_ms_count{envoy_cluster_name=\"a\"} 1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (strstr(out.p, lines[i]) == NULL) fail_msg("no line %s in\n%s", lines[i], out.p);
    weir_out_deinit(&out);
    q.summary = true;
    (void)render(weir_prometheus_source, &q, &out);
    assert_non_null(strstr(out.p, "# TYPE envoy_cluster_length_ms summary\nenvoy_cluster_length_ms{envoy_cluster_name=\"a\",quantile=\"0\"} 3.0499999999999998\n"));
    assert_non_null(strstr(out.p, "{envoy_cluster_name=\"a\",quantile=\"0.995\"} "));
    weir_out_deinit(&out);
}

static void test_nested_sets_come_out_in_the_order_of_names(void **state)
{
    (void)state;
    static const struct weir_stat_desc z[] = {{"z", WEIR_COUNTER}}, q_descs[] = {{"q.z", WEIR_COUNTER}};
    struct weir_stats *sets[] = {weir_stats_acquire(r, S("http.p."), z, 1), weir_stats_acquire(r, S("http.p.rds.r."), z, 1),
                                 weir_stats_acquire(r, S("http.p."), q_descs, 1), weir_stats_acquire(r, S("http.p1."), z, 1)};
    struct weir_regex *filter;
    assert_int_equal(weir_regex_compile(S("^http"), 0, NULL, &filter), WEIR_OK);
    struct weir_stats_query q = {.types = ALL, .filter = filter};
    assert_output(weir_stats_text_source, &q, "http.p.q.z: 0\nhttp.p.rds.r.z: 0\nhttp.p.z: 0\nhttp.p1.z: 0\n");
    weir_regex_destroy(filter);
    for (int i = 0; i < 4; i++)
        weir_stats_release(sets[i]);
}

#define MANY 5000u

/* Many clusters, with dots in some names. */
static void many_make(struct weir_stats **sets)
{
    for (unsigned i = 0; i < MANY; i++) {
        char prefix[64];
        snprintf(prefix, sizeof(prefix), i % 10 == 0 ? "cluster.c%u.ns%u.svc." : "cluster.c%u.", i * 7919 % 100003, i % 3);
        sets[i] = weir_stats_acquire(r, weir_str_of(prefix), descs, 3);
        if (i % 2 != 0) weir_stat_inc_named(weir_stats_shard(sets[i], 0), S("upstream_rq_200"));
        if (i % 5 == 0) weir_stat_inc_named(weir_stats_shard(sets[i], 0), S("upstream_rq_503"));
    }
}

static size_t lines_of(const struct weir_out *out)
{
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++) n += out->p[i] == '\n';
    return n;
}

static void test_long_pages_come_in_pieces_of_bounded_work(void **state)
{
    (void)state;
    static struct weir_stats *sets[MANY];
    many_make(sets);
    static const struct maker makers[] = {{weir_stats_text_source}, {weir_stats_json_source}, {weir_prometheus_source}};
    for (size_t i = 0; i < 3; i++) {
        struct weir_stats_query q = {.types = ALL};
        struct weir_out out = {0};
        struct pieces p = render(makers[i].make, &q, &out);
        assert_true(p.largest < WEIR_ADMIN_PIECE_BYTES + 8192);
        assert_true(p.count >= MANY * 3 / WEIR_STATS_STEP_VALUES);
        if (i == 0) assert_int_equal(lines_of(&out), (MANY + 2) * 3 + MANY / 2 + MANY / 5 + 1 + 1);
        weir_out_deinit(&out);
        /* Nothing to print is no reason to go through everything at once. */
        q.used_only = true;
        q.types = WEIR_STATS_GAUGES;
        p = render(makers[i].make, &q, &out);
        assert_true(p.count >= (MANY * 3 + MANY / 2) / WEIR_STATS_STEP_VALUES);
        assert_true(lines_of(&out) <= 2);
        weir_out_deinit(&out);
    }
    for (unsigned i = 0; i < MANY; i++) weir_stats_release(sets[i]);
}

static void test_prometheus_keeps_the_samples_of_a_metric_together(void **state)
{
    (void)state;
    static struct weir_stats *sets[MANY];
    many_make(sets);
    struct weir_stats_query q = {.types = WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES};
    struct weir_out out = {0};
    (void)render(weir_prometheus_source, &q, &out);
    struct weir_map types = {0};
    size_t samples = 0, used = 0;
    struct weir_str type = {0};
    char *save = NULL;
    for (char *line = strtok_r(out.p, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            type = (struct weir_str){line + 7, strcspn(line + 7, " ")};
            assert_null(weir_map_set(&types, type, line)); /* each once */
            continue;
        }
        assert_true(weir_str_eq((struct weir_str){line, strcspn(line, "{")}, type));
        samples++;
        if (strstr(line, "envoy_response_code=\"503\"") != NULL) used++;
    }
    assert_int_equal(samples, (MANY + 2) * 2 + MANY / 2 + MANY / 5 + 1);
    assert_int_equal(used, MANY / 5);
    assert_int_equal(types.count, 12); /* cluster, and ns0, ns1 and ns2 of those with dots: three metrics each */
    weir_map_deinit(&types);
    weir_out_deinit(&out);
    for (unsigned i = 0; i < MANY; i++) weir_stats_release(sets[i]);
}

static void test_a_page_that_is_given_up_leaves_nothing(void **state)
{
    (void)state;
    static struct weir_stats *sets[MANY];
    many_make(sets);
    static const struct maker makers[] = {{weir_stats_text_source}, {weir_stats_json_source}, {weir_prometheus_source}};
    for (size_t i = 0; i < 3; i++) {
        for (unsigned pieces = 0; pieces < 30; pieces += 7) {
            struct weir_stats_query q = {.types = ALL};
            struct weir_admin_source *source = makers[i].make(r, &q);
            struct weir_out out = {0};
            for (unsigned k = 0; k < pieces && source->more(source, &out); k++) out.n = 0;
            source->destroy(source);
            weir_out_deinit(&out);
        }
    }
    /* Sets may go while a page is on its way. */
    struct weir_stats_query q = {.types = ALL};
    struct weir_admin_source *source = weir_stats_text_source(r, &q);
    struct weir_out out = {0};
    assert_true(source->more(source, &out));
    for (unsigned i = 0; i < MANY; i++) weir_stats_release(sets[i]);
    q.types = WEIR_STATS_GAUGES;
    assert_output(weir_stats_text_source, &q, "cluster.a.active: 0\ncluster.b.active: -2\n");
    while (source->more(source, &out)) {}
    source->destroy(source);
    assert_true(lines_of(&out) > MANY * 3);
    weir_out_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_before_the_first_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_used_only_types_and_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantiles_and_buckets_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_details_of_histograms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_gauge_that_is_back_at_0_was_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts_that_are_told_when_somebody_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_wide_gauge_has_no_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prometheus_groups_the_samples_of_a_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prometheus_histograms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested_sets_come_out_in_the_order_of_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_pages_come_in_pieces_of_bounded_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prometheus_keeps_the_samples_of_a_metric_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_page_that_is_given_up_leaves_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
