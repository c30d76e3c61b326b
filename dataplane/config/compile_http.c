/* The HTTP connection manager from its message, part by part. Every default is Envoy's. */
#include "dataplane/config/compile_http.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/h1_stats.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/config/compile_codec.h"
#include "dataplane/config/compile_types.h"
#include "dataplane/config/source_stats.h"
#include "dataplane/filters/filters.h"
#include "dataplane/limits.h"
#include "dataplane/observe/access_log.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb-c.h"

#define STREAM_IDLE_TIMEOUT_MS_DEFAULT 300000u
#define IDLE_TIMEOUT_MS_DEFAULT 3600000u
#define DRAIN_TIMEOUT_MS_DEFAULT 5000u
#define DELAYED_CLOSE_TIMEOUT_MS_DEFAULT 1000u

#define HCM(name) ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__##name

static bool flag(const Google__Protobuf__BoolValue *v, bool otherwise)
{
    return v != NULL ? v->value : otherwise;
}

static void release_stats(void *set)
{
    weir_stats_release(set);
}
static struct weir_stats *stats_of(struct weir_compile *c, struct weir_str prefix, const struct weir_stat_desc *descs, uint32_t count)
{
    struct weir_stats *set = weir_stats_acquire(c->stats, prefix, descs, count);
    weir_arena_on_destroy(c->arena, release_stats, set);
    return set;
}
static void compile_stats(struct weir_compile *c, const struct weir_listener_facts *l, struct weir_str http_prefix, struct weir_hcm *out)
{
    if (c->stats == NULL) return;
    out->stats = stats_of(c, http_prefix, weir_http_stat_descs, WEIR_HTTP_STAT_COUNT);
    struct weir_str prefix = weir_arena_printf(c->scratch, "%.*s%.*s", WEIR_STR_ARG(l->stat_prefix), WEIR_STR_ARG(http_prefix));
    out->listener_stats = stats_of(c, prefix, weir_http_listener_stat_descs, WEIR_HTTP_LISTENER_STAT_COUNT);
    out->h1_stats = stats_of(c, WEIR_STR("http1."), weir_h1_stat_descs, WEIR_H1_STAT_COUNT);
    out->h2_stats = stats_of(c, WEIR_STR("http2."), weir_h2_stat_descs, WEIR_H2_STAT_COUNT);
}

static enum weir_err compile_codec(struct weir_compile *c, const pb_hcm *pb, const struct weir_listener_facts *l, struct weir_hcm *out)
{
    switch (pb->codec_type) {
    case HCM(CODEC_TYPE__AUTO): out->codec_type = WEIR_HCM_AUTO; break;
    case HCM(CODEC_TYPE__HTTP1): out->codec_type = WEIR_HCM_HTTP1; break;
    case HCM(CODEC_TYPE__HTTP2): out->codec_type = WEIR_HCM_HTTP2; break;
    default: return weir_reject(c, "codec_type", "HTTP3 is not supported");
    }
    uint32_t header_kib = pb->max_request_headers_kb != NULL ? pb->max_request_headers_kb->value : WEIR_REQUEST_HEADERS_KIB_DEFAULT;
    struct weir_codec_config *codec = &out->codec;
    weir_codec_common_compile(pb->common_http_protocol_options, header_kib, codec);
    codec->header_bytes_max = header_kib * 1024u; /* max_response_headers_kb is for upstreams */
    codec->stream_high_water = l->buffer_limit_bytes;
    codec->stream_low_water = l->buffer_limit_bytes / 2;
    enum weir_err err = weir_codec_h1_compile(c, "http_protocol_options", pb->http_protocol_options, codec);
    if (err == WEIR_OK) err = weir_codec_h2_compile(c, "http2_protocol_options", pb->http2_protocol_options, codec);
    if (err != WEIR_OK) return err;

    const pb_http1_protocol_options *h1 = pb->http_protocol_options;
    const pb_http2_protocol_options *h2 = pb->http2_protocol_options;
    bool lenient = flag(pb->stream_error_on_invalid_http_message, false);
    out->stream_error_on_invalid_message = flag(h1 != NULL ? h1->override_stream_error_on_invalid_http_message : NULL, lenient);
    /* The protocol's own word, then the manager's, then the deprecated field, which the codec has read. */
    if (pb->stream_error_on_invalid_http_message != NULL && (h2 == NULL || h2->override_stream_error_on_invalid_http_message == NULL))
        codec->h2_override_stream_error = lenient;
    if (h2 != NULL && h2->connection_keepalive != NULL) {
        out->h2_ping_interval_ms = weir_duration_ms(h2->connection_keepalive->interval, 0);
        out->h2_ping_timeout_ms = weir_duration_ms(h2->connection_keepalive->timeout, 0);
        out->h2_ping_jitter_percent = weir_ping_jitter_percent(h2->connection_keepalive);
    }
    out->max_requests_per_connection = codec->max_requests_per_connection;
    return WEIR_OK;
}

