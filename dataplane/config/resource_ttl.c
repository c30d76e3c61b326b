/* A timer for each resource that has a time to live; what ends in one turn is told in one call. See resource_ttl.h. */
#include "dataplane/config/resource_ttl.h"

#include <stdlib.h>

#include "dataplane/base/map.h"

struct entry {
    struct weir_timer timer;
    struct weir_list ended; /* in weir_ttls.ended */
    struct weir_ttls *ttls;
    enum weir_resource_type type;
    uint64_t heard;
    size_t n;
    char name[];
};
struct weir_ttls {
    struct weir_worker *control;
    weir_ttl_expired on_expired;
    void *ctx;
    struct weir_map by_name[WEIR_RESOURCE_TYPES];
    struct weir_list ended[WEIR_RESOURCE_TYPES];
    struct weir_deferred tell;
};

static struct weir_str name_of(const struct entry *e)
{
    return (struct weir_str){e->name, e->n};
}

static void entry_drop(struct entry *e)
{
    weir_map_remove(&e->ttls->by_name[e->type], name_of(e));
    weir_timer_stop(&e->ttls->control->timers, &e->timer);
    weir_list_remove(&e->ended);
    free(e);
}

static void tell(struct weir_deferred *d)
{
    struct weir_ttls *t = WEIR_CONTAINER_OF(d, struct weir_ttls, tell);
    for (int type = 0; type < WEIR_RESOURCE_TYPES; type++) {
        if (weir_list_empty(&t->ended[type])) continue;
        struct weir_arena arena = {0};
        struct weir_ttl_end *ends = WEIR_NEW(&arena, struct weir_ttl_end, t->by_name[type].count);
        size_t count = 0;
        while (!weir_list_empty(&t->ended[type])) {
            struct entry *e = WEIR_CONTAINER_OF(t->ended[type].next, struct entry, ended);
            ends[count++] = (struct weir_ttl_end){weir_arena_str(&arena, name_of(e)), e->heard};
            entry_drop(e);
        }
        t->on_expired(t->ctx, (enum weir_resource_type)type, ends, count);
        weir_arena_deinit(&arena);
    }
}

static void on_due(struct weir_timer *timer)
{
    struct entry *e = WEIR_CONTAINER_OF(timer, struct entry, timer);
    weir_list_push_back(&e->ttls->ended[e->type], &e->ended);
    weir_worker_defer(e->ttls->control, &e->ttls->tell);
}

struct weir_ttls *weir_ttls_create(struct weir_worker *control, weir_ttl_expired on_expired, void *ctx)
{
    struct weir_ttls *t = calloc(1, sizeof(*t));
    if (t == NULL) abort();
    t->control = control;
    t->on_expired = on_expired;
    t->ctx = ctx;
    t->tell.run = tell;
    for (int type = 0; type < WEIR_RESOURCE_TYPES; type++) weir_list_init(&t->ended[type]);
    return t;
}

void weir_ttls_destroy(struct weir_ttls *t)
{
    if (t == NULL) return;
    weir_worker_undefer(&t->tell);
    for (int type = 0; type < WEIR_RESOURCE_TYPES; type++) {
        size_t at = 0;
        struct weir_str name;
        void *value;
        while (weir_map_next(&t->by_name[type], &at, &name, &value)) {
            struct entry *e = value;
            weir_timer_stop(&t->control->timers, &e->timer);
            free(e);
        }
        weir_map_deinit(&t->by_name[type]);
    }
    free(t);
}

void weir_ttls_set(struct weir_ttls *t, enum weir_resource_type type, struct weir_str name, uint64_t ttl_ms, uint64_t heard)
{
    struct entry *e = weir_map_get(&t->by_name[type], name);
    if (ttl_ms == 0) {
        if (e != NULL) entry_drop(e);
        return;
    }
    if (e == NULL) {
        e = calloc(1, sizeof(*e) + name.n + 1);
        if (e == NULL) abort();
        e->ttls = t;
        e->type = type;
        e->timer.on_due = on_due;
        e->n = name.n;
        if (name.n > 0) memcpy(e->name, name.p, name.n);
        weir_map_set(&t->by_name[type], name_of(e), e);
    }
    e->heard = heard;
    weir_list_remove(&e->ended); /* refreshed in the very turn in which it ended */
    weir_timer_start(&t->control->timers, &e->timer, ttl_ms);
}

size_t weir_ttls_count(const struct weir_ttls *t, enum weir_resource_type type)
{
    return t->by_name[type].count;
}
