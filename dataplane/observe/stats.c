/* The registry of counters. Compile and control thread register sets under its lock; workers write shards of their own
 * without any; admin pages read. A set keeps its numbers as long as somebody holds it. */
#include "dataplane/observe/stats.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/map.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "dataplane/observe/histogram.h"

#define NAMED_BUCKETS 16u
#define CACHE_LINE 64u

/* What sets of one static table share. */
struct table {
    struct table *next;
    const struct weir_stat_desc *descs;
    uint32_t count, histogram_count;
    uint16_t *histogram_of; /* by index; meaningful for histograms */
};

struct named {
    struct named *next; /* constant once published */
    _Atomic int64_t value;
    int64_t base; /* subtracted when read; the control thread's */
    uint32_t n;
    char leaf[];
};

/* Lists that only grow, newest first. */
struct named_table {
    struct named *_Atomic buckets[NAMED_BUCKETS];
    uint32_t count;
};

struct shard {
    struct weir_stats_shard pub;
    struct weir_histogram_cells *_Atomic *histograms; /* NULL where the set has none */
    struct named_table *_Atomic named;                /* made at first use */
    _Atomic int64_t cells[];
};

struct merged {
    struct weir_histogram cumulative, interval;
};

struct weir_stats {
    struct weir_stats_registry *registry;
    const struct table *table;
    uint32_t refs, holds; /* under the registry's lock; without references it is in no map */
    struct weir_str key; /* prefix and the table's address; behind the shards */
    struct weir_str prefix;
    int64_t *bases;         /* by index, what counters read as 0; NULL: never reset */
    struct merged *merged;  /* by histogram; NULL: not flushed since it got samples */
    struct shard *_Atomic shards[]; /* worker_count + 1 */
};

struct text {
    struct weir_str name, text;
};

struct weir_stats_registry {
    pthread_mutex_t lock;
    uint32_t worker_count;
    struct weir_map sets;  /* key → struct weir_stats */
    struct weir_map texts; /* name → struct text */
    void (*tell)(void *of, weir_stat_text_fn *fn, void *ctx); /* NULL: nobody has more of them; the reader's thread */
    void *tell_of;
    struct table *tables;
};

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count != 0 ? count : 1, size);
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

