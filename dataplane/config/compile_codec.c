/* Codec options from their messages. */
#include "dataplane/config/compile_codec.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/limits.h"

enum weir_err weir_codec_h1_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_codec_config *out)
{
    const pb_http1_protocol_options *o = pb;
    out->h1_allow_absolute_url = true;
    if (o == NULL) return WEIR_OK;
    if (o->allow_absolute_url != NULL) out->h1_allow_absolute_url = o->allow_absolute_url->value;
    out->h1_accept_http_10 = o->accept_http_10;
    out->h1_default_host = weir_compile_str(c, o->default_host_for_http_10);
    out->h1_enable_trailers = o->enable_trailers;
    out->h1_allow_chunked_length = o->allow_chunked_length;
    out->h1_send_absolute_url = o->send_fully_qualified_url;
    out->h1_allow_custom_methods = o->allow_custom_methods;
    if (o->header_key_format == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, field, -1);
    if (o->header_key_format->header_format_case !=
        ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_PROPER_CASE_WORDS)
        return weir_reject(c, "header_key_format", "only proper_case_words is supported");
    weir_path_pop(c, mark);
    out->h1_proper_case = true;
    return WEIR_OK;
}

/* A bound of the API where a configured 0 means none at all. */
static uint32_t bound(const Google__Protobuf__UInt32Value *v)
{
    if (v == NULL) return 0;
    return v->value != 0 ? v->value : UINT32_MAX;
}

enum weir_err weir_codec_h2_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_codec_config *out)
{
    const pb_http2_protocol_options *o = pb;
    (void)c;
    (void)field;
    if (o == NULL) return WEIR_OK;
    out->h2_max_concurrent_streams = bound(o->max_concurrent_streams);
    out->h2_stream_window = bound(o->initial_stream_window_size);
    out->h2_connection_window = bound(o->initial_connection_window_size);
    out->h2_header_table_size = bound(o->hpack_table_size);
    out->h2_max_outbound_frames = bound(o->max_outbound_frames);
    out->h2_max_outbound_control_frames = bound(o->max_outbound_control_frames);
    out->h2_max_inbound_empty_frames = bound(o->max_consecutive_inbound_frames_with_empty_payload);
    out->h2_max_inbound_priority_per_stream = bound(o->max_inbound_priority_frames_per_stream);
    out->h2_max_inbound_window_update_per_data = bound(o->max_inbound_window_update_frames_per_data_frame_sent);
    out->h2_allow_connect = o->allow_connect;
    out->h2_allow_metadata = o->allow_metadata;
    out->h2_override_stream_error = o->override_stream_error_on_invalid_http_message != NULL
                                        ? o->override_stream_error_on_invalid_http_message->value
                                        : o->stream_error_on_invalid_http_messaging;
    return WEIR_OK;
}

void weir_codec_common_compile(const void *pb, uint32_t header_kib_default, struct weir_codec_config *out)
{
    const pb_http_protocol_options *o = pb;
    out->header_bytes_max = header_kib_default * 1024u;
    out->header_count_max = WEIR_HEADERS_COUNT_DEFAULT;
    if (o == NULL) return;
    if (o->max_headers_count != NULL) out->header_count_max = o->max_headers_count->value;
    if (o->max_response_headers_kb != NULL) out->header_bytes_max = o->max_response_headers_kb->value * 1024u;
    if (o->max_requests_per_connection != NULL) out->max_requests_per_connection = o->max_requests_per_connection->value;
    switch (o->headers_with_underscores_action) {
    case ENVOY__CONFIG__CORE__V3__HTTP_PROTOCOL_OPTIONS__HEADERS_WITH_UNDERSCORES_ACTION__REJECT_REQUEST:
        out->underscores = WEIR_UNDERSCORE_REJECT;
        break;
    case ENVOY__CONFIG__CORE__V3__HTTP_PROTOCOL_OPTIONS__HEADERS_WITH_UNDERSCORES_ACTION__DROP_HEADER:
        out->underscores = WEIR_UNDERSCORE_DROP;
        break;
    default: out->underscores = WEIR_UNDERSCORE_ALLOW; break;
    }
}

uint32_t weir_ping_jitter_percent(const void *keepalive_settings)
{
    const Envoy__Config__Core__V3__KeepaliveSettings *k = keepalive_settings;
    if (k->interval_jitter == NULL || !(k->interval_jitter->value >= 0 && k->interval_jitter->value <= 100)) return 15;
    return (uint32_t)k->interval_jitter->value;
}
