/* What a TLS ClientHello says before any TLS is spoken: the name, the protocols and the versions that it offers. Called by the
 * listener over the first bytes of a connection, to choose a filter chain. RFC 8446 4.1.2, RFC 6066 3, RFC 7301 3.1. */
#ifndef WEIR_TRANSPORT_HELLO_H
#define WEIR_TRANSPORT_HELLO_H

#include "dataplane/weir.h"

enum weir_hello_state {
    WEIR_HELLO_MORE,      /* so far it may be a hello */
    WEIR_HELLO_DONE,
    WEIR_HELLO_NOT_TLS,   /* something else, or a hello that breaks its own lengths */
    WEIR_HELLO_TOO_LARGE, /* beyond WEIR_HELLO_BYTES_MAX */
};
struct weir_hello {
    struct weir_str server_name; /* as sent; empty: none */
    struct weir_str alpn;        /* wire format: length, name, ... ; empty: none */
    uint16_t version_max;        /* of supported_versions, else the legacy version: 0x0304 is TLS 1.3 */
};
/* The whole of what has come so far. `scratch` holds at least n bytes; views of `out` point into p or into it. `out` is filled
 * on DONE only. */
enum weir_hello_state weir_hello_parse(const uint8_t *p, size_t n, uint8_t *scratch, struct weir_hello *out);
/* The next protocol of `alpn`, empty at the end. *at starts at 0. */
struct weir_str weir_alpn_next(struct weir_str alpn, size_t *at);

#endif
