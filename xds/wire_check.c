/* The walk over wire bytes before unpacking; contract in wire_check.h. Invariant: what this accepts, xds/wire_decode.c
 * unpacks, with no other failure than the arena's cap. */
#include "xds/wire_check.h"

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_path.h"
#include "dataplane/base/str.h"
#include "xds/wire_read.h"

#define FIELDS_MAX 256 /* of one message; a larger one is refused */

struct walk {
    const ProtobufCMessageDescriptor *root;
    const uint8_t *start;
    size_t unknown_fields, unpacked_bytes;
    struct weir_wire_report *report; /* may be NULL */
    struct weir_error *error;
};

/* A field on the way down. `path` first: a path link and its place are one address. */
struct place {
    struct weir_pb_path path;
    struct place *up;
    const ProtobufCFieldDescriptor *field;
    const uint8_t *message, *at; /* what holds the field, and where in it the field begins */
};

/* Elements of a list are only counted once somebody must read the path. */
static uint32_t index_in_list(const struct place *p)
{
    uint32_t index = 0;
    for (const uint8_t *at = p->message; at < p->at;) {
        struct weir_wire_field f;
        if (weir_wire_next(&at, p->at, &f) != NULL)
            break;
        index += f.number == p->field->id;
    }
    return index;
}

static enum weir_err refuse(struct walk *w, enum weir_err err, struct place *place, const uint8_t *at, const char *reason)
{
    char text[WEIR_PB_PATH_TEXT_MAX];
    for (struct place *p = place; p != NULL; p = p->up)
        if (p->field->label == PROTOBUF_C_LABEL_REPEATED)
            p->path.index = index_in_list(p);
    weir_pb_path_print(place != NULL ? &place->path : NULL, text, sizeof text);
    return weir_error_set(w->error, err, "%s%s%s (byte %zu of %s)", text, text[0] != '\0' ? ": " : "", reason,
                          (size_t)(at - w->start), w->root->name);
}

static bool charge(struct walk *w, size_t bytes)
{
    w->unpacked_bytes += (bytes + 15) & ~(size_t)15;
    return w->unpacked_bytes <= WEIR_PB_EXPANDED_BYTES_MAX;
}

static uint32_t wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WEIR_WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WEIR_WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WEIR_WIRE_BYTES;
    default:
        return WEIR_WIRE_VARINT;
    }
}

/* Packed numbers: whole ones only. Charges their room. */
static enum weir_err check_packed(struct walk *w, const ProtobufCFieldDescriptor *d, const struct weir_wire_field *f,
                                  struct place *place)
{
    uint32_t type = wire_type_of(d->type);
    const uint8_t *at = f->data, *end = f->data + f->n;
    size_t count = 0;
    if (type == WEIR_WIRE_VARINT) {
        for (uint64_t ignored; at < end; count++)
            if (!weir_wire_varint(&at, end, 10, &ignored))
                return refuse(w, WEIR_ERR_INVALID, place, at, "a packed number is cut off or longer than 10 bytes");
    } else {
        size_t each = type == WEIR_WIRE_64 ? 8 : 4;
        if (f->n % each != 0)
            return refuse(w, WEIR_ERR_INVALID, place, at, "the packed numbers are cut off");
        count = f->n / each;
    }
    if (!charge(w, count * weir_pb_value_size(d->type)))
        return refuse(w, WEIR_ERR_LIMIT, place, f->data, "the message takes too much memory when unpacked");
    return WEIR_OK;
}

static enum weir_err check_bytes(struct walk *w, const ProtobufCFieldDescriptor *d, const struct weir_wire_field *f,
                                 struct place *place)
{
    if (d->type == PROTOBUF_C_TYPE_STRING) {
        if (memchr(f->data, '\0', f->n) != NULL)
            return refuse(w, WEIR_ERR_INVALID, place, f->data, "the string contains a NUL");
        if (!weir_utf8_valid((struct weir_str){(const char *)f->data, f->n}))
            return refuse(w, WEIR_ERR_INVALID, place, f->data, "the string is not valid UTF-8");
    }
    if (!charge(w, f->n + 1))
        return refuse(w, WEIR_ERR_LIMIT, place, f->data, "the message takes too much memory when unpacked");
    return WEIR_OK;
}

static enum weir_err check_message(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                                   const uint8_t *end, unsigned depth, struct place *up);

