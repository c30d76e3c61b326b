/* Connections to a host, kept by one worker: one pool for each host, routing priority, protocol and server name. HTTP/1 and
 * HTTP/2 are alike here: a connection has room for so many streams, HTTP/1 for one. Requests take the connection used last
 * (LIFO), so that surplus ones grow idle; when none has room they wait in order, and connections are made for as many as
 * wait beyond what the ones in the making will carry. Called by upstream/attempt. */
#ifndef WEIR_UPSTREAM_POOL_H
#define WEIR_UPSTREAM_POOL_H

#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/config.h"
#include "dataplane/codec/codec.h"
#include "dataplane/transport/transport.h"

/* Why an attempt ended without a whole response: Envoy's stream reset reasons. */
enum weir_upstream_reset {
    WEIR_UPSTREAM_LOCAL_RESET,
    WEIR_UPSTREAM_LOCAL_REFUSED,
    WEIR_UPSTREAM_REMOTE_RESET,
    WEIR_UPSTREAM_REMOTE_REFUSED,
    WEIR_UPSTREAM_LOCAL_CONNECTION_FAILURE,
    WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE,
    WEIR_UPSTREAM_CONNECTION_TIMEOUT,
    WEIR_UPSTREAM_CONNECTION_TERMINATION,
    WEIR_UPSTREAM_OVERFLOW,
    WEIR_UPSTREAM_CONNECT_ERROR,
    WEIR_UPSTREAM_PROTOCOL_ERROR,
};
struct weir_str weir_upstream_reset_text(enum weir_upstream_reset r); /* "connection termination" */
uint64_t weir_upstream_reset_flag(enum weir_upstream_reset r);        /* WEIR_FLAG(...) */

struct weir_pool_key {
    uint32_t priority; /* of routing: 0 default, 1 high */
    enum { WEIR_POOL_H1, WEIR_POOL_H2, WEIR_POOL_AUTO, WEIR_POOL_RAW } kind; /* RAW: bytes of a terminated CONNECT */
    struct weir_str sni; /* auto_sni; empty: what the TLS context says */
    struct weir_str san; /* auto_san_validation; empty: what the TLS context says */
};

struct weir_pool;
struct weir_upstream_connection; /* upstream/connection.h */

/* Embedded in who waits for room. */
struct weir_pool_wait {
    struct weir_list node;
    struct weir_pool *pool;
    /* Room for one stream: to be opened at once with weir_upstream_connection_open(). */
    void (*on_ready)(struct weir_pool_wait *w, struct weir_upstream_connection *c);
    /* No connection. `transport_failure` lives as long as the call. */
    void (*on_failed)(struct weir_pool_wait *w, enum weir_upstream_reset why, struct weir_str transport_failure);
};
/* The pool of the key, made at need. NULL: max_connection_pools (counted). Valid while the caller holds `h`. */
struct weir_pool *weir_pool_get(struct weir_cluster_host *h, const struct weir_pool_key *key);

enum weir_pool_answer {
    WEIR_POOL_READY,    /* *out has room for one stream: open it at once */
    WEIR_POOL_WAITING,  /* one of the callbacks will come, in a later turn, unless weir_pool_cancel() */
    WEIR_POOL_OVERFLOW, /* a circuit breaker is open (counted) */
};
enum weir_pool_answer weir_pool_acquire(struct weir_pool *p, struct weir_pool_wait *w, struct weir_upstream_connection **out);
void weir_pool_cancel(struct weir_pool_wait *w);

/* For admin and tests. */
struct weir_pool_counts {
    uint32_t connecting, ready, busy, draining, pending;
};
void weir_pool_count(const struct weir_pool *p, struct weir_pool_counts *out);

#endif
