/* The gRPC channel of the ADS client: target, TLS as the cluster's transport socket says, and the channel's arguments. */
#ifndef WEIR_XDS_ADS_CHANNEL_H
#define WEIR_XDS_ADS_CHANNEL_H

#include <grpc/grpc.h>

#include "xds/ads.h"

/* Copies what it needs. gRPC must be initialised. NULL: the credentials can not be used, the error says why. */
grpc_channel *weir_ads_channel_create(const struct weir_ads_config *config, struct weir_error *e) WEIR_MUST_USE;

#endif
