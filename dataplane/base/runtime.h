/* Runtime keys (bootstrap.layered_runtime: static layers and the admin layer). Immutable once published; workers read
 * the published pointer of their turn. */
#ifndef WEIR_BASE_RUNTIME_H
#define WEIR_BASE_RUNTIME_H

#include "dataplane/base/random.h"
#include "dataplane/base/resource.h"
#include "dataplane/weir.h"

struct weir_runtime; /* NULL is a valid empty runtime */

/* Building, before publication only. Later layers win. The struct is a resource of its own with one reference. */
struct weir_runtime *weir_runtime_create(const struct weir_str *layer_names, uint32_t layer_count);
/* value.p NULL takes the key out of the layer. Copies. */
void weir_runtime_set(struct weir_runtime *r, uint32_t layer, struct weir_str key, struct weir_str value);
/* For the next version: a change makes a copy, changes and publishes that. */
struct weir_runtime *weir_runtime_copy(const struct weir_runtime *r);
struct weir_resource *weir_runtime_resource(struct weir_runtime *r);
/* For the admin's /runtime, in no order: start with *at = 0. layer_values: one a layer, p NULL where it has none. */
uint32_t weir_runtime_layer_count(const struct weir_runtime *r);
struct weir_str weir_runtime_layer_name(const struct weir_runtime *r, uint32_t layer);
bool weir_runtime_next(const struct weir_runtime *r, size_t *at, struct weir_str *key, struct weir_str *final,
                       const struct weir_str **layer_values);

/* Raw text of a key after layering, p NULL when not set. */
struct weir_str weir_runtime_get(const struct weir_runtime *r, struct weir_str key);
uint64_t weir_runtime_u64(const struct weir_runtime *r, struct weir_str key, uint64_t otherwise);
/* Whether any key begins with `group` and a dot. */
bool weir_runtime_has_group(const struct weir_runtime *r, struct weir_str group);
double weir_runtime_double(const struct weir_runtime *r, struct weir_str key, double otherwise);
bool weir_runtime_bool(const struct weir_runtime *r, struct weir_str key, bool otherwise);

/* type.v3.FractionalPercent with an optional runtime key (core.v3.RuntimeFractionalPercent), compiled. */
struct weir_fraction {
    struct weir_str runtime_key; /* empty: none */
    uint32_t numerator, denominator; /* denominator 100, 10,000 or 1,000,000; 0: not configured */
};
/* `draw` decides: the same draw gives the same answer. A runtime integer replaces the numerator over 100; a runtime
 * FractionalPercent (JSON) replaces both. Not configured: `otherwise`. */
bool weir_fraction_hit(const struct weir_fraction *f, const struct weir_runtime *r, uint64_t draw, bool otherwise);

#endif
