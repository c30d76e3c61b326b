/* The network filters that weir knows, by the type of their configuration: one line each. */
#ifndef WEIR_CONFIG_NETWORK_FILTERS_H
#define WEIR_CONFIG_NETWORK_FILTERS_H

#include "dataplane/base/compile.h"
#include "dataplane/transport/network_filter.h"

struct weir_network_filter_entry {
    const ProtobufCMessageDescriptor *config_type;
    const struct weir_network_filter *filter;
    /* Into c->arena. `out` becomes struct weir_network_filter_use.config. */
    enum weir_err (*compile)(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_listener_facts *l, const void **out);
};
/* NULL: none has this type. */
const struct weir_network_filter_entry *weir_network_filter_of_type(const ProtobufCMessageDescriptor *type);

#endif
