/* Earliest deadline first, on a binary heap. */
#include "dataplane/cluster/edf.h"

#include <assert.h>

void weir_edf_init(struct weir_edf *e, struct weir_arena *arena, uint32_t capacity)
{
    *e = (struct weir_edf){.heap = WEIR_NEW(arena, struct weir_edf_entry, capacity)};
}

static bool before(const struct weir_edf_entry *a, const struct weir_edf_entry *b)
{
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void sift_down(struct weir_edf *e, uint32_t i)
{
    struct weir_edf_entry moved = e->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= e->count) break;
        if (child + 1 < e->count && before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!before(&e->heap[child], &moved)) break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = moved;
}

void weir_edf_add(struct weir_edf *e, uint32_t index, double weight)
{
    assert(weight > 0);
    struct weir_edf_entry added = {e->now + 1 / weight, e->orders++, index};
    uint32_t i = e->count++;
    while (i > 0 && before(&added, &e->heap[(i - 1) / 2])) {
        e->heap[i] = e->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    e->heap[i] = added;
}

uint32_t weir_edf_peek(const struct weir_edf *e)
{
    assert(e->count > 0);
    return e->heap[0].index;
}

void weir_edf_again(struct weir_edf *e, double weight)
{
    assert(e->count > 0 && weight > 0);
    e->now = e->heap[0].deadline;
    e->heap[0].deadline = e->now + 1 / weight;
    e->heap[0].order = e->orders++;
    sift_down(e, 0);
}
