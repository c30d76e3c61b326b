/* Prometheus. The samples of a metric must stand together, but come from sets all over the registry: they are gathered by
 * metric, with labels kept once, and printed metric by metric. */
#include "dataplane/observe/prometheus.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/map.h"
#include "dataplane/base/str.h"
#include "dataplane/observe/histogram.h"
#include "dataplane/observe/stat_tags.h"

struct sample {
    struct sample *next;
    struct weir_str labels; /* of a histogram: all its lines */
    int64_t value;
};
struct metric {
    struct metric *next; /* in the order of first use */
    struct weir_str name;
    struct sample *first, *last;
};
struct gather {
    struct weir_arena arena;
    struct weir_map metrics, labels; /* by name; labels by their text */
    struct metric *first, *last;
    struct weir_out metric, label; /* scratch */
};

/* One copy of each label text: all counters of a cluster have the same. */
static struct weir_str labels_keep(struct gather *g)
{
    struct weir_str text = {g->label.p, g->label.n};
    if (text.n == 0) return WEIR_STR("");
    struct weir_str *kept = weir_map_get(&g->labels, text);
    if (kept == NULL) {
        kept = WEIR_NEW(&g->arena, struct weir_str, 1);
        *kept = weir_arena_str(&g->arena, text);
        (void)weir_map_set(&g->labels, *kept, kept);
    }
    return *kept;
}

static struct sample *sample_add(struct gather *g, struct weir_str name)
{
    g->metric.n = g->label.n = 0;
    weir_stat_tags(name, &g->metric, &g->label);
    struct weir_str metric_name = {g->metric.p, g->metric.n};
    struct metric *m = weir_map_get(&g->metrics, metric_name);
    if (m == NULL) {
        m = WEIR_NEW(&g->arena, struct metric, 1);
        m->name = weir_arena_str(&g->arena, metric_name);
        (void)weir_map_set(&g->metrics, m->name, m);
        if (g->last != NULL) g->last->next = m;
        else g->first = m;
        g->last = m;
    }
    struct sample *s = WEIR_NEW(&g->arena, struct sample, 1);
    s->labels = labels_keep(g);
    if (m->last != NULL) m->last->next = s;
    else m->first = s;
    m->last = s;
    return s;
}

static void gather_deinit(struct gather *g)
{
    weir_map_deinit(&g->metrics);
    weir_map_deinit(&g->labels);
    weir_arena_deinit(&g->arena);
    weir_out_deinit(&g->metric);
    weir_out_deinit(&g->label);
}

static void take_number(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    sample_add(ctx, name)->value = v->value;
}

static void add_sample(struct weir_out *out, struct weir_str name, struct weir_str labels, int64_t value)
{
    char digits[21];
    size_t sign = value < 0;
    digits[0] = '-';
    size_t n = sign + weir_u64_print(digits + sign, sign ? 0 - (uint64_t)value : (uint64_t)value);
    weir_out_add(out, name);
    weir_out_add(out, WEIR_STR("{"));
    weir_out_add(out, labels);
    weir_out_add(out, WEIR_STR("} "));
    weir_out_add(out, (struct weir_str){digits, n});
    weir_out_add(out, WEIR_STR("\n"));
}

static void add_type(struct weir_out *out, struct weir_str name, const char *type)
{
    weir_out_printf(out, "# TYPE %.*s %s\n", WEIR_STR_ARG(name), type);
}

static void print_numbers(struct weir_stats_registry *r, const struct weir_stats_query *q, unsigned types, const char *type,
                          struct weir_out *out)
{
    struct gather g = {.first = NULL};
    weir_stats_walk(r, q, types, take_number, &g);
    for (const struct metric *m = g.first; m != NULL; m = m->next) {
        add_type(out, m->name, type);
        for (const struct sample *s = m->first; s != NULL; s = s->next)
            add_sample(out, m->name, s->labels, s->value);
    }
    gather_deinit(&g);
}

