#include "test/sim/support/plane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/str.h"

#define ENTRIES_MAX 32u
#define DELAY_NS_MAX (20 * (uint64_t)SIM_MS)

struct plane_entry {
    enum weir_resource_type type;
    char *name, *json; /* json NULL: not there */
    bool subscribed;   /* endpoints and route tables: weir has asked for it */
};
struct plane {
    struct proxy *proxy;
    bool full;
    struct plane_entry entries[ENTRIES_MAX];
    uint32_t count;
    uint64_t last_ns[2]; /* of each lane: when the newest response arrives */
    uint32_t under_way;
    uint32_t wanted; /* types whose subscription is to be looked at at the end of the turn */
    struct weir_deferred look;
};

/* One response on its way, or a forgetting that waits in the same lane. */
struct response {
    struct plane *plane;
    enum weir_resource_type type;
    bool full, forget;
    uint32_t source;
    struct proxy_resource resources[ENTRIES_MAX];
    size_t count;
    char *removed;
};

static bool by_name(enum weir_resource_type type)
{
    return type == WEIR_ENDPOINTS || type == WEIR_ROUTES;
}

static struct plane_entry *find(struct plane *p, enum weir_resource_type type, struct weir_str name)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->entries[i].type == type && weir_str_eq(weir_str_of(p->entries[i].name), name)) return &p->entries[i];
    return NULL;
}

static struct plane_entry *make(struct plane *p, enum weir_resource_type type, struct weir_str name)
{
    struct plane_entry *e = find(p, type, name);
    if (e != NULL) return e;
    assert_true(p->count < ENTRIES_MAX);
    e = &p->entries[p->count++];
    *e = (struct plane_entry){.type = type, .name = strndup(name.p, name.n)};
    return e;
}

static void arrive(struct sim *s, void *ctx)
{
    (void)s;
    struct response *r = ctx;
    struct plane *p = r->plane;
    p->under_way--;
    if (r->forget)
        proxy_forget(p->proxy, r->type, r->source, r->removed);
    else
        proxy_apply(p->proxy, r->type, r->resources, r->count, r->removed, r->full);
    for (size_t i = 0; i < r->count; i++) {
        free((void *)(uintptr_t)r->resources[i].name);
        free((void *)(uintptr_t)r->resources[i].json);
    }
    free(r->removed);
    free(r);
}

static struct response *response_new(struct plane *p, enum weir_resource_type type)
{
    struct response *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->plane = p;
    r->type = type;
    return r;
}

static void add(struct response *r, const struct plane_entry *e)
{
    r->resources[r->count++] = (struct proxy_resource){strdup(e->name), strdup(e->json)};
}

static void dispatch(struct response *r, uint64_t delay_ns)
{
    struct plane *p = r->plane;
    struct sim *s = p->proxy->sim;
    uint64_t now = s->worker->now_ns, at = now + delay_ns, *last = &p->last_ns[r->type == WEIR_ENDPOINTS];
    if (at < *last) at = *last;
    *last = at;
    p->under_way++;
    sim_at(s, at - now, arrive, r);
}

static uint64_t some_delay(struct plane *p)
{
    return weir_random_below(&p->proxy->sim->random, DELAY_NS_MAX);
}

static void send_all(struct plane *p, enum weir_resource_type type)
{
    struct response *r = response_new(p, type);
    r->full = true;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->entries[i].type == type && p->entries[i].json != NULL) add(r, &p->entries[i]);
    dispatch(r, some_delay(p));
}

void plane_set(struct plane *p, enum weir_resource_type type, const char *name, const char *json)
{
    struct plane_entry *e = make(p, type, weir_str_of(name));
    free(e->json);
    e->json = strdup(json);
    if (by_name(type) && !e->subscribed) return;
    if (p->full && !by_name(type)) {
        send_all(p, type);
        return;
    }
    struct response *r = response_new(p, type);
    add(r, e);
    dispatch(r, some_delay(p));
}

void plane_remove(struct plane *p, enum weir_resource_type type, const char *name)
{
    struct plane_entry *e = find(p, type, weir_str_of(name));
    if (e == NULL || e->json == NULL) return;
    free(e->json);
    e->json = NULL;
    if (by_name(type) && !e->subscribed) return;
    if (p->full && !by_name(type)) {
        send_all(p, type);
        return;
    }
    struct response *r = response_new(p, type);
    r->removed = strdup(name);
    dispatch(r, some_delay(p));
}

/* As weir's subscriptions are: one change a turn, and only names that are new are answered. */
static void look_at(struct plane *p, enum weir_resource_type type)
{
    struct weir_arena a = {0};
    size_t count = 0;
    struct weir_str *names = weir_publisher_wanted(p->proxy->publisher, type, &a, &count);
    struct response *r = response_new(p, type);
    for (size_t i = 0; i < count; i++)
        (void)make(p, type, names[i]);
    for (uint32_t i = 0; i < p->count; i++) {
        struct plane_entry *e = &p->entries[i];
        bool wanted = false;
        for (size_t k = 0; k < count; k++)
            wanted |= weir_str_eq(names[k], weir_str_of(e->name));
        if (e->type != type) continue;
        if (wanted && !e->subscribed && e->json != NULL) add(r, e);
        e->subscribed = wanted;
    }
    weir_arena_deinit(&a);
    if (r->count != 0)
        dispatch(r, some_delay(p));
    else
        free(r);
}

static void on_look(struct weir_deferred *d)
{
    struct plane *p = WEIR_CONTAINER_OF(d, struct plane, look);
    uint32_t wanted = p->wanted;
    p->wanted = 0;
    weir_publisher_forget_left(p->proxy->publisher);
    if ((wanted & 1u << WEIR_ENDPOINTS) != 0) look_at(p, WEIR_ENDPOINTS);
    if ((wanted & 1u << WEIR_ROUTES) != 0) look_at(p, WEIR_ROUTES);
}

void plane_on_wanted(struct plane *p, enum weir_resource_type type)
{
    p->wanted |= 1u << type;
    weir_worker_defer(p->proxy->control, &p->look);
}

void plane_on_forget(struct plane *p, enum weir_resource_type type, uint32_t source, struct weir_str name)
{
    struct response *r = response_new(p, type);
    r->forget = true;
    r->source = source;
    r->removed = strndup(name.p, name.n);
    dispatch(r, 0);
}

struct plane *plane_create(struct proxy *proxy, bool full)
{
    struct plane *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->proxy = proxy;
    p->full = full;
    p->look.run = on_look;
    proxy->plane = p;
    return p;
}

void plane_destroy(struct plane *p)
{
    assert_int_equal(p->under_way, 0);
    p->proxy->plane = NULL;
    weir_worker_undefer(&p->look);
    for (uint32_t i = 0; i < p->count; i++) {
        free(p->entries[i].name);
        free(p->entries[i].json);
    }
    free(p);
}
