/* Peers of the simulated world that keep to nothing: they send what was valid once and has been cut, bent, repeated or made up, read
 * or do not, and end or do not. What becomes of their own messages is no matter; that nobody else notices is. */
#ifndef TEST_SIM_SUPPORT_HOSTILE_H
#define TEST_SIM_SUPPORT_HOSTILE_H

#include "test/sim/support/sim.h"

struct hostile {
    struct sim *sim;
    uint32_t alive;          /* connections */
    struct weir_list peers;
    struct sim_listener listeners[2]; /* HTTP/1 and HTTP/2 */
};

void hostile_init(struct hostile *h, struct sim *s);
/* An upstream of the kind at this address. Once each. */
void hostile_listen(struct hostile *h, struct weir_address at, bool h2);
/* One client connection now. */
void hostile_connect(struct hostile *h, const struct weir_address *to);
/* Upstreams that still hold a connection let go of it. */
void hostile_deinit(struct hostile *h);

#endif
