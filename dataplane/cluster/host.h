/* A host: one address (with the hostname it was given) of one cluster. Made by the control thread when an endpoint set or a
 * DNS answer first names it, kept across updates as long as address and hostname stay, so that load, health and outlier
 * state persist. Shared by all workers: what changes after creation is atomic. */
#ifndef WEIR_CLUSTER_HOST_H
#define WEIR_CLUSTER_HOST_H

#include <stdatomic.h>

#include "dataplane/base/address.h"

/* How an endpoint set speaks of a host (core.v3.HealthStatus, folded as Envoy folds it). */
enum weir_host_health {
    WEIR_HOST_HEALTHY,   /* HEALTHY, UNKNOWN */
    WEIR_HOST_DEGRADED,  /* DEGRADED */
    WEIR_HOST_UNHEALTHY, /* UNHEALTHY, DRAINING, TIMEOUT */
};
/* What weir itself found out. Bits of weir_host.flags, written by the control thread. */
enum weir_host_flag {
    WEIR_HOST_EJECTED = 1 << 0, /* by outlier detection */
};

/* Written by workers after each response; read and judged by the control thread (cluster/outlier.h). */
struct weir_outlier_counts {
    _Atomic uint32_t consecutive_5xx, consecutive_gateway_failure, consecutive_local_origin_failure;
    _Atomic uint32_t external_total, external_success, local_total, local_success; /* of the present interval */
};
/* Control thread only. */
struct weir_outlier_state {
    uint64_t ejected_at_ms;
    uint32_t backoff;   /* multiplies base_ejection_time */
    uint32_t ejections; /* in all */
    uint64_t jitter_ms; /* of the present ejection */
    double success_rate, local_success_rate; /* of the last whole interval; negative: too few requests */
};

struct weir_host {
    _Atomic uint32_t refs;
    _Atomic uint32_t flags; /* enum weir_host_flag */
    uint32_t slot;          /* dense within its cluster; used anew once the host is gone from the set */
    struct weir_address address;
    struct weir_str address_text; /* owned, NUL-terminated, with port */
    struct weir_str hostname;     /* owned, NUL-terminated; empty: none */
    struct weir_str zone;         /* owned; locality.zone when the host was made */
    struct weir_str key;          /* owned; address and hostname */
    struct weir_outlier_state outlier; /* control thread */

    /* Load over all workers, on a cache line of its own. */
    _Alignas(64) _Atomic uint32_t rq_active;
    _Atomic uint32_t cx_active;
    _Atomic uint64_t rq_total, rq_success, rq_error, rq_timeout, cx_total, cx_connect_fail;
    _Alignas(64) struct weir_outlier_counts counts;
};
/* The identity of a host: its address and hostname as one text, into out; returns the length (cut, which only merges hosts
 * whose names are alike for 500 bytes). */
#define WEIR_HOST_KEY_MAX 640
size_t weir_host_key(const struct weir_address *address, struct weir_str hostname, char out[WEIR_HOST_KEY_MAX]);
/* refs = 1. Texts are copied. */
struct weir_host *weir_host_create(const struct weir_address *address, struct weir_str hostname, struct weir_str zone);
static inline struct weir_host *weir_host_acquire(struct weir_host *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}
void weir_host_release(struct weir_host *h); /* any thread */
static inline bool weir_host_ejected(const struct weir_host *h)
{
    return (atomic_load_explicit(&h->flags, memory_order_relaxed) & WEIR_HOST_EJECTED) != 0;
}

#endif