struct weir_stats_registry *weir_stats_registry_create(uint32_t worker_count)
{
    struct weir_stats_registry *r = zeroed(1, sizeof(*r));
    r->worker_count = worker_count;
    (void)pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void shard_free(struct shard *s)
{
    if (s == NULL) return;
    for (uint32_t i = 0; i < s->pub.set->table->histogram_count; i++) {
        struct weir_histogram_cells *c = atomic_load_explicit(&s->histograms[i], memory_order_relaxed);
        if (c != NULL) weir_histogram_cells_deinit(c);
        free(c);
    }
    free(s->histograms);
    struct named_table *t = atomic_load_explicit(&s->named, memory_order_relaxed);
    for (unsigned i = 0; t != NULL && i < NAMED_BUCKETS; i++) {
        struct named *next;
        for (struct named *n = atomic_load_explicit(&t->buckets[i], memory_order_relaxed); n != NULL; n = next) {
            next = n->next;
            free(n);
        }
    }
    free(t);
    free(s);
}

static void set_free(struct weir_stats *s)
{
    for (uint32_t i = 0; i <= s->registry->worker_count; i++)
        shard_free(atomic_load_explicit(&s->shards[i], memory_order_relaxed));
    for (uint32_t i = 0; s->merged != NULL && i < s->table->histogram_count; i++) {
        weir_histogram_deinit(&s->merged[i].cumulative);
        weir_histogram_deinit(&s->merged[i].interval);
    }
    free(s->merged);
    free(s->bases);
    free(s);
}

static void text_free(struct text *t)
{
    if (t == NULL) return;
    free((void *)(uintptr_t)t->name.p);
    free((void *)(uintptr_t)t->text.p);
    free(t);
}

void weir_stats_registry_destroy(struct weir_stats_registry *r)
{
    if (r == NULL) return;
    size_t at = 0;
    void *value;
    while (weir_map_next(&r->sets, &at, NULL, &value))
        set_free(value);
    weir_map_deinit(&r->sets);
    at = 0;
    while (weir_map_next(&r->texts, &at, NULL, &value))
        text_free(value);
    weir_map_deinit(&r->texts);
    while (r->tables != NULL) {
        struct table *t = r->tables;
        r->tables = t->next;
        free(t->histogram_of);
        free(t);
    }
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static const struct table *table_find(struct weir_stats_registry *r, const struct weir_stat_desc *descs, uint32_t count)
{
    for (const struct table *t = r->tables; t != NULL; t = t->next)
        if (t->descs == descs && t->count == count) return t;
    struct table *t = zeroed(1, sizeof(*t));
    *t = (struct table){r->tables, descs, count, 0, zeroed(count, sizeof(uint16_t))};
    for (uint32_t i = 0; i < count; i++)
        if (weir_stat_kind_of(descs[i].kind) == WEIR_HISTOGRAM) t->histogram_of[i] = (uint16_t)t->histogram_count++;
    r->tables = t;
    return t;
}

struct weir_stats *weir_stats_acquire(struct weir_stats_registry *r, struct weir_str prefix, const struct weir_stat_desc *descs,
                                      uint32_t count)
{
    size_t n = prefix.n + sizeof(const void *);
    char *key = zeroed(1, n);
    if (prefix.n != 0) memcpy(key, prefix.p, prefix.n);
    memcpy(key + prefix.n, &descs, sizeof(const void *));
    (void)pthread_mutex_lock(&r->lock);
    struct weir_stats *s = weir_map_get(&r->sets, (struct weir_str){key, n});
    if (s == NULL) {
        size_t shards = sizeof(s->shards[0]) * (r->worker_count + 1);
        s = zeroed(1, sizeof(*s) + shards + n);
        char *own = (char *)s->shards + shards;
        memcpy(own, key, n);
        s->registry = r;
        s->table = table_find(r, descs, count);
        s->key = (struct weir_str){own, n};
        s->prefix = (struct weir_str){own, prefix.n};
        (void)weir_map_set(&r->sets, s->key, s);
    }
    s->refs++;
    (void)pthread_mutex_unlock(&r->lock);
    free(key);
    return s;
}

struct weir_stats *weir_stats_ref(struct weir_stats *s)
{
    (void)pthread_mutex_lock(&s->registry->lock);
    s->refs++;
    (void)pthread_mutex_unlock(&s->registry->lock);
    return s;
}

void weir_stats_release(struct weir_stats *s)
{
    if (s == NULL) return;
    struct weir_stats_registry *r = s->registry;
    (void)pthread_mutex_lock(&r->lock);
    assert(s->refs != 0);
    bool last = --s->refs == 0;
    if (last) (void)weir_map_remove(&r->sets, s->key);
    last = last && s->holds == 0;
    (void)pthread_mutex_unlock(&r->lock);
    if (last) set_free(s);
}

struct weir_stats_shard *weir_stats_shard(struct weir_stats *s, uint32_t worker)
{
    assert(worker <= s->registry->worker_count);
    struct shard *shard = atomic_load_explicit(&s->shards[worker], memory_order_acquire);
    if (shard != NULL) return &shard->pub;
    /* Lines of its own: two workers never write one. */
    size_t cells = sizeof(*shard) + sizeof(shard->cells[0]) * s->table->count, size = cells + s->table->count;
    size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    shard = aligned_alloc(CACHE_LINE, size);
    if (shard == NULL) abort();
    memset(shard, 0, size);
    shard->pub = (struct weir_stats_shard){shard->cells, (_Atomic uint8_t *)((char *)shard + cells), s, worker};
    if (s->table->histogram_count > 0) shard->histograms = zeroed(s->table->histogram_count, sizeof(shard->histograms[0]));
    struct shard *there = NULL;
    if (atomic_compare_exchange_strong_explicit(&s->shards[worker], &there, shard, memory_order_acq_rel, memory_order_acquire))
        return &shard->pub;
    free(shard->histograms);
    free(shard);
    return &there->pub;
}

void weir_stat_record(struct weir_stats_shard *s, uint32_t index, uint64_t value)
{
    struct shard *shard = WEIR_CONTAINER_OF(s, struct shard, pub);
    assert(index < s->set->table->count);
    struct weir_histogram_cells *_Atomic *at = &shard->histograms[s->set->table->histogram_of[index]];
    struct weir_histogram_cells *c = atomic_load_explicit(at, memory_order_relaxed);
    if (c == NULL) {
        c = zeroed(1, sizeof(*c));
        atomic_store_explicit(at, c, memory_order_release);
    }
    weir_histogram_record(c, value);
    weir_stat_inc(s, index);
}

/* Names differ in their ends: upstream_rq_200, upstream_rq_2xx. */
static unsigned named_bucket(struct weir_str leaf)
{
    unsigned bucket = (unsigned)leaf.n;
    if (leaf.n >= 3) bucket += (unsigned char)leaf.p[leaf.n - 1] * 3u + (unsigned char)leaf.p[leaf.n - 2] * 5u + (unsigned char)leaf.p[leaf.n - 3];
    return bucket % NAMED_BUCKETS;
}

void weir_stat_add_named(struct weir_stats_shard *s, struct weir_str leaf, int64_t by)
{
    struct shard *shard = WEIR_CONTAINER_OF(s, struct shard, pub);
    struct named_table *t = atomic_load_explicit(&shard->named, memory_order_relaxed);
    if (t == NULL) {
        t = zeroed(1, sizeof(*t));
        atomic_store_explicit(&shard->named, t, memory_order_release);
    }
    struct named *_Atomic *head = &t->buckets[named_bucket(leaf)];
    struct named *first = atomic_load_explicit(head, memory_order_relaxed), *n = first;
    while (n != NULL && !weir_str_eq((struct weir_str){n->leaf, n->n}, leaf))
        n = n->next;
    if (n == NULL) {
        if (t->count == WEIR_STATS_NAMED_MAX) return;
        t->count++;
        n = zeroed(1, sizeof(*n) + leaf.n);
        n->n = (uint32_t)leaf.n;
        memcpy(n->leaf, leaf.p, leaf.n);
        n->next = first;
        atomic_store_explicit(head, n, memory_order_release);
    }
    atomic_store_explicit(&n->value, atomic_load_explicit(&n->value, memory_order_relaxed) + by, memory_order_relaxed);
}

static int64_t sum_raw(const struct weir_stats *s, uint32_t index)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i <= s->registry->worker_count; i++) {
        const struct shard *shard = atomic_load_explicit(&s->shards[i], memory_order_acquire);
        if (shard != NULL) sum += atomic_load_explicit(&shard->cells[index], memory_order_relaxed);
    }
    return sum;
}

