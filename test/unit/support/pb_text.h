/* Messages for tests, written as JSON. */
#ifndef WEIR_TEST_UNIT_SUPPORT_PB_TEXT_H
#define WEIR_TEST_UNIT_SUPPORT_PB_TEXT_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"

/* The message in JSON (single quotes stand for double ones), in the arena; a fault of the text ends the test program. */
ProtobufCMessage *pb_text(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, const char *json);
/* Its wire bytes, in the arena. */
struct weir_str pb_pack(struct weir_arena *arena, const ProtobufCMessage *m);
struct weir_str pb_text_packed(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, const char *json);

/* A cluster and a listener with about every kind of field in them: nested Anys, maps, oneofs, wrappers, durations, lists. */
extern const char pb_text_cluster[];
extern const char pb_text_route_configuration[];

#endif
