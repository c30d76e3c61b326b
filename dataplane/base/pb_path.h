/* Where in a message a walk stands: one link for each level, on the stack of the walk, printed only when there is a fault.
 * Prints `virtual_hosts[3].typed_per_filter_config["x"].name`. Used by the wire check, the validator, the support check. */
#ifndef WEIR_BASE_PB_PATH_H
#define WEIR_BASE_PB_PATH_H

#include "dataplane/weir.h"

#define WEIR_PB_PATH_SINGLE UINT32_MAX /* index of a field that is no list */

struct weir_pb_path {
    const struct weir_pb_path *up; /* NULL: the root's own field */
    const char *field;             /* NUL-terminated */
    uint32_t index;                /* of a list element, or WEIR_PB_PATH_SINGLE */
    struct weir_str key;           /* of a map entry; p NULL for none */
};

/* Writes the path into out (NUL-terminated, cut when longer) and returns out, so that it can be a printf argument. A NULL
 * path prints as "". Control characters and quotes of a key are printed as '?'. */
const char *weir_pb_path_print(const struct weir_pb_path *path, char *out, size_t size);

/* Room that a whole path as deep as WEIR_PB_DEPTH_MAX seldom needs. */
#define WEIR_PB_PATH_TEXT_MAX 512

#endif
