/* The commands of templates by name: what they read, and what Envoy knows but weir refuses. */
#include "dataplane/base/format_tables.h"

#define AT(member) offsetof(struct weir_request, member)
#define FIELD(name, how, member) {name, NULL, weir_format_value_##how, AT(member), 0}
#define DURATION(name, from, to) {name, NULL, weir_format_value_duration, AT(from), AT(to)}
#define COMMAND(name, args, how, at) {name, weir_format_args_##args, weir_format_value_##how, at, 0}
#define PLAIN(name, how, at) {name, NULL, weir_format_value_##how, at, 0}
/* Four commands of one address. */
#define ADDRESS(name, member, pointer)                                                                                  \
    {name "_ADDRESS", NULL, weir_format_value_address, AT(member), pointer},                                           \
    {name "_ADDRESS_WITHOUT_PORT", weir_format_args_mask, weir_format_value_address_ip, AT(member), pointer},          \
    {name "_PORT", NULL, weir_format_value_address_port, AT(member), pointer}
#define TLS(name, side, member) {name, NULL, weir_format_value_tls_string, AT(side), offsetof(struct weir_tls_info, member)}
#define TLS_TIME(name, side, member)                                                                                    \
    {name, weir_format_args_time, weir_format_value_tls_time, AT(side), offsetof(struct weir_tls_info, member)}
#define SANS(name, side, which) {name, NULL, weir_format_value_tls_sans, AT(side), WEIR_SANS_##which}

