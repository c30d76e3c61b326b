/* Times to live of resources (envoy.service.discovery.v3.Resource.ttl): a resource that the control plane neither sends again
 * nor refreshes by a heartbeat within its time is taken as removed, even where the control plane is gone. Control thread. */
#ifndef WEIR_CONFIG_RESOURCE_TTL_H
#define WEIR_CONFIG_RESOURCE_TTL_H

#include "dataplane/weir.h"
#include "dataplane/worker/worker.h"
#include "xds/resource_type.h"

struct weir_ttls;
struct weir_ttl_end {
    struct weir_str name; /* borrowed for the call */
    uint64_t heard;       /* as last set */
};
/* The resources of one type whose time ended in one turn. */
typedef void (*weir_ttl_expired)(void *ctx, enum weir_resource_type type, const struct weir_ttl_end *ends, size_t count);

struct weir_ttls *weir_ttls_create(struct weir_worker *control, weir_ttl_expired on_expired, void *ctx);
void weir_ttls_destroy(struct weir_ttls *t);
/* The resource lives for ttl_ms from now on; 0: without end, as does one that was never set. `heard` says which word of the
 * control plane this is (weir_compile_item.heard): an end is void for whoever has heard a later one. */
void weir_ttls_set(struct weir_ttls *t, enum weir_resource_type type, struct weir_str name, uint64_t ttl_ms, uint64_t heard);
size_t weir_ttls_count(const struct weir_ttls *t, enum weir_resource_type type);

#endif
