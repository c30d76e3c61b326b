/* Answers that weir makes itself: status and text for plain requests, trailers-only with a mapped status for gRPC
 * (gRPC over HTTP/2, "Trailers-Only"), both as HttpConnectionManager.local_reply_config reshapes them. The sending is
 * weir_local_reply_send (http/stream.h). */
#ifndef WEIR_HTTP_LOCAL_REPLY_H
#define WEIR_HTTP_LOCAL_REPLY_H

#include "dataplane/http/hcm.h"

/* The gRPC status of an HTTP status, for replies made here (not the client-side table of the gRPC specification: 408, 413 and
 * 500 are Unknown here, as in Envoy). */
uint32_t weir_grpc_status_of_http(uint32_t status);
/* grpc-message: bytes outside printable ASCII and "%" as %XX (gRPC over HTTP/2, "Status-Message"). */
struct weir_str weir_grpc_message_encode(struct weir_arena *arena, struct weir_str message);
/* content-type application/grpc, also with +proto and the like; not grpc-web. */
bool weir_grpc_content_type(struct weir_str content_type);
/* grpc-timeout: up to eight digits and a unit (gRPC over HTTP/2, "Timeout"). In milliseconds, rounded up; false: none. */
bool weir_grpc_timeout(const struct weir_headers *h, uint64_t *ms);

#endif
