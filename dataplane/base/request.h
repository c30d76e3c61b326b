/* What routes, hashes, formats and filters may ask of a request, and what the access log writes at its end: Envoy's
 * StreamInfo. Owned by the stream (http/stream.h); all strings live in the stream's arena, in a pinned resource, or are
 * literals. */
#ifndef WEIR_BASE_REQUEST_H
#define WEIR_BASE_REQUEST_H

#include "dataplane/base/address.h"
#include "dataplane/base/headers.h"

enum weir_protocol { WEIR_PROTOCOL_NONE, WEIR_HTTP10, WEIR_HTTP11, WEIR_HTTP2, WEIR_TCP };

/* Response flags, X(enum suffix, "short", "long"): %RESPONSE_FLAGS%, %RESPONSE_FLAGS_LONG%. In Envoy's order. */
#define WEIR_RESPONSE_FLAGS(X)                                                                                          \
    X(FAILED_LOCAL_HEALTH_CHECK, "LH", "FailedLocalHealthCheck") X(NO_HEALTHY_UPSTREAM, "UH", "NoHealthyUpstream")              \
    X(UPSTREAM_REQUEST_TIMEOUT, "UT", "UpstreamRequestTimeout") X(LOCAL_RESET, "LR", "LocalReset")                              \
    X(UPSTREAM_REMOTE_RESET, "UR", "UpstreamRemoteReset") X(UPSTREAM_CONNECTION_FAILURE, "UF", "UpstreamConnectionFailure")     \
    X(UPSTREAM_CONNECTION_TERMINATION, "UC", "UpstreamConnectionTermination") X(UPSTREAM_OVERFLOW, "UO", "UpstreamOverflow")    \
    X(NO_ROUTE_FOUND, "NR", "NoRouteFound") X(DELAY_INJECTED, "DI", "DelayInjected") X(FAULT_INJECTED, "FI", "FaultInjected")   \
    X(RATE_LIMITED, "RL", "RateLimited") X(UNAUTHORIZED, "UAEX", "UnauthorizedExternalService")                                 \
    X(RATE_LIMIT_SERVICE_ERROR, "RLSE", "RateLimitServiceError") X(DOWNSTREAM_TERMINATION, "DC", "DownstreamConnectionTermination") \
    X(RETRY_LIMIT_EXCEEDED, "URX", "UpstreamRetryLimitExceeded") X(STREAM_IDLE_TIMEOUT, "SI", "StreamIdleTimeout")              \
    X(INVALID_ENVOY_HEADERS, "IH", "InvalidEnvoyRequestHeaders") X(DOWNSTREAM_PROTOCOL_ERROR, "DPE", "DownstreamProtocolError") \
    X(UPSTREAM_MAX_STREAM_DURATION, "UMSDR", "UpstreamMaxStreamDurationReached")                                                \
    X(RESPONSE_FROM_CACHE, "RFCF", "ResponseFromCacheFilter") X(NO_FILTER_CONFIG, "NFCF", "NoFilterConfigFound")                \
    X(DURATION_TIMEOUT, "DT", "DurationTimeout") X(UPSTREAM_PROTOCOL_ERROR, "UPE", "UpstreamProtocolError")                     \
    X(NO_CLUSTER_FOUND, "NC", "NoClusterFound") X(OVERLOAD_MANAGER, "OM", "OverloadManagerTerminated")                          \
    X(DNS_FAILURE, "DF", "DnsResolutionFailed") X(DROP_OVERLOAD, "DO", "DropOverload")                                          \
    X(DOWNSTREAM_REMOTE_RESET, "DR", "DownstreamRemoteReset") X(UNCONDITIONAL_DROP_OVERLOAD, "UDO", "UnconditionalDropOverload")
enum weir_response_flag {
#define X(id, s, l) WEIR_FLAG_BIT_##id,
    WEIR_RESPONSE_FLAGS(X)
#undef X
        WEIR_FLAG_COUNT
};
#define WEIR_FLAG(id) ((uint64_t)1 << WEIR_FLAG_BIT_##id)

