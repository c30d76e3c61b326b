/* Log-linear histograms: 90 buckets a decade (two decimal digits) and one for zero, as Envoy's. The worker's form is
 * written by one thread and read by another without locks; the plain form is merged from those and belongs to the reader. */
#ifndef WEIR_OBSERVE_HISTOGRAM_H
#define WEIR_OBSERVE_HISTOGRAM_H

#include <stdatomic.h>

#include "dataplane/weir.h"

#define WEIR_HISTOGRAM_DECADES 20
#define WEIR_HISTOGRAM_DECADE_BUCKETS 90

struct weir_histogram_decade {
    _Atomic uint64_t counts[WEIR_HISTOGRAM_DECADE_BUCKETS];
};
/* Zeroed is empty. */
struct weir_histogram_cells {
    _Atomic uint64_t zeros, sum;
    struct weir_histogram_decade *_Atomic decades[WEIR_HISTOGRAM_DECADES]; /* made at first use */
};
void weir_histogram_cells_deinit(struct weir_histogram_cells *c);
void weir_histogram_record(struct weir_histogram_cells *c, uint64_t value); /* the one writer */

/* Zeroed is empty. */
struct weir_histogram {
    uint64_t zeros, count, sum;
    uint64_t *decades[WEIR_HISTOGRAM_DECADES]; /* heap, NULL: no samples */
};
void weir_histogram_deinit(struct weir_histogram *h);
void weir_histogram_add(struct weir_histogram *h, const struct weir_histogram_cells *c);
/* to = newer - older, bucket by bucket; `to` is emptied before. */
void weir_histogram_subtract(struct weir_histogram *to, const struct weir_histogram *newer, const struct weir_histogram *older);
/* The values at the quantiles q (ascending, 0 to 1): the sample at that rank, where a bucket's n samples are taken to divide it
 * into n + 1 equal parts; NaN without samples. */
void weir_histogram_quantiles(const struct weir_histogram *h, const double *q, size_t n, double *out);
/* Samples of at most `bound`; exact where no bucket lies across it. */
uint64_t weir_histogram_count_to(const struct weir_histogram *h, double bound);

/* Calls fn for each bucket that holds samples, in ascending order. */
void weir_histogram_each(const struct weir_histogram *h, void (*fn)(void *ctx, double lower_bound, double width, uint64_t count), void *ctx);

/* Envoy's defaults: quantiles in percent, and the upper bounds of prometheus' buckets. */
#define WEIR_HISTOGRAM_QUANTILES 10
#define WEIR_HISTOGRAM_BOUNDS 19
extern const double weir_histogram_percents[WEIR_HISTOGRAM_QUANTILES];
extern const double weir_histogram_bounds[WEIR_HISTOGRAM_BOUNDS];

#endif
