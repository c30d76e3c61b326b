/* Earliest deadline first: draws entries in proportion to their weights, evenly spread (a of weight 3 beside b of weight 1 is
 * drawn a a b a ...). An entry drawn is due again one over its weight later; the weight may be another one each time. Used for
 * hosts and for localities whose weights differ. Worker-local. */
#ifndef WEIR_CLUSTER_EDF_H
#define WEIR_CLUSTER_EDF_H

#include "dataplane/base/arena.h"

struct weir_edf_entry {
    double deadline;
    uint64_t order; /* first come, first drawn among equals */
    uint32_t index; /* the caller's */
};
struct weir_edf {
    double now;
    uint64_t orders;
    uint32_t count;
    struct weir_edf_entry *heap; /* in the caller's arena */
};
void weir_edf_init(struct weir_edf *e, struct weir_arena *arena, uint32_t capacity);
void weir_edf_add(struct weir_edf *e, uint32_t index, double weight); /* weight > 0; at most `capacity` entries */
/* The index that is due next; the caller says its weight from now on with weir_edf_again(). count > 0. */
uint32_t weir_edf_peek(const struct weir_edf *e);
void weir_edf_again(struct weir_edf *e, double weight); /* the one peeked */

#endif
