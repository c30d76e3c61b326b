/* The HTTP connection manager as compiled: what HttpConnectionManager says, in the form that workers walk. Immutable,
 * in the arena of the listener's resource; made by config/compile_http.c, read by everything in http/. */
#ifndef WEIR_HTTP_HCM_H
#define WEIR_HTTP_HCM_H

#include "dataplane/base/substitution.h"
#include "dataplane/codec/codec.h"
#include "dataplane/http/filter.h"
#include "dataplane/http/http_stats.h"
#include "dataplane/http/normalize.h"

/* One entry of http_filters. */
struct weir_hcm_filter {
    struct weir_str name;
    const struct weir_http_filter *table;
    const void *config;
    bool disabled; /* on only where a route has a configuration for it */
};
struct weir_hcm_chain {
    uint32_t count;
    const struct weir_hcm_filter *at;
};

/* upgrade_configs: `chain` NULL: http_filters. */
struct weir_hcm_upgrade {
    struct weir_upgrade_config config;
    const struct weir_hcm_chain *chain;
};

/* A condition on a request that is ending or answered (config.accesslog.v3.AccessLogFilter), compiled by whoever knows them. */
struct weir_request_match {
    bool (*hit)(const void *config, struct weir_worker *w, const struct weir_request *r); /* NULL: always */
    const void *config;
};
/* A writer of access logs; called once when the stream has ended. */
struct weir_access_sink {
    void (*write)(const void *config, struct weir_worker *w, const struct weir_request *r, struct weir_str local_reply_body);
    const void *config;
};
struct weir_reply_mapper { /* ResponseMapper: the first that hits */
    struct weir_request_match match;
    uint32_t status; /* 0: as it is */
    bool has_body;
    struct weir_str body;
    const struct weir_substitution *format; /* NULL: LocalReplyConfig.body_format */
    struct weir_header_rules rules;
};
struct weir_reply_config {
    uint32_t mapper_count;
    const struct weir_reply_mapper *mappers;
    const struct weir_substitution *format; /* NULL: the body as it is */
};

enum weir_hcm_codec { WEIR_HCM_AUTO, WEIR_HCM_HTTP1, WEIR_HCM_HTTP2 };
enum weir_hcm_server { WEIR_SERVER_OVERWRITE, WEIR_SERVER_APPEND_IF_ABSENT, WEIR_SERVER_PASS_THROUGH };
enum weir_hcm_client_cert { WEIR_XFCC_SANITIZE, WEIR_XFCC_FORWARD_ONLY, WEIR_XFCC_APPEND_FORWARD, WEIR_XFCC_SANITIZE_SET,
                            WEIR_XFCC_ALWAYS_FORWARD_ONLY };

struct weir_hcm {
    struct weir_str stat_prefix; /* as configured */
    struct weir_stats *stats, *listener_stats;
    struct weir_stats *h1_stats, *h2_stats; /* of all downstream codecs of a kind: http1., http2.; NULL: not counted */
    enum weir_hcm_codec codec_type;
    struct weir_codec_config codec;

    /* Routes: inline, or by slot of the worker's snapshot (RDS). */
    const struct weir_route_table *routes; /* NULL: by slot */
    uint32_t route_table_slot;

    struct weir_hcm_chain filters;
    uint32_t upgrade_count;
    const struct weir_hcm_upgrade *upgrades;

    /* Times in milliseconds, 0: none. */
    uint64_t request_timeout_ms, request_headers_timeout_ms, stream_idle_timeout_ms, idle_timeout_ms, max_connection_duration_ms;
    uint64_t max_stream_duration_ms, drain_timeout_ms;
    uint64_t delayed_close_timeout_ms; /* how long a client may still send after our FIN; 0: not at all */
    uint64_t h2_ping_interval_ms, h2_ping_timeout_ms; /* Http2ProtocolOptions.connection_keepalive */
    uint32_t h2_ping_jitter_percent;                  /* of the interval, at most that much more */
    uint32_t max_requests_per_connection;

    /* Who the client is, and what is said of it upstream. */
    bool use_remote_address, skip_xff_append, append_x_forwarded_port;
    uint32_t xff_num_trusted_hops;
    uint32_t internal_cidr_count;
    const struct weir_cidr *internal_cidrs;
    bool internal_unix_sockets;
    enum weir_hcm_client_cert client_cert;
    bool xfcc_subject, xfcc_uri, xfcc_dns;
    struct weir_str local_ip;         /* stands for a loopback peer in x-forwarded-for, as Envoy does */
    struct weir_str scheme_overwrite; /* scheme_header_transformation; empty: none */
    bool generate_request_id, preserve_external_request_id, always_set_request_id_in_response;
    bool add_user_agent;
    struct weir_str node_cluster, node_id;
    struct weir_str via, server_name;
    enum weir_hcm_server server_transformation;
    bool proxy_100_continue;
    bool stream_error_on_invalid_message;

    struct weir_path_rules path;
    struct weir_host_rules host;

    struct weir_reply_config local_reply;
    uint32_t access_log_count;
    const struct weir_access_sink *access_logs;
};

#endif