static void take_text(void *ctx, struct weir_str name, struct weir_str text)
{
    struct gather *g = ctx;
    struct sample *s = sample_add(g, name);
    struct weir_out labels = {0};
    weir_out_add(&labels, s->labels);
    weir_out_printf(&labels, "%stext_value=\"", s->labels.n != 0 ? "," : "");
    weir_stat_label_value(&labels, text);
    weir_out_add(&labels, WEIR_STR("\""));
    s->labels = weir_arena_str(&g->arena, (struct weir_str){labels.p, labels.n});
    weir_out_deinit(&labels);
}

static void print_texts(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out)
{
    struct gather g = {.first = NULL};
    weir_stats_walk_texts(r, q, take_text, &g);
    for (const struct metric *m = g.first; m != NULL; m = m->next) {
        add_type(out, m->name, "gauge");
        for (const struct sample *s = m->first; s != NULL; s = s->next)
            add_sample(out, m->name, s->labels, 0);
    }
    gather_deinit(&g);
}

/* Rendered at once, with the metric's name: the sets that own the histograms are only held during the walk. */
struct histograms {
    struct gather gather;
    bool summary;
};

static void take_histogram(void *ctx, struct weir_str name, const struct weir_stat_value *v)
{
    static const struct weir_histogram none = {0};
    struct histograms *h = ctx;
    struct sample *s = sample_add(&h->gather, name);
    struct weir_str metric = {h->gather.metric.p, h->gather.metric.n}, labels = s->labels;
    const char *comma = labels.n != 0 ? "," : "";
    const struct weir_histogram *all = v->cumulative != NULL ? v->cumulative : &none;
    if (h->summary) all = v->interval != NULL ? v->interval : &none;
    struct weir_out lines = {0};
    if (h->summary) {
        double q[WEIR_HISTOGRAM_QUANTILES], at[WEIR_HISTOGRAM_QUANTILES];
        for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++)
            q[i] = weir_histogram_percents[i] / 100;
        weir_histogram_quantiles(all, q, WEIR_HISTOGRAM_QUANTILES, at);
        for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
            weir_out_printf(&lines, "%.*s{%.*s%squantile=\"%g\"} ", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma, q[i]);
            if (at[i] != at[i]) weir_out_add(&lines, WEIR_STR("nan\n"));
            else weir_out_printf(&lines, "%.17g\n", at[i]);
        }
    } else {
        for (int i = 0; i < WEIR_HISTOGRAM_BOUNDS; i++)
            weir_out_printf(&lines, "%.*s_bucket{%.*s%sle=\"%.15g\"} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma,
                            weir_histogram_bounds[i], (unsigned long long)weir_histogram_count_to(all, weir_histogram_bounds[i]));
        weir_out_printf(&lines, "%.*s_bucket{%.*s%sle=\"+Inf\"} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma,
                        (unsigned long long)all->count);
    }
    weir_out_printf(&lines, "%.*s_sum{%.*s} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), (unsigned long long)all->sum);
    weir_out_printf(&lines, "%.*s_count{%.*s} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), (unsigned long long)all->count);
    s->labels = weir_arena_str(&h->gather.arena, (struct weir_str){lines.p, lines.n});
    weir_out_deinit(&lines);
}

static void print_histograms(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out)
{
    struct histograms h = {.summary = q->summary};
    weir_stats_walk(r, q, WEIR_STATS_HISTOGRAMS, take_histogram, &h);
    for (const struct metric *m = h.gather.first; m != NULL; m = m->next) {
        add_type(out, m->name, q->summary ? "summary" : "histogram");
        for (const struct sample *s = m->first; s != NULL; s = s->next)
            weir_out_add(out, s->labels);
    }
    gather_deinit(&h.gather);
}

void weir_prometheus_print(struct weir_stats_registry *r, const struct weir_stats_query *q, struct weir_out *out)
{
    print_numbers(r, q, WEIR_STATS_COUNTERS, "counter", out);
    print_numbers(r, q, WEIR_STATS_GAUGES, "gauge", out);
    if (q->text_readouts) print_texts(r, q, out);
    print_histograms(r, q, out);
}
