/* Tunnel requests by their headers; called by the codecs when a request is sent or received. */
#include "dataplane/codec/tunnel.h"

enum weir_tunnel weir_tunnel_asked(const struct weir_headers *request)
{
    if (weir_str_eq(weir_headers_get(request, WEIR_H_METHOD), WEIR_STR("CONNECT")))
        return WEIR_TUNNEL_CONNECT;
    return weir_headers_get(request, WEIR_H_UPGRADE).n > 0 ? WEIR_TUNNEL_UPGRADE : WEIR_TUNNEL_NONE;
}
