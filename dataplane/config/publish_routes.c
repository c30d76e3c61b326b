/* Route tables: one mail a worker, which swaps the pin in its array. Streams that run keep the table they began with. A table
 * that listeners named goes when the last of them does; one that came before any listener named it waits. */
#include <stdlib.h>

#include "dataplane/config/publish_internal.h"

struct table_mail {
    struct weir_mail mail;
    uint32_t slot;
    struct weir_resource *table; /* a reference; NULL: the slot empties */
};

static void table_deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct table_mail *t = WEIR_CONTAINER_OF(m, struct table_mail, mail);
    struct weir_snapshot *s = &w->snapshot;
    if (t->slot >= s->route_table_capacity) {
        uint32_t capacity = t->slot + 16 > s->route_table_capacity * 2 ? t->slot + 16 : s->route_table_capacity * 2;
        struct weir_pin **wider = realloc(s->route_tables, capacity * sizeof(*wider));
        if (wider == NULL) abort();
        memset(wider + s->route_table_capacity, 0, (capacity - s->route_table_capacity) * sizeof(*wider));
        s->route_tables = wider;
        s->route_table_capacity = capacity;
    }
    struct weir_pin *old = s->route_tables[t->slot];
    s->route_tables[t->slot] = t->table != NULL ? weir_pin_create(t->table) : NULL;
    if (old != NULL) weir_pin_release(old);
    if (t->table != NULL) weir_resource_release(t->table);
    free(t);
}

static void table_send(struct weir_publisher *p, struct weir_str name, struct weir_resource *table)
{
    uint32_t slot = weir_names_route_table(p->o.names, name);
    for (uint32_t i = 0; i < p->o.worker_count; i++) {
        struct table_mail *t = calloc(1, sizeof(*t));
        if (t == NULL) abort();
        t->mail.deliver = table_deliver;
        t->slot = slot;
        t->table = table;
        if (table != NULL) weir_resource_acquire(table);
        weir_mailbox_post(p->o.workers[i], &t->mail);
    }
}

void weir_publish_route_table(struct weir_publisher *p, struct weir_record *r, struct weir_resource *table)
{
    weir_record_set_active(r, table);
    table_send(p, r->name, table);
    weir_publish_listeners_check(p);
}

static void table_remove(struct weir_publisher *p, struct weir_record *r)
{
    if (r->active != NULL) table_send(p, r->name, NULL);
    weir_record_remove(p, r);
}

void weir_publish_rds_changed(struct weir_publisher *p)
{
    if (p->closing) return;
    p->rds_changed = true;
    p->events->on_wanted(p->ctx, WEIR_ROUTES);
}

static bool is_wanted(struct weir_publisher *p, struct weir_str name)
{
    if (!p->rds_changed) return weir_map_get(&p->rds, name) != NULL;
    struct weir_arena a = {0};
    size_t count = 0;
    const struct weir_str *names = weir_publish_rds_names(p, &a, &count);
    bool is = false;
    for (size_t i = 0; i < count && !is; i++) is = weir_str_eq(names[i], name);
    weir_arena_deinit(&a);
    return is;
}

/* A table in use stays and serves, as in Envoy. */
void weir_publish_route_table_removed(struct weir_publisher *p, struct weir_record *r)
{
    if (!is_wanted(p, r->name)) table_remove(p, r);
}

static void name_forget(struct weir_publisher *p, struct weir_str name)
{
    char *owned = weir_map_remove(&p->rds, name);
    struct weir_record *r = weir_publisher_record(p, WEIR_ROUTES, (struct weir_str){owned, name.n});
    if (r != NULL) {
        p->events->on_forget(p->ctx, WEIR_ROUTES, r->source, r->name);
        table_remove(p, r);
    }
    free(owned);
}

void weir_publish_route_tables_forget_left(struct weir_publisher *p)
{
    if (!p->rds_changed) return;
    p->rds_changed = false;
    struct weir_arena a = {0};
    struct weir_map now = {0};
    size_t count = 0, gone = 0, at = 0;
    struct weir_str name;
    struct weir_str *names = weir_publish_rds_names(p, &a, &count);
    for (size_t i = 0; i < count; i++) weir_map_set(&now, names[i], names);
    struct weir_str *left = WEIR_NEW(&a, struct weir_str, p->rds.count + 1);
    while (weir_map_next(&p->rds, &at, &name, NULL))
        if (weir_map_get(&now, name) == NULL) left[gone++] = name;
    for (size_t i = 0; i < gone; i++) name_forget(p, left[i]);
    for (size_t i = 0; i < count; i++) {
        if (weir_map_get(&p->rds, names[i]) != NULL) continue;
        char *owned = malloc(names[i].n + 1);
        if (owned == NULL) abort();
        memcpy(owned, names[i].p, names[i].n);
        owned[names[i].n] = '\0';
        weir_map_set(&p->rds, (struct weir_str){owned, names[i].n}, owned);
    }
    weir_map_deinit(&now);
    weir_arena_deinit(&a);
}

void weir_publish_route_tables_forgotten(struct weir_publisher *p, struct weir_str name)
{
    struct weir_record *r = weir_publisher_record(p, WEIR_ROUTES, name);
    if (r != NULL && !is_wanted(p, name)) table_remove(p, r);
}

void weir_publish_route_tables_deinit(struct weir_publisher *p)
{
    size_t at = 0;
    void *owned;
    while (weir_map_next(&p->rds, &at, NULL, &owned)) free(owned);
    weir_map_deinit(&p->rds);
}

struct runtime_mail {
    struct weir_mail mail;
    struct weir_resource *runtime;
};

static void runtime_use(struct weir_worker *w, struct weir_resource *runtime)
{
    struct weir_pin *old = w->snapshot.runtime_pin;
    w->snapshot.runtime_pin = weir_pin_create(runtime);
    w->snapshot.runtime = (const struct weir_runtime *)(void *)runtime;
    if (old != NULL) weir_pin_release(old);
}

static void runtime_deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct runtime_mail *r = WEIR_CONTAINER_OF(m, struct runtime_mail, mail);
    runtime_use(w, r->runtime);
    weir_clusters_runtime_changed(w);
    weir_resource_release(r->runtime);
    free(r);
}

void weir_publisher_set_runtime(struct weir_publisher *p, struct weir_runtime *runtime)
{
    runtime_use(p->o.control, weir_runtime_resource(runtime));
    weir_publish_clusters_runtime_changed(p);
    for (uint32_t i = 0; i < p->o.worker_count; i++) {
        struct runtime_mail *r = calloc(1, sizeof(*r));
        if (r == NULL) abort();
        r->mail.deliver = runtime_deliver;
        r->runtime = weir_runtime_resource(runtime);
        weir_resource_acquire(r->runtime);
        weir_mailbox_post(p->o.workers[i], &r->mail);
    }
}

void weir_publish_worker_deinit(struct weir_worker *w)
{
    struct weir_snapshot *s = &w->snapshot;
    for (uint32_t i = 0; i < s->route_table_capacity; i++)
        if (s->route_tables[i] != NULL) weir_pin_release(s->route_tables[i]);
    free(s->route_tables);
    s->route_tables = NULL;
    s->route_table_capacity = 0;
    if (s->runtime_pin != NULL) weir_pin_release(s->runtime_pin);
    s->runtime_pin = NULL;
    s->runtime = NULL;
}
