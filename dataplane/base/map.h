/* Hash map from byte strings to pointers; keys are borrowed (they live in the value, in an arena or as a literal).
 * Seeded per process, so that peers cannot choose collisions. Not thread-safe. */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include "dataplane/weir.h"

struct weir_map_slot {
    struct weir_str key;
    uint64_t hash;
    void *value; /* NULL: free */
};
/* Zeroed is empty. */
struct weir_map {
    struct weir_map_slot *slots;
    size_t capacity, count;
};
void weir_map_deinit(struct weir_map *m); /* frees the table, not the values */
void *weir_map_get(const struct weir_map *m, struct weir_str key);
/* Sets (value not NULL); returns the value that was there before, or NULL. A replaced key is replaced too. */
void *weir_map_set(struct weir_map *m, struct weir_str key, void *value);
void *weir_map_remove(struct weir_map *m, struct weir_str key);
/* Iteration in table order: start with *at = 0; false at the end. No change of the map during it. */
bool weir_map_next(const struct weir_map *m, size_t *at, struct weir_str *key, void **value);
/* Seeded hash of bytes (xxh3), the same for the life of the process. */
uint64_t weir_hash(struct weir_str s);
/* XXH64 without a seed: the same in every process and in Envoy, for what both show (version gauges). */
uint64_t weir_hash_stable(struct weir_str s);

#endif
