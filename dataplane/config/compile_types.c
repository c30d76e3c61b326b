/* The table of resource types, and the checks before every compile function. */
#include "dataplane/config/compile_types.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/config.h"
#include "dataplane/config/compile_cluster.h"
#include "dataplane/config/support.h"
#include "dataplane/config/validate.h"
#include "xds/wire_check.h"

enum weir_err weir_config_check(const ProtobufCMessage *m, struct weir_error *e)
{
    enum weir_err err = weir_validate(m, e);
    return err != WEIR_OK ? err : weir_support_check(m, NULL, e);
}

enum weir_err weir_config_decode(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str packed,
                                 ProtobufCMessage **out, struct weir_error *e)
{
    enum weir_err err = weir_pb_decode(arena, type, packed, out, e);
    return err != WEIR_OK ? err : weir_config_check(*out, e);
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
