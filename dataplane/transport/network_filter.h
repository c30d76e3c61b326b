/* What a connection does with its bytes: the HTTP connection manager, tcp_proxy and what may stand before them. Listeners
 * (listener/connection.c) accept, peek, finish TLS and then hand the connection to the filters of its filter chain; the
 * rooms that implement such filters lie below the listener, so the words they share are here.
 *
 * Owners: a connection belongs to its listener until the terminal filter has taken it over in on_connection(); from then
 * on the terminal filter owns the transport and must call weir_connection_done() once, when the transport has been closed
 * or given up. A chain object belongs to its listener and lives as long as the last connection that names it. */
#ifndef WEIR_TRANSPORT_NETWORK_FILTER_H
#define WEIR_TRANSPORT_NETWORK_FILTER_H

#include "dataplane/base/resource.h"
#include "dataplane/transport/transport.h"
#include "dataplane/worker/drain.h"

struct weir_connection;

enum weir_network_verdict {
    WEIR_NETWORK_CONTINUE, /* the next filter; for a terminal filter: the connection is taken over */
    WEIR_NETWORK_PAUSE,    /* until weir_connection_resume() */
    WEIR_NETWORK_ENDED,    /* the filter closed the transport and called weir_connection_done() */
};
/* A const table, registered with its configuration's type in config/network_filters.c. Callbacks run on the worker that
 * owns the connection. */
struct weir_network_filter {
    const char *name; /* canonical: "envoy.filters.network.tcp_proxy" */
    bool terminal;
    size_t state_size; /* zeroed bytes that each connection keeps for it: weir_connection_state() */
    /* The transport is ready: TLS is done, tls and remote are filled, reading is off. */
    enum weir_network_verdict (*on_connection)(struct weir_connection *c);
    /* Terminal: the chain was removed, the listener drains or the worker stops. Idle: close now. Busy: finish what runs,
     * tell the peer where the protocol can. May come more than once. NULL: nothing to do before the end. */
    void (*on_drain)(struct weir_connection *c);
    /* Terminal: the time for draining is over. Close now and call weir_connection_done(). */
    void (*on_deadline)(struct weir_connection *c);
};

/* A filter of a chain as compiled: immutable, in the listener's resource. */
struct weir_network_filter_use {
    const struct weir_network_filter *filter;
    const void *config;
    struct weir_str name; /* as configured */
};
/* One filter chain of a listener on one worker. An update of the listener that keeps the chain (same name and match, same
 * transport socket, same kinds of filters) moves pin and filters to the new version in place: so who reads config at the
 * start of a stream follows the newest configuration, and who must keep what it has read takes a reference of the pin. */
struct weir_filter_chain {
    struct weir_pin *pin; /* struct weir_listener_config */
    const struct weir_network_filter_use *filters;
    uint32_t filter_count; /* the last one is terminal */
    uint32_t buffer_limit_bytes; /* per_connection_buffer_limit_bytes */
    struct weir_str name, listener_name;
    struct weir_drain drain; /* begun: connections of this chain are to end */
};

struct weir_connection {
    struct weir_filter_chain *chain;
    struct weir_transport *transport;
    struct weir_worker *worker;
    struct weir_str server_name; /* SNI of the hello, also where TLS is passed through; empty: none. Lives with the connection */
    const struct weir_address *direct_remote; /* the TCP peer, where a PROXY header named another client; NULL: transport->remote */
    uint64_t start_ns;
    void (*on_done)(struct weir_connection *c); /* the listener's, or a test's */
    void *states;  /* of all filters, one behind the other */
    uint32_t next; /* filter whose turn it is; then the terminal one */
};

/* The terminal filter's configuration in the newest version of the listener. Valid until the end of the turn; longer with
 * a reference to chain->pin. */
static inline const void *weir_connection_config(const struct weir_connection *c)
{
    return c->chain->filters[c->chain->filter_count - 1].config;
}
/* State of the filter that is being called, aligned to 16. */
static inline void *weir_connection_state(const struct weir_connection *c)
{
    char *at = c->states;
    for (uint32_t i = 0; i < c->next; i++)
        at += (c->chain->filters[i].filter->state_size + 15u) & ~(size_t)15u;
    return at;
}
/* A paused filter lets the connection go on to the next one. From the loop, not from inside on_connection(). */
void weir_connection_resume(struct weir_connection *c);
/* The transport is gone or no longer the filter's: the connection and its state are freed at the end of the turn. */
static inline void weir_connection_done(struct weir_connection *c)
{
    c->on_done(c);
}
/* Whether an answer given now should also end the connection: the worker or the chain drains. */
static inline bool weir_connection_drain_close(const struct weir_connection *c)
{
    struct weir_worker *w = c->worker;
    return w->draining || weir_drain_close(&c->chain->drain, w->now_ns, &w->random);
}

/* What a compile function of a network filter may know of the listener it stands in. */
struct weir_listener_facts {
    struct weir_str name, stat_prefix; /* "listener.127.0.0.1_80." */
    struct weir_str chain_name;
    uint32_t buffer_limit_bytes;
    uint32_t traffic_direction; /* core.v3.TrafficDirection */
    bool tls;                   /* this chain ends TLS */
};

#endif
