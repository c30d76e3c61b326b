/* Where a redirected connection was going before a rule of the kernel (REDIRECT, DNAT, TPROXY) brought it to weir:
 * extensions.filters.listener.original_dst. */
#ifndef WEIR_LISTENER_ORIGINAL_DST_H
#define WEIR_LISTENER_ORIGINAL_DST_H

#include "dataplane/base/address.h"

/* Asks connection tracking about an accepted socket. `local`: where the socket was accepted; `bound`: its listener's own
 * address; `transparent`: the listener takes connections to foreign addresses (TPROXY), whose local address is the answer
 * where connection tracking knows nothing. False: nothing was redirected, *out is untouched.
 *
 * A connection that was made to the listener's own address was not redirected, even where connection tracking repeats that
 * address: a cluster of original destinations would send it to weir itself, again and again. */
bool weir_original_dst(int fd, const struct weir_address *local, const struct weir_address *bound, bool transparent, struct weir_address *out);

#endif
