/* What an implementation of a transport provides: raw sockets, TLS, the simulation's memory. Only transport/ and test/sim
 * include this. */
#ifndef WEIR_TRANSPORT_OPS_H
#define WEIR_TRANSPORT_OPS_H

#include "dataplane/transport/transport.h"

struct weir_transport_ops {
    void (*read)(struct weir_transport *t, bool on);
    void (*write)(struct weir_transport *t, struct weir_buffer *b);
    size_t (*queued)(const struct weir_transport *t);
    void (*notify_flushed)(struct weir_transport *t);
    void (*shutdown)(struct weir_transport *t);
    void (*close)(struct weir_transport *t, bool reset);
    void (*finish)(struct weir_transport *t, uint32_t linger_ms);
    void (*idle)(struct weir_transport *t);
    bool (*unread)(const struct weir_transport *t); /* NULL: never */
};

#endif
