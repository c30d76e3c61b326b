/* TcpProxy → struct weir_tcp_proxy, for config/network_filters.c. */
#ifndef WEIR_CONFIG_COMPILE_TCP_PROXY_H
#define WEIR_CONFIG_COMPILE_TCP_PROXY_H

#include "dataplane/base/compile.h"
#include "dataplane/transport/network_filter.h"

enum weir_err weir_tcp_proxy_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_listener_facts *l, const void **out)
    WEIR_MUST_USE;

#endif
