/* The factory of real connections: a socket, with TLS on it where the cluster wants that. */
#include "dataplane/transport/raw.h"
#include "dataplane/transport/tls.h"

static struct weir_transport *sockets_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                              const struct weir_transport_events *events, void *owner)
{
    return o->tls != NULL ? weir_tls_connect(w, o, events, owner) : weir_raw_connect(w, o, events, owner);
}

const struct weir_transport_factory weir_transport_sockets = {.connect = sockets_connect};