int64_t weir_stat_sum(struct weir_stats *s, uint32_t index)
{
    assert(index < s->table->count);
    return sum_raw(s, index) - (s->bases != NULL ? s->bases[index] : 0);
}

/* Any bytes: a version comes from the control plane and ends without NUL. */
static struct weir_str copy_bytes(struct weir_str s)
{
    char *p = malloc(s.n + 1);
    if (p == NULL) abort();
    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct weir_str){p, s.n};
}

void weir_stats_set_text(struct weir_stats_registry *r, struct weir_str name, struct weir_str text)
{
    (void)pthread_mutex_lock(&r->lock);
    text_free(weir_map_remove(&r->texts, name));
    if (text.p != NULL) {
        struct text *t = zeroed(1, sizeof(*t));
        t->name = copy_bytes(name);
        t->text = copy_bytes(text);
        (void)weir_map_set(&r->texts, t->name, t);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

void weir_stats_set_text_teller(struct weir_stats_registry *r, void (*tell)(void *of, weir_stat_text_fn *fn, void *ctx), void *of)
{
    r->tell = tell;
    r->tell_of = of;
}

/* What other threads read; NULL: nothing named. */
static struct named_table *named_of(const struct shard *s)
{
    return s != NULL ? atomic_load_explicit(&s->named, memory_order_acquire) : NULL;
}

static void set_reset(struct weir_stats *s)
{
    if (s->bases == NULL) s->bases = zeroed(s->table->count, sizeof(s->bases[0]));
    for (uint32_t i = 0; i < s->table->count; i++)
        if (weir_stat_kind_of(s->table->descs[i].kind) == WEIR_COUNTER) s->bases[i] = sum_raw(s, i);
    for (uint32_t w = 0; w <= s->registry->worker_count; w++) {
        struct shard *shard = atomic_load_explicit(&s->shards[w], memory_order_acquire);
        struct named_table *t = named_of(shard);
        for (unsigned b = 0; t != NULL && b < NAMED_BUCKETS; b++)
            for (struct named *n = atomic_load_explicit(&t->buckets[b], memory_order_acquire); n != NULL; n = n->next)
                n->base = atomic_load_explicit(&n->value, memory_order_relaxed);
    }
}

struct weir_stats **weir_stats_hold(struct weir_stats_registry *r, size_t *count)
{
    size_t at = 0, n = 0;
    void *value;
    (void)pthread_mutex_lock(&r->lock);
    struct weir_stats **sets = zeroed(r->sets.count, sizeof(*sets));
    while (weir_map_next(&r->sets, &at, NULL, &value)) {
        struct weir_stats *s = value;
        s->holds++;
        sets[n++] = s;
    }
    (void)pthread_mutex_unlock(&r->lock);
    *count = n;
    return sets;
}

void weir_stats_unhold(struct weir_stats_registry *r, struct weir_stats **sets, size_t count)
{
    size_t gone = 0;
    (void)pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < count; i++)
        if (--sets[i]->holds == 0 && sets[i]->refs == 0) sets[gone++] = sets[i];
    (void)pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < gone; i++) set_free(sets[i]);
    free(sets);
}

