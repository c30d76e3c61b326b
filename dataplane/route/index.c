/* Index of the routes of a virtual host; asked by vhost lookup for every request. */
#include "dataplane/route/index.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

/* One text that routes name as prefix or as path, and their positions: first the prefixes', then the paths', ascending. */
struct key {
    uint64_t hash;
    struct weir_str text;
    const uint32_t *orders;
    uint32_t prefixes, exacts;
};

/* Keys by hash, open addressing; a free slot has orders NULL. */
struct table {
    struct key *slots;
    uint32_t mask;
    bool fold; /* texts and paths in lower case */
    uint32_t length_count;
    const uint32_t *lengths; /* of the prefixes, ascending, each once */
    size_t exact_max;        /* longest whole path */
};

struct weir_route_index {
    const struct weir_route *routes;
    struct table cased, folded;
    uint32_t residue_count;
    const uint32_t *residue;
};

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* FNV-1a: made byte by byte, so that one walk gives the hash of every prefix. */
static inline uint64_t hash_step(uint64_t h, char c)
{
    return (h ^ (uint8_t)c) * UINT64_C(0x100000001b3);
}

/* Its low bits alone would not spread. */
static inline uint32_t slot_of(uint64_t h, uint32_t mask)
{
    return (uint32_t)((h ^ h >> 29) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
}

/* Building. */

struct entry {
    uint64_t hash;
    struct weir_str text;
    uint32_t order;
    bool exact;
};

static int compare_entries(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int text = weir_str_cmp(a->text, b->text);
    if (text != 0)
        return text;
    if (a->exact != b->exact)
        return a->exact ? 1 : -1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int compare_numbers(const void *pa, const void *pb)
{
    const uint32_t *a = pa, *b = pb;
    return *a < *b ? -1 : *a > *b;
}

static bool indexed(const struct weir_route_match *m)
{
    return m->kind == WEIR_PATH_PREFIX || m->kind == WEIR_PATH_EXACT || m->kind == WEIR_PATH_SEPARATED_PREFIX;
}

static struct weir_str fold_text(struct weir_arena *arena, struct weir_str s)
{
    struct weir_str folded = weir_arena_str(arena, s);
    char *p = (char *)(uintptr_t)folded.p;
    for (size_t i = 0; i < folded.n; i++)
        p[i] = weir_lower(p[i]);
    return folded;
}

static struct entry entry_of(struct weir_arena *arena, const struct weir_route *route, uint32_t order)
{
    const struct weir_route_match *m = route->match;
    struct entry e = {.hash = HASH_START, .text = m->ignore_case ? fold_text(arena, m->path) : m->path, .order = order};
    e.exact = m->kind == WEIR_PATH_EXACT;
    for (size_t i = 0; i < e.text.n; i++)
        e.hash = hash_step(e.hash, e.text.p[i]);
    return e;
}

static void set_lengths(struct table *t, struct weir_arena *arena, const struct entry *entries, uint32_t count)
{
    uint32_t *lengths = WEIR_NEW(arena, uint32_t, count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!entries[i].exact)
            lengths[n++] = (uint32_t)entries[i].text.n;
        else if (entries[i].text.n > t->exact_max)
            t->exact_max = entries[i].text.n;
    }
    qsort(lengths, n, sizeof *lengths, compare_numbers);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || lengths[kept - 1] != lengths[i])
            lengths[kept++] = lengths[i];
    t->lengths = lengths;
    t->length_count = kept;
}

static void insert(struct table *t, struct key key)
{
    uint32_t i = slot_of(key.hash, t->mask);
    while (t->slots[i].orders != NULL)
        i = (i + 1) & t->mask;
    t->slots[i] = key;
}

static void build_table(struct table *t, struct weir_arena *arena, struct entry *entries, uint32_t count)
{
    if (count == 0)
        return;
    qsort(entries, count, sizeof *entries, compare_entries);
    uint32_t capacity = 4;
    while (capacity < count * 2)
        capacity *= 2;
    t->slots = WEIR_NEW(arena, struct key, capacity);
    t->mask = capacity - 1;
    uint32_t *orders = WEIR_NEW(arena, uint32_t, count);
    for (uint32_t i = 0; i < count;) {
        struct key key = {.hash = entries[i].hash, .text = entries[i].text, .orders = orders + i};
        while (i < count && entries[i].hash == key.hash && weir_str_eq(entries[i].text, key.text)) {
            if (entries[i].exact)
                key.exacts++;
            else
                key.prefixes++;
            orders[i] = entries[i].order;
            i++;
        }
        insert(t, key);
    }
    set_lengths(t, arena, entries, count);
}