static void compile_times(const pb_hcm *pb, struct weir_hcm *out)
{
    const pb_http_protocol_options *common = pb->common_http_protocol_options;
    out->request_timeout_ms = weir_duration_ms(pb->request_timeout, 0);
    out->request_headers_timeout_ms = weir_duration_ms(pb->request_headers_timeout, 0);
    out->stream_idle_timeout_ms = weir_duration_ms(pb->stream_idle_timeout, STREAM_IDLE_TIMEOUT_MS_DEFAULT);
    out->drain_timeout_ms = weir_duration_ms(pb->drain_timeout, DRAIN_TIMEOUT_MS_DEFAULT);
    out->delayed_close_timeout_ms = weir_duration_ms(pb->delayed_close_timeout, DELAYED_CLOSE_TIMEOUT_MS_DEFAULT);
    out->idle_timeout_ms = weir_duration_ms(common != NULL ? common->idle_timeout : NULL, IDLE_TIMEOUT_MS_DEFAULT);
    out->max_connection_duration_ms = weir_duration_ms(common != NULL ? common->max_connection_duration : NULL, 0);
    out->max_stream_duration_ms = weir_duration_ms(common != NULL ? common->max_stream_duration : NULL, 0);
}

/* Envoy's colons become underscores where a name is made part of another. */
static struct weir_stats *rds_stats(struct weir_compile *c, const pb_hcm *pb)
{
    char *name = (char *)(uintptr_t)weir_arena_str(c->scratch, weir_str_of(pb->rds->route_config_name)).p, *to = name;
    for (const char *at = name; *at != '\0'; at++) {
        *to++ = *at == ':' ? '_' : *at;
        if (*at == ':' && at[1] == '/') at += at[2] == '/' ? 2 : 1;
    }
    *to = '\0';
    return stats_of(c, weir_arena_printf(c->scratch, "http.%s.rds.%s.", pb->stat_prefix, name), weir_rds_stat_descs, WEIR_RDS_COUNT);
}

static enum weir_err compile_routes(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    if (pb->route_specifier_case == HCM(ROUTE_SPECIFIER_ROUTE_CONFIG)) {
        struct weir_route_table *table;
        size_t mark = weir_path_push(c, "route_config", -1);
        enum weir_err err = weir_route_table_compile(c, &pb->route_config->base, &weir_filters_for_routes, &table);
        if (err == WEIR_OK) weir_path_pop(c, mark);
        out->routes = table;
        return err;
    }
    if (pb->route_specifier_case != HCM(ROUTE_SPECIFIER_RDS)) return weir_reject(c, "route_specifier", "rds or route_config is required");
    size_t mark = weir_path_push(c, "rds", -1);
    if (pb->rds->route_config_name[0] == 0) return weir_reject(c, "route_config_name", "is required");
    const pb_config_source *source = pb->rds->config_source;
    enum weir_err err = weir_ads_source_check(c, "config_source", source);
    if (err != WEIR_OK) return err;
    uint64_t wait_ms = source != NULL ? weir_duration_ms(source->initial_fetch_timeout, WEIR_INITIAL_FETCH_TIMEOUT_MS_DEFAULT)
                                      : WEIR_INITIAL_FETCH_TIMEOUT_MS_DEFAULT;
    struct weir_stats *stats = c->stats != NULL ? rds_stats(c, pb) : NULL;
    out->route_table_slot = c->names->route_table_slot(c->names->ctx, weir_compile_str(c, pb->rds->route_config_name), wait_ms, stats);
    weir_path_pop(c, mark);
    return WEIR_OK;
}