/* Runs fn over all sets without holding the lock meanwhile. */
static void for_all_sets(struct weir_stats_registry *r, void (*fn)(struct weir_stats *s))
{
    size_t count;
    struct weir_stats **sets = weir_stats_hold(r, &count);
    for (size_t i = 0; i < count; i++) fn(sets[i]);
    weir_stats_unhold(r, sets, count);
}

void weir_stats_reset_counters(struct weir_stats_registry *r)
{
    for_all_sets(r, set_reset);
}

static void set_flush(struct weir_stats *s)
{
    for (uint32_t i = 0; i < s->table->count; i++) {
        if (weir_stat_kind_of(s->table->descs[i].kind) != WEIR_HISTOGRAM || sum_raw(s, i) == 0) continue;
        uint32_t h = s->table->histogram_of[i];
        if (s->merged == NULL) s->merged = zeroed(s->table->histogram_count, sizeof(s->merged[0]));
        struct weir_histogram now = {0};
        for (uint32_t w = 0; w <= s->registry->worker_count; w++) {
            const struct shard *shard = atomic_load_explicit(&s->shards[w], memory_order_acquire);
            if (shard == NULL) continue;
            const struct weir_histogram_cells *c = atomic_load_explicit(&shard->histograms[h], memory_order_acquire);
            if (c != NULL) weir_histogram_add(&now, c);
        }
        weir_histogram_subtract(&s->merged[h].interval, &now, &s->merged[h].cumulative);
        weir_histogram_deinit(&s->merged[h].cumulative);
        s->merged[h].cumulative = now;
    }
}

void weir_stats_flush(struct weir_stats_registry *r)
{
    for_all_sets(r, set_flush);
}

struct weir_stats_flush {
    struct weir_stats_registry *registry;
    struct weir_stats **sets; /* held */
    size_t count, at;
};

struct weir_stats_flush *weir_stats_flush_create(struct weir_stats_registry *r)
{
    struct weir_stats_flush *f = zeroed(1, sizeof(*f));
    f->registry = r;
    f->sets = weir_stats_hold(r, &f->count);
    return f;
}

bool weir_stats_flush_step(struct weir_stats_flush *f)
{
    for (size_t n = 0; n < WEIR_STATS_FLUSH_SETS && f->at < f->count; n++) set_flush(f->sets[f->at++]);
    return f->at < f->count;
}

void weir_stats_flush_destroy(struct weir_stats_flush *f)
{
    if (f == NULL) return;
    weir_stats_unhold(f->registry, f->sets, f->count);
    free(f);
}

static int by_prefix(const void *a, const void *b)
{
    const struct weir_stats *x = *(struct weir_stats *const *)a, *y = *(struct weir_stats *const *)b;
    return weir_str_cmp(x->prefix, y->prefix);
}

void weir_stats_view_init(struct weir_stats_view *v, struct weir_stats_registry *r)
{
    v->registry = r;
    v->sets = weir_stats_hold(r, &v->count);
    qsort(v->sets, v->count, sizeof(v->sets[0]), by_prefix);
}

void weir_stats_view_deinit(struct weir_stats_view *v)
{
    weir_stats_unhold(v->registry, v->sets, v->count);
    *v = (struct weir_stats_view){0};
}

