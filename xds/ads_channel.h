/* The gRPC channel of the ADS client: target, TLS as the cluster's transport socket says, and the channel's arguments. A gRPC channel
 * that can not connect has waiting times of its own, up to two minutes for a name that is not there; here it is given up for a new
 * one instead, so that each attempt looks the name up and connects at once, and the client's back-off alone says when. */
#ifndef WEIR_XDS_ADS_CHANNEL_H
#define WEIR_XDS_ADS_CHANNEL_H

#include <grpc/grpc.h>

#include "xds/ads.h"

struct weir_ads_channel;

/* Copies what it needs. gRPC must be initialised. NULL: the credentials can not be used, the error says why. */
struct weir_ads_channel *weir_ads_channel_create(const struct weir_ads_config *config, struct weir_error *e) WEIR_MUST_USE;
void weir_ads_channel_destroy(struct weir_ads_channel *c);
/* Borrowed until the next call of another function. */
grpc_channel *weir_ads_channel_grpc(const struct weir_ads_channel *c);
/* To be asked when a call has ended: whether no connection could be made. Then the next call makes one anew. */
bool weir_ads_channel_renew_if_unreachable(struct weir_ads_channel *c);

#endif
