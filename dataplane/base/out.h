/* Growing text on the heap, for what is rendered once and then sent or printed: admin pages, JSON. Zeroed is empty; p is
 * NUL-terminated behind n once something was added. */
#ifndef WEIR_BASE_OUT_H
#define WEIR_BASE_OUT_H

#include "dataplane/weir.h"

struct weir_out {
    char *p;
    size_t n, capacity;
};
void weir_out_deinit(struct weir_out *o);
void weir_out_add(struct weir_out *o, struct weir_str s);
void weir_out_printf(struct weir_out *o, const char *fmt, ...) WEIR_PRINTF(2, 3);
void weir_out_string(struct weir_out *o, struct weir_str s); /* a JSON string, quoted and escaped (RFC 8259) */

#endif
