/* Prometheus. The samples of a metric must stand together, but come from sets all over the registry. Sets whose names give the same
 * metrics are gathered in a family (all clusters are one, most often); each family's metrics are printed one after the other,
 * each over all sets of the family. So memory grows with the sets, not with their values, and the work is cut where it must.
 *
 * Invariant: a leaf gives the same metric name in all sets of a family (a family's key is the metric of prefix + "x"). */
#include "dataplane/observe/prometheus.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/map.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/sorter.h"
#include "dataplane/base/str.h"
#include "dataplane/observe/histogram.h"
#include "dataplane/observe/stat_tags.h"

#define HISTOGRAM_COST 20u /* lines, against one of a number */

struct member {
    struct member *next;
    struct weir_stats *set;
};
/* A leaf that was made while running, with those that have it. */
struct named {
    struct named *next;
    struct weir_str leaf;
    struct member *first, *last;
};
struct family {
    struct family *next;
    struct weir_str key;
    struct member *first, *last;
    struct named *named;
    struct weir_map named_by_leaf;
};
/* One leaf of a metric: of all sets of one table, or of those that have it. */
struct column {
    struct column *next;
    const struct weir_stat_desc *table; /* NULL: named */
    uint32_t index;
    const struct named *named;
};
struct metric {
    struct metric *next;
    struct weir_str name;
    struct column *first, *last;
};
enum pass { COUNTERS, GAUGES, TEXTS, HISTOGRAMS, PASSES };
struct page {
    struct weir_admin_source source;
    struct weir_stats_registry *registry;
    struct weir_stats_query query;
    struct weir_sorter order;
    struct weir_stats **sets; /* held */
    size_t count;
    enum { SORT, GATHER, PRINT, END } phase;
    struct weir_arena arena; /* families */
    struct weir_map by_key;
    struct family *first, *last;
    /* Where printing is. */
    enum pass pass;
    const struct family *family;
    struct weir_arena family_arena; /* metrics of the pass in the family */
    struct metric *metric;
    bool metrics_made, type_printed;
    const struct column *column;
    const struct member *member;
    size_t work;  /* of this step */
    size_t begun; /* what `out` had when it began */
    struct weir_out metric_text, label_text, name; /* scratch */
};

static struct weir_str text_of(const struct weir_out *o)
{
    return (struct weir_str){o->p != NULL ? o->p : "", o->n};
}

static void tags(struct page *p, struct weir_str prefix, struct weir_str leaf)
{
    p->name.n = p->metric_text.n = p->label_text.n = 0;
    weir_out_add(&p->name, prefix);
    weir_out_add(&p->name, leaf);
    weir_stat_tags(text_of(&p->name), &p->metric_text, &p->label_text);
}

/* --- families --- */

static void member_add(struct weir_arena *a, struct member **first, struct member **last, struct weir_stats *set)
{
    struct member *m = WEIR_NEW(a, struct member, 1);
    m->set = set;
    if (*last != NULL) (*last)->next = m;
    else *first = m;
    *last = m;
}

struct named_gather {
    struct page *page;
    struct family *family;
    struct weir_stats *set;
};

static void named_keep(void *ctx, const struct weir_stat_value *v)
{
    struct named_gather *g = ctx;
    struct weir_arena *a = &g->page->arena;
    struct named *n = weir_map_get(&g->family->named_by_leaf, v->leaf);
    g->page->work++;
    if (n == NULL) {
        n = WEIR_NEW(a, struct named, 1);
        n->leaf = weir_arena_str(a, v->leaf);
        (void)weir_map_set(&g->family->named_by_leaf, n->leaf, n);
        n->next = g->family->named;
        g->family->named = n;
    }
    member_add(a, &n->first, &n->last, g->set);
}

static void family_join(struct page *p, struct weir_stats *set)
{
    tags(p, weir_stats_prefix(set), WEIR_STR("x"));
    struct family *f = weir_map_get(&p->by_key, text_of(&p->metric_text));
    if (f == NULL) {
        f = WEIR_NEW(&p->arena, struct family, 1);
        f->key = weir_arena_str(&p->arena, text_of(&p->metric_text));
        (void)weir_map_set(&p->by_key, f->key, f);
        if (p->last != NULL) p->last->next = f;
        else p->first = f;
        p->last = f;
    }
    member_add(&p->arena, &f->first, &f->last, set);
    weir_stats_visit_named(set, named_keep, &(struct named_gather){p, f, set});
    p->work++;
}

