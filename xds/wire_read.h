/* Reading one field of protobuf wire format. Inline: the check and the unpacking share it. */
#ifndef WEIR_XDS_WIRE_READ_H
#define WEIR_XDS_WIRE_READ_H

#include "dataplane/limits.h"
#include "dataplane/weir.h"

enum weir_wire_type {
    WEIR_WIRE_VARINT = 0,
    WEIR_WIRE_64 = 1,
    WEIR_WIRE_BYTES = 2,
    WEIR_WIRE_GROUP = 3,
    WEIR_WIRE_GROUP_END = 4,
    WEIR_WIRE_32 = 5,
};

#define WEIR_WIRE_NUMBER_MAX ((1u << 29) - 1)

struct weir_wire_field {
    uint32_t number;
    uint32_t type;       /* enum weir_wire_type, never GROUP_END */
    uint64_t value;      /* of VARINT, 64, 32 */
    const uint8_t *data; /* of BYTES */
    size_t n;
};

/* False when it does not end within bytes_max or the input. */
static inline bool weir_wire_varint(const uint8_t **at, const uint8_t *end, unsigned bytes_max, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = *at;
    for (unsigned i = 0; i < bytes_max && p < end; i++) {
        uint8_t byte = *p++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *at = p;
            *out = value;
            return true;
        }
    }
    return false;
}

static inline const char *weir_wire_tag(const uint8_t **at, const uint8_t *end, uint32_t *number, uint32_t *type)
{
    uint64_t tag;
    if (!weir_wire_varint(at, end, 5, &tag))
        return end - *at < 5 ? "the tag is cut off" : "the tag is longer than 5 bytes";
    if (tag >> 3 == 0 || tag >> 3 > WEIR_WIRE_NUMBER_MAX)
        return "the field number is out of range";
    *number = (uint32_t)(tag >> 3);
    *type = (uint32_t)(tag & 7);
    return NULL;
}

/* The payload behind a tag; a group's is left to the caller. Returns NULL, or what is wrong. */
static inline const char *weir_wire_payload(const uint8_t **at, const uint8_t *end, struct weir_wire_field *f)
{
    size_t left = (size_t)(end - *at);
    switch (f->type) {
    case WEIR_WIRE_VARINT:
        if (weir_wire_varint(at, end, 10, &f->value))
            return NULL;
        return left < 10 ? "the number is cut off" : "the number is longer than 10 bytes";
    case WEIR_WIRE_64:
    case WEIR_WIRE_32:
        f->n = f->type == WEIR_WIRE_64 ? 8 : 4;
        if (left < f->n)
            return "the number is cut off";
        f->value = 0;
        for (size_t i = 0; i < f->n; i++)
            f->value |= (uint64_t)(*at)[i] << (8 * i);
        *at += f->n;
        return NULL;
    case WEIR_WIRE_BYTES: {
        uint64_t n;
        if (!weir_wire_varint(at, end, 5, &n))
            return left < 5 ? "the length is cut off" : "the length is longer than 5 bytes";
        if (n > (uint64_t)(end - *at))
            return "the value is longer than what holds it";
        f->data = *at;
        f->n = (size_t)n;
        *at += n;
        return NULL;
    }
    case WEIR_WIRE_GROUP:
        return NULL;
    case WEIR_WIRE_GROUP_END:
        return "a group ends that did not begin";
    default:
        return "there is no such wire type";
    }
}

/* Skips what is inside group `number`, nested groups too, up to and with its end. */
static inline const char *weir_wire_skip_group(const uint8_t **at, const uint8_t *end, uint32_t number)
{
    uint32_t open[WEIR_PB_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        struct weir_wire_field f;
        if (*at >= end)
            return "a group does not end";
        const char *why = weir_wire_tag(at, end, &f.number, &f.type);
        if (why != NULL)
            return why;
        if (f.type == WEIR_WIRE_GROUP_END) {
            if (f.number != open[depth - 1])
                return "a group ends under another number";
            depth--;
        } else if (f.type == WEIR_WIRE_GROUP) {
            if (depth == WEIR_PB_DEPTH_MAX)
                return "groups are nested too deep";
            open[depth++] = f.number;
        } else if ((why = weir_wire_payload(at, end, &f)) != NULL) {
            return why;
        }
    }
    return NULL;
}

/* The whole next field, groups skipped; *at < end. Returns NULL, or what is wrong. */
static inline const char *weir_wire_next(const uint8_t **at, const uint8_t *end, struct weir_wire_field *f)
{
    const char *why = weir_wire_tag(at, end, &f->number, &f->type);
    if (why == NULL)
        why = weir_wire_payload(at, end, f);
    if (why == NULL && f->type == WEIR_WIRE_GROUP)
        why = weir_wire_skip_group(at, end, f->number);
    return why;
}

#endif
