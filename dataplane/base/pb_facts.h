/* What the API's .proto files say of messages and fields beyond the descriptors of protobuf-c: oneofs, maps, explicit
 * presence, marks, validation rules, support classes; and the registry of all messages by full name. The table is made at
 * build time by api/gen_facts.py from api/protos and api/support.txt; it is constant, so every thread may read it.
 *
 * Facts lie in lockstep with the descriptor: fact i of a message is about descriptor->fields[i]. Look a message up by name
 * or descriptor once, at the root or at an Any, and follow weir_pb_child() from there. */
#ifndef WEIR_BASE_PB_FACTS_H
#define WEIR_BASE_PB_FACTS_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/weir.h"

/* Messages with a meaning of their own, in JSON and in rules. */
enum weir_pb_kind {
    WEIR_PB_PLAIN,
    WEIR_PB_MAP_ENTRY, /* fields[0] is the key, fields[1] the value */
    WEIR_PB_WRAPPER,   /* google.protobuf.UInt32Value and so on: fields[0] is the value */
    WEIR_PB_DURATION,
    WEIR_PB_TIMESTAMP,
    WEIR_PB_STRUCT,
    WEIR_PB_VALUE,
    WEIR_PB_LIST_VALUE,
    WEIR_PB_ANY,
    WEIR_PB_FIELD_MASK,
    WEIR_PB_EMPTY,
};

enum weir_pb_flag {
    WEIR_PB_MAP = 1 << 0,      /* repeated, its child is a WEIR_PB_MAP_ENTRY */
    WEIR_PB_PRESENCE = 1 << 1, /* `optional` of proto3, written as a oneof of one: not a oneof for people */
    WEIR_PB_SENSITIVE = 1 << 2,
    WEIR_PB_DEPRECATED = 1 << 3,
    WEIR_PB_DISALLOWED = 1 << 4, /* refused unless a runtime key allows it */
    WEIR_PB_WORK_IN_PROGRESS = 1 << 5,
    WEIR_PB_CHECKED = 1 << 6, /* the validator has something to check in the field or below it */
};

/* What weir does with a field that is set (api/support.txt). */
enum weir_pb_support {
    WEIR_PB_REFUSED,
    WEIR_PB_IGNORED, /* weir_pb_note() says why that is harmless */
    WEIR_PB_HONOURED,
};

enum weir_pb_op {
    WEIR_PB_OP_END, /* ends the rules of a field */
    WEIR_PB_OP_REQUIRED,
    WEIR_PB_OP_SKIP,
    WEIR_PB_OP_IGNORE_EMPTY, /* stands before the rules it switches off */
    WEIR_PB_OP_DEFINED_ONLY,
    WEIR_PB_OP_UNIQUE,
    WEIR_PB_OP_IS_TRUE,
    WEIR_PB_OP_EITHER,  /* one of the next two rules must hold: an upper bound below the lower one */
    WEIR_PB_OP_MIN_LEN, /* value.u from here on */
    WEIR_PB_OP_MAX_LEN,
    WEIR_PB_OP_MAX_BYTES,
    WEIR_PB_OP_MIN_ITEMS,
    WEIR_PB_OP_MAX_ITEMS,
    WEIR_PB_OP_MIN_PAIRS,
    WEIR_PB_OP_GT, /* value by `number` from here on */
    WEIR_PB_OP_GTE,
    WEIR_PB_OP_LT,
    WEIR_PB_OP_LTE,
    WEIR_PB_OP_NOT_IN,
    WEIR_PB_OP_PREFIX, /* text from here on */
    WEIR_PB_OP_SUFFIX,
    WEIR_PB_OP_PATTERN,
    WEIR_PB_OP_IN, /* value.u strings from `text` on, each NUL-terminated */
    WEIR_PB_OP_HEADER_NAME, /* value.u: 1 strict, 2 lenient */
    WEIR_PB_OP_HEADER_VALUE,
};

/* What a rule is about. */
enum weir_pb_scope { WEIR_PB_ON_FIELD, WEIR_PB_ON_ITEMS, WEIR_PB_ON_KEYS, WEIR_PB_ON_VALUES };

