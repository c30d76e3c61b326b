/* The four resource types as the compile job sees them, and the decoding that all of them share. */
#ifndef WEIR_CONFIG_COMPILE_TYPES_H
#define WEIR_CONFIG_COMPILE_TYPES_H

#include "dataplane/base/compile.h"
#include "xds/resource_type.h"

struct weir_compile_type {
    const ProtobufCMessageDescriptor *descriptor;
    /* c->arena and c->resource are not set yet: the function makes its resource (weir_resource_create) and hands one
     * reference over, or none when it fails. */
    enum weir_err (*compile)(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *msg, struct weir_resource **out);
};
extern const struct weir_compile_type weir_compile_types[WEIR_RESOURCE_TYPES];

/* Pre-walk, unpack, validate the API's rules, check the support classes. The error names the field path. `log` may be NULL. */
enum weir_err weir_config_decode(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str packed,
                                 struct weir_support_log *log, ProtobufCMessage **out, struct weir_error *e) WEIR_MUST_USE;
/* The same checks on a message that is unpacked already (bootstrap). */
enum weir_err weir_config_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *e) WEIR_MUST_USE;
/* Where endpoints and routes come from: a ConfigSource that is not the ADS stream is refused by the name of its kind. NULL passes. */
enum weir_err weir_ads_source_check(struct weir_compile *c, const char *field, const void *config_source) WEIR_MUST_USE;

#endif
