/* Text and JSON of all stats: texts first, then counters and gauges by name, then histograms by name. */
#include "dataplane/observe/stats_text.h"

#include <math.h>
#include <stdlib.h>

#include "dataplane/base/metadata.h"
#include "dataplane/base/str.h"
#include "dataplane/observe/histogram.h"

struct printer {
    struct weir_admin_source source;
    struct weir_stats_query query;
    struct weir_stats_walk *walk;
    struct weir_out *out; /* the piece at hand */
    bool begun;
    bool first;      /* of a JSON list */
    bool histograms; /* their list has begun */
};

static void add_value(struct weir_out *out, const struct weir_stat_value *v)
{
    char digits[WEIR_STAT_VALUE_TEXT_MAX];
    weir_out_add(out, (struct weir_str){digits, weir_stat_value_print(v, digits)});
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
    add_value(p->out, v);
    weir_out_add(p->out, WEIR_STR("\n"));
}

static void text_quantiles(struct weir_out *out, const struct weir_stat_value *v, bool space)
{
    double interval[WEIR_HISTOGRAM_QUANTILES], cumulative[WEIR_HISTOGRAM_QUANTILES];
    quantiles(v->interval, interval);
    quantiles(v->cumulative, cumulative);
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
        weir_out_printf(out, "%sP%g(", i > 0 || space ? " " : "", weir_histogram_percents[i]);
        add_double(out, interval[i], WEIR_STR("nan"));
        weir_out_add(out, WEIR_STR(","));
        add_double(out, cumulative[i], WEIR_STR("nan"));
        weir_out_add(out, WEIR_STR(")"));
    }
    weir_out_add(out, WEIR_STR("\n"));
}

struct bucket_list {
    struct weir_out *out;
    bool first;
};

static void text_bucket(void *ctx, double lower_bound, double width, uint64_t count)
{
    struct bucket_list *l = ctx;
    weir_out_printf(l->out, "%s%.15g,%.15g:%llu", l->first ? "" : ", ", lower_bound, width, (unsigned long long)count);
    l->first = false;
}

static void text_details(struct weir_out *out, const struct weir_stat_value *v)
{
    weir_out_add(out, WEIR_STR("\n  totals="));
    weir_histogram_each(v->cumulative, text_bucket, &(struct bucket_list){out, true});
    weir_out_add(out, WEIR_STR("\n  intervals="));
    weir_histogram_each(v->interval, text_bucket, &(struct bucket_list){out, true});
    weir_out_add(out, WEIR_STR("\n  summary="));
    text_quantiles(out, v, false);
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
    switch (p->query.buckets) {
    case WEIR_BUCKETS_QUANTILES: text_quantiles(p->out, v, true); return;
    case WEIR_BUCKETS_DETAILED: text_details(p->out, v); return;
    case WEIR_BUCKETS_CUMULATIVE:
    case WEIR_BUCKETS_DISJOINT: break;
    }
    for (int i = 0; i < WEIR_HISTOGRAM_BOUNDS; i++)
        weir_out_printf(p->out, " B%g(%llu,%llu)", weir_histogram_bounds[i], (unsigned long long)bucket(v->interval, i, p->query.buckets),
                        (unsigned long long)bucket(v->cumulative, i, p->query.buckets));
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

static const struct weir_stats_walk_events text_events = {text_readout, text_value, text_histogram};

static bool text_more(struct weir_admin_source *source, struct weir_out *out)
{
    struct printer *p = WEIR_CONTAINER_OF(source, struct printer, source);
    p->out = out;
    return weir_stats_walk_step(p->walk, out);
}

static void destroy(struct weir_admin_source *source)
{
    struct printer *p = WEIR_CONTAINER_OF(source, struct printer, source);
    weir_stats_walk_destroy(p->walk);
    free(p);
}

static struct weir_admin_source *source_make(struct weir_stats_registry *r, const struct weir_stats_query *q,
                                             const struct weir_stats_walk_events *events, bool (*more)(struct weir_admin_source *, struct weir_out *))
{
    struct printer *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    *p = (struct printer){.source = {more, destroy}, .query = *q, .first = true};
    p->walk = weir_stats_walk_create(r, q, events, p);
    return &p->source;
}

struct weir_admin_source *weir_stats_text_source(struct weir_stats_registry *r, const struct weir_stats_query *q)
{
    return source_make(r, q, &text_events, text_more);
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
    add_value(p->out, v);
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

/* One object for all histograms, left out where there are none: its head comes with the first. */
static void json_histogram_begin(struct printer *p, struct weir_str name)
{
    if (!p->histograms) {
        weir_out_add(p->out, p->first ? WEIR_STR("{\"histograms\":") : WEIR_STR(",{\"histograms\":"));
        bool detailed = p->query.buckets == WEIR_BUCKETS_DETAILED;
        if (detailed || p->query.buckets == WEIR_BUCKETS_QUANTILES) {
            weir_out_printf(p->out, "{\"supported_%s\":[", detailed ? "percentiles" : "quantiles");
            for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++)
                weir_out_printf(p->out, "%s%g", i == 0 ? "" : ",", weir_histogram_percents[i]);
            weir_out_printf(p->out, "],\"%s\":[", detailed ? "details" : "computed_quantiles");
        } else {
            weir_out_add(p->out, WEIR_STR("["));
        }
    }
    p->first = !p->histograms;
    p->histograms = true;
    json_begin(p, name);
}

static void json_quantiles(struct printer *p, const char *list, const struct weir_stat_value *v)
{
    double interval[WEIR_HISTOGRAM_QUANTILES], cumulative[WEIR_HISTOGRAM_QUANTILES];
    quantiles(v->interval, interval);
    quantiles(v->cumulative, cumulative);
    weir_out_printf(p->out, ",\"%s\":[", list);
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
        weir_out_add(p->out, i == 0 ? WEIR_STR("{\"cumulative\":") : WEIR_STR(",{\"cumulative\":"));
        add_double(p->out, cumulative[i], WEIR_STR("null"));
        weir_out_add(p->out, WEIR_STR(",\"interval\":"));
        add_double(p->out, interval[i], WEIR_STR("null"));
        weir_out_add(p->out, WEIR_STR("}"));
    }
    weir_out_add(p->out, WEIR_STR("]}"));
}

