/* Text that is rendered piece by piece: long pages of the admin server. */
#ifndef WEIR_OBSERVE_SOURCE_H
#define WEIR_OBSERVE_SOURCE_H

#include "dataplane/base/out.h"

/* Rendered while it leaves: the loop goes on between two pieces, and a reader that does not read stops it. Embedded in what it
 * needs to go on. */
struct weir_admin_source {
    bool (*more)(struct weir_admin_source *s, struct weir_out *out); /* appends a piece of bounded work; false: that was the last */
    void (*destroy)(struct weir_admin_source *s);                    /* after the last one, or when the reader has gone */
};
#define WEIR_ADMIN_PIECE_BYTES 32768u /* a piece ends with what exceeds it */

#endif
