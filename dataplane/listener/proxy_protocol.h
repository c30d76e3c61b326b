/* The PROXY protocol, versions 1 and 2: what a load balancer says of the connection it passes on, before the client's own
 * bytes. Follows the text of haproxy.org/download/2.6/doc/proxy-protocol.txt. */
#ifndef WEIR_LISTENER_PROXY_PROTOCOL_H
#define WEIR_LISTENER_PROXY_PROTOCOL_H

#include "dataplane/base/address.h"

enum weir_proxy_state {
    WEIR_PROXY_MORE,
    WEIR_PROXY_DONE,
    WEIR_PROXY_NONE, /* no such header */
    WEIR_PROXY_INVALID,
};
struct weir_proxy_header {
    struct weir_address remote, local; /* length 0: UNKNOWN, LOCAL or a family that is no IP: the connection's own hold */
};
/* *used: the header's bytes, on DONE. */
enum weir_proxy_state weir_proxy_protocol_parse(const uint8_t *p, size_t n, struct weir_proxy_header *out, size_t *used);

#endif
