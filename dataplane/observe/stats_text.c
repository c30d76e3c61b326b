/* Text and JSON of all stats: texts first, then counters and gauges by name, then histograms by name. */
#include "dataplane/observe/stats_text.h"

#include <math.h>

#include "dataplane/base/metadata.h"
#include "dataplane/base/str.h"
#include "dataplane/observe/histogram.h"

struct printer {
    const struct weir_stats_query *query;
    struct weir_out *out;
    bool first; /* of a JSON list */
};

static void add_number(struct weir_out *out, int64_t v)
{
    char digits[21];
    size_t sign = v < 0;
    digits[0] = '-';
    weir_out_add(out, (struct weir_str){digits, sign + weir_u64_print(digits + sign, sign ? 0 - (uint64_t)v : (uint64_t)v)});
}

static void add_double(struct weir_out *out, double v, struct weir_str none)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    weir_out_add(out, isnan(v) ? none : (struct weir_str){text, weir_number_print(v, text)});
}

static void quantiles(const struct weir_histogram *h, double out[WEIR_HISTOGRAM_QUANTILES])
{
    static const struct weir_histogram none = {0};
    double q[WEIR_HISTOGRAM_QUANTILES];
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++)
        q[i] = weir_histogram_percents[i] / 100;
    weir_histogram_quantiles(h != NULL ? h : &none, q, WEIR_HISTOGRAM_QUANTILES, out);
}

/* Samples of bucket i: all up to its bound, or those above the bound before it. */
static uint64_t bucket(const struct weir_histogram *h, int i, enum weir_stats_buckets form)
{
    uint64_t to = weir_histogram_count_to(h, weir_histogram_bounds[i]);
    if (form == WEIR_BUCKETS_CUMULATIVE || i == 0) return to;
    return to - weir_histogram_count_to(h, weir_histogram_bounds[i - 1]);
}

static void text_value(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    weir_out_add(p->out, name);
    weir_out_add(p->out, WEIR_STR(": "));
    add_number(p->out, v->value);
    weir_out_add(p->out, WEIR_STR("\n"));
}

static void text_histogram(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    weir_out_add(p->out, name);
    weir_out_add(p->out, WEIR_STR(":"));
    if (v->cumulative == NULL) {
        weir_out_add(p->out, WEIR_STR(" No recorded values\n"));
        return;
    }
    if (p->query->buckets != WEIR_BUCKETS_QUANTILES) {
        for (int i = 0; i < WEIR_HISTOGRAM_BOUNDS; i++)
            weir_out_printf(p->out, " B%g(%llu,%llu)", weir_histogram_bounds[i],
                            (unsigned long long)bucket(v->interval, i, p->query->buckets),
                            (unsigned long long)bucket(v->cumulative, i, p->query->buckets));
    } else {
        double interval[WEIR_HISTOGRAM_QUANTILES], cumulative[WEIR_HISTOGRAM_QUANTILES];
        quantiles(v->interval, interval);
        quantiles(v->cumulative, cumulative);
        for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
            weir_out_printf(p->out, " P%g(", weir_histogram_percents[i]);
            add_double(p->out, interval[i], WEIR_STR("nan"));
            weir_out_add(p->out, WEIR_STR(","));
            add_double(p->out, cumulative[i], WEIR_STR("nan"));
            weir_out_add(p->out, WEIR_STR(")"));
        }
    }
    weir_out_add(p->out, WEIR_STR("\n"));
}

static void text_readout(void *ctx, struct weir_str name, struct weir_str text)
{
    struct printer *p = ctx;
    weir_out_add(p->out, name);
    weir_out_add(p->out, WEIR_STR(": \""));
    weir_out_add(p->out, text);
    weir_out_add(p->out, WEIR_STR("\"\n"));
}

void weir_stats_print_text(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out)
{
    struct printer p = {q, out, true};
    weir_stats_walk_texts(r, q, text_readout, &p);
    weir_stats_walk(r, q, WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES, text_value, &p);
    weir_stats_walk(r, q, WEIR_STATS_HISTOGRAMS, text_histogram, &p);
}

