/* Counted resources and the workers' holds on them. */
#include "dataplane/base/resource.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void *weir_resource_create(size_t size, struct weir_str name)
{
    assert(size >= sizeof(struct weir_resource));
    struct weir_arena arena;
    weir_arena_init(&arena, 0);
    struct weir_resource *r = weir_arena_alloc(&arena, size);
    struct weir_str own = weir_arena_str(&arena, name);
    atomic_init(&r->refs, 1);
    r->arena = arena;
    r->name = own;
    return r;
}

void weir_resource_acquire(struct weir_resource *r)
{
    uint32_t was = atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    assert(was != 0);
    (void)was;
}

void weir_resource_release(struct weir_resource *r)
{
    if (r == NULL) return;
    uint32_t was = atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel);
    assert(was != 0);
    if (was != 1) return;
    struct weir_arena arena = r->arena; /* r lies in it; cleanups may still look at r */
    weir_arena_deinit(&arena);
}

struct weir_pin *weir_pin_create(struct weir_resource *r)
{
    struct weir_pin *p = malloc(sizeof(*p));
    if (p == NULL) {
        (void)fprintf(stderr, "weir: out of memory\n");
        abort();
    }
    weir_resource_acquire(r);
    *p = (struct weir_pin){r, 1};
    return p;
}

void weir_pin_release(struct weir_pin *p)
{
    if (p == NULL) return;
    assert(p->refs != 0);
    if (--p->refs != 0) return;
    weir_resource_release(p->resource);
    free(p);
}
