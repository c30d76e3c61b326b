/* Sockets as transports. Used by the listener (accepted sockets), by TLS (which stands on one) and by the factory. */
#ifndef WEIR_TRANSPORT_RAW_H
#define WEIR_TRANSPORT_RAW_H

#include "dataplane/transport/transport.h"

/* Over a connected, non-blocking socket, which it owns from now on. `local` may have length 0: it is asked for. The caller
 * attaches an owner before the turn ends. */
struct weir_transport *weir_raw_accepted(struct weir_worker *w, int fd, const struct weir_address *local,
                                         const struct weir_address *remote);
/* o->tls is not looked at. */
struct weir_transport *weir_raw_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                        const struct weir_transport_events *events, void *owner);

/* Puts bytes that were read (and looked at) back before all others: the next owner gets them. Only when nothing is held, as
 * inside on_read after reading was switched off. Takes the slice's reference. */
void weir_raw_unread(struct weir_transport *t, struct weir_slice bytes);

/* Keepalive of a socket, also of a listening one (accepted sockets inherit it). 0: the system's. */
void weir_socket_keepalive(int fd, uint32_t probes, uint32_t time_s, uint32_t interval_s);

/* At a worker's end, on its own thread: what weir_transport_finish() left to itself is closed now. */
void weir_raw_close_lingering(struct weir_worker *w);

#endif
