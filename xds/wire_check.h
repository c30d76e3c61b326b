/* The walk over protobuf wire bytes that comes before unpacking: everything that a peer sends passes it, and unpacking then
 * has nothing left to refuse. It is driven by the descriptors, allocates nothing, and its time is linear in the bytes.
 *
 * Refused: truncated and malformed fields, tags beyond five bytes or 2^29, wire types that do not fit a known field, strings
 * that are not UTF-8 or hold NUL, a singular message sent twice (senders do not, and merging it hides faults), nesting
 * beyond WEIR_PB_DEPTH_MAX, more than WEIR_PB_EXPANDED_BYTES_MAX when unpacked. Unknown fields are skipped and counted,
 * groups among them. What an Any holds is bytes here: check it when it is unpacked. */
#ifndef WEIR_XDS_WIRE_CHECK_H
#define WEIR_XDS_WIRE_CHECK_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

/* Unknown fields that one message holds by itself: its type, and their numbers in the order in which they stand. */
#define WEIR_WIRE_UNKNOWN_NUMBERS 16
struct weir_wire_unknown {
    const ProtobufCMessageDescriptor *type;
    uint32_t count; /* of numbers; further ones are left out */
    uint32_t numbers[WEIR_WIRE_UNKNOWN_NUMBERS];
};
#define WEIR_WIRE_UNKNOWN_MAX 16
struct weir_wire_report {
    size_t unknown_fields;
    size_t unpacked_bytes; /* what unpacking will take, each allocation rounded up to 16 */
    uint32_t unknown_count; /* of `unknown`: the first messages with unknown fields, each kind once */
    struct weir_wire_unknown unknown[WEIR_WIRE_UNKNOWN_MAX];
};

/* report may be NULL. The error reads "FIELD PATH: reason (byte N of MESSAGE)". */
enum weir_err weir_wire_check(const ProtobufCMessageDescriptor *type, struct weir_str bytes, struct weir_wire_report *report,
                              struct weir_error *error) WEIR_MUST_USE;

/* Checks, then unpacks into the arena; report may be NULL. *out borrows nothing from `bytes` and is never freed by protobuf-c: it goes with the
 * arena. Unknown fields are dropped. Among the members of a oneof the last one sent holds; strings that are set are never
 * protobuf_c_empty_string, so that presence survives packing. LIMIT when the arena's cap does not suffice. */
enum weir_err weir_pb_decode_reported(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str bytes,
                                      struct weir_wire_report *report, ProtobufCMessage **out, struct weir_error *error) WEIR_MUST_USE;
enum weir_err weir_pb_decode(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str bytes,
                             ProtobufCMessage **out, struct weir_error *error) WEIR_MUST_USE;

#endif
