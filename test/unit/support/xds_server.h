/* A control plane that does what a test tells it, step by step: each call drives its completion queue until the step is
 * done, and fails the test when that takes too long. */
#ifndef WEIR_TEST_XDS_SERVER_H
#define WEIR_TEST_XDS_SERVER_H

#include <grpc/grpc.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "dataplane/base/arena.h"
#include "xds/wire_write.h"

struct xds_server {
    grpc_server *server;
    grpc_completion_queue *queue;
    int port;
    char target[64];
};
struct xds_stream {
    struct xds_server *server;
    grpc_call *call;
    char method[128];
};
/* port 0: any free one. certificate and key PEM: TLS. */
void xds_server_start(struct xds_server *s, int port, const char *certificate, const char *key);
void xds_server_stop(struct xds_server *s);
void xds_server_accept(struct xds_server *s, struct xds_stream *out);
/* The next request as bytes in the arena; p NULL at the stream's end. */
struct weir_str xds_stream_read(struct xds_stream *s, struct weir_arena *arena);
Envoy__Service__Discovery__V3__DiscoveryRequest *xds_stream_read_whole(struct xds_stream *s, struct weir_arena *arena);
Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *xds_stream_read_delta(struct xds_stream *s, struct weir_arena *arena);
void xds_stream_write(struct xds_stream *s, struct weir_str bytes);
void xds_stream_end(struct xds_stream *s, grpc_status_code status);
/* The call is given up without a word. */
void xds_stream_forget(struct xds_stream *s);

/* A DiscoveryResponse whose resources are messages with nothing but a name in field 1. */
void xds_whole_response(struct weir_wire_out *out, const char *type_url, const char *version, const char *nonce,
                        const char *const *names, size_t count);
void xds_delta_response(struct weir_wire_out *out, const char *type_url, const char *version, const char *nonce,
                        const char *const *names, size_t count, const char *removed);

#endif