void weir_stats_visit_named(const struct weir_stats *s, void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx)
{
    struct weir_map sums = {0}; /* leaf → struct weir_stat_value */
    for (uint32_t w = 0; w <= s->registry->worker_count; w++) {
        struct shard *shard = atomic_load_explicit(&s->shards[w], memory_order_acquire);
        struct named_table *t = named_of(shard);
        for (unsigned b = 0; t != NULL && b < NAMED_BUCKETS; b++) {
            for (const struct named *n = atomic_load_explicit(&t->buckets[b], memory_order_acquire); n != NULL; n = n->next) {
                struct weir_str leaf = {n->leaf, n->n};
                struct weir_stat_value *sum = weir_map_get(&sums, leaf);
                if (sum == NULL) {
                    sum = zeroed(1, sizeof(*sum));
                    *sum = (struct weir_stat_value){.prefix = s->prefix, .leaf = leaf, .kind = WEIR_COUNTER, .used = true};
                    (void)weir_map_set(&sums, leaf, sum);
                }
                sum->value += atomic_load_explicit(&n->value, memory_order_relaxed) - n->base;
            }
        }
    }
    size_t at = 0;
    void *value;
    while (weir_map_next(&sums, &at, NULL, &value)) {
        fn(ctx, value);
        free(value);
    }
    weir_map_deinit(&sums);
}

static bool was_moved(const struct weir_stats *s, uint32_t index)
{
    for (uint32_t i = 0; i <= s->registry->worker_count; i++) {
        const struct shard *shard = atomic_load_explicit(&s->shards[i], memory_order_acquire);
        if (shard != NULL && atomic_load_explicit(&shard->pub.moved[index], memory_order_relaxed) != 0) return true;
    }
    return false;
}

bool weir_stats_read(struct weir_stats *s, uint32_t index, struct weir_stat_value *out)
{
    const struct weir_stat_desc *d = &s->table->descs[index];
    int64_t raw = sum_raw(s, index);
    *out = (struct weir_stat_value){.prefix = s->prefix, .leaf = weir_str_of(d->name), .kind = weir_stat_kind_of(d->kind), .wide = (d->kind & WEIR_WIDE) != 0};
    out->value = raw - (s->bases != NULL ? s->bases[index] : 0);
    out->used = raw != 0 || was_moved(s, index);
    if (!out->used && (d->kind & WEIR_LATE) != 0) return false;
    if (out->kind != WEIR_HISTOGRAM || s->merged == NULL) return true;
    const struct merged *m = &s->merged[s->table->histogram_of[index]];
    if (m->cumulative.count != 0) {
        out->cumulative = &m->cumulative;
        out->interval = &m->interval;
    }
    return true;
}

bool weir_stats_read_named(const struct weir_stats *s, struct weir_str leaf, struct weir_stat_value *out)
{
    bool found = false;
    *out = (struct weir_stat_value){.prefix = s->prefix, .leaf = leaf, .kind = WEIR_COUNTER, .used = true};
    for (uint32_t w = 0; w <= s->registry->worker_count; w++) {
        const struct named_table *t = named_of(atomic_load_explicit(&s->shards[w], memory_order_acquire));
        if (t == NULL) continue;
        const struct named *n = atomic_load_explicit(&t->buckets[named_bucket(leaf)], memory_order_acquire);
        while (n != NULL && !weir_str_eq((struct weir_str){n->leaf, n->n}, leaf)) n = n->next;
        if (n == NULL) continue;
        found = true;
        out->value += atomic_load_explicit(&n->value, memory_order_relaxed) - n->base;
    }
    return found;
}

void weir_stats_visit(struct weir_stats *s, void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx)
{
    struct weir_stat_value v;
    for (uint32_t i = 0; i < s->table->count; i++)
        if (weir_stats_read(s, i, &v)) fn(ctx, &v);
    weir_stats_visit_named(s, fn, ctx);
}

struct weir_str weir_stats_prefix(const struct weir_stats *s)
{
    return s->prefix;
}

const struct weir_stat_desc *weir_stats_table(const struct weir_stats *s, uint32_t *count)
{
    *count = s->table->count;
    return s->table->descs;
}

size_t weir_stats_view_visit(const struct weir_stats_view *v, size_t index,
                             void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx)
{
    if (index >= v->count) return v->count;
    struct weir_str prefix = v->sets[index]->prefix;
    do
        weir_stats_visit(v->sets[index++], fn, ctx);
    while (index < v->count && weir_str_starts(v->sets[index]->prefix, prefix));
    return index;
}

void weir_stats_each_text(struct weir_stats_registry *r, weir_stat_text_fn *fn, void *ctx)
{
    size_t at = 0;
    void *value;
    (void)pthread_mutex_lock(&r->lock);
    while (weir_map_next(&r->texts, &at, NULL, &value)) fn(ctx, ((const struct text *)value)->name, ((const struct text *)value)->text);
    (void)pthread_mutex_unlock(&r->lock);
    if (r->tell != NULL) r->tell(r->tell_of, fn, ctx);
}