/* False: all are gathered. */
static bool gather(struct page *p)
{
    const struct weir_sorter_item *at;
    while ((at = weir_sorter_peek(&p->order)) != NULL) {
        if (p->work >= WEIR_STATS_STEP_SETS) return true;
        family_join(p, at->value);
        weir_sorter_pop(&p->order);
    }
    return false;
}

/* --- the metrics of a family --- */

static void column_add(struct page *p, struct weir_map *by_name, struct metric **last, struct weir_str prefix, struct column c, struct weir_str leaf)
{
    tags(p, prefix, leaf);
    p->work++;
    struct metric *m = weir_map_get(by_name, text_of(&p->metric_text));
    if (m == NULL) {
        m = WEIR_NEW(&p->family_arena, struct metric, 1);
        m->name = weir_arena_str(&p->family_arena, text_of(&p->metric_text));
        (void)weir_map_set(by_name, m->name, m);
        if (*last != NULL) (*last)->next = m;
        else p->metric = m;
        *last = m;
    }
    struct column *made = WEIR_NEW(&p->family_arena, struct column, 1);
    *made = c;
    if (m->last != NULL) m->last->next = made;
    else m->first = made;
    m->last = made;
}

static void metrics_make(struct page *p)
{
    static const enum weir_stat_kind kinds[] = {[COUNTERS] = WEIR_COUNTER, [GAUGES] = WEIR_GAUGE, [HISTOGRAMS] = WEIR_HISTOGRAM};
    struct weir_map by_name = {0}, tables = {0};
    struct metric *last = NULL;
    p->metric = NULL;
    for (const struct member *m = p->family->first; m != NULL; m = m->next) {
        uint32_t count;
        const struct weir_stat_desc *table = weir_stats_table(m->set, &count);
        struct weir_str key = {(const char *)&table, sizeof(table)};
        if (weir_map_get(&tables, key) != NULL) continue;
        (void)weir_map_set(&tables, weir_arena_str(&p->family_arena, key), m->set);
        for (uint32_t i = 0; i < count; i++)
            if (weir_stat_kind_of(table[i].kind) == kinds[p->pass])
                column_add(p, &by_name, &last, weir_stats_prefix(m->set), (struct column){.table = table, .index = i}, weir_str_of(table[i].name));
    }
    for (const struct named *n = p->pass == COUNTERS ? p->family->named : NULL; n != NULL; n = n->next)
        column_add(p, &by_name, &last, weir_stats_prefix(n->first->set), (struct column){.named = n}, n->leaf);
    weir_map_deinit(&by_name);
    weir_map_deinit(&tables);
}

/* --- printing --- */

static void add_sample(struct weir_out *out, struct weir_str name, struct weir_str labels, const struct weir_stat_value *value)
{
    char digits[WEIR_STAT_VALUE_TEXT_MAX];
    size_t n = weir_stat_value_print(value, digits);
    weir_out_add(out, name);
    weir_out_add(out, WEIR_STR("{"));
    weir_out_add(out, labels);
    weir_out_add(out, WEIR_STR("} "));
    weir_out_add(out, (struct weir_str){digits, n});
    weir_out_add(out, WEIR_STR("\n"));
}

static void add_type(struct page *p, struct weir_out *out, struct weir_str name, const char *type)
{
    if (!p->type_printed) weir_out_printf(out, "# TYPE %.*s %s\n", WEIR_STR_ARG(name), type);
    p->type_printed = true;
}

static void add_quantiles(struct weir_out *out, struct weir_str metric, struct weir_str labels, const char *comma, const struct weir_histogram *h)
{
    double q[WEIR_HISTOGRAM_QUANTILES], at[WEIR_HISTOGRAM_QUANTILES];
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) q[i] = weir_histogram_percents[i] / 100;
    weir_histogram_quantiles(h, q, WEIR_HISTOGRAM_QUANTILES, at);
    for (int i = 0; i < WEIR_HISTOGRAM_QUANTILES; i++) {
        weir_out_printf(out, "%.*s{%.*s%squantile=\"%g\"} ", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma, q[i]);
        if (at[i] != at[i]) weir_out_add(out, WEIR_STR("nan\n"));
        else weir_out_printf(out, "%.17g\n", at[i]);
    }
}

