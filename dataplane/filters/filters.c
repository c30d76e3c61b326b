/* The registry of HTTP filters, and what a route's typed_per_filter_config is to them. */
#include "dataplane/filters/filters.h"

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"

static const struct weir_http_filter *const filters[] = {
    &weir_filter_router,
    &weir_filter_header_mutation,
    &weir_filter_cors,
    &weir_filter_health_check,
    &weir_filter_grpc_stats,
    &weir_filter_grpc_web,
    &weir_filter_buffer,
    &weir_filter_local_ratelimit,
};

const struct weir_http_filter *weir_http_filter_of_type(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (filters[i]->config_type == type) return filters[i];
    }
    return NULL;
}
static const struct weir_http_filter *of_route_type(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (filters[i]->route_config_type == type) return filters[i];
    }
    return NULL;
}
/* Whether it holds a message that some filter takes on a route. */
static bool known(struct weir_compile *c, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *type = weir_compile_any_type(c, any);
    return type != NULL && of_route_type(type) != NULL;
}

static enum weir_err compile_typed(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_filter_route_config *out)
{
    const struct weir_http_filter *filter = of_route_type(msg->descriptor);
    if (filter == NULL) return weir_reject(c, NULL, "%s is no filter's configuration of a route", msg->descriptor->name);
    out->filter = filter;
    if (filter->compile_route == NULL) return WEIR_OK;
    return filter->compile_route(c, msg, &out->config);
}
static enum weir_err compile_route(struct weir_compile *c, struct weir_str filter_name, const void *any, struct weir_filter_route_config *out)
{
    const ProtobufCMessage *msg;
    *out = (struct weir_filter_route_config){.filter_name = filter_name};
    enum weir_err err = weir_compile_any(c, NULL, any, &msg);
    if (err != WEIR_OK) return err;
    if (msg->descriptor != &pb_filter_config_type) return compile_typed(c, msg, out);

    const pb_filter_config *fc = (const pb_filter_config *)(const void *)msg;
    out->disabled = fc->disabled;
    if (fc->disabled) return WEIR_OK;
    if (fc->config == NULL) return weir_reject(c, "config", "is required where the filter is not disabled");
    if (fc->is_optional && !known(c, fc->config)) return WEIR_OK;
    size_t mark = weir_path_push(c, "config", -1);
    err = weir_compile_any(c, NULL, fc->config, &msg);
    if (err == WEIR_OK) err = compile_typed(c, msg, out);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}
const struct weir_compile_filters weir_filters_for_routes = {.compile_route = compile_route};
