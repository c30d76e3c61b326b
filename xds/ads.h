/* The ADS client: one gRPC stream that carries all resource types, state-of-the-world or delta, over the gRPC C core. It
 * keeps what the protocol needs (subscriptions, versions, nonces, back-off) and nothing of what resources mean: responses
 * go to the owner as bytes, verdicts come back as ACK or NACK. Follows xDS transport protocol v3,
 * envoy.service.discovery.v3. */
#ifndef WEIR_XDS_ADS_H
#define WEIR_XDS_ADS_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/error.h"
#include "dataplane/base/san.h"
#include "xds/resource_type.h"

/* One resource of a response. Bytes belong to the response. */
struct weir_ads_resource {
    struct weir_str name;    /* Resource.name; in state-of-the-world peeked from the resource itself */
    struct weir_str version; /* the resource's (delta); in state-of-the-world, or where it has none, the response's */
    ProtobufCBinaryData body; /* the packed message inside the Any */
    struct weir_str type_url; /* of the Any; may differ from the response's type: then the owner refuses it */
    uint64_t ttl_ms;          /* 0: none */
    bool heartbeat;           /* a Resource without the resource: nothing changed but its time to live, which starts anew */
};
/* Owned by the receiver from on_response until weir_ads_verdict(). */
struct weir_ads_response {
    struct weir_arena *arena; /* the response lies in it */
    enum weir_resource_type type;
    bool delta;
    struct weir_str version; /* version_info, or system_version_info */
    struct weir_str nonce;
    struct weir_str control_plane; /* ControlPlane.identifier; empty: it does not say */
    size_t count, removed_count;
    struct weir_ads_resource *resources;
    struct weir_str *removed; /* delta */
    uint64_t stream;          /* which stream it came on: a verdict for an ended stream sends nothing */
};
struct weir_ads_events {
    /* On the client's own thread. */
    void (*on_response)(void *ctx, struct weir_ads_response *r);
    /* The stream is up (first response may follow) / ended; `why` is for the log and for /config_dump. */
    void (*on_state)(void *ctx, bool connected, struct weir_str why);
};

struct weir_ads_config {
    const char *target;       /* gRPC target of the static cluster: "ipv4:127.0.0.1:18000", "unix:/path" */
    uint32_t connect_timeout_ms; /* of the cluster, with its handshakes; 0: 5,000 */
    const char *authority;    /* host name for :authority; NULL: the cluster's name */
    bool delta;
    const ProtobufCMessage *node; /* envoy.config.core.v3.Node, sent on each stream (the first request of a type only, as
                                   * set_node_on_first_message_only says) */
    bool node_on_first_message_only;
    /* TLS of the cluster's transport socket; all NULL: cleartext. PEM texts. */
    bool tls;
    const char *root_pem, *certificate_pem, *key_pem;
    const char *server_name; /* SNI; NULL: none is sent */
    const struct weir_san_match *sans; /* one of them must be in the server's certificate; none: the chain alone is checked */
    uint32_t san_count;
    /* 500, 30,000. A server that no connection reaches is asked for again within 3,000. */
    uint32_t back_off_base_ms, back_off_max_ms;
    /* PINGs on a quiet connection. 0: the default, 305,000 and 20,000: servers built on gRPC hang up on clients that ask for
     * a sign of life more often than every five minutes, unless they are told to bear it. */
    uint32_t keepalive_ms, keepalive_timeout_ms;
    const struct weir_str *metadata; /* initial_metadata: name, value pairs */
    size_t metadata_count;
};
struct weir_ads;
/* Copies what it needs of `config`. Starts its thread; connects at once. */
enum weir_err weir_ads_create(const struct weir_ads_config *config, const struct weir_ads_events *events, void *ctx,
                              struct weir_ads **out, struct weir_error *e) WEIR_MUST_USE;
/* Ends the stream and the thread. No event after it returns. */
void weir_ads_destroy(struct weir_ads *a);
/* The whole set of names wanted of a type from now on; wildcard: all (CDS, LDS without names). Any thread. The first call
 * of a type sends its first request. */
void weir_ads_subscribe(struct weir_ads *a, enum weir_resource_type type, bool wildcard, const struct weir_str *names, size_t count);
/* Asks again for what is subscribed already (a cluster that warms anew needs its endpoints): resends the request of the type. */
void weir_ads_refresh(struct weir_ads *a, enum weir_resource_type type);
/* The resource is gone by its time to live: a reconnect must not say that it is held (delta). Any thread. */
void weir_ads_forget(struct weir_ads *a, enum weir_resource_type type, struct weir_str name);
/* Answers r with ACK (refused NULL) or NACK (its text, code 13) and frees it. Any thread. Delta: only an
 * ACK records the versions that a reconnect names in initial_resource_versions; what a NACK left out is sent anew then. */
void weir_ads_verdict(struct weir_ads *a, struct weir_ads_response *r, const char *refused);

#endif
