/* Writing protobuf wire format by hand: the outer messages of the discovery protocol, whose resources are bytes already. */
#ifndef WEIR_XDS_WIRE_WRITE_H
#define WEIR_XDS_WIRE_WRITE_H

#include "dataplane/weir.h"

/* Growing bytes on the heap. Zeroed is empty. */
struct weir_wire_out {
    uint8_t *p;
    size_t n, capacity;
};
void weir_wire_out_deinit(struct weir_wire_out *o);
void weir_wire_put_varint(struct weir_wire_out *o, uint32_t number, uint64_t value);
void weir_wire_put_bytes(struct weir_wire_out *o, uint32_t number, struct weir_str s);
/* Tag and length of a field whose n bytes the caller puts after it with weir_wire_put_raw. */
void weir_wire_put_head(struct weir_wire_out *o, uint32_t number, size_t n);
void weir_wire_put_raw(struct weir_wire_out *o, struct weir_str s);
/* Nothing for empty text, as proto3 leaves it out. */
void weir_wire_put_text(struct weir_wire_out *o, uint32_t number, struct weir_str s);
static inline struct weir_str weir_wire_out_str(const struct weir_wire_out *o)
{
    return (struct weir_str){(const char *)o->p, o->n};
}

#endif
