#include "xds/wire_write.h"

#include <stdlib.h>

#include "xds/wire_read.h"

void weir_wire_out_deinit(struct weir_wire_out *o)
{
    free(o->p);
    *o = (struct weir_wire_out){0};
}

static uint8_t *room(struct weir_wire_out *o, size_t n)
{
    if (o->capacity - o->n < n) {
        size_t capacity = o->capacity < 256 ? 256 : o->capacity;
        while (capacity - o->n < n)
            capacity *= 2;
        uint8_t *p = realloc(o->p, capacity);
        if (p == NULL) abort();
        o->p = p;
        o->capacity = capacity;
    }
    return o->p + o->n;
}

static void varint(struct weir_wire_out *o, uint64_t v)
{
    uint8_t *p = room(o, 10);
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    o->n = (size_t)(p - o->p);
}

void weir_wire_put_raw(struct weir_wire_out *o, struct weir_str s)
{
    if (s.n == 0) return;
    memcpy(room(o, s.n), s.p, s.n);
    o->n += s.n;
}

void weir_wire_put_varint(struct weir_wire_out *o, uint32_t number, uint64_t value)
{
    varint(o, (uint64_t)number << 3 | WEIR_WIRE_VARINT);
    varint(o, value);
}

void weir_wire_put_head(struct weir_wire_out *o, uint32_t number, size_t n)
{
    varint(o, (uint64_t)number << 3 | WEIR_WIRE_BYTES);
    varint(o, n);
}

void weir_wire_put_bytes(struct weir_wire_out *o, uint32_t number, struct weir_str s)
{
    weir_wire_put_head(o, number, s.n);
    weir_wire_put_raw(o, s);
}

void weir_wire_put_text(struct weir_wire_out *o, uint32_t number, struct weir_str s)
{
    if (s.n > 0) weir_wire_put_bytes(o, number, s);
}
