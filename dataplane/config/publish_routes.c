/* Route tables: one mail a worker, which swaps the pin in its array. Streams that run keep the table they began with. */
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

void weir_publish_route_table_removed(struct weir_publisher *p, struct weir_record *r)
{
    (void)p;
    (void)r; /* a table in use stays and serves, as in Envoy; it goes when no listener names it any more */
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
