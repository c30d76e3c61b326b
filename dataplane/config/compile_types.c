/* The table of resource types, and the checks before every compile function. */
#include "dataplane/config/compile_types.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/config.h"
#include "dataplane/config/compile_cluster.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/config/support.h"
#include "dataplane/config/validate.h"
#include "dataplane/filters/filters.h"
#include "xds/wire_check.h"

enum weir_err weir_config_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *e)
{
    enum weir_err err = weir_validate(m, e);
    return err != WEIR_OK ? err : weir_support_check(m, log, e);
}

enum weir_err weir_config_decode(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str packed,
                                 struct weir_support_log *log, ProtobufCMessage **out, struct weir_error *e)
{
    struct weir_wire_report report;
    enum weir_err err = weir_pb_decode_reported(arena, type, packed, &report, out, e);
    if (err == WEIR_OK && report.unknown_count > 0) err = weir_support_check_unknown(log, &report, e);
    return err != WEIR_OK ? err : weir_config_check(*out, log, e);
}

enum weir_err weir_ads_source_check(struct weir_compile *c, const char *field, const void *config_source)
{
    const pb_config_source *s = config_source;
    if (s == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, field, -1);
    if (s->config_source_specifier_case == ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH_CONFIG_SOURCE)
        return weir_reject(c, "path_config_source", "only listeners and clusters are taken from files, this comes by ads");
    if (s->resource_api_version == ENVOY__CONFIG__CORE__V3__API_VERSION__V2) return weir_reject(c, "resource_api_version", "only V3 is supported");
    weir_path_pop(c, mark);
    return WEIR_OK;
}

static enum weir_err cluster(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *msg, struct weir_resource **out)
{
    (void)name;
    struct weir_cluster_config *config = NULL;
    enum weir_err err = weir_cluster_compile(c, msg, &config);
    if (err == WEIR_OK) *out = &config->resource;
    return err;
}

static enum weir_err endpoints(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *msg, struct weir_resource **out)
{
    (void)name;
    struct weir_endpoints *e = NULL;
    enum weir_err err = weir_endpoints_compile(c, msg, &e);
    if (err == WEIR_OK) *out = &e->resource;
    return err;
}

static enum weir_err listener(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *msg, struct weir_resource **out)
{
    struct weir_listener_config *l = NULL;
    enum weir_err err = weir_listener_compile(c, name, msg, &l);
    if (err == WEIR_OK) *out = &l->resource;
    return err;
}

static enum weir_err routes(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *msg, struct weir_resource **out)
{
    (void)name;
    struct weir_route_table *t = NULL;
    enum weir_err err = weir_route_table_compile(c, msg, &weir_filters_for_routes, &t);
    if (err == WEIR_OK) *out = (struct weir_resource *)(void *)t;
    return err;
}

const struct weir_compile_type weir_compile_types[WEIR_RESOURCE_TYPES] = {
    [WEIR_CLUSTERS] = {&pb_cluster_type, cluster},
    [WEIR_ENDPOINTS] = {&pb_load_assignment_type, endpoints},
    [WEIR_LISTENERS] = {&pb_listener_type, listener},
    [WEIR_ROUTES] = {&pb_route_configuration_type, routes},
};
