/* Transports of the simulated world (transport/ops.h): pairs of ends, bytes on their way as events. What a kernel does is
 * modelled where weir can see it: bounded windows, cut reads, short writes, FIN, RST for bytes that nobody reads. */
#ifndef TEST_SIM_SUPPORT_NET_H
#define TEST_SIM_SUPPORT_NET_H

#include "test/sim/support/sim.h"

struct weir_transport *sim_net_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                       const struct weir_transport_events *events, void *owner);
/* Prints every transport that is alive. */
void sim_net_tell_ends(const struct sim *s);

#endif
