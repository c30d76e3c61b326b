/* See names.h. Slots are never reused: a name that comes back gets its old slot, and a route compiled long ago still means
 * the same cluster. */
#include "dataplane/config/names.h"

#include <pthread.h>
#include <stdlib.h>

#include "dataplane/base/map.h"

struct table {
    struct weir_map by_name; /* value: slot + 1 */
    uint32_t count;
};
struct weir_names {
    pthread_rwlock_t lock;
    struct weir_arena arena; /* keys */
    struct table clusters, route_tables;
    struct weir_compile_names for_compile;
};

static uint32_t find(struct weir_names *n, struct table *t, struct weir_str name)
{
    pthread_rwlock_rdlock(&n->lock);
    uintptr_t slot = (uintptr_t)weir_map_get(&t->by_name, name);
    pthread_rwlock_unlock(&n->lock);
    return slot == 0 ? UINT32_MAX : (uint32_t)(slot - 1);
}

static uint32_t find_or_add(struct weir_names *n, struct table *t, struct weir_str name)
{
    uint32_t slot = find(n, t, name);
    if (slot != UINT32_MAX) return slot;
    pthread_rwlock_wrlock(&n->lock);
    uintptr_t there = (uintptr_t)weir_map_get(&t->by_name, name);
    if (there == 0) {
        there = ++t->count;
        weir_map_set(&t->by_name, weir_arena_str(&n->arena, name), (void *)there);
    }
    pthread_rwlock_unlock(&n->lock);
    return (uint32_t)(there - 1);
}

uint32_t weir_names_cluster(struct weir_names *n, struct weir_str name)
{
    return find_or_add(n, &n->clusters, name);
}

uint32_t weir_names_route_table(struct weir_names *n, struct weir_str name)
{
    return find_or_add(n, &n->route_tables, name);
}

uint32_t weir_names_find_cluster(struct weir_names *n, struct weir_str name)
{
    return find(n, &n->clusters, name);
}

static uint32_t cluster_slot(void *ctx, struct weir_str name)
{
    return weir_names_cluster(ctx, name);
}

static uint32_t route_table_slot(void *ctx, struct weir_str name, uint64_t initial_fetch_timeout_ms, struct weir_stats *stats)
{
    (void)initial_fetch_timeout_ms; /* the compile job keeps both (compile_job.c) */
    (void)stats;
    return weir_names_route_table(ctx, name);
}

struct weir_names *weir_names_create(void)
{
    struct weir_names *n = calloc(1, sizeof(*n));
    if (n == NULL) abort();
    pthread_rwlock_init(&n->lock, NULL);
    n->for_compile = (struct weir_compile_names){.cluster_slot = cluster_slot, .route_table_slot = route_table_slot, .ctx = n};
    return n;
}

void weir_names_destroy(struct weir_names *n)
{
    if (n == NULL) return;
    weir_map_deinit(&n->clusters.by_name);
    weir_map_deinit(&n->route_tables.by_name);
    weir_arena_deinit(&n->arena);
    pthread_rwlock_destroy(&n->lock);
    free(n);
}

const struct weir_compile_names *weir_names_for_compile(struct weir_names *n)
{
    return &n->for_compile;
}
