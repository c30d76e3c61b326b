/* extensions.filters.network.echo.v3.Echo: sends back what it gets. The smallest terminal network filter. */
#ifndef WEIR_LISTENER_ECHO_H
#define WEIR_LISTENER_ECHO_H

#include "dataplane/transport/network_filter.h"

extern const struct weir_network_filter weir_network_filter_echo;

#endif
