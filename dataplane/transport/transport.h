/* A byte stream to a peer: a socket, TLS over a socket, or the simulation's memory. Shaped by completion: it hands over
 * bytes in blocks, takes byte chains and says when its queue has drained. Nothing above knows which kind it is.
 *
 * Callbacks come from the loop only, never from inside a call made on the transport. After weir_transport_close() no
 * further callback comes and the pointer is invalid. Writes of one turn leave in one system call at the turn's end. */
#ifndef WEIR_TRANSPORT_TRANSPORT_H
#define WEIR_TRANSPORT_TRANSPORT_H

#include "dataplane/base/address.h"
#include "dataplane/base/buffer.h"
#include "dataplane/base/request.h"
#include "dataplane/worker/worker.h"

enum weir_close_reason {
    WEIR_CLOSE_NONE,
    WEIR_CLOSE_REMOTE,          /* FIN after which nothing more can be said */
    WEIR_CLOSE_RESET,           /* RST, or the system's error */
    WEIR_CLOSE_CONNECT_REFUSED, /* client side, before connected */
    WEIR_CLOSE_CONNECT_TIMEOUT,
    WEIR_CLOSE_TLS, /* handshake failed or verification refused: see transport failure reason */
};

struct weir_transport;
/* on_connected, on_eof, on_drained and on_flushed may be NULL. */
struct weir_transport_events {
    /* Client: TCP and TLS handshakes are done. Server: TLS handshake is done (raw: never called). */
    void (*on_connected)(void *owner);
    /* The slice's reference is the callee's now. */
    void (*on_read)(void *owner, struct weir_slice bytes);
    /* The peer will send nothing more; writing still works. Also where our FIN has left: closing is then up to the owner. */
    void (*on_eof)(void *owner);
    /* The write queue fell below low_water after it had been at high_water or above. */
    void (*on_drained)(void *owner);
    /* The queue is empty and all of it was taken by the kernel; asked for by weir_transport_notify_flushed, once. */
    void (*on_flushed)(void *owner);
    /* The last callback: the transport is gone (already closed; do not call close). */
    void (*on_closed)(void *owner, enum weir_close_reason reason);
};

struct weir_transport_ops; /* transport/ops.h: what an implementation provides */
struct weir_transport {
    const struct weir_transport_ops *ops;
    const struct weir_transport_events *events;
    void *owner;
    struct weir_worker *worker;
    struct weir_address_kept local, remote; /* weir_transport_local(), weir_transport_remote() */
    bool local_restored;             /* `local` is where the client wanted to go (original destination, PROXY header), not the socket's */
    const struct weir_tls_info *tls; /* filled once connected; NULL: cleartext */
    struct weir_str failure_reason;  /* %UPSTREAM_TRANSPORT_FAILURE_REASON%; empty when there is none */
    uint64_t id;
    uint64_t rx_bytes, tx_bytes; /* plain bytes, after TLS */
    uint32_t high_water, low_water;
    uint32_t stall_ms; /* for finish(): how long the peer may take nothing of what is queued. 0: WEIR_UNWRITTEN_STALL_MS */
    bool above_high;
};

/* Where it is connected from and to; length 0: not known (yet). */
static inline struct weir_address weir_transport_local(const struct weir_transport *t)
{
    struct weir_address a;
    weir_address_kept_get(&t->local, &a);
    return a;
}
static inline struct weir_address weir_transport_remote(const struct weir_transport *t)
{
    struct weir_address a;
    weir_address_kept_get(&t->remote, &a);
    return a;
}
/* Hands the transport to (another) owner. Bytes that came before are delivered to the new one. */
void weir_transport_attach(struct weir_transport *t, const struct weir_transport_events *events, void *owner);
/* Reading starts switched off. Off: at most one block more arrives, the kernel's window then fills: back-pressure. EOF and
 * errors are still noticed where the kernel says so without a read (EPOLLRDHUP, EPOLLHUP). */
void weir_transport_read(struct weir_transport *t, bool on);
/* Takes all bytes of `b` (left empty). */
void weir_transport_write(struct weir_transport *t, struct weir_buffer *b);
size_t weir_transport_queued(const struct weir_transport *t);
void weir_transport_set_water(struct weir_transport *t, uint32_t high, uint32_t low);
void weir_transport_notify_flushed(struct weir_transport *t);
/* FIN (and TLS close_notify) after the queue; reading goes on. */
void weir_transport_shutdown(struct weir_transport *t);
/* At once; what is queued is lost. With `reset` the peer sees RST. */
void weir_transport_close(struct weir_transport *t, bool reset);
/* Writes what is queued, sends FIN, drops what arrives until the peer closes or linger_ms pass, then closes: no RST can
 * overtake the answer. The owner is detached at once: no further callback. */
void weir_transport_finish(struct weir_transport *t, uint32_t linger_ms);
/* Whether bytes have come that were not delivered yet. Asks the kernel: for who is about to close an idle connection, not for
 * the way of every message. */
bool weir_transport_unread(const struct weir_transport *t);
/* Gives read buffers back while nothing happens (idle keep-alive). */
void weir_transport_idle(struct weir_transport *t);

/* Client side TLS of one cluster; compiled (transport/tls.h). */
struct weir_tls_client;
struct weir_connect_options {
    const struct weir_address *remote;
    const struct weir_address *local; /* bind before connect; NULL: any */
    const struct weir_tls_client *tls; /* NULL: raw */
    struct weir_str hostname;          /* the host's, for a context with auto_host_sni; empty: none; borrowed during the call */
    struct weir_str sni;               /* instead of the context's (auto_sni); empty: the context's; borrowed during the call */
    struct weir_str san;               /* a DNS name or IP that the certificate must have (auto_san_validation); empty: none */
    struct weir_str alpn;              /* wire format list, overrides the context's; empty: the context's */
    uint32_t connect_timeout_ms;
    bool keepalive;
    uint32_t keepalive_probes, keepalive_time_s, keepalive_interval_s; /* 0: the system's */
};
struct weir_transport_factory {
    /* Never NULL: failures arrive as on_closed in a later turn. */
    struct weir_transport *(*connect)(struct weir_worker *w, const struct weir_connect_options *o,
                                      const struct weir_transport_events *events, void *owner);
};
extern const struct weir_transport_factory weir_transport_sockets;
/* By the worker's factory, or over sockets where it has none. */
struct weir_transport *weir_transport_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                              const struct weir_transport_events *events, void *owner);

#endif