static void add_buckets(struct weir_out *out, struct weir_str metric, struct weir_str labels, const char *comma, const struct weir_histogram *h)
{
    for (int i = 0; i < WEIR_HISTOGRAM_BOUNDS; i++)
        weir_out_printf(out, "%.*s_bucket{%.*s%sle=\"%.15g\"} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma,
                        weir_histogram_bounds[i], (unsigned long long)weir_histogram_count_to(h, weir_histogram_bounds[i]));
    weir_out_printf(out, "%.*s_bucket{%.*s%sle=\"+Inf\"} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), comma, (unsigned long long)h->count);
}

static void add_histogram(struct page *p, struct weir_out *out, struct weir_str metric, struct weir_str labels, const struct weir_stat_value *v)
{
    static const struct weir_histogram none = {0};
    const struct weir_histogram *h = p->query.summary ? v->interval : v->cumulative;
    const char *comma = labels.n != 0 ? "," : "";
    if (h == NULL) h = &none;
    if (p->query.summary) add_quantiles(out, metric, labels, comma, h);
    else add_buckets(out, metric, labels, comma, h);
    weir_out_printf(out, "%.*s_sum{%.*s} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), (unsigned long long)h->sum);
    weir_out_printf(out, "%.*s_count{%.*s} %llu\n", WEIR_STR_ARG(metric), WEIR_STR_ARG(labels), (unsigned long long)h->count);
    p->work += HISTOGRAM_COST;
}

static void sample_print(struct page *p, struct weir_out *out)
{
    const struct column *c = p->column;
    struct weir_stats *set = p->member->set;
    struct weir_stat_value v;
    uint32_t count;
    p->work++;
    if (c->table != NULL && weir_stats_table(set, &count) != c->table) return;
    if (c->table != NULL ? !weir_stats_read(set, c->index, &v) : !weir_stats_read_named(set, c->named->leaf, &v)) return;
    tags(p, v.prefix, v.leaf);
    if (!weir_stats_query_wants(&p->query, text_of(&p->name), &v)) return;
    add_type(p, out, p->metric->name, v.kind == WEIR_COUNTER ? "counter" : v.kind == WEIR_GAUGE ? "gauge" : p->query.summary ? "summary" : "histogram");
    if (v.kind == WEIR_HISTOGRAM) add_histogram(p, out, p->metric->name, text_of(&p->label_text), &v);
    else add_sample(out, p->metric->name, text_of(&p->label_text), &v);
}

static void column_begin(struct page *p, const struct column *c)
{
    p->column = c;
    if (c != NULL) p->member = c->table != NULL ? p->family->first : c->named->first;
}

static void metric_begin(struct page *p, struct metric *m)
{
    p->metric = m;
    p->type_printed = false;
    column_begin(p, m != NULL ? m->first : NULL);
}

static void pass_begin(struct page *p, enum pass pass)
{
    p->pass = pass;
    p->family = p->first;
    p->metrics_made = false;
}

static bool pass_wanted(const struct page *p)
{
    static const unsigned bits[] = {[COUNTERS] = WEIR_STATS_COUNTERS, [GAUGES] = WEIR_STATS_GAUGES, [TEXTS] = WEIR_STATS_TEXTS,
                                    [HISTOGRAMS] = WEIR_STATS_HISTOGRAMS};
    return (p->query.types & bits[p->pass]) != 0 && (p->pass != TEXTS || p->query.text_readouts);
}

static bool full(const struct page *p, const struct weir_out *out)
{
    return p->work >= WEIR_STATS_STEP_VALUES || out->n - p->begun >= WEIR_ADMIN_PIECE_BYTES;
}

/* One family in one pass. False: the step is full. */
static bool family_print(struct page *p, struct weir_out *out)
{
    if (!p->metrics_made) {
        metrics_make(p);
        metric_begin(p, p->metric);
        p->metrics_made = true;
    }
    while (p->metric != NULL) {
        while (p->column != NULL) {
            for (; p->member != NULL; p->member = p->member->next) {
                if (full(p, out)) return false;
                sample_print(p, out);
            }
            column_begin(p, p->column->next);
        }
        metric_begin(p, p->metric->next);
    }
    weir_arena_deinit(&p->family_arena);
    p->metrics_made = false;
    return true;
}

/* Texts are few, and asked for by name. */
struct text_sample {
    struct text_sample *next;
    struct weir_str labels;
};
struct text_metric {
    struct weir_str name;
    struct text_sample *first;
};
struct text_gather {
    struct page *page;
    struct weir_sorter metrics;
    struct weir_map by_name;
};

static void text_keep(void *ctx, struct weir_str name, struct weir_str text)
{
    struct text_gather *g = ctx;
    struct page *p = g->page;
    struct weir_arena *a = &p->family_arena;
    if (p->query.used_only && text.n == 0) return;
    if (!weir_stats_query_wants_name(&p->query, name)) return;
    tags(p, WEIR_STR(""), name);
    weir_out_add(&p->label_text, p->label_text.n != 0 ? WEIR_STR(",text_value=\"") : WEIR_STR("text_value=\""));
    weir_stat_label_value(&p->label_text, text);
    weir_out_add(&p->label_text, WEIR_STR("\""));
    struct text_metric *m = weir_map_get(&g->by_name, text_of(&p->metric_text));
    if (m == NULL) {
        m = WEIR_NEW(a, struct text_metric, 1);
        m->name = weir_arena_str(a, text_of(&p->metric_text));
        (void)weir_map_set(&g->by_name, m->name, m);
        weir_sorter_add(&g->metrics, m->name, m);
    }
    struct text_sample *s = WEIR_NEW(a, struct text_sample, 1);
    *s = (struct text_sample){m->first, weir_arena_str(a, text_of(&p->label_text))};
    m->first = s;
}

static void texts_print(struct page *p, struct weir_out *out)
{
    struct text_gather g = {.page = p};
    weir_stats_each_text(p->registry, text_keep, &g);
    while (!weir_sorter_step(&g.metrics)) {}
    for (const struct weir_sorter_item *at; (at = weir_sorter_peek(&g.metrics)) != NULL; weir_sorter_pop(&g.metrics)) {
        const struct text_metric *m = at->value;
        p->type_printed = false;
        add_type(p, out, m->name, "gauge");
        for (const struct text_sample *s = m->first; s != NULL; s = s->next) add_sample(out, m->name, s->labels, &(struct weir_stat_value){0});
    }
    weir_sorter_deinit(&g.metrics);
    weir_map_deinit(&g.by_name);
    weir_arena_deinit(&p->family_arena);
}

/* False: the step is full. */
static bool print(struct page *p, struct weir_out *out)
{
    for (; p->pass < PASSES; pass_begin(p, p->pass + 1)) {
        if (!pass_wanted(p)) continue;
        if (p->pass == TEXTS) {
            texts_print(p, out);
            continue;
        }
        for (; p->family != NULL; p->family = p->family->next)
            if (!family_print(p, out)) return false;
    }
    return true;
}

static bool more(struct weir_admin_source *source, struct weir_out *out)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    p->work = 0;
    p->begun = out->n;
    switch (p->phase) {
    case SORT:
        if (!weir_sorter_step(&p->order)) return true;
        p->phase = GATHER;
        /* fall through */
    case GATHER:
        if (gather(p)) return true;
        p->phase = PRINT;
        pass_begin(p, COUNTERS);
        /* fall through */
    case PRINT:
        if (!print(p, out)) return true;
        p->phase = END;
        /* fall through */
    case END: break;
    }
    return false;
}

static void destroy(struct weir_admin_source *source)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    weir_stats_unhold(p->registry, p->sets, p->count);
    for (struct family *f = p->first; f != NULL; f = f->next) weir_map_deinit(&f->named_by_leaf);
    weir_sorter_deinit(&p->order);
    weir_map_deinit(&p->by_key);
    weir_arena_deinit(&p->family_arena);
    weir_arena_deinit(&p->arena);
    weir_out_deinit(&p->metric_text);
    weir_out_deinit(&p->label_text);
    weir_out_deinit(&p->name);
    free(p);
}

struct weir_admin_source *weir_prometheus_source(struct weir_stats_registry *r, const struct weir_stats_query *q)
{
    struct page *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    p->source = (struct weir_admin_source){more, destroy};
    p->registry = r;
    p->query = *q;
    p->sets = weir_stats_hold(r, &p->count);
    for (size_t i = 0; i < p->count; i++) weir_sorter_add(&p->order, weir_stats_prefix(p->sets[i]), p->sets[i]);
    return &p->source;
}
