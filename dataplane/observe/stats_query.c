/* The walk over stats in the order of their names. Only sets whose prefixes continue each other are sorted together, so that it
 * needs memory for a few sets, however many there are; the sets themselves are sorted run by run (base/sorter.h). */
#include "dataplane/observe/stats_query.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/sorter.h"
#include "dataplane/base/str.h"
#include "dataplane/observe/source.h"

struct item {
    struct weir_str name;
    struct weir_stat_value value;
};

struct weir_stats_walk {
    struct weir_stats_query query;
    const struct weir_stats_walk_events *events;
    void *ctx;
    enum { SORT_TEXTS, TEXTS, SORT_SETS, NUMBERS, HISTOGRAMS, END } phase;
    struct weir_sorter texts, order;
    struct weir_arena text_bytes;
    struct weir_stats_registry *registry;
    struct weir_stats **sets, **ordered; /* held; ordered: by prefix, as far as `taken` */
    size_t count, taken, again; /* again: how far the histograms are */
    unsigned types; /* of this phase */
    size_t visited; /* in this step */
    size_t begun;   /* what `out` had when it began */
    struct weir_arena names;
    struct item *items; /* of the sets at hand */
    size_t item_count, item_capacity, item_at;
};

static void *need(void *p)
{
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

bool weir_stats_query_wants_name(const struct weir_stats_query *q, struct weir_str name)
{
    return q->filter == NULL || weir_regex_partial_match(q->filter, name) != q->invert_filter;
}

bool weir_stats_query_wants(const struct weir_stats_query *q, struct weir_str name, const struct weir_stat_value *v)
{
    if (q->used_only && !v->used) return false;
    return weir_stats_query_wants_name(q, name);
}

size_t weir_stat_value_print(const struct weir_stat_value *v, char out[WEIR_STAT_VALUE_TEXT_MAX])
{
    size_t sign = v->value < 0 && !v->wide;
    out[0] = '-';
    return sign + weir_u64_print(out + sign, sign ? 0 - (uint64_t)v->value : (uint64_t)v->value);
}

static void text_keep(void *ctx, struct weir_str name, struct weir_str text)
{
    struct weir_stats_walk *w = ctx;
    if (w->query.used_only && text.n == 0) return;
    struct weir_str *copy = WEIR_NEW(&w->text_bytes, struct weir_str, 1);
    *copy = weir_arena_str(&w->text_bytes, text);
    weir_sorter_add(&w->texts, weir_arena_str(&w->text_bytes, name), copy);
}

struct weir_stats_walk *weir_stats_walk_create(struct weir_stats_registry *r, const struct weir_stats_query *q,
                                               const struct weir_stats_walk_events *events, void *ctx)
{
    struct weir_stats_walk *w = need(calloc(1, sizeof(*w)));
    w->query = *q;
    w->events = events;
    w->ctx = ctx;
    w->registry = r;
    if ((q->types & WEIR_STATS_TEXTS) != 0) weir_stats_each_text(r, text_keep, w);
    if ((q->types & ~(unsigned)WEIR_STATS_TEXTS) != 0) w->sets = weir_stats_hold(r, &w->count);
    w->ordered = need(calloc(w->count + 1, sizeof(*w->ordered)));
    for (size_t i = 0; i < w->count; i++) weir_sorter_add(&w->order, weir_stats_prefix(w->sets[i]), w->sets[i]);
    return w;
}

static void keep(void *ctx, const struct weir_stat_value *v)
{
    static const unsigned bits[] = {[WEIR_COUNTER] = WEIR_STATS_COUNTERS, [WEIR_GAUGE] = WEIR_STATS_GAUGES,
                                    [WEIR_HISTOGRAM] = WEIR_STATS_HISTOGRAMS};
    struct weir_stats_walk *w = ctx;
    w->visited++;
    if ((bits[v->kind] & w->types) == 0) return;
    size_t n = v->prefix.n + v->leaf.n;
    char *name = weir_arena_alloc(&w->names, n + 1);
    if (v->prefix.n != 0) memcpy(name, v->prefix.p, v->prefix.n);
    memcpy(name + v->prefix.n, v->leaf.p, v->leaf.n);
    if (!weir_stats_query_wants(&w->query, (struct weir_str){name, n}, v)) return;
    if (w->item_count == w->item_capacity) {
        w->item_capacity = w->item_capacity == 0 ? 256 : w->item_capacity * 2;
        w->items = need(realloc(w->items, sizeof(*w->items) * w->item_capacity));
    }
    w->items[w->item_count++] = (struct item){{name, n}, *v};
}

static int by_name(const void *a, const void *b)
{
    return weir_str_cmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* The next set in order; the second time (histograms) from what the first left. */
static struct weir_stats *peek(const struct weir_stats_walk *w)
{
    if (w->phase == HISTOGRAMS) return w->again < w->count ? w->ordered[w->again] : NULL;
    const struct weir_sorter_item *at = weir_sorter_peek(&w->order);
    return at != NULL ? at->value : NULL;
}

static void pop(struct weir_stats_walk *w, struct weir_stats *s)
{
    if (w->phase == HISTOGRAMS) {
        w->again++;
        return;
    }
    weir_sorter_pop(&w->order);
    w->ordered[w->taken++] = s;
}

/* The next set and those behind it whose prefix continues its prefix. False: none is left. */
static bool group_take(struct weir_stats_walk *w)
{
    struct weir_stats *s = peek(w);
    if (s == NULL) return false;
    struct weir_str prefix = weir_stats_prefix(s);
    w->item_count = w->item_at = 0;
    weir_arena_deinit(&w->names);
    do {
        weir_stats_visit(s, keep, w);
        pop(w, s);
        s = peek(w);
    } while (s != NULL && weir_str_starts(weir_stats_prefix(s), prefix));
    if (w->item_count > 1) qsort(w->items, w->item_count, sizeof(w->items[0]), by_name);
    return true;
}

static bool full(const struct weir_stats_walk *w, const struct weir_out *out)
{
    return w->visited >= WEIR_STATS_STEP_VALUES || out->n - w->begun >= WEIR_ADMIN_PIECE_BYTES;
}

/* False: this phase is over. */
static bool values_step(struct weir_stats_walk *w, const struct weir_out *out)
{
    while (!full(w, out)) {
        if (w->item_at == w->item_count && !group_take(w)) return false;
        for (; w->item_at < w->item_count && !full(w, out); w->item_at++) {
            const struct item *i = &w->items[w->item_at];
            (i->value.kind == WEIR_HISTOGRAM ? w->events->histogram : w->events->number)(w->ctx, i->name, &i->value);
            w->visited++;
        }
    }
    return true;
}

static bool texts_step(struct weir_stats_walk *w, const struct weir_out *out)
{
    const struct weir_sorter_item *at;
    while ((at = weir_sorter_peek(&w->texts)) != NULL) {
        if (full(w, out)) return true;
        if (weir_stats_query_wants_name(&w->query, at->name))
            w->events->text(w->ctx, at->name, *(const struct weir_str *)at->value);
        weir_sorter_pop(&w->texts);
        w->visited++;
    }
    return false;
}

bool weir_stats_walk_step(struct weir_stats_walk *w, const struct weir_out *out)
{
    w->visited = 0;
    w->begun = out->n;
    switch (w->phase) {
    case SORT_TEXTS:
        if (!weir_sorter_step(&w->texts)) return true;
        w->phase = TEXTS;
        /* fall through */
    case TEXTS:
        if (texts_step(w, out)) return true;
        w->phase = SORT_SETS;
        /* fall through */
    case SORT_SETS:
        if (!weir_sorter_step(&w->order)) return true;
        w->phase = NUMBERS;
        w->types = w->query.types & (WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES);
        /* fall through */
    case NUMBERS:
        if (values_step(w, out)) return true;
        if ((w->query.types & WEIR_STATS_HISTOGRAMS) == 0) break;
        w->phase = HISTOGRAMS;
        w->types = WEIR_STATS_HISTOGRAMS;
        /* fall through */
    case HISTOGRAMS:
        if (values_step(w, out)) return true;
        break;
    case END: break;
    }
    w->phase = END;
    return false;
}

void weir_stats_walk_destroy(struct weir_stats_walk *w)
{
    if (w == NULL) return;
    if (w->sets != NULL) weir_stats_unhold(w->registry, w->sets, w->count);
    weir_sorter_deinit(&w->texts);
    weir_sorter_deinit(&w->order);
    weir_arena_deinit(&w->text_bytes);
    weir_arena_deinit(&w->names);
    free(w->ordered);
    free(w->items);
    free(w);
}
