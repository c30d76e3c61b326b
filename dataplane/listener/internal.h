/* The inside of a worker's listeners, shared by listener.c, chain.c, opening.c, connection.c and sockets.c only. */
#ifndef WEIR_LISTENER_INTERNAL_H
#define WEIR_LISTENER_INTERNAL_H

#include "dataplane/listener/listener.h"

struct weir_watch;

/* A filter chain on this worker. Referenced by its listener while the present version has it, and by its connections. */
struct weir_listener_chain {
    struct weir_filter_chain c;
    struct weir_list node; /* listener->all_chains */
    struct weir_listener *listener; /* outlives the chain */
    struct weir_str identity;       /* owned */
    const struct weir_tls_server *tls;
    uint64_t connect_timeout_ms;
    size_t state_bytes;
    struct weir_list connections; /* struct weir_listener_connection */
    struct weir_timer deadline;
    uint32_t refs;
};
struct weir_listener_chain *weir_listener_chain_create(struct weir_listener *l, struct weir_pin *pin, const struct weir_chain_config *config);
void weir_listener_chain_update(struct weir_listener_chain *c, struct weir_pin *pin, const struct weir_chain_config *config);
void weir_listener_chain_drain(struct weir_listener_chain *c, uint64_t drain_ms, bool immediately);
void weir_listener_chain_close_at(struct weir_listener_chain *c, uint64_t delay_ms); /* on_deadline for what is left then */
void weir_listener_chain_close(struct weir_listener_chain *c); /* on_deadline for what is there */
void weir_listener_chain_release(struct weir_listener_chain *c);

/* When several listeners end together. */
struct weir_shutdown {
    struct weir_worker_local local; /* freed with the worker, if not before */
    struct weir_timer timer, linger;
    struct weir_worker *worker;
    struct weir_shutdown_order order;
    uint64_t start_ns;
    uint32_t pending; /* listeners, and one for whoever is counting them */
    struct weir_mail *idle;
    struct weir_worker *to;
};

struct weir_listener {
    struct weir_listener *next; /* in w->snapshot.listeners */
    struct weir_worker *worker;
    struct weir_pin *pin;
    const struct weir_listener_config *config; /* pin's resource */
    struct weir_listener_sockets *sockets;
    struct weir_watch *watch; /* NULL: stopped, or not bound */
    struct weir_timer pause;  /* after the system had no descriptor left */
    struct weir_listener_chain **chains; /* by the present config's index */
    uint32_t chain_count;
    struct weir_list all_chains; /* those of older versions that still have connections too */
    uint32_t connections;     /* opened ones, of all chains */
    struct weir_list opening; /* no chain yet: struct weir_opening */
    uint32_t opening_count;
    struct weir_timer opening_deadline; /* closes those of a stopped listener */
    struct weir_stats_shard *stats, *worker_stats; /* NULL in tests without a registry */
    struct weir_stats *stats_set, *worker_stats_set;
    bool stopped;
    bool loop_told; /* in the log, once */
    struct weir_drain drain; /* of every present and future chain */
    char key[WEIR_ADDRESS_KEY_BYTES]; /* hand_over.c's; zeros: a Unix socket */
    struct weir_mail *gone;
    struct weir_worker *gone_to;
    struct weir_shutdown *shutdown;
    struct weir_dead dead;
};
void weir_listener_ended_one(struct weir_listener *l); /* a connection or an opening: frees a stopped listener after the last */

/* hand_over.c: begins and ends to be found by address; the latest of an address is found. */
void weir_listener_reachable(struct weir_listener *l);
void weir_listener_unreachable(struct weir_listener *l);
/* The listener of an address, else of the wildcard address with its port. NULL: none. */
struct weir_listener *weir_listener_at(struct weir_worker *w, const struct weir_address *a);

/* An accepted socket on its way to a filter chain. opening.c */
void weir_opening_start(struct weir_listener *l, int fd, const struct weir_address *remote);
void weir_openings_close(struct weir_listener *l);

/* A connection of a chain. connection.c */
struct weir_listener_connection {
    struct weir_connection c;
    struct weir_list node; /* chain->connections */
    struct weir_listener_chain *chain;
    struct weir_timer *timer; /* of the TLS handshake; NULL: none or over */
    struct weir_dead dead;
    struct weir_address *direct; /* owned; NULL: the transport's remote */
    bool ready;                  /* the terminal filter has it */
};
/* `sni` is copied. The transport is raw, with what was peeked put back. */
void weir_listener_connection_start(struct weir_listener_chain *chain, struct weir_transport *raw, struct weir_str sni,
                                    const struct weir_address *direct, uint64_t start_ns);
void weir_listener_connection_drain(struct weir_listener_connection *c);
void weir_listener_connection_close(struct weir_listener_connection *c);

static inline void weir_listener_count(struct weir_listener *l, enum weir_listener_stat stat, int64_t n)
{
    if (l->stats != NULL) weir_stat_add(l->stats, stat, n);
}

/* sockets.c */
int weir_listener_sockets_fd(const struct weir_listener_sockets *s, uint32_t worker); /* -1: not bound */

#endif
