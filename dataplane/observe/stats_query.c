/* The walk over stats in the order of their names. Only the sets whose prefixes continue each other are sorted together, so
 * that it needs memory for a few sets, however many there are. */
#include "dataplane/observe/stats_query.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"

struct item {
    struct weir_str name;
    struct weir_stat_value value;
};

struct walk {
    const struct weir_stats_query *query;
    unsigned types;
    struct weir_arena names;
    struct item *items;
    size_t count, capacity;
};

static void keep(void *ctx, const struct weir_stat_value *v)
{
    static const unsigned bits[] = {[WEIR_COUNTER] = WEIR_STATS_COUNTERS, [WEIR_GAUGE] = WEIR_STATS_GAUGES,
                                    [WEIR_HISTOGRAM] = WEIR_STATS_HISTOGRAMS};
    struct walk *w = ctx;
    if ((bits[v->kind] & w->types) == 0 || (w->query->used_only && !v->used)) return;
    char small[512];
    size_t n = v->prefix.n + v->leaf.n;
    char *name = n <= sizeof(small) ? small : weir_arena_alloc(&w->names, n);
    if (v->prefix.n != 0) memcpy(name, v->prefix.p, v->prefix.n);
    memcpy(name + v->prefix.n, v->leaf.p, v->leaf.n);
    struct weir_str whole = {name, n};
    if (w->query->filter != NULL && !weir_regex_partial_match(w->query->filter, whole)) return;
    if (w->count == w->capacity) {
        w->capacity = w->capacity == 0 ? 256 : w->capacity * 2;
        w->items = realloc(w->items, sizeof(*w->items) * w->capacity);
        if (w->items == NULL) {
            (void)fprintf(stderr, "weir: out of memory\n");
            abort();
        }
    }
    w->items[w->count++] = (struct item){name == small ? weir_arena_str(&w->names, whole) : whole, *v};
}

static int by_name(const void *a, const void *b)
{
    return weir_str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

void weir_stats_walk(struct weir_stats_registry *r, const struct weir_stats_query *q, unsigned types,
                     void (*fn)(void *ctx, struct weir_str name, const struct weir_stat_value *v), void *ctx)
{
    struct walk w = {.query = q, .types = types & q->types};
    struct weir_stats_view view;
    if (w.types == 0) return;
    weir_stats_view_init(&view, r);
    for (size_t i = 0; i < view.count;) {
        i = weir_stats_view_visit(&view, i, keep, &w);
        if (w.count > 1) qsort(w.items, w.count, sizeof(w.items[0]), by_name);
        for (size_t k = 0; k < w.count; k++)
            fn(ctx, w.items[k].name, &w.items[k].value);
        w.count = 0;
        weir_arena_deinit(&w.names);
    }
    weir_stats_view_deinit(&view);
    weir_arena_deinit(&w.names);
    free(w.items);
}

struct texts {
    const struct weir_stats_query *query;
    void (*fn)(void *ctx, struct weir_str name, struct weir_str text);
    void *ctx;
};

static void keep_text(void *ctx, struct weir_str name, struct weir_str text)
{
    const struct texts *t = ctx;
    if (t->query->filter != NULL && !weir_regex_partial_match(t->query->filter, name)) return;
    t->fn(t->ctx, name, text);
}

void weir_stats_walk_texts(struct weir_stats_registry *r, const struct weir_stats_query *q,
                           void (*fn)(void *ctx, struct weir_str name, struct weir_str text), void *ctx)
{
    struct texts t = {q, fn, ctx};
    if ((q->types & WEIR_STATS_TEXTS) != 0) weir_stats_visit_texts(r, keep_text, &t);
}