static enum weir_err compile_internal(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__InternalAddressConfig *internal =
        pb->internal_address_config;
    if (internal == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "internal_address_config", -1);
    struct weir_cidr *cidrs = weir_new(c, struct weir_cidr, internal->n_cidr_ranges);
    for (size_t i = 0; i < internal->n_cidr_ranges; i++) {
        const pb_cidr_range *range = internal->cidr_ranges[i];
        struct weir_str ip = weir_str_of(range->address_prefix);
        if (!weir_cidr_make(ip, range->prefix_len != NULL ? range->prefix_len->value : 0, &cidrs[i])) {
            (void)weir_path_push(c, "cidr_ranges", (int)i);
            return weir_reject(c, NULL, "'%s' is no address range", range->address_prefix);
        }
    }
    out->internal_unix_sockets = internal->unix_sockets;
    out->internal_cidr_count = (uint32_t)internal->n_cidr_ranges;
    out->internal_cidrs = cidrs;
    weir_path_pop(c, mark);
    return WEIR_OK;
}
static enum weir_err compile_client(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    out->use_remote_address = flag(pb->use_remote_address, false);
    out->skip_xff_append = pb->skip_xff_append;
    out->xff_num_trusted_hops = pb->xff_num_trusted_hops;
    out->append_x_forwarded_port = pb->append_x_forwarded_port;
    switch (pb->forward_client_cert_details) {
    case HCM(FORWARD_CLIENT_CERT_DETAILS__FORWARD_ONLY): out->client_cert = WEIR_XFCC_FORWARD_ONLY; break;
    case HCM(FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD): out->client_cert = WEIR_XFCC_APPEND_FORWARD; break;
    case HCM(FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET): out->client_cert = WEIR_XFCC_SANITIZE_SET; break;
    case HCM(FORWARD_CLIENT_CERT_DETAILS__ALWAYS_FORWARD_ONLY): out->client_cert = WEIR_XFCC_ALWAYS_FORWARD_ONLY; break;
    default: out->client_cert = WEIR_XFCC_SANITIZE; break;
    }
    if (pb->set_current_client_cert_details != NULL) {
        out->xfcc_subject = flag(pb->set_current_client_cert_details->subject, false);
        out->xfcc_uri = pb->set_current_client_cert_details->uri;
        out->xfcc_dns = pb->set_current_client_cert_details->dns;
    }
    out->generate_request_id = flag(pb->generate_request_id, true);
    out->preserve_external_request_id = pb->preserve_external_request_id;
    out->always_set_request_id_in_response = pb->always_set_request_id_in_response;
    out->add_user_agent = flag(pb->add_user_agent, false);
    if (c->node != NULL) {
        out->local_ip = weir_arena_str(c->arena, c->node->local_ip);
        out->node_cluster = weir_arena_str(c->arena, c->node->cluster);
        out->node_id = weir_arena_str(c->arena, c->node->id);
    }
    if (pb->request_id_extension != NULL) {
        const ProtobufCMessage *msg;
        size_t mark = weir_path_push(c, "request_id_extension", -1);
        enum weir_err err = weir_compile_any(c, "typed_config", pb->request_id_extension->typed_config, &msg);
        if (err != WEIR_OK) return err;
        if (msg->descriptor != &envoy__extensions__request_id__uuid__v3__uuid_request_id_config__descriptor)
            return weir_reject(c, "typed_config", "%s makes no request ids", msg->descriptor->name);
        weir_path_pop(c, mark);
    }
    return compile_internal(c, pb, out);
}

static enum weir_err compile_normalisation(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    bool by_runtime = weir_runtime_bool(c->runtime, WEIR_STR("http_connection_manager.normalize_path"), false);
    out->path.normalize = flag(pb->normalize_path, by_runtime);
    out->path.merge_slashes = pb->merge_slashes;
    switch (pb->path_with_escaped_slashes_action) {
    case HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__REJECT_REQUEST): out->path.escaped_slashes = WEIR_SLASHES_REJECT; break;
    case HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_REDIRECT): out->path.escaped_slashes = WEIR_SLASHES_REDIRECT; break;
    case HCM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_FORWARD): out->path.escaped_slashes = WEIR_SLASHES_UNESCAPE; break;
    default: out->path.escaped_slashes = WEIR_SLASHES_KEEP; break;
    }
    out->host.strip_any_port = pb->strip_port_mode_case == HCM(STRIP_PORT_MODE_STRIP_ANY_HOST_PORT) && pb->strip_any_host_port;
    out->host.strip_matching_port = pb->strip_matching_host_port;
    if (out->host.strip_any_port && out->host.strip_matching_port)
        return weir_reject(c, "strip_matching_host_port", "strip_any_host_port is set too");
    out->host.strip_trailing_dot = pb->strip_trailing_host_dot;
    if (pb->scheme_header_transformation != NULL && pb->scheme_header_transformation->transformation_case ==
            ENVOY__CONFIG__CORE__V3__SCHEME_HEADER_TRANSFORMATION__TRANSFORMATION_SCHEME_TO_OVERWRITE)
        out->scheme_overwrite = weir_compile_str(c, pb->scheme_header_transformation->scheme_to_overwrite);
    return WEIR_OK;
}

