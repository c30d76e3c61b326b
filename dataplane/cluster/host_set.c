/* Life of a host set. */
#include "dataplane/cluster/host_set.h"

#include <assert.h>
#include <stdlib.h>

struct weir_host_set *weir_host_set_create(struct weir_endpoints *endpoints, uint32_t capacity, struct weir_resource *source)
{
    struct weir_host_set *s = calloc(1, sizeof(*s) + sizeof(s->at[0]) * capacity);
    if (s == NULL) abort();
    s->at = (struct weir_host_member *)(s + 1);
    atomic_init(&s->refs, 1);
    s->priority_count = 1;
    s->overprovisioning_percent = 140;
    if (endpoints != NULL) {
        s->source = source != NULL ? source : &endpoints->resource;
        weir_resource_acquire(s->source);
        s->localities = endpoints->localities;
        s->locality_count = endpoints->locality_count;
        s->priority_count = endpoints->priority_count;
        s->overprovisioning_percent = endpoints->overprovisioning_percent;
        s->drop_numerator = endpoints->drop_numerator;
        s->drop_denominator = endpoints->drop_denominator;
    }
    return s;
}

struct weir_host_set *weir_host_set_acquire(struct weir_host_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void weir_host_set_release(struct weir_host_set *s)
{
    uint32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < s->count; i++)
        weir_host_release(s->at[i].host);
    weir_resource_release(s->source);
    free(s);
}
