/* A connection to a host: its transport, its codec, its place in its pool. Included by upstream/ only.
 *
 * Invariants: the connection is in exactly one list of its pool until it is closed; what is closed has no transport and is
 * freed at the end of the turn, so that closing is safe from inside any callback. Output is pulled, and lists that depend on
 * codec callbacks are acted on, in the deferred run. */
#ifndef WEIR_UPSTREAM_CONNECTION_H
#define WEIR_UPSTREAM_CONNECTION_H

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/host.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/upstream/pool.h"

enum weir_connection_state {
    WEIR_CONNECTION_CONNECTING,
    WEIR_CONNECTION_READY, /* has room for a stream */
    WEIR_CONNECTION_BUSY,
    WEIR_CONNECTION_DRAINING, /* takes no stream any more */
    WEIR_CONNECTION_CLOSED,
    WEIR_CONNECTION_STATES,
};
struct weir_upstream_connection {
    struct weir_list node;
    struct weir_pool *pool;
    struct weir_transport *transport; /* NULL once closed */
    struct weir_codec *codec;         /* NULL while connecting */
    enum weir_connection_state state;
    uint32_t carries;  /* while connecting: streams that may be counted on */
    uint32_t streams;  /* attempts on it */
    uint64_t requests; /* so far */
    uint64_t start_ns, connected_ns, idle_since_ms, last_rx_ms;
    uint64_t rx_counted, tx_counted; /* bytes already in the counters */
    struct weir_timer timer;         /* idle timeout, maximal duration */
    struct weir_timer ping_timer;
    struct weir_deferred run;
    struct weir_dead dead;
    bool eof, write_end, peer_closes, failed, cut_active, ping_outstanding, notified;
    bool tail; /* the last bytes of a tunnel were left to it */
};

struct weir_pool {
    struct weir_list node; /* of host->pools */
    struct weir_cluster_host *host; /* a reference is held */
    struct weir_pool_key key;       /* texts owned */
    bool draining;   /* the host left, or the configuration was replaced: only what waits and runs is served */
    bool h1_learned; /* AUTO: the last connection agreed on HTTP/1.1: one stream each */
    uint32_t counts[WEIR_CONNECTION_STATES]; /* connections by state */
    uint32_t connections, waiting;
    uint64_t promised; /* sum of `carries` */
    struct weir_list lists[WEIR_CONNECTION_STATES]; /* READY: the one used last first */
    struct weir_list waits;
    struct weir_deferred serve;
};

static inline struct weir_cluster *weir_pool_cluster(const struct weir_pool *p)
{
    return p->host->cluster;
}
static inline struct weir_worker *weir_pool_worker(const struct weir_pool *p)
{
    return p->host->cluster->worker;
}
static inline struct weir_stats_shard *weir_pool_stats(const struct weir_pool *p)
{
    return p->host->cluster->stats;
}
static inline const struct weir_cluster_config *weir_pool_config(const struct weir_pool *p)
{
    return p->host->cluster->config;
}

/* connection.c */
void weir_upstream_connection_start(struct weir_pool *p);
/* After READY or on_ready: a stream on it; the breaker and the load of the host count it until _done(). NULL: the codec takes
 * none after all. */
struct weir_codec_stream *weir_upstream_connection_open(struct weir_upstream_connection *c, const struct weir_stream_events *events,
                                                        void *ctx, struct weir_arena *arena);
/* The stream is over (`how`), or was reset by its owner. Counts what Envoy counts. */
void weir_upstream_connection_done(struct weir_upstream_connection *c, enum weir_reset how);
/* The stream ended in order and its owner goes before the codec has noticed: what the codec still says of it goes nowhere. */
void weir_upstream_connection_orphan(struct weir_upstream_connection *c, struct weir_codec_stream *s);
/* The same for a tunnel whose last bytes are still to be sent. */
void weir_upstream_connection_leave_tail(struct weir_upstream_connection *c, struct weir_codec_stream *s);
/* No stream after those it has; closes once it has none. */
void weir_upstream_connection_drain(struct weir_upstream_connection *c);
void weir_upstream_connection_close(struct weir_upstream_connection *c, bool remote);
/* Streams are failed first. Not from inside an event of the codec. */
void weir_upstream_connection_abort(struct weir_upstream_connection *c);

/* pool.c: what connections tell their pool. */
void weir_pool_move(struct weir_upstream_connection *c, enum weir_connection_state to);
void weir_pool_serve_later(struct weir_pool *p);
void weir_pool_connect_failed(struct weir_pool *p, enum weir_upstream_reset why, struct weir_str failure);
void weir_pool_connection_gone(struct weir_pool *p); /* after the connection left the lists */

/* raw_codec.c: one stream whose body is the connection's bytes; the answer is a 200 of its own making. */
struct weir_codec *weir_raw_codec_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner);

#endif