/* `first`: nothing of this field came before in its message. */
static enum weir_err check_field(struct walk *w, struct place *place, const struct weir_wire_field *f, bool first,
                                 unsigned depth)
{
    const ProtobufCFieldDescriptor *d = place->field;
    const uint8_t *from = place->at;
    bool list = d->label == PROTOBUF_C_LABEL_REPEATED;
    uint32_t want = wire_type_of(d->type);
    bool packed = list && want != WEIR_WIRE_BYTES && f->type == WEIR_WIRE_BYTES;
    if (f->type != want && !packed)
        return refuse(w, WEIR_ERR_INVALID, place, from, "the wire type does not fit the field");
    if (packed)
        return check_packed(w, d, f, place);
    /* A list's array: 16 for its rounding once, then the element itself. */
    if (list) {
        w->unpacked_bytes += weir_pb_value_size(d->type);
        if (!charge(w, first ? 16 : 0))
            return refuse(w, WEIR_ERR_LIMIT, place, from, "the message takes too much memory when unpacked");
    }
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!list && !first)
            return refuse(w, WEIR_ERR_INVALID, place, from, "the message is sent twice");
        return check_message(w, d->descriptor, f->data, f->data + f->n, depth + 1, place);
    }
    return want == WEIR_WIRE_BYTES ? check_bytes(w, d, f, place) : WEIR_OK;
}

/* Index of the field, or n_fields. Senders write fields in order: the hint is mostly right. */
static unsigned find_field(const ProtobufCMessageDescriptor *type, uint32_t number, unsigned hint)
{
    for (unsigned i = hint; i < type->n_fields && i < hint + 2; i++)
        if (type->fields[i].id == number)
            return i;
    const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(type, number);
    return d != NULL ? (unsigned)(d - type->fields) : type->n_fields;
}

/* A message has unknown fields: reads it again for their numbers, so that others pay nothing. */
static void note_unknown(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end)
{
    struct weir_wire_report *r = w->report;
    if (r == NULL || r->unknown_count == WEIR_WIRE_UNKNOWN_MAX)
        return;
    struct weir_wire_unknown *u = &r->unknown[r->unknown_count];
    *u = (struct weir_wire_unknown){.type = type};
    while (at < end && u->count < WEIR_WIRE_UNKNOWN_NUMBERS) {
        struct weir_wire_field f;
        if (weir_wire_next(&at, end, &f) != NULL)
            break;
        if (find_field(type, f.number, 0) == type->n_fields)
            u->numbers[u->count++] = f.number;
    }
    for (uint32_t i = 0; i < r->unknown_count; i++)
        if (r->unknown[i].type == type && r->unknown[i].count == u->count &&
            memcmp(r->unknown[i].numbers, u->numbers, u->count * sizeof u->numbers[0]) == 0)
            return;
    r->unknown_count++;
}

static enum weir_err check_message(struct walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                                   const uint8_t *end, unsigned depth, struct place *up)
{
    uint64_t seen[FIELDS_MAX / 64] = {0};
    if (depth > WEIR_PB_DEPTH_MAX)
        return refuse(w, WEIR_ERR_LIMIT, up, at, "messages are nested too deep");
    if (type->n_fields > FIELDS_MAX)
        return refuse(w, WEIR_ERR_LIMIT, up, at, "the message has too many fields");
    if (!charge(w, type->sizeof_message))
        return refuse(w, WEIR_ERR_LIMIT, up, at, "the message takes too much memory when unpacked");
    const uint8_t *start = at;
    unsigned hint = 0;
    bool unknown = false;
    while (at < end) {
        const uint8_t *from = at;
        struct weir_wire_field f;
        const char *why = weir_wire_tag(&at, end, &f.number, &f.type);
        unsigned i = why == NULL ? find_field(type, f.number, hint) : type->n_fields;
        if (why == NULL)
            why = weir_wire_payload(&at, end, &f);
        if (why == NULL && f.type == WEIR_WIRE_GROUP && i == type->n_fields)
            why = weir_wire_skip_group(&at, end, f.number);
        if (i == type->n_fields) {
            if (why != NULL)
                return refuse(w, WEIR_ERR_INVALID, up, from, why);
            w->unknown_fields++;
            unknown = true;
            continue;
        }
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        struct place place = {{up != NULL ? &up->path : NULL, d->name, WEIR_PB_PATH_SINGLE, {NULL, 0}}, up, d, start, from};
        if (why != NULL)
            return refuse(w, WEIR_ERR_INVALID, &place, from, why);
        bool first = (seen[i / 64] >> (i % 64) & 1) == 0;
        seen[i / 64] |= UINT64_C(1) << (i % 64);
        hint = i;
        enum weir_err err = check_field(w, &place, &f, first, depth);
        if (err != WEIR_OK)
            return err;
    }
    if (unknown)
        note_unknown(w, type, start, end);
    return WEIR_OK;
}

enum weir_err weir_wire_check(const ProtobufCMessageDescriptor *type, struct weir_str bytes, struct weir_wire_report *report,
                              struct weir_error *error)
{
    static const uint8_t nothing[1];
    const uint8_t *start = bytes.n > 0 ? (const uint8_t *)bytes.p : nothing;
    struct walk w = {.root = type, .start = start, .report = report, .error = error};
    if (report != NULL)
        report->unknown_count = 0;
    enum weir_err err = check_message(&w, type, start, start + bytes.n, 1, NULL);
    if (report != NULL) {
        report->unknown_fields = w.unknown_fields;
        report->unpacked_bytes = w.unpacked_bytes;
    }
    return err;
}
