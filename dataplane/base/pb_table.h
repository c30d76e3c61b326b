/* The arrays that api/gen_facts.py writes. Only base/pb_facts.c reads them. */
#ifndef WEIR_BASE_PB_TABLE_H
#define WEIR_BASE_PB_TABLE_H

#include "dataplane/base/pb_facts.h"

struct weir_pb_enum_mark {
    uint32_t enum_name; /* text */
    int32_t value;
    uint32_t flags;
};

extern const struct weir_pb_message weir_pb_messages[];
extern const uint16_t weir_pb_message_count;
extern const ProtobufCMessageDescriptor *const weir_pb_descriptors[];
extern const struct weir_pb_field weir_pb_fields[];
extern const struct weir_pb_oneof weir_pb_oneofs[];
extern const struct weir_pb_rule weir_pb_rule_table[];
extern const uint32_t weir_pb_notes[];
extern const struct weir_pb_enum_mark weir_pb_enum_marks[];
extern const uint16_t weir_pb_enum_mark_count;
extern const char weir_pb_texts[];
/* Open hash of full names: slot = FNV-1a modulo size (a power of two), then the next; 0 is free, else 1 + index. */
extern const uint16_t weir_pb_hash[];
extern const uint32_t weir_pb_hash_size;

static inline uint32_t weir_pb_hash_of(struct weir_str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return h;
}

#endif
