/* Open addressing with linear probing; removal shifts back, so that there are no tombstones. Load stays under 3/4. */
#define XXH_INLINE_ALL
#include "dataplane/base/map.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

/* Chosen once a process, then constant; 0: not chosen yet. */
static _Atomic uint64_t process_seed;

static uint64_t seed_choose(void)
{
    uint64_t fresh = 0, none = 0;
    if (getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh)) fresh = (uint64_t)(uintptr_t)&fresh;
    if (fresh == 0) fresh = 1;
    return atomic_compare_exchange_strong(&process_seed, &none, fresh) ? fresh : none;
}

uint64_t weir_hash(struct weir_str s)
{
    uint64_t seed = atomic_load_explicit(&process_seed, memory_order_relaxed);
    if (__builtin_expect(seed == 0, 0)) seed = seed_choose();
    return XXH3_64bits_withSeed(s.n != 0 ? s.p : "", s.n, seed);
}

uint64_t weir_hash_stable(struct weir_str s)
{
    return XXH64(s.n != 0 ? s.p : "", s.n, 0);
}

void weir_map_deinit(struct weir_map *m)
{
    free(m->slots);
    *m = (struct weir_map){0};
}

/* The slot of the key, or the free one where it would go. */
static struct weir_map_slot *find(const struct weir_map *m, struct weir_str key, uint64_t hash)
{
    size_t mask = m->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct weir_map_slot *s = &m->slots[i];
        if (s->value == NULL || (s->hash == hash && weir_str_eq(s->key, key))) return s;
    }
}

void *weir_map_get(const struct weir_map *m, struct weir_str key)
{
    if (m->count == 0) return NULL;
    return find(m, key, weir_hash(key))->value;
}

static void grow(struct weir_map *m)
{
    struct weir_map old = *m;
    m->capacity = old.capacity == 0 ? 4 : old.capacity * 2;
    m->slots = calloc(m->capacity, sizeof(*m->slots));
    if (m->slots == NULL) {
        (void)fprintf(stderr, "weir: out of memory\n");
        abort();
    }
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].value != NULL) *find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    free(old.slots);
}

void *weir_map_set(struct weir_map *m, struct weir_str key, void *value)
{
    if (m->count >= m->capacity / 4 * 3) grow(m);
    uint64_t hash = weir_hash(key);
    struct weir_map_slot *s = find(m, key, hash);
    void *was = s->value;
    if (was == NULL) m->count++;
    *s = (struct weir_map_slot){key, hash, value};
    return was;
}

void *weir_map_remove(struct weir_map *m, struct weir_str key)
{
    if (m->count == 0) return NULL;
    size_t mask = m->capacity - 1;
    struct weir_map_slot *s = find(m, key, weir_hash(key));
    void *was = s->value;
    if (was == NULL) return NULL;
    m->count--;
    size_t hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        /* May move back only if its home is not after the hole. */
        if (((i - m->slots[i].hash) & mask) < ((i - hole) & mask)) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct weir_map_slot){0};
    return was;
}

bool weir_map_next(const struct weir_map *m, size_t *at, struct weir_str *key, void **value)
{
    while (*at < m->capacity) {
        const struct weir_map_slot *s = &m->slots[(*at)++];
        if (s->value == NULL) continue;
        if (key != NULL) *key = s->key;
        if (value != NULL) *value = s->value;
        return true;
    }
    return false;
}
