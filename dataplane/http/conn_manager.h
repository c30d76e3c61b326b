/* HTTP on one accepted connection: chooses the codec, feeds it from the transport and drains it back, makes a stream for each
 * request, and decides when the connection ends (idle, duration, drain, errors). A terminal network filter: its configuration
 * is a struct weir_hcm, its state the connection object, so that it is freed with the listener's connection. */
#ifndef WEIR_HTTP_CONN_MANAGER_H
#define WEIR_HTTP_CONN_MANAGER_H

#include "dataplane/http/hcm.h"
#include "dataplane/transport/network_filter.h"

extern const struct weir_network_filter weir_network_filter_http;

#endif
