/* All records of a type in the order of their names, a bounded piece at a time: pages of the admin server. */
#include <stdlib.h>

#include "dataplane/base/sorter.h"
#include "dataplane/config/publish_internal.h"

struct weir_publisher_walk {
    struct weir_publisher *publisher;
    enum weir_resource_type type;
    struct weir_arena names;
    struct weir_sorter order;
};

struct weir_publisher_walk *weir_publisher_walk_create(struct weir_publisher *p, enum weir_resource_type type)
{
    struct weir_publisher_walk *w = calloc(1, sizeof(*w));
    if (w == NULL) abort();
    w->publisher = p;
    w->type = type;
    size_t at = 0;
    struct weir_str name;
    while (weir_map_next(&p->records[type], &at, &name, NULL)) weir_sorter_add(&w->order, weir_arena_str(&w->names, name), NULL);
    return w;
}

bool weir_publisher_walk_next(struct weir_publisher_walk *w, const struct weir_record **out)
{
    *out = NULL;
    if (!weir_sorter_step(&w->order)) return true;
    const struct weir_sorter_item *at = weir_sorter_peek(&w->order);
    if (at == NULL) return false;
    *out = weir_publisher_record(w->publisher, w->type, at->name);
    weir_sorter_pop(&w->order);
    return true;
}

void weir_publisher_walk_destroy(struct weir_publisher_walk *w)
{
    if (w == NULL) return;
    weir_sorter_deinit(&w->order);
    weir_arena_deinit(&w->names);
    free(w);
}
