/* Holds a request until all of it is there (envoy.filters.http.buffer); one that is larger than max_request_bytes gets 413. */
#include "dataplane/base/pb_names.h"
#include "dataplane/filters/filters.h"

struct config {
    bool disabled; /* on a route */
    uint64_t max_request_bytes;
};

static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    (void)stat_prefix;
    struct config *config = weir_new(c, struct config, 1);
    config->max_request_bytes = ((const pb_buffer_filter *)(const void *)msg)->max_request_bytes->value;
    *out = config;
    return WEIR_OK;
}
static enum weir_err compile_route(struct weir_compile *c, const ProtobufCMessage *msg, const void **out)
{
    const pb_buffer_per_route *pb = (const pb_buffer_per_route *)(const void *)msg;
    if (pb->override_case == ENVOY__EXTENSIONS__FILTERS__HTTP__BUFFER__V3__BUFFER_PER_ROUTE__OVERRIDE_BUFFER)
        return compile(c, &pb->buffer->base, (struct weir_str){0}, out);
    struct config *config = weir_new(c, struct config, 1);
    config->disabled = pb->disabled;
    *out = config;
    return WEIR_OK;
}

static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    const struct config *config = f->route_config != NULL ? f->route_config : f->config;
    /* What flows through an upgrade has no end to wait for. */
    if (end || config->disabled || weir_stream_is_upgrade(s)) return WEIR_CONTINUE;
    weir_stream_set_request_limit(s, config->max_request_bytes);
    *(bool *)f->state = true;
    return WEIR_PAUSE_AND_BUFFER;
}
static enum weir_verdict on_request_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    const struct config *config = f->route_config != NULL ? f->route_config : f->config;
    if (!*(const bool *)f->state) return WEIR_CONTINUE;
    uint64_t bytes = weir_stream_request_buffer(s, f)->bytes + data->bytes;
    if (!end || bytes > config->max_request_bytes) return WEIR_PAUSE_AND_BUFFER;
    struct weir_headers *h = weir_stream_request_headers(s);
    if (weir_headers_find(h, WEIR_H_CONTENT_LENGTH) == NULL) weir_headers_set_int(h, WEIR_H_CONTENT_LENGTH, bytes);
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_buffer = {
    .name = "envoy.filters.http.buffer",
    .config_type = &pb_buffer_filter_type,
    .route_config_type = &pb_buffer_per_route_type,
    .state_size = sizeof(bool), /* this request is held */
    .compile = compile,
    .compile_route = compile_route,
    .on_request_headers = on_request_headers,
    .on_request_data = on_request_data,
};