/* What is known of one side's TLS, NULL on cleartext. Lives as long as the connection. */
struct weir_tls_info {
    struct weir_str sni, alpn, version, cipher, session_id;
    struct weir_str peer_subject, peer_issuer, peer_serial, peer_fingerprint_256, peer_fingerprint_1;
    struct weir_str local_subject;
    const struct weir_str *peer_uri_sans, *peer_dns_sans, *local_uri_sans, *local_dns_sans;
    uint32_t peer_uri_san_count, peer_dns_san_count, local_uri_san_count, local_dns_san_count;
    bool peer_certificate_presented, peer_certificate_validated;
    int64_t peer_valid_from_s, peer_valid_until_s; /* Unix time */
};

struct weir_request {
    /* Request and response messages. NULL until they are there. */
    const struct weir_headers *headers, *response_headers, *response_trailers, *request_trailers;
    enum weir_protocol protocol, upstream_protocol;
    uint64_t flags;               /* WEIR_FLAG(...) */
    uint64_t flags_first;         /* those of them that print before the others: Envoy prints in the order of setting */
    struct weir_str code_details; /* %RESPONSE_CODE_DETAILS% */
    struct weir_str connection_termination_details;
    struct weir_str upstream_transport_failure_reason, downstream_transport_failure_reason;
    /* Why weir closed a side itself, and how a side's end was seen: "Normal", "LocalReset", "RemoteReset". Empty: not known. */
    struct weir_str downstream_local_close_reason, upstream_local_close_reason, downstream_close_type, upstream_close_type;
    uint32_t status;  /* what the client got; 0: nothing */
    uint32_t attempts; /* upstream attempts made */
    bool is_grpc;      /* content-type application/grpc[+...] */
    bool internal;     /* the trusted client address is an internal one (RFC 1918 ...) */
    bool health_check; /* answered or marked by the health_check filter */

    /* Connection. Borrowed from it; the stream never outlives what it borrows. */
    const struct weir_address *downstream_direct_remote; /* the TCP peer */
    struct weir_address downstream_remote;               /* the trusted client, after x-forwarded-for */
    const struct weir_address *downstream_local;
    bool downstream_local_restored; /* it is the original destination of a redirected connection */
    const struct weir_tls_info *tls; /* downstream */
    uint64_t connection_id;
    struct weir_str requested_server_name;
    struct weir_str listener_name, filter_chain_name;

    /* Decision */
    struct weir_str route_name, virtual_host_name, virtual_cluster_name, route_table_name;
    struct weir_str cluster_name; /* empty: none chosen */
    struct weir_str original_path;
    /* Upstream of the last attempt */
    struct weir_address upstream_host, upstream_local;
    struct weir_str upstream_hostname; /* as the endpoint names it */
    const struct weir_tls_info *upstream_tls;
    uint64_t upstream_connection_id;

    /* Times: wall clock at start (Unix ns) and monotonic ns; 0: has not happened. */
    uint64_t start_wall_ns, start_ns, end_ns;
    uint64_t last_downstream_rx_ns, first_upstream_tx_ns, last_upstream_tx_ns, first_upstream_rx_ns, last_upstream_rx_ns;
    uint64_t first_downstream_tx_ns, last_downstream_tx_ns, upstream_connect_start_ns, upstream_connected_ns;
    /* Bytes: bodies, and wire (headers with framing) where the codec counts it. */
    uint64_t request_body_bytes, response_body_bytes;
    uint64_t request_header_bytes, response_header_bytes, upstream_rx_header_bytes, upstream_tx_header_bytes;
    uint64_t downstream_rx_wire_bytes, downstream_tx_wire_bytes, upstream_rx_wire_bytes, upstream_tx_wire_bytes;

    struct weir_str request_id; /* x-request-id, empty when none */
    /* Dynamic metadata: filter namespace → google.protobuf.Struct trees, few entries, linear (base/metadata.h). */
    struct weir_metadata *metadata;
    /* As configured, compiled. NULL: none. */
    const struct weir_metadata *route_metadata, *cluster_metadata, *host_metadata, *virtual_host_metadata;
    struct weir_arena *arena; /* the stream's */
    uint64_t random;          /* one draw per stream: weights and fractions of one request agree with each other */
};

#endif