const struct weir_route_index *weir_route_index_build(struct weir_arena *arena, const struct weir_route *routes, uint32_t count)
{
    struct weir_route_index *x = WEIR_NEW(arena, struct weir_route_index, 1);
    x->routes = routes;
    x->folded.fold = true;
    struct weir_arena scratch;
    weir_arena_init(&scratch, 0);
    struct entry *cased = WEIR_NEW(&scratch, struct entry, count + 1), *folded = WEIR_NEW(&scratch, struct entry, count + 1);
    uint32_t *residue = WEIR_NEW(&scratch, uint32_t, count + 1);
    uint32_t cased_count = 0, folded_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!indexed(routes[i].match))
            residue[x->residue_count++] = i;
        else if (routes[i].match->ignore_case)
            folded[folded_count++] = entry_of(arena, &routes[i], i);
        else
            cased[cased_count++] = entry_of(arena, &routes[i], i);
    }
    build_table(&x->cased, arena, cased, cased_count);
    build_table(&x->folded, arena, folded, folded_count);
    if (x->residue_count > 0) {
        uint32_t *kept = WEIR_NEW(arena, uint32_t, x->residue_count);
        memcpy(kept, residue, x->residue_count * sizeof *kept);
        x->residue = kept;
    }
    weir_arena_deinit(&scratch);
    return x;
}

/* Finding. */

static bool text_is(const struct table *t, struct weir_str text, const char *p)
{
    if (!t->fold)
        return memcmp(text.p, p, text.n) == 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != weir_lower(p[i]))
            return false;
    return true;
}

static const struct key *find_key(const struct table *t, uint64_t hash, const char *p, size_t n)
{
    for (uint32_t i = slot_of(hash, t->mask); t->slots[i].orders != NULL; i = (i + 1) & t->mask) {
        const struct key *key = &t->slots[i];
        if (key->hash == hash && key->text.n == n && text_is(t, key->text, p))
            return key;
    }
    return NULL;
}

/* The first of the ascending orders below `best` whose route matches; else `best`. */
static uint32_t first_of(const struct weir_route_index *x, const struct weir_route_input *in, const uint32_t *orders, uint32_t count,
                         uint32_t best)
{
    for (uint32_t i = 0; i < count && orders[i] < best; i++)
        if (weir_route_match(x->routes[orders[i]].match, in))
            return orders[i];
    return best;
}

static uint32_t find_in(const struct weir_route_index *x, const struct table *t, const struct weir_route_input *in, uint32_t best)
{
    if (t->slots == NULL)
        return best;
    struct weir_str path = in->path;
    uint64_t h = HASH_START;
    size_t at = 0;
    const struct key *key;
    for (uint32_t i = 0; i < t->length_count && t->lengths[i] <= path.n; i++) {
        for (; at < t->lengths[i]; at++)
            h = hash_step(h, t->fold ? weir_lower(path.p[at]) : path.p[at]);
        if ((key = find_key(t, h, path.p, at)) != NULL)
            best = first_of(x, in, key->orders, key->prefixes, best);
    }
    if (path.n > t->exact_max)
        return best;
    for (; at < path.n; at++)
        h = hash_step(h, t->fold ? weir_lower(path.p[at]) : path.p[at]);
    if ((key = find_key(t, h, path.p, at)) != NULL)
        best = first_of(x, in, key->orders + key->prefixes, key->exacts, best);
    return best;
}

const struct weir_route *weir_route_index_find(const struct weir_route_index *x, const struct weir_route_input *in)
{
    uint32_t best = UINT32_MAX;
    if (in->path.p != NULL) {
        best = find_in(x, &x->cased, in, best);
        best = find_in(x, &x->folded, in, best);
    }
    best = first_of(x, in, x->residue, x->residue_count, best);
    return best != UINT32_MAX ? &x->routes[best] : NULL;
}