static enum weir_err compile_upgrades(struct weir_compile *c, const pb_hcm *pb, struct weir_str stat_prefix, struct weir_hcm *out)
{
    struct weir_hcm_upgrade *upgrades = weir_new(c, struct weir_hcm_upgrade, pb->n_upgrade_configs);
    for (size_t i = 0; i < pb->n_upgrade_configs; i++) {
        const pb_hcm_upgrade *u = pb->upgrade_configs[i];
        size_t mark = weir_path_push(c, "upgrade_configs", (int)i);
        upgrades[i].config.type = weir_compile_str(c, u->upgrade_type);
        upgrades[i].config.enabled = flag(u->enabled, true);
        for (size_t k = 0; k < i; k++) {
            if (weir_str_eq_nocase(upgrades[k].config.type, upgrades[i].config.type))
                return weir_reject(c, "upgrade_type", "'%s' stands twice", u->upgrade_type);
        }
        if (u->n_filters > 0) {
            struct weir_hcm_chain *chain = weir_new(c, struct weir_hcm_chain, 1);
            enum weir_err err = weir_hcm_chain_compile(c, "filters", u->n_filters, (void *const *)u->filters, stat_prefix, chain);
            if (err != WEIR_OK) return err;
            upgrades[i].chain = chain;
        }
        weir_path_pop(c, mark);
    }
    out->upgrade_count = (uint32_t)pb->n_upgrade_configs;
    out->upgrades = upgrades;
    return WEIR_OK;
}

static void write_access_logs(const void *config, struct weir_worker *w, const struct weir_request *r, struct weir_str local_reply_body)
{
    (void)local_reply_body; /* of replies alone, not of logs */
    weir_access_logs_write(config, r, w->snapshot.runtime, w->index);
}
static enum weir_err compile_access_logs(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    struct weir_access_logs *logs = weir_new(c, struct weir_access_logs, 1);
    enum weir_err err = weir_access_logs_compile(c, "access_log", pb->n_access_log, (void *const *)pb->access_log, logs);
    if (err != WEIR_OK || logs->count == 0) return err;
    struct weir_access_sink *sink = weir_new(c, struct weir_access_sink, 1);
    *sink = (struct weir_access_sink){.write = write_access_logs, .config = logs};
    out->access_log_count = 1;
    out->access_logs = sink;
    return WEIR_OK;
}

static void compile_server(struct weir_compile *c, const pb_hcm *pb, struct weir_hcm *out)
{
    out->server_name = pb->server_name[0] != 0 ? weir_compile_str(c, pb->server_name) : WEIR_STR("envoy");
    out->via = weir_compile_str(c, pb->via);
    out->proxy_100_continue = pb->proxy_100_continue;
    switch (pb->server_header_transformation) {
    case HCM(SERVER_HEADER_TRANSFORMATION__APPEND_IF_ABSENT): out->server_transformation = WEIR_SERVER_APPEND_IF_ABSENT; break;
    case HCM(SERVER_HEADER_TRANSFORMATION__PASS_THROUGH): out->server_transformation = WEIR_SERVER_PASS_THROUGH; break;
    default: out->server_transformation = WEIR_SERVER_OVERWRITE; break;
    }
}

enum weir_err weir_hcm_compile(struct weir_compile *c, const ProtobufCMessage *message, const struct weir_listener_facts *l,
                               const void **out)
{
    const pb_hcm *pb = (const pb_hcm *)(const void *)message;
    struct weir_hcm *hcm = weir_new(c, struct weir_hcm, 1);
    *out = hcm;
    hcm->stat_prefix = weir_compile_str(c, pb->stat_prefix);
    struct weir_str http_prefix = weir_arena_printf(c->arena, "http.%s.", pb->stat_prefix);
    compile_stats(c, l, http_prefix, hcm);
    compile_times(pb, hcm);
    compile_server(c, pb, hcm);
    enum weir_err err = compile_codec(c, pb, l, hcm);
    if (err == WEIR_OK) err = compile_client(c, pb, hcm);
    if (err == WEIR_OK) err = compile_normalisation(c, pb, hcm);
    if (err == WEIR_OK)
        err = weir_hcm_chain_compile(c, "http_filters", pb->n_http_filters, (void *const *)pb->http_filters, http_prefix, &hcm->filters);
    if (err == WEIR_OK) err = compile_upgrades(c, pb, http_prefix, hcm);
    if (err == WEIR_OK) err = compile_routes(c, pb, hcm);
    if (err == WEIR_OK) err = compile_access_logs(c, pb, hcm);
    if (err == WEIR_OK) err = weir_local_reply_compile(c, pb->local_reply_config, &hcm->local_reply);
    return err;
}