static void json_buckets(struct printer *p, const struct weir_stat_value *v)
{
    weir_out_add(p->out, WEIR_STR(",\"buckets\":["));
    for (int i = 0; v->cumulative != NULL && i < WEIR_HISTOGRAM_BOUNDS; i++) {
        weir_out_add(p->out, i == 0 ? WEIR_STR("{\"upper_bound\":") : WEIR_STR(",{\"upper_bound\":"));
        add_double(p->out, weir_histogram_bounds[i], WEIR_STR("null"));
        weir_out_printf(p->out, ",\"interval\":%llu,\"cumulative\":%llu}", (unsigned long long)bucket(v->interval, i, p->query.buckets),
                        (unsigned long long)bucket(v->cumulative, i, p->query.buckets));
    }
    weir_out_add(p->out, WEIR_STR("]}"));
}

static void json_bucket(void *ctx, double lower_bound, double width, uint64_t count)
{
    struct bucket_list *l = ctx;
    weir_out_printf(l->out, "%s{\"lower_bound\":%.15g,\"width\":%.15g,\"count\":%llu}", l->first ? "" : ",", lower_bound, width,
                    (unsigned long long)count);
    l->first = false;
}

static void json_details(struct printer *p, const struct weir_stat_value *v)
{
    weir_out_add(p->out, WEIR_STR(",\"totals\":["));
    if (v->cumulative != NULL) weir_histogram_each(v->cumulative, json_bucket, &(struct bucket_list){p->out, true});
    weir_out_add(p->out, WEIR_STR("],\"intervals\":["));
    if (v->interval != NULL) weir_histogram_each(v->interval, json_bucket, &(struct bucket_list){p->out, true});
    weir_out_add(p->out, WEIR_STR("]"));
    json_quantiles(p, "percentiles", v);
}

static void json_histogram(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    struct printer *p = ctx;
    json_histogram_begin(p, name);
    switch (p->query.buckets) {
    case WEIR_BUCKETS_QUANTILES: json_quantiles(p, "values", v); break;
    case WEIR_BUCKETS_DETAILED: json_details(p, v); break;
    case WEIR_BUCKETS_CUMULATIVE:
    case WEIR_BUCKETS_DISJOINT: json_buckets(p, v); break;
    }
}

static const struct weir_stats_walk_events json_events = {json_readout, json_value, json_histogram};

static bool json_more(struct weir_admin_source *source, struct weir_out *out)
{
    struct printer *p = WEIR_CONTAINER_OF(source, struct printer, source);
    p->out = out;
    if (!p->begun) weir_out_add(out, WEIR_STR("{\"stats\":["));
    p->begun = true;
    if (weir_stats_walk_step(p->walk, out)) return true;
    bool list = p->query.buckets == WEIR_BUCKETS_CUMULATIVE || p->query.buckets == WEIR_BUCKETS_DISJOINT;
    if (p->histograms) weir_out_add(out, list ? WEIR_STR("]}") : WEIR_STR("]}}"));
    weir_out_add(out, WEIR_STR("]}"));
    return false;
}

struct weir_admin_source *weir_stats_json_source(struct weir_stats_registry *r, const struct weir_stats_query *q)
{
    return source_make(r, q, &json_events, json_more);
}
