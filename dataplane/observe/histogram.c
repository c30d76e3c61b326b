/* Histograms: recording on workers, merging and quantiles where they are read. */
#include "dataplane/observe/histogram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const double weir_histogram_percents[WEIR_HISTOGRAM_QUANTILES] = {0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100};
const double weir_histogram_bounds[WEIR_HISTOGRAM_BOUNDS] = {0.5,  1,    5,    10,    25,    50,    100,    250,     500,    1000,
                                                             2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

static void *zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

static const uint64_t powers[WEIR_HISTOGRAM_DECADES] = {1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u,
    1000000000u, 10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u,
    10000000000000000u, 100000000000000000u, 1000000000000000000u, 10000000000000000000u};

void weir_histogram_cells_deinit(struct weir_histogram_cells *c)
{
    for (int d = 0; d < WEIR_HISTOGRAM_DECADES; d++)
        free(atomic_load_explicit(&c->decades[d], memory_order_relaxed));
}

/* One writer: no read-modify-write is needed. */
static void add(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

void weir_histogram_record(struct weir_histogram_cells *c, uint64_t value)
{
    add(&c->sum, value);
    if (value == 0) {
        add(&c->zeros, 1);
        return;
    }
    unsigned d = 0;
    while (d + 1 < WEIR_HISTOGRAM_DECADES && value >= powers[d + 1])
        d++;
    struct weir_histogram_decade *decade = atomic_load_explicit(&c->decades[d], memory_order_relaxed);
    if (decade == NULL) {
        decade = zeroed(sizeof(*decade));
        atomic_store_explicit(&c->decades[d], decade, memory_order_release);
    }
    uint64_t digits = d == 0 ? value * 10 : value / powers[d - 1];
    add(&decade->counts[digits - 10], 1);
}

void weir_histogram_deinit(struct weir_histogram *h)
{
    for (int d = 0; d < WEIR_HISTOGRAM_DECADES; d++)
        free(h->decades[d]);
    *h = (struct weir_histogram){0};
}

static uint64_t *decade_of(struct weir_histogram *h, int d)
{
    if (h->decades[d] == NULL) h->decades[d] = zeroed(sizeof(uint64_t) * WEIR_HISTOGRAM_DECADE_BUCKETS);
    return h->decades[d];
}

void weir_histogram_add(struct weir_histogram *h, const struct weir_histogram_cells *c)
{
    uint64_t zeros = atomic_load_explicit(&c->zeros, memory_order_relaxed);
    h->zeros += zeros;
    h->count += zeros;
    h->sum += atomic_load_explicit(&c->sum, memory_order_relaxed);
    for (int d = 0; d < WEIR_HISTOGRAM_DECADES; d++) {
        const struct weir_histogram_decade *from = atomic_load_explicit(&c->decades[d], memory_order_acquire);
        if (from == NULL) continue;
        uint64_t *to = decade_of(h, d);
        for (int b = 0; b < WEIR_HISTOGRAM_DECADE_BUCKETS; b++) {
            uint64_t n = atomic_load_explicit(&from->counts[b], memory_order_relaxed);
            to[b] += n;
            h->count += n;
        }
    }
}

void weir_histogram_subtract(struct weir_histogram *to, const struct weir_histogram *newer, const struct weir_histogram *older)
{
    weir_histogram_deinit(to);
    to->zeros = newer->zeros - older->zeros;
    to->count = newer->count - older->count;
    to->sum = newer->sum - older->sum;
    for (int d = 0; d < WEIR_HISTOGRAM_DECADES; d++) {
        if (newer->decades[d] == NULL) continue;
        uint64_t *out = decade_of(to, d);
        for (int b = 0; b < WEIR_HISTOGRAM_DECADE_BUCKETS; b++)
            out[b] = newer->decades[d][b] - (older->decades[d] != NULL ? older->decades[d][b] : 0);
    }
}

/* The buckets that hold samples, in ascending order. */
struct walk {
    int decade, bucket; /* of the present one; decade -1: the zeros */
    uint64_t count;
    double left, width;
};

static bool walk_next(const struct weir_histogram *h, struct walk *w)
{
    if (w->decade == -2) {
        w->decade = -1;
        w->bucket = WEIR_HISTOGRAM_DECADE_BUCKETS - 1;
        if (h->zeros != 0) {
            w->count = h->zeros;
            w->left = w->width = 0;
            return true;
        }
    }
    for (;;) {
        if (++w->bucket == WEIR_HISTOGRAM_DECADE_BUCKETS) {
            w->bucket = 0;
            w->decade++;
        }
        if (w->decade == WEIR_HISTOGRAM_DECADES) return false;
        if (h->decades[w->decade] == NULL) {
            w->bucket = WEIR_HISTOGRAM_DECADE_BUCKETS - 1;
            continue;
        }
        w->count = h->decades[w->decade][w->bucket];
        if (w->count == 0) continue;
        w->width = (double)powers[w->decade] / 10;
        w->left = w->width * (w->bucket + 10);
        return true;
    }
}

void weir_histogram_quantiles(const struct weir_histogram *h, const double *q, size_t n, double *out)
{
    struct walk w = {.decade = -2}, next;
    if (h->count == 0 || !walk_next(h, &w)) {
        for (size_t i = 0; i < n; i++)
            out[i] = NAN;
        return;
    }
    uint64_t below = 0;
    for (size_t i = 0; i < n; i++) {
        double exact = q[i] * (double)h->count;
        uint64_t rank = (uint64_t)ceil(exact - exact * 1e-15); /* 0.1 * 10 is the first, whatever its last digit says */
        if (rank == 0) rank = 1;
        for (next = w; below + w.count < rank && walk_next(h, &next); w = next)
            below += w.count;
        out[i] = w.left + w.width * (double)(rank - below) / (double)(w.count + 1);
    }
}

uint64_t weir_histogram_count_to(const struct weir_histogram *h, double bound)
{
    struct walk w = {.decade = -2};
    uint64_t count = 0;
    while (walk_next(h, &w)) {
        double largest = ceil(w.left + w.width) - 1; /* the largest whole number of the bucket */
        if ((largest > w.left ? largest : w.left) > bound) break;
        count += w.count;
    }
    return count;
}

void weir_histogram_each(const struct weir_histogram *h, void (*fn)(void *ctx, double lower_bound, double width, uint64_t count), void *ctx)
{
    struct walk w = {.decade = -2};
    while (walk_next(h, &w)) fn(ctx, w.left, w.width, w.count);
}
