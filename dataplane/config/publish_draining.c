/* Old versions of listeners that workers still have connections of: for statistics and /config_dump. A version is gone once
 * nobody but this list holds it, which is looked at when somebody asks. */
#include <stdlib.h>

#include "dataplane/base/list.h"
#include "dataplane/config/publish_internal.h"

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
        if (atomic_load_explicit(&d->listener->refs, memory_order_acquire) == 1) forget(d);
    }
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
}

void weir_publish_draining_deinit(struct weir_publisher *p)
{
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