/* Which member of `value` holds, by the type of the field (of a wrapper: of what it wraps). */
enum weir_pb_number { WEIR_PB_SIGNED, WEIR_PB_UNSIGNED, WEIR_PB_DOUBLE, WEIR_PB_NANOSECONDS };

struct weir_pb_rule {
    uint8_t op;     /* enum weir_pb_op */
    uint8_t scope;  /* enum weir_pb_scope */
    uint8_t number; /* enum weir_pb_number */
    uint32_t text;  /* weir_pb_text() */
    union {
        int64_t i; /* also WEIR_PB_NANOSECONDS */
        uint64_t u;
        double d;
    } value;
};

#define WEIR_PB_NONE 0xffffu

struct weir_pb_field {
    uint16_t child; /* message index, WEIR_PB_NONE for other types */
    uint16_t rules; /* index of the first rule; 0 is an END */
    uint16_t note;  /* weir_pb_note() */
    uint8_t oneof;  /* 1 + place among the message's oneofs, 0 for none */
    uint8_t flags;  /* enum weir_pb_flag */
    uint8_t support;
};

struct weir_pb_oneof {
    uint32_t name; /* weir_pb_text() */
    uint8_t required;
};

struct weir_pb_message {
    uint32_t reserved; /* weir_pb_text(): names that fields once had, separated by blanks */
    uint16_t fields, field_count;
    uint16_t oneofs;
    uint8_t oneof_count;
    uint8_t kind;  /* enum weir_pb_kind */
    uint8_t flags; /* WEIR_PB_WORK_IN_PROGRESS, WEIR_PB_DEPRECATED */
};

/* By full name ("envoy.config.cluster.v3.Cluster"), by type URL (what stands before the last '/' is not looked at), by
 * descriptor. NULL where weir does not know the message. Map entries are found too. */
const struct weir_pb_message *weir_pb_find(struct weir_str full_name);
const struct weir_pb_message *weir_pb_find_url(struct weir_str type_url);
const struct weir_pb_message *weir_pb_of(const ProtobufCMessageDescriptor *d);
const ProtobufCMessageDescriptor *weir_pb_descriptor(const struct weir_pb_message *m);
/* All of them, sorted by full name: 0 <= i < weir_pb_count(). */
size_t weir_pb_count(void);
const struct weir_pb_message *weir_pb_at(size_t i);

/* Fact of descriptor->fields[i]. */
const struct weir_pb_field *weir_pb_field(const struct weir_pb_message *m, size_t i);
/* Facts of the message that the field holds; NULL when it holds none. */
const struct weir_pb_message *weir_pb_child(const struct weir_pb_field *f);
/* The field's rules, ended by WEIR_PB_OP_END. */
const struct weir_pb_rule *weir_pb_rules(const struct weir_pb_field *f);
/* Why an ignored field is harmless, or what else api/support.txt notes; "" for none. */
const char *weir_pb_note(const struct weir_pb_field *f);
const struct weir_pb_oneof *weir_pb_oneof(const struct weir_pb_message *m, size_t i);
const char *weir_pb_text(uint32_t at);
/* Was this the name of a field that the API has removed? */
bool weir_pb_was_removed(const struct weir_pb_message *m, struct weir_str field);
/* WEIR_PB_DEPRECATED, WEIR_PB_DISALLOWED of one value of an enum. */
unsigned weir_pb_enum_flags(const ProtobufCEnumDescriptor *e, int value);

/* Reading any message by descriptor. */
/* Is the field set: a list with elements, the member that its oneof holds, a message that is there, a scalar with `has_`
 * (proto2) or with another value than zero. */
bool weir_pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Elements of a list; of a singular field 1 when set, else 0. */
size_t weir_pb_length(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Address of element i of a list (0 for a singular field), as protobuf-c holds it: char **, ProtobufCBinaryData *,
 * ProtobufCMessage **, protobuf_c_boolean *, int32_t *, ... */
const void *weir_pb_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i);
/* Bytes of one element of the type. */
size_t weir_pb_value_size(ProtobufCType type);

#endif
