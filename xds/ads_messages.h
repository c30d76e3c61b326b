/* The discovery protocol's messages as bytes (envoy.service.discovery.v3): requests written, responses taken apart without
 * unpacking what they carry. */
#ifndef WEIR_XDS_ADS_MESSAGES_H
#define WEIR_XDS_ADS_MESSAGES_H

#include "xds/subscription.h"
#include "xds/wire_write.h"

/* node: packed envoy.config.core.v3.Node; n 0: left out. */
void weir_ads_request_write(struct weir_wire_out *out, bool delta, enum weir_resource_type type, struct weir_str node,
                            const struct weir_subscription_request *r);

/* `bytes` live in `arena`, which the response takes with it; what it says points into them. `stream` and `delta` are set by
 * the caller. UNSUPPORTED: a response of a type that weir never asks for, to be ignored; INVALID: not a response. */
enum weir_err weir_ads_response_read(struct weir_arena *arena, bool delta, struct weir_str bytes,
                                     struct weir_ads_response **out, struct weir_error *e) WEIR_MUST_USE;

#endif