static void json_begin(struct printer *p, struct weir_str name)
{
    if (!p->first) weir_out_add(p->out, WEIR_STR(","));
    p->first = false;
    weir_out_add(p->out, WEIR_STR("{\"name\":"));
    weir_out_string(p->out, name);
}

static void json_value(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    json_begin(p, name);
    weir_out_add(p->out, WEIR_STR(",\"value\":"));
    add_number(p->out, v->value);
    weir_out_add(p->out, WEIR_STR("}"));
}

static void json_readout(void *ctx, struct weir_str name, struct weir_str text)
{
    struct printer *p = ctx;
    json_begin(p, name);
    weir_out_add(p->out, WEIR_STR(",\"value\":"));
    weir_out_string(p->out, text);
    weir_out_add(p->out, WEIR_STR("}"));
}

static void json_quantiles(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    double interval[WEIR_HISTOGRAM_QUANTILES], cumulative[WEIR_HISTOGRAM_QUANTILES];
    quantiles(v->interval, interval);
    quantiles(v->cumulative, cumulative);
    json_begin(p, name);
    weir_out_add(p->out, WEIR_STR(",\"values\":["));
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
        weir_out_add(p->out, i == 0 ? WEIR_STR("{\"cumulative\":") : WEIR_STR(",{\"cumulative\":"));
        add_double(p->out, cumulative[i], WEIR_STR("null"));
        weir_out_add(p->out, WEIR_STR(",\"interval\":"));
        add_double(p->out, interval[i], WEIR_STR("null"));
        weir_out_add(p->out, WEIR_STR("}"));
    }
    weir_out_add(p->out, WEIR_STR("]}"));
}

static void json_buckets(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    json_begin(p, name);
    weir_out_add(p->out, WEIR_STR(",\"buckets\":["));
    for (int i = 0; v->cumulative != NULL && i < WEIR_HISTOGRAM_BOUNDS; i++)
        weir_out_printf(p->out, "%s{\"upper_bound\":%.15g,\"interval\":%llu,\"cumulative\":%llu}", i == 0 ? "" : ",",
                        weir_histogram_bounds[i], (unsigned long long)bucket(v->interval, i, p->query->buckets),
                        (unsigned long long)bucket(v->cumulative, i, p->query->buckets));
    weir_out_add(p->out, WEIR_STR("]}"));
}

/* One object for all histograms, left out where there are none. */
static void json_histograms(struct weir_stats_registry *r, const struct weir_stats_query *q, bool first, struct weir_out *out)
{
    struct weir_out list = {0};
    struct printer p = {q, &list, true};
    bool by_quantile = q->buckets == WEIR_BUCKETS_QUANTILES;
    weir_stats_walk(r, q, WEIR_STATS_HISTOGRAMS, by_quantile ? json_quantiles : json_buckets, &p);
    if (!p.first) {
        weir_out_add(out, first ? WEIR_STR("{\"histograms\":") : WEIR_STR(",{\"histograms\":"));
        if (by_quantile) {
            weir_out_add(out, WEIR_STR("{\"supported_quantiles\":["));
            for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++)
                weir_out_printf(out, "%s%g", i == 0 ? "" : ",", weir_histogram_percents[i]);
            weir_out_add(out, WEIR_STR("],\"computed_quantiles\":["));
        } else {
            weir_out_add(out, WEIR_STR("["));
        }
        weir_out_add(out, (struct weir_str){list.p, list.n});
        weir_out_add(out, by_quantile ? WEIR_STR("]}}") : WEIR_STR("]}"));
    }
    weir_out_deinit(&list);
}

void weir_stats_print_json(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out)
{
    struct printer p = {q, out, true};
    weir_out_add(out, WEIR_STR("{\"stats\":["));
    weir_stats_walk_texts(r, q, json_readout, &p);
    weir_stats_walk(r, q, WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES, json_value, &p);
    json_histograms(r, q, p.first, out);
    weir_out_add(out, WEIR_STR("]}"));
}
