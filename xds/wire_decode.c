/* Unpacking into an arena, behind the check of wire_check.c; contract in wire_check.h. protobuf_c_message_unpack is not
 * used: it would leave its scan tables in the arena and refuses a message for one unknown group. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/pb_facts.h"
#include "xds/wire_check.h"
#include "xds/wire_read.h"

struct cursor {
    struct weir_arena *arena;
    bool failed; /* the arena is full */
};

static void *take(struct cursor *c, size_t size)
{
    void *p = weir_arena_try_alloc(c->arena, size > 0 ? size : 1);
    c->failed |= p == NULL;
    return p;
}

static bool is_length_delimited(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_BYTES || type == PROTOBUF_C_TYPE_MESSAGE;
}

static void store_number(ProtobufCType type, uint64_t value, void *to)
{
    uint32_t low = (uint32_t)value;
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = value != 0;
        return;
    case PROTOBUF_C_TYPE_SINT32:
        low = (low >> 1) ^ (0u - (low & 1));
        memcpy(to, &low, sizeof low);
        return;
    case PROTOBUF_C_TYPE_SINT64:
        value = (value >> 1) ^ (UINT64_C(0) - (value & 1));
        memcpy(to, &value, sizeof value);
        return;
    default: /* float and double too: value holds their bits */
        if (weir_pb_value_size(type) == 8)
            memcpy(to, &value, sizeof value);
        else
            memcpy(to, &low, sizeof low);
    }
}

static ProtobufCMessage *unpack(struct cursor *c, const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end);

static void store(struct cursor *c, const ProtobufCFieldDescriptor *d, const struct weir_wire_field *f, void *to)
{
    switch (d->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)to = unpack(c, d->descriptor, f->data, f->data + f->n);
        return;
    case PROTOBUF_C_TYPE_STRING: {
        char *z = take(c, f->n + 1);
        if (z != NULL) {
            memcpy(z, f->data, f->n);
            z[f->n] = '\0';
        }
        *(char **)to = z;
        return;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *bytes = to;
        bytes->data = take(c, f->n);
        bytes->len = bytes->data != NULL ? f->n : 0;
        if (bytes->len > 0)
            memcpy(bytes->data, f->data, f->n);
        return;
    }
    default:
        store_number(d->type, f->value, to);
    }
}

/* Elements that one field on the wire brings to a list. */
static size_t elements(const ProtobufCFieldDescriptor *d, const struct weir_wire_field *f)
{
    if (f->type != WEIR_WIRE_BYTES || is_length_delimited(d->type))
        return 1;
    switch (d->type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return f->n / 4;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return f->n / 8;
    default: {
        size_t count = 0;
        for (size_t i = 0; i < f->n; i++)
            count += f->data[i] < 0x80;
        return count;
    }
    }
}

static void append(struct cursor *c, const ProtobufCFieldDescriptor *d, const struct weir_wire_field *f, char *message)
{
    size_t *count = (size_t *)(void *)(message + d->quantifier_offset);
    char *array = *(char **)(void *)(message + d->offset);
    size_t each = weir_pb_value_size(d->type);
    if (f->type != WEIR_WIRE_BYTES || is_length_delimited(d->type)) {
        store(c, d, f, array + *count * each);
        ++*count;
        return;
    }
    const uint8_t *at = f->data, *end = f->data + f->n;
    struct weir_wire_field one = {.number = d->id, .type = WEIR_WIRE_VARINT};
    if (d->type == PROTOBUF_C_TYPE_FLOAT || d->type == PROTOBUF_C_TYPE_FIXED32 || d->type == PROTOBUF_C_TYPE_SFIXED32)
        one.type = WEIR_WIRE_32;
    else if (d->type == PROTOBUF_C_TYPE_DOUBLE || d->type == PROTOBUF_C_TYPE_FIXED64 || d->type == PROTOBUF_C_TYPE_SFIXED64)
        one.type = WEIR_WIRE_64;
    while (at < end) {
        const char *why = weir_wire_payload(&at, end, &one);
        assert(why == NULL);
        (void)why;
        store_number(d->type, one.value, array + *count * each);
        ++*count;
    }
}

/* First pass: how long each list will be; then the arrays. */
static void make_room(struct cursor *c, const ProtobufCMessageDescriptor *type, char *message, const uint8_t *at,
                      const uint8_t *end)
{
    bool any = false;
    while (at < end) {
        struct weir_wire_field f;
        const char *why = weir_wire_next(&at, end, &f);
        assert(why == NULL);
        (void)why;
        const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(type, f.number);
        if (d == NULL || d->label != PROTOBUF_C_LABEL_REPEATED)
            continue;
        *(size_t *)(void *)(message + d->quantifier_offset) += elements(d, &f);
        any = true;
    }
    for (unsigned i = 0; any && i < type->n_fields && !c->failed; i++) {
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        if (d->label != PROTOBUF_C_LABEL_REPEATED)
            continue;
        size_t *count = (size_t *)(void *)(message + d->quantifier_offset);
        if (*count > 0)
            *(void **)(void *)(message + d->offset) = take(c, *count * weir_pb_value_size(d->type));
        *count = 0;
    }
}

static ProtobufCMessage *unpack(struct cursor *c, const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end)
{
    ProtobufCMessage *m = take(c, type->sizeof_message);
    if (m == NULL)
        return NULL;
    type->message_init(m);
    char *message = (char *)m;
    make_room(c, type, message, at, end);
    while (at < end && !c->failed) {
        struct weir_wire_field f;
        const char *why = weir_wire_next(&at, end, &f);
        assert(why == NULL);
        (void)why;
        const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(type, f.number);
        if (d == NULL)
            continue;
        if (d->label == PROTOBUF_C_LABEL_REPEATED) {
            append(c, d, &f, message);
            continue;
        }
        if (d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)(void *)(message + d->quantifier_offset) = d->id;
        else if (d->label == PROTOBUF_C_LABEL_OPTIONAL && d->type != PROTOBUF_C_TYPE_STRING && d->type != PROTOBUF_C_TYPE_MESSAGE)
            *(protobuf_c_boolean *)(void *)(message + d->quantifier_offset) = 1;
        store(c, d, &f, message + d->offset);
    }
    return m;
}

enum weir_err weir_pb_decode(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str bytes,
                             ProtobufCMessage **out, struct weir_error *error)
{
    return weir_pb_decode_reported(arena, type, bytes, NULL, out, error);
}

enum weir_err weir_pb_decode_reported(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str bytes,
                                      struct weir_wire_report *report, ProtobufCMessage **out, struct weir_error *error)
{
    enum weir_err err = weir_wire_check(type, bytes, report, error);
    if (err != WEIR_OK)
        return err;
    static const uint8_t nothing[1];
    const uint8_t *start = bytes.n > 0 ? (const uint8_t *)bytes.p : nothing;
    struct cursor c = {.arena = arena};
    ProtobufCMessage *m = unpack(&c, type, start, start + bytes.n);
    if (c.failed)
        return weir_error_set(error, WEIR_ERR_LIMIT, "%s: no room to unpack it: the arena's %zu bytes are taken", type->name,
                              arena->bytes_max);
    *out = m;
    return WEIR_OK;
}
