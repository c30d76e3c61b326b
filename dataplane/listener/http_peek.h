/* Which version of HTTP the first bytes of a cleartext connection speak (http_inspector), for
 * FilterChainMatch.application_protocols. */
#ifndef WEIR_LISTENER_HTTP_PEEK_H
#define WEIR_LISTENER_HTTP_PEEK_H

#include "dataplane/weir.h"

/* False: more bytes are needed. *alpn, in wire format: "h2c", "http/1.1", "http/1.0"; unchanged: no HTTP. */
bool weir_http_peek(const uint8_t *p, size_t n, struct weir_str *alpn);

#endif
