/* Access to the generated table of base/pb_table.h, and reading messages by descriptor. Called by whatever is driven by
 * descriptors: wire check, YAML, validator, support classes, dumps. */
#include "dataplane/base/pb_facts.h"

#include "dataplane/base/pb_table.h"

const struct weir_pb_message *weir_pb_find(struct weir_str full_name)
{
    uint32_t mask = weir_pb_hash_size - 1;
    for (uint32_t at = weir_pb_hash_of(full_name) & mask; weir_pb_hash[at] != 0; at = (at + 1) & mask) {
        size_t i = weir_pb_hash[at] - 1u;
        if (weir_str_eq(weir_str_of(weir_pb_descriptors[i]->name), full_name))
            return &weir_pb_messages[i];
    }
    return NULL;
}

const struct weir_pb_message *weir_pb_find_url(struct weir_str type_url)
{
    size_t at = type_url.n;
    while (at > 0 && type_url.p[at - 1] != '/')
        at--;
    if (at == 0) /* a type URL has a '/' */
        return NULL;
    return weir_pb_find((struct weir_str){type_url.p + at, type_url.n - at});
}

const struct weir_pb_message *weir_pb_of(const ProtobufCMessageDescriptor *d)
{
    return weir_pb_find(weir_str_of(d->name));
}

const ProtobufCMessageDescriptor *weir_pb_descriptor(const struct weir_pb_message *m)
{
    return weir_pb_descriptors[m - weir_pb_messages];
}

size_t weir_pb_count(void)
{
    return weir_pb_message_count;
}

const struct weir_pb_message *weir_pb_at(size_t i)
{
    return &weir_pb_messages[i];
}

const struct weir_pb_field *weir_pb_field(const struct weir_pb_message *m, size_t i)
{
    return &weir_pb_fields[m->fields + i];
}

const struct weir_pb_message *weir_pb_child(const struct weir_pb_field *f)
{
    return f->child == WEIR_PB_NONE ? NULL : &weir_pb_messages[f->child];
}

const struct weir_pb_rule *weir_pb_rules(const struct weir_pb_field *f)
{
    return &weir_pb_rule_table[f->rules];
}

const char *weir_pb_note(const struct weir_pb_field *f)
{
    return weir_pb_text(weir_pb_notes[f->note]);
}

const struct weir_pb_oneof *weir_pb_oneof(const struct weir_pb_message *m, size_t i)
{
    return &weir_pb_oneofs[m->oneofs + i];
}

const char *weir_pb_text(uint32_t at)
{
    return weir_pb_texts + at;
}

bool weir_pb_was_removed(const struct weir_pb_message *m, struct weir_str field)
{
    const char *at = weir_pb_text(m->reserved);
    while (*at != '\0') {
        size_t n = strcspn(at, " ");
        if (weir_str_eq((struct weir_str){at, n}, field))
            return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

unsigned weir_pb_enum_flags(const ProtobufCEnumDescriptor *e, int value)
{
    for (size_t i = 0; i < weir_pb_enum_mark_count; i++) {
        const struct weir_pb_enum_mark *mark = &weir_pb_enum_marks[i];
        if (mark->value == value && strcmp(weir_pb_text(mark->enum_name), e->name) == 0)
            return mark->flags;
    }
    return 0;
}

size_t weir_pb_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    return 0;
}

static bool scalar_is_zero(const void *at, ProtobufCType type)
{
    static const char zero[8];
    switch (type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *z = *(char *const *)at;
        return z == NULL || *z == '\0';
    }
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    default: /* -0.0 is not zero: its bits are not, as proto3 wants it */
        return memcmp(at, zero, weir_pb_value_size(type)) == 0;
    }
}

bool weir_pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)(base + f->quantifier_offset) > 0;
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(const void *)(base + f->quantifier_offset) == f->id;
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_STRING)
        return *(const protobuf_c_boolean *)(const void *)(base + f->quantifier_offset) != 0;
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type == PROTOBUF_C_TYPE_STRING) {
        const char *z = *(char *const *)(const void *)(base + f->offset);
        return z != NULL && z != (const char *)f->default_value;
    }
    return !scalar_is_zero(base + f->offset, f->type);
}

size_t weir_pb_length(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
    return weir_pb_is_set(m, f) ? 1 : 0;
}

const void *weir_pb_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    const char *at = (const char *)m + f->offset;
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return at;
    return *(const char *const *)(const void *)at + i * weir_pb_value_size(f->type);
}
