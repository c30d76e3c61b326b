/* Runtime keys (bootstrap.layered_runtime: static layers and the admin layer). Immutable once published; workers read
 * the published pointer of their turn. */
#ifndef WEIR_BASE_RUNTIME_H
#define WEIR_BASE_RUNTIME_H

#include "dataplane/base/random.h"
#include "dataplane/weir.h"

struct weir_runtime; /* NULL is a valid empty runtime */

/* Raw text of a key after layering, p NULL when not set. */
struct weir_str weir_runtime_get(const struct weir_runtime *r, struct weir_str key);
uint64_t weir_runtime_u64(const struct weir_runtime *r, struct weir_str key, uint64_t otherwise);
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
