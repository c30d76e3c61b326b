/* What a cluster says of HTTP: typed_extension_protocol_options, and the deprecated fields of Cluster that say the same. */
#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_cluster.h"
#include "dataplane/config/compile_codec.h"
#include "dataplane/config/compile_route.h"
#include "dataplane/limits.h"

#define IDLE_TIMEOUT_MS_DEFAULT 3600000u
#define H1_RESPONSE_HEADERS_KIB_DEFAULT 80u

struct http_options {
    const pb_http_protocol_options *common;
    const pb_upstream_http_protocol_options *upstream;
    const pb_http1_protocol_options *h1;
    const pb_http2_protocol_options *h2;
};

static void keepalive_compile(const Envoy__Config__Core__V3__KeepaliveSettings *k, struct weir_cluster_config *out)
{
    if (k == NULL) return;
    out->h2_ping_interval_ms = weir_duration_ms(k->interval, 0);
    out->h2_ping_timeout_ms = weir_duration_ms(k->timeout, 0);
    out->h2_ping_idle_ms = weir_duration_ms(k->connection_idle_interval, 0);
    out->h2_ping_jitter_percent = weir_ping_jitter_percent(k);
}

static enum weir_err options_apply(struct weir_compile *c, const struct http_options *o, struct weir_cluster_config *out)
{
    weir_codec_common_compile(o->common, H1_RESPONSE_HEADERS_KIB_DEFAULT, &out->h1);
    weir_codec_common_compile(o->common, WEIR_REQUEST_HEADERS_KIB_DEFAULT, &out->h2);
    enum weir_err err = weir_codec_h1_compile(c, "http_protocol_options", o->h1, &out->h1);
    if (err == WEIR_OK) err = weir_codec_h2_compile(c, "http2_protocol_options", o->h2, &out->h2);
    if (err != WEIR_OK) return err;
    /* A sender is held back when as much as the connection may buffer waits. */
    out->h1.stream_high_water = out->h2.stream_high_water = out->buffer_limit_bytes;
    out->h1.stream_low_water = out->h2.stream_low_water = out->buffer_limit_bytes / 2;
    out->h2_streams_max = WEIR_H2_CONCURRENT_STREAMS_DEFAULT;
    if (o->h2 != NULL && o->h2->max_concurrent_streams != NULL) out->h2_streams_max = o->h2->max_concurrent_streams->value;
    if (o->h2 != NULL) keepalive_compile(o->h2->connection_keepalive, out);
    out->idle_timeout_ms = IDLE_TIMEOUT_MS_DEFAULT;
    if (o->common != NULL) {
        out->idle_timeout_ms = weir_duration_ms(o->common->idle_timeout, IDLE_TIMEOUT_MS_DEFAULT);
        out->max_connection_duration_ms = weir_duration_ms(o->common->max_connection_duration, 0);
        out->max_stream_duration_ms = weir_duration_ms(o->common->max_stream_duration, 0);
        if (o->common->max_requests_per_connection != NULL)
            out->max_requests_per_connection = o->common->max_requests_per_connection->value;
    }
    /* The pool counts requests and knows what to do then; the codecs need not. */
    out->h1.max_requests_per_connection = out->h2.max_requests_per_connection = 0;
    if (o->upstream != NULL) {
        out->auto_sni = o->upstream->auto_sni;
        out->auto_san_validation = o->upstream->auto_san_validation;
        struct weir_str header = weir_compile_str(c, o->upstream->override_auto_sni_header);
        char *p = (char *)(uintptr_t)header.p;
        for (size_t i = 0; i < header.n; i++)
            if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] | 0x20);
        out->sni_header = header;
    }
    return WEIR_OK;
}

static enum weir_err typed_compile(struct weir_compile *c, const pb_upstream_http_options *h, struct weir_cluster_config *out)
{
    struct http_options o = {.common = h->common_http_protocol_options, .upstream = h->upstream_http_protocol_options};
    switch (h->upstream_protocol_options_case) {
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG:
        o.h1 = h->explicit_http_config->protocol_config_case ==
                       ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS
                   ? h->explicit_http_config->http_protocol_options
                   : NULL;
        out->protocol = WEIR_UPSTREAM_H1;
        if (h->explicit_http_config->protocol_config_case ==
            ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS) {
            o.h2 = h->explicit_http_config->http2_protocol_options;
            out->protocol = WEIR_UPSTREAM_H2;
        }
        break;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG:
        o.h1 = h->use_downstream_protocol_config->http_protocol_options;
        o.h2 = h->use_downstream_protocol_config->http2_protocol_options;
        out->protocol = WEIR_UPSTREAM_DOWNSTREAM;
        break;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_AUTO_CONFIG:
        o.h1 = h->auto_config->http_protocol_options;
        o.h2 = h->auto_config->http2_protocol_options;
        out->protocol = WEIR_UPSTREAM_AUTO;
        break;
    default: return weir_reject(c, "upstream_protocol_options", "one of its kinds is needed");
    }
    size_t mark = weir_path_push(c, "retry_policy", -1);
    enum weir_err err = weir_route_compile_retry(c, h->retry_policy, &out->retry);
    weir_path_pop(c, mark);
    return err == WEIR_OK ? options_apply(c, &o, out) : err;
}

static enum weir_err extension_compile(struct weir_compile *c, const pb_cluster *p, struct weir_cluster_config *out, bool *found)
{
    for (size_t i = 0; i < p->n_typed_extension_protocol_options; i++) {
        const Envoy__Config__Cluster__V3__Cluster__TypedExtensionProtocolOptionsEntry *e = p->typed_extension_protocol_options[i];
        size_t mark = weir_path_push(c, "typed_extension_protocol_options", -1);
        const ProtobufCMessage *m = NULL;
        enum weir_err err = weir_compile_any(c, e->key, e->value, &m);
        if (err != WEIR_OK) return err;
        (void)weir_path_push(c, e->key, -1);
        if (m->descriptor != &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor)
            return weir_reject(c, NULL, "%s is not supported", m->descriptor->name);
        *found = true;
        err = typed_compile(c, (const pb_upstream_http_options *)(const void *)m, out);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
    }
    return WEIR_OK;
}

enum weir_err weir_upstream_http_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_cluster_config *out)
{
    const pb_cluster *p = (const pb_cluster *)(const void *)pb;
    bool found = false;
    enum weir_err err = extension_compile(c, p, out, &found);
    if (err != WEIR_OK || found) return err;
    struct http_options o = {p->common_http_protocol_options, p->upstream_http_protocol_options, p->http_protocol_options,
                             p->http2_protocol_options};
    out->protocol = p->http2_protocol_options != NULL ? WEIR_UPSTREAM_H2 : WEIR_UPSTREAM_H1;
    if (p->protocol_selection == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_PROTOCOL_SELECTION__USE_DOWNSTREAM_PROTOCOL)
        out->protocol = WEIR_UPSTREAM_DOWNSTREAM;
    err = options_apply(c, &o, out);
    if (err == WEIR_OK && p->max_requests_per_connection != NULL)
        out->max_requests_per_connection = p->max_requests_per_connection->value;
    return err;
}
