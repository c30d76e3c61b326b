/* The registry of network filters. */
#include "dataplane/config/network_filters.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_http.h"
#include "dataplane/config/compile_tcp_proxy.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/listener/echo.h"
#include "dataplane/listener/tcp_proxy.h"
#include "envoy/extensions/filters/network/echo/v3/echo.pb-c.h"

static enum weir_err nothing(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_listener_facts *l, const void **out)
{
    (void)c, (void)pb, (void)l, (void)out;
    return WEIR_OK;
}

static const struct weir_network_filter_entry entries[] = {
    {&pb_hcm_type, &weir_network_filter_http, weir_hcm_compile},
    {&pb_tcp_proxy_type, &weir_network_filter_tcp_proxy, weir_tcp_proxy_compile},
    {&envoy__extensions__filters__network__echo__v3__echo__descriptor, &weir_network_filter_echo, nothing},
};

const struct weir_network_filter_entry *weir_network_filter_of_type(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (entries[i].config_type == type) return &entries[i];
    return NULL;
}
