/* Listeners. The control thread makes the sockets (bind errors are known before anything is published) and keeps them for
 * as many versions of a listener as have the same socket options; each worker accepts on its own one. Workers get, update
 * and stop listeners by mail.
 *
 * One worker's listener lives until it was stopped and its last connection is gone. */
#ifndef WEIR_LISTENER_LISTENER_H
#define WEIR_LISTENER_LISTENER_H

#include "dataplane/base/error.h"
#include "dataplane/listener/config.h"
#include "dataplane/transport/transport.h"
#include "dataplane/worker/worker.h"

/* The sockets of one listener for all workers: with SO_REUSEPORT one each, else one that all share. Counted atomically; the
 * last reference closes them and removes the path of a Unix socket. */
struct weir_listener_sockets;
/* Control thread. Binds; clients are refused until weir_listener_sockets_listen. Error: "cannot bind '127.0.0.1:80': Address already
 * in use". A listener that is not bound to its port (bind_to_port false) gets none: connections are handed over to it by others. */
enum weir_err weir_listener_sockets_open(const struct weir_listener_config *c, uint32_t worker_count, struct weir_error *e,
                                         struct weir_listener_sockets **out) WEIR_MUST_USE;
/* Control thread. From now on the system takes connections; a second call does nothing. */
enum weir_err weir_listener_sockets_listen(struct weir_listener_sockets *s, struct weir_error *e) WEIR_MUST_USE;
struct weir_listener_sockets *weir_listener_sockets_acquire(struct weir_listener_sockets *s); /* any thread */
void weir_listener_sockets_release(struct weir_listener_sockets *s);                          /* any thread */
/* Whether this version can go on with these sockets. */
bool weir_listener_sockets_fit(const struct weir_listener_sockets *s, const struct weir_listener_config *c);
/* Where they are bound: the port that the system chose for port 0. */
const struct weir_address *weir_listener_sockets_address(const struct weir_listener_sockets *s);

/* Worker thread from here on. Begins to accept; linked into w->snapshot.listeners. References of config and sockets are taken
 * here. */
struct weir_listener;
struct weir_listener *weir_listener_start(struct weir_worker *w, struct weir_listener_config *config, struct weir_listener_sockets *s);
/* The same sockets under a new version. Connections of chains that the new version has too follow it with their next stream;
 * those of other chains drain, spread over drain_ms unless `immediately`, and are closed after it. */
void weir_listener_update(struct weir_listener *l, struct weir_listener_config *config, uint64_t drain_ms, bool immediately);
/* Accepts what waits already, then nothing more. The connections drain as above. `gone`, when not NULL, is posted to `to` once
 * the last one has ended. The pointer is invalid from now on. */
void weir_listener_stop(struct weir_listener *l, uint64_t drain_ms, bool immediately, struct weir_mail *gone, struct weir_worker *to);
/* The present connections are asked to end over drain_ms, new ones are still accepted and treated alike
 * (/drain_listeners?graceful): each by its next answer, immediately or as chance has it. Those at rest are not closed, for a
 * request may be on its way to them. */
void weir_listener_drain(struct weir_listener *l, uint64_t drain_ms, bool immediately);
struct weir_listener *weir_listener_find(struct weir_worker *w, struct weir_str name);
/* A connection that did not come by the listener's socket (a simulation's). Takes the transport. Not for listeners that look at
 * the first bytes. */
void weir_listener_take(struct weir_listener *l, struct weir_transport *t);
const struct weir_listener_config *weir_listener_config(const struct weir_listener *l);
uint32_t weir_listener_connections(const struct weir_listener *l);

/* What SIGTERM asks of one worker's listeners. Those with traffic_direction OUTBOUND carry what the application beside us asks of
 * others: it may need them to finish what came in, so they go last. */
enum weir_shutdown_part {
    WEIR_SHUTDOWN_INBOUND,  /* all but OUTBOUND */
    WEIR_SHUTDOWN_OUTBOUND, /* those: connections are asked to end, new ones still taken until this worker has none */
    WEIR_SHUTDOWN_ALL,      /* all alike; w->draining is set */
};
struct weir_shutdown_order {
    enum weir_shutdown_part part;
    uint64_t linger_ms; /* so long new connections are still taken, and told that they are to end (not for OUTBOUND) */
    uint64_t drain_ms;  /* connections that are left then are closed; counts from now */
};
/* Every connection is asked to end. `idle` is posted to `to` once none of the part is left; for OUTBOUND and ALL also once the
 * last answers have left this process. */
void weir_listeners_shutdown(struct weir_worker *w, const struct weir_shutdown_order *o, struct weir_mail *idle, struct weir_worker *to);
/* The worker has stopped: everything is closed as it is. */
void weir_listeners_deinit(struct weir_worker *w);
/* Connections of all listeners of this worker, stopped ones too. */
uint32_t weir_listeners_connections(struct weir_worker *w);

#endif
