/* When a stream turns into a tunnel (WebSocket and other upgrades, CONNECT), in the one form that the middle knows: a
 * request with an `upgrade` header, or :method CONNECT; accepted by 101, or by a 2xx (codec.h says how the versions map to
 * it). Called by the codecs of both versions. */
#ifndef WEIR_CODEC_TUNNEL_H
#define WEIR_CODEC_TUNNEL_H

#include "dataplane/base/headers.h"

enum weir_tunnel { WEIR_TUNNEL_NONE, WEIR_TUNNEL_UPGRADE, WEIR_TUNNEL_CONNECT };

enum weir_tunnel weir_tunnel_asked(const struct weir_headers *request);
/* Whether a final response of this status turns the stream into a tunnel (RFC 9110 7.8, 9.3.6). */
static inline bool weir_tunnel_accepts(enum weir_tunnel t, uint32_t status)
{
    return t == WEIR_TUNNEL_UPGRADE ? status == 101 : t == WEIR_TUNNEL_CONNECT && status >= 200 && status < 300;
}

#endif