const struct weir_format_command weir_format_commands[] = {
    /* Messages */
    COMMAND("REQ", header, header, AT(headers)),
    COMMAND("REQUEST_HEADER", header, header, AT(headers)),
    COMMAND("RESP", header, header, AT(response_headers)),
    COMMAND("RESPONSE_HEADER", header, header, AT(response_headers)),
    COMMAND("TRAILER", header, header, AT(response_trailers)),
    COMMAND("RESPONSE_TRAILER", header, header, AT(response_trailers)),
    COMMAND("REQ_WITHOUT_QUERY", header, header_without_query, AT(headers)),
    COMMAND("PATH", path, path, 0),
    COMMAND("QUERY_PARAM", text, query_param, 0),
    COMMAND("QUERY_PARAMS", query, query_params, 0),
    COMMAND("GRPC_STATUS", grpc_status, grpc_status, 0),
    PLAIN("GRPC_STATUS_NUMBER", grpc_status, 1),
    FIELD("PROTOCOL", protocol, protocol),
    FIELD("UPSTREAM_PROTOCOL", protocol, upstream_protocol),
    FIELD("RESPONSE_CODE", u32, status),
    COMMAND("RESPONSE_CODE_DETAILS", details, code_details, 0),
    PLAIN("RESPONSE_FLAGS", flags, 0),
    PLAIN("RESPONSE_FLAGS_LONG", flags, 1),
    PLAIN("LOCAL_REPLY_BODY", local_reply_body, 0),
    /* Bytes */
    FIELD("BYTES_RECEIVED", u64, request_body_bytes),
    FIELD("BYTES_SENT", u64, response_body_bytes),
    PLAIN("BYTES_RETRANSMITTED", zero, 0),
    PLAIN("PACKETS_RETRANSMITTED", zero, 0),
    FIELD("REQUEST_HEADERS_BYTES", header_bytes, headers),
    FIELD("RESPONSE_HEADERS_BYTES", header_bytes, response_headers),
    FIELD("RESPONSE_TRAILERS_BYTES", header_bytes, response_trailers),
    FIELD("DOWNSTREAM_WIRE_BYTES_RECEIVED", u64, downstream_rx_wire_bytes),
    FIELD("DOWNSTREAM_WIRE_BYTES_SENT", u64, downstream_tx_wire_bytes),
    FIELD("UPSTREAM_WIRE_BYTES_RECEIVED", u64, upstream_rx_wire_bytes),
    FIELD("UPSTREAM_WIRE_BYTES_SENT", u64, upstream_tx_wire_bytes),
    FIELD("DOWNSTREAM_HEADER_BYTES_RECEIVED", u64, request_header_bytes),
    FIELD("DOWNSTREAM_HEADER_BYTES_SENT", u64, response_header_bytes),
    FIELD("UPSTREAM_HEADER_BYTES_RECEIVED", u64, upstream_rx_header_bytes),
    FIELD("UPSTREAM_HEADER_BYTES_SENT", u64, upstream_tx_header_bytes),
    FIELD("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", header_bytes, headers),
    FIELD("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", header_bytes, response_headers),
    /* Times */
    COMMAND("START_TIME", time, start_time, 0),
    COMMAND("START_TIME_LOCAL", time, start_time, 1),
    COMMAND("EMIT_TIME", time, emit_time, 0),
    COMMAND("EMIT_TIME_LOCAL", time, emit_time, 1),
    DURATION("DURATION", start_ns, end_ns),
    DURATION("REQUEST_DURATION", start_ns, last_downstream_rx_ns),
    DURATION("REQUEST_TX_DURATION", start_ns, last_upstream_tx_ns),
    DURATION("RESPONSE_DURATION", start_ns, first_upstream_rx_ns),
    DURATION("RESPONSE_TX_DURATION", first_upstream_rx_ns, last_downstream_tx_ns),
    COMMAND("COMMON_DURATION", duration, common_duration, 0),
    PLAIN("ROUNDTRIP_DURATION", absent, 0),            /* HTTP/3 only, there too */
    PLAIN("DOWNSTREAM_HANDSHAKE_DURATION", absent, 0), /* QUIC only, there too */
    /* Connections */
    ADDRESS("DOWNSTREAM_REMOTE", downstream_remote, 0),
    ADDRESS("DOWNSTREAM_DIRECT_REMOTE", downstream_direct_remote, 1),
    ADDRESS("DOWNSTREAM_LOCAL", downstream_local, 1),
    ADDRESS("DOWNSTREAM_DIRECT_LOCAL", downstream_local, 1),
    ADDRESS("UPSTREAM_REMOTE", upstream_host, 0),
    ADDRESS("UPSTREAM_LOCAL", upstream_local, 0),
    FIELD("UPSTREAM_HOST", address, upstream_host),
    PLAIN("UPSTREAM_HOST_NAME", host_name, 0),
    PLAIN("UPSTREAM_HOST_NAME_WITHOUT_PORT", host_name, 1),
    PLAIN("UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", empty, 0), /* internal listeners only */
    PLAIN("DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", empty, 0),
    PLAIN("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", empty, 0),
    FIELD("CONNECTION_ID", u64, connection_id),
    FIELD("UPSTREAM_CONNECTION_ID", u64, upstream_connection_id),
    FIELD("CONNECTION_TERMINATION_DETAILS", string, connection_termination_details),
    FIELD("UPSTREAM_TRANSPORT_FAILURE_REASON", string, upstream_transport_failure_reason),
    FIELD("DOWNSTREAM_TRANSPORT_FAILURE_REASON", string, downstream_transport_failure_reason),
    FIELD("DOWNSTREAM_LOCAL_CLOSE_REASON", string, downstream_local_close_reason),
    FIELD("UPSTREAM_LOCAL_CLOSE_REASON", string, upstream_local_close_reason),
    FIELD("DOWNSTREAM_DETECTED_CLOSE_TYPE", close_type, downstream_close_type),
    {"UPSTREAM_DETECTED_CLOSE_TYPE", NULL, weir_format_value_close_type, AT(upstream_close_type), 1},
    COMMAND("REQUESTED_SERVER_NAME", server_name, server_name, 0),
    FIELD("FILTER_CHAIN_NAME", string, filter_chain_name),
    /* TLS */
    TLS("DOWNSTREAM_TLS_VERSION", tls, version),
    TLS("DOWNSTREAM_TLS_CIPHER", tls, cipher),
    TLS("DOWNSTREAM_TLS_SESSION_ID", tls, session_id),
    TLS("DOWNSTREAM_PEER_SUBJECT", tls, peer_subject),
    TLS("DOWNSTREAM_PEER_ISSUER", tls, peer_issuer),
    TLS("DOWNSTREAM_PEER_SERIAL", tls, peer_serial),
    TLS("DOWNSTREAM_PEER_FINGERPRINT_256", tls, peer_fingerprint_256),
    TLS("DOWNSTREAM_PEER_FINGERPRINT_1", tls, peer_fingerprint_1),
    TLS("DOWNSTREAM_LOCAL_SUBJECT", tls, local_subject),
    SANS("DOWNSTREAM_PEER_URI_SAN", tls, PEER_URI),
    SANS("DOWNSTREAM_PEER_DNS_SAN", tls, PEER_DNS),
    SANS("DOWNSTREAM_LOCAL_URI_SAN", tls, LOCAL_URI),
    SANS("DOWNSTREAM_LOCAL_DNS_SAN", tls, LOCAL_DNS),
    TLS_TIME("DOWNSTREAM_PEER_CERT_V_START", tls, peer_valid_from_s),
    TLS_TIME("DOWNSTREAM_PEER_CERT_V_END", tls, peer_valid_until_s),
    TLS("UPSTREAM_TLS_VERSION", upstream_tls, version),
    TLS("UPSTREAM_TLS_CIPHER", upstream_tls, cipher),
    TLS("UPSTREAM_TLS_SESSION_ID", upstream_tls, session_id),
    TLS("UPSTREAM_PEER_SUBJECT", upstream_tls, peer_subject),
    TLS("UPSTREAM_PEER_ISSUER", upstream_tls, peer_issuer),
    TLS("UPSTREAM_SERVER_NAME", upstream_tls, sni),
    SANS("UPSTREAM_PEER_URI_SAN", upstream_tls, PEER_URI),
    SANS("UPSTREAM_PEER_DNS_SAN", upstream_tls, PEER_DNS),
    SANS("UPSTREAM_LOCAL_URI_SAN", upstream_tls, LOCAL_URI),
    SANS("UPSTREAM_LOCAL_DNS_SAN", upstream_tls, LOCAL_DNS),
    TLS_TIME("UPSTREAM_PEER_CERT_V_START", upstream_tls, peer_valid_from_s),
    TLS_TIME("UPSTREAM_PEER_CERT_V_END", upstream_tls, peer_valid_until_s),
    /* Decisions */
    FIELD("ROUTE_NAME", string, route_name),
    FIELD("VIRTUAL_CLUSTER_NAME", string, virtual_cluster_name),
    FIELD("UPSTREAM_CLUSTER", string, cluster_name),
    FIELD("UPSTREAM_CLUSTER_RAW", string, cluster_name),
    FIELD("UPSTREAM_REQUEST_ATTEMPT_COUNT", u32, attempts),
    COMMAND("DYNAMIC_METADATA", metadata, metadata, 0),
    COMMAND("CLUSTER_METADATA", metadata, metadata, 1),
    COMMAND("UPSTREAM_METADATA", metadata, metadata, 2),
    COMMAND("METADATA", typed_metadata, typed_metadata, 0),
    COMMAND("FILTER_STATE", text, absent, 0), /* no filter of weir's sets any */
    COMMAND("UPSTREAM_FILTER_STATE", text, absent, 0),
    PLAIN("CUSTOM_FLAGS", empty, 0),
    /* Identity */
    FIELD("STREAM_ID", string, request_id),
    PLAIN("UNIQUE_ID", unique_id, 0),
    PLAIN("TRACE_ID", absent, 0), /* no tracing */
    PLAIN("SPAN_ID", absent, 0),
    COMMAND("HOSTNAME", hostname, constant, 0),
    COMMAND("ENVIRONMENT", environment, constant, 0),
    PLAIN("ACCESS_LOG_TYPE", log_type, 0),
    COMMAND("COALESCE", coalesce, coalesce, 0),
};
const size_t weir_format_command_count = sizeof(weir_format_commands) / sizeof(weir_format_commands[0]);

const char *const weir_format_unsupported[] = {
    "CEL", "TYPED_CEL", "PER_REQUEST_STATE", "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
    "UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED",
    "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
    "DOWNSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_PEER_IP_SAN", "DOWNSTREAM_LOCAL_EMAIL_SAN", "DOWNSTREAM_PEER_EMAIL_SAN",
    "DOWNSTREAM_LOCAL_OTHERNAME_SAN", "DOWNSTREAM_PEER_OTHERNAME_SAN", "UPSTREAM_PEER_IP_SAN", "UPSTREAM_LOCAL_IP_SAN",
    "DOWNSTREAM_TLS_GROUP", "UPSTREAM_TLS_GROUP", "DOWNSTREAM_PEER_CERT", "UPSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", "DOWNSTREAM_PEER_CHAIN_SERIALS",
    "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", "DOWNSTREAM_PEER_ISSUER_SERIAL", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT",
    "FILE_CONTENT", "SECRET", NULL,
};
