/* Messages from trees and messages to JSON, by descriptor: the JSON mapping of protobuf 3 as Envoy reads and prints it.
 * Called for bootstrap and resource files, for admin's config_dump, and by weir-control-plane. */
#ifndef WEIR_XDS_PB_TREE_H
#define WEIR_XDS_PB_TREE_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/out.h"
#include "dataplane/base/pb_facts.h"
#include "xds/tree.h"

/* The message and all it points to live in the arena; do not free it with protobuf-c. An error says
 * "FILE:LINE:COLUMN: PATH: what was expected", for an unknown field the nearest known name too. */
enum weir_err weir_tree_to_pb(struct weir_arena *a, const char *file, const struct weir_tree *tree,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct weir_error *e) WEIR_MUST_USE;
/* The same, passing over fields that their message does not have: each is told of. */
struct weir_tree_unknown {
    void (*on_unknown)(void *ctx, const char *type, const char *path, const char *name);
    void *ctx;
};
enum weir_err weir_tree_to_pb_leniently(struct weir_arena *a, const char *file, const struct weir_tree *tree,
                                        const ProtobufCMessageDescriptor *type, const struct weir_tree_unknown *unknown,
                                        ProtobufCMessage **out, struct weir_error *e) WEIR_MUST_USE;
/* A map with @type: the packed google.protobuf.Any's parts. `value` lives in the arena. */
enum weir_err weir_tree_to_any(struct weir_arena *a, const char *file, const struct weir_tree *tree, struct weir_str *type_url,
                               ProtobufCBinaryData *value, struct weir_error *e) WEIR_MUST_USE;

struct weir_json_options {
    uint32_t indent; /* blanks a level, 0: compact */
    uint32_t level;  /* at which the value stands */
    bool redact;     /* sensitive fields print "[redacted]" */
};
/* Fields under their proto names, those at their default left out, as Envoy's admin prints. Any is expanded where its type
 * is known. */
void weir_pb_to_json(const ProtobufCMessage *m, const struct weir_json_options *o, struct weir_out *out);
/* The value of one field that is set (weir_pb_is_set), without its name; `field` is its index in the descriptor. */
void weir_pb_field_to_json(const ProtobufCMessage *m, unsigned field, const struct weir_json_options *o, struct weir_out *out);
/* A packed message (of an Any): false when the type is unknown or the bytes are broken, then nothing was added. */
bool weir_any_to_json(struct weir_str type_url, ProtobufCBinaryData value, const struct weir_json_options *o,
                      struct weir_out *out);

#endif
