/* Old versions of listeners that workers still have connections of: for statistics and /config_dump. A version is gone once
 * nobody but this list holds it, which is looked at when somebody asks, and now and then while it names route tables: these
 * serve its connections and are wanted as long. */
#include <stdlib.h>

#include "dataplane/base/list.h"
#include "dataplane/config/publish_internal.h"

#define DRAINED_POLL_MS 250u /* how late a route table goes that only such a version names */

struct draining {
    struct weir_list node;
    struct weir_resource *listener;
    size_t chains;
};

static void forget(struct draining *d)
{
    weir_list_remove(&d->node);
    weir_resource_release(d->listener);
    free(d);
}

static void prune(struct weir_publisher *p)
{
    for (struct weir_list *at = p->draining.next, *next; at != &p->draining; at = next) {
        struct draining *d = WEIR_CONTAINER_OF(at, struct draining, node);
        next = at->next;
        if (atomic_load_explicit(&d->listener->refs, memory_order_acquire) != 1) continue;
        bool needy = d->listener->need_count > 0;
        forget(d);
        if (needy) weir_publish_rds_changed(p);
    }
}

static void on_drained(struct weir_timer *t)
{
    struct weir_publisher *p = WEIR_CONTAINER_OF(t, struct weir_publisher, drained);
    prune(p);
    for (struct weir_list *at = p->draining.next; at != &p->draining; at = at->next) {
        if (WEIR_CONTAINER_OF(at, struct draining, node)->listener->need_count == 0) continue;
        weir_timer_start(&p->o.control->timers, &p->drained, DRAINED_POLL_MS);
        return;
    }
}

void weir_publish_draining_init(struct weir_publisher *p)
{
    weir_list_init(&p->draining);
    p->drained.on_due = on_drained;
}

void weir_publish_draining(struct weir_publisher *p, struct weir_resource *listener, size_t chains)
{
    prune(p);
    struct draining *d = calloc(1, sizeof(*d));
    if (d == NULL) abort();
    weir_resource_acquire(listener);
    d->listener = listener;
    d->chains = chains;
    weir_list_push_back(&p->draining, &d->node);
    if (listener->need_count > 0) weir_timer_start(&p->o.control->timers, &p->drained, DRAINED_POLL_MS);
}

const struct weir_resource *weir_publish_draining_next(struct weir_publisher *p, struct weir_list **at)
{
    *at = *at != NULL ? (*at)->next : p->draining.next;
    return *at != &p->draining ? WEIR_CONTAINER_OF(*at, struct draining, node)->listener : NULL;
}

void weir_publish_draining_deinit(struct weir_publisher *p)
{
    weir_timer_stop(&p->o.control->timers, &p->drained);
    while (!weir_list_empty(&p->draining)) forget(WEIR_CONTAINER_OF(p->draining.next, struct draining, node));
}

size_t weir_publisher_draining(struct weir_publisher *p, size_t *chains)
{
    size_t listeners = 0;
    *chains = 0;
    prune(p);
    for (struct weir_list *at = p->draining.next; at != &p->draining; at = at->next) {
        const struct draining *d = WEIR_CONTAINER_OF(at, struct draining, node);
        listeners += d->chains == 0;
        *chains += d->chains;
    }
    return listeners;
}

const struct weir_resource *weir_publisher_draining_of(struct weir_publisher *p, struct weir_str name)
{
    prune(p);
    for (struct weir_list *at = p->draining.prev; at != &p->draining; at = at->prev) {
        const struct draining *d = WEIR_CONTAINER_OF(at, struct draining, node);
        if (d->chains == 0 && weir_str_eq(d->listener->name, name)) return d->listener;
    }
    return NULL;
}

void weir_publisher_each_gone(struct weir_publisher *p, void (*each)(void *ctx, const struct weir_resource *listener), void *ctx)
{
    prune(p);
    for (struct weir_list *at = p->draining.next; at != &p->draining; at = at->next) {
        const struct weir_resource *r = WEIR_CONTAINER_OF(at, struct draining, node)->listener;
        if (weir_publisher_record(p, WEIR_LISTENERS, r->name) == NULL && weir_publisher_draining_of(p, r->name) == r) each(ctx, r);
    }
}
