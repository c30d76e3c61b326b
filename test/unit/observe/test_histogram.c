/* observe/histogram.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "dataplane/base/random.h"
#include "dataplane/observe/histogram.h"

static void fill(struct weir_histogram *h, const uint64_t *values, size_t n)
{
    struct weir_histogram_cells c = {0};
    for (size_t i = 0; i < n; i++)
        weir_histogram_record(&c, values[i]);
    weir_histogram_add(h, &c);
    weir_histogram_cells_deinit(&c);
}

static void test_empty_has_no_quantiles(void **state)
{
    (void)state;
    struct weir_histogram h = {0};
    double out, q = 0.5;
    weir_histogram_quantiles(&h, &q, 1, &out);
    assert_true(isnan(out));
    assert_int_equal(weir_histogram_count_to(&h, 1e9), 0);
    weir_histogram_deinit(&h);
}

/* As the real Envoy 1.40 prints them for as many samples of 1. */
static void test_quantiles_divide_a_bucket_by_its_samples(void **state)
{
    (void)state;
    static const double q[] = {0, 0.25, 0.5, 0.75, 0.9, 1};
    static const double want[][6] = {
        {1.05, 1.05, 1.05, 1.05, 1.05, 1.05},
        {1.0333333333333334, 1.0333333333333334, 1.0333333333333334, 1.0666666666666667, 1.0666666666666667, 1.0666666666666667},
        {1.025, 1.025, 1.05, 1.075, 1.075, 1.075},
        {1.02, 1.02, 1.04, 1.06, 1.08, 1.08},
        {1.0166666666666666, 1.0333333333333334, 1.05, 1.0666666666666667, 1.0833333333333333, 1.0833333333333333},
        {1.0142857142857142, 1.0285714285714285, 1.042857142857143, 1.0714285714285714, 1.0857142857142856, 1.0857142857142856},
        {1.0125, 1.025, 1.05, 1.075, 1.0875, 1.0875},
    };
    static const uint64_t ones[7] = {1, 1, 1, 1, 1, 1, 1};
    for (size_t n = 1; n <= 7; n++) {
        struct weir_histogram h = {0};
        double out[6];
        fill(&h, ones, n);
        weir_histogram_quantiles(&h, q, 6, out);
        for (int i = 0; i < 6; i++)
            if (out[i] != want[n - 1][i]) fail_msg("%zu samples, quantile %g: %.17g, not %.17g", n, q[i], out[i], want[n - 1][i]);
        weir_histogram_deinit(&h);
    }
}

static void test_quantiles_step_over_zeros_and_gaps(void **state)
{
    (void)state;
    struct weir_histogram h = {0};
    double out[4];
    fill(&h, (uint64_t[]){0, 0, 6, 5000}, 4);
    weir_histogram_quantiles(&h, (double[]){0, 0.5, 0.75, 1}, 4, out);
    assert_true(out[0] == 0 && out[1] == 0 && fabs(out[2] - 6.05) < 1e-12 && out[3] == 5050);
    assert_int_equal(h.count, 4);
    assert_int_equal(h.sum, 5006);
    weir_histogram_deinit(&h);
}

static void test_counts_to_a_bound_are_exact_at_the_bounds_of_buckets(void **state)
{
    (void)state;
    struct weir_histogram h = {0};
    fill(&h, (uint64_t[]){0, 1, 1, 5, 6, 24, 25, 26, 99, 100, 110, UINT64_MAX}, 12);
    assert_int_equal(weir_histogram_count_to(&h, 0.5), 1);
    assert_int_equal(weir_histogram_count_to(&h, 1), 3);
    assert_int_equal(weir_histogram_count_to(&h, 5), 4);
    assert_int_equal(weir_histogram_count_to(&h, 25), 7);
    assert_int_equal(weir_histogram_count_to(&h, 109), 10);
    assert_int_equal(weir_histogram_count_to(&h, 1e300), 12);
    weir_histogram_deinit(&h);
}

static void test_quantiles_are_within_a_bucket_of_the_truth(void **state)
{
    (void)state;
    struct weir_random r;
    weir_random_seed(&r, 4);
    struct weir_histogram h = {0};
    enum { N = 10000 };
    static uint64_t values[N];
    for (int i = 0; i < N; i++)
        values[i] = (uint64_t)i * 37 % N + 100; /* each of 100 .. 10099 once */
    fill(&h, values, N);
    const double q[] = {0.1, 0.5, 0.9, 0.999};
    double out[4];
    weir_histogram_quantiles(&h, q, 4, out);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(out[i] - (100 + q[i] * N)) <= out[i] * 0.11);
    weir_histogram_deinit(&h);
}

static void test_interval_is_the_difference(void **state)
{
    (void)state;
    struct weir_histogram older = {0}, newer = {0}, between = {0};
    fill(&older, (uint64_t[]){3, 40}, 2);
    fill(&newer, (uint64_t[]){3, 40, 40, 5000}, 4);
    weir_histogram_subtract(&between, &newer, &older);
    assert_int_equal(between.count, 2);
    assert_int_equal(between.sum, 5040);
    assert_int_equal(weir_histogram_count_to(&between, 39), 0);
    assert_int_equal(weir_histogram_count_to(&between, 100), 1);
    weir_histogram_deinit(&older);
    weir_histogram_deinit(&newer);
    weir_histogram_deinit(&between);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_has_no_quantiles),
        cmocka_unit_test(test_quantiles_divide_a_bucket_by_its_samples),
        cmocka_unit_test(test_quantiles_step_over_zeros_and_gaps),
        cmocka_unit_test(test_counts_to_a_bound_are_exact_at_the_bounds_of_buckets),
        cmocka_unit_test(test_quantiles_are_within_a_bucket_of_the_truth),
        cmocka_unit_test(test_interval_is_the_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
