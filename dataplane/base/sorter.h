/* Names put in order a bounded piece at a time, for who prints many of them without holding up its loop: runs are sorted one
 * by one, then merged as they are taken. */
#ifndef WEIR_BASE_SORTER_H
#define WEIR_BASE_SORTER_H

#include "dataplane/weir.h"

#define WEIR_SORTER_RUN 512u

struct weir_sorter_item {
    struct weir_str name; /* borrowed */
    void *value;
};
/* Zeroed is empty. First all are added, then sorted, then taken. */
struct weir_sorter {
    struct weir_sorter_item *items;
    size_t count, capacity;
    size_t sorted; /* items of sorted runs */
    size_t *heads; /* by run: the next item */
    uint32_t *heap; /* runs that have items left, the smallest head first */
    uint32_t heap_count;
};
void weir_sorter_add(struct weir_sorter *s, struct weir_str name, void *value);
/* Sorts one run; true once all is in order. */
bool weir_sorter_step(struct weir_sorter *s);
/* The smallest item left, NULL at the end; valid until deinit. pop() takes it away. Items of one name come in any order. */
const struct weir_sorter_item *weir_sorter_peek(const struct weir_sorter *s);
void weir_sorter_pop(struct weir_sorter *s);
void weir_sorter_deinit(struct weir_sorter *s);

#endif
