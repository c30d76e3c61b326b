/* Virtual hosts by the host of a request: whole names, then `*.suffix`, then `prefix.*`, longest first, then `*`. Built on the
 * compile thread, immutable. */
#ifndef WEIR_ROUTE_VHOST_H
#define WEIR_ROUTE_VHOST_H

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

struct weir_vhost_index;
struct weir_virtual_host;

struct weir_vhost_domain {
    struct weir_str domain; /* as configured, in any case; outlives the index */
    const struct weir_virtual_host *vhost;
};
/* Refuses a domain that is there twice: *again is its index in `domains`. */
enum weir_err weir_vhost_index_build(struct weir_arena *arena, const struct weir_vhost_domain *domains, uint32_t count,
                                     uint32_t *again, const struct weir_vhost_index **out) WEIR_MUST_USE;
/* `host` in any case; ignore_port: what stands behind a last colon is not looked at. NULL: none. */
const struct weir_virtual_host *weir_vhost_index_find(const struct weir_vhost_index *x, struct weir_str host, bool ignore_port);

#endif
